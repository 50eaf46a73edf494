"""Where feature maps become rows of features: the place of every conversion."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, TypeAlias

from torch import nn

from vgglab.arguments import check_model
from vgglab.convert.chain import (
    Chain,
    Part,
    assemble,
    is_traced_later,
    sequential,
    unroll,
)
from vgglab.convert.dry_run import dry_run, image_batch
from vgglab.pooling import SpatialPyramidPool
from vgglab.tracing import Shape, Trace
from vgglab.valid_sizes import valid_sizes

ADAPTIVE_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
POOLS = (*ADAPTIVE_POOLS, nn.AvgPool2d)

MapShape: TypeAlias = tuple[int, int, int]


class Layer(NamedTuple):
    """A linear layer and its path."""

    path: str
    linear: nn.Linear


@dataclass(frozen=True)
class Split:
    """A network, cut where its last feature maps are flattened.

    Attributes
    ----------
    chain
        The whole network.
    backbone
        Its parts that make the feature maps.
    pooling
        Average and adaptive pooling right before the flatten, with the dropout after it.
    flatten
        An ``nn.Flatten`` or a `vgglab.pooling.SpatialPyramidPool`.
    before
        Parts between the flatten and the first linear layer.
    first
        The first linear layer.
    hidden
        Parts after it up to the last linear layer, that one included; empty if it is the last.
    after
        Parts after the last linear layer.
    """

    chain: Chain
    backbone: list[Part]
    pooling: list[Part]
    flatten: Part
    before: list[Part]
    first: Layer
    hidden: list[Part]
    after: list[Part]

    @property
    def maps(self) -> list[Part]:
        """All parts before the flatten."""
        return [*self.backbone, *self.pooling]

    @property
    def last(self) -> Layer:
        """The last linear layer, which may be the first."""
        path, linear = (self.hidden or [self.first])[-1]
        assert path is not None
        assert isinstance(linear, nn.Linear)
        return Layer(path, linear)

    def map_shape(self, parts: Iterable[Part], size: Shape) -> MapShape:
        """Return the shape (C, H, W) in which images of `size` leave `parts`.

        Raises
        ------
        ValueError
            If they do not get through.
        """
        result = self.dry_run(parts, size)
        if result.failure is not None:
            raise ValueError(
                f"input_size must be one that the feature layers take; {sides(size[2:])} stops in "
                f"{result.failure.path} ({result.failure.type}): {result.failure.message}"
            )
        shape = result.output_shapes[0]
        if len(shape) != 4:
            raise ValueError(f"model must flatten maps of shape (N, C, H, W); it flattens {shape}")
        return shape[1], shape[2], shape[3]

    def dry_run(self, parts: Iterable[Part], size: Shape) -> Trace:
        """Run some of the parts, without computing anything."""
        parts = tuple(parts)
        if not {module for _, module in parts} <= {*self.chain.parts.values()}:
            return dry_run(self._network(parts), size)
        key = parts, size
        if key not in self.chain.runs:
            self.chain.runs[key] = dry_run(self._network(parts), size)
        return self.chain.runs[key]

    def _network(self, parts: Iterable[Part]) -> nn.Sequential:
        return sequential(self.chain.model, {str(path): module for path, module in parts})

    def misfit(self, maps: Iterable[Part], size: Shape, got: MapShape) -> ValueError:
        """Return the error for maps that do not have as many features as the first layer takes."""
        path, linear = self.first
        return ValueError(
            f"input_size must give the {linear.in_features} features that {path} takes; "
            f"{sides(size[2:])} gives {sides(got)} = {prod(got)}.{self.sizes_that_fit(maps, size)}"
        )

    def sizes_that_fit(self, maps: Iterable[Part], size: Shape) -> str:
        """Say for which images `maps` give the features that the first linear layer takes."""
        if is_traced_later():
            return ""  # nobody reads it
        parts = [*maps, self.flatten, *self.before, self.first]
        network = self._network(parts)
        sizes = valid_sizes(network, dry_run(network, size))
        return f" Sizes that work: {sizes}." if sizes else ""

    def build(self, parts: Iterable[Part], size: Shape | None = None) -> nn.Sequential:
        """Return a network of copies of parts of this one, and of the new ones among `parts`.

        Raises
        ------
        ValueError
            If it does not run at `size`, by default the size at which this one ran.
        """
        network = assemble(self.chain, parts)
        if is_traced_later():
            return network
        failure = dry_run(network, size or self.chain.size).failure
        if failure is not None:
            raise ValueError(
                "model must have other layers that fit the new ones; the network would stop in "
                f"{failure.path} ({failure.type}): {failure.message}"
            )
        return network


def find_split(model: nn.Module, size: Shape | None = None) -> Split:
    """Cut a network where its last feature maps are flattened.

    Parameters
    ----------
    model
        The network.
    size
        Shape of the input, from `vgglab.convert.dry_run.image_batch`; by default that of any image
        at which the network runs.

    Raises
    ------
    TypeError
        If `model` is no module.
    ValueError
        If it cannot be taken apart, or it has no feature maps or no linear layer after them.
    """
    model = check_model("model", model)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if not convolutions:
        raise ValueError(
            f"model must be a convolutional network; {type(model).__name__} has no Conv2d"
        )
    usual = (1, convolutions[0].in_channels, 224, 224)
    chain = unroll(model, size or image_batch(usual), at_any=size is None)
    parts = list(chain.parts.items())
    modules = [module for _, module in parts]
    cuts = [k for k, m in enumerate(modules) if isinstance(m, nn.Flatten | SpatialPyramidPool)]
    cut = cuts[-1] if cuts else len(parts)
    layers = [k for k, m in enumerate(modules) if k > cut and isinstance(m, nn.Linear)]
    if not layers:
        kinds = ", ".join(type(module).__name__ for module in modules[-3:])
        raise ValueError(
            "model must flatten its feature maps and have a linear layer after that; "
            f"{type(model).__name__} ends with {kinds}"
        )
    start = cut
    while start and isinstance(modules[start - 1], (*POOLS, nn.Dropout)):
        start -= 1
    while isinstance(modules[start], nn.Dropout):
        start += 1
    first, last = layers[0], layers[-1]
    path, linear = parts[first]
    assert isinstance(linear, nn.Linear)
    return Split(
        chain,
        backbone=[*parts[:start]],
        pooling=[*parts[start:cut]],
        flatten=parts[cut],
        before=[*parts[cut + 1 : first]],
        first=Layer(path, linear),
        hidden=[*parts[first + 1 : last + 1]],
        after=[*parts[last + 1 :]],
    )


def sides(shape: Sequence[int]) -> str:
    """Write a shape as people do: 512×7×7."""
    return "×".join(map(str, shape))


def require_flatten(split: Split) -> None:
    """Raise a ValueError for a network that pools its maps into a pyramid and does not flatten."""
    path, module = split.flatten
    if not isinstance(module, nn.Flatten):
        raise ValueError(
            "model must flatten its feature maps, cell by cell, before the first linear layer; "
            f"{path} pools them into a pyramid"
        )
