"""Every pooling doubles the field, as the rule of thumb has it.

Loses: q1 q2 q3
"""


# %% q1
def receptive_field(windows):
    size, stride, start = 1, 1, 0
    for kernel_size, step, padding, dilation in windows:
        size = size * step if step > 1 else size + (kernel_size - 1) * dilation
        start -= padding * stride
        stride *= step
    return size, stride, start
