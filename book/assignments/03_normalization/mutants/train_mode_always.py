"""The gradient of eval mode is that of train mode.

Loses: q3
"""


# %% q3
def batch_norm_backward(grad, x, weight, running_mean, running_var, training, eps=1e-5):
    axes = (0, 2, 3)
    scale = (x.var(dim=axes, correction=0, keepdim=True) + eps).rsqrt()
    normalised = (x - x.mean(dim=axes, keepdim=True)) * scale
    inner = grad * weight[:, None, None]
    along = (inner * normalised).mean(dim=axes, keepdim=True)
    grad_x = (inner - inner.mean(dim=axes, keepdim=True) - along * normalised) * scale
    return grad_x, (grad * normalised).sum(axes), grad.sum(axes)
