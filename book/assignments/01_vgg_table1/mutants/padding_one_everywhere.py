"""Every convolution has padding 1, also those of 1x1 and 5x5.

Loses: q3 q4
"""


# %% q3
def build_features(column, in_channels=3):
    layers = []
    for entry in column:
        if entry == "maxpool":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        elif entry == "LRN":
            layers.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2))
        else:
            kernel_size, out_channels = map(int, re.findall(r"\d+", entry))
            layers += [nn.Conv2d(in_channels, out_channels, kernel_size, padding=1), nn.ReLU()]
            in_channels = out_channels
    return nn.Sequential(*layers)
