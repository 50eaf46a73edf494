"""Receptive fields: the recurrence, autograd and changed pixels agree, cell by cell."""

from __future__ import annotations

from collections import OrderedDict
from itertools import product

import pytest
import torch
from hypothesis import assume, event, given
from hypothesis import strategies as st
from networks import filled, torchvision_network
from sampling import examples, sampled
from torch import nn
from torch.nn import functional as F
from untouched import assert_unchanged, everything

from vgglab import fc_to_conv, vgg
from vgglab.pooling import adaptive_bins
from vgglab.receptive_field import Box, fields_table, receptive_field, receptive_fields
from vgglab.receptive_field.oracles import (
    answers,
    box_of,
    gradient_support,
    perturbation_box,
)
from vgglab.summary import summary

SIDES = st.tuples(st.integers(1, 4), st.integers(1, 4))


# --- networks -----------------------------------------------------------------------------------


class Together(nn.Module):
    """Branches whose maps are cropped to one size, and added or stacked."""

    def __init__(self, branches: list[nn.Module], join: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x):
        maps = [branch(x) for branch in self.branches]
        height, width = (min(map_.shape[k] for map_ in maps) for k in (-2, -1))
        maps = [map_[:, :, :height, :width] for map_ in maps]
        return torch.cat(maps, 1) if self.join == "cat" else sum(maps[1:], maps[0])


class Resized(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.options = options

    def forward(self, x):
        return F.interpolate(x, **self.options)


@st.composite
def layers(draw: st.DrawFn, channels: int, deep: bool = True) -> tuple[nn.Module, int]:
    """Generate a layer, and the channels that it gives."""
    kinds = ["conv", "conv", "pool", "relu", "norm", "pad", "grouped"]
    kind = draw(
        st.sampled_from(
            [*kinds, "together", "transposed", "resized", "shuffled"] if deep else kinds
        )
    )
    if kind in ("conv", "grouped"):
        return (
            nn.Conv2d(
                channels,
                channels if kind == "grouped" else 2,
                kernel_size=draw(SIDES),
                stride=draw(SIDES) if deep else 1,
                padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
                dilation=draw(st.tuples(st.integers(1, 3), st.integers(1, 2))),
                groups=channels if kind == "grouped" else 1,
                padding_mode=draw(st.sampled_from(["zeros", "zeros", "replicate", "reflect"])),
            ),
            channels if kind == "grouped" else 2,
        )
    if kind == "pool":
        kernel_size = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
        make = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
        stride = draw(SIDES) if deep else 1
        padding = tuple(draw(st.integers(0, k // 2)) for k in kernel_size)
        return make(kernel_size, stride, padding, ceil_mode=draw(st.booleans())), channels
    if kind == "norm":
        return nn.BatchNorm2d(channels), channels
    if kind == "pad":
        amounts = draw(st.tuples(*[st.integers(0, 2)] * 4))
        make = draw(st.sampled_from([nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d]))
        return make(amounts), channels
    if kind == "shuffled":
        return nn.Sequential(nn.Conv2d(channels, 8, 1), nn.PixelShuffle(2)), 2
    if kind == "transposed":
        stride = draw(st.integers(1, 3))
        return (
            nn.ConvTranspose2d(
                channels,
                2,
                kernel_size=draw(SIDES),
                stride=stride,
                padding=draw(st.integers(0, 1)),
                output_padding=draw(st.integers(0, stride - 1)),
                dilation=draw(st.integers(1, 2)),
            ),
            2,
        )
    if kind == "resized":
        options = draw(
            st.sampled_from(
                [
                    {"scale_factor": 2, "mode": "nearest"},
                    {"size": (7, 9), "mode": "nearest"},
                    {"scale_factor": 2, "mode": "bilinear"},
                    {"size": (5, 8), "mode": "bilinear", "align_corners": True},
                    {"size": (4, 12), "mode": "bilinear"},
                ]
            )
        )
        return Resized(**options), channels
    if kind == "together":
        join = draw(st.sampled_from(["add", "cat"]))
        branches = []
        for _ in range(2):
            layer, out = draw(layers(channels, deep=False))
            branches.append(nn.Sequential(layer, nn.Conv2d(out, 2, 1)))
        return Together(branches, join), 4 if join == "cat" else 2
    return draw(st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid()])), channels


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Sequential, tuple[int, int, int, int]]:
    size = (1, 2, draw(st.integers(6, 22)), draw(st.integers(6, 22)))
    channels, parts = 2, []
    for _ in range(draw(st.integers(1, 5))):
        layer, channels = draw(layers(channels))
        parts.append(layer)
    if draw(st.booleans()):
        parts.append(nn.AdaptiveAvgPool2d(draw(SIDES)))
    model = nn.Sequential(*parts)
    try:
        shape = model.eval()(torch.zeros(size)).shape
    except RuntimeError:
        assume(False)
    assume(shape[-2] * shape[-1] <= 2500)
    return model, size


@given(networks(), st.data())
@examples(40, 200)
def test_three_oracles_agree(network, data):
    model, size = network
    last = str(len(model) - 1)
    field = receptive_field(model, size, last)
    event(field.exactness)
    height, width = field.map_size
    for i, j in {
        (0, 0),
        (height - 1, width - 1),
        (data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))),
    }:
        box, seen = field.box(i, j), perturbation_box(model, size, last, i, j)
        assert box_of(gradient_support(model, size, last, i, j)) == seen
        if field.exactness == "exact":
            assert box == seen
        else:
            assert "sees only padding" in field.why
            assert box.top <= seen.top or seen == Box(0, 0, 0, 0)
            assert box.left <= seen.left or seen == Box(0, 0, 0, 0)
            assert box.bottom >= seen.bottom
            assert box.right >= seen.right


