"""The figure of receptive fields in a bare page opened from a file, driven by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fields_of_vgg import fields
from playwright.sync_api import Browser, BrowserContext, Page
from sampling import sampled

from vgglab.figures.field_explorer import SIDE, START, field_explorer
from vgglab.models.configs import CONFIGS
from vgglab.receptive_field import Box

from .conftest import BARE, MODES, Visit, faults

pytestmark = pytest.mark.browser

# What a reader sees: text, and where boxes are drawn, in pixels of the image.
READ = """host => {
  const root = host.shadowRoot;
  const node = id => root.getElementById(id);
  const text = (selector, from = root) =>
    [...from.querySelectorAll(selector)].map(node => node.textContent);
  const sides = ({ style }) =>
    [style.top, style.left, style.height, style.width].map(part => parseFloat(part) / 100);
  // Top, left, bottom, right of a box in the image, of which the map is a picture. Styles have six
  // digits, of the square's side, so that of the image's tenths of a pixel can be told.
  const within = (box, map) => {
    const [[y, x, h, w], [top, left, height, width]] = [sides(box), sides(map)];
    return [(y - top) / height, (x - left) / width, (y - top + h) / height,
      (x - left + w) / width].map(part => Math.round(SIDE * part * 10) / 10 + 0);
  };
  return {
    config: node("config").value, layer: node("layer").value,
    depth: [node("depth").value, node("depth").ariaValueText],
    cell: [node("row").value, node("column").value].map(Number),
    map: [node("map").ariaLabel, node("map").ariaValueText],
    summary: node("summary").textContent,
    numbers: text("tbody td"), facts: text("dd"),
    boxes: ["beyond", "seen"].map(id => within(node(id), node("image"))),
    steps: [...root.querySelectorAll(".step")].map(step => [
      ...text("p", step),
      ...["beyond", "seen", "before"].map(part =>
        within(step.querySelector("." + part), step.querySelector(".map"))),
    ]),
  };
}""".replace("SIDE", str(SIDE))
# Reads the figure after each change, so that hundreds of keys need one answer.
RECORD = f"""host => {{
  window.records = [];
  const record = () => window.records.push(({READ})(host));
  host.shadowRoot.addEventListener("input", record);
  host.shadowRoot.addEventListener("keydown", event => event.defaultPrevented && record());
}}"""
# From the cell in the corner to its neighbours, to the opposite corner, and back over the edge.
KEYS = ("Home", "PageUp", "ArrowUp", "ArrowRight", "ArrowDown", "End", "PageDown", "ArrowDown")
KEYS += ("ArrowLeft", "ArrowUp")

Cell = tuple[int, int]
Open = Callable[..., Page]


@pytest.fixture
def open_figures(contexts: dict[str, BrowserContext], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the figures of some configs: ``open_figures("D", "E")``."""
    problems: list[str] = []
    pages: list[Page] = []

    def open_page(*configs: str, mode: str = "light") -> Page:
        path = tmp_path / "figure.html"
        html = "\n".join(field_explorer(config)._repr_html_() for config in configs)
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


def words(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first}–{last}" if first >= 0 else f"−{-first} to {str(last).replace('-', '−')}"


def edges(rows: tuple[int, int], names: tuple[str, str]) -> str:
    return ", ".join(f"{n} {name}" for n, name in zip(rows, names, strict=True) if n) or "none"


def scaled(box: Box, side: int) -> list[float]:
    return [edge * SIDE / side for edge in box]


