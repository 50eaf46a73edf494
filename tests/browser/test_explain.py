"""The form "paste your error": in the book, in a bare page opened from a file, without scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from error_messages import MESSAGES, mutated
from playwright.sync_api import Browser, BrowserContext, Page
from sampling import sampled

from vgglab.explain import explain_error
from vgglab.figures.error_form import error_form

from .conftest import BARE, MODES, Visit, faults, from_file

pytestmark = pytest.mark.browser

KINDS = json.loads((files("vgglab.explain") / "rules.json").read_text(encoding="utf-8"))["kinds"]
VGG_400 = "mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)"

# What a reader sees, after pasting each of the messages.
PASTE_ALL = """(host, messages) => {
  const root = host.shadowRoot;
  const area = root.getElementById("message");
  const text = (item, name) => item.querySelector("." + name).textContent;
  return messages.map(message => {
    area.value = message;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    return [...root.querySelectorAll("#answer > li")].map(item => [
      text(item, "kind"), text(item, "explanation"), text(item, "suggestion")]);
  });
}"""


@pytest.fixture
def bare(contexts: dict[str, BrowserContext], tmp_path: Path) -> Iterator[Page]:
    path = tmp_path / "form.html"
    path.write_text(BARE.replace("%s", error_form()), encoding="utf-8")
    with from_file(contexts["light"], path) as page:
        yield page


def pasted(page: Page, *messages: str) -> list[list[list[str]]]:
    """The causes that the page shows for each message."""
    return page.locator("vgglab-error-form").evaluate(PASTE_ALL, list(messages))


def explained(message: str) -> list[list[str]]:
    return [[c.kind, c.explanation, c.suggestion] for c in explain_error(message)]


def shown_kinds(page: Page) -> list[str]:
    return page.locator("vgglab-error-form .kind").all_text_contents()


def focused(page: Page) -> str:
    return page.evaluate(
        "(e => e?.id || e?.textContent)(document.activeElement.shadowRoot?.activeElement)"
    )


@pytest.mark.sampled
def test_page_and_python_agree(visit: Visit) -> None:
    page = visit("explain.html")
    changed = (text for text in mutated(1500, seed=1) if text.strip())
    messages = [*MESSAGES, *sampled(changed, 300)]
    for message, shown in zip(messages, pasted(page, *messages), strict=True):
        assert shown == explained(message), message


def test_nothing_pasted_shows_nothing(bare: Page) -> None:
    assert pasted(bare, "", VGG_400, " \n") == [[], explained(VGG_400), []]


def test_by_keyboard_alone(bare: Page) -> None:
    bare.keyboard.press("Tab")
    assert focused(bare) == "message"
    bare.keyboard.insert_text(VGG_400)
    assert shown_kinds(bare) == ["input-size", "wrong-in-features"]
    bare.get_by_text("try a message").focus()
    bare.keyboard.press("Enter")
    for kind, about in KINDS.items():
        bare.keyboard.press("Tab")
        assert focused(bare) == about["example"]
        style = "getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle"
        assert bare.evaluate(style) == "solid"
        bare.keyboard.press("Enter")
        assert shown_kinds(bare)[0] == kind
    bare.keyboard.press("Shift+Tab")
    bare.get_by_label("Paste your error message").fill("typed")
    assert shown_kinds(bare) == ["unknown"]


def test_keys_stay_inside(bare: Page) -> None:
    # Otherwise arrows turn the page of a book.
    bare.evaluate(
        """() => {
          window.keys = [];
          document.addEventListener("keydown", event => window.keys.push(event.key));
        }"""
    )
    bare.get_by_label("Paste your error message").focus()
    for key in ("ArrowRight", "a", "Control+k"):
        bare.keyboard.press(key)
    assert bare.evaluate("keys") == ["Control", "k"]


def test_only_another_answer_is_announced(bare: Page) -> None:
    bare.evaluate(
        """() => {
          const live = document.querySelector("vgglab-error-form").shadowRoot
            .querySelector("[aria-live=polite]");
          window.changes = 0;
          new MutationObserver(() => window.changes++).observe(live, { childList: true });
        }"""
    )
    area = bare.get_by_label("Paste your error message")
    area.fill(VGG_400)
    assert bare.evaluate("changes") == 1
    area.press("End")
    bare.keyboard.type(" at line 12")
    assert bare.evaluate("changes") == 1
    area.fill("something else")
    assert bare.evaluate("changes") == 2


def test_an_answer_leads_on(visit: Visit) -> None:
    page = visit("explain.html")
    pasted(page, VGG_400)
    first = page.locator("vgglab-error-form .cause").first
    assert "nn.AdaptiveAvgPool2d(7)" in first.locator("code").all_text_contents()
    first.get_by_role("link", name="Shape mismatch").click()
    page.wait_for_url("**/notebooks/04_shape_mismatch.html")


def test_an_address_carries_a_message(visit: Visit) -> None:
    page = visit("explain.html")
    pasted(page, VGG_400)
    page.get_by_role("button", name="into the address").click()
    shared = page.url
    visit("index.html")
    page.goto(shared)
    assert shown_kinds(page)[0] == "input-size"
    assert page.get_by_label("Paste your error message").input_value() == VGG_400
    page.goto(shared.split("#")[0] + "#message=%E0%A4%A")
    page.reload()
    assert shown_kinds(page) == []


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_looks(visit: Visit, mode: str) -> None:
    page = visit("explain.html", mode)
    pasted(page, MESSAGES[-1] + " " * 3 + "x" * 400, VGG_400)
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    assert page.locator("vgglab-error-form table").is_hidden()
    host = page.locator("vgglab-error-form")
    colour = "getComputedStyle(root.querySelector(selector)).color"
    colours = host.evaluate(
        f"""host => {{
          const root = host.shadowRoot;
          return ["textarea", "button", ".title", ".suggestion"].map(selector => {colour});
        }}"""
    )
    assert set(colours) == {host.evaluate("host => getComputedStyle(host).color")}
    assert faults(page) == []


def test_readers_without_scripts_see_a_table(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base_url + "explain.html")
    table = page.locator("vgglab-error-form table")
    assert table.is_visible()
    assert table.locator("tbody th").all_text_contents() == list(KINDS)
    assert "vgglab explain" in page.locator("vgglab-error-form").inner_text()
    context.close()
