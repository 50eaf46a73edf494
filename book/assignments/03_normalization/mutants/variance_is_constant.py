"""The gradient goes through the mean, and not through the variance.

Loses: q3
"""


# %% q3
def batch_norm_backward(grad, x, weight, running_mean, running_var, training, eps=1e-5):
    axes = (0, 2, 3)
    mean = x.mean(dim=axes) if training else running_mean
    var = x.var(dim=axes, correction=0) if training else running_var
    scale = (var + eps).rsqrt()[:, None, None]
    normalised = (x - mean[:, None, None]) * scale
    inner = grad * weight[:, None, None]
    if training:
        inner = inner - inner.mean(dim=axes, keepdim=True)
    return inner * scale, (grad * normalised).sum(axes), grad.sum(axes)
