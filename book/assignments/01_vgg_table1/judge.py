"""Judge of assignment 1: probes, and reference answers that count what a built network does."""

from random import Random
from typing import Any

import torch
from torch import nn

from vgglab.grading import Call, Probe, Randn, Ref
from vgglab.models.configs import CONFIGS, Conv
from vgglab.shapes import Window, feature_map_sizes
from vgglab.summary import summary

POOL = Window(kernel_size=2, stride=2)
PAPER = {
    name: [entry for stage in config.stages for entry in (*stage, "maxpool")]
    for name, config in CONFIGS.items()
}


def made_up(random: Random, stages: int = 3, lrn: bool = False) -> list[str]:
    """Return a column that is in no paper: 1x1, 3x3 and 5x5 kernels, uneven channels."""
    column = []
    for stage in range(stages):
        for kernel_size in random.choice([(3,), (3, 3), (3, 1), (5, 3)]):
            column.append(f"conv{kernel_size}-{random.randrange(4, 20)}")
        if lrn and stage == 0:
            column.append("LRN")
        column.append("maxpool")
    return column


def variant(random: Random) -> dict[str, Any]:
    """Return the example of the questions, and what its public checks compare with."""
    example = made_up(random)
    height, width = random.sample(range(26, 64), 2)
    classes = random.randrange(5, 15)
    size = {"num_classes": classes, "hidden": 32}
    return {
        "example": example,
        "height": height,
        "width": width,
        "classes": classes,
        "in_channels": random.randrange(2, 9),
        "out_channels": random.randrange(9, 33),
        "last_shape": feature_map_shapes(example, height, width)[-1],
        "parameters": count_parameters(example, height, width, **size),
        "total_mult_adds": sum(count_mult_adds(example, height, width, **size)),
    }


def probes(variant: dict[str, Any], random: Random) -> list[Probe]:
    """Return the hidden probes."""
    kernels = random.sample(range(1, 12), 4)
    own, odd, lrn = made_up(random), made_up(random, stages=4), made_up(random, lrn=True)
    height, width = random.sample(range(33, 90), 2)
    channels, hidden, classes = random.randrange(4, 9), random.randrange(9, 40), 7
    small = {"num_classes": classes, "in_channels": channels, "hidden": hidden}
    weights = random.randrange(1000)
    image = Randn((2, channels, height, width), seed=random.randrange(1000))
    random_columns = [own, odd, lrn]
    return [
        Probe("q1", "layers of Table 1", *(
            Call("conv_parameters", 2**k, 2 ** (k + 1), 3) for k in random.sample(range(5, 9), 2)
        )),
        Probe("q1", "other kernels and channels", *(
            Call("conv_parameters", random.randrange(1, 99), random.randrange(1, 99), k)
            for k in kernels
        ), hint="The kernel is a square."),
        Probe("q1", "layers without biases", *(
            Call("conv_parameters", random.randrange(1, 99), random.randrange(1, 99), k, bias=False)
            for k in kernels[:2]
        )),
        Probe("q2", "columns of the paper at 224 pixels", *(
            Call("feature_map_shapes", PAPER[name], 224, 224) for name in ("B", "E")
        )),
        Probe("q2", "images that are not square, with odd sides", *(
            Call("feature_map_shapes", column, height, width) for column in random_columns
        ), hint="What does a pooling with stride 2 make of 7 rows?"),
        Probe("q2", "a column with LRN, and one with 1×1 convolutions", *(
            Call("feature_map_shapes", PAPER[name], 32 * random.randrange(2, 9), 160)
            for name in ("A-LRN", "C")
        )),
        *(
            Probe("q3", f"the layers of {says}, in order",
                  Call("build_features", column, name="net", returned=False, device="meta"),
                  Call("@layers", Ref("net")),
                  hint=hint)
            for says, column, hint in (
                ("columns with 3×3 convolutions", PAPER["D"], "A ReLU follows each convolution."),
                ("a column with 1×1 convolutions", PAPER["C"], "Which padding keeps the size?"),
                ("a column with LRN", lrn, "Where in the order does LRN stand?"),
            )
        ),
        Probe("q3", "other numbers of input channels",
              Call("build_features", odd, channels, name="net", returned=False),
              Call("@parameter_shapes", Ref("net"))),
        Probe("q3", "what it computes, with weights that are set",
              Call("build_features", lrn, channels, name="net", returned=False),
              Call("@fill", Ref("net"), weights, returned=False),
              Call("@forward", Ref("net"), image)),
        Probe("q4", "the parameters of full-size networks, in order",
              Call("build_vgg", PAPER["D"], 224, 224, name="d", returned=False, device="meta"),
              Call("@parameter_shapes", Ref("d")),
              Call("build_vgg", PAPER["A"], 400, 400, name="a", returned=False, device="meta"),
              Call("@parameter_shapes", Ref("a")),
              hint="How many numbers does nn.Flatten give for this image?"),
        Probe("q4", "the layers, in order",
              Call("build_vgg", own, height, width, **small, name="net", returned=False),
              Call("@layers", Ref("net")),
              hint="Each hidden layer is followed by a ReLU, then by dropout."),
        Probe("q4", "what it computes, with weights that are set",
              Call("build_vgg", own, height, width, **small, name="net", returned=False),
              Call("@fill", Ref("net"), weights, returned=False),
              Call("@forward", Ref("net"), image)),
        Probe("q4", "an image of another size is refused",
              Call("build_vgg", own, 40, 40, **small, name="net", returned=False),
              Call("@forward", Ref("net"), Randn((1, channels, 64, 64), seed=0), raises=True)),
        Probe("q5", "columns of the paper at 224 pixels", *(
            Call("count_parameters", PAPER[name], 224, 224) for name in ("A-LRN", "C", "E")
        ), hint="Biases count."),
        Probe("q5", "other sizes of image", *(
            Call("count_parameters", column, height, width) for column in random_columns
        )),
        Probe("q5", "other channels, classes and hidden features", *(
            Call("count_parameters", column, height, width, **small) for column in random_columns
        )),
        Probe("q6", "columns of the paper at 224 pixels", *(
            Call("count_mult_adds", PAPER[name], 224, 224) for name in ("A-LRN", "C", "E")
        )),
        Probe("q6", "other sizes of image", *(
            Call("count_mult_adds", column, height, width) for column in random_columns
        ), hint="A convolution runs on the map that the last pooling left."),
        Probe("q6", "other channels, classes and hidden features", *(
            Call("count_mult_adds", column, height, width, **small) for column in random_columns
        )),
    ]  # fmt: skip


