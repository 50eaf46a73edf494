"""Judge of assignment 2: fields found by walking back cell by cell, kernels found by autograd."""

from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from vgglab.grading import Call, Probe, Randn, Ref
from vgglab.models.configs import CONFIGS

Axis = list[tuple[int, int, int, int]]
CONV, POOL = (3, 1, 1, 1), (2, 2, 0, 1)


def paper(config: str) -> Axis:
    """Return the windows of a column of Table 1 along one axis."""
    stages = CONFIGS[config].stages
    return [w for stage in stages for w in ([(3, 1, 1, 1)] * len(stage) + [POOL])]


def made_up(random: Random, length: int, dilations: tuple[int, ...] = (1, 2, 3)) -> Axis:
    """Return windows of all kinds, at least one of them with a stride."""
    windows = []
    for _ in range(length):
        kernel_size = random.choice((1, 2, 3, 4, 5, 7))
        stride = random.choice((1, 1, 2, 3))
        windows.append((kernel_size, stride, random.randrange(4), random.choice(dilations)))
    kernel_size, _, padding, dilation = windows[0]
    windows[0] = (max(kernel_size, 2), 2, padding, dilation)
    return windows


def two_axes(random: Random) -> list[list[tuple[int, int]]]:
    """Return four layers with settings that differ between the axes, all kinds of them."""
    strides = random.sample([(2, 1), (1, 3), (1, 1), (1, 1)], 4)
    dilations = random.sample([(1, 2), (2, 1), (1, 1), (1, 1)], 4)
    layers = []
    for stride, dilation in zip(strides, dilations, strict=True):
        kernel, padding = random.sample(range(2, 6), 2), random.sample(range(3), 2)
        layers.append([tuple(pair) for pair in (kernel, stride, padding, dilation)])
    return layers


def square(kernel_size: int, stride: int, padding: int, dilation: int = 1) -> list[tuple[int, int]]:
    """Return a layer that is the same along both axes."""
    return [(n, n) for n in (kernel_size, stride, padding, dilation)]


def variant(random: Random) -> dict[str, Any]:
    """Return the example of question 1, and a number of channels."""
    example = made_up(random, 4)
    return {
        "example": example,
        "example_stride": receptive_field(example)[1],
        "channels": random.randrange(5, 40),
    }


