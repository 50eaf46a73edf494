"""The chart of a step in a bare page opened from a file: it computes what `step_time` does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from sampling import sampled

from vgglab.figures.scaling_chart import DEVICES, HEADS, Choice, scaling_chart
from vgglab.lab.scaling import LINKS

from .conftest import BARE, MODES, faults, from_file

pytestmark = pytest.mark.browser

CHART = scaling_chart()
TAG = "vgglab-scaling-chart"
# Fill the form, and read what it says.
ASK = """(host, choice) => {
  const root = host.shadowRoot;
  for (const [name, value] of Object.entries(choice)) root.getElementById(name).value = value;
  root.getElementById("head").dispatchEvent(new Event("input", { bubbles: true }));
  return ["summary", "details"].map((name) => root.getElementById(name).textContent);
}"""


@pytest.fixture
def chart_file(tmp_path: Path) -> Path:
    path = tmp_path / "chart.html"
    path.write_text(BARE.replace("%s", CHART._repr_html_()), encoding="utf-8")
    return path


def as_form(choice: Choice) -> dict[str, Any]:
    return {
        name: ("1" if value else "") if isinstance(value, bool) else str(value)
        for name, value in choice._asdict().items()
    }


def said_by_python(choice: Choice) -> list[str]:
    step = CHART.step(choice)
    times = choice.devices * step.compute / step.seconds
    nbytes = sum(layer.nbytes for layer in CHART.layers[choice.head])
    count = next(len(h["buckets"]) for h in CHART.data()["heads"] if h["name"] == choice.head)
    return [
        f"{1e3 * step.seconds:.1f} ms a step: {1e3 * step.compute:.1f} ms computing, "
        f"{1e3 * step.exposed:.1f} ms waiting. Efficiency "
        f"{100 * step.compute / step.seconds:.1f} %, {times:.1f} times one device.",
        f"{nbytes / 1e6:.0f} MB in {count} buckets; {1e3 * step.communication:.1f} ms on their "
        f"way, {1e3 * (step.communication - step.exposed):.1f} ms of it hidden.",
    ]


def test_it_computes_as_python_does(contexts: dict[str, BrowserContext], chart_file: Path) -> None:
    seed = sampled(range(1000), 1)[0]
    draw = random.Random(seed)
    choices = [Choice()] + [
        Choice(
            draw.choice([*HEADS]),
            draw.choice([*LINKS]),
            draw.choice(DEVICES),
            draw.randint(1, 256),
            draw.choice((0.5, 7.25, 100.0, 400.0)),
            draw.random() < 0.7,
        )
        for _ in range(60)
    ]
    with from_file(contexts["light"], chart_file) as page:
        host = page.locator(TAG)
        for choice in choices:
            found, wanted = host.evaluate(ASK, as_form(choice)), said_by_python(choice)
            for one, other in zip(found, wanted, strict=True):
                # The last digit may round the other way, and 0 have a sign.
                pairs = zip(one.split(), other.split(), strict=True)
                for ours, theirs in pairs:
                    try:
                        assert float(ours) == pytest.approx(float(theirs), abs=0.101)
                    except ValueError:
                        assert ours == theirs, (seed, choice)


def test_it_works_by_keyboard(contexts: dict[str, BrowserContext], chart_file: Path) -> None:
    with from_file(contexts["light"], chart_file) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")  # the next head
        wanted = said_by_python(Choice([*HEADS][1]))[1]
        page.wait_for_function(
            f"text => document.querySelector('{TAG}').shadowRoot"
            ".getElementById('details').textContent === text",
            arg=wanted,
        )


def test_what_is_no_number_is_left_out(
    contexts: dict[str, BrowserContext], chart_file: Path
) -> None:
    with from_file(contexts["light"], chart_file) as page:
        host = page.locator(TAG)
        for choice in ({"batch": ""}, {"batch": "-3"}, {"speed": "0"}):
            found = host.evaluate(ASK, as_form(Choice()) | choice)
            assert found == said_by_python(Choice())


def test_without_scripts_it_is_a_table(browser: Browser, chart_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(chart_file.as_uri())
    rows = page.locator(f"{TAG} tbody th")
    assert rows.count() == len(HEADS) * len(LINKS)
    assert rows.first.is_visible()
    context.close()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_in_a_readers_way(
    contexts: dict[str, BrowserContext], chart_file: Path, mode: str
) -> None:
    with from_file(contexts[mode], chart_file) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
        assert faults(page, but=()) == []
