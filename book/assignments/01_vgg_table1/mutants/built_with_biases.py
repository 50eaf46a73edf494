"""The biases are counted as work.

Loses: q6
"""


# %% q6
def count_mult_adds(column, height, width, num_classes=1000, in_channels=3, hidden=4096):
    sizes = [math.prod(feature_map_shapes(column, height, width)[-1]), hidden, hidden, num_classes]
    counts = []
    for entry in column:
        if entry == "maxpool":
            height, width = height // 2, width // 2
        elif entry.startswith("conv"):
            kernel_size, out_channels = map(int, re.findall(r"\d+", entry))
            counts.append(conv_parameters(in_channels, out_channels, kernel_size) * height * width)
            in_channels = out_channels
    return counts + [(before + 1) * after for before, after in zip(sizes, sizes[1:])]
