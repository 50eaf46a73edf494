"""LRN stands before the ReLU of its convolution, and has torch's default settings.

Loses: q3
"""


# %% q3
def build_features(column, in_channels=3):
    layers = []
    for entry in column:
        if entry == "maxpool":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        elif entry == "LRN":
            layers.insert(-1, nn.LocalResponseNorm(5))
        else:
            kernel_size, out_channels = map(int, re.findall(r"\d+", entry))
            padding = kernel_size // 2
            layers += [
                nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding),
                nn.ReLU(),
            ]
            in_channels = out_channels
    return nn.Sequential(*layers)