def probes(variant: dict[str, Any], random: Random) -> list[Probe]:
    """Return the hidden probes."""
    deep = [made_up(random, random.randrange(3, 6)) for _ in range(3)]
    dilated = [[(3, 1, d, d) for d in random.sample(range(1, 9), 3)] for _ in range(2)]
    layers = two_axes(random)
    size = (random.randrange(60, 80), random.randrange(90, 120))
    inside = [(random.randrange(2, 9), random.randrange(2, 9)) for _ in range(3)]
    # Convolutions and poolings as torch takes them: no pooling padded by more than half.
    kinds = "ccpccp"
    shapes = [
        [(3, 5), (1, 1), (1, 0), (1, 1)],
        [(3, 1), (1, 1), (2, 0), (2, 1)],
        [(2, 3), (2, 2), (0, 1), (1, 1)],
        [(1, 3), (1, 2), (0, 1), (1, 1)],
        [(2, 2), (1, 1), (1, 0), (1, 1)],
        [(3, 2), (2, 1), (1, 1), (1, 1)],
    ]
    one, two, three, four, five = (random.randrange(2, 5) for _ in range(5))
    channels = [one, two, three, three, four, five, five]  # a pooling keeps their number
    image = (random.randrange(44, 56), random.randrange(60, 80))
    network = Call("network_of", kinds, shapes, channels, name="net", returned=False)
    blind = [[(3, 3), (1, 1), (4, 4), (1, 1)]]

    def kernels(
        shape_1: tuple[int, int], shape_2: tuple[int, int], dtype: str = "float64"
    ) -> list[Randn]:
        out, between, into = (random.randrange(2, 5) for _ in range(3))
        sizes = [(between, into, *shape_1), (between,), (out, between, *shape_2), (out,)]
        return [Randn(shape, seed=random.randrange(10**6), dtype=dtype) for shape in sizes]

    kept = kernels((2, 3), (3, 1))
    return [
        Probe("q1", "convolutions of VGG, without and with poolings",
              Call("receptive_field", [CONV] * random.randrange(3, 8)),
              Call("receptive_field", paper("D")), Call("receptive_field", paper("A")[:-1])),
        Probe("q1", "strides, paddings and even kernels of all kinds", *(
            Call("receptive_field", made_up(random, n, dilations=(1,))) for n in (2, 3, 5)
        ), hint="Whose pixels does a stride count: those of the image, or of the map before?"),
        Probe("q1", "dilated windows", *(
            Call("receptive_field", windows) for windows in (*dilated, *deep)
        ), hint="A dilation moves the taps apart, in cells of the map that the window reads."),
        Probe("q1", "no windows, and a window of one pixel",
              Call("receptive_field", []), Call("receptive_field", [(1, 3, 0, 1)])),
        Probe("q2", "stacks for which the rule is right, and others",
              Call("first_wrong", [CONV] * 4), Call("first_wrong", [POOL] * 3),
              Call("first_wrong", [POOL, CONV]), Call("first_wrong", [CONV, CONV, POOL, CONV]),
              Call("first_wrong", paper("E")),
              hint="Compare after each window, not only after the last."),
        Probe("q2", "other windows, dilated ones too",
              Call("first_wrong", [CONV, (3, 1, 2, 2), POOL]), Call("first_wrong", [(5, 1, 0, 1)]),
              Call("first_wrong", [(2, 2, 0, 1), (2, 2, 0, 1), (3, 2, 1, 1)]),
              *(Call("first_wrong", windows) for windows in deep)),
        Probe("q3", "boxes inside the image, square kernels", *(
            Call("box", [square(3, 1, 1), square(2, 2, 0), square(3, 1, 1)], cell, (96, 96), clip=c)
            for cell in inside[:2] for c in (True, False)
        )),
        Probe("q3", "kernels that are not square, in images that are not square", *(
            Call("box", layers, cell, size) for cell in inside
        ), hint="Which of the two numbers belongs to the height?"),
        Probe("q3", "boxes that reach over the edge, not clipped", *(
            Call("box", layers, cell, size, clip=False) for cell in ((0, 0), (1, 0), inside[0])
        )),
        Probe("q3", "boxes clipped at every edge",
              Call("box", layers, (0, 0), size), Call("box", [square(7, 2, 3)], (34, 0), (70, 91)),
              Call("box", [square(7, 2, 3)], (0, 45), (70, 91)),
              Call("box", [square(3, 1, 1)] * 9, (4, 5), (8, 11)),
              hint="The image ends at its height and its width, and begins at 0."),
        Probe("q3", "cells that see padding only",
              Call("box", [square(3, 1, 4)], (0, 5), (9, 9)),
              Call("box", [square(3, 1, 4)], (5, 14), (9, 9)),
              Call("box", [square(3, 1, 4)], (5, 14), (9, 9), clip=False),
              Call("box", [square(3, 1, 4)], (4, 2), (9, 9))),
        *(
            Probe("q4", f"the field of cells {says}", network, *(
                Call("measured_box", Ref("net"), image, cell) for cell in cells
            ), hint="What can make a gradient zero although the cell depends on the pixel?")
            for says, cells in (
                ("in the middle", [(4, 6), (5, 4), (3, 7)]),
                ("at the edges", [(0, 0), (0, 6), (6, 0)]),
            )
        ),
        Probe("q4", "poolings only, and a dilated convolution at the edge",
              Call("network_of", "pp", [square(2, 2, 0), square(3, 2, 1)], (1, 1, 1), name="net",
                   returned=False),
              Call("measured_box", Ref("net"), (21, 26), (3, 2)),
              Call("network_of", "c", [square(3, 1, 2, 2)], (2, 3), name="net", returned=False),
              Call("measured_box", Ref("net"), (12, 9), (1, 8)),
              Call("measured_box", Ref("net"), (12, 9), (5, 0))),
        Probe("q4", "a cell that sees padding only",
              Call("network_of", "c", blind, (2, 3), name="net", returned=False),
              Call("measured_box", Ref("net"), (9, 9), (0, 5)),
              Call("measured_box", Ref("net"), (9, 9), (4, 5))),
        Probe("q4", "the network stays as it was", network,
              Call("measured_box", Ref("net"), image, (4, 6)),
              Call("@state", Ref("net")), Call("@getattr", Ref("net"), "training"),
              Call("@identity", Ref("net", 0, "weight", "grad")),
              Call("@identity", Ref("net", 0, "weight", "requires_grad")),
              hint="Work on a copy."),
        Probe("q5", "stacks of 3×3 kernels, with biases and without", *(
            Call("stack", 3, 2 * n + 1, 2**random.randint(2, 9), bias=bias)
            for n in random.sample(range(2, 9), 2) for bias in (True, False)
        ), hint="Each layer of the stack has its own biases."),
        Probe("q5", "other kernels",
              Call("stack", 2, random.randrange(4, 9), random.randrange(3, 99)),
              Call("stack", 5, 4 * random.randrange(2, 5) + 1, random.randrange(3, 99)),
              Call("stack", 4, 3 * random.randrange(2, 5) + 1, 70, bias=False)),
        Probe("q5", "sizes that no stack has",
              Call("stack", 3, 2 * random.randrange(2, 9), 64, raises=True),
              Call("stack", 5, 11, 64, raises=True)),
        Probe("q6", "3×3 kernels",
              Call("compose", *kernels((3, 3), (3, 3))), Call("compose", *kernels((3, 3), (1, 1)))),
        Probe("q6", "kernels that are not square",
              Call("compose", *kernels((1, 4), (3, 2))), Call("compose", *kernels((5, 2), (2, 3))),
              hint="Height and width grow each by their own kernels."),
        Probe("q6", "a first convolution with a stride",
              Call("compose", *kernels((3, 3), (3, 3)), 2),
              Call("compose", *kernels((2, 3), (3, 2)), stride=3),
              hint="One cell further in the second kernel is a stride further in the image."),
        Probe("q6", "kernels in float32", Call("compose", *kernels((3, 2), (2, 2), "float32")),
              hint="The dtype stays."),
        Probe("q6", "the arguments stay as they were",
              *(Call("@identity", tensor, name=f"t{n}", returned=False)
                for n, tensor in enumerate(kept)),
              Call("compose", *(Ref(f"t{n}") for n in range(4))),
              *(Call("@identity", Ref(f"t{n}")) for n in range(4))),
    ]  # fmt: skip


