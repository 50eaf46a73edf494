"""The running statistics that came are changed in place.

Loses: q2
"""


# %% q2
def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    mean, var = running_mean, running_var
    if training:
        if x[:, 0].numel() == 1:
            raise ValueError("one value has no variance")
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
        running_mean.mul_(1 - momentum).add_(momentum * mean)
        running_var.mul_(1 - momentum).add_(momentum * x.var(dim=(0, 2, 3)))
    y = (x - mean[:, None, None]) / torch.sqrt(var + eps)[:, None, None]
    if weight is not None:
        y = y * weight[:, None, None] + bias[:, None, None]
    return y, running_mean, running_var
