"""Slides and sheets of exercises, made of the chapters' own pages.

A slide has a heading of a chapter and pieces below it; ``book/teaching/slides.toml`` names them by
the words that they begin with. Nothing is written here, so no slide says what no chapter says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.osutil import relative_uri

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import teaching_tables

SLIDES = "teaching/slides/shapes_to_the_head"
SHEETS = "teaching/sheets"
Page = tuple[str, dict[str, Any], str]


@cache
def page_of(app: Sphinx, chapter: str) -> nodes.document:
    """Return a chapter's page, as it is written; its pictures are then known to the builder."""
    page = app.env.get_and_resolve_doctree(f"notebooks/{chapter}", app.builder)
    app.builder.post_process_images(page)
    return page


def section_of(doctree: nodes.document, title: str) -> nodes.section:
    """Return the section of a page that has a title."""
    for section in doctree.findall(nodes.section):
        heading = section.next_node(nodes.title)
        if heading is not None and heading.astext() == title:
            return section
    raise ExtensionError(f"there is no section {title!r}")


def lines_of(paragraph: nodes.paragraph) -> Iterator[nodes.paragraph]:
    """Yield the lines of a paragraph as they stand in its source, a sentence or so each."""
    line = nodes.paragraph()
    for child in paragraph.children:
        first, *more = child.astext().split("\n") if isinstance(child, nodes.Text) else [None]
        line += child.deepcopy() if first is None else nodes.Text(first)
        for text in more:
            yield line
            line = nodes.paragraph("", nodes.Text(text))
    yield line


def is_cell(node: nodes.Node) -> bool:
    """Whether a node is a code cell with its outputs."""
    return isinstance(node, nodes.container) and "cell" in node.get("classes", ())


def code_of(cell: nodes.Element) -> str:
    """Return the source of a cell."""
    (block, *_) = [*cell.findall(nodes.literal_block), nodes.literal_block()]
    return block.astext()


def pieces(section: nodes.section) -> Iterator[tuple[str, nodes.Element]]:
    """Yield what a slide can show of a section, each with the text that it is named by."""
    for node in section.findall():
        if isinstance(node, nodes.paragraph):
            for line in lines_of(node):
                yield line.astext(), line
        elif isinstance(node, nodes.math_block):
            yield node.astext().strip(), node
        elif is_cell(node):
            image = node.next_node(nodes.image)
            if image is None:
                yield code_of(node), node
            else:
                yield image["alt"], _figure(image)


def _figure(image: nodes.image) -> nodes.Element:
    """Return a picture with its description below, which says what it shows to whoever reads it."""
    alone = image.deepcopy()
    for name in ("width", "height", "align"):
        alone.attributes.pop(name, None)
    ends = (f"<figcaption>{escape(image['alt'])}</figcaption></figure>", "<figure>")
    after, before = (nodes.raw("", text, format="html") for text in ends)
    return nodes.container("", before, alone, after)


def chosen(section: nodes.section, beginnings: list[str]) -> list[nodes.Element]:
    """Return the pieces of a section that begin with some words, in their order."""
    found = [*pieces(section)]
    shown = []
    for words in beginnings:
        matching = [node for text, node in found if text.startswith(words)]
        if not matching:
            raise ExtensionError(f"{section.next_node(nodes.title)}: nothing begins with {words!r}")
        shown.append(matching[0])
    return shown


def html_of(app: Sphinx, page: str, parts: list[nodes.Element]) -> str:
    """Return parts of a chapter as HTML that can stand in another page."""
    builder = app.builder
    builder.imgpath = relative_uri(builder.get_target_uri(page), builder.imagedir)
    whole = nodes.container("", *(part.deepcopy() for part in parts))
    for link in [*whole.findall(nodes.reference)]:
        if not link.get("refuri", "").startswith("http"):  # it is the chapter's, relative to it
            link.replace_self(nodes.emphasis("", "", *link.children))
    for named in whole.findall(nodes.Element):
        named["ids"] = []
    return str(builder.render_partial(whole)["fragment"])


def slides_of(app: Sphinx) -> Page:
    """Return the page of the slides."""
    notes = teaching_tables.notes()
    sections = []
    for slide in teaching_tables.load("slides")["slides"]:
        page = f"notebooks/{slide['page']}"
        section = section_of(page_of(app, slide["page"]), slide["section"])
        shown, heard = (chosen(section, slide[name]) for name in ("show", "hear"))
        said = "".join(f"<p>{escape(line)}</p>" for line in notes.get(slide["id"], ()))
        sections.append(
            f'<section id="{slide["id"]}" data-page="{page}">\n'
            f"<h2>{escape(slide['section'])}</h2>\n{html_of(app, SLIDES, shown)}"
            f'<aside class="notes">{said}{html_of(app, SLIDES, heard)}</aside>\n</section>'
        )
    context = {"title": teaching_tables.session_title(), "slides": "\n".join(sections)}
    return SLIDES, context, "slides.html"


def sheet_of(app: Sphinx, chapter: str) -> Page:
    """Return the page of a chapter's exercises: what is asked, and nothing that answers it."""
    page = f"{SHEETS}/{chapter}"
    parts: list[nodes.Element] = []
    for section in section_of(page_of(app, chapter), "Exercises").findall(nodes.section):
        title = section.next_node(nodes.title)
        if title is None or not re.match(r"\d\d-\d+ ", title.astext()):
            continue
        asked = nodes.container("", classes=["vgglab-exercise"])
        asked += nodes.rubric("", title.astext(), classes=["vgglab-asked"])
        parts.append(asked)
        for child in section.children[1:]:
            code = code_of(child) if is_cell(child) else ""
            if "strict=True" in code:
                break  # what follows speaks of the solution
            if code.startswith("hint("):
                continue
            kept = child.deepcopy()
            if "check(" in code:
                for output in [n for n in kept if "cell_output" in n.get("classes", ())]:
                    kept.remove(output)
            asked += kept
    source = f"notebooks/{chapter}"
    title = escape(app.env.titles[source].astext())
    link = f'<a href="{app.builder.get_relative_uri(page, source)}">{title}</a>'
    body = f"<section>\n<h1>Exercises: {link}</h1>\n{html_of(app, page, parts)}</section>"
    named = f"Exercises: {title}"
    return page, {"title": named, "pagetitle": named, "body": body}, "page.html"


def collected(app: Sphinx) -> Iterator[Page]:
    """Yield the pages that are made of others."""
    if app.builder.name == "html":
        yield slides_of(app)
        for chapter in teaching_tables.chapters_with_exercises():
            yield sheet_of(app, chapter)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("html-collect-pages", collected)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
