"""The adaptive pooling stays in the network.

Loses: q6
"""


# %% q6
def repair(model, height, width):
    pool = nn.AdaptiveAvgPool2d(model.cells)
    model = copy.deepcopy(model)
    return nn.Sequential(model.features, pool, nn.Flatten(), model.classifier)
