"""fc6 is made for a map of 7x7, whatever the image.

Loses: q4
"""


# %% q4
def build_vgg(column, height, width, num_classes=1000, in_channels=3, hidden=4096):
    channels = feature_map_shapes(column, height, width)[-1][0]
    return nn.Sequential(
        build_features(column, in_channels),
        nn.Flatten(),
        *(nn.Linear(channels * 7 * 7, hidden), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(hidden, num_classes),
    )
