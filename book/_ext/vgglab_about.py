"""What a page says of itself: its source, last change, how to cite it, and where to report it."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from docutils import nodes
from sphinx.application import Sphinx

LENGTH = 200  # characters
ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = re.compile(r'(<meta (?:property="og:|name=")description" content=")[^"]*')


def describe(doctree: nodes.document) -> str:
    """Return what a page begins with, of its own sentences: no times, no picture's words.

    Parameters
    ----------
    doctree : docutils.nodes.document
        The page.

    Returns
    -------
    str
        At most `LENGTH` characters.
    """
    text = ""
    for paragraph in doctree.findall(nodes.paragraph):
        words = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and not words.startswith("Reading the text"):
            text = f"{text} {words}".strip()
        if len(text) > LENGTH:
            return f"{text[:LENGTH].rsplit(' ', 1)[0]} …"
    return text


@cache
def last_changes() -> dict[str, str]:
    """Return the day of the last commit of each file of the book; none where git is not."""
    command = ["git", "log", "--format=:%cs", "--name-only", "--no-renames", "--", "book"]
    try:
        log = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    days: dict[str, str] = {}
    day = ""
    for line in log.splitlines():
        if line.startswith(":"):
            day = line[1:]
        elif line:
            days.setdefault(line, day)
    return days


def source_of(page: str, path: str) -> str:
    """Return the file that people write, from the root: of a notebook it is the chapter's text."""
    name = page.removeprefix("notebooks/")
    if name != page:
        folder = "chapters" if name[0].isdigit() else "teaching"
        return f"book/{folder}/{name}.md"
    return Path(path).resolve().relative_to(ROOT).as_posix()


def report_address(page: str, version: str) -> str:
    """Return where to say what is wrong on a page: the issue form, with its fields filled in."""
    fields = {"template": "page.yml", "title": f"{page}: ", "page": page, "version": version}
    return f"https://github.com/vgglab/vgglab/issues/new?{urlencode(fields)}"


def about(title: str, page: str, address: str, source: str, version: str) -> str:
    """Return the foot of a page, as HTML.

    Parameters
    ----------
    title : str
        Of the page.
    page : str
        Its name, without an ending.
    address : str
        Where the page is published.
    source : str
        The file that people write, from the root of the repository.
    version : str
        Of the package.
    """
    day = last_changes().get(source, "")
    changed = f"last changed {day} · " if day else ""
    key = re.sub(r"\W+", "-", Path(address).stem)
    entry = [f"title = {{{title}}}", "author = {{VGG Lab contributors}}", f"url = {{{address}}}"]
    entry += [f"note = {{VGG Lab {version}{', ' + day if day else ''}}}"]
    entry += [f"year = {{{day[:4]}}}"] if day else []
    bibtex = f"@misc{{vgglab-{key},\n  " + ",\n  ".join(entry) + "\n}"
    edit = f"https://github.com/vgglab/vgglab/edit/main/{source}"
    return (
        f'<footer class="vgglab-about"><p>VGG Lab {escape(version)} · {changed}'
        f'<a href="{escape(edit)}">edit the text of this page</a> · '
        f'<a href="{escape(report_address(page, version))}">something is wrong here</a></p>'
        f"<details><summary>Cite this page</summary>"
        f'<div class="highlight"><pre tabindex="0">{escape(bibtex)}</pre></div></details></footer>'
    )


def _add(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if pagename == "404":  # it is shown at any address
        prefix = app.config.notfound_urls_prefix
        context["body"] = re.sub(r'href="(?![/#]|https?:)', f'href="{prefix}', context["body"])
    from vgglab import __version__

    for group in context.get("header_buttons", ()):
        for button in group.get("buttons", ()):
            if button.get("label") == "source-issues-button":
                button["url"] = report_address(pagename, __version__)
                button["text"] = "Something is wrong here"
                button["tooltip"] = "Report what is wrong on this page"
    if doctree is None or pagename == "404":
        return
    words = escape(describe(doctree), quote=True)
    if words:
        tags = context.get("metatags", "")
        context["metatags"] = DESCRIPTION.sub(lambda found: found[1] + words, tags)
    title = app.env.titles[pagename].astext()
    address = f"{app.config.html_baseurl}{pagename}.html"
    source = source_of(pagename, app.env.doc2path(pagename))
    context["body"] += about(title, pagename, address, source, __version__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; after the one that writes the descriptions."""
    app.connect("html-page-context", _add, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
