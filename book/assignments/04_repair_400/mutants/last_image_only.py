"""The distance of the last image is returned, not the largest.

Loses: q5
"""


# %% q5
def distance(before, after, images):
    networks = [copy.deepcopy(network).double().eval() for network in (before, after)]
    for image in images:
        try:
            with torch.no_grad():
                a, b = (network(image.double()) for network in networks)
        except RuntimeError:
            return math.inf
        a, b = (y.flatten(1) if y.shape[2:] == (1, 1) else y for y in (a, b))
        if a.shape != b.shape:
            return math.inf
        found = ((b - a).norm() / a.norm()).item()
    return found
