"""The caller's weights are set to one for the measurement, and stay so.

Loses: q4
"""


# %% q4
def measured_box(network, image_size, cell):
    layers, channels = [], None
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            channels = channels or layer.in_channels
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers.append(layer)
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding))
    image = torch.ones(1, channels or 1, *image_size, requires_grad=True)
    nn.Sequential(*layers)(image)[0, :, cell[0], cell[1]].sum().backward()
    seen = image.grad[0].sum(dim=0) > 0
    if not seen.any():
        return None
    rows, columns = (seen.any(dim=1 - axis).nonzero().flatten().tolist() for axis in (0, 1))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
