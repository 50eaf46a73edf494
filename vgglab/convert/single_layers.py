"""Repairs of single layers, for networks that cannot be taken apart into a chain.

Each returns a copy of the network, of the same class, in which one layer is exchanged or gets its
input in another form. What stands before and after that layer may be any code.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgglab.arguments import check_integer, check_model
from vgglab.tracing.copies import real_copy

_POOLS: Mapping[int, Any] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
_MODES: Mapping[int, str] = {1: "linear", 2: "bilinear", 3: "trilinear"}


class PoolFeatures:
    """A hook before a layer of features: pools the map that they came from to another size.

    Parameters
    ----------
    came
        Channels and sides of the map that was flattened.
    wanted
        Sides of the map that the layer takes.
    """

    def __init__(self, came: Sequence[int], wanted: Sequence[int]) -> None:
        self.came, self.wanted = tuple(came), tuple(wanted)

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        rows, *others = args
        if rows.shape[-1] != prod(self.came):
            return args
        maps = rows.reshape(-1, *self.came)  # (N, C, sides that came)
        pooled: Tensor = _POOLS[len(self.wanted)](maps, self.wanted)
        return (pooled.reshape(*rows.shape[:-1], -1), *others)


class ResizeInputs:
    """A hook before a network: resizes the images, clips or volumes among its inputs.

    Parameters
    ----------
    size
        Their last sides afterwards: height and width, say.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(size)

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(self._resized, args)), {k: self._resized(x) for k, x in kwargs.items()}

    def _resized(self, value: Any) -> Any:
        axes = len(self.size)
        if not isinstance(value, Tensor) or value.dim() < axes + 2:
            return value
        maps = value.flatten(0, -axes - 2)  # (N, C, sides), also of a clip of frames
        resized = F.interpolate(maps, self.size, mode=_MODES[axes], antialias=axes == 2)
        return resized.unflatten(0, value.shape[: -axes - 1])


KEPT = "as_it_was"
"""Name of the layer that goes on beside a new one, in `ByDimensions`."""


class ByDimensions(nn.Module):
    """Two layers in the place of one: the new one takes inputs of so many dimensions.

    Parameters
    ----------
    layer
        Takes all others.
    new
        The new layer.
    dimensions
        Of the inputs that it takes.
    """

    def __init__(self, layer: nn.Module, new: nn.Module, dimensions: int) -> None:
        super().__init__()
        self.add_module(KEPT, layer)
        self.new, self.dimensions = new, dimensions

    def forward(self, x: Tensor) -> Tensor:
        layer = self.new if x.dim() == self.dimensions else self.get_submodule(KEPT)
        return layer(x)  # type: ignore[no-any-return]


