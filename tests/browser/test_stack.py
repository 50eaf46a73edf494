"""The page on which readers build their own stack: its answers beside those of `vgglab`."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import torchinfo
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sampling import SEED, WIDE, sampled
from torch import nn
from vgglab_light import light_scripts

from vgglab.diagnose import diagnose
from vgglab.figures.stack import lines_of, stack
from vgglab.lab.small_networks import slim_fc_vgg
from vgglab.models.network import vgg
from vgglab.receptive_field import fields_of
from vgglab.summary import summary
from vgglab.tracing import trace
from vgglab.valid_sizes import valid_sizes
from vgglab.valid_sizes.propagation import LIMIT

from .conftest import BARE, MODES, Visit, faults, from_file

pytestmark = pytest.mark.browser

NETWORKS, SIZES = (300, 12) if WIDE else (8, 3)

ANSWERS = """(host, [lines, inputs]) => inputs.map(input => {
  const { rows, failure, unreadable, sizes, repairs } = host.answer(lines, input);
  const largest = ({ first, last }) =>
    Math.max(0, 1 + first.reduce((most, start, k) => Math.max(most, last[k] - start), -1));
  return {
    unreadable, sizes,
    message: failure?.detail,
    stops: failure && rows.length,
    rows: rows.map(({ shape, parameters, multAdds, axes }) => {
      const patterns = axes.map(({ pattern }) => pattern);
      const known = patterns.every(Boolean);
      return {
        shape, parameters, multAdds,
        size: known ? patterns.map(({ size }) => size) : null,
        stride: known ? patterns.map(({ stride }) => stride) : null,
        padding: known ? patterns.map(({ start }) => 0 - start) : null,
        largest: axes.map(largest),
      };
    }),
    repairs: repairs.map(({ title, layers, input, stops }) =>
      ({ title, input, stops, lines: layers.map(layer => host.written(layer)) })),
  };
})"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stack") / "stack.html"
    html = light_scripts(stack())  # as it is published
    path.write_text(BARE.replace("%s", html), encoding="utf-8")
    return path


@pytest.fixture
def bare(contexts: dict[str, BrowserContext], path: Path) -> Iterator[Page]:
    with from_file(contexts["light"], path) as page:
        yield page


def build(lines: list[str]) -> nn.Sequential:
    with torch.device("meta"):
        return nn.Sequential(*(eval(f"nn.{line}", {"nn": nn}) for line in lines)).eval()


def answers(page: Page, lines: list[str], *inputs: tuple[int, ...]) -> list[dict[str, Any]]:
    return page.locator("vgglab-stack").evaluate(ANSWERS, [lines, [list(i) for i in inputs]])


def test_the_script_is_small() -> None:
    own = (files("vgglab.figures") / "stack.js").read_text(encoding="utf-8")
    light = light_scripts(f"<script>{own}</script>").removeprefix("<script>")
    assert len(light.removesuffix("</script>").encode()) <= 30_000


# --- the same answers as vgglab -------------------------------------------------------------------


def pair(rng: random.Random, low: int, high: int) -> int | tuple[int, int]:
    side = rng.randint(low, high)
    return side if rng.random() < 0.75 else (side, rng.randint(low, high))