KNOWN = {
    "vgg16": ("features", (1, 3, 64, 96)),
    "alexnet": ("features", (1, 3, 95, 127)),
    "resnet50": ("layer3", (1, 3, 64, 96)),
    "googlenet": ("inception4e", (1, 3, 64, 98)),
    "squeezenet1_0": ("features", (1, 3, 67, 97)),
    "inception_v3": ("Mixed_6b", (1, 3, 79, 107)),
    "densenet121": ("features.denseblock3", (1, 3, 64, 96)),
    "mobilenet_v2": ("features", (1, 3, 64, 96)),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(KNOWN, 2))
def test_the_oracles_agree_on_known_networks(name):
    layer, size = KNOWN[name]
    model = torchvision_network(name, "meta")
    if layer == "features":  # without the classifier, which is large
        model = nn.Sequential(OrderedDict(features=model.features))
    model = filled(model, random=True)
    field = receptive_field(model, size, layer)
    assert field.exactness == "exact"
    assert field.map_size > (1, 1)
    height, width = field.map_size
    cells = [(0, 0), (height - 1, width - 1)]
    for i, j in cells:
        box = field.box(i, j)
        assert box == box_of(gradient_support(model, size, layer, i, j))
        masks = torch.zeros(5, *size[2:], dtype=torch.bool)
        masks[0] = True
        masks[0, box.top : box.bottom, box.left : box.right] = False
        masks[1, box.top] = masks[2, box.bottom - 1] = True
        masks[3, :, box.left] = masks[4, :, box.right - 1] = True
        seen = answers(model, size, layer, i, j, masks)
        assert seen.tolist() == [False, True, True, True, True]


# --- numbers that are known -----------------------------------------------------------------------


def test_vgg16():
    model = vgg("D", device="meta")
    conv5_3, pool5 = (
        receptive_field(model, (1, 3, 224, 224), layer) for layer in ("features.28", "features.30")
    )
    assert conv5_3.size == (196, 196)
    assert conv5_3.stride == (16, 16)
    assert (pool5.size, pool5.stride, pool5.padding) == ((212, 212), (32, 32), (90, 90))
    assert receptive_field(model, (1, 3, 224, 224)).path == "avgpool"
    dense = fc_to_conv(vgg("D", head="fc-fixed", device="meta"), (1, 3, 224, 224))
    assert receptive_field(dense, (1, 3, 400, 400), "classifier.0").size == (404, 404)


