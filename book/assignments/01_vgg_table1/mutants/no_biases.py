"""The biases are not counted.

Loses: q1 q5
"""


# %% q1
def conv_parameters(in_channels, out_channels, kernel_size, bias=True):
    return out_channels * in_channels * kernel_size**2