def one_layer(rng: random.Random, channels: int) -> tuple[list[str], int]:
    """Return a layer, with what must stand before it, and the channels that come out of it."""
    out = rng.choice([4, 6, 8, 12])
    kind = rng.choice(
        ["conv"] * 5 + ["pool"] * 3 + ["same", "norm", "up", "transposed", "adaptive"]
    )
    if kind == "conv":
        groups = rng.choice([1, 1, 1, channels])
        out = groups * rng.randint(1, 3) if groups > 1 else out
        if rng.random() < 0.15:
            options = f"{rng.choice([1, 3, 5])}, padding='same', dilation={pair(rng, 1, 3)}"
        else:
            options = (
                f"{pair(rng, 1, 7)}, stride={pair(rng, 1, 3)}, padding={pair(rng, 0, 3)}, "
                f"dilation={pair(rng, 1, 2)}"
            )
        bias = rng.random() < 0.7
        return [f"Conv2d({channels}, {out}, {options}, groups={groups}, bias={bias})"], out
    if kind == "pool":
        name = rng.choice(["MaxPool2d", "AvgPool2d"])
        kernel = rng.randint(1, 4)
        options = f"{kernel}, stride={rng.choice([None, 1, 2, (2, 1)])}"
        options += f", padding={rng.randint(0, kernel // 2)}, ceil_mode={rng.random() < 0.4}"
        return [f"{name}({options})"], channels
    if kind == "transposed":
        stride = rng.randint(1, 3)
        options = (
            f"{pair(rng, 1, 4)}, stride={stride}, padding={rng.randint(0, 1)}, "
            f"output_padding={rng.randint(0, stride - 1)}, dilation={pair(rng, 1, 2)}"
        )
        return [f"ConvTranspose2d({channels}, {out}, {options})"], out
    if kind == "up":
        options = rng.choice(["scale_factor=2", "size=(9, 7)", "scale_factor=(2, 3)"])
        mode = rng.choice(["", ", mode='bilinear'", ", mode='bilinear', align_corners=True"])
        return [f"Upsample({options}{mode})"], channels
    if kind == "adaptive":
        name = rng.choice(["AdaptiveAvgPool2d", "AdaptiveMaxPool2d"])
        return [f"{name}({rng.choice([5, 7, (None, 6), (4, 9)])})"], channels
    if kind == "norm":
        return [f"BatchNorm2d({channels}, affine={rng.random() < 0.8})"], channels
    return [rng.choice(["ReLU()", "Dropout(0.2)", "GELU()", "Identity()"])], channels


def network(rng: random.Random) -> list[str]:
    """Return the lines of a network; some of them stop at every size."""
    lines: list[str] = []
    channels = 3
    for _ in range(rng.randint(1, 7)):
        layer, channels = one_layer(rng, channels)
        lines += layer
    if rng.random() < 0.15:  # a slip
        lines.append(f"Conv2d({channels + 1}, 4, 3)")
        channels = 4
    if rng.random() < 0.7:
        side = rng.randint(1, 9)
        shape = trace(build(lines), (1, 3, 48, 48)).output_shapes or ((1, channels, side, side),)
        _, _, height, width = shape[0] if len(shape[0]) == 4 else (1, channels, side, side)
        cells = [height * width] * 4 + [side * side, side * (side + 1)]
        features = channels * rng.choice(cells)
        lines += ["Flatten()"] * (rng.random() < 0.85)
        lines += [f"Linear({features}, 16)", "ReLU()"]
        lines += ["BatchNorm1d(16)"] * (rng.random() < 0.3)
        lines += [f"Linear({rng.choice([16] * 7 + [10])}, 10, bias={rng.random() < 0.8})"]
    return lines


def expected(model: nn.Sequential, size: tuple[int, ...]) -> dict[str, Any]:
    """What `vgglab` says: shapes, costs and fields up to where it stops."""
    found = trace(model, (1, *size), training=False, watch_sizes=False)
    fields = {field.path: field for field in fields_of(found)}
    shapes = {op.path: list(op.output_shapes[0][1:]) for op in found.ops}
    steps: dict[str, int] = {}
    for op in found.ops:
        steps[op.path] = steps.get(op.path, 0) + (op.mult_adds or 0)
    stops = None if found.failure is None else int(found.failure.path)
    rows = []
    before = list(size)
    for place, module in enumerate(model[:stops]):
        path = str(place)
        before = shapes.get(path, before)  # an identity runs nothing
        rows.append(
            {
                "shape": before,
                "parameters": sum(p.numel() for p in module.parameters()),
                "multAdds": steps.get(path, 0),
                "field": fields.get(path),
            }
        )
    return {"stops": stops, "rows": rows, "message": found.failure and found.failure.message}


def differences(
    lines: list[str], model: nn.Sequential, size: tuple[int, ...], shown: dict[str, Any]
) -> list[str]:
    assert shown["unreadable"] is None, (lines, shown)
    wanted = expected(model, size)
    found = []
    if shown["stops"] != wanted["stops"]:
        found.append(f"stops at {shown['stops']}, not {wanted['stops']}: {wanted['message']}")
    if shown["message"]:  # torch words it otherwise where it has no data
        mine, torchs = (
            re.findall(r"\d+", text.partition("mat2")[2] or text)
            for text in (shown["message"], wanted["message"])
        )
        if mine != torchs:
            found.append(f"{shown['message']!r} is not {wanted['message']!r}")
    for place, (row, right) in enumerate(zip(shown["rows"], wanted["rows"], strict=False)):
        field = right.pop("field")
        found += [f"{place} {k}: {row[k]}, not {right[k]}" for k in right if row[k] != right[k]]
        if field is None or field.exactness != "exact":
            continue
        for name in ("size", "stride", "padding", "largest"):
            pair = getattr(field, name)
            if row[name] != (pair and list(pair)):
                found.append(f"{place} {lines[place]} {name}: {row[name]}, not {pair}")
    return found


