"""Figures of `summary` against golden files, torchvision, torchsummary and torchinfo.

The golden files are written anew by ``python -m pytest tests/test_summary.py --overwrite``.
"""

import contextlib
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from networks import asker_network, filled, torchvision_network
from sampling import sampled
from torch import nn
from torchvision.models import get_model_weights

from vgglab.models.network import vgg
from vgglab.receptive_field import receptive_field
from vgglab.summary import summary

GOLDEN = Path(__file__).parent / "golden"


class ReviewNetwork(nn.Module):
    """The structure of the paper review's VGG: two blocks of layers, then one linear layer."""

    def __init__(self):
        super().__init__()
        parts = vgg("E", norm="batch", device="meta")
        self.features = parts.features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.fc = nn.Sequential(*parts.classifier[:6], nn.ReLU())
        self.classifier = parts.classifier[6]

    def forward(self, x):
        return self.classifier(self.fc(self.avgpool(self.features(x)).flatten(1)))


TABLES = {
    "asker-vgglab": (lambda: asker_network("meta"), (1, 3, 400, 400), "vgglab"),
    "asker-torchsummary": (lambda: asker_network("meta"), (1, 3, 400, 400), "torchsummary"),
    "review-torchinfo": (ReviewNetwork, (2, 3, 224, 224), "torchinfo"),
    "stopped-vgglab": (
        lambda: vgg("A", head="fc-fixed", device="meta"),
        (1, 3, 400, 400),
        "vgglab",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_the_golden_ones(name, request):
    build, size, style = TABLES[name]
    table = summary(build(), size).format(style) + "\n"
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--overwrite"):
        path.write_text(table)
    assert table == path.read_text()


def test_the_askers_published_figures():
    lines = (GOLDEN / "asker-torchsummary.txt").read_text().splitlines()
    for published in (
        "Total params: 333,502,275",
        "Trainable params: 318,787,587",
        "Non-trainable params: 14,714,688",
        "Input size (MB): 1.83",
        "Forward/backward pass size (MB): 696.55",
        "Params size (MB): 1272.21",
        "Estimated Total Size (MB): 1970.59",
    ):
        assert published in lines


def test_the_reviews_published_figures():
    lines = (GOLDEN / "review-torchinfo.txt").read_text().splitlines()
    for published in (
        "Total params: 143,678,248",
        "Total mult-adds (G): 39.29",
        "Input size (MB): 1.20",
        "Forward/backward pass size (MB): 475.41",
        "Params size (MB): 574.71",
        "Estimated Total Size (MB): 1051.33",
    ):
        assert published in lines


def without_conventions(table):
    """Drop the last line, which is ours."""
    return table.rpartition("\n")[0]


OTHERS = ["vgg16", "vgg19_bn", "alexnet", "resnet18", "squeezenet1_0", "googlenet", "swin_t"]


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled([*OTHERS, "densenet121", "mobilenet_v3_small"], 4))
def test_torchinfos_table_to_the_digit(name):
    import torchinfo

    model = filled(torchvision_network(name, "meta")).eval()
    theirs = str(torchinfo.summary(model, (2, 3, 96, 96), verbose=0, device="cpu"))
    # Since Python 3.11 torchinfo 1.8.0 prints the name of an enum member for the unit.
    for unit, letter in (("MEGABYTES", "M"), ("GIGABYTES", "G")):
        theirs = theirs.replace(f"Units.{unit}", letter)
    assert without_conventions(summary(model, (2, 3, 96, 96)).format("torchinfo")) == theirs


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(OTHERS, 3))
def test_torchsummarys_table_to_the_digit(name):
    import torchsummary

    model = filled(torchvision_network(name, "meta")).eval()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        torchsummary.summary(model, (3, 96, 96), device="cpu")
    ours = without_conventions(summary(model, (1, 3, 96, 96)).format("torchsummary"))
    assert ours == printed.getvalue().rstrip("\n")


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("config", ["A", "B", "D", "E"])
def test_mult_adds_and_parameters_are_torchvisions_published_ones(config, norm):
    names = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}
    name = names[config] + ("_bn" if norm else "")
    published = get_model_weights(name).IMAGENET1K_V1.meta
    for model in (vgg(config, norm=norm, device="meta"), torchvision_network(name, "meta")):
        table = summary(model, (1, 3, 224, 224))
        assert round(table.mult_adds / 1e9, 3) == published["_ops"]
        assert table.total_params == published["num_params"]


@pytest.mark.parametrize(
    "name", ["vgg16", "resnet50", "densenet121", "googlenet", "vit_b_16", "swin_t"]
)
def test_rows_add_up_to_the_totals(name):
    model = torchvision_network(name, "meta").eval()
    table = summary(model, (1, 3, 224, 224))
    used = sum(row.params for row in table.rows)
    unused = [note for note in table.notes if "does not use" in note]
    assert (
        used == table.total_params if not unused else f"{table.total_params - used:,}" in unused[0]
    )
    assert sum(row.mult_adds for row in table.rows) == table.mult_adds
    saved = sum(row.saved_bytes for row in table.rows) + table.trace.saved_input_bytes
    assert saved == table.saved_bytes


def test_functional_operations_have_rows():
    table = summary(torchvision_network("resnet18", "meta"), (1, 3, 64, 64))
    kinds = [(row.path, row.type) for row in table.rows]
    assert ("layer1.0", "add_") in kinds
    assert kinds.index(("layer1.0.bn2", "BatchNorm2d")) < kinds.index(("layer1.0", "add_"))
    assert kinds[-2:] == [("", "view"), ("fc", "Linear")]


