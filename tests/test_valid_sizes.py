"""Input sizes that fit: compared with really running networks at every size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from networks import Expanded, small_networks, torchvision_network
from sampling import examples, sampled
from torch import Tensor, nn

from vgglab import trace, tracing, vgg
from vgglab.valid_sizes import OTHER_WAY, Search, search, valid_sizes
from vgglab.valid_sizes.intervals import Interval, ValidSizes, one_size
from vgglab.valid_sizes.propagation import propagate
from vgglab.valid_sizes.retraces import with_second

SIZES = range(1, 129)


def runs(model: nn.Module, channels: int, *sides: int) -> bool:
    """Tell whether the forward of two images ends and returns a row for each."""
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zero-sized layers
            return len(model(torch.zeros(2, channels, *sides))) == 2
    except RuntimeError:
        return False


@examples(10, 200)
@given(small_networks(), st.integers(1, 64), st.integers(1, 128))
def test_sizes_agree_with_running_every_size(
    generated: tuple[nn.Module, int, int], traced: int, height: int
) -> None:
    """From whatever size the network is traced at, the same sizes are found: the right ones."""
    model, channels, made_for = generated
    seen = trace(model, (2, channels, traced, traced))
    sizes = valid_sizes(model, seen)
    assert sizes.exact
    assert [n for n in SIZES if (n, n) in sizes] == [
        n for n in SIZES if runs(model, channels, n, n)
    ]
    # With a width that fits, exactly the heights that are named fit.
    assert ((height, made_for) in sizes) == runs(model, channels, height, made_for)


LARGEST = {1: 128, 2: 64, 3: 20}


@pytest.mark.wide
@examples(1, 334)
@given(st.data())
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_any_network_is_told_rightly_or_not_at_all(axes: int, data: st.DataObject) -> None:
    """Groups, views of parameters, expansions, weight_norm and branches, over 1 to 3 axes."""
    model, channels, made_for = data.draw(small_networks(axes=axes, further=True))
    traced = data.draw(st.integers(1, LARGEST[axes]))
    model = model.eval()
    seen = trace(model, (2, channels, *[traced] * axes))
    sizes = valid_sizes(model, seen)
    everything = range(1, LARGEST[axes] + 1)
    right = [n for n in everything if runs(model, channels, *[n] * axes)]
    told = [n for n in everything if (n,) * axes in sizes]
    assert set(told) <= set(right)
    if not sizes.exact:
        return
    # Where sides multiply, one way of several is told, for volumes not always the cube.
    assert told == right or (axes == 3 and not told and sizes)
    assert not sizes or runs(model, channels, *sizes.nearest((made_for,) * axes))
    # Along each axis alone, the ends of the intervals and what is beside them.
    if not sizes or (made_for,) * axes not in sizes:
        return
    for axis, intervals in enumerate(sizes.axes):
        ends = [end for interval in intervals[:2] for end in interval if end is not None]
        for side in {end + d for end in ends for d in (-1, 0, 1)} & {*everything}:
            size = [made_for] * axes
            size[axis] = side
            assert (tuple(size) in sizes) == runs(model, channels, *size), size


@pytest.mark.sampled
@pytest.mark.parametrize(
    "name",
    sampled(
        ["alexnet", "googlenet", "squeezenet1_0", "densenet121", "inception_v3", "convnext_tiny"],
        2,
    ),
)
@pytest.mark.parametrize("traced", [32, 300])
def test_smallest_size_of_torchvision(name: str, traced: int) -> None:
    model = torchvision_network(name, "meta").eval()
    sizes = valid_sizes(model, trace(model, (1, 3, traced, traced)))
    assert sizes.exact
    ((first, last),) = sizes.height
    assert last is None
    assert trace(model, (1, 3, first, first)).failure is None
    assert trace(model, (1, 3, first - 1, first)).failure is not None
    assert trace(model, (1, 3, first, first - 1)).failure is not None


class Net(nn.Module):
    """A forward written as a function."""

    def __init__(self, forward: object, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


class WithConstant(nn.Module):
    """Multiplies by a parameter or a buffer, in another shape or a part of it."""

    def __init__(
        self, constant: Tensor, shape: object = None, buffer: bool = False, cut: bool = False
    ) -> None:
        super().__init__()
        self.shape, self.cut = shape, cut
        if buffer:
            self.register_buffer("constant", constant)
        else:
            self.constant = nn.Parameter(constant)

    def forward(self, x: Tensor) -> Tensor:
        constant = self.constant if self.shape is None else self.constant.view(self.shape)
        if self.cut:
            constant = constant[: x.shape[2], : x.shape[3]]
        return x * constant


def encoder_decoder(x: Tensor, down: nn.Module, up: nn.Module) -> Tensor:
    deep = F.max_pool2d(down(F.max_pool2d(x, 2)), 2)
    return torch.cat([x, up(up(deep))], dim=1)


def squeeze_and_excite(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
    x = conv(x)
    return x * torch.sigmoid(fc(x.mean((2, 3))))[:, :, None, None]


def channels_last(x: Tensor, norm: nn.Module, fc: nn.Module, last: nn.Module) -> Tensor:
    x = fc(norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    return last(F.max_pool2d(x, 3).flatten(1))


def shuffle(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
    n, c, h, w = x.shape
    x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
    first, second = conv(x).chunk(2, dim=1)
    return fc(F.avg_pool2d(first + second, 2).flatten(1))


def expanded(x: Tensor, y: Tensor) -> Tensor:
    return x * y.mean((2, 3), keepdim=True).expand_as(x) + y


def cropped_to(x: Tensor, y: Tensor) -> Tensor:
    top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
    return x[:, :, top : top + y.shape[2], left : left + y.shape[3]]


def padded_to(x: Tensor, y: Tensor) -> Tensor:
    height, width = (b - a for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def two_scales(x: Tensor, fc: nn.Module) -> Tensor:
    return fc(torch.cat([F.max_pool2d(x, 2).flatten(1), F.avg_pool2d(x, 4).flatten(1)], dim=1))


FUNCTIONAL = {
    "encoder and decoder": (
        lambda: Net(encoder_decoder, nn.Conv2d(4, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, 2)),
        [n for n in SIZES if n % 4 == 0],
    ),
    "squeeze and excite": (
        lambda: Net(squeeze_and_excite, nn.Conv2d(4, 6, 3), nn.Linear(6, 6)),
        list(range(3, 129)),
    ),
    "channels last": (
        lambda: Net(channels_last, nn.LayerNorm(4), nn.Linear(4, 3), nn.Linear(3 * 5 * 5, 2)),
        list(range(15, 18)),
    ),
    "channel shuffle": (
        lambda: Net(shuffle, nn.Conv2d(4, 4, 1), nn.Linear(2 * 9, 2)),
        [6, 7],
    ),
    "two scales": (lambda: Net(two_scales, nn.Linear(4 * (16 + 4), 2)), [8, 9]),
    "local response norm": (
        lambda: nn.Sequential(nn.LocalResponseNorm(3), nn.Flatten(), nn.Linear(4 * 49, 2)),
        [7],
    ),
    "mirrored border": (
        lambda: nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(4, 2, 3)),
        list(range(4, 129)),
    ),
    "upsampling": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(4 * 100, 2)),
        [5],
    ),
    "stack": (
        lambda: Net(
            lambda x, fc: fc(torch.stack([x, x.neg()], 1).flatten(1, 2).flatten(1)),
            nn.Linear(8 * 25, 2),
        ),
        [5],
    ),
    "unbind of channels that come last": (
        lambda: Net(
            lambda x, fc: fc(
                F.max_pool2d(torch.stack(x.permute(0, 2, 3, 1).unbind(-1)[:2], 1), 2).flatten(1)
            ),
            nn.Linear(2 * 9, 2),
        ),
        [6, 7],
    ),
    "gain of each channel": (lambda: WithConstant(torch.ones(4), (1, -1, 1, 1)), list(SIZES)),
    "gain of each cell": (lambda: WithConstant(torch.ones(16, 16)), [1, 16]),
    "gain in a buffer": (lambda: WithConstant(torch.ones(1, 1, 16, 1), buffer=True), [1, 16]),
    "gain that is cut out": (lambda: WithConstant(torch.ones(64, 64), cut=True), None),
    "squeeze and excite, expanded": (
        lambda: Net(
            lambda x, fc: fc((x * x.mean((2, 3), True).expand_as(x)).flatten(1)),
            nn.Linear(4 * 16 * 16, 2),
        ),
        [16],
    ),
    "expanded after a pooling": (
        lambda: Net(
            lambda x, fc: fc(expanded(F.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 2)).flatten(1)),
            nn.Linear(4 * 8 * 8, 2),
        ),
        [16],
    ),
    "expanded to a number": (
        lambda: Net(lambda x: x * x.mean((2, 3), True).expand(-1, -1, 8, 8)),
        [1, 8],
    ),
    "expanded to half of the input": (
        lambda: Net(
            lambda x: (
                F.max_pool2d(x, 2, ceil_mode=True)
                * x.mean((2, 3), True).expand(-1, -1, x.shape[2] // 2, x.shape[3] // 2)
            ),
        ),
        None,
    ),
    "rows expanded": (
        lambda: Net(
            lambda x, fc: fc((x * x.mean(3, True).expand_as(x)).flatten(1)),
            nn.Linear(4 * 9 * 9, 2),
        ),
        [9],
    ),
    "resized to a number": (
        lambda: Net(lambda x, fc: fc(F.interpolate(x, (6, 6)).flatten(1)), nn.Linear(4 * 36, 2)),
        list(SIZES),
    ),
    "resized to a map before": (
        lambda: Net(
            lambda x, fc: fc(
                (F.interpolate(F.max_pool2d(x, 4), x.shape[2:], mode="bilinear") + x).flatten(1)
            ),
            nn.Linear(4 * 20 * 20, 2),
        ),
        [20],
    ),
    "gain of a fixed size": (
        lambda: Net(lambda x: x * x.mean((2, 3), True).expand(-1, -1, 8, 8).relu()),
        [1, 8],
    ),
    "pooled and enlarged again": (
        lambda: Net(
            lambda x, fc: fc(
                torch.cat([x, F.interpolate(F.adaptive_avg_pool2d(x, 2), x.shape[-2:])], 1).flatten(
                    1
                )
            ),
            nn.Linear(8 * 16 * 16, 2),
        ),
        [16],
    ),
    "pooled to the size of a map": (
        lambda: Net(lambda x: x + F.adaptive_avg_pool2d(x, 8).relu()),
        [1, 8],
    ),
    "padded by code": (
        lambda: Net(lambda x, fc: fc(F.pad(x, (1, 1, 1, 1)).flatten(1)), nn.Linear(4 * 81, 2)),
        [7],
    ),
    "padded to the skip connection": (
        lambda: Net(
            lambda x, fc: fc(
                (padded_to(F.interpolate(F.max_pool2d(x, 2), None, 2), x) + x).mean((2, 3))
            ),
            nn.Linear(4, 2),
        ),
        [n for n in SIZES if n > 1],
    ),
    "padded to a multiple": (
        lambda: Net(lambda x: F.max_pool2d(F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4)), 4)),
        None,
    ),
    "padded to a multiple of seven": (
        lambda: Net(
            lambda x, fc: fc(
                F.pad(x, (0, -x.shape[3] % 7, 0, -x.shape[2] % 7))
                .unflatten(3, (7, -1))
                .mean((2, 4))
            ),
            nn.Linear(7, 2),
        ),
        None,
    ),
    "padded to a least size": (
        lambda: Net(
            lambda x, conv: conv(
                F.pad(x, (0, max(0, 7 - x.shape[3]), 0, max(0, 7 - x.shape[2])))
            ).mean((2, 3)),
            nn.Conv2d(4, 4, 5),
        ),
        None,
    ),
    "padded by nothing": (
        lambda: Net(lambda x, conv: conv(F.pad(x, (0, 0, 0, 0))), nn.Conv2d(4, 4, 5)),
        [n for n in SIZES if n > 4],
    ),
    "every second cell": (
        lambda: Net(
            lambda x, fc: fc(torch.cat([x[..., ::2, ::2], x[..., 1::2, 1::2]], 1).flatten(1)),
            nn.Linear(8 * 25, 2),
        ),
        [10],
    ),
    "a border cut off": (
        lambda: Net(lambda x, fc: fc(x[:, :, 2:-1, 1:-2].flatten(1)), nn.Linear(4 * 25, 2)),
        [8],
    ),
    "a larger map added in place": (
        lambda: Net(lambda x: F.avg_pool2d(x, 2).add_(F.avg_pool2d(x, 2, ceil_mode=True))),
        [n for n in SIZES if n % 2 == 0],
    ),
    "a smaller map added in place": (
        lambda: Net(lambda x: F.avg_pool2d(x, 2, ceil_mode=True).add_(F.avg_pool2d(x, 2))),
        [n for n in SIZES if n % 2 == 0 or n == 3],
    ),
    "cropped to the way beside": (
        lambda: Net(
            lambda x, conv: cropped_to(x, conv(x)) + conv(x),
            nn.Conv2d(4, 4, 5),
        ),
        [n for n in SIZES if n > 4],
    ),
    "cut at a size": (
        lambda: Net(lambda x, fc: fc(x[:, :, :7, :7].flatten(1)), nn.Linear(4 * 49, 2)),
        None,  # of smaller maps nothing is cut, and so no operation executed
    ),
    "the middle of the input": (
        lambda: Net(
            lambda x: x[:, :, x.shape[2] // 3 : -x.shape[2] // 3, x.shape[3] // 3 :].mean((2, 3))
        ),
        None,
    ),
    "pixels shuffled": (
        lambda: Net(
            lambda x, fc: fc(F.pixel_shuffle(F.pixel_unshuffle(x, 4), 2).flatten(1)),
            nn.Linear(16 * 16, 2),
        ),
        [8],
    ),
    "decided by a value": (
        lambda: Net(
            lambda x, fc: fc((-x if x.mean() > 100 else x).flatten(1)), nn.Linear(4 * 16 * 16, 2)
        ),
        [16],
    ),
    "mean of rows and columns": (
        lambda: Net(lambda x, fc: fc(x.mean(-1).mean(-1)), nn.Linear(4, 2)),
        list(SIZES),
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("case", sampled(FUNCTIONAL, 9))
def test_functional_code(case: str) -> None:
    """Code that is followed gives exactly the sizes that run; other code says that it is not."""
    make, expected = FUNCTIONAL[case]
    model = make().eval()
    assert expected is None or expected == [n for n in SIZES if really(model, n)]
    for traced in (40, 8):
        sizes = valid_sizes(model, trace(model, (2, 4, traced, traced)))
        assert sizes.exact == (expected is not None)
        for n in SIZES if sizes.exact else [n for n in (224, *SIZES) if (n, n) in sizes]:
            assert ((n, n) in sizes) == really(model, n), n


def really(model: nn.Module, n: int) -> bool:
    try:
        with torch.inference_mode():
            model(torch.zeros(2, 4, n, n))
    except RuntimeError:
        return False
    return True


def test_what_cannot_be_followed_is_named() -> None:
    model = torchvision_network("swin_t", "meta").eval()
    propagation = propagate(trace(model, (1, 3, 224, 224)))
    assert propagation.unsupported is not None
    assert "in features.1.0.attn: how much it pads may depend" in propagation.unsupported
    sizes = valid_sizes(model, trace(model, (1, 3, 97, 97)))
    assert not sizes.exact
    assert sizes.height == (Interval(97, 97),)
    assert "tried" in str(sizes)


class Patches(nn.Module):
    """Patches of 4 px with a position embedding for 16 of them, and a class token or none."""

    def __init__(self, tokens: int, strict: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, tokens, 8))
        self.embedding = nn.Parameter(torch.zeros(1, 16 + tokens, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.strict = strict

    def forward(self, x: Tensor) -> Tensor:
        if self.strict and x.shape[2:] != (16, 16):
            raise ValueError(f"the image must have 16 px, got {x.shape[2]}")
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.embedding
        return self.attention(x, x, x)[0].mean(1)


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize(("strict", "last"), [(False, 19), (True, 16)])
@pytest.mark.parametrize("traced", [16, 40])
def test_a_position_embedding_and_what_the_code_checks_besides(
    tokens: int, strict: bool, last: int, traced: int
) -> None:
    model = Patches(tokens, strict).eval()
    sizes = valid_sizes(model, trace(model, (2, 3, traced, traced)))
    if strict and traced == 40:  # the message names the size
        assert sizes.height == (Interval(16, 16),)
        return
    assert sizes.exact
    assert sizes.axes == ((Interval(16, last),),) * 2


def test_a_vision_transformer_takes_one_size() -> None:
    model = torchvision_network("vit_b_32", "meta").eval()
    for side in (224, 400):
        sizes = valid_sizes(model, trace(model, (1, 3, side, side)))
        assert sizes.exact
        assert sizes.axes == ((Interval(224, 224),),) * 2


def test_an_average_over_volumes_wants_its_kernel_inside() -> None:
    model = nn.Sequential(nn.AvgPool3d(2, 2, padding=1), nn.Flatten(), nn.LazyLinear(3))
    model(torch.zeros(1, 1, 3, 3, 3))
    sizes = valid_sizes(model, trace(model, (1, 1, 3, 3, 3)))
    assert sizes.axes == ((Interval(2, 3),),) * 3
    assert not runs(model, 1, 1, 2, 2)


def test_what_does_not_depend_on_the_image_fits_no_size() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    sizes = valid_sizes(model, trace(model, (1, 3, 32, 32)))
    assert not sizes
    assert sizes.exact
    assert str(sizes) == "none"


@pytest.mark.parametrize("side", [48, 64])
@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_an_axis_that_an_adaptive_pool_keeps_is_followed(pool: type, side: int) -> None:
    model = nn.Sequential(pool((None, 6)), nn.Flatten(), nn.Linear(3 * 48 * 6, 2))
    sizes = valid_sizes(model, trace(model, (1, 3, side, side)))
    assert sizes.height == (Interval(48, 48),)
    assert sizes.width[0].first == 1


def test_a_view_that_is_as_long_as_the_map_is_wide_is_a_flatten() -> None:
    """At 40 px a row of the view looks like a row of the map; 4·2·5 features are wanted."""
    model = Net(lambda x, fc: fc(x.view(-1, 40)), nn.Linear(40, 2))
    for traced in (40, 20):
        sizes = valid_sizes(model, trace(model, (2, 4, traced, traced)))
        assert sizes == ValidSizes(((Interval(2, 2),), (Interval(5, 5),)))


def test_where_no_square_image_fits_the_map_nearest_to_a_square_is_found() -> None:
    model = nn.Sequential(nn.MaxPool2d((2, 4)), nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    sizes = valid_sizes(model, trace(model, (1, 3, 40, 40)))
    assert not any((n // 2) * (n // 4) == 8 * 8 for n in SIZES)
    assert not sizes.square
    # 8 windows of 2 pixels and 8 windows of 4 pixels.
    assert sizes == ValidSizes(((Interval(16, 17),), (Interval(32, 35),)))


@pytest.mark.parametrize("pool", [nn.AvgPool1d, nn.MaxPool1d])
def test_a_network_of_poolings_alone_is_one_of_signals(pool: type[nn.Module]) -> None:
    model = nn.Sequential(pool(4, 2, 2), nn.Flatten(), nn.Linear(3 * 8, 2))
    for traced in (40, 8, 14):
        sizes = valid_sizes(model, trace(model, (2, 3, traced)))
        assert sizes.names == ("length",)
        assert [n for n in SIZES if (n,) in sizes] == [n for n in SIZES if runs(model, 3, n)]


def test_vgg_fits_224_to_255() -> None:
    model = vgg("D", head="fc-fixed", device="meta").eval()
    for traced in (20, 32, 224, 400, 2000):
        sizes = valid_sizes(model, trace(model, (1, 3, traced, traced)))
        assert sizes == ValidSizes(((Interval(224, 255),), (Interval(224, 255),)))


def test_intervals_in_words() -> None:
    every_four = ValidSizes((tuple(Interval(n, n) for n in range(4, 21, 4)), (Interval(3, None),)))
    assert str(every_four) == "height 4, 8, 12, …, 20 (every 4) px, width 3 and more px"
    assert str(ValidSizes(((Interval(7, 9),), (Interval(7, 9),)))) == "7 to 9 px along each axis"


def test_nearest_size() -> None:
    sizes = ValidSizes(((Interval(224, 255),), (Interval(32, 63), Interval(96, None))))
    assert sizes.nearest((400, 400)) == (224, 400)
    assert sizes.nearest((230, 70)) == (230, 32)
    assert sizes.nearest((10, 90)) == (224, 224)
    assert ValidSizes(((Interval(193, 416),), (Interval(40, 41),))).nearest((512, 1)) == (224, 40)
    assert (230, 40) in sizes
    assert (230, 70) not in sizes
    assert "somewhere" not in sizes
    with pytest.raises(ValueError, match="no valid size"):
        ValidSizes(((), ())).nearest((5, 5))


def test_maps_that_are_alike_at_neighbouring_sizes_are_told_apart() -> None:
    """Halved, sizes of 1 and 2 give the same map; what the code sizes by it is no number."""
    features = [nn.Conv1d(1, 1, 1, padding=2), Expanded(1), nn.Conv1d(1, 1, 1, stride=2)]
    head = [nn.MaxPool1d(2, 1), Expanded(1), nn.Flatten(), nn.Linear(3, 5)]
    model = nn.Sequential(*features, *head).eval()
    for traced in (1, 4):
        sizes = valid_sizes(model, trace(model, (2, 1, traced)))
        for side in range(1, 9):
            runs_there = trace(model, (2, 1, side)).failure is None
            assert ((side,) in sizes) == runs_there


def looped(x: Tensor) -> Tensor:
    while x.shape[-1] > 7:
        x = F.max_pool2d(x, 2)
    return x


def halved_as_often_as_it_is_large(x: Tensor) -> Tensor:
    for _ in range(x.shape[-1] // 32):
        x = F.avg_pool2d(x, 2)
    return F.adaptive_avg_pool2d(F.max_pool2d(x, 7, 1), 7)


BRANCHES = {
    "halved until it is small": looped,
    "resized if it is large": lambda x: F.max_pool2d(
        F.interpolate(x, size=(28, 28)) if x.shape[-1] > 28 else x, 4
    ),
    "halved once more if it is large": lambda x: F.max_pool2d(
        F.max_pool2d(x, 2) if x.shape[-1] > 40 else x, 4
    ),
    "cut if it is large": lambda x: F.max_pool2d(x[..., :56, :56] if x.size(2) > 56 else x, 8),
    "pooled if it is small": lambda x: F.adaptive_avg_pool2d(x, 7) if x.shape[-1] < 7 else x,
    "halved as often as it is large": halved_as_often_as_it_is_large,
}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list in which each trace that is made from now on leaves its size."""
    traces: list[object] = []

    def traced(model: nn.Module, size: tuple[int, ...], **options: object) -> object:
        traces.append(size)
        return trace(model, size, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tracing, "trace", traced)
    return traces


