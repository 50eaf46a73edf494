"""A window's own stride already counts for its own taps.

Loses: q1 q2 q3
"""


# %% q1
def receptive_field(windows):
    size, stride, start = 1, 1, 0
    for kernel_size, step, padding, dilation in windows:
        stride *= step
        size += (kernel_size - 1) * dilation * stride
        start -= padding * stride
    return size, stride, start
