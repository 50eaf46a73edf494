"""Every kernel is taken for 3x3, as in the columns that most people know.

Loses: q5
"""


# %% q5
def count_parameters(column, height, width, num_classes=1000, in_channels=3, hidden=4096):
    convolutional = 0
    for entry in column:
        if entry.startswith("conv"):
            out_channels = int(entry.split("-")[1])
            convolutional += conv_parameters(in_channels, out_channels, 3)
            in_channels = out_channels
    sizes = [math.prod(feature_map_shapes(column, height, width)[-1]), hidden, hidden, num_classes]
    connected = sum((before + 1) * after for before, after in zip(sizes, sizes[1:]))
    return {"convolutional": convolutional, "fully connected": connected}