def sides_in(intervals: list[Any]) -> set[int]:
    return {n for first, last in intervals for n in range(first, (last or LIMIT) + 1)}


@pytest.mark.sampled
def test_page_and_vgglab_agree(bare: Page) -> None:
    rng = random.Random(SEED)
    wrong, stopped = [], 0
    for _ in range(NETWORKS):
        lines = network(rng)
        sizes = [(3, 64, 64)]
        for _ in range(SIZES - 1):
            height = rng.randint(1, 130)
            sizes.append((3, height, rng.choice([height, rng.randint(1, 130)])))
        model = build(lines)
        shown = answers(bare, lines, *sizes)
        for size, answer in zip(sizes, shown, strict=True):
            wrong += [(lines, size, text) for text in differences(lines, model, size, answer)]
            stopped += answer["stops"] is not None
        valid = valid_sizes(model, trace(model, (1, 3, 64, 64), training=False))
        if valid.exact:
            square = sides_in(valid.height) & sides_in(valid.width)
            if square != sides_in(shown[0]["sizes"]):
                wrong.append((lines, None, f"{shown[0]['sizes']} px run, not {valid}"))
    assert wrong == [], SEED
    assert not WIDE or 0 < stopped < NETWORKS * SIZES


BROKEN = [
    (["Conv2d(1, 6, 5)", "MaxPool2d(2)", "Flatten()", "Linear(864, 10)"], (3, 28, 28)),
    (["Conv2d(3, 6, 5)", "ReLU()", "Linear(1176, 10)"], (3, 18, 18)),
    (["Conv2d(3, 8, 3)", "BatchNorm2d(6)", "Conv2d(8, 8, 3, groups=4)"], (3, 9, 9)),
    (["Conv2d(3, 8, 3)", "Flatten()", "Conv2d(8, 8, 3)"], (3, 9, 9)),
    (["MaxPool2d(2)", "MaxPool2d(2)", "MaxPool2d(2)", "Conv2d(3, 4, 1)"], (3, 6, 6)),
    (["Flatten()", "Linear(192, 16)", "BatchNorm1d(16)", "Linear(16, 2)"], (3, 16, 8)),
    (["Conv2d(3, 8, 3)", "Flatten()", "Linear(288, 16, bias=False)", "Linear(16, 2)"], (3, 9, 8)),
]


def small_fc() -> tuple[list[str], tuple[int, int, int]]:
    return lines_of(slim_fc_vgg()), (3, 40, 57)


def test_each_repair_does_what_it_says(bare: Page) -> None:
    paper = lines_of(vgg("A", head="fc-fixed", width=1 / 16, device="meta")), (3, 400, 400)
    for lines, size in (paper, small_fc(), *BROKEN):
        (shown,) = answers(bare, lines, size)
        assert shown["stops"] is not None
        assert shown["repairs"]
        for repair in shown["repairs"]:
            found = trace(build(repair["lines"]), (1, *repair["input"]), training=False)
            stops = found.failure and int(found.failure.path)
            assert stops == repair["stops"], repair
            assert stops is None or stops > shown["stops"]


def test_repairs_are_those_of_vgglab(bare: Page) -> None:
    lines, size = small_fc()
    (shown,) = answers(bare, lines, size)
    fixes = {fix.name: fix for fix in diagnose(build(lines), (1, *size)).fixes}
    names = {"Adaptive pooling": "pool", "Convolutions": "conv", "Change the line": "fc"}
    offered = {repair["title"]: repair for repair in shown["repairs"]}
    assert [*offered] == [*names, "Other images"]
    for title, name in names.items():
        costs = summary(build(offered[title]["lines"]), (1, *size))
        assert costs.total_params == fixes[name].parameters
        assert costs.mult_adds == fixes[name].mult_adds


# --- what people paste ----------------------------------------------------------------------------


