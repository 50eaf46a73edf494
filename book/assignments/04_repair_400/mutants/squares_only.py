"""Every map is thought to be square.

Loses: q2
"""


# %% q2
def fitting_sides(windows, cells):
    first, stop = cells, cells + 1
    for kernel_size, stride, padding, dilation in reversed(windows):
        extent = dilation * (kernel_size - 1) + 1 - 2 * padding
        first, stop = (max((n - 1) * stride + extent, 1) for n in (first, stop))
    return (first, stop - 1) if first < stop else None


def accepted_maps(in_features, channels):
    side = math.isqrt(in_features // channels)
    return [(side, side)] if channels * side**2 == in_features else []
