"""The interactive figure in a bare page opened from a file, driven by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sampling import sampled

from vgglab.figures.explorer import EXAMPLES, INPUT_SIZES, POOLS, START, explorer
from vgglab.models.configs import CONFIGS, Conv
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
    config: value("config"), slider: value("slider"), side: value("side"),
    verdict: text("#verdict, #message"), facts: text(".facts dd"), map: text("#map")[0],
    sums: text(".sum"),
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
            lambda request: request.url == path.as_uri() or problems.append(request.url),
        )
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


def expected(config: str, size: int) -> dict[str, Any]:
    """What `vgglab` says of this input, in the words of the figure."""
    sides = feature_map_sizes(size, POOLS)
    layers: list[list[str]] = []
    stage, convs, channels = 1, 0, 3
    for layer in CONFIGS[config].layers():
        name = f"{str(layer).lower()}{stage}"
        if isinstance(layer, Conv):
            convs, channels = convs + 1, layer.out_channels
            name = f"conv{stage}_{convs} {layer.kernel_size}×{layer.kernel_size}"
        elif layer == "maxpool":
            name = f"pool{stage} 2×2"
            stage, convs = stage + 1, 0
        layers.append([name, f"{channels} × {sides[stage - 1]} × {sides[stage - 1]}"])
    side = sides[-1]
    features = 512 * side * side
    fits = features == 25088
    rest = ["4,096", "4,096", "1,000"] if fits else ["✗ stops here", "not reached", "not reached"]
    layers += zip(
        ["flatten", "fc6", "fc7", "fc8"],
        [f"{features:,}", *rest],
        strict=True,
    )
    same = input_sizes(side, POOLS)
    error = f"mat1 and mat2 shapes cannot be multiplied (1x{features} and 25088x4096)"
    return {
        "config": config,
        "slider": str(size),
        "side": str(size),
        "verdict": ["✓ Fits", "fc6 gets as many features as it expects."]
        if fits
        else ["✗ Does not fit", f"RuntimeError: {error}"],
        "facts": [
            f"512 · {side} · {side} = {features:,}",
            "512 · 7 · 7 = 25,088",
            f"{same[0]} to {same[-1]} px",
            "224 to 255 px",
        ],
        "map": f"{side} × {side}",
        "sums": [f"input {size}"]
        + [
            f"{before} ÷ 2 = {after}" + ("\n1 px dropped" if before % 2 else "")
            for before, after in pairwise(sides)
        ],
        "pressed": [str(size)] if size in EXAMPLES else [],
        "layers": [list(layer) for layer in layers],
    }


def read(page: Page, nth: int = 0) -> dict[str, Any]:
    return page.locator("vgglab-explorer").nth(nth).evaluate(READ)


def press(page: Page, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def focused(page: Page) -> str:
    return page.evaluate(
        "(e => e?.id || e?.textContent)(document.activeElement.shadowRoot?.activeElement)"
    )


def walk_over_all_sizes(page: Page) -> None:
    """Press the keys of the slider, which has the focus, and compare each step with `vgglab`."""
    assert focused(page) == "slider"
    press(page, "Home")
    assert read(page) == expected("D", INPUT_SIZES[0])
    page.locator("vgglab-explorer").evaluate(RECORD)
    press(page, "ArrowRight", len(INPUT_SIZES) - 1)
    records = page.evaluate("window.records")
    assert [record["slider"] for record in records] == [str(size) for size in INPUT_SIZES[1:]]
    for size, record in zip(INPUT_SIZES[1:], records, strict=True):
        assert record == expected("D", size)


def test_every_size_by_arrow_keys(open_figures: Open) -> None:
    page = open_figures("D")
    assert read(page) == expected("D", START)
    press(page, "Tab", 3)
    walk_over_all_sizes(page)


@pytest.mark.wide
def test_every_size_in_the_built_book(visit: Visit) -> None:
    page = visit("notebooks/04_shape_mismatch.html", "narrow")
    assert read(page) == expected("D", START)
    page.locator("vgglab-explorer #slider").focus()
    walk_over_all_sizes(page)


def test_every_config_by_keyboard(open_figures: Open) -> None:
    page = open_figures("A")
    press(page, "Tab")
    for config in CONFIGS:
        assert focused(page) == "config"
        press(page, "Tab", 2)
        for size in EXAMPLES:
            press(page, "Tab")
            assert focused(page) == str(size)
            press(page, "Enter")
            assert read(page) == expected(config, size)
        press(page, "Shift+Tab", len(EXAMPLES) + 2)
        press(page, "ArrowDown")


def test_typing_a_size(open_figures: Open) -> None:
    page = open_figures("D")
    press(page, "Tab", 2)
    assert focused(page) == "side"
    page.keyboard.press("Control+a")
    page.keyboard.type("224")
    assert read(page) == expected("D", 224)
    press(page, "ArrowDown")
    assert read(page) == expected("D", 223)
    for typed, taken in [("1000", 512), ("3", 32), ("", 32), ("255.4", 255)]:
        page.keyboard.press("Control+a")
        press(page, "Delete")
        page.keyboard.type(typed)
        press(page, "Enter")
        assert read(page) == expected("D", taken), typed


def test_keys_stay_inside(open_figures: Open) -> None:
    # Otherwise arrows turn the page of a book, and digits change the cell of a notebook.
    page = open_figures("D")
    page.evaluate(
        """() => {
          window.keys = [];
          document.addEventListener("keydown", event => window.keys.push(event.key));
        }"""
    )
    press(page, "Tab", 3)
    press(page, "ArrowRight", 3)
    page.keyboard.press("Control+k")
    assert page.evaluate("keys.filter(key => key !== 'Tab')") == ["Control", "k"]


def test_focus_can_be_seen(open_figures: Open) -> None:
    page = open_figures("D")
    for _ in range(3 + len(EXAMPLES)):
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
    press(page, "Tab", 3)
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
    press(page, "Tab", 3)
    press(page, "ArrowLeft")
    assert [read(page, 0), read(page, 1)] == [expected("D", START - 1), expected("E", START)]
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    assert page.locator("table").first.is_hidden()
    for key in ("ArrowLeft", "Home"):  # in vain, and where it fits
        press(page, key)
        assert faults(page, but=()) == []


def test_colours_follow_the_page(open_figures: Open) -> None:
    page = open_figures("D", mode="light")
    page.evaluate("document.body.style.color = 'rgb(1, 2, 3)'")
    colours = page.locator("vgglab-explorer").evaluate(
        """host => ["#verdict", "#side", "select", "button", "dd"].map(
          selector => getComputedStyle(host.shadowRoot.querySelector(selector)).color)"""
    )
    assert set(colours) == {"rgb(1, 2, 3)"}


@pytest.mark.parametrize("width", [320, 390, 657, 672, 1280])
def test_no_text_is_cut(open_figures: Open, width: int) -> None:
    page = open_figures("E")
    press(page, "Tab", 3)
    press(page, "End")
    page.evaluate(f"document.querySelector('vgglab-explorer').style.width = '{width}px'")
    wide = page.locator("vgglab-explorer").evaluate(
        """host => [...host.shadowRoot.querySelectorAll("p, dt, dd, label, button")]
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
