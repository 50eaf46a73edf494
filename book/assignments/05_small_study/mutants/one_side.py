"""The quantile is that of the confidence, so that 5 % are left out on each side.

Loses: q4 q5
"""


# %% q4
def paired_interval(ours, others, confidence=0.95):
    pairs = [ours[seed] - others[seed] for seed in ours if seed in others]
    n = len(pairs)
    if n < 2:
        raise ValueError("too few")
    mean, half = fmean(pairs), t_quantile(confidence, n - 1) * stdev(pairs) / math.sqrt(n)
    return mean, mean - half, mean + half


def verdict(low, high, margin):
    if -margin <= low and high <= margin:
        return "no difference that matters"
    return "ours is better" if low > 0 else "ours is worse" if high < 0 else "no difference seen"
