"""The weights are taken apart as in libraries that keep the channels last.

Loses: q3
"""


# %% q3
def as_convolutions(classifier, channels, rows, columns):
    layers, kernel = [], (rows, columns)
    for layer in classifier:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().unflatten(1, (*kernel, -1)).permute(0, 3, 1, 2)
            conv = nn.Conv2d(
                *(weight.shape[1], weight.shape[0], kernel),
                bias=layer.bias is not None,
                dtype=weight.dtype,
            )
            conv.load_state_dict({**layer.state_dict(), "weight": weight})
            layer, kernel = conv, (1, 1)
        layers.append(copy.deepcopy(layer))
    return nn.Sequential(*layers)
