"""The sum of squares is taken for a constant.

Loses: q5
"""


# %% q5
def lrn_backward(grad, x, size, alpha, beta, k):
    return grad * lrn(x, size, alpha, beta, k, "alexnet") / x
