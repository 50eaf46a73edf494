"""What leaves the image on one side comes back on the other.

Loses: q2
"""


# %% q2
def shift(images, dy, dx):
    return torch.roll(images, (dy, dx), dims=(-2, -1))


def shifted_accuracy(model, images, labels, distances):
    training, found = model.training, {}
    model.eval()
    with torch.no_grad():
        for distance in distances:
            right = model(shift(images, 0, distance)).argmax(dim=1) == labels
            found[distance] = right.double().mean().item()
    model.train(training)
    return found
