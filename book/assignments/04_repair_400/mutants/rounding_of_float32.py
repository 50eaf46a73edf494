"""The networks are compared as they are, in float32 where that is their dtype.

Loses: q5
"""


# %% q5
def distance(before, after, images):
    networks = [copy.deepcopy(network).eval() for network in (before, after)]
    largest = 0.0
    for image in images:
        try:
            with torch.no_grad():
                a, b = (network(image.to(next(network.parameters()).dtype)) for network in networks)
        except RuntimeError:
            return math.inf
        a, b = (y.flatten(1) if y.shape[2:] == (1, 1) else y for y in (a, b))
        if a.shape != b.shape:
            return math.inf
        largest = max(largest, ((b - a).norm() / a.norm()).item())
    return largest
