"""1.96 standard errors, as for many runs.

Loses: q4 q5
"""

# %% q4
from statistics import NormalDist


def paired_interval(ours, others, confidence=0.95):
    pairs = [ours[seed] - others[seed] for seed in ours if seed in others]
    n = len(pairs)
    if n < 2:
        raise ValueError("too few")
    quantile = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    mean, half = fmean(pairs), quantile * stdev(pairs) / math.sqrt(n)
    return mean, mean - half, mean + half


def verdict(low, high, margin):
    if -margin <= low and high <= margin:
        return "no difference that matters"
    return "ours is better" if low > 0 else "ours is worse" if high < 0 else "no difference seen"
