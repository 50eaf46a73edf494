"""What probes call besides the answers."""

from itertools import pairwise

from torch import nn


def probe_mode(module, training):
    """Return a network in train mode or in eval mode."""
    return module.train(training)


def probe_double(module):
    """Return a network in float64."""
    return module.double()


def probe_chain(*modules):
    """Return modules in a row."""
    return nn.Sequential(*modules)


def probe_linear(inputs, outputs, bias=True):
    """Return a linear layer in float64."""
    return nn.Linear(inputs, outputs, bias=bias).double()


def probe_classifier(*sizes, bias=True):
    """Return linear layers in float64, with ReLUs between them."""
    layers = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def probe_pool(rows, columns):
    """Return an adaptive average pooling."""
    return nn.AdaptiveAvgPool2d((rows, columns))


def probe_flatten():
    """Return a layer that flattens a map."""
    return nn.Flatten()


def probe_adaptive(module):
    """Tell whether there is an adaptive pooling in a network."""
    return any("Adaptive" in type(layer).__name__ for layer in module.modules())


def probe_hooks(module):
    """Count the hooks on a network."""
    layers = module.modules()
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in layers)


def probe_dtype(module):
    """Return the dtype of a network's parameters."""
    return next(module.parameters()).dtype


def probe_map(module):
    """Return a network whose scores are a map of one cell."""
    return nn.Sequential(module, nn.Unflatten(1, (-1, 1, 1)))


class ProbeRounded(nn.Module):
    """A network with one rounding more."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Return the scores, with a large number added and taken away again."""
        return (self.network(x) + 1000) - 1000
