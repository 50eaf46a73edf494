"""The dilation is forgotten.

Loses: q1 q2 q3
"""


# %% q1
def receptive_field(windows):
    size, stride, start = 1, 1, 0
    for kernel_size, step, padding, _ in windows:
        size += (kernel_size - 1) * stride
        start -= padding * stride
        stride *= step
    return size, stride, start
