"""The interactive figure in a bare page opened from a file, driven by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, BrowserContext, Page
from sampling import sampled

from vgglab.figures.explorer import EXAMPLES, MOST, POOLS, REPAIRS, SLIDER, START, explorer
from vgglab.lab.repairs import Case, apply_repair
from vgglab.models.configs import CONFIGS, Conv
from vgglab.models.network import vgg
from vgglab.shapes import feature_map_sizes, input_sizes

from .conftest import BARE, MODES, Visit, faults

pytestmark = pytest.mark.browser

# What a reader sees, as nested lists of text.
READ = """host => {
  const root = host.shadowRoot;
  const text = (selector, from = root) =>
    [...from.querySelectorAll(selector)].map(node => node.textContent);
  const value = id => root.getElementById(id).value;
  return {
    config: value("config"), slider: value("heights"), sides: [value("height"), value("width")],
    verdict: text("#verdict, #message"), facts: text(".facts dd"), map: text("#map")[0],
    sums: text(".sum"),
    marks: [...root.querySelectorAll(".photo")].map(photo => [...photo.querySelectorAll(".dropped")]
      .map(mark => mark.hidden ? null : mark.style.getPropertyValue("--part"))),
    pressed: text("button[aria-pressed=true]"),
    layers: [...root.querySelectorAll("#stages dl > div")].map(
      row => [text("dt", row)[0].trim(), text("dd", row)[0]]),
  };
}"""
# Reads the figure after each change, so that hundreds of keys need one answer.
RECORD = f"""host => {{
  window.records = [];
  host.shadowRoot.addEventListener("input", () => window.records.push(({READ})(host)));
}}"""

Open = Callable[..., Page]


@pytest.fixture
def open_figures(contexts: dict[str, BrowserContext], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the figures of some configs: ``open_figures("D", "E")``."""
    problems: list[str] = []
    pages: list[Page] = []

    def open_page(*configs: str, mode: str = "light") -> Page:
        path = tmp_path / "figure.html"
        html = "\n".join(explorer(config)._repr_html_() for config in configs)
        path.write_text(BARE.replace("%s", html), encoding="utf-8")
        page = contexts[mode].new_page()
        pages.append(page)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith((path.as_uri(), "data:")) or problems.append(r.url),
        )
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


def by(sides: Any) -> str:
    return " × ".join(map(str, sides))


@cache
def raised(size: tuple[int, int]) -> str:
    """Return what torch says of an input that does not fit; shapes are checked before numbers."""
    model = vgg("D", head="fc-fixed", device="meta")  # all end with as many channels
    try:
        cells = model.features(torch.empty(1, 3, *size, device="meta"))
        weight = torch.empty(1, 1).expand(4096, 25088)
        torch.nn.functional.linear(torch.empty(1, 1).expand(1, cells.numel()), weight)
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    return ""


