"""A window of even size has one channel more after than before.

Loses: q1
"""


# %% q1
def lrn(x, size, alpha, beta, k, formula):
    if formula not in ("alexnet", "torch"):
        raise ValueError(formula)
    if formula == "torch":
        alpha = alpha / size
    sums = torch.stack([
        x[:, max(c - (size - 1) // 2, 0) : c + size // 2 + 1].square().sum(dim=1)
        for c in range(x.shape[1])
    ], dim=1)  # fmt: skip
    return x / (k + alpha * sums) ** beta
