"""eps is forgotten when folding.

Loses: q4
"""


# %% q4
def fold_after(conv_weight, conv_bias, weight, bias, running_mean, running_var, eps=1e-5):
    gain = weight / running_var.sqrt()
    before = 0 if conv_bias is None else conv_bias
    return conv_weight * gain[:, None, None, None], bias + (before - running_mean) * gain


def fold_before(conv_weight, conv_bias, weight, bias, running_mean, running_var, eps=1e-5):
    gain = weight / running_var.sqrt()
    through = conv_weight.sum(dim=(2, 3)) @ (bias - running_mean * gain)
    folded = conv_weight * gain[None, :, None, None]
    return folded, through if conv_bias is None else conv_bias + through
