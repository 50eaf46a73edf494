"""The layout of all reports, as text and as HTML."""

from __future__ import annotations

import re
from html import unescape

import pytest
from pages import Page
from tabulate import tabulate

from vgglab.report import Remark, Report, count, mebibytes


class Whole(Report):
    """Says something everywhere, with what HTML would take for its own."""

    def _title(self) -> str:
        return 'Title & "more" <t>'

    def _answer(self) -> list[str]:
        return ["Answer <a1>.", "Answer <a2>."]

    def _tables(self, tablefmt: str) -> list[str]:
        return [tabulate([[f"cell <c{k}>"]], ["head"], tablefmt=tablefmt) for k in (1, 2)]

    def _remarks(self) -> list[Remark]:
        return [Remark(f"row <r{k}>", f"Text <x{k}>", f"code(<k{k}>)") for k in (1, 2)]

    def _sentences(self) -> list[str]:
        return ["End <e1>.", "End <e2>."]


class Bare(Report):
    """Says what it must, and nothing else."""

    def _title(self) -> str:
        return "Title"

    def _tables(self, tablefmt: str) -> list[str]:
        return [tabulate([[1]], ["head"], tablefmt=tablefmt)]

    def _sentences(self) -> list[str]:
        return []


MARKS = ["t", "a1", "a2", "c1", "c2", "r1", "x1", "k1", "r2", "x2", "k2", "e1", "e2"]


def marks(text: str) -> list[str]:
    return re.findall(r"<([tacrxke]\d?)>", text)


def test_text_holds_everything_in_order():
    assert str(Whole()) == repr(Whole())
    assert marks(str(Whole())) == MARKS
    paragraphs = str(Whole()).split("\n\n")
    assert paragraphs[:2] == ['Title & "more" <t>', "Answer <a1>.\nAnswer <a2>."]
    assert paragraphs[4:] == [
        "row <r1>: Text <x1>\n    code(<k1>)\nrow <r2>: Text <x2>\n    code(<k2>)",
        "End <e1>.\nEnd <e2>.",
    ]


def test_html_holds_the_same_in_the_same_order():
    html = Whole()._repr_html_()
    shown = re.sub(r'aria-label="[^"]*"', "", html)  # the title again, for screen readers
    assert marks(unescape(shown)) == MARKS


def test_html_is_escaped_and_closed():
    html = Whole()._repr_html_()
    assert marks(html) == []
    page = Page()
    page.feed(html)
    assert page.open == []
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert labels == ['Title & "more" <t>'] * 2


def test_each_table_scrolls_by_itself_and_by_keyboard():
    regions = re.findall(r'<div class="vgglab-scroll"([^>]*)><table>', Whole()._repr_html_())
    assert len(regions) == 2
    assert all('role="region"' in region and 'tabindex="0"' in region for region in regions)


def test_what_is_not_said_leaves_no_gap():
    assert str(Bare()) == "Title\n\n  head\n------\n     1"
    html = Bare()._repr_html_()
    assert html.count("<p>") == 1
    assert "<dl>" not in html


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (0, "0"), (999, "999"), (138_357_544, "138,357,544")]
)
def test_numbers_have_separators(number, text):
    assert count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (0, "0.00"), (2**20, "1.00"), (3 * 2**18, "0.75")]
)
def test_mebibytes_are_powers_of_two(number, text):
    assert mebibytes(number) == text


class Quoting(Bare):
    def _answer(self) -> list[str]:
        return ["Write `a < b` here, and ` alone stays."]


def test_code_in_a_sentence_is_code_on_a_page():
    assert "`a < b`" in str(Quoting())
    assert "<p>Write <code>a &lt; b</code> here, and ` alone stays.</p>" in Quoting()._repr_html_()