def test_frozen_shared_and_repeated_layers():
    linear = nn.Linear(4, 4)
    model = nn.Sequential(linear, nn.ReLU(), linear, nn.Linear(4, 2).requires_grad_(False))
    table = summary(model, (3, 4))
    assert (table.total_params, table.trainable_params) == (30, 20)
    assert [row.params for row in table.rows] == [20, 0, 0, 10]
    assert [row.mult_adds for row in table.rows] == [48, 0, 48, 24]


def test_notes_say_what_is_left_out():
    assert summary(torchvision_network("vgg11", "meta"), (1, 3, 64, 64)).notes == []
    vit = summary(torchvision_network("vit_b_16", "meta"), (1, 3, 224, 224))
    attention, fields = vit.notes
    assert attention.startswith("Not in the total: ")
    assert fields.startswith("Receptive fields are bounds where ")
    googlenet = torchvision_network("googlenet", "meta").eval()
    (unused,) = summary(googlenet, (1, 3, 224, 224)).notes
    assert unused.startswith("This forward does not use ")


def test_an_operation_without_a_formula_is_unknown_not_zero():
    table = summary(nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)])
    assert [row.mult_adds for row in table.rows] == [None]
    assert table.notes == ["No formula for the mult-adds of _trilinear: not in the total."]
    assert "unknown" in str(table)


def test_a_model_that_had_to_run_for_real_says_so():
    class DataDependent(nn.Module):
        def forward(self, x):
            return x if x.sum().item() else -x

    table = summary(DataDependent(), (2, 3))
    assert table.saved_bytes is None
    assert "Kept for the backward pass: unknown" in str(table)
    assert "run for real" in table.notes[0]


def test_a_failing_forward_gives_the_rows_up_to_it():
    table = summary(vgg("D", head="fc-fixed", device="meta"), (1, 3, 400, 400))
    assert table.rows[-1].path == "classifier.0"
    assert table.rows[-1].output_shapes == ()
    assert table.total_params == 138_357_544
    assert "stopped here" in str(table)
    assert "(1, 73728), (25088, 4096)" in " ".join(table.notes)


def test_a_failing_operation_of_the_model_itself_has_a_row():
    class View(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).view(-1, 25088)

    rows = summary(View(), (1, 3, 9, 9)).rows
    assert [(row.path, row.type, bool(row.output_shapes)) for row in rows] == [
        ("conv", "Conv2d", True),
        ("", "view", False),
    ]


class ReturnsNothing(nn.Module):
    def forward(self, x):
        return None


class Stubborn(nn.Module):
    """Catches the failure of one layer, and then fails in an operation of its own."""

    def __init__(self, size):
        super().__init__()
        self.log = ReturnsNothing()
        self.linear = nn.Linear(5, 5)
        self.size = size

    def forward(self, x):
        self.log(x)
        try:
            self.linear(x)
        except RuntimeError:
            return x.view(self.size)


@pytest.mark.parametrize(("size", "stopped"), [((6,), []), ((7,), ["view"])])
def test_only_the_row_that_failed_says_stopped_here(size, stopped):
    table = summary(Stubborn(size), (2, 3))
    assert [row.type for row in table.rows] == ["ReturnsNothing", "Linear", "view"]
    lines = [line.split() for line in str(table).splitlines()]
    assert [line[1] for line in lines if line[-6:-4] == ["stopped", "here"]] == stopped


def test_receptive_fields_are_those_of_the_layers():
    model = vgg("D", device="meta").eval()
    rows = {row.path: row for row in summary(model, (1, 3, 400, 400)).rows}
    printed = {
        line.split()[0]: line for line in str(summary(model, (1, 3, 400, 400))).splitlines() if line
    }
    for layer in ("features.0", "features.28", "features.30", "avgpool", "classifier.0"):
        field = receptive_field(model, (1, 3, 400, 400), layer)
        assert rows[layer].receptive_field.to_dict() == field.to_dict()
    for layer, text in {
        "features.30": " 212x212 ",
        "avgpool": " up to 276x276 ",
        "classifier.0": " 400x400 ",
        "classifier.2": " - ",
    }.items():
        assert text in printed[layer]
    rolled = summary(Rolled(), (1, 3, 8, 8))
    assert "at most 8x8" in str(rolled)
    assert rolled.notes == [
        "Receptive fields are bounds where roll at '' is not followed: "
        "its output may see all that it reads."
    ]


class Rolled(nn.Module):
    def forward(self, x):
        return x.roll(1, -1)


def test_dict_is_plain_json():
    table = summary(vgg("A", device="meta").eval(), [(1, 3, 64, 64)])
    as_dict = json.loads(json.dumps(table.to_dict()))
    assert as_dict["total_params"] == table.total_params
    assert as_dict["rows"][0]["output_shapes"] == [[1, 64, 64, 64]]
    assert as_dict["rows"][0]["receptive_field"]["size"] == [3, 3]
    assert as_dict["rows"][-2]["receptive_field"] is None  # dropout in eval mode runs nothing
    assert len(as_dict["rows"]) == len(table.rows)


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text = []

    def handle_data(self, data):
        self.text.append(data.strip())


def test_html_holds_every_row():
    table = summary(vgg("A", device="meta"), (1, 3, 64, 64))
    cells = Cells()
    cells.feed(table._repr_html_())
    for row in table.rows:
        assert row.path in cells.text


def test_unknown_style_is_named():
    table = summary(nn.ReLU(), (1, 3))
    with pytest.raises(ValueError, match="style must be one of vgglab, torchsummary, torchinfo"):
        table.format("keras")
