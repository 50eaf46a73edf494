"""What every figure of a page has to be."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat

from vgglab.figures.repair_chart import RepairChart

BOOK = Path(__file__).parents[1] / "book"


class Page(HTMLParser):
    """Collects tags and attributes, and checks that what opens closes."""

    VOID = frozenset({"input", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_self_contained(html: str) -> None:
    """Nothing is fetched from anywhere, and a page may show the figure twice."""
    html = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", html)
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|\bimport\b|fetch\(|XMLHttpRequest|sendBeacon", html
    )
    page = Page()
    page.feed(html)
    assert page.open == []
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert not {"id", "src", "href"} & {name for name, _ in page.attributes}


def chart_of_the_page() -> tuple[RepairChart, str]:
    """Return the chart that chapter 08 shows, and its HTML."""
    notebook = nbformat.read(BOOK / "notebooks" / "08_repair_shop.ipynb", as_version=4)
    found = [
        o.get("data", {}).get("text/html", "") for c in notebook.cells for o in c.get("outputs", [])
    ]
    (html,) = (html for html in found if "<vgglab-repair-chart" in html)
    text = re.search('<script type="application/json">(.*?)</script>', html, re.S)[1]
    data = json.loads(text)
    return RepairChart("VGG", data["rows"], data["classes"], data["measured"]), html
