"""Gradients are off, and that is taken for eval mode.

Loses: q2
"""


# %% q2
def shift(images, dy, dx):
    height, width = images.shape[-2:]
    dy, dx = (max(-n, min(n, d)) for n, d in ((height, dy), (width, dx)))
    return F.pad(images, (dx, -dx, dy, -dy))


def shifted_accuracy(model, images, labels, distances):
    found = {}
    with torch.no_grad():
        for distance in distances:
            right = model(shift(images, 0, distance)).argmax(dim=1) == labels
            found[distance] = right.double().mean().item()
    return found
