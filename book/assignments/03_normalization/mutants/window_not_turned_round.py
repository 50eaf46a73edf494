"""The numbers in my window are taken for those in whose windows I am: right for odd sizes.

Loses: q5
"""


# %% q5
def lrn_backward(grad, x, size, alpha, beta, k):
    def sums(t):
        channels = range(t.shape[1])
        windows = [t[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1] for c in channels]
        return torch.stack([w.sum(dim=1) for w in windows], dim=1)

    base = k + alpha * sums(x.square())
    below = sums(grad * x * base ** (-beta - 1))
    return grad * base**-beta - 2 * alpha * beta * x * below
