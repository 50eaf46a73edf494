"""The trained kernel slides over the larger map and the scores are averaged: another function.

Loses: q6
"""


# %% q6
def repair(model, height, width):
    first = model.classifier[0]
    channels = first.in_features // math.prod(model.cells)
    return nn.Sequential(
        copy.deepcopy(model.features),
        as_convolutions(model.classifier, channels, *model.cells),
        nn.AvgPool2d((height // 2 ** 5 - 6 or 1, width // 2 ** 5 - 6 or 1)),
        nn.Flatten(),
    )  # fmt: skip
