"""Every bin is divided by the same number, the cells for each bin on average.

Loses: q4 q6
"""


# %% q4
def fold_pool(linear, channels, pooled, cells):
    means = []
    for bins, size in zip(pooled, cells):
        mean = torch.zeros(bins, size, dtype=linear.weight.dtype)
        for i in range(bins):
            mean[i, i * size // bins : math.ceil((i + 1) * size / bins)] = bins / size
        means.append(mean)
    kernel = linear.weight.detach().view(-1, channels, *pooled)
    folded = torch.einsum("ockl,kh,lw->ochw", kernel, *means)
    conv = nn.Conv2d(
        *(channels, linear.out_features, tuple(cells)),
        bias=linear.bias is not None,
        dtype=folded.dtype,
    )
    conv.load_state_dict({**linear.state_dict(), "weight": folded})
    return conv