@pytest.mark.parametrize("case", BRANCHES)
def test_code_that_takes_another_way_at_other_sizes_is_not_followed(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Net(lambda x, fc: fc(BRANCHES[case](x).flatten(1)), nn.Linear(4 * 7 * 7, 2)).eval()
    traces = counted(monkeypatch)
    side = next(n for n in (28, 56, 7, 112) if really(model, n))
    seen = trace(model, (2, 4, side, side))
    found = search(model, seen, propagate(seen))
    assert not found.sizes.exact
    assert (side, side) in found.sizes
    assert found.because in (OTHER_WAY, propagate(seen).unsupported)
    assert len(traces) <= 4


class HeadForLargeImages(nn.Module):
    """Above 40 px a head reads the map that no size gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.large, self.small = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Linear(100, 10),
            nn.Linear(8 * 16, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if x.shape[-1] > 40:
            return self.large(x.flatten(1))  # type: ignore[no-any-return]
        return self.small(F.adaptive_avg_pool2d(x, 4).flatten(1))  # type: ignore[no-any-return]


class HalvedTooOften(nn.Module):
    """The larger the image, the smaller the map: 7 to 159 px run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for _ in range(x.shape[-1] // 32):
            x = F.avg_pool2d(x, 2)
        return self.last(x).mean((2, 3))  # type: ignore[no-any-return]


@pytest.mark.parametrize("make", [HeadForLargeImages, HalvedTooOften])
@pytest.mark.parametrize("side", [200, 224, 500])
def test_another_way_that_ends_is_found_where_this_one_does_not(
    make: type[nn.Module], side: int
) -> None:
    model = make().eval()
    seen = trace(model, (1, 3, side, side))
    found = search(model, seen, propagate(seen))
    assert found.sizes.exact == (make is HeadForLargeImages)
    assert found.because == OTHER_WAY
    height, width = found.sizes.nearest((side, side))
    assert trace(model, (1, 3, height, width)).failure is None


@pytest.mark.parametrize(
    ("grid", "said", "fits"),
    [
        (8, "height {} must be divisible by grid 8", 128),
        (12, "height ({}) must be divisible by window (12)", 96),
    ],
)
def test_a_multiple_that_stages_want_one_after_the_other_is_found(
    grid: int, said: str, fits: int
) -> None:
    """Grids at strides 4 and 8, as in MaxViT: of 8, they want 64, 128, 192, … px."""

    def stages(x: Tensor) -> Tensor:
        for kernel_size in (4, 2):
            x = F.avg_pool2d(x, kernel_size)
            height = x.shape[2]
            assert height % grid == 0, said.format(height)
        return x.mean((2, 3))

    model = Net(stages).eval()
    sizes = valid_sizes(model, trace(model, (1, 3, 110, 110)))
    assert not sizes.exact
    assert (fits, fits) in sizes


@pytest.mark.parametrize("side", [97, 104, 400])
def test_a_multiple_is_found_although_a_map_is_halved_on_two_ways(side: int) -> None:
    """Windows of 5 at a stride of 4, and halves of the map after that."""

    def stages(x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 4)
        assert x.shape[2] % 5 == 0, f"height ({x.shape[2]}) must be divisible by window (5)"
        for _ in range(3):
            x = F.avg_pool2d(x, 2) + F.max_pool2d(x, 2, ceil_mode=True)
        return x.mean((2, 3))

    model = Net(stages).eval()
    sizes = valid_sizes(model, trace(model, (1, 3, side, side)))
    assert trace(model, (1, 3, *sizes.nearest((side, side)))).failure is None


@pytest.mark.parametrize("side", [97, 48, 400])
def test_the_size_for_which_attention_has_its_biases_is_found(side: int) -> None:
    """As in CoAtNet: a map is halved on two ways, and 10·10 cells have a bias for each other."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.bias = nn.Parameter(torch.zeros(100, 100))

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).add(F.avg_pool2d(x, 2).mean(1, True))
            cells = F.max_pool2d(x, 8).flatten(2)
            return (cells.mT @ cells + self.bias).mean((1, 2))

    model = Attention().eval()
    sizes = valid_sizes(model, trace(model, (1, 3, side, side)))
    assert trace(model, (1, 3, *sizes.nearest((side, side)))).failure is None


@pytest.mark.parametrize("side", [10, 97])
def test_code_that_reads_sizes_is_followed_with_two_more_traces(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that tells what the code chose is far above, where it would take another way."""

    def resized(x: Tensor) -> Tensor:
        return x + F.interpolate(F.avg_pool2d(x, 2), size=x.shape[-2:])

    model = Net(lambda x: resized(x).mean((2, 3))).eval()
    seen, traces = trace(model, (1, 3, side, side)), counted(monkeypatch)
    found = search(model, seen, propagate(seen))
    assert found.because is None
    assert found.sizes.axes == ((Interval(2, None),),) * 2
    assert len(traces) <= 3  # at (1, 1) it stops at once


def scaled(x: Tensor, *sides: int) -> Tensor:
    """Resize to one side after the other, as CrossViT does for each of its branches."""
    for side in sides:
        height, width = x.shape[-2:]
        if height != side or width != side:
            x = F.interpolate(x, size=(side, side))
    return x


@pytest.mark.parametrize("side", [9, 23, 97])
def test_a_way_of_one_size_needs_one_trace(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more that tell what the code chose, and one for each size that it asks about."""
    model = Net(lambda x: scaled(x, 24).mean((2, 3)) + scaled(x, 20).mean((2, 3))).eval()
    seen, traces = trace(model, (1, 3, side, side)), counted(monkeypatch)
    found = search(model, seen, propagate(seen))
    assert found == Search(ValidSizes(((Interval(1, None),),) * 2))
    assert len(traces) <= 2 + 4


class BlocksOfAttention(nn.Module):
    """As in HaloNet: a code that cuts the map into blocks, and asks first whether it can."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 4, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = (x := self.convs(x)).shape
        assert height % 8 == 0
        assert width % 8 == 0
        x = x.view(n, c, height // 8, 8, width // 8, 8).transpose(3, 4)
        return x.mean((2, 3, 4, 5))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("side", "fits"), [(97, 256), (400, 384)])
def test_sizes_that_the_code_would_not_let_pass_are_not_tried(
    side: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = BlocksOfAttention().eval()
    seen, traces = trace(model, (1, 3, side, side)), counted(monkeypatch)
    found = search(model, seen, propagate(seen))
    assert found.sizes == one_size((fits, fits), found.sizes.names)
    assert len(traces) == 1


def test_layers_of_torch_alone_need_no_further_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, 3, 9, 9))
    seen = trace(model, (1, 3, 9, 9))
    monkeypatch.setattr(tracing, "trace", None)
    assert valid_sizes(model, seen).axes == ((Interval(9, 9),),) * 2


def between(low: int, value: int, high: int) -> bool:
    return low < value < high


# What is done with a map as large as the input, between two layers for 7x7 cells and for a mean.
QUESTIONS = {
    "a window of sizes that fails": lambda x, fc, mean: (
        fc(x.mean((2, 3))) if between(50, x.shape[-1], 70) else mean(x.mean((2, 3)))
    ),
    "a window of sizes that runs": lambda x, fc, mean: (
        mean(x.mean((2, 3))) if between(50, x.shape[-1], 70) else fc(x.mean((2, 3)))
    ),
    "a window of sizes that changes nothing": lambda x, fc, mean: mean(
        (x.relu() if between(50, x.shape[-1], 70) else x).mean((2, 3))
    ),
    "one size that fails": lambda x, fc, mean: (
        fc(x.flatten(1)) if x.size(3) == 64 else mean(x.mean((2, 3)))
    ),
    "one size that runs": lambda x, fc, mean: fc(
        (F.adaptive_avg_pool2d(x, 7) if x.size(2) == 64 else F.max_pool2d(x, 4)).flatten(1)
    ),
    "a window of a map behind": lambda x, fc, mean: (
        fc(x.mean((2, 3))) if between(5, F.max_pool2d(x, 4).shape[2], 9) else mean(x.mean((2, 3)))
    ),
    "what is computed of a size": lambda x, fc, mean: (
        fc(x.mean((2, 3))) if round(x.shape[2] / 10) * 10 == 40 else mean(x.mean((2, 3)))
    ),
    "a size among several": lambda x, fc, mean: (
        fc(x.mean((2, 3))) if x.shape[2] in (37, 41) else mean(x.mean((2, 3)))
    ),
    "a remainder": lambda x, fc, mean: (
        fc(x.mean((2, 3))) if x.shape[2] % 32 == 5 else mean(x.mean((2, 3)))
    ),
    "how many cells there are": lambda x, fc, mean: (
        fc(x.mean((2, 3))) if between(2500, x.shape[2] * x.shape[3], 5000) else mean(x.mean((2, 3)))
    ),
    "resized to the map beside if it differs": lambda x, fc, mean: mean(
        resized_if_needed(F.interpolate(F.max_pool2d(x, 2), scale_factor=2), x).mean((2, 3))
    ),
    "the number of images and channels": lambda x, fc, mean: (
        fc(F.max_pool2d(x, 4).flatten(1)) if len(x) > 1 and x.shape[1] == 4 else mean(x)
    ),
    "a multiple that is wanted": lambda x, fc, mean: mean(multiple_of(x, 32).mean((2, 3))),
}


def resized_if_needed(x: Tensor, y: Tensor) -> Tensor:
    return x + y if x.shape == y.shape else F.interpolate(x, y.shape[2:]) + y


def multiple_of(x: Tensor, number: int) -> Tensor:
    for side in x.shape[2:]:
        if side % number:
            raise ValueError(f"{side} is no multiple of {number}")
    return x


EXACT = {
    "a window of sizes that changes nothing": (20, 64, 100),
    "the number of images and channels": (20, 28, 100),
    "a multiple that is wanted": (64, 100),
}
"""Where all sizes are to be told, for some of the questions."""


@pytest.mark.sampled
@pytest.mark.parametrize(("case", "side"), sampled(product(QUESTIONS, [20, 28, 64, 100]), 14))
def test_what_the_code_asks_about_sizes_is_never_left_out(case: str, side: int) -> None:
    """Sizes that are called exact are those that run, whatever the code compares them with."""
    model = Net(QUESTIONS[case], nn.Linear(4 * 7 * 7, 2), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (2, 4, side, side)))
    right = [n for n in SIZES if trace(model, (2, 4, n, n)).failure is None]
    told = [n for n in SIZES if (n, n) in sizes]
    assert set(told) <= set(right)
    assert told == right or not sizes.exact
    assert sizes.exact or side not in EXACT.get(case, ())
    assert told or not sizes.exact or not right


@pytest.mark.parametrize("case", [*BRANCHES, *QUESTIONS])
@pytest.mark.parametrize("side", [24, 64])
def test_no_size_is_traced_twice(case: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(x: Tensor, fc: nn.Module, mean: nn.Module) -> Tensor:
        if case in BRANCHES:
            return fc(BRANCHES[case](x).flatten(1))  # type: ignore[no-any-return]
        return QUESTIONS[case](x, fc, mean)  # type: ignore[no-any-return]

    model = Net(forward, nn.Linear(4 * 7 * 7, 2), nn.Linear(4, 2)).eval()
    seen, traces = trace(model, (2, 4, side, side)), counted(monkeypatch)
    search(model, seen, with_second(model, seen, propagate(seen)))
    sizes = [*map(str, traces), str([seen.input_sizes[0]])]
    assert len(set(sizes)) == len(sizes)


class Spread(nn.Module):
    """Divides each of five maps, half as large each, by how much it varies."""

    def __init__(self) -> None:
        super().__init__()
        channels = [3, 4, 4, 4, 4, 4]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
            x = x / x.var((2, 3), keepdim=True).expand(x.size())
        return x.mean((2, 3))


@pytest.mark.parametrize("side", [97, 100, 224])
def test_maps_after_strides_have_two_sides_in_a_second_trace(side: int) -> None:
    model = Spread().eval()
    sizes = valid_sizes(model, trace(model, (1, 3, side, side)))
    assert (str(sizes), sizes.exact) == ("1 and more px along each axis", True)


ABOUT_BOTH = {
    "a narrow one of the high ones": lambda h, w: h > 30 and w < 10,
    "a wide one of the low ones": lambda h, w: h < 12 and w > 40,
    "one column of some rows": lambda h, w: h % 8 == 3 and w == 20,
    "high ones that are no multiple": lambda h, w: h > 40 and w % 4,
    "a rectangle": lambda h, w: 20 < h < 40 and 20 < w < 40,
    "squares": lambda h, w: h == w,
    "all but squares": lambda h, w: h != w,
    "many cells": lambda h, w: h * w > 900,
    "a long side": lambda h, w: max(h, w) > 40,
    "a short side": lambda h, w: min(h, w) < 10,
    "lying ones": lambda h, w: w > h,
}
"""Sizes that code refuses or treats in another way, by height and width."""


@pytest.mark.parametrize("case", ABOUT_BOTH)
@pytest.mark.parametrize("traced", [(9, 9), (24, 24), (50, 50), (50, 20), (11, 50)])
@pytest.mark.parametrize("is_refused", [True, False])
def test_what_the_code_asks_about_both_sides_is_never_left_out(
    case: str, traced: tuple[int, int], is_refused: bool
) -> None:
    def forward(x: Tensor, fc: nn.Module, mean: nn.Module) -> Tensor:
        if ABOUT_BOTH[case](*x.shape[2:]):
            if is_refused:
                raise RuntimeError("no such size")
            return fc(F.max_pool2d(x, 4).flatten(1))  # type: ignore[no-any-return]
        return mean(x.mean((2, 3)))  # type: ignore[no-any-return]

    model = Net(forward, nn.Linear(4 * 4 * 4, 2), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (2, 4, *traced)))
    every = [(h, w) for h in range(1, 65) for w in range(1, 65)]
    told = [size for size in every if size in sizes]
    right = [size for size in every if runs(model, 4, *size)] if sizes.exact else []
    assert told == right or not sizes.exact
    assert all(runs(model, 4, *size) for size in told)


SAME_EVERYWHERE = {
    "cells of a sequence": lambda x, tokens: tokens.shape[1] == x.shape[2] * x.shape[3],
    "some cells": lambda x, tokens: x.shape[-2] * x.shape[-1] > 0,
    "a side is no longer than all": lambda x, tokens: x.shape[2] <= tokens.shape[1],
    "half of the cells": lambda x, tokens: 2 * (tokens.size(1) // 2) <= x.size(2) * x.size(3),
}


@pytest.mark.parametrize("case", SAME_EVERYWHERE)
@pytest.mark.parametrize("traced", [(24, 24), (50, 20)])
def test_a_question_about_both_sides_that_has_one_answer_leaves_sizes_exact(
    case: str, traced: tuple[int, int]
) -> None:
    """Transformers make sure that a sequence has as many tokens as the map has cells."""

    def forward(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
        x = conv(x)
        tokens = x.flatten(2).transpose(1, 2)
        assert SAME_EVERYWHERE[case](x, tokens)
        return fc(tokens.mean(1))  # type: ignore[no-any-return]

    model = Net(forward, nn.Conv2d(3, 4, 4, 4), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (1, 3, *traced)))
    assert (sizes.axes, sizes.exact) == (((Interval(4, None),),) * 2, True)


def mean_of_steps(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
    x = F.max_pool1d(conv(x), 4)
    n, c, steps = x.shape
    if steps < 3:
        raise ValueError("too short")
    return fc(x.mean(-1).view(n, c))  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", [8000, 40_000, 480_000, 1_048_576])
def test_sizes_of_long_signals_are_told(length: int) -> None:
    model = Net(mean_of_steps, nn.Conv1d(1, 4, 80, 4), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (1, 1, length)))
    assert sizes == ValidSizes(((Interval(80 + 4 * 11, None),),), names=("length",))


@pytest.mark.parametrize("size", [(40_000, 64), (65_536, 65_536)])
def test_sizes_of_the_largest_images_are_told(size: tuple[int, int]) -> None:
    model = Net(lambda x, fc: fc(x.mean((2, 3)).view(x.shape[0], -1)), nn.Linear(3, 2)).eval()
    sizes = valid_sizes(model, trace(model, (1, 3, *size)))
    assert sizes.axes == ((Interval(1, None),),) * 2


@pytest.mark.parametrize(
    ("given", "told"),
    [((720, 1280), (360, 640)), ((1280, 720), (640, 360)), ((480, 480), (480, 480))],
)
def test_an_image_that_is_no_square_keeps_its_proportions(
    given: tuple[int, int], told: tuple[int, int]
) -> None:
    """3,600 cells are as many as a square of 60 has and as a map of 45×80."""
    halves = [nn.Conv2d(3, 3, 3, 2, 1) for _ in range(3)]
    model = nn.Sequential(*halves, nn.Flatten(), nn.Linear(3 * 3600, 2))
    sizes = valid_sizes(model, trace(model, (1, 3, *given)))
    assert told in sizes
    assert ((480, 480) in sizes) == (told == (480, 480))


def test_a_square_of_a_usual_size_comes_before_the_proportions() -> None:
    """64 cells: 8×8, of images of 256 px, or 4×16 in the proportion of what came."""
    model = nn.Sequential(nn.AvgPool2d(32, 32), nn.Flatten(), nn.Linear(3 * 64, 2))
    sizes = valid_sizes(model, trace(model, (1, 3, 8 * 32, 16 * 32)))
    assert (256, 256) in sizes


def test_a_window_that_only_huge_images_fill_has_a_size() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 32, 32), nn.AvgPool2d(64), nn.Flatten(), nn.Linear(4, 2))
    for traced in (224, 1024):
        sizes = valid_sizes(model, trace(model, (1, 3, traced, traced)))
        assert sizes.axes == ((Interval(2048, 4095),),) * 2


