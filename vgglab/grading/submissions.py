"""Submissions: which there are, and the answers in a notebook that nobody checked."""

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgglab.grading.assignment import Assignment, Cell, role_of

MAX_BYTES = 20_000_000  # of a notebook
MAX_CELLS = 5_000
MAX_PARTS = 300_000  # brackets and commas: JSON takes up to 400 bytes of memory for each
MAX_ANSWER = 200_000  # characters of an answer cell
_STUB = "# YOUR CODE HERE"  # nbgrader's
MAX_FILES = 1_000  # looked at in one student's folder


class UnreadableError(Exception):
    """A submission that cannot be graded; the message says why in one sentence."""


@dataclass(frozen=True)
class Submission:
    """One entry of the folder of submissions.

    Attributes
    ----------
    name
        Of the file or folder.
    student
        The name without a notebook's ending.
    path
        The file or folder.
    """

    name: str
    student: str
    path: Path


@dataclass(frozen=True)
class Answers:
    """What a notebook answers.

    Attributes
    ----------
    cells
        Source of the answer cell, by question.
    notes
        A sentence for each thing that was odd, by question; ``""`` for the whole notebook.
    stamp
        What the notebook says of its course seed.
    """

    cells: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    stamp: str | None = None


def find_submissions(folder: Path) -> list[Submission]:
    """Return the submissions in a folder: one for each file or subfolder, hidden ones left out.

    Raises
    ------
    ValueError
        If `folder` is no folder.
    """
    if not folder.is_dir():
        raise ValueError(f"submissions must be a folder; got {str(folder)!r}")
    found = []
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            student = path.name.removesuffix(".ipynb") or path.name
            found.append(Submission(path.name, student, path))
    return found


def read_notebook(submission: Submission, assignment: Assignment) -> bytes:
    """Return the bytes of a submission's notebook; follow no link, open nothing but a file.

    Raises
    ------
    UnreadableError
        If there is none, several, or it is too large.
    """
    try:
        mode = submission.path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return _read_file(_notebook_in(submission.path, assignment.name))
        return _read_file(submission.path)
    except OSError as error:
        raise UnreadableError(f"The file cannot be read: {error.strerror}.") from None


def _notebook_in(folder: Path, name: str) -> Path:
    found = list(_notebooks(folder))
    wanted = [path for path in found if path.name == f"{name}.ipynb"]
    # nbgrader's layout: STUDENT/ASSIGNMENT/NOTEBOOK.ipynb, beside the student's other assignments
    chosen = [path for path in wanted if path.parent.name == name] or wanted or found
    if not chosen:
        raise UnreadableError("The folder holds no notebook.")
    if len(chosen) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in chosen[:4])
        raise UnreadableError(f"The folder holds {len(chosen)} notebooks ({names}), not one.")
    return chosen[0]


def _notebooks(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            seen += 1
            if seen > MAX_FILES:
                raise UnreadableError(f"The folder holds more than {MAX_FILES} files.")
            if name.endswith(".ipynb") and not name.startswith("."):
                yield Path(place) / name


def _read_file(path: Path) -> bytes:
    if stat.S_ISLNK(path.lstat().st_mode):
        raise UnreadableError("The file is a symbolic link; send the notebook itself.")
    # NOFOLLOW: it may become a link now. NONBLOCK: opening a pipe would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError("This is not a file.")
        if found.st_size > MAX_BYTES:
            raise UnreadableError(
                f"The file has {found.st_size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are "
                "read. Clear its outputs."
            )
        return file.read(MAX_BYTES)


def read_answers(data: bytes, assignment: Assignment) -> Answers:
    """Return the answers in a notebook.

    A cell is an answer by nbgrader's name of it or by its tag; without either, by the function
    that it defines. Nothing is executed, nor parsed as Python.

    Raises
    ------
    UnreadableError
        If the bytes are no notebook.
    """
    notebook = _parse(data)
    cells = _code_cells(notebook)
    answers = Answers(stamp=_stamp(notebook))
    for question in assignment.coded:
        notes = answers.notes.setdefault(question.id, [])
        found = [s for role, s in cells if role == ("answer", question.id)]
        defining = [s for s in found if _defines(s, question.functions)]
        if not defining or all(_STUB in source for source in defining):
            # Without its mark, or in a new cell under the blank; never from a locked one.
            elsewhere = [s for r, s in cells if r == ("", "") and _defines(s, question.functions)]
            if elsewhere:
                notes.append("The answer was found by the name of its function.")
                found = defining = elsewhere
        if not found:
            notes.append(f"There is no answer cell for {question.id}.")
            continue
        if len(found) > 1:
            notes.append(f"{len(found)} cells answer {question.id}; the last was graded.")
        source = (defining or found)[-1]
        if len(source) > MAX_ANSWER:
            notes.append(f"The answer has more than {MAX_ANSWER} characters; it was not run.")
            continue
        answers.cells[question.id] = source
    return answers


def _parse(data: bytes) -> dict[str, Any]:
    if not data.strip():
        raise UnreadableError("The file is empty.")
    parts = sum(map(data.count, (b"{", b"[", b",")))
    if parts > MAX_PARTS:
        raise UnreadableError(
            f"The file has {parts} parts; at most {MAX_PARTS} are read. Clear its outputs."
        )
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnreadableError("The file is not a notebook: it is no JSON.") from None
    if not isinstance(notebook, dict) or not {"cells", "worksheets"} & notebook.keys():
        raise UnreadableError("The file is not a notebook: it has no cells.")
    return notebook


def _code_cells(notebook: dict[str, Any]) -> list[tuple[tuple[str, str], str]]:
    """Return role and source of each code cell; nbformat 3 has worksheets and ``input``."""
    groups = [notebook, *_list(notebook.get("worksheets"))]
    raw = [c for group in groups if isinstance(group, dict) for c in _list(group.get("cells"))]
    if len(raw) > MAX_CELLS:
        raise UnreadableError(f"The notebook has {len(raw)} cells; at most {MAX_CELLS} are read.")
    return [
        (role_of(cell), _source(cell))
        for cell in raw
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _source(cell: Cell) -> str:
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _defines(source: str, names: tuple[str, ...]) -> bool:
    alternatives = "|".join(map(re.escape, names))
    pattern = rf"^(?:(?:def|class) +(?:{alternatives})\b|(?:{alternatives}) *=)"
    return re.search(pattern, source, re.MULTILINE) is not None


def _stamp(notebook: dict[str, Any]) -> str | None:
    metadata = notebook.get("metadata")
    ours = metadata.get("vgglab") if isinstance(metadata, dict) else None
    stamp = ours.get("stamp") if isinstance(ours, dict) else None
    return stamp if isinstance(stamp, str) else None
