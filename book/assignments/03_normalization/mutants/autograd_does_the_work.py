"""The gradients come from autograd, switched on again.

Loses: q3 q5
"""


# %% q3
def batch_norm_backward(grad, x, weight, running_mean, running_var, training, eps=1e-5):
    with torch.enable_grad():
        leaves = [t.clone().requires_grad_() for t in (x, weight, torch.zeros_like(weight))]
        y, _, _ = batch_norm(*leaves, running_mean, running_var, training, eps=eps)
        return torch.autograd.grad(y, leaves, grad)


# %% q5
def lrn_backward(grad, x, size, alpha, beta, k):
    x = x.clone()
    x.requires_grad = True
    with torch.enable_grad():
        lrn(x, size, alpha, beta, k, "alexnet").backward(grad)
    return x.grad
