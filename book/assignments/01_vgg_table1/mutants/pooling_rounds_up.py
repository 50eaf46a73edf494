"""A pooling keeps the last row of an odd side, as with ceil_mode.

Loses: q2 q4 q5 q6
"""


# %% q2
def feature_map_shapes(column, height, width):
    shapes, channels = [], None
    for entry in column:
        if entry == "maxpool":
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((channels, height, width))
        elif entry != "LRN":
            channels = int(entry.split("-")[1])
    return shapes
