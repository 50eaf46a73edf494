"""Other heads on the same feature maps: pooled to fit, averaged, in pyramids, or new."""

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from vgglab.arguments import as_pair, check_integer, check_model, check_sizes
from vgglab.convert.chain import Part, free_name
from vgglab.convert.dry_run import dry_run, image_batch, linear_that_stopped
from vgglab.convert.folding import pool_matrices
from vgglab.convert.single_layers import FlattenFirst, fresh_linear
from vgglab.convert.split import POOLS, Split, find_split, require_flatten, sides
from vgglab.pooling import SpatialPyramidPool
from vgglab.shapes import IntOrPair
from vgglab.tracing.copies import real_copy


def with_adaptive_pool(model: nn.Module, output_size: IntOrPair = (7, 7)) -> nn.Sequential:
    """Pool the feature maps to the size that the classifier takes, whatever comes.

    Parameters
    ----------
    model
        A convolutional network with fully connected layers at its end.
    output_size
        Height and width to pool to, or one number for both.

    Returns
    -------
    torch.nn.Sequential
        With an ``AdaptiveAvgPool2d`` right before the flatten, and the old state_dict. It replaces
        an average pooling that does the same to the map that the classifier wants, such as
        ``AvgPool2d(7)`` to 7x7 cells; else it comes after everything else. At inputs that `model`
        takes it is the same function, unless a pooling that is replaced left out rows or columns
        of the map there.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` is no such network, or its classifier takes another number of features.

    Examples
    --------
    >>> import torch
    >>> from vgglab import vgg
    >>> network = with_adaptive_pool(vgg("A", head="fc-fixed", width=1 / 16))
    >>> network(torch.zeros(1, 3, 400, 400)).shape
    torch.Size([1, 1000])
    """
    height, width = as_pair("output_size", output_size)
    pooled = (
        check_integer("output_size", height, minimum=1),
        check_integer("output_size", width, minimum=1),
    )
    split = find_split(model)
    features = (_channels(split), *pooled)
    path, linear = split.first
    if prod(features) != linear.in_features:
        raise ValueError(
            f"output_size must give the {linear.in_features} features that {path} takes; "
            f"{sides(pooled)} gives {sides(features)} = {prod(features)}"
        )
    pool = nn.AdaptiveAvgPool2d(pooled)
    maps = _pooled(split, pool)
    if not _same_average(split, maps[len(split.backbone) :]):
        maps = [*split.maps, (None, pool)]
    parts: list[Part] = [
        *maps,
        split.flatten if isinstance(split.flatten[1], nn.Flatten) else (None, nn.Flatten()),
        *split.before,
        split.first,
        *split.hidden,
        *split.after,
    ]
    return split.build(parts)


def with_gap_head(model: nn.Module, num_classes: int) -> nn.Sequential:
    """Average each channel over the whole map, then one new linear layer.

    Parameters
    ----------
    model
        A convolutional network with fully connected layers at its end.
    num_classes
        Number of scores.

    Returns
    -------
    torch.nn.Sequential
        The new layer has the name of the last linear layer, and random weights. What came after
        that one, such as a softmax, is kept.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` is no such network, or `num_classes` is below 1.

    Notes
    -----
    Source: M. Lin, Q. Chen and S. Yan, "Network In Network", https://arxiv.org/abs/1312.4400,
    section 3.2.

    Examples
    --------
    >>> from vgglab import vgg
    >>> with_gap_head(vgg("A", width=1 / 16), num_classes=10).classifier
    Sequential(
      (6): Linear(in_features=32, out_features=10, bias=True)
    )
    """
    num_classes = check_integer("num_classes", num_classes, minimum=1)
    split = find_split(model)
    parts: list[Part] = [
        *_pooled(split, nn.AdaptiveAvgPool2d(1)),
        (None, nn.Flatten()),
        (split.last.path, fresh_linear(split.last.linear, _channels(split), num_classes)),
        *split.after,
    ]
    return split.build(parts)


def with_spp_head(model: nn.Module, levels: Sequence[int], num_classes: int) -> nn.Sequential:
    """Pool the feature maps into grids of several sizes, and let the fully connected layers follow.

    Parameters
    ----------
    model
        A convolutional network with fully connected layers at its end.
    levels
        Side of each grid; see `vgglab.pooling.SpatialPyramidPool`.
    num_classes
        Number of scores.

    Returns
    -------
    torch.nn.Sequential
        The pyramid is in the place of the flatten and of an average or adaptive pooling before it.
        The first linear layer is new, with random weights and as many outputs as before, and so is
        the last if it had another number of outputs than `num_classes`; they have the names of the
        old ones. All other layers are kept.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` is no such network, or another argument is out of range.

    Notes
    -----
    Source: K. He, X. Zhang, S. Ren and J. Sun, "Spatial Pyramid Pooling in Deep Convolutional
    Networks for Visual Recognition", https://arxiv.org/abs/1406.4729, section 2.2.

    Examples
    --------
    >>> from vgglab import vgg
    >>> network = with_spp_head(vgg("A", width=1 / 16), (1, 2, 4), num_classes=10)
    >>> network.avgpool
    SpatialPyramidPool(levels=(1, 2, 4), mode='max')
    >>> network.classifier[0]
    Linear(in_features=672, out_features=256, bias=True)
    """
    num_classes = check_integer("num_classes", num_classes, minimum=1)
    pyramid = SpatialPyramidPool(levels)
    split = find_split(model)
    first, last, hidden = split.first, split.last, split.hidden
    outputs = first.linear.out_features if hidden else num_classes
    new_first = fresh_linear(first.linear, _channels(split) * pyramid.bins, outputs)
    if hidden and last.linear.out_features != num_classes:
        new_last = fresh_linear(last.linear, last.linear.in_features, num_classes)
        hidden = [*hidden[:-1], (last.path, new_last)]
    parts: list[Part] = [
        *_pooled(split, pyramid),
        *split.before,
        (first.path, new_first),
        *hidden,
        *split.after,
    ]
    return split.build(parts)