def expected(config: str, layer: str, cell: Cell) -> dict[str, Any]:
    """What `vgglab` says of this cell, in the words of the figure."""
    network = fields(config)
    order = list(network)
    place = order.index(layer)
    # What the cell sees of the image and of each map, and the cell itself.
    seen = network[layer]
    itself = Box(*cell, cell[0] + 1, cell[1] + 1)
    full = [*(field.box(*cell, clipped=False) for field in seen), itself]
    cut = [*(field.box(*cell) for field in seen), itself]
    sides = [SIDE, *(network[name][0].map_size[0] for name in order[: place + 1])]
    kinds = [CONFIGS[config].layers()[k] if k < len(order) - 1 else "fc6" for k in range(place + 1)]

    steps = []
    for index in range(place, -2, -1):
        name, side = (order[index], sides[index + 1]) if index >= 0 else ("image", SIDE)
        whole, part = full[index + 1], cut[index + 1]
        if index == place:
            reads, total = "one cell:", "1"
        else:
            kind = kinds[index + 1]
            k = {"maxpool": 2, "LRN": 1, "fc6": 7}.get(kind) or kind.kernel_size
            before = full[index + 2].bottom - full[index + 2].top
            more = "· 2" if kind == "maxpool" else f"+ {k - 1}"
            reads = f"{order[index + 1]}, {k} × {k}:"
            total = f"{before} {more} = {whole.bottom - whole.top}"
        lines = []
        for word, k in (("row", 0), ("column", 1)):
            size, hidden = whole[k + 2] - whole[k], whole[k + 2] - whole[k]
            hidden -= part[k + 2] - part[k]
            plural = "s" if size > 1 else ""
            padding = f" +\u00a0{hidden}" if hidden else ""
            lines.append(f"{word}{plural} {words(part[k], part[k + 2] - 1)}{padding}")
        inner = min(index + 2, place + 1)
        boxes = [scaled(whole, side), scaled(part, side), scaled(full[inner], sides[inner])]
        steps.append([f"{name} {side} × {side}", reads, total, *lines, *boxes])

    field, whole, part = seen[0], full[0], cut[0]
    size, side = whole.bottom - whole.top, sides[place + 1]
    height, width = part.bottom - part.top, part.right - part.left
    return {
        "config": config,
        "layer": layer,
        "depth": [str(place + 1), f"{layer}, field {size} × {size}"],
        "cell": list(cell),
        "map": [f"Cell of {layer}, {side} × {side}", "row {}, column {}".format(*cell)],
        "summary": f"Cell ({cell[0]}, {cell[1]}) of {layer} sees {height} × {width} pixels",
        "numbers": [
            words(whole.top, whole.bottom - 1),
            words(whole.left, whole.right - 1),
            f"{size} × {size}",
            words(part.top, part.bottom - 1),
            words(part.left, part.right - 1),
            f"{height} × {width}",
            edges((part.top - whole.top, whole.bottom - part.bottom), ("above", "below")),
            edges((part.left - whole.left, whole.right - part.right), ("left", "right")),
            "",
        ],
        "facts": [
            f"{field.stride[0]} px from a cell to the next",
            f"{field.padding[0]} px, by which cell (0, 0) reaches over the edge",
        ],
        "boxes": [scaled(whole, SIDE), scaled(part, SIDE)],
        "steps": steps,
    }


def read(page: Page, nth: int = 0) -> dict[str, Any]:
    return page.locator("vgglab-field-explorer").nth(nth).evaluate(READ)


