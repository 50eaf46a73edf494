"""The box ends at its last row and column, not after them.

Loses: q3
"""


# %% q3
def box(layers, cell, image_size, clip=True):
    sides = []
    for axis in (0, 1):
        size, stride, start = receptive_field([[pair[axis] for pair in layer] for layer in layers])
        first = start + cell[axis] * stride
        last = first + size - 1
        if clip:
            first, last = max(first, 0), min(last, image_size[axis] - 1)
            if first > last:
                return None
        sides.append((first, last))
    (top, bottom), (left, right) = sides
    return top, left, bottom, right