def scores(q: Tensor, k: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)


def non_local(x: Tensor) -> Tensor:
    """Wang et al., Non-local Neural Networks, 2018, section 3.3."""
    n, c, h, w = x.shape
    cells = x.view(n, c, -1)
    kept = torch.bmm(torch.bmm(cells.transpose(1, 2), cells).softmax(-1), cells.transpose(1, 2))
    return x + kept.permute(0, 2, 1).contiguous().view(n, c, h, w)


def of_columns(x: Tensor) -> Tensor:
    """The scores transposed, as in SAGAN (Zhang et al., 2019, section 3)."""
    cells = x.flatten(2)
    scored = torch.bmm(cells.transpose(1, 2), cells).softmax(-1)
    return torch.bmm(cells, scored.permute(0, 2, 1)).view(x.shape)


def of_channels(x: Tensor) -> Tensor:
    """Which channels go together (Fu et al., Dual Attention Network, 2019, section 3.3)."""
    cells = x.flatten(2)
    return torch.bmm(torch.bmm(cells, cells.transpose(1, 2)).softmax(-1), cells).view_as(x)


def of_a_smaller_map(x: Tensor) -> Tensor:
    """Keys of a pooled map, as in PVT (Wang et al., 2021, section 3.3)."""
    q, k = (m.flatten(2).transpose(1, 2) for m in (x, F.avg_pool2d(x, 2)))
    return (scores(q, k) @ k).transpose(1, 2).reshape(x.shape)


