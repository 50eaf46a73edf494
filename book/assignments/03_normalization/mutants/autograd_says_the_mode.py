"""Batch statistics where gradients are on, running ones elsewhere: the mode is not asked.

Loses: q2
"""


# %% q2
def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    mean, var = running_mean, running_var
    if torch.is_grad_enabled():
        if x[:, 0].numel() == 1:
            raise ValueError("one value has no variance")
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
        running_mean = running_mean + momentum * (mean - running_mean)
        running_var = running_var + momentum * (x.var(dim=(0, 2, 3)) - running_var)
    y = (x - mean[:, None, None]) / torch.sqrt(var + eps)[:, None, None]
    if weight is not None:
        y = y * weight[:, None, None] + bias[:, None, None]
    return y, running_mean, running_var
