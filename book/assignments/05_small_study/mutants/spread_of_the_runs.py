"""The interval is that of single runs: the root of n is forgotten.

Loses: q4 q5
"""


# %% q4
def paired_interval(ours, others, confidence=0.95):
    pairs = [ours[seed] - others[seed] for seed in ours if seed in others]
    n = len(pairs)
    if n < 2:
        raise ValueError("too few")
    mean, half = fmean(pairs), t_quantile(1 - (1 - confidence) / 2, n - 1) * stdev(pairs)
    return mean, mean - half, mean + half


def verdict(low, high, margin):
    if -margin <= low and high <= margin:
        return "no difference that matters"
    return "ours is better" if low > 0 else "ours is worse" if high < 0 else "no difference seen"