def of_heads(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    q = x.reshape(n, 2, c // 2, h * w).transpose(2, 3)
    return F.scaled_dot_product_attention(q, q, q).transpose(2, 3).reshape(n, c, h, w)


def along_rows(x: Tensor) -> Tensor:
    """Attention among the cells of a row: the rows are beside each other like images."""
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n * h, w, c)
    return (scores(rows, rows) @ rows).view(n, h, w, c).permute(0, 3, 1, 2)


ATTENTION = [non_local, of_columns, of_channels, of_a_smaller_map, of_heads, along_rows]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("attention", "head", "images", "traced"),
    sampled(
        (
            (attention, head, *given)
            for attention in ATTENTION
            for head in ("flat", "mean")
            for given in ((1, (40, 40)), (2, (44, 44)), (2, (60, 28)))
        ),
        10,
    ),
)
def test_sizes_are_followed_through_attention(
    attention: Callable[[Tensor], Tensor], head: str, images: int, traced: tuple[int, int]
) -> None:
    def forward(x: Tensor, conv: nn.Module, flat: nn.Module, mean: nn.Module) -> Tensor:
        x = attention(conv(x))
        if head == "mean":
            return mean(x.mean((2, 3)))  # type: ignore[no-any-return]
        return flat(x.flatten(1))  # type: ignore[no-any-return]

    layers = nn.Conv2d(3, 4, 3, 4, 1), nn.Linear(4 * 11 * 11, 2), nn.Linear(4, 2)
    model = Net(forward, *layers).eval()
    sizes = valid_sizes(model, trace(model, (images, 3, *traced)))
    assert sizes.exact
    right = [n for n in range(1, 65) if runs(model, 3, n, n)]
    assert [n for n in range(1, 65) if (n, n) in sizes] == right
    for height, width in [(3, 9), (44, 20), (20, 44), (41, 44), (60, 28), (28, 60)]:
        assert ((height, width) in sizes) == runs(model, 3, height, width) or head == "flat"


