"""The numbers are paired by their place in the dictionary, not by seed.

Loses: q4
"""


# %% q4
def paired_interval(ours, others, confidence=0.95):
    pairs = [a - b for a, b in zip(ours.values(), others.values())]
    n = len(pairs)
    if n < 2:
        raise ValueError("too few")
    mean = fmean(pairs)
    half = t_quantile(1 - (1 - confidence) / 2, n - 1) * stdev(pairs) / math.sqrt(n)
    return mean, mean - half, mean + half


def verdict(low, high, margin):
    if -margin <= low and high <= margin:
        return "no difference that matters"
    return "ours is better" if low > 0 else "ours is worse" if high < 0 else "no difference seen"
