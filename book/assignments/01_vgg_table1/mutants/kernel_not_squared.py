"""The kernel is taken for a row.

Loses: q1 q5 q6
"""


# %% q1
def conv_parameters(in_channels, out_channels, kernel_size, bias=True):
    weights = out_channels * in_channels * kernel_size
    return weights + out_channels if bias else weights