# Reference answers


def walk(windows: Axis, cell: int, sizes: list[int] | None = None) -> list[int]:
    """Return the pixels that a cell depends on, by walking back window by window.

    With `sizes`, those of the maps before each window, cells outside a map are left out.
    """
    seen = {cell}
    for number, (kernel_size, stride, padding, dilation) in reversed(list(enumerate(windows))):
        seen = {c * stride - padding + tap * dilation for c in seen for tap in range(kernel_size)}
        if sizes is not None:
            seen &= set(range(sizes[number]))
    return sorted(seen)


def receptive_field(windows: Axis) -> tuple[int, int, int]:
    """Return size, stride and start from the fields of two neighbours."""
    here, there = walk(windows, 0), walk(windows, 1)
    return here[-1] - here[0] + 1, there[0] - here[0], here[0]


def first_wrong(windows: Axis) -> int | None:
    """Return where the rule of thumb leaves the field."""
    size = 1
    for index, (kernel_size, stride, _, _) in enumerate(windows):
        size = size * stride if stride > 1 else size + kernel_size - 1
        pixels = walk(windows[: index + 1], 0)
        if size != pixels[-1] - pixels[0] + 1:
            return index
    return None


def box(
    layers: list[list[tuple[int, int]]],
    cell: tuple[int, int],
    image_size: tuple[int, int],
    clip: bool = True,
) -> tuple[int, ...] | None:
    """Return the box from the walk along each axis."""
    fields = []
    for axis in (0, 1):
        pixels = walk([tuple(pair[axis] for pair in layer) for layer in layers], cell[axis])
        span = range(pixels[0], pixels[-1] + 1)
        fields.append([p for p in span if not clip or 0 <= p < image_size[axis]])
    if not all(fields):
        return None
    return (*(f[0] for f in fields), *(f[-1] + 1 for f in fields))


def measured_box(
    network: nn.Sequential, image_size: tuple[int, int], cell: tuple[int, int]
) -> tuple[int, ...] | None:
    """Return the box from the walk inside the maps: no autograd."""
    fields = []
    for axis in (0, 1):
        windows, sizes = [], [image_size[axis]]
        for layer in network:
            if not isinstance(layer, nn.ReLU):
                kernel_size, stride, padding, dilation = (
                    value if isinstance(value, int) else value[axis]
                    for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
                )
                windows.append((kernel_size, stride, padding, dilation))
                room = sizes[-1] + 2 * padding - dilation * (kernel_size - 1) - 1
                sizes.append(room // stride + 1)
        fields.append(walk(windows, cell[axis], sizes))
    if not all(fields):
        return None
    return (*(f[0] for f in fields), *(f[-1] + 1 for f in fields))


def stack(small: int, large: int, channels: int, bias: bool = True) -> tuple[int, int, int]:
    """Return layers and parameters, counted on convolutions."""
    layers = next((n for n in range(large) if n * (small - 1) + 1 == large), None)
    if layers is None:
        raise ValueError("no stack of these kernels sees so many pixels")
    convs = [nn.Conv2d(channels, channels, k, bias=bias, device="meta") for k in (small, large)]
    of_small, of_large = (sum(p.numel() for p in conv.parameters()) for conv in convs)
    return layers, layers * of_small, of_large


def compose(
    weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor, stride: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the kernel as the gradient of the two layers, and the bias as what they make of 0."""

    def both(image: Tensor) -> Tensor:
        hidden = conv2d(image, weight_1.double(), bias_1.double(), stride)
        return conv2d(hidden, weight_2.double(), bias_2.double()).flatten()

    sides = [
        k + stride * (kk - 1) for k, kk in zip(weight_1.shape[2:], weight_2.shape[2:], strict=True)
    ]
    nothing = torch.zeros(1, weight_1.shape[1], *sides, dtype=torch.float64)
    weight = torch.autograd.functional.jacobian(both, nothing)[:, 0]
    return weight.to(weight_1.dtype), both(nothing).to(weight_1.dtype)
