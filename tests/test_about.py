"""What a page says of itself."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import vgglab_about
import yaml
from docutils.core import publish_doctree
from pages import BOOK

TEXT = """
Title
=====

Reading the text, without the code: about 21 minutes.

.. figure:: a.png

   A caption that is no sentence of the page.

First words of the page.  They go on.
"""


def test_a_description_is_of_the_pages_own_sentences():
    doctree = publish_doctree(f"Book\n####\n\nBefore.\n\n{TEXT}\n\nOther\n=====\n\n{'so on ' * 60}")
    words = vgglab_about.describe(doctree)
    assert words.startswith("First words of the page. They go on. so on")
    assert words.endswith(" …")
    assert len(words) <= vgglab_about.LENGTH + 2


@pytest.mark.parametrize(
    ("page", "path", "source"),
    [
        ("notebooks/06_fc_to_conv", "unused", "book/chapters/06_fc_to_conv.md"),
        ("reference/glossary", BOOK / "reference/glossary.md", "book/reference/glossary.md"),
    ],
)
def test_the_source_is_what_people_write(page, path, source):
    assert vgglab_about.source_of(page, str(path)) == source
    assert (BOOK.parent / source).exists()


def test_without_git_there_is_no_date(monkeypatch):
    vgglab_about.last_changes.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    foot = vgglab_about.about("A < B", "b", "https://a.org/b.html", "book/index.md", "1.2.3")
    vgglab_about.last_changes.cache_clear()
    assert "last changed" not in foot
    assert "VGG Lab 1.2.3" in foot
    assert "title = {A &lt; B}" in foot
    assert "edit/main/book/index.md" in foot


def test_the_last_change_is_a_day(monkeypatch):
    monkeypatch.setattr(vgglab_about, "last_changes", lambda: {"book/index.md": "2026-11-26"})
    foot = vgglab_about.about("A", "b", "https://a.org/b.html", "book/index.md", "1.2.3")
    assert "last changed 2026-11-26" in foot
    assert "year = {2026}" in foot
    assert re.search(r"@misc\{vgglab-b,", foot)


def test_a_report_fills_in_fields_that_the_form_has():
    address = urlsplit(vgglab_about.report_address("notebooks/06_fc_to_conv", "1.2.3"))
    fields = {name: value for name, (value,) in parse_qs(address.query).items()}
    form = BOOK.parent / ".github/ISSUE_TEMPLATE" / fields.pop("template")
    ids = [part.get("id") for part in yaml.safe_load(form.read_text("utf-8"))["body"]]
    assert fields.pop("title").startswith("notebooks/06_fc_to_conv")
    assert fields == {"page": "notebooks/06_fc_to_conv", "version": "1.2.3"}
    script = (BOOK / "_static/feedback.js").read_text(encoding="utf-8")
    filled = {*fields, *re.findall(r'searchParams\.set\("(\w+)"', script)}
    assert filled == {"page", "version", "section"} <= set(ids)
