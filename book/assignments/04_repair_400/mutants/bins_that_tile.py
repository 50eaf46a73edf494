"""The bins are thought to tile the map: both their ends are rounded down.

Loses: q4 q6
"""


# %% q4
def fold_pool(linear, channels, pooled, cells):
    means = []
    for bins, size in zip(pooled, cells):
        mean = torch.zeros(bins, size, dtype=linear.weight.dtype)
        for i in range(bins):
            first, stop = i * size // bins, (i + 1) * size // bins
            stop = max(stop, first + 1)
            mean[i, first:stop] = 1 / (stop - first)
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