def of_attention(x: Tensor, attention: nn.Module) -> Tensor:
    return attention(x, x, x)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "layer",
    [
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True),
        nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
        Net(of_attention, nn.MultiheadAttention(8, 2, batch_first=True)),
    ],
    ids=["after", "before", "embedded", "alone"],
)
@pytest.mark.parametrize("size", [(2, 10, 8), (3, 5, 8), (1, 8, 8)])
def test_a_transformer_reads_sequences_of_any_length(
    layer: nn.Module, size: tuple[int, ...]
) -> None:
    sizes = valid_sizes(layer.eval(), trace(layer, size))
    assert str(sizes) == "length 1 and more"
    assert sizes.exact


@pytest.mark.parametrize("pooling", [nn.MaxPool1d(5), nn.MaxPool1d(4, 3, 1, 2, ceil_mode=True)])
@pytest.mark.parametrize("length", [4, 9, 20, 400])
def test_lengths_are_told_if_a_pooling_of_signals_is_left_nothing(
    pooling: nn.Module, length: int
) -> None:
    """Torch refuses there before an operation runs."""
    layers = nn.Conv1d(2, 4, 3), pooling, nn.Conv1d(4, 4, 3), pooling, nn.Flatten(), nn.Linear(8, 1)
    model = nn.Sequential(*layers).eval()
    sizes = valid_sizes(model, trace(model, (2, 2, length)))
    assert sizes.exact
    assert [n for n in SIZES if (n,) in sizes] == [n for n in SIZES if runs(model, 2, n)]


