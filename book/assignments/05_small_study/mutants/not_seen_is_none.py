"""Where 0 lies inside the interval, there is said to be no difference that matters.

Loses: q4 q5
"""


# %% q4
def paired_interval(ours, others, confidence=0.95):
    pairs = [ours[seed] - others[seed] for seed in ours if seed in others]
    n = len(pairs)
    if n < 2:
        raise ValueError("too few")
    mean = fmean(pairs)
    half = t_quantile(1 - (1 - confidence) / 2, n - 1) * stdev(pairs) / math.sqrt(n)
    return mean, mean - half, mean + half


def verdict(low, high, margin):
    if (-margin <= low and high <= margin) or low <= 0 <= high:
        return "no difference that matters"
    return "ours is better" if low > 0 else "ours is worse"
