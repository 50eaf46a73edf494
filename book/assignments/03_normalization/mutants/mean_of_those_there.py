"""In torch's convention the squares are averaged over the channels that are there.

Loses: q1
"""


# %% q1
def lrn(x, size, alpha, beta, k, formula):
    if formula not in ("alexnet", "torch"):
        raise ValueError(formula)
    squares = [
        x[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1].square() for c in range(x.shape[1])
    ]
    sums = [s.mean(dim=1) if formula == "torch" else s.sum(dim=1) for s in squares]
    return x / (k + alpha * torch.stack(sums, dim=1)) ** beta
