"""Pooling to 7×7 leaves seven numbers of a channel.

Loses: q1
"""


# %% q1
def layer_costs(convolutions, head, hidden=4096, classes=1000, bytes_each=4):
    inputs = convolutions[-1][0][0]
    if head not in ("fc", "spp", "gap"):
        raise ValueError(head)
    sizes = {"gap": [], "fc": [hidden] * 2, "spp": [hidden] * 2}[head] + [classes]
    if head != "gap":
        inputs *= {"fc": 7, "spp": 21}[head]
    layers = list(convolutions)
    for outputs in sizes:
        layers.append(((outputs, inputs), 1))
        inputs = outputs
    return [
        (bytes_each * (math.prod(shape) + shape[0]), math.prod(shape) * places)
        for shape, places in layers
    ]
