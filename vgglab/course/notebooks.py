"""The course itself: its notebooks, as they are published and for students, and its records.

They lie inside the package where it was installed, and beside it in a checkout of the repository.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from vgglab.files import write_whole

_PLACES = [folder / "book" for folder in Path(__file__).resolve().parents[1:3]]
BOOK = next((place for place in _PLACES if (place / "notebooks").is_dir()), _PLACES[0])

NOTEBOOKS = BOOK / "notebooks"
"""The published chapters, executed."""

RESULTS = BOOK / "results"
"""The records of the experiments that the chapters read."""

HOMEPAGE = "https://vgglab.github.io/vgglab/"
BIBLIOGRAPHY = f"{HOMEPAGE}reference/bibliography.html"

PROGRESS = "import vgglab\n\nvgglab.progress()"

Notebook = dict[str, Any]
Cell = dict[str, Any]


def student_notebook(published: Mapping[str, Any]) -> Notebook:
    """Return a chapter with blanks alone: no solutions, no outputs, nothing that only a page shows.

    Parameters
    ----------
    published
        An executed chapter, as JSON. What it printed is used for the numbers in its text.

    Returns
    -------
    dict
        A notebook for JupyterLab, Colab and the like, as JSON. Its last cell shows the progress.
    """
    glued = _glued(published["cells"])
    cells: list[Cell] = []
    after_solution = False
    for original in published["cells"]:
        cell = deepcopy(original)
        if cell["cell_type"] == "code":
            tags = cell["metadata"].get("tags", [])
            after_solution = _is_solution(cell)
            if after_solution or _is_hint(cell):
                continue
            cell |= {
                "outputs": [],
                "execution_count": None,
                "metadata": {"tags": tags} if tags else {},
            }
        else:
            text = "".join(cell["source"])
            if after_solution:  # up to the next heading it speaks of the solution
                text = "\n".join(text.split("\n")[_first_heading(text) :])
            if not text:
                continue
            cell["source"] = plain_markdown(text, glued)
        cells.append(cell)
    text = "## Progress\n\nWhat you have solved so far, in all chapters."
    cells.append(_cell("markdown", "progress-text", text))
    cells.append(_cell("code", "progress", PROGRESS))
    return {**published, "cells": cells}


def write_student_notebooks(folder: Path, force: bool = False) -> Iterator[tuple[Path, bool]]:
    """Write every chapter for students into a folder; files that are there stay.

    Parameters
    ----------
    folder
        Is made if it does not exist.
    force
        Replace files that are there.

    Yields
    ------
    Path
        Of a notebook.
    bool
        Whether it was written; it is not if it was there.

    Raises
    ------
    ValueError
        If this installation has no notebooks.
    OSError
        If a file cannot be written.
    """
    chapters = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not chapters:
        raise ValueError(f"this installation has no notebooks; see {HOMEPAGE}")
    for chapter in chapters:
        target = folder / chapter.name
        if target.exists() and not force:
            yield target, False
            continue
        notebook = student_notebook(json.loads(chapter.read_text(encoding="utf-8")))
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        write_whole(target, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
        yield target, True


def _glued(cells: list[Cell]) -> dict[str, str]:
    """Return the numbers that cells have given names with `vgglab.glue`."""
    glued = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None:
                text = output["data"]["application/papermill.record/text/plain"]
                glued[name] = "".join(text).strip("'\"")
    return glued


def _is_solution(cell: Cell) -> bool:
    return re.search(r"check\(.*strict=True\)", "".join(cell["source"])) is not None


def _is_hint(cell: Cell) -> bool:
    return re.fullmatch(r'hint\("\d\d-\d+"\)', "".join(cell["source"])) is not None


def _first_heading(text: str) -> int:
    """Return the number of the first line that is a heading, or of all lines."""
    lines = text.split("\n")
    return next((i for i, line in enumerate(lines) if line.startswith("#")), len(lines))


def plain_markdown(text: str, glued: Mapping[str, str]) -> str:
    """Return text without roles of the book: they mean nothing to Jupyter."""

    def words(match: re.Match[str]) -> str:
        role, inside = match.groups()
        if role == "glue:text":
            return glued[inside]
        if role.startswith("cite"):
            return _citation(inside, in_brackets=role == "cite:p")
        if role == "doc":
            return f"[{inside}]({inside}.ipynb)"
        if role == "eq":
            return f"({inside})"
        if role == "term":
            return re.sub(r" <.*>$", "", inside)
        return match.group()

    text = re.sub(r"\{([a-z:]+)\}`([^`]*)`", words, text)
    text = re.sub(r"\$\$([^$]+)\$\$ \(([\w-]+)\)", r"$$\1\\tag{\2}$$", text)
    return re.sub(r"\]\(\.\./([\w/]+)\.md", rf"]({HOMEPAGE}\1.html", text)


def _citation(keys: str, in_brackets: bool) -> str:
    """Return "(He 2014)" or "He (2014)" for he2014spp, with a link."""
    cited = []
    for key in keys.split(","):
        found = re.match(r" *([a-z]+)(\d{4})", key)
        name, year = (found[1].capitalize(), found[2]) if found else (key, "")
        label = f"{name} {year}" if in_brackets else f"{name} ({year})"
        cited.append(f"[{label}]({BIBLIOGRAPHY})")
    together = "; ".join(cited)
    return f"({together})" if in_brackets else together


def _cell(kind: str, id: str, source: str) -> Cell:
    cell: Cell = {"cell_type": kind, "id": id, "metadata": {}, "source": source}
    return cell if kind == "markdown" else {**cell, "outputs": [], "execution_count": None}