PRODUCTS = {
    "height with width": lambda x: x @ x,
    "height with height": lambda x: (x @ x.transpose(-1, -2)).mean(-1, keepdim=True) + x,
    "rows with columns": lambda x: x @ x.transpose(-1, -2) @ x,
    "cells in another order": lambda x: x.flatten(2) @ x.transpose(2, 3).flatten(2).transpose(1, 2),
    "as often as there are cells": lambda x: (
        x.mean((2, 3), keepdim=True).flatten(2).repeat(1, 1, x.shape[2] ** 2) @ x.flatten(2).mT
    ),
    "a number of cells": lambda x: (
        F.adaptive_avg_pool2d(x, 11).flatten(2) @ x.flatten(2).transpose(1, 2)
    ),
}


@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("traced", [(44, 44), (40, 28)])
def test_products_of_matrices_are_told_rightly_or_not_at_all(
    case: str, traced: tuple[int, int]
) -> None:
    def forward(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
        x = PRODUCTS[case](conv(x))
        return fc(x.flatten(2).mean(2))  # type: ignore[no-any-return]

    model = Net(forward, nn.Conv2d(3, 4, 3, 4, 1), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (2, 3, *traced)))
    every = [(h, w) for h in range(1, 50, 3) for w in range(1, 50, 3)]
    told = [size for size in every if size in sizes]
    right = [size for size in every if runs(model, 3, *size)]
    assert set(told) <= set(right)
    assert told == right or not sizes.exact


