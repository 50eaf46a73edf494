"""Networks that several tests and benchmarks look at."""

import torch
from torch import nn
from torchvision.models import get_model


def torchvision_network(name: str, device: str = "cpu") -> nn.Module:
    """Build a network of torchvision without its warning about slow initialisation."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device(device):
        return get_model(name, **options)


def asker_network(device: str = "cpu") -> nn.Module:
    """Build the network of the 400x400 question: 333 M parameters, the features frozen."""
    with torch.device(device):
        return nn.Sequential(
            *get_model("vgg16").features.requires_grad_(False),
            nn.Conv2d(512, 4096, 12),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(4096, 4096, 1),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(4096, 3, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Softmax(1),
        )
