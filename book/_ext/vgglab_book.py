"""Small changes to the built pages that no setting of the theme offers."""

from __future__ import annotations

import base64
import gc
import hashlib
import importlib
import json
import os
import re
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from pybtex.backends import plaintext
from pybtex.plugin import register_plugin
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment.adapters import toctree
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinxcontrib import katex

sys.path.insert(0, str(Path(__file__).parent))
import formulas
import recorded_tables
from vgglab_light import light_scripts, light_tables, phone_ready


def _write_weights(app: Sphinx, exception: Exception | None) -> None:
    """Put the scripts with the weights of the page's networks beside the page."""
    if exception is None and app.builder.format == "html":
        from vgglab.figures import see

        folder = Path(app.outdir, see.FOLDER)
        folder.mkdir(exist_ok=True)
        for head in see.HEADS:
            (folder / f"{head}.js").write_text(see.weights_script(head), encoding="utf-8")


def _write_llms_txt(app: Sphinx, exception: Exception | None) -> None:
    """Write what the book has for agents, a line a page: https://llmstxt.org."""
    if exception is not None or app.builder.name != "html":
        return
    env, base = app.env, app.config.html_baseurl
    lines = [
        f"# {app.config.html_title}",
        "",
        f"> {env.metadata[app.config.root_doc][FIRST_WORDS]}",
        "",
    ]
    toc = app.config.external_site_map
    for part in toc.root.subtrees:
        lines += [f"## {part.caption or 'Pages'}", ""]
        for page in part.files():
            if page in env.titles:
                words = env.metadata[page].get(FIRST_WORDS)
                title = env.titles[page].astext()
                lines.append(f"- [{title}]({base}{page}.html){f': {words}' if words else ''}")
        lines.append("")
    lines += ["## For programs", "", f"- [JSON schema]({base}output.schema.json): what the command"
              " prints with --json", ""]  # fmt: skip
    Path(app.outdir, "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _keep_first_words(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the first sentence of a page, so that it need not be loaded again."""
    kept = app.env.metadata[app.env.docname]
    for paragraph in doctree.findall(nodes.paragraph):
        words = " ".join(paragraph.astext().split())
        if words.endswith((".", "?", ":")):
            kept[FIRST_WORDS] = re.split(r"(?<=[.?:])\s", words)[0]
            return


def _tables_are_no_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Take the table that a cell shows below its plot out of a figure with the plot's caption."""
    for figure in [*doctree.findall(nodes.figure)]:
        if figure.next_node(nodes.image) is None:
            figure.replace_self(figure.children[:-1])


def _mend_body(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Lighten scripts and tables, and mend what HTML's readers stumble over.

    That is entries of the bibliography, nested lists of viewcode, and headers of tables that are
    empty, as over a column of names: no header then.
    """
    if "body" in context:
        body = context["body"].replace('"doc-biblioentry"', '"listitem"')
        context["body"] = phone_ready(
            light_scripts(light_tables(EMPTY_HEADER.sub("<td></td>", body)))
        )
    if pagename == "_modules/index":
        nested = re.compile(r"</li>\s*<ul>(.*?)</ul>", re.DOTALL)
        context["body"] = nested.sub(r"<ul>\1</ul></li>", context["body"])


def _write_in_parallel(app: Sphinx, env: object) -> None:
    """Write pages in up to four processes; Jupyter Book has no option for it.

    Not read: each process would import torch, and the listings of viewcode would be others.
    """
    app.parallel = 1 + min(os.cpu_count() or 1, 4)  # one more that waits for them


def _titles_alone() -> None:
    """Copy of a page's contents its title alone into the contents of the book.

    They are made anew for each page, and all that is below the titles is dropped afterwards.
    """
    entry = toctree._toctree_standard_entry
    toctree._toctree_standard_entry = lambda title, ref, maxdepth, *rest: entry(
        title, ref, 1, *rest
    )


def _add_scripts(app: Sphinx, config: Config) -> None:
    """Publish scripts that some pages load; Jupyter Book puts those of _static into every page."""
    config.html_static_path.append(str(Path(__file__).parent / "static"))


def _skip_bare_fields(
    app: Sphinx, what: str, name: str, item: object, skip: bool, options: object
) -> bool | None:
    """Leave out the fields of named tuples: their class says what they are."""
    return True if str(item.__doc__).startswith("Alias for field number") else None


FIRST_WORDS = "vgglab_first_words"
EMPTY_HEADER = re.compile(r"<th\b[^>]*>\s*</th>")

# What to read about the kinds of causes that chapters are about.
CHAPTERS = {
    "input-size": ("00_start_here", "04_shape_mismatch", "05_adaptive_pooling", "06_fc_to_conv"),
    "missing-flatten": ("04_shape_mismatch",),
    "missing-pool": ("07_gap_vs_flatten",),
    "wrong-in-features": ("04_shape_mismatch",),
    "input-too-small": ("04_shape_mismatch",),
    "batch-mixed": ("04_shape_mismatch",),
    "batch-too-small": ("03_normalization",),
    "num-classes": ("07_gap_vs_flatten",),
    "fixed-size-export": ("05_adaptive_pooling",),
}


class ErrorForm(SphinxDirective):
    """Puts vgglab's form "paste your error" into the page."""

    def run(self) -> list[nodes.Node]:
        from vgglab import explain
        from vgglab.figures import error_form

        for path in (
            *Path(error_form.__file__).parent.glob("error_form.*"),
            *Path(explain.__file__).parent.iterdir(),
        ):
            self.env.note_dependency(str(path))
        read = {
            kind: [self._link(f"notebooks/{chapter}") for chapter in chapters]
            for kind, chapters in CHAPTERS.items()
        }
        return [nodes.raw("", error_form.error_form(read), format="html")]

    def _link(self, page: str) -> dict[str, str]:
        address = self.env.app.builder.get_relative_uri(self.env.docname, page)
        text = Path(self.env.srcdir, f"{page}.ipynb").read_text(encoding="utf-8")
        source = "".join(json.loads(text)["cells"][0]["source"])
        return {"title": source.splitlines()[0].removeprefix("# "), "address": address}


class PageFigure(SphinxDirective):
    """Puts one of vgglab's figures that have a page of their own into it."""

    required_arguments = 1  # name of its module

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        module = importlib.import_module(f"vgglab.figures.{name}")
        folder = Path(module.__file__ or "").parent
        for path in (*folder.glob(f"{name}.*"), *folder.glob("element.*")):
            self.env.note_dependency(str(path))
        return [nodes.raw("", getattr(module, name)(), format="html")]


class ExplorerFigure(SphinxDirective):
    """Puts the interactive figure of an input size and every layer's shape into the page."""

    required_arguments = 1  # a letter of the paper's table

    def run(self) -> list[nodes.Node]:
        from vgglab.figures import explorer

        for path in Path(explorer.__file__).parent.glob("e*.*"):
            self.env.note_dependency(str(path))
        html = explorer.explorer(self.arguments[0])._repr_html_()
        return [nodes.raw("", html, format="html")]


class OpeningPicture(SphinxDirective):
    """Shows the first picture of a chapter, the file that the chapter's own page shows."""

    required_arguments = 1  # name of the notebook

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, "notebooks", f"{self.arguments[0]}.ipynb")
        self.env.note_dependency(str(path))
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        cell, data = next(
            (cell, output["data"]["image/png"])
            for cell in cells
            for output in cell.get("outputs", ())
            if "image/png" in output.get("data", ())
        )
        alt = cell["metadata"]["mystnb"]["image"]["alt"]
        name = hashlib.sha256(base64.b64decode("".join(data))).hexdigest()
        picture = f'<img src="_images/{name}.png" alt="{escape(alt)}" loading="lazy">'
        return [nodes.raw("", f'<div class="cell_output">{picture}</div>', format="html")]


class GradingProof(SphinxDirective):
    """Puts what the selftest found of the assignments into the page; what must not be, warns."""

    def run(self) -> list[nodes.Node]:
        from vgglab.grading import proof

        path = Path(self.env.srcdir) / "assignments" / "proof.json"
        self.env.note_dependency(str(path))
        found = json.loads(path.read_text(encoding="utf-8"))
        for words in proof.faults(found):
            logging.getLogger(__name__).warning(words, location=self.get_location())
        names = proof.older(found)
        words = f"Made with an older grader than this one: {', '.join(names)}." if names else ""
        words = words or "All of it was made with the grader as it is now."
        return [*_table(self, proof.rows(found)), *_parsed(self, [words])]


class RecordedTable(SphinxDirective):
    """Puts a table of `recorded_tables` into the page: its name, then the record's file."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        name, file = self.arguments
        path = Path(self.env.srcdir) / "reference" / file
        self.env.note_dependency(str(path))
        self.env.note_dependency(recorded_tables.__file__)
        record = json.loads(path.read_text(encoding="utf-8"))
        made = getattr(recorded_tables, name)(record)
        return _table(self, made, ":---") if isinstance(made, list) else _parsed(self, [made])


class MadeTable(SphinxDirective):
    """Puts what a function beside this file returns into the page: rows, lines, or a node."""

    required_arguments = 1  # its module and name, such as status.versions
    optional_arguments = 1  # what it is called with

    def run(self) -> list[nodes.Node]:
        path, *given = self.arguments
        module, _, name = path.partition(".")
        self.env.note_reread()  # what it reads may be of this day
        made = getattr(importlib.import_module(module), name)(*given)
        if isinstance(made, nodes.Node):
            found = [made]
        elif isinstance(made, list):
            found = _table(self, made, ":---")
        else:
            found = _parsed(self, made.splitlines())
        classes = [f"vgglab-{word.replace('_', '-')}" for word in (module, name)]
        return [nodes.container("", *found, classes=classes)]


def _table(
    directive: SphinxDirective, rows: list[list[str]], align: str = "---:"
) -> list[nodes.Node]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" + f"|{align}" * (len(rows[0]) - 1) + "|")
    return _parsed(directive, lines)


def _parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    node = nodes.Element()
    directive.state.nested_parse(StringList(lines), directive.content_offset, node)
    return node.children


class SmallClass(SphinxDirective):
    """Shows what `vgglab grade stats` prints and draws for the recorded class."""

    def run(self) -> list[nodes.Node]:
        from vgglab.grading.statistics import ClassStatistics, plot

        record = Path(self.env.srcdir, "reference", "small_class.json")
        self.env.note_dependency(str(record))
        found = ClassStatistics.from_dict(json.loads(record.read_text(encoding="utf-8")))
        with tempfile.TemporaryDirectory() as place:
            drawn = Path(place, "class.svg")
            plot(found, drawn)
            data = base64.b64encode(drawn.read_bytes()).decode()
        alt = (
            f"Points of {len(found.scores)} submissions as a histogram, and for each question how "
            "many were right, partly right and wrong: the numbers are in the table below."
        )
        image = f'<img class="small-class" src="data:image/svg+xml;base64,{data}" alt="{alt}">'
        table = nodes.literal_block(str(found), str(found), language="text")
        return [nodes.raw("", image, format="html"), table]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    gc.disable()  # a fifth of the time went into looking for what nobody holds
    _titles_alone()
    katex.render_latex = formulas.render
    # Or all installed packages are looked through at each citation.
    register_plugin("pybtex.backends", "plaintext", plaintext.Backend, force=True)
    app.add_directive("error-form", ErrorForm)
    app.add_directive("explorer", ExplorerFigure)
    app.add_directive("page-figure", PageFigure)
    app.add_directive("opening-picture", OpeningPicture)
    app.add_directive("grading-proof", GradingProof)
    app.add_directive("small-class", SmallClass)
    app.add_directive("recorded-table", RecordedTable)
    app.add_directive("made-table", MadeTable)
    app.connect("config-inited", _add_scripts)
    app.connect("doctree-read", _keep_first_words)
    app.connect("doctree-read", _tables_are_no_figures)
    app.connect("env-updated", _write_in_parallel)
    app.connect("autodoc-skip-member", _skip_bare_fields)
    app.connect("html-page-context", _mend_body)
    app.connect("build-finished", _write_weights)
    app.connect("build-finished", _write_llms_txt)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