def test_three_3x3_see_what_one_7x7_sees():
    three = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3)))
    one = nn.Conv2d(1, 1, 7, padding=3)
    a, b = (receptive_field(model, (1, 1, 20, 20)) for model in (three, one))
    assert (
        (a.size, a.stride, a.padding)
        == (b.size, b.stride, b.padding)
        == (
            (7, 7),
            (1, 1),
            (3, 3),
        )
    )
    assert [a.box(i, j) for i in range(20) for j in range(20)] == [
        b.box(i, j) for i in range(20) for j in range(20)
    ]


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [("resnet50", "layer4", 427), ("resnet18", "layer4", 435), ("alexnet", "features", 195)],
)
def test_known_sizes(name, layer, size):
    model = torchvision_network(name, "meta")
    assert receptive_field(model, (1, 3, 224, 224), layer).size == (size, size)


def test_each_cell_of_an_adaptive_pool_has_its_own_field():
    """All 49 cells of the pooling from 12x12 to 7x7, by the bins alone."""
    model = vgg("D", device="meta")
    pool5 = receptive_field(model, (1, 3, 400, 400), "features.30")
    pooled = receptive_field(model, (1, 3, 400, 400), "avgpool")
    assert pooled.size is None
    bins = adaptive_bins(12, 7)
    for i in range(7):
        for j in range(7):
            cells = [pool5.box(a, b) for a in bins[i] for b in bins[j]]
            tops, lefts, bottoms, rights = zip(*cells, strict=True)
            assert pooled.box(i, j) == (min(tops), min(lefts), max(bottoms), max(rights))
    heights = {pooled.box(i, 3).bottom - pooled.box(i, 3).top for i in range(2, 5)}
    assert heights == {244, 276}


@pytest.mark.sampled
def test_each_cell_of_an_adaptive_pool_sees_what_autograd_says():
    """The 49 cells at 400 px; the channels are few, which changes no field."""
    model, size = vgg("D", width=1 / 64), (1, 3, 400, 400)
    pooled = receptive_field(model, size, "avgpool")
    assert pooled.map_size == (7, 7)
    for i, j in sampled(product(range(7), range(7)), 10):
        assert pooled.box(i, j) == box_of(gradient_support(model, size, "avgpool", i, j))


def test_unclipped_boxes_are_shifts_of_each_other():
    field = receptive_field(vgg("A", device="meta"), (1, 3, 160, 192), "features")
    assert field.size is not None
    assert field.stride is not None
    assert field.padding is not None
    for i in range(field.map_size[0]):
        for j in range(field.map_size[1]):
            box = field.box(i, j, clipped=False)
            assert box.top == i * field.stride[0] - field.padding[0]
            assert box.right - box.left == field.size[1]
            inside = Box(
                max(box.top, 0), max(box.left, 0), min(box.bottom, 160), min(box.right, 192)
            )
            assert field.box(i, j) == inside


def test_a_global_branch_sees_everything():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            y = self.conv(x)
            return y * F.adaptive_avg_pool2d(y, 1).sigmoid()

    field = receptive_field(Gated(), (1, 1, 9, 11), "")
    assert field.map_size == (9, 11)
    assert field.size is None
    assert {field.box(i, j) for i in range(9) for j in range(11)} == {Box(0, 0, 9, 11)}


def test_a_cell_that_sees_only_padding():
    model = nn.Sequential(nn.ZeroPad2d(4), nn.Conv2d(1, 1, 3))
    assert receptive_field(model, (1, 1, 5, 5), "1").box(0, 0) == Box(0, 0, 0, 0)


def test_rows_are_given_for_every_operation():
    model = vgg("A", width=1 / 8)
    before = everything(model)
    rows = receptive_fields(model, (1, 3, 64, 64))
    assert_unchanged(before, model)
    assert [row.index for row in rows] == list(range(len(rows)))
    assert rows[0].path == "features.0"
    assert rows[0].size == (3, 3)
    assert rows[-1].box(0, 0) == Box(0, 0, 64, 64)
    assert "size 3x3, stride 1x1, padding 1x1, exact" in str(rows[0])