class FlattenFirst:
    """A hook before a layer of features: flattens the maps that come."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        maps, *others = args
        return (maps.flatten(1), *others)


def with_pooled_features(
    model: nn.Module, layer: str, came: Sequence[int], wanted: Sequence[int]
) -> nn.Module:
    """Pool the map whose features a layer reads, whatever laid it out in rows.

    Parameters
    ----------
    model
        Any network.
    layer
        Path of the layer that reads the features.
    came
        Channels and sides of the map at the input size that is to be taken, such as
        ``(512, 12, 12)``.
    wanted
        Sides of the map that the layer was made for, such as ``(7, 7)``.

    Returns
    -------
    torch.nn.Module
        A copy with the old state_dict. Features of another number than those of `came` pass as
        they are, so at input sizes that `model` takes it is the same function.

    Raises
    ------
    TypeError
        If `model` is no module.
    ValueError
        If there is no such layer, or the sides are of different dimensions.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 8, 2))
    >>> with_pooled_features(network, "2", (4, 18), (8,))(torch.zeros(5, 1, 20)).shape
    torch.Size([5, 2])
    """
    if len(came) != len(wanted) + 1 or len(wanted) not in _POOLS:
        raise ValueError(
            "came must be channels and sides, and wanted as many sides, 1 to 3; "
            f"got {came!r} and {wanted!r}"
        )
    network = real_copy(check_model("model", model), hooks=True)
    _layer(network, layer).register_forward_pre_hook(PoolFeatures(came, wanted))
    return network


def with_resized_inputs(model: nn.Module, size: Sequence[int]) -> nn.Module:
    """Resize all images that a network reads, several of them or keyword arguments too.

    Parameters
    ----------
    model
        Any network.
    size
        Height and width in pixels that it is to see; one side for signals, three for volumes.

    Returns
    -------
    torch.nn.Module
        A copy with the old state_dict. Its inputs of at least two dimensions more than `size` are
        resized, with antialiasing if they are images; all others pass as they are.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `size` has not 1 to 3 sides.

    Examples
    --------
    >>> network = with_resized_inputs(nn.Bilinear(4, 4, 2), (2, 4))
    >>> network(torch.zeros(1, 1, 2, 8), torch.zeros(1, 1, 2, 8)).shape
    torch.Size([1, 1, 2, 2])
    """
    if not isinstance(size, Sequence) or len(size) not in _MODES:
        raise ValueError(f"size must have 1 to 3 sides; got {size!r}")
    size = [check_integer("size", side, minimum=1) for side in size]
    network = real_copy(check_model("model", model), hooks=True)
    network.register_forward_pre_hook(ResizeInputs(size), with_kwargs=True)
    return network


def with_new_linear(model: nn.Module, layer: str, in_features: int) -> nn.Module:
    """Replace a linear layer by a new one for another number of features.

    Parameters
    ----------
    model
        Any network.
    layer
        Path of the linear layer.
    in_features
        Number of features of the new one.

    Returns
    -------
    torch.nn.Module
        A copy; the new layer has random weights, and as many outputs as the old one.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If there is no such layer, or it is no linear one.

    Examples
    --------
    >>> with_new_linear(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "1", 6)[1]
    Linear(in_features=6, out_features=2, bias=True)
    """
    in_features = check_integer("in_features", in_features, minimum=1)
    network = real_copy(check_model("model", model), hooks=True)
    old = _layer(network, layer)
    if type(old) is not nn.Linear:
        raise ValueError(f"layer must be an nn.Linear; {layer!r} is a {type(old).__name__}")
    return _replaced(network, layer, fresh_linear(old, in_features, old.out_features))


def with_second_layer(model: nn.Module, layer: str, new: nn.Module, dimensions: int) -> nn.Module:
    """Put a new layer beside one that cannot take inputs of so many dimensions.

    That is what a network needs in which one layer stands in two places: a BatchNorm1d between
    linear layers that is also given maps, because a second one was stored under its name.

    Parameters
    ----------
    model
        Any network.
    layer
        Path of the layer that there is.
    new
        The layer for inputs of `dimensions` dimensions; the old one goes on with all others.
    dimensions
        How many: 4 for maps with a batch.

    Returns
    -------
    torch.nn.Module
        A copy. In its state_dict the old layer is ``as_it_was``, under the old path.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If there is no such layer.

    Examples
    --------
    >>> norm = nn.Sequential(nn.BatchNorm1d(3))
    >>> repaired = with_second_layer(norm, "0", nn.BatchNorm2d(3), 4)
    >>> [tuple(repaired(torch.zeros(2, 3, *sides)).shape) for sides in ((), (5, 5))]
    [(2, 3), (2, 3, 5, 5)]
    """
    new = real_copy(check_model("new", new), hooks=True)
    dimensions = check_integer("dimensions", dimensions, minimum=1)
    network = real_copy(check_model("model", model), hooks=True)
    old = _layer(network, layer)
    like = next((x for x in (*old.parameters(), *old.buffers()) if x.is_floating_point()), None)
    if like is not None:
        new = new.to(like.device, like.dtype)
    for module in new.modules():
        module.is_fresh = True  # type: ignore[assignment]  # as in `fresh_linear`
    both = ByDimensions(old, new, dimensions).train(old.training)
    return _replaced(network, layer, both)


def with_in_channels(model: nn.Module, in_channels: int) -> nn.Module:
    """Let a network take images with another number of channels, with the weights it has.

    Parameters
    ----------
    model
        Any network whose first convolution reads the image.
    in_channels
        Number of channels that come.

    Returns
    -------
    torch.nn.Module
        A copy whose first convolution has other weights: on images of equal channels it gives what
        the old network gives on them. For fewer channels they are the sum over the old ones, in
        equal parts; for more they are repeated, and divided by how often.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If there is no convolution, or its channels are in groups.

    Examples
    --------
    >>> with_in_channels(nn.Sequential(nn.Conv2d(3, 8, 3)), 1)
    Sequential(
      (0): Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1))
    )
    """
    in_channels = check_integer("in_channels", in_channels, minimum=1)
    network = real_copy(check_model("model", model), hooks=True)
    first = next((m for m in network.modules() if type(m) in _CONVOLUTIONS), None)
    if not isinstance(first, _CONVOLUTIONS) or first.groups != 1:
        raise ValueError(
            f"model must begin with a convolution without groups; {type(model).__name__} does not"
        )
    weight = first.weight.detach()  # (out, C, kernel)
    old = weight.shape[1]
    if in_channels < old:
        new = weight.sum(1, keepdim=True).repeat_interleave(in_channels, 1) / in_channels
    else:
        picked = [k % old for k in range(in_channels)]
        columns = [weight[:, k : k + 1] / picked.count(k) for k in picked]
        new = torch.cat(columns, 1)
    first.weight = nn.Parameter(new, first.weight.requires_grad)
    first.in_channels = in_channels
    return network


def with_num_classes(model: nn.Module, num_classes: int, layer: str | None = None) -> nn.Module:
    """Give a network another number of classes: a new last layer.

    Parameters
    ----------
    model
        Any network that ends with a linear layer, or with a convolution that gives the scores.
    num_classes
        Number of scores.
    layer
        Path of that layer; by default the last linear one or, where there is none, the last
        convolution.

    Returns
    -------
    torch.nn.Module
        A copy; the new layer has random weights, all others keep theirs.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If there is no such layer.

    Examples
    --------
    >>> with_num_classes(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1000)), 10)[2]
    Linear(in_features=8, out_features=10, bias=True)
    """
    num_classes = check_integer("num_classes", num_classes, minimum=1)
    network = real_copy(check_model("model", model), hooks=True)
    path = last_layer(network) if layer is None else layer
    if path is None:
        raise ValueError(
            f"model must have an nn.Linear or a convolution; {type(model).__name__} has none"
        )
    last = _layer(network, path)
    if isinstance(last, nn.Linear):
        return _replaced(network, path, fresh_linear(last, last.in_features, num_classes))
    if type(last) in _CONVOLUTIONS and isinstance(last, _CONVOLUTIONS) and last.groups == 1:
        return _replaced(network, path, _fresh_convolution(last, num_classes))
    raise ValueError(
        f"layer must be an nn.Linear or a convolution without groups; {path!r} is a "
        f"{type(last).__name__}"
    )


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def last_layer(model: nn.Module) -> str | None:
    """Return the path of the last linear layer or, where there is none, the last convolution."""
    for kinds in ((nn.Linear,), _CONVOLUTIONS):
        paths: list[str] = [path for path, m in model.named_modules() if type(m) in kinds]
        if paths:
            return paths[-1]
    return None


def _fresh_convolution(
    like: nn.Conv1d | nn.Conv2d | nn.Conv3d, out_channels: int
) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """Return a convolution of the same kind with random weights, for so many channels."""
    kind: Any = type(like)
    convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d = kind(
        like.in_channels,
        out_channels,
        like.kernel_size,
        like.stride,
        like.padding,
        like.dilation,
        bias=like.bias is not None,
        padding_mode=like.padding_mode,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
    convolution.is_fresh = True  # type: ignore[assignment]  # as in `fresh_linear`
    return convolution.train(like.training)


def fresh_linear(like: nn.Linear, in_features: int, out_features: int) -> nn.Linear:
    """Return a linear layer of the same kind, with random weights."""
    linear = nn.Linear(
        in_features,
        out_features,
        bias=like.bias is not None,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
    linear.is_fresh = True  # type: ignore[assignment]  # for who counts the weights that are kept
    return linear.train(like.training)


def _layer(network: nn.Module, path: str) -> nn.Module:
    try:
        return network.get_submodule(path)
    except (AttributeError, RuntimeError):  # the latter of a scripted network
        raise ValueError(
            f"layer must be the path of a module of {type(network).__name__}; got {path!r}"
        ) from None


def _replaced(network: nn.Module, path: str, new: nn.Module) -> nn.Module:
    if not path:  # the network is the layer
        return new
    where, _, name = path.rpartition(".")
    network.get_submodule(where)._modules[name] = new
    return network
