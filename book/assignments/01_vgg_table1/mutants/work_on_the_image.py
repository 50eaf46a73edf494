"""Every convolution is taken to run on a map of the image's size.

Loses: q6
"""


# %% q6
def count_mult_adds(column, height, width, num_classes=1000, in_channels=3, hidden=4096):
    sizes = [math.prod(feature_map_shapes(column, height, width)[-1]), hidden, hidden, num_classes]
    counts = []
    for entry in column:
        if entry.startswith("conv"):
            kernel_size, out_channels = map(int, re.findall(r"\d+", entry))
            weights = conv_parameters(in_channels, out_channels, kernel_size, bias=False)
            counts.append(weights * height * width)
            in_channels = out_channels
    return counts + [before * after for before, after in zip(sizes, sizes[1:])]