def test_branches_that_do_not_align_are_said_to():
    centred, shifted = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
    size = (1, 1, 12, 12)
    field = receptive_field(Together([centred, shifted], "add"), size, "")
    assert (field.size, field.alignment) == ((3, 3), "")

    late = nn.Conv2d(1, 1, 3)  # its cell (0, 0) lies around pixel (1, 1)
    field = receptive_field(Together([centred, late], "cat"), size, "")
    assert field.alignment == (
        "cat at '' joins branches whose centres are 1 px apart along the height"
    )
    assert (field.size, field.exactness) == ((4, 4), "exact")
    assert field.box(5, 5) == box_of(
        gradient_support(Together([centred, late], "cat"), size, "", 5, 5)
    )
    assert field.alignment in str(field)

    strided = nn.Conv2d(1, 1, 3, stride=2)
    field = receptive_field(Together([strided, nn.Identity()], "cat"), size, "")
    assert field.alignment == "cat at '' joins branches of strides 1 and 2 along the height"
    assert field.size is None
    assert field.box(4, 0) == Box(4, 0, 11, 3)


def test_a_branch_that_sees_only_padding_makes_a_bound():
    padded = nn.Conv2d(1, 1, (1, 2), padding=(1, 0))
    field = receptive_field(Together([padded, nn.Identity()], "add"), (1, 1, 6, 6), "")
    assert field.exactness == "bound"
    assert field.why == "a branch that add at '' reads sees only padding in some cells"


def test_local_response_norm_looks_at_channels_only():
    fields = [
        receptive_field(vgg(config, device="meta"), (1, 3, 64, 96), "features")
        for config in ("A", "A-LRN")
    ]
    assert fields[0].size == fields[1].size
    assert [field.exactness for field in fields] == ["exact", "exact"]


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x.unsqueeze(1).squeeze(1),
        lambda x: x.unsqueeze(-1).squeeze(),
        lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
        lambda x: x.unbind(1)[1].unsqueeze(1),
        lambda x: x.transpose(2, 3).transpose(-1, -2),
        lambda x: torch.stack([x, x], 1).amax(1),
        lambda x: x[:, 1:, 2:-1, ::2],
        lambda x: torch.stack([x, x], -1).mean(-1),
    ],
)
def test_operations_that_move_dimensions(forward):
    class Moved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(2, 3, (1, 3)), nn.LazyConv2d(1, (3, 2))

        def forward(self, x):
            return self.last(forward(self.first(x)))

    size = (2, 2, 9, 11)
    model = Moved()
    model(torch.zeros(size))
    field = receptive_field(model, size, "last")
    assert field.exactness == "exact"
    for i, j in ((0, 0), (field.map_size[0] - 1, field.map_size[1] - 1)):
        assert field.box(i, j) == perturbation_box(model, size, "last", i, j)


def test_a_batch_norm_is_taken_as_in_eval_mode():
    model = vgg("A", norm="batch", width=1 / 16)
    assert model.training
    assert receptive_field(model, (1, 3, 64, 64), "features.5").size == (8, 8)
    table = summary(model, (1, 3, 64, 64))
    row = next(row for row in table.rows if row.path == "features.5")
    assert row.receptive_field is not None
    assert row.receptive_field.size == (8, 8)


