"""Predictions in a page: made by keyboard, kept, forgotten, and seen beside what came out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from vgglab import predict

from .conftest import BARE, Visit, faults, from_file

pytestmark = pytest.mark.browser

CLAIMS = {"7 is prime": ..., "9 is prime": ...}
SIZES = {"cells of the bins": ...}


@pytest.fixture
def page(contexts: dict[str, BrowserContext], tmp_path: Path) -> Iterator[Page]:
    claims, sizes = predict("00-claims", CLAIMS), predict("00-sizes", SIZES, of=list)
    shown = [
        claims,
        sizes,
        claims.compare({"7 is prime": True, "9 is prime": False}),
        sizes.compare({"cells of the bins": [2, 3, 2]}),
    ]
    path = tmp_path / "page.html"
    path.write_text(BARE.replace("%s", "\n".join(s._repr_html_() for s in shown)), encoding="utf-8")
    with from_file(contexts["narrow"], path) as page:
        yield page


def said(page: Page) -> list[str]:
    return page.locator("vgglab-prediction .said").all_inner_texts()


def test_a_prediction_is_made_by_keyboard_kept_and_forgotten(page: Page) -> None:
    assert said(page) == []
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.locator("input[type=text]").fill("[2, 3,2]")
    assert said(page) == ["you said True✓", "you said [2, 3,2]✓"]
    page.keyboard.press("End")
    page.keyboard.press("Backspace")  # nobody is held to what he said
    page.keyboard.type(", 3")
    assert said(page)[1] == "you said [2, 3,2, 3✗"
    page.reload()
    assert said(page) == ["you said True✓", "you said [2, 3,2, 3✗"]
    assert page.locator("input[type=radio]").first.is_checked()
    # The way to the answers is there again, though they were parsed after the questions.
    shows = page.get_by_role("button", name="Show what came out")
    assert [shows.nth(place).is_visible() for place in range(2)] == [True, True]
    assert faults(page, but=()) == []
    for _ in range(2):
        page.get_by_role("button", name="Forget it").first.click()
    assert said(page) == []
    assert page.evaluate("Object.keys(localStorage)") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_a_store_it_lasts_as_long_as_the_page(page: Page) -> None:
    page.evaluate("Object.defineProperty(window, 'localStorage', { get() { throw new Error(); } })")
    page.get_by_role("radiogroup", name="9 is prime").get_by_label("True").check()
    assert said(page) == ["you said True✗"]
    page.get_by_role("button", name="Show what came out").first.click()


def test_a_chapter_answers_with_its_own_numbers(visit: Visit) -> None:
    page = visit("notebooks/06_fc_to_conv.html", "narrow")
    page.get_by_label("7×7 kernel, 400 px").fill("6")
    page.get_by_label("12×12 kernel, 224 px").fill("1")
    assert said(page) == ["you said 6✓", "you said 1✗"]
    page.evaluate("localStorage.clear()")


def test_without_scripts_the_answers_are_there(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base_url + "notebooks/06_fc_to_conv.html")
    shown = page.locator("vgglab-prediction").all_inner_texts()
    assert "12×12 kernel, 224 px" in shown[0]
    assert any("What came out" in text for text in shown)
    context.close()