def expected(config: str, size: tuple[int, int], error: str | None = None) -> dict[str, Any]:
    """What `vgglab` says of this input, in the words of the figure."""
    chain = list(zip(*(feature_map_sizes(side, POOLS) for side in size), strict=True))
    last = chain[-1]
    features = 512 * last[0] * last[1]
    stop = next((stage for stage, sides in enumerate(chain) if not all(sides)), None)
    layers: list[list[str]] = []
    stage, convs, channels = 1, 0, 3
    for layer in CONFIGS[config].layers():
        name = f"{str(layer).lower()}{stage}"
        sides = chain[stage - 1]
        if isinstance(layer, Conv):
            convs, channels = convs + 1, layer.out_channels
            name = f"conv{stage}_{convs} {layer.kernel_size}×{layer.kernel_size}"
        elif layer == "maxpool":
            name, sides = f"pool{stage} 2×2", chain[stage]
            stage, convs = stage + 1, 0
        text = by([channels, *sides])
        if stop is not None and not all(sides):
            text = "✗ stops here" if sides == chain[stop] and "pool" in name else "not reached"
            if stop < stage - ("pool" in name):
                text = "not reached"
        layers.append([name, text])
    fits, right = last == (7, 7), features == 25088
    rest = ["✗ stops here", "not reached", "not reached"]
    if right:
        rest = ["4,096", "4,096", "1,000"]
    values = ["not reached"] * 4 if stop else [f"{features:,}", *rest]
    layers += [list(pair) for pair in zip(["flatten", "fc6", "fc7", "fc8"], values, strict=True)]
    if stop:
        verdict = f"✗ Too small: pool{stop} has nothing to give"
    elif fits:
        verdict = "✓ Fits"
    else:
        verdict = "✗ Runs without an error, and is wrong" if right else "✗ Does not fit"
    if error is None:
        error = raised(size)
    if fits:
        error = "fc6 gets as many features as it expects."
    elif right:
        cells = f"7 × 7 cells and gets {by(last)}"
        error = f"The number of features is right, but fc6 was trained on {cells}."
    same = [input_sizes(side, POOLS) if side else range(1, 32) for side in last]
    ranges = [f"{sides[0]} to {sides[-1]}" for sides in same]
    sums = []
    for before, after in pairwise(chain):
        whole = "÷ 2" if after[0] != after[1] else f"{_words(before, after)} ÷ 2"
        lost = [n for n, side in zip(("row", "column"), before, strict=True) if side % 2]
        words = f"\nlast {' and '.join(lost)} dropped" if lost else ""
        sums.append(f"{whole} = {_words(after, after)}{words}")
    marks = [[f"{100 / side:g}%" if side % 2 else None for side in sides] for sides in chain[:-1]]
    return {
        "config": config,
        "slider": str(min(size[0], SLIDER)),
        "sides": list(map(str, size)),
        "verdict": [verdict, error],
        "facts": [
            f"512 · {last[0]} · {last[1]} = {features:,}",
            "512 · 7 · 7 = 25,088",
            f"{ranges[0] if ranges[0] == ranges[1] else by(ranges)} px",
        ],
        "map": by(last),
        "sums": [f"input {_words(size, size)}", *sums],
        "marks": [*marks, [None, None]],
        "pressed": [_words(size, size)] if size in EXAMPLES else [],
        "layers": layers,
    }


def _words(sides: Any, shown: Any) -> str:
    return str(sides[0]) if sides[0] == sides[1] and shown[0] == shown[1] else by(sides)


def read(page: Page, nth: int = 0) -> dict[str, Any]:
    return page.locator("vgglab-explorer").nth(nth).evaluate(READ)


