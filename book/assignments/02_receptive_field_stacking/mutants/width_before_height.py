"""Width and height are exchanged, as for those who think in x and y.

Loses: q3
"""


# %% q3
def box(layers, cell, image_size, clip=True):
    sides = []
    for axis in (0, 1):
        size, stride, start = receptive_field([[pair[axis] for pair in layer] for layer in layers])
        first = start + cell[axis] * stride
        stop = first + size
        if clip:
            first, stop = max(first, 0), min(stop, image_size[axis])
            if first >= stop:
                return None
        sides.append((first, stop))
    (left, right), (top, bottom) = sides
    return top, left, bottom, right