def press(page: Page, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.shadowRoot?.activeElement?.id")


def side_of(config: str, layer: str) -> int:
    return fields(config)[layer][0].map_size[0]


def started(config: str) -> dict[str, Any]:
    layer, row, column = START
    side = side_of(config, layer)
    return expected(config, layer, (int(row * side), int(column * side)))


def moved(cell: Cell, key: str, side: int) -> Cell:
    i, j = cell
    target = {
        "Home": (i, 0),
        "End": (i, side - 1),
        "PageUp": (0, j),
        "PageDown": (side - 1, j),
        "ArrowUp": (i - 1, j),
        "ArrowDown": (i + 1, j),
        "ArrowLeft": (i, j - 1),
        "ArrowRight": (i, j + 1),
    }[key]
    return tuple(min(max(place, 0), side - 1) for place in target)


def walk_over_all_layers(page: Page, config: str) -> None:
    """Go to each layer and around its map by keys; compare each step with `vgglab`."""
    assert focused(page) == "depth"
    press(page, "Home")
    page.locator("vgglab-field-explorer").evaluate(RECORD)
    layers = list(fields(config))
    start = tuple(read(page)["cell"])
    for _ in layers:
        press(page, "Tab")
        assert focused(page) == "map"
        for key in KEYS:
            press(page, key)
        press(page, "Shift+Tab")
        press(page, "ArrowRight")
    records = iter(page.evaluate("window.records"))
    cell = start
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        side = side_of(config, layer)
        for key in KEYS:
            cell = moved(cell, key, side)
            assert next(records) == expected(config, layer, cell), (layer, key)
        if following:
            # The cell at the same place in the image.
            new = side_of(config, following)
            cell = tuple((2 * place + 1) * new // (2 * side) for place in cell)
            assert next(records) == expected(config, following, cell)
    assert next(records, None) is None


def test_every_layer_by_keyboard(open_figures: Open) -> None:
    page = open_figures("D")
    assert read(page) == started("D")
    press(page, "Tab", 6)
    walk_over_all_layers(page, "D")


@pytest.mark.wide
def test_every_layer_in_the_built_book(visit: Visit) -> None:
    page = visit("notebooks/02_receptive_field.html", "narrow")
    assert read(page) == started("D")
    page.locator("vgglab-field-explorer #depth").focus()
    walk_over_all_layers(page, "D")


def test_every_config_by_keyboard(open_figures: Open) -> None:
    page = open_figures("A")
    press(page, "Tab")
    for config in CONFIGS:
        assert focused(page) == "config"
        assert read(page) == started(config)
        press(page, "ArrowDown")


def test_a_layer_that_the_next_config_lacks(open_figures: Open) -> None:
    page = open_figures("E")
    press(page, "Tab", 2)
    assert focused(page) == "layer"
    page.keyboard.type("conv5_4")
    assert read(page)["layer"] == "conv5_4"
    press(page, "Shift+Tab")
    press(page, "ArrowUp")
    assert [read(page)[key] for key in ("config", "layer")] == ["D", "conv1_1"]


def test_typing_a_cell(open_figures: Open) -> None:
    page = open_figures("D")
    layer, _, column = START
    side = side_of("D", layer)
    cell = [read(page)["cell"][0], int(column * side)]
    press(page, "Tab", 2)
    for axis, name in enumerate(("row", "column")):
        press(page, "Tab")
        assert focused(page) == name
        for typed, taken in [("7", 7), ("999", side - 1), ("-3", 0), ("", 0), ("4.4", 4)]:
            page.keyboard.press("Control+a")
            press(page, "Delete")
            page.keyboard.type(typed)
            press(page, "Enter")
            cell[axis] = taken
            press(page, "Tab")
            press(page, "Shift+Tab")
            assert read(page) == expected("D", layer, tuple(cell)), typed


def test_pointing_shows_a_cell_and_a_click_chooses_it(open_figures: Open) -> None:
    page = open_figures("D")
    page.locator("#layer").select_option("pool5")
    before = read(page)
    box = page.locator("#map").bounding_box()
    assert box is not None
    for cell in [(0, 0), (6, 2), (3, 6)]:
        y, x = ((place + 0.5) / 7 for place in cell)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        assert read(page) == expected("D", "pool5", cell)
    page.mouse.move(0, 0)
    assert read(page) == before
    page.locator("#map").click(position={"x": box["width"] * 0.4, "y": box["height"] * 0.9})
    assert focused(page) == "map"
    press(page, "ArrowUp")  # the pointer that rests on the map says no more
    assert read(page) == expected("D", "pool5", (5, 2))
    page.mouse.move(0, 0)
    assert read(page) == expected("D", "pool5", (5, 2))


def test_a_finger_drags_the_cell(browser: Browser, tmp_path: Path) -> None:
    """On a phone the map is as wide as the page, and a drag moves its cell and not the page."""
    path = tmp_path / "figure.html"
    path.write_text(BARE.replace("%s", field_explorer("D")._repr_html_()), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(path.as_uri())
    page.locator("#layer").select_option("pool5")
    page.locator("#figure.stacked").wait_for()
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    assert box is not None
    assert box["width"] > 0.8 * 390
    scrolled = page.evaluate("scrollY")
    session = context.new_cdp_session(page)

    def touch(kind: str, *cell: int) -> None:
        y, x = ((place + 0.5) / 7 for place in cell) if cell else (0, 0)
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        session.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point] if cell else []}
        )

    touch("touchStart", 0, 0)
    for cell in [(1, 1), (3, 2), (6, 2)]:
        touch("touchMove", *cell)
    touch("touchEnd")
    page.wait_for_function(
        "document.querySelector('vgglab-field-explorer').cell.join() === '6,2'", timeout=5000
    )
    assert read(page) == expected("D", "pool5", (6, 2))
    assert page.evaluate("scrollY") == scrolled
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_one_layer_at_a_time_or_all(open_figures: Open) -> None:
    page = open_figures("D")
    shown = """host => [...host.shadowRoot.querySelectorAll(".step")]
      .filter(step => step.checkVisibility()).map(step => step.firstChild.firstChild.data)"""
    figure = page.locator("vgglab-field-explorer")
    back = ["image", *fields("D")]
    back = back[: back.index(START[0]) + 1][::-1]
    assert figure.evaluate(shown) == back[1:2]
    page.locator("#step").focus()
    press(page, "ArrowRight", 2)
    assert figure.evaluate(shown) == back[3:4]
    press(page, "End")
    assert figure.evaluate(shown) == ["image"]
    page.get_by_label("all layers at once").check()
    assert figure.evaluate(shown) == back
    assert page.locator("#step").is_hidden()