def pasted(page: Page, text: str) -> tuple[list[str], str]:
    """The lines and the sentence after pasting a text."""
    page.locator("summary").evaluate("summary => summary.parentElement.open = true")
    page.locator("#paste").fill(text)
    page.get_by_role("button", name="Read it").click()
    return page.locator("vgglab-stack").evaluate("host => host.lines"), page.locator(
        "#said"
    ).inner_text()


CLASS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)  # as in the tutorial
        self.pool = nn.MaxPool2d(
            2, 2)
        self.fc1 = nn.Linear(in_features=1176, out_features=120)

    def forward(self, x):
        return self.fc1(torch.flatten(self.pool(F.relu(self.conv1(x))), 1))
"""


def test_a_class_and_printouts_are_read(bare: Page) -> None:
    network = slim_fc_vgg()
    lines = lines_of(network)
    for text in (
        str(network),
        repr(nn.Sequential(network.features, nn.Flatten(), network.classifier)),
        "nn.Sequential(\n    " + ",\n    ".join(f"nn.{line}" for line in lines) + ",\n)",
        "\n".join(lines),
    ):
        assert [line for line in pasted(bare, text)[0] if line != "Identity()"] == lines
    found, said = pasted(bare, CLASS)
    assert found == ["Conv2d(3, 6, 5)", "MaxPool2d(2)", "Flatten()", "Linear(1176, 120)"]
    assert "A flatten is put before" in said


@pytest.mark.parametrize("kind", ["torchinfo", "torchsummary", "columns", "names"])
def test_tables_are_read(bare: Page, kind: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2), bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.Flatten(),
        nn.Linear(48, 21),  # 1,029 parameters
    )
    if kind in ("columns", "names"):
        columns = ("input_size", "output_size", "num_params", "kernel_size")
        shown = ("var_names",) if kind == "names" else ("depth",)
        table = torchinfo.summary(
            network, (1, 3, 31, 32), col_names=columns, row_settings=shown, verbose=0
        )
        text = str(table)
        wanted = lines_of(network)
    else:  # no kernels in it: a square one must explain the parameters
        network[0] = nn.Conv2d(3, 8, 3, padding=1)
        text = summary(network, (1, 3, 31, 32)).format(kind)
        wanted = lines_of(network)
    found, said = pasted(bare, text)
    assert found == wanted
    assert "does not print strides" in said
    assert bare.locator("#height").input_value() == "31"


UNREADABLE = [
    ("Conv2d(3, 64, 3)\nLSTM(64, 32)", "Line 2 cannot be read: LSTM is no layer that is known"),
    ("Conv2d(3, n, 3)", "Line 1 cannot be read: n is no number"),
    ("ReLU()\n\nConv2d(3, 64)", "Line 3 cannot be read: Conv2d needs kernel_size."),
    ("Conv2d(3, 64, 3, pad=1)", "Line 1 cannot be read: Conv2d has no argument pad."),
    ("Conv2d(3, 64, 3, groups=2)", "Line 1 cannot be read: Conv2d: groups=2 must divide"),
    ("Conv2d(3, 64, 0)", "Line 1 cannot be read: kernel_size of Conv2d must be"),
    ("ReLU(\n", "Line 1 cannot be read: a bracket of ReLU stays open."),
    ("", "Line 1 cannot be read: it is no layer"),
    ("hello", "Line 1 cannot be read: it is no layer"),
    (
        "Net(\n (a): Conv2d(3, 6, 3)\n (b): Conv2d(6, 8, 3)\n (c): Conv2d(14, 2, 1)\n)",
        "This is no chain: Conv2d takes 14 channels, which are the 8 that come and 6 from further",
    ),
    ("ReLU()\nFlatten", "Line 2 cannot be read: it is no layer"),
    ("MaxPool2d(2, padding=2)", "Line 1 cannot be read: MaxPool2d: padding must be at most"),
]


def test_what_cannot_be_read_is_said_in_a_sentence(bare: Page) -> None:
    before = bare.locator("vgglab-stack").evaluate("host => host.lines")
    for text, said in UNREADABLE:
        lines, sentence = pasted(bare, text)
        assert sentence.startswith(said)
        assert lines == before


# --- as readers use it ----------------------------------------------------------------------------


def verdict(page: Page) -> str:
    return page.locator("#verdict").inner_text()


def test_it_opens_with_vgg_16_that_breaks(bare: Page) -> None:
    assert verdict(bare) == "✗ It stops at layer 33"
    assert (
        "built for 25,088 = 512 × 7 × 7 and gets 73,728 = 512 × 12 × 12"
        in bare.locator("#why").inner_text()
    )
    assert bare.locator("#fitting").inner_text() == "224 to 255 px"
    bare.get_by_role("button", name="Adaptive pooling: Do it").click()
    assert verdict(bare) == "✓ It runs"
    assert "138,357,544 parameters" in bare.locator("#costs").inner_text()
    bare.get_by_role("button", name="Undo").click()
    assert verdict(bare) == "✗ It stops at layer 33"


def test_by_keyboard_alone(bare: Page) -> None:
    lines = "host => host.lines"
    host = bare.locator("vgglab-stack")
    pasted(bare, "Conv2d(3, 8, 3)\nReLU()\nFlatten()")
    field = "(e => e.shadowRoot.activeElement.ariaLabel)(document.activeElement)"
    bare.get_by_label("Layer 1", exact=True).focus()
    bare.keyboard.press("ArrowDown")
    assert bare.evaluate(field) == "Layer 2"
    bare.keyboard.press("Alt+ArrowDown")
    assert host.evaluate(lines) == ["Conv2d(3, 8, 3)", "Flatten()", "ReLU()"]
    assert bare.evaluate(field) == "Layer 3"
    bare.keyboard.press("Enter")
    bare.keyboard.type("Linear(9, 2)")
    assert verdict(bare) == "✗ It stops at layer 4"
    style = "getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle"
    assert bare.evaluate(style) == "solid"
    bare.keyboard.press("Control+a")
    bare.keyboard.press("Backspace")
    bare.keyboard.press("Backspace")
    assert host.evaluate(lines) == ["Conv2d(3, 8, 3)", "Flatten()", "ReLU()"]
    assert bare.evaluate(field) == "Layer 3"
    bare.keyboard.type("x")
    assert verdict(bare) == "✗ A line cannot be read"
    assert bare.locator("#why").inner_text().startswith("Line 3 cannot be read")


@pytest.mark.sampled
def test_layers_can_be_added_where_they_fit(bare: Page) -> None:
    pasted(bare, "Conv2d(3, 8, 3)")
    kinds = {*bare.locator("#kinds option").all_text_contents()} - {"BatchNorm1d"}  # of features
    for kind in sampled(sorted(kinds), 4):
        bare.get_by_label("Layer 1", exact=True).focus()
        bare.get_by_label("New layer").select_option(kind)
        bare.get_by_role("button", name="Add", exact=True).click()
        assert verdict(bare) == "✓ It runs", kind
        bare.get_by_role("button", name="Remove").click()
    assert bare.locator("vgglab-stack").evaluate("host => host.lines") == ["Conv2d(3, 8, 3)"]


def test_a_link_holds_the_network(bare: Page) -> None:
    assert "#" not in bare.url  # nothing was changed
    pasted(bare, "Conv2d(3, 8, (3, 5), padding='same')\nFlatten()\nLinear(7, 2)")
    bare.get_by_label("height").fill("20")
    address, said = bare.evaluate("location.href"), bare.locator("#why").inner_text()
    bare.goto("about:blank")
    bare.goto(address)
    assert bare.locator("#why").inner_text() == said
    assert bare.get_by_label("height").input_value() == "20"
    bare.goto(address.partition("#")[0] + "#3x9x9;ReLU();Nonsense(%3Cb%3E)")
    assert verdict(bare) == "✗ A line cannot be read"
    assert "Nonsense is no layer" in bare.locator("#why").inner_text()


def test_numbers_that_no_machine_could_hold_are_answered(bare: Page) -> None:
    lines = ["Upsample(scale_factor=900)", "Conv2d(3, 4, 4096, padding=4096)", "Flatten()"]
    (shown,) = answers(bare, lines, (3, 400, 400))
    assert shown["stops"] == 0


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_looks(visit: Visit, mode: str) -> None:
    page = visit("stack.html", mode)
    assert verdict(page) == "✗ It stops at layer 33"
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    page.locator("summary").first.evaluate("summary => summary.parentElement.open = true")
    assert faults(page) == []


def test_readers_without_scripts_see_a_table(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base_url + "stack.html")
    table = page.locator("vgglab-stack table")
    assert table.is_visible()
    expect(table).to_contain_text("512 × 12 × 12")  # its blanks keep a line whole
    assert "needs scripts" in page.locator("vgglab-stack").inner_text()
    context.close()
