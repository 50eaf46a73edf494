"""The padding of a later layer is counted in pixels of the image, not in cells of its map.

Loses: q1 q3
"""


# %% q1
def receptive_field(windows):
    size, stride, start = 1, 1, 0
    for kernel_size, step, padding, dilation in windows:
        size += (kernel_size - 1) * dilation * stride
        start -= padding
        stride *= step
    return size, stride, start
