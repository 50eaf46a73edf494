"""Backward costs nothing.

Loses: q5
"""


# %% q5
def efficiency(layers, batch, speed, devices, link, scaling):
    if scaling not in ("weak", "strong"):
        raise ValueError(scaling)
    if scaling == "strong" and batch % devices:
        raise ValueError("not shared equally")
    images = batch // devices if scaling == "strong" else batch
    compute = 1 * images * sum(work for _, work in layers) / speed
    return compute / step_seconds(layers, compute, devices, link)


def first_below(networks, batch, speed, counts, link, scaling, bound):
    found = {}
    for name, layers in networks.items():
        found[name] = None
        for n in sorted(counts):
            if scaling == "strong" and batch % n:
                continue
            if efficiency(layers, batch, speed, n, link, scaling) < bound:
                found[name] = n
                break
    return found
