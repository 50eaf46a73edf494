"""The gradient is taken of the network as it is, with max poolings, ReLUs and both signs.

Loses: q4
"""


# %% q4
def measured_box(network, image_size, cell):
    convs = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    channels = convs[0].in_channels if convs else 1
    image = torch.rand(1, channels, *image_size, requires_grad=True)
    output = network(image)[0, :, cell[0], cell[1]].sum()
    (gradient,) = torch.autograd.grad(output, image)
    seen = gradient[0].abs().sum(dim=0) > 0
    if not seen.any():
        return None
    rows, columns = (seen.any(dim=1 - axis).nonzero().flatten().tolist() for axis in (0, 1))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