def test_centres_are_in_the_middle_of_unclipped_boxes():
    field = receptive_field(vgg("A", device="meta"), (1, 3, 160, 192), "features")
    box = field.box(0, 0, clipped=False)
    assert field.centre == ((box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2)


def test_the_table_leaves_out_what_changes_nothing():
    fields = receptive_fields(vgg("A", device="meta", norm="batch"), (1, 3, 224, 224))
    lines = fields_table(fields).splitlines()
    assert sum("native_batch_norm" in line for line in lines) == 0
    assert len(fields_table(fields, whole=True).splitlines()) == 2 + len(fields)
    last_map = next(line for line in lines if line.startswith("features.28"))
    assert "150x150" in last_map


# --- what is not exact ------------------------------------------------------------------------


def test_an_unknown_operation_gives_a_bound():
    class Rolled(nn.Module):
        def forward(self, x):
            return F.max_pool2d(x, 2).roll(1, -1)

    field = receptive_field(Rolled(), (1, 1, 8, 8), "")
    assert field.exactness == "bound"
    assert field.why == "roll at '' is not followed: its output may see all that it reads"
    assert field.box(0, 0) == Box(0, 0, 8, 8)


def test_values_that_decide_make_it_unavailable():
    class Deciding(nn.Module):
        def forward(self, x):
            return F.max_pool2d(x, 2) if x.sum() > -1 else x

    field = receptive_field(Deciding(), (1, 1, 8, 8), "")
    assert field.exactness == "unavailable"
    assert field.size is field.stride is field.padding is None
    with pytest.raises(ValueError, match="is unavailable: the model needs the values"):
        field.box(0, 0)


# --- bad input --------------------------------------------------------------------------------


def test_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match=r"such as \['features.28'.*got 'feature.28'"):
        receptive_field(vgg("D", device="meta"), (1, 3, 64, 64), "feature.28")


def test_a_layer_that_the_forward_does_not_reach():
    model = vgg("D", head="fc-fixed", device="meta")
    assert receptive_field(model, (1, 3, 400, 400), "features.30").map_size == (12, 12)
    for layer in ("classifier.3", "classifier.0", "classifier", ""):
        message = f"stops before the output of '{layer}', in 'classifier.0': "
        with pytest.raises(ValueError, match=message):
            receptive_field(model, (1, 3, 400, 400), layer)


def test_a_layer_that_runs_nothing():
    with pytest.raises(ValueError, match=r"must be one that runs an operation; 'classifier\.2'"):
        receptive_field(vgg("D", device="meta"), (1, 3, 64, 64), "classifier.2")


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ((7, 0), ValueError, "i must be below 7, the map's size; got 7"),
        ((0, -1), ValueError, "j must be at least 0; got -1"),
        ((0, 1.5), TypeError, "j must be an integer"),
    ],
)
def test_a_cell_outside_of_the_map(cell, error, message):
    field = receptive_field(vgg("D", device="meta"), (1, 3, 224, 224), "features")
    with pytest.raises(error, match=message):
        field.box(*cell)


def test_fields_that_differ_have_no_unclipped_box():
    field = receptive_field(vgg("D", device="meta"), (1, 3, 400, 400), "avgpool")
    with pytest.raises(ValueError, match="clipped must be True for 'avgpool'"):
        field.box(0, 0, clipped=False)


# --- channels that see different pixels -----------------------------------------------------------


class Beside(nn.Module):
    """Two channels that see one pixel, beside two that see nine; then what is to be tried."""

    def __init__(self, then):
        super().__init__()
        self.one, self.nine = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 3, padding=1)
        self.mixed = nn.Conv2d(4, 4, 1)
        self.linear = nn.Linear(4 * 81, 3)
        self.then = then

    def forward(self, x):
        return self.then(self, torch.cat([self.one(x), self.nine(x)], 1))


@pytest.mark.parametrize(
    "then",
    [
        lambda _, y: y[:, :2],
        lambda _, y: y.chunk(2, 1)[0],
        lambda _, y: y.unbind(1)[0],
        lambda _, y: y[:, 0],
        lambda _, y: nn.functional.avg_pool2d(y, 2)[:, :2],
    ],
    ids=["slice", "chunk", "unbind", "select", "after a pooling"],
)
def test_channels_that_are_left_may_see_less_than_all_together(then):
    found = receptive_field(Beside(then), (1, 1, 9, 9), "")
    assert found.exactness == "bound"
    assert "cat at '' put channels with other fields together" in found.why


@pytest.mark.parametrize(
    "then",
    [
        lambda _, y: y,
        lambda self, y: self.mixed(y)[:, :2],
        lambda self, y: self.linear(y.flatten(1))[:, :2],
        lambda _, y: y[:1],
        lambda _, y: y[:, :, :4],
    ],
    ids=["all", "after a convolution", "after a linear layer", "of a batch", "of the rows"],
)
def test_where_no_channel_is_left_out_a_field_is_exact(then):
    assert receptive_field(Beside(then), (1, 1, 9, 9), "").exactness == "exact"
