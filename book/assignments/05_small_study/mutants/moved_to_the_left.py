"""The images are moved the other way.

Loses: q2
"""


# %% q2
def shift(images, dy, dx):
    return F.pad(images, (-dx, dx, -dy, dy))


def shifted_accuracy(model, images, labels, distances):
    training, found = model.training, {}
    model.eval()
    with torch.no_grad():
        for distance in distances:
            right = model(shift(images, 0, distance)).argmax(dim=1) == labels
            found[distance] = right.double().mean().item()
    model.train(training)
    return found
