"""Two means with two deviations, as if the runs had nothing in common.

Loses: q4 q5
"""


# %% q4
def paired_interval(ours, others, confidence=0.95):
    seeds = [seed for seed in ours if seed in others]
    n = len(seeds)
    if n < 2:
        raise ValueError("too few")
    a, b = ([scores[seed] for seed in seeds] for scores in (ours, others))
    mean = fmean(a) - fmean(b)
    error = math.sqrt((stdev(a) ** 2 + stdev(b) ** 2) / n)
    half = t_quantile(1 - (1 - confidence) / 2, 2 * n - 2) * error
    return mean, mean - half, mean + half


def verdict(low, high, margin):
    if -margin <= low and high <= margin:
        return "no difference that matters"
    return "ours is better" if low > 0 else "ours is worse" if high < 0 else "no difference seen"
