"""What every figure of a page has to be."""

from __future__ import annotations

import re
from html.parser import HTMLParser


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
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|\bimport\b|fetch\(|XMLHttpRequest|sendBeacon", html
    )
    page = Page()
    page.feed(html)
    assert page.open == []
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert not {"id", "src", "href"} & {name for name, _ in page.attributes}
