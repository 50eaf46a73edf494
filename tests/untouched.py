"""The promise that nothing of the caller's changes: all that could, before and after."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn


def everything(model):
    """All that a caller could see of a model and of the random generators."""
    modules = dict(model.named_modules())
    return {
        "tensors": {
            name: (id(tensor), tensor.device, tensor.dtype, tensor._version, tensor.requires_grad)
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        },
        "values": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "attributes": {
            name: {key: id(item) for key, item in vars(module).items()}
            for name, module in modules.items()
        },
        "hooks": {
            name: [list(item) for key, item in vars(module).items() if key.endswith("_hooks")]
            for name, module in modules.items()
        },
        "training": {name: module.training for name, module in modules.items()},
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "rng": (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        "global": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()),
    }


def assert_unchanged(before, model):
    after = everything(model)
    values, values_after = before.pop("values"), after.pop("values")
    assert before == after
    for name, value in values.items():
        assert torch.equal(value, values_after[name]), name


class Careless(nn.Module):
    """Changes itself in every forward, draws random numbers, keeps its activations."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("average", torch.zeros(4))
        self.steps = 0
        self.kept = []
        self.scale = torch.ones(1)

    def forward(self, x):
        self.steps += 1
        x = self.norm(self.conv(x)) + torch.rand(1) * self.scale
        self.average = 0.9 * self.average + 0.1 * x.mean((0, 2, 3))
        self.kept.append(x)
        self.last = x
        return x + random.random() + np.random.rand()