def test_play_goes_on_to_the_end_and_stops_by_hand(open_figures: Open) -> None:
    page = open_figures("D")
    figure = page.locator("vgglab-field-explorer")
    page.clock.install()
    figure.evaluate("host => host.showLayer(16)")
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Stop"
    for layer in ("conv5_3", "pool5", "fc6"):
        page.clock.run_for(901)
        assert read(page)["layer"] == layer
    page.clock.run_for(901)
    assert page.locator("#play").inner_text() == "Play"
    page.locator("#play").click()  # from the first again
    assert read(page)["layer"] == "conv1_1"
    page.locator("#depth").focus()
    press(page, "ArrowRight")
    assert page.locator("#play").inner_text() == "Play"
    page.clock.run_for(2000)
    assert read(page)["layer"] == "conv1_2"
    page.locator("#playsteps").click()
    page.clock.run_for(901)
    assert page.locator("#step").input_value() == "2"


def test_maps_are_the_photograph_with_as_many_cells(open_figures: Open) -> None:
    page = open_figures("D")
    figure = page.locator("vgglab-field-explorer")
    figure.evaluate("host => host.photo.decode()")
    page.locator("#layer").select_option("fc6")
    drawn = figure.evaluate(
        """host => [...host.shadowRoot.querySelectorAll("canvas")].map(({ width }) => width)"""
    )
    sides = [SIDE, *(field[0].map_size[0] for field in fields("D").values())]
    assert drawn == [sides[-1], SIDE, *sides[::-1]]
    colours = figure.evaluate(
        """({ shadowRoot }) => new Set(shadowRoot.getElementById("imagephoto").getContext("2d")
          .getImageData(0, 0, 224, 224).data).size"""
    )
    assert colours > 100


def test_keys_stay_inside(open_figures: Open) -> None:
    # Otherwise arrows turn the page of a book, and move the page under the map.
    page = open_figures("D")
    page.evaluate(
        """() => {
          window.keys = [];
          document.addEventListener("keydown", event => window.keys.push(event.key));
        }"""
    )
    press(page, "Tab", 7)
    assert focused(page) == "map"
    scrolled = page.evaluate("scrollY")
    for key in (*KEYS, "Control+k", "Control+ArrowLeft"):
        press(page, key)
    pressed = page.evaluate("keys.filter(key => key !== 'Tab')")
    assert pressed == ["Control", "k", "Control", "ArrowLeft"]
    assert page.evaluate("scrollY") == scrolled


