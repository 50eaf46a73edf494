"""Every VGG of the paper, with today's normalisations and heads."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from vgglab.models.configs import HIDDEN_FEATURES, NUM_CLASSES, Config, Conv, get_config
from vgglab.models.heads import HEADS, Head

Norm: TypeAlias = Literal["batch", "group", "layer", "lrn"]
NORMS = (None, "batch", "group", "layer", "lrn")

_GROUP = 8

PRETRAINED_HEADS = ("fc", "fc-fixed", "conv")


class VGG(nn.Module):
    """A stack of 3x3 convolutions and a head.

    The names of its parts are torchvision's: ``features``, ``avgpool``, ``classifier``.
    Build one with `vgg`.
    """

    def __init__(self, features: nn.Sequential, head: Head) -> None:
        super().__init__()
        self.features = features
        self.avgpool = head.avgpool
        self.flatten = head.flatten
        self.classifier = head.classifier

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (N, 512, H // 32, W // 32)
        x = self.avgpool(x)  # (N, 512, 7, 7) with the head "fc"
        x = self.flatten(x)  # (N, 25088)
        logits: Tensor = self.classifier(x)  # (N, num_classes)
        return logits


def vgg(
    config: str = "D",
    *,
    norm: Norm | None = None,
    head: str = "fc",
    num_classes: int = NUM_CLASSES,
    in_channels: int = 3,
    width: float = 1.0,
    dropout: float = 0.5,
    weights: str | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> VGG:
    """Build a VGG network.

    A, B, D and E without normalisation or with ``norm="batch"`` and with the head ``"fc"`` have
    torchvision's state_dict keys and shapes.

    Parameters
    ----------
    config
        A letter of Table 1 of the paper: ``"A"``, ``"A-LRN"``, ``"B"``, ``"C"``, ``"D"``, ``"E"``.
    norm
        ``None``; ``"batch"``, ``"group"``, ``"layer"``: BatchNorm, GroupNorm with groups of eight
        channels, or LayerNorm over a whole map, between each convolution and its ReLU; ``"lrn"``:
        local response normalisation after each ReLU. A-LRN has one LRN layer whatever `norm` says.
    head
        From the feature map to the logits: ``"fc"`` (adaptive pooling to 7x7, then three FC
        layers), ``"fc-fixed"`` (no pooling: the paper's, only for a 7x7 map), ``"conv"`` (the FC
        layers as convolutions, scores averaged), ``"gap"`` (global average pooling), ``"spp"``
        (spatial pyramid pooling).
    num_classes, in_channels
        Number of logits, and of channels of the input image.
    width
        Factor on the number of channels and of hidden features, for small machines.
    dropout
        Probability of dropout in the head.
    weights
        ``None`` for random weights, or the name of a set of torchvision's, such as
        ``"IMAGENET1K_V1"``: downloaded by torchvision at first use and kept in torch's hub folder.
    device, dtype
        Where the parameters live and their type; ``device="meta"`` takes no memory.

    Returns
    -------
    VGG
        In train mode. Input (N, in_channels, H, W), output logits (N, num_classes).

    Raises
    ------
    ValueError
        If an argument is not one of those above, or if torchvision has no such weights for this
        network.
    TypeError
        If `num_classes` or `in_channels` is no integer.
    ConnectionError
        If the weights are not there and cannot be downloaded.

    Notes
    -----
    Weights are initialised as in torchvision: convolutions by He's normal initialisation with
    ``mode="fan_out"`` (https://arxiv.org/abs/1502.01852, section 2.2); linear layers, also those
    written as convolutions, from a normal distribution with standard deviation 0.01; biases 0.
    """
    table_column = get_config(config)
    if norm not in NORMS:
        accepted = ", ".join(map(repr, NORMS))
        raise ValueError(f"norm must be one of {accepted}; got {norm!r}")
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}; got {head!r}")
    _positive_int("num_classes", num_classes)
    _positive_int("in_channels", in_channels)
    if not isinstance(width, int | float) or not 0 < width < float("inf"):
        raise ValueError(f"width must be a number above 0; got {width!r}")
    if not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be between 0 and 1; got {dropout!r}")

    state_dict = None
    if weights is not None:
        _check_pretrained(head, num_classes, in_channels, width)
        state_dict = _load_pretrained(table_column, norm, weights)

    # Pretrained weights replace the random ones, so those are never drawn.
    # Up to torch 2.7, get_default_device() does not see the device of a with statement.
    with torch.device("meta" if state_dict else device or torch.empty(0).device):
        features, channels = _features(table_column, norm, in_channels, width)
        model = VGG(
            features, HEADS[head](channels, _scaled(HIDDEN_FEATURES, width), num_classes, dropout)
        )
        if not next(model.parameters()).is_meta:
            _initialise(model)
    if state_dict is not None:
        reshaped = {
            name: state_dict[name].reshape(tensor.shape)
            for name, tensor in model.state_dict().items()
        }
        model.load_state_dict(reshaped, assign=True)
    return model.to(device=device, dtype=dtype)


def _features(
    config: Config, norm: Norm | None, in_channels: int, width: float
) -> tuple[nn.Sequential, int]:
    """Return the convolutional part and the number of channels of its output."""
    layers: list[nn.Module] = []
    channels = in_channels
    for layer in config.layers():
        if layer == "maxpool":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        elif layer == "LRN":
            if norm != "lrn":
                layers.append(_local_response_norm())
        elif isinstance(layer, Conv):
            out_channels = _scaled(layer.out_channels, width)
            kernel_size = layer.kernel_size
            layers.append(nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2))
            if norm in _BEFORE_RELU:
                layers.append(_BEFORE_RELU[norm](out_channels))
            layers.append(nn.ReLU(inplace=True))
            if norm == "lrn":
                layers.append(_local_response_norm())
            channels = out_channels
    return nn.Sequential(*layers), channels


def _group_norm(channels: int) -> nn.GroupNorm:
    # Eight channels a group, as GroupNorm's 32 groups have in 256 channels (Wu and He, 2018,
    # https://arxiv.org/abs/1803.08494, section 3.1); one group where they do not go in.
    return nn.GroupNorm(channels // _GROUP if channels % _GROUP == 0 else 1, channels)


def _layer_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, channels)


_BEFORE_RELU: Mapping[str | None, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": _group_norm,
    "layer": _layer_norm,
}


def _local_response_norm() -> nn.LocalResponseNorm:
    # The paper takes AlexNet's n = 5, k = 2, alpha = 1e-4, beta = 0.75, and does not say in which
    # formula. AlexNet's does not divide alpha by n, torch's and Caffe's do: hence the factor 5.
    return nn.LocalResponseNorm(size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def _initialise(model: VGG) -> None:
    for module in model.features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    for module in model.classifier.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, mean=0.0, std=0.01)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _scaled(count: int, width: float) -> int:
    return max(1, round(count * width))


def _positive_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer; got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1; got {value}")


def _check_pretrained(head: str, num_classes: int, in_channels: int, width: float) -> None:
    if head not in PRETRAINED_HEADS:
        raise ValueError(
            f"weights exist for the heads {', '.join(PRETRAINED_HEADS)}; got head={head!r}"
        )
    for name, value, needed in (
        ("num_classes", num_classes, NUM_CLASSES),
        ("in_channels", in_channels, 3),
        ("width", width, 1.0),
    ):
        if value != needed:
            raise ValueError(f"weights need {name}={needed}; got {name}={value}")


def _load_pretrained(config: Config, norm: Norm | None, weights: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    if config.nickname is None or norm not in (None, "batch"):
        raise ValueError(
            "weights exist for the configs A, B, D and E with norm None or 'batch'; "
            f"got config={config.name!r}, norm={norm!r}"
        )
    name = config.nickname + ("_bn" if norm == "batch" else "")
    # vgg16 also has weights for its features alone; they come without a classifier.
    available = {w.name: w for w in get_model_weights(name) if "_FEATURES" not in w.name}
    if weights not in available:
        raise ValueError(
            f"weights for {name} must be one of {', '.join(available)}; got {weights!r}"
        )
    chosen = available[weights]
    try:
        state_dict: dict[str, Tensor] = chosen.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True
        )
    except OSError as error:
        raise ConnectionError(
            f"weights {weights!r} for {name} could not be fetched from {chosen.url} ({error}); "
            f"go online once, or put the file into {torch.hub.get_dir()}/checkpoints"
        ) from error
    return state_dict
