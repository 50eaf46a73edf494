"""torch's layers do the work.

Loses: q1 q2
"""


# %% q1
def lrn(x, size, alpha, beta, k, formula):
    if formula not in ("alexnet", "torch"):
        raise ValueError(formula)
    return F.local_response_norm(x, size, alpha if formula == "torch" else alpha * size, beta, k)


# %% q2
def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    mean, var = running_mean.clone(), running_var.clone()
    return F.batch_norm(x, mean, var, weight, bias, training, momentum, eps), mean, var
