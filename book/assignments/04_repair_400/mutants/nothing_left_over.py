"""The side is taken for exactly divisible: what a stride leaves over at the edge is forgotten.

Loses: q2
"""


# %% q2
def fitting_sides(windows, cells):
    for kernel_size, stride, padding, dilation in reversed(windows):
        cells = (cells - 1) * stride + dilation * (kernel_size - 1) + 1 - 2 * padding
    return (cells, cells) if cells > 0 else None


def accepted_maps(in_features, channels):
    cells, rest = divmod(in_features, channels)
    return [] if rest else [(h, cells // h) for h in range(1, cells + 1) if cells % h == 0]
