"""The new layers are views of the old weights, so that training one changes the other.

Loses: q3 q4
"""


# %% q3
def as_convolutions(classifier, channels, rows, columns):
    layers, kernel = [], (rows, columns)
    for old in classifier:
        if isinstance(old, nn.Linear):
            weight = old.weight.detach().unflatten(1, (-1, *kernel))
            bias = old.bias is not None
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], kernel, bias=bias)
            conv.weight, conv.bias = nn.Parameter(weight), old.bias
            old, kernel = conv, (1, 1)
        layers.append(old)
    return nn.Sequential(*layers)


# %% q4
def fold_pool(linear, channels, pooled, cells):
    means = [F.adaptive_avg_pool1d(torch.eye(n).double(), m).T for m, n in zip(pooled, cells)]
    means = [mean.to(linear.weight.dtype) for mean in means]
    kernel = linear.weight.detach().view(-1, channels, *pooled)
    weight = torch.einsum("ockl,kh,lw->ochw", kernel, *means)
    conv = nn.Conv2d(channels, linear.out_features, tuple(cells), bias=linear.bias is not None)
    conv.weight, conv.bias = nn.Parameter(weight), linear.bias
    return conv