def with_new_fc(model: nn.Module, input_size: Sequence[int]) -> nn.Sequential:
    """Replace the first fully connected layer by a new one for images of another size.

    Parameters
    ----------
    model
        A convolutional network with fully connected layers at its end.
    input_size
        Shape of the input, such as ``(1, 3, 400, 400)``.

    Returns
    -------
    torch.nn.Sequential
        The new layer has the name and the number of outputs of the old one, and random weights.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `model` is no such network, or the old layer fits already.

    Examples
    --------
    >>> from vgglab import vgg
    >>> network = vgg("A", head="fc-fixed", width=1 / 16)
    >>> with_new_fc(network, (1, 3, 400, 400)).classifier[0]
    Linear(in_features=4608, out_features=256, bias=True)
    """
    size = image_batch(input_size)
    split = find_split(model, size)
    require_flatten(split)
    path, linear = split.first
    features = prod(split.map_shape(split.maps, size))
    if features == linear.in_features:
        raise ValueError(
            f"input_size must be one that {path} does not fit; {sides(size[2:])} gives the "
            f"{features} features that it takes"
        )
    parts: list[Part] = [
        *split.maps,
        split.flatten,
        *split.before,
        (path, fresh_linear(linear, features, linear.out_features)),
        *split.hidden,
        *split.after,
    ]
    return split.build(parts, size)


def with_flatten(
    model: nn.Module, input_size: Sequence[int] | Sequence[Sequence[int]]
) -> nn.Module:
    """Put the flatten in that is missing before linear layers, or that took the batch as well.

    Parameters
    ----------
    model
        A network whose forward stops in a linear layer that gets a feature map, or that comes
        after an ``nn.Flatten`` from dimension 0 on.
    input_size
        Shape of the input, such as ``(1, 3, 224, 224)``, or a list of shapes for several inputs.

    Returns
    -------
    torch.nn.Module
        Of the same class, with an ``nn.Flatten`` before that layer or, where the layer is not in an
        ``nn.Sequential``, a hook that flattens what it gets. The state_dict is as it was.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If the forward ends, or stops elsewhere, or would stop with a flatten too.

    Examples
    --------
    >>> from torch import nn
    >>> from vgglab import vgg
    >>> parts = vgg("A", width=1 / 16)
    >>> network = nn.Sequential(parts.features, parts.avgpool, parts.classifier)
    >>> with_flatten(network, (1, 3, 224, 224))[2][0]
    Flatten(start_dim=1, end_dim=-1)
    """
    model = check_model("model", model)
    sizes = [(max(size[0], 2), *size[1:]) for size in check_sizes("input_size", input_size)]
    before = dry_run(model, sizes)
    stopped = linear_that_stopped(model, before)
    network = real_copy(model, hooks=True)
    whole = [m for m in network.modules() if isinstance(m, nn.Flatten) and m.start_dim == 0]
    if stopped is None or (len(stopped[1]) == 2 and not whole):
        found = "runs" if before.failure is None else f"stops otherwise: {before.failure.message}"
        raise ValueError(
            "model must stop in a linear layer that gets maps and no rows of features; "
            f"{type(model).__name__} {found} at {sides(sizes[0][2:])}"
        )
    for flatten in whole:
        flatten.start_dim = 1
    if not whole:
        _put_flatten(network, stopped[0])
    after = dry_run(network, sizes)
    further = linear_that_stopped(network, after)
    if not whole and further is not None and len(further[1]) > 2:  # a second head
        return with_flatten(network, input_size)
    if after.failure is not None:
        raise ValueError(
            f"input_size must be one at which a flatten is all that is missing; at "
            f"{sides(sizes[0][2:])} the network would stop in {after.failure.path} "
            f"({after.failure.type}): {after.failure.message}"
        )
    return network


def _put_flatten(network: nn.Module, path: str) -> None:
    where, _, name = path.rpartition(".")
    container = network.get_submodule(where)
    if not isinstance(container, nn.Sequential):
        network.get_submodule(path).register_forward_pre_hook(FlattenFirst())
        return
    children = list(container._modules.items())
    place = [child for child, _ in children].index(name)
    free = free_name("flatten", [child for child, _ in children])
    flatten = nn.Flatten().train(container.training)
    container._modules = dict([*children[:place], (free, flatten), *children[place:]])


def _pooled(split: Split, pool: nn.Module) -> list[Part]:
    """Return the parts before the flatten with `pool` in place of the last pooling, or added."""
    places = [k for k, (_, module) in enumerate(split.pooling) if isinstance(module, POOLS)]
    if not places:
        return [*split.backbone, (None, pool)]
    last = places[-1]
    pool.train(split.chain.model.training)
    return [
        *split.backbone,
        *split.pooling[:last],
        (split.pooling[last][0], pool),
        *split.pooling[last + 1 :],
    ]


def _same_average(split: Split, pools: list[Part]) -> bool:
    """Tell whether other pools average the maps as those of the network do where it runs."""
    if any(isinstance(module, nn.AdaptiveMaxPool2d) for _, module in split.pooling):
        return False
    _, height, width = split.map_shape(split.backbone, split.chain.size)
    with torch.device("cpu"):  # whatever the caller's default is
        old, new = (
            pool_matrices((pool for _, pool in parts), height, width)
            for parts in (split.pooling, pools)
        )
        return all(map(torch.equal, old, new))


def _channels(split: Split) -> int:
    return split.map_shape(split.maps, split.chain.size)[0]