@pytest.mark.parametrize("number", [196, 121, 22])
def test_what_reads_how_cells_go_together_is_not_followed(number: int) -> None:
    def forward(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
        cells = conv(x).flatten(2)
        return fc(torch.bmm(cells.transpose(1, 2), cells)).mean(1)  # type: ignore[no-any-return]

    model = Net(forward, nn.Conv2d(3, 4, 3, 4, 1), nn.Linear(number, 2)).eval()
    for side in (44, 56):
        sizes = valid_sizes(model, trace(model, (2, 3, side, side)))
        told = [n for n in range(1, 65) if (n, n) in sizes]
        right = [n for n in range(1, 65) if runs(model, 3, n, n)]
        assert set(told) <= set(right)
        assert told == right or not sizes.exact


@pytest.mark.parametrize("size", [(1, 224), (224, 1), (1, 52), (2, 300)])
def test_no_size_below_one_is_guessed(size: tuple[int, int]) -> None:
    """Where twelve features are wanted and many come, the side of 1 is not made smaller."""
    model = nn.Sequential(nn.Conv2d(1, 1, (1, 2)), Expanded(1), nn.Flatten(), nn.Linear(12, 5))
    sizes = valid_sizes(model.eval(), trace(model, (2, 1, *size)))
    assert all(runs(model, 1, h, w) for h in range(1, 14) for w in (2, 13) if (h, w) in sizes)


CONDITIONS = {
    "above": lambda side, a: side > a,
    "between": lambda side, a: between(a - 12, side, a),
    "one": lambda side, a: side == a,
    "multiple": lambda side, a: side % (a % 7 + 2) == 0,
    "half": lambda side, a: side // 2 > a // 2,
}
ACTIONS = {
    "pool": lambda x, a: F.max_pool2d(x, 2),
    "cut": lambda x, a: x[:, :, :a, :a],
    "resize": lambda x, a: F.interpolate(x, size=(a, a)),
    "activate": lambda x, a: F.relu(x),
    "average": lambda x, a: F.adaptive_avg_pool2d(x, 3),
}


@examples(12, 200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CONDITIONS)),
            st.sampled_from([2, 3]),
            st.integers(4, 40),
            st.sampled_from([*sorted(ACTIONS), "raise"]),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([2, 4, 7]),
    st.integers(2, 48),
)
def test_generated_branches_are_told_rightly_or_not_at_all(
    steps: list[tuple[str, int, int, str]], cells: int, traced: int
) -> None:
    def forward(x: Tensor, fc: nn.Module) -> Tensor:
        for condition, axis, a, action in steps:
            if CONDITIONS[condition](x.shape[axis], a):
                if action == "raise":
                    raise ValueError("no such size")
                x = ACTIONS[action](x, a)
        return fc(F.max_pool2d(x, 2).flatten(1))  # type: ignore[no-any-return]

    model = Net(forward, nn.Linear(4 * cells**2, 2)).eval()
    sizes = valid_sizes(model, trace(model, (2, 4, traced, traced)))
    right = [n for n in range(1, 49) if trace(model, (2, 4, n, n)).failure is None]
    told = [n for n in range(1, 49) if (n, n) in sizes]
    assert set(told) <= set(right)
    assert told == right or not sizes.exact


