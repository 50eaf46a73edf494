"""The weights are taken apart as in libraries that keep the channels last.

Loses: q3
"""


# %% q3
def as_convolutions(classifier, channels, rows, columns):
    layers, kernel = [], (rows, columns)
    for old in classifier:
        if isinstance(old, nn.Linear):
            weight = old.weight.detach().unflatten(1, (*kernel, -1)).permute(0, 3, 1, 2)
            conv = nn.Conv2d(
                *(weight.shape[1], weight.shape[0], kernel),
                bias=old.bias is not None,
                dtype=weight.dtype,
            )
            conv.load_state_dict({**old.state_dict(), "weight": weight})
            old, kernel = conv, (1, 1)
        layers.append(copy.deepcopy(old))
    return nn.Sequential(*layers)
