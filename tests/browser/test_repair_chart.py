"""The chart of repairs in a bare page opened from a file: its answers are those of `choose`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import chart_of_the_page
from playwright.sync_api import Browser, BrowserContext, Page
from sampling import sampled

from vgglab.figures.repair_chart import REASONS, Answers, choose
from vgglab.lab.repairs import REPAIRS

from .conftest import BARE, MODES, faults

pytestmark = pytest.mark.browser

CHART, HTML = chart_of_the_page()
# Answer the questions of the form, and read what it says.
ASK = """(host, answers) => {
  const root = host.shadowRoot;
  for (const [name, value] of Object.entries(answers)) root.getElementById(name).value = value;
  root.getElementById("scene").dispatchEvent(new Event("input", { bubbles: true }));
  const text = selector => [...root.querySelectorAll(selector)].map(node => node.textContent);
  return { kept: text("#kept .name"), out: text("#out li"), summary: text("#summary")[0] };
}"""

Open = Callable[..., Page]


@pytest.fixture
def open_chart(contexts: dict[str, BrowserContext], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the chart of chapter 08 in one of `MODES`."""
    problems: list[str] = []
    pages: list[Page] = []

    def open_page(mode: str = "light") -> Page:
        path = tmp_path / "chart.html"
        path.write_text(BARE.replace("%s", HTML), encoding="utf-8")
        page = contexts[mode].new_page()
        pages.append(page)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: r.url == path.as_uri() or problems.append(r.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


def as_form(answers: Answers) -> dict[str, Any]:
    names = ("several", "pretrained", "training", "map")
    flags = {name: "1" if getattr(answers, name) else "" for name in names}
    memory = "" if answers.memory is None else str(answers.memory)
    return {
        "scene": answers.scene, "onnx": answers.onnx, "classes": str(answers.classes),
        "memory": memory, **flags,
    }  # fmt: skip


def test_it_answers_as_python_does(open_chart: Open) -> None:
    host = open_chart().locator("vgglab-repair-chart")
    seed = sampled(range(1000), 1)[0]
    draw = random.Random(seed)
    cases = [Answers()] + [
        Answers(
            draw.choice(("enlarged", "larger")),
            *(draw.random() < share for share in (0.4, 0.8, 0.6)),
            draw.choice((1000, 1000, 3)),
            draw.choice((None, None, 300, 600, 1400, 3000)),
            draw.choice(("no", "no", "fixed", "free")),
            draw.random() < 0.2,
        )
        for _ in range(60)
    ]
    for answers in cases:
        said = host.evaluate(ASK, as_form(answers))
        kept, out = choose(CHART, answers)
        assert said["kept"] == kept, (seed, answers)
        assert said["out"] == [f"{name} {REASONS[why]}" for name, why in out.items()], (
            seed,
            answers,
        )
        assert said["summary"].startswith(f"{len(kept)} of 12" if kept else "None of 12"), (
            seed,
            answers,
        )


def test_it_works_by_keyboard(open_chart: Open) -> None:
    page = open_chart()
    page.keyboard.press("Tab")
    first = page.locator("vgglab-repair-chart .name").first
    assert first.text_content() == choose(CHART, Answers())[0][0]
    page.keyboard.press("ArrowDown")  # the first question: objects as large as in training
    wanted = choose(CHART, Answers("larger"))[0][0]
    page.wait_for_function(
        "name => document.querySelector('vgglab-repair-chart').shadowRoot"
        ".querySelector('.name').textContent === name",
        arg=wanted,
    )


def test_without_scripts_it_is_a_table(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "chart.html"
    path.write_text(BARE.replace("%s", HTML), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    rows = page.locator("vgglab-repair-chart tbody th")
    assert rows.all_text_contents() == [*REPAIRS]
    assert rows.first.is_visible()
    context.close()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_in_a_readers_way(open_chart: Open, mode: str) -> None:
    page = open_chart(mode)
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    assert faults(page, but=()) == []