def test_focus_can_be_seen(open_figures: Open) -> None:
    page = open_figures("D")
    for name in (
        "config",
        "layer",
        "row",
        "column",
        "play",
        "depth",
        "map",
        "step",
        "playsteps",
        "all",
    ):
        press(page, "Tab")
        assert focused(page) == name
        style = "getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle"
        assert page.evaluate(style) == "solid", name


def test_box_is_announced_once_the_cell_stays(open_figures: Open) -> None:
    page = open_figures("D")
    live = page.locator("[aria-live=polite]")
    live.filter(has_text="conv4_1").wait_for(state="attached")
    page.evaluate(
        """() => {
          const live = document.querySelector("vgglab-field-explorer").shadowRoot
            .querySelector("[aria-live=polite]");
          window.said = [];
          new MutationObserver(() => window.said.push(live.textContent))
            .observe(live, { childList: true, subtree: true, characterData: true });
        }"""
    )
    press(page, "Tab", 7)
    for key in ("PageUp", "Home", "ArrowRight", "ArrowRight", "ArrowDown"):
        press(page, key)
    text = "Cell (1, 2) of conv4_1 sees 42 × 50 pixels: rows 0–41, columns 0–49"
    live.filter(has_text=text).wait_for(state="attached")
    assert page.evaluate("said") == [text]


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
        field_explorer("B")._repr_html_(),
    )
    assert [read(page, 0), read(page, 1)] == [started("D"), started("B")]


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_twice_on_a_page(open_figures: Open, mode: str) -> None:
    page = open_figures("D", "E", mode=mode)
    assert [read(page, 0), read(page, 1)] == [started("D"), started("E")]
    press(page, "Tab", 6)
    press(page, "End")
    assert [read(page, 0), read(page, 1)] == [expected("D", "fc6", (0, 0)), started("E")]
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    assert page.locator("table").first.is_hidden()
    assert faults(page, but=()) == []


def test_colours_follow_the_page(open_figures: Open) -> None:
    page = open_figures("D", mode="light")
    page.evaluate("document.body.style.color = 'rgb(1, 2, 3)'")
    colours = page.locator("vgglab-field-explorer").evaluate(
        """host => ["#summary", "#row", "select", "td", "dd", ".step p:last-child"].map(
          selector => getComputedStyle(host.shadowRoot.querySelector(selector)).color)"""
    )
    assert set(colours) == {"rgb(1, 2, 3)"}


def test_boxes_keep_their_colours_where_colours_are_forced(open_figures: Open) -> None:
    page = open_figures("D")
    page.emulate_media(forced_colors="active")
    seen, beyond = page.locator("vgglab-field-explorer").evaluate(
        """host => ["seen", "beyond"].map(
          id => getComputedStyle(host.shadowRoot.getElementById(id)))
          .map(({ backgroundColor, backgroundImage }) => [backgroundColor, backgroundImage])"""
    )
    assert "0.1058" in seen[0]  # of #1b87c9
    assert "rgb(213, 94, 0)" in beyond[1]


def test_no_text_is_cut(open_figures: Open) -> None:
    page = open_figures("E")
    page.locator("#layer").select_option("fc6")  # the longest numbers
    for width in (320, 390, 657, 672, 1280):
        wide = page.locator("vgglab-field-explorer").evaluate(
            """(host, width) => {
              host.style.width = `${width}px`;
              const end = host.getBoundingClientRect().right;
              return [...host.shadowRoot.querySelectorAll("p:not(.quiet), dt, dd, label, table")]
                .filter(node => node.scrollWidth > Math.max(node.clientWidth, 1)
                  || node.getBoundingClientRect().right > end + 1)
                .map(node => node.textContent);
            }""",
            width,
        )
        assert wide == [], width


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_without_scripts_the_table_is_shown(browser: Browser, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "figure.html"
    path.write_text(BARE.replace("%s", field_explorer("D")._repr_html_()), encoding="utf-8")
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
    assert table.locator("tbody th").all_text_contents() == list(fields("D"))
    assert "Config D" in table.inner_text()
    assert "stage" not in page.locator("main").inner_text()
    box = page.locator(".vgglab-scroll").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    context.close()