@pytest.mark.parametrize("traced", [(20, 36), (36, 20), (20, 20), (26, 36)])
@pytest.mark.parametrize("laid_out", ["windows", "a part of the features"])
def test_a_shape_that_is_worked_out_from_the_size_is_no_number_of_features(
    traced: tuple[int, int], laid_out: str
) -> None:
    """Windows of 3 that do not fill the map stop the forward, not the number of its cells."""

    def forward(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
        x = conv(x)
        n, c, h, w = x.shape
        if laid_out == "windows":
            x = x.reshape(n, c, h // 3, 3, w // 3, 3).mean((2, 3, 4, 5))
        else:
            x = x.reshape(n, c, h // 3 * 3 * w).mean(2)
        return fc(x)  # type: ignore[no-any-return]

    model = Net(forward, nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (1, 3, *traced)))
    every = [(h, w) for h in range(1, 41, 4) for w in range(1, 41, 4)]
    right = [size for size in every if trace(model, (1, 3, *size)).failure is None]
    told = [size for size in every if size in sizes]
    assert set(told) <= set(right)
    assert told == right or not sizes.exact


OF_A_TABLE = {
    "a part that ends with the table": lambda x, table: table[: x.shape[1]],
    "rows that are looked up": lambda x, table: F.embedding(torch.arange(x.shape[1]), table),
}


@pytest.mark.parametrize("case", OF_A_TABLE)
@pytest.mark.parametrize("length", [1, 4, 16])
def test_a_table_of_positions_is_told_rightly_or_not_at_all(case: str, length: int) -> None:
    def forward(x: Tensor, fc: nn.Module, table: nn.Module) -> Tensor:
        positions = OF_A_TABLE[case](x, table.weight)
        return (fc(x) + positions).mean(1)  # type: ignore[no-any-return]

    model = Net(forward, nn.Linear(3, 4), nn.Embedding(16, 4)).eval()
    layers = nn.Sequential(nn.LayerNorm(3), model).eval()
    sizes = valid_sizes(layers, trace(layers, (2, length, 3)))
    assert not sizes.exact or [n for n in SIZES if (n,) in sizes] == [*range(1, 17)]
    assert not any((n,) in sizes for n in range(17, 129))


MADE = {
    "ones": lambda x, gru: x + torch.ones(16, 1),
    "written into": lambda x, gru: x.clone().mul_(torch.arange(16.0)[:, None]),
    "exponents": lambda x, gru: x ** torch.ones(16, 1),
    "repeated": lambda x, gru: torch.lerp(x, torch.ones(16, 4).expand(x.shape), 0.5),
    "put beside": lambda x, gru: torch.cat([x[:, :, 1:], torch.zeros(2, 16, 1)], 2),
    "a mask": lambda x, gru: (x @ x.mT + torch.ones(16, 16).tril()).softmax(-1) @ x,
    "states of a sequence": lambda x, gru: gru(x, torch.zeros(1, 16, 4))[0],
    "as long as the sequence": lambda x, gru: x + torch.arange(x.shape[1])[:, None],
    "a mask of the sequence": lambda x, gru: (
        (x @ x.mT + torch.ones(x.shape[1], x.shape[1]).tril()).softmax(-1) @ x
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize(("case", "length"), sampled(product(MADE, [1, 4, 16, 20]), 8))
def test_what_the_forward_makes_of_a_number_of_steps_is_not_left_out(
    case: str, length: int
) -> None:
    """At the size at which they meet, nothing shows that other sizes do not."""

    def forward(x: Tensor, fc: nn.Module, gru: nn.Module) -> Tensor:
        return MADE[case](fc(x), gru).mean(1)  # type: ignore[no-any-return]

    net = Net(forward, nn.Linear(3, 4), nn.GRU(4, 4))
    model = nn.Sequential(nn.LayerNorm(3), net).eval()
    sizes = valid_sizes(model, trace(model, (2, length, 3)))
    right = [n for n in range(1, 40) if trace(model, (2, n, 3)).failure is None]
    told = [n for n in range(1, 40) if (n,) in sizes]
    assert set(told) <= set(right)
    assert told == right or not sizes.exact
    if case == "as long as the sequence" and length > 1:
        assert sizes.exact


@pytest.mark.parametrize(("traced", "cells"), [(6, 6), (48, 2), (40, 9)])
def test_a_map_of_one_cell_that_is_repeated_does_not_stand_for_others(
    traced: int, cells: int
) -> None:
    """One cell meets an embedding of any size, and then has too many for its old shape."""

    def forward(x: Tensor, conv: nn.Module, map_: nn.Module, head: nn.Module) -> Tensor:
        x = conv(x)
        n, _, h, w = x.shape
        y = x + map_(torch.zeros(1, cells * cells)).view(1, 1, cells, cells)
        return head(y.reshape(n, -1, h, w)).mean((2, 3))  # type: ignore[no-any-return]

    layers = nn.Conv2d(3, 4, 2, 2), nn.Linear(cells * cells, cells * cells), nn.Conv2d(4, 2, 1)
    model = Net(forward, *layers).eval()
    sizes = valid_sizes(model, trace(model, (2, 3, traced, traced)))
    right = [n for n in range(1, 65) if runs(model, 3, n, n)]
    told = [n for n in range(1, 65) if (n, n) in sizes]
    assert set(told) <= set(right)
    assert told == right or not sizes.exact


def test_a_clip_whose_values_are_read_is_not_run_at_a_thousand_frames_with_data() -> None:
    def forward(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
        x = conv(x)
        x = -x if bool((x > 1).all()) else x
        x = x.mean((3, 4)).mT
        return fc(x + torch.arange(x.shape[1])[:, None]).mean(1)  # type: ignore[no-any-return]

    model = Net(forward, nn.Conv3d(3, 4, 3, 2, 1), nn.Linear(4, 2)).eval()
    sizes = valid_sizes(model, trace(model, (1, 3, 4, 8, 8)))
    assert (sizes.axes, sizes.exact) == (tuple((Interval(n, n),) for n in (4, 8, 8)), False)
