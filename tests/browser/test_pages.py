"""Every page of the built book, as its readers see it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import MODES, SITE, Visit

pytestmark = pytest.mark.browser

PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.relative_to(SITE).parts
)
# The theme's own: an icon's label, and text outside of landmarks.
THEME_RULES = {"label-content-name-mismatch", "region"}
# Without preload, or axe itself asks for style sheets, at wrong addresses.
AXE = {"resultTypes": ["violations"], "preload": False}
# Contrast, the slowest rule, depends on the colours, and no other does; no colour on the width.
RULES_BY_MODE = {
    "light": {},
    "dark": {"runOnly": ["color-contrast"]},
    "narrow": {"rules": {"color-contrast": {"enabled": False}}},
}
# The elements that stick out on the right.
WIDE = """[...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
  .map(e => e.tagName + "." + e.className).slice(0, 20)"""
LOADING_RELS = {"stylesheet", "preload", "modulepreload", "icon", "manifest", "prefetch"}


class Loads(HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and LOADING_RELS & set(values.get("rel", "").split()):
            self.urls.append(values.get("href", ""))
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"}:
            self.urls.append(values.get("src", ""))


def test_the_book_is_built(site: Path) -> None:
    assert "index.html" in PAGES
    assert any(page.startswith("notebooks/") for page in PAGES)


@pytest.mark.parametrize("path", PAGES)
def test_page_names_nothing_from_elsewhere(path: str) -> None:
    parser = Loads()
    parser.feed((SITE / path).read_text(encoding="utf-8"))
    assert [url for url in parser.urls if re.match(r"(https?:)?//", url)] == []


def test_styles_name_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.css"):
        css = path.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", css), path


def test_icon_script_is_empty(site: Path) -> None:
    assert (site / "_static" / "scripts" / "fontawesome.js").stat().st_size < 100


# The listings of the package's source are all alike: each is looked at in one mode, in turn.
LOOKS = [
    (path, mode)
    for number, path in enumerate(PAGES)
    for turn, mode in enumerate(MODES)
    if not path.startswith("_modules/") or number % len(MODES) == turn
]


@pytest.mark.parametrize(("path", "mode"), LOOKS)
def test_page(visit: Visit, path: str, mode: str) -> None:
    page = visit(path, mode)
    width, _, scheme = MODES[mode]
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.locator(".katex-error").count() == 0

    # Without an alternative text, Sphinx writes the name of the file.
    alts = page.eval_on_selector_all("img", "images => images.map(image => image.alt)")
    assert [alt for alt in alts if not alt.strip() or re.search(r"\.(png|svg|jpe?g)$", alt)] == []

    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.evaluate(WIDE)

    violations = Axe().run(page, options=AXE | RULES_BY_MODE[mode]).response["violations"]
    found = [
        f"{v['id']}: {v['help']}: {node['target']} {node['html'][:200]}"
        for v in violations
        if v["id"] not in THEME_RULES
        for node in v["nodes"]
    ]
    assert found == []