# Reference answers: they build networks on the meta device and read what they are.


def conv_parameters(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True
) -> int:
    """Return the number of parameters of a convolution."""
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias, device="meta")
    return sum(p.numel() for p in layer.parameters())


def feature_map_shapes(column: list[str], height: int, width: int) -> list[tuple[int, int, int]]:
    """Return the shapes after each pooling."""
    pools = [index for index, entry in enumerate(column) if entry == "maxpool"]
    heights, widths = (feature_map_sizes(side, [POOL] * len(pools)) for side in (height, width))
    channels = [
        [int(entry.split("-")[1]) for entry in column[:index] if "-" in entry][-1]
        for index in pools
    ]
    return list(zip(channels, heights[-len(pools) :], widths[-len(pools) :], strict=True))


def build_features(column: list[str], in_channels: int = 3) -> nn.Sequential:
    """Return the convolutional part."""
    features = nn.Sequential()
    for entry in column:
        if entry.startswith("conv"):
            conv = Conv(*map(int, entry.removeprefix("conv").split("-")))
            padding = conv.kernel_size // 2
            features.append(nn.Conv2d(in_channels, *conv[::-1], padding=padding))
            features.append(nn.ReLU())
            in_channels = conv.out_channels
        elif entry == "LRN":
            features.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2))
        else:
            features.append(nn.MaxPool2d(2))
    return features


def build_vgg(
    column: list[str],
    height: int,
    width: int,
    num_classes: int = 1000,
    in_channels: int = 3,
    hidden: int = 4096,
) -> nn.Module:
    """Return the whole network."""
    channels, rows, columns = feature_map_shapes(column, height, width)[-1]
    network = nn.Sequential(build_features(column, in_channels), nn.Flatten())
    for before in (channels * rows * columns, hidden):
        network.extend([nn.Linear(before, hidden), nn.ReLU(), nn.Dropout(0.5)])
    return network.append(nn.Linear(hidden, num_classes))


def count_parameters(column: list[str], height: int, width: int, **size: int) -> dict[str, int]:
    """Return the numbers of parameters of the two parts."""
    with torch.device("meta"):
        network = build_vgg(column, height, width, **size)
    counts = [sum(p.numel() for p in part.parameters()) for part in network.children()]
    return {"convolutional": counts[0], "fully connected": sum(counts[1:])}


def count_mult_adds(column: list[str], height: int, width: int, **size: int) -> list[int]:
    """Return the multiply-adds of each layer with weights, as `vgglab.summary` counts them."""
    with torch.device("meta"):
        network = build_vgg(column, height, width, **size)
    table = summary(network, (1, size.get("in_channels", 3), height, width))
    return [row.mult_adds for row in table.rows if row.mult_adds]
