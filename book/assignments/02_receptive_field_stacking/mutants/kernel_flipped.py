"""The second kernel slides over the first as torch's convolution does: its taps end up mirrored.

Loses: q6
"""


# %% q6
def compose(weight_1, bias_1, weight_2, bias_2, stride=1):
    h2, w2 = weight_2.shape[2:]
    columns = weight_1.transpose(0, 1)
    spread = weight_2.new_zeros(*weight_2.shape[:2], stride * (h2 - 1) + 1, stride * (w2 - 1) + 1)
    spread[:, :, ::stride, ::stride] = weight_2
    padding = (spread.shape[2] - 1, spread.shape[3] - 1)
    weight = nn.functional.conv2d(columns, spread, padding=padding).transpose(0, 1)
    return weight, bias_2 + weight_2.sum(dim=(2, 3)) @ bias_1