def press(page: Page, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def focused(page: Page) -> str:
    return page.evaluate(
        "(e => e?.id || e?.textContent)(document.activeElement.shadowRoot?.activeElement)"
    )


def rounded(state: dict[str, Any]) -> dict[str, Any]:
    """Return what was read, parts of a picture as Python writes them."""
    parts = [[part and f"{float(part.rstrip('%')):g}%" for part in mark] for mark in state["marks"]]
    return state | {"marks": parts}


# Sizes beside which a map of the chain changes, all small ones, and any others.
SIZES = [(side, side) for side in (*range(1, 70), 127, 128, 223, 224, 255, 256, 512, 1024, MOST)]
SIZES += [(1 + 37 * k % 700, 1 + 1009 * k % MOST) for k in range(60)]
SIZES += [(32, 1568), (1568, 32), (31, 400), (400, 31), (224, 256), (1, 33)]


def test_every_size_is_vgglabs(open_figures: Open) -> None:
    page = open_figures("D")
    states = page.locator("vgglab-explorer").evaluate(
        f"(host, sizes) => sizes.map(size => {{ host.showSize(size); return ({READ})(host); }})",
        [list(size) for size in SIZES],
    )
    for size, state in zip(SIZES, states, strict=True):
        # The error is torch's where that is cheap to ask.
        error = None if max(size) < 70 or size in EXAMPLES else state["verdict"][1]
        assert rounded(state) == expected("D", size, error), size


@pytest.mark.wide
def test_every_size_in_the_built_book(visit: Visit) -> None:
    page = visit("notebooks/04_shape_mismatch.html", "narrow")
    assert read(page) == expected("D", START)
    page.locator("vgglab-explorer #heights").focus()
    walk(page, SLIDER - 1)


def walk(page: Page, steps: int) -> None:
    """Press the keys of the slider, which has the focus, and compare each step with `vgglab`."""
    assert focused(page) == "heights"
    press(page, "Home")
    assert read(page) == expected("D", (1, 1))
    page.locator("vgglab-explorer").evaluate(RECORD)
    press(page, "ArrowRight", steps)
    records = page.evaluate("window.records")
    assert [record["slider"] for record in records] == [str(k + 2) for k in range(steps)]
    for side, record in enumerate(records, start=2):
        error = None if side < 40 else record["verdict"][1]
        assert rounded(record) == expected("D", (side, side), error)


def test_sizes_by_arrow_keys(open_figures: Open) -> None:
    page = open_figures("D")
    assert read(page) == expected("D", START)
    press(page, "Tab", 4)
    walk(page, 36)


REPAIRED = [(31, 31), (31, 400), (200, 230), (224, 224), (400, 400), (360, 640), (32, 1568)]


@pytest.mark.sampled
def test_repairs_answer_as_they_do_in_torch(open_figures: Open) -> None:
    """What each answers, and how many of VGG-16's weights have the numbers that they had."""
    page = open_figures("D")
    model = vgg("D", head="fc-fixed", width=1 / 64, device="meta")
    names = [name for name, _, _ in REPAIRS]
    for size in sampled(REPAIRED, 2):
        shown = page.locator("vgglab-explorer").evaluate(
            """(host, size) => { host.showSize(size);
              return [...host.shadowRoot.querySelectorAll("#repairs tr")].map(
                row => row.children[1].textContent); }""",
            list(size),
        )
        for name, answer in zip(names, shown, strict=True):
            # As convolutions, before the mean over the places.
            case = Case(model, (1, 3, 224, 224), (1, 3, *size))
            repaired = model if name == "none" else apply_repair(name, case)
            try:
                if repaired is None:
                    raise RuntimeError
                scores = next(iter(repaired)) if name == "conv" else repaired
                output = scores(torch.empty(1, 3, *size, device="meta")).shape
            except (RuntimeError, ValueError):
                assert answer.startswith("fails"), (name, size)
                continue
            places = f" at {by(output[2:])} places" if name == "conv" else ""
            right = f"1000 scores{places}"
            if size == (32, 1568) and name == "none":
                right = "wrong scores"  # as vgglab.diagnose warns
            assert answer == right, (name, size)


def test_weights_kept_are_those_of_the_conversions(open_figures: Open) -> None:
    page = open_figures("D")
    kept = page.locator("vgglab-explorer").evaluate(
        """host => [...host.shadowRoot.querySelectorAll("#repairs tr")].map(
          row => parseInt(row.children[2].textContent.replace(/^all |,/g, "")))"""
    )
    model = vgg("D", head="fc-fixed", device="meta")
    whole = sum(p.numel() for p in model.parameters())
    fc6 = sum(p.numel() for p in model.classifier[0].parameters())
    convs = sum(p.numel() for p in model.features.parameters())
    by_change = {"none": whole, "first": whole - fc6, "all": convs}
    assert kept == [by_change[changed] for _, _, changed in REPAIRS]


def test_a_repair_is_switched_on_by_keyboard(open_figures: Open) -> None:
    page = open_figures("D")
    page.locator("#repairs input").first.focus()
    titles = [title for _, title, _ in REPAIRS]
    for title in titles[1:]:
        press(page, "ArrowDown")
        shown = read(page)
        assert shown["verdict"][0] == f"✓ {title}: it runs"
        assert shown["layers"][-1][1].startswith("1,000")
    press(page, "ArrowDown")  # round again
    assert read(page) == expected("D", START)


def test_every_config_by_keyboard(open_figures: Open) -> None:
    page = open_figures("A")
    press(page, "Tab")
    for config in CONFIGS:
        assert focused(page) == "config"
        page.locator("#examples button").first.focus()
        for size in EXAMPLES[:7]:
            assert focused(page) == str(size[0])
            press(page, "Enter")
            assert rounded(read(page)) == expected(config, size)
            press(page, "Tab")
        page.locator("#config").focus()
        press(page, "ArrowDown")


def test_typing_a_size(open_figures: Open) -> None:
    page = open_figures("D")
    press(page, "Tab", 2)
    assert focused(page) == "height"
    page.keyboard.press("Control+a")
    page.keyboard.type("224")
    assert read(page) == expected("D", (224, 224))
    press(page, "ArrowDown")
    assert read(page)["verdict"] == expected("D", (223, 223))["verdict"]
    assert page.locator("#limits").inner_text() == "px"
    for typed in ("5000", "0", "", "255.4", "-3"):  # said, and not made another number
        page.keyboard.press("Control+a")
        press(page, "Delete")
        page.keyboard.type("224")
        page.keyboard.press("Control+a")
        press(page, "Delete")
        page.keyboard.type(typed)
        press(page, "Tab")
        assert page.locator("#height").input_value() == typed
        assert "from 1 to 4096" in page.locator("#limits").inner_text()
        assert page.locator("#height").get_attribute("aria-invalid") == "true"
        press(page, "Shift+Tab")


def test_height_and_width_apart(open_figures: Open) -> None:
    page = open_figures("D")
    assert page.locator("#width").is_hidden()
    page.get_by_label("square").uncheck()
    page.locator("#width").fill("640")
    page.locator("#height").fill("360")
    assert page.locator("#widths").is_visible()
    page.locator("#verdict").click()
    assert rounded(read(page)) == expected("D", (360, 640))
    page.locator("#widths").focus()
    press(page, "ArrowLeft")
    assert rounded(read(page)) == expected("D", (360, 639))
    page.get_by_label("square").check()
    assert rounded(read(page)) == expected("D", (360, 360))
    page.get_by_role("button", name="32 × 1568").click()
    assert rounded(read(page)) == expected("D", (32, 1568))


def test_the_photograph_is_drawn_with_as_many_cells_as_the_maps(open_figures: Open) -> None:
    page = open_figures("D")
    page.locator("vgglab-explorer").evaluate("host => host.photo.decode()")
    cells = """host => [...host.shadowRoot.querySelectorAll("canvas")].map(canvas => {
      const { height, width } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      return [height, width, new Set(data).size]; })"""
    size = (400, 640)
    page.locator("vgglab-explorer").evaluate("(host, size) => host.showSize(size)", list(size))
    drawn = page.locator("vgglab-explorer").evaluate(cells)
    chains = zip(*(feature_map_sizes(side, POOLS) for side in size), strict=True)
    assert [tuple(cell[:2]) for cell in drawn] == [
        tuple(min(side, 224) for side in sides) for sides in chains
    ]
    assert all(colours > 10 for *_, colours in drawn)


def test_keys_stay_inside(open_figures: Open) -> None:
    # Otherwise arrows turn the page of a book, and digits change the cell of a notebook.
    page = open_figures("D")
    page.evaluate(
        """() => {
          window.keys = [];
          document.addEventListener("keydown", event => window.keys.push(event.key));
        }"""
    )
    press(page, "Tab", 4)
    press(page, "ArrowRight", 3)
    page.keyboard.press("Control+k")
    assert page.evaluate("keys.filter(key => key !== 'Tab')") == ["Control", "k"]


def test_focus_can_be_seen(open_figures: Open) -> None:
    page = open_figures("D")
    for _ in range(4 + len(EXAMPLES) + 2):
        press(page, "Tab")
        style = "getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle"
        assert page.evaluate(style) == "solid", focused(page)


def test_verdict_is_announced_when_it_changes(open_figures: Open) -> None:
    page = open_figures("D")
    page.evaluate(
        """() => {
          const live = document.querySelector("vgglab-explorer").shadowRoot
            .querySelector("[aria-live=polite]");
          window.changes = 0;
          new MutationObserver(() => window.changes++)
            .observe(live, { childList: true, subtree: true, characterData: true });
        }"""
    )
    press(page, "Tab", 4)
    press(page, "ArrowRight", 15)  # 415
    assert page.evaluate("changes") == 0
    press(page, "ArrowRight")  # 416: another map
    assert page.evaluate("changes") == 1


def test_inserted_into_a_page_that_is_there(open_figures: Open) -> None:
    # As JupyterLab does: markup first, then each script again, so that it runs.
    page = open_figures("D")
    page.evaluate(
        """html => {
          const output = document.createElement("div");
          output.innerHTML = html;
          document.querySelector("main").append(output);
          for (const old of output.querySelectorAll("script")) {
            const script = document.createElement("script");
            for (const { name, value } of old.attributes) script.setAttribute(name, value);
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
        }""",
        explorer("B")._repr_html_(),
    )
    assert [read(page, 0), read(page, 1)] == [expected("D", START), expected("B", START)]


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_twice_on_a_page(open_figures: Open, mode: str) -> None:
    page = open_figures("D", "E", mode=mode)
    assert [read(page, 0), read(page, 1)] == [expected("D", START), expected("E", START)]
    press(page, "Tab", 4)
    press(page, "ArrowLeft")
    one = (START[0] - 1, START[1] - 1)
    assert [rounded(read(page, 0)), read(page, 1)] == [expected("D", one), expected("E", START)]
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    assert page.locator("table").first.is_hidden()
    for key in ("ArrowLeft", "Home"):  # in vain, and where it fits
        press(page, key)
        assert faults(page, but=()) == []


def test_colours_follow_the_page(open_figures: Open) -> None:
    page = open_figures("D", mode="light")
    page.evaluate("document.body.style.color = 'rgb(1, 2, 3)'")
    colours = page.locator("vgglab-explorer").evaluate(
        """host => ["#verdict", "#height", "select", "button", "dd"].map(
          selector => getComputedStyle(host.shadowRoot.querySelector(selector)).color)"""
    )
    assert set(colours) == {"rgb(1, 2, 3)"}


@pytest.mark.parametrize("width", [320, 390, 657, 672, 1280])
def test_no_text_is_cut(open_figures: Open, width: int) -> None:
    page = open_figures("E")
    page.get_by_role("button", name="32 × 1568").click()
    page.evaluate(f"document.querySelector('vgglab-explorer').style.width = '{width}px'")
    wide = page.locator("vgglab-explorer").evaluate(
        """host => [...host.shadowRoot.querySelectorAll("p, dt, dd, label, button, td, th")]
          .filter(node => node.scrollWidth > node.clientWidth)
          .map(node => node.textContent)"""
    )
    assert wide == []


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_without_scripts_the_table_is_shown(browser: Browser, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "figure.html"
    path.write_text(BARE.replace("%s", explorer("D")._repr_html_()), encoding="utf-8")
    width, height, scheme = MODES[mode]
    context = browser.new_context(
        java_script_enabled=False,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
    )
    page = context.new_page()
    page.goto(path.as_uri())
    table = page.locator("table")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == len(EXAMPLES)
    assert "Does not fit" not in page.locator("main").inner_text()
    box = page.locator(".vgglab-scroll").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    context.close()
