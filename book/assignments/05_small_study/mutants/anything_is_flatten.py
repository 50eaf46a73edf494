"""Whatever is not "gap" gets Flatten, spelling mistakes too.

Loses: q1
"""


# %% q1
def make_head(kind, channels, rows, columns, classes):
    if kind == "gap":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * rows * columns, classes))
