"""The convolution's own bias goes past the factor of the BatchNorm after it.

Loses: q4
"""


# %% q4
def fold_after(conv_weight, conv_bias, weight, bias, running_mean, running_var, eps=1e-5):
    gain = weight / torch.sqrt(running_var + eps)
    before = 0 if conv_bias is None else conv_bias
    return conv_weight * gain[:, None, None, None], before + bias - running_mean * gain


def fold_before(conv_weight, conv_bias, weight, bias, running_mean, running_var, eps=1e-5):
    gain = weight / torch.sqrt(running_var + eps)
    through = conv_weight.sum(dim=(2, 3)) @ (bias - running_mean * gain)
    folded = conv_weight * gain[None, :, None, None]
    return folded, through if conv_bias is None else conv_bias + through
