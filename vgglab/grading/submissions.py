"""Submissions: which there are, and the answers in a notebook that nobody checked."""

import json
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

from vgglab.grading.assignment import Assignment, Cell, Question, role_of
from vgglab.grading.bundles import (
    UnreadableError,
    files_in,
    folders_of,
    is_hidden,
    is_zip,
    names_in,
    opened,
    pick_notebook,
    read_file,
    read_member,
    read_notebook_in_zip,
    shown,
)

MAX_CELLS = 5_000
MAX_PARTS = 300_000  # brackets and commas: JSON takes up to 400 bytes of memory for each
MAX_ANSWER = 200_000  # characters of an answer cell
_STUB = "# YOUR CODE HERE"  # nbgrader's
_DEFINED = re.compile(r"^(?:async +)?(?:def|class) +(\w+)", re.MULTILINE)

# How learning platforms name what they export: Moodle's folders and files, Canvas's files.
_MOODLE = re.compile(r"^(?P<student>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+(_.*)?$")
_CANVAS = re.compile(r"^(?P<student>[^_]+)(_LATE)?_(?P<id>\d{3,})_\d{3,}_.+$")


@dataclass(frozen=True)
class Submission:
    """One entry of the folder, or of the zip, of submissions.

    Attributes
    ----------
    name
        Of the file or folder, as `vgglab.grading.bundles.shown` writes it.
    student
        The name without what a learning platform puts to it, and without a notebook's ending.
    path
        The file or folder, or the zip of the class.
    members
        Its files in the zip of the class.
    """

    name: str
    student: str
    path: Path
    members: tuple[str, ...] = ()

    @property
    def is_hidden(self) -> bool:
        """Whether it is left out: its name says that it is no submission."""
        return is_hidden(self.name)


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


def find_submissions(place: Path) -> list[Submission]:
    """Return what lies in a folder or a zip: a submission for each file or folder at its top.

    Raises
    ------
    ValueError
        If `place` is no folder and no zip.
    """
    if place.is_dir():
        found = [_submission(path.name, path) for path in place.iterdir()]
    else:
        with _zip_of_class(place) as archive:
            bundles = folders_of(names_in(archive))
        found = [_submission(name, place, members) for name, members in bundles.items()]
    return sorted(found, key=lambda submission: submission.name)


def _submission(name: str, path: Path, members: Iterable[str] = ()) -> Submission:
    return Submission(shown(name), student_of(name), path, tuple(members))


@contextmanager
def _zip_of_class(path: Path) -> Iterator[ZipFile]:
    try:
        with path.open("rb") as file, opened(file) as archive:
            yield archive
    except (OSError, UnreadableError) as error:
        raise ValueError(
            f"submissions must be a folder or a zip; got {shown(str(path))!r}: {error}"
        ) from None


def times_in_zip(place: Path) -> dict[str, datetime]:
    """Return when each submission in the zip of a class was last changed, as the zip says.

    Raises
    ------
    ValueError
        If `place` is no zip.
    """
    with _zip_of_class(place) as archive:
        bundles = folders_of(names_in(archive))
        dates = {info.filename: info.date_time for info in archive.infolist()}
    found = {}
    for name, members in bundles.items():
        if is_hidden(name):
            continue
        try:
            found[shown(name)] = max(datetime(*dates[member]) for member in members)
        except ValueError:  # a zip may say 0 for the month
            continue
    return found


def student_of(name: str) -> str:
    """Return whose submission a file or folder is, by its name."""
    match = _platform(name)
    student = match["student"] if match else re.sub(r"\.(ipynb|zip)$", "", name) or name
    return shown(unicodedata.normalize("NFC", student))


def platform_id(name: str) -> str | None:
    """Return the number in the name of what Canvas or Moodle exported: of the student there."""
    match = _platform(name)
    return match["id"] if match else None


def _platform(name: str) -> re.Match[str] | None:
    return _MOODLE.match(name) or _CANVAS.match(name)


def same_name(name: str) -> str:
    """Return a name as names are compared: without capitals and ways to compose letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def read_notebook(submission: Submission, assignment: Assignment) -> bytes:
    """Return the bytes of a submission's notebook; follow no link, open nothing but a file.

    Raises
    ------
    UnreadableError
        If there is none, several, or it is too large.
    """
    try:
        if submission.members:
            data = _from_class(submission, assignment.name)
        elif stat.S_ISDIR(submission.path.lstat().st_mode):
            name = pick_notebook(files_in(submission.path), assignment.name, "folder")
            data = read_file(submission.path / name)
        else:
            data = read_file(submission.path)
    except OSError as error:
        raise UnreadableError(f"The file cannot be read: {error.strerror}.") from None
    return read_notebook_in_zip(data, assignment.name) if is_zip(data) else data


def _from_class(submission: Submission, assignment: str) -> bytes:
    with submission.path.open("rb") as file, opened(file) as archive:
        first = submission.members[0]
        if shown(PurePosixPath(first).name) == submission.name:  # a file, not a folder
            return read_member(archive, first)
        return read_member(archive, pick_notebook(submission.members, assignment, "folder"))


def check_seed(submissions: Iterable[Submission], assignment: Assignment) -> None:
    """Refuse to grade a class with another course seed than that of its notebooks.

    Raises
    ------
    ValueError
        If more than half of the notebooks were released with another; of fewer, their marks have
        a note.
    """
    stamps = []
    for submission in submissions:
        try:
            stamps.append(_stamp(_parse(read_notebook(submission, assignment))))
        except UnreadableError:
            continue
    known = [stamp for stamp in stamps if stamp is not None]
    others = sum(stamp != assignment.stamp for stamp in known)
    if 2 * others > len(known):
        raise ValueError(
            f"seed must be the one of the release; {others} of {len(known)} notebooks were "
            "released with another"
        )


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
        notes += _renamed(question, source)
        answers.cells[question.id] = source
    return answers


def _renamed(question: Question, source: str) -> list[str]:
    """Say which functions a cell defines in place of those that it should."""
    missing = [n for n in question.functions if not re.search(rf"\b{re.escape(n)}\b", source)]
    other = [name[:60] for name in _DEFINED.findall(source) if name not in question.functions]
    if not missing or not other:
        return []
    names = ", ".join(dict.fromkeys(other[:5]))
    return [f"Your cell defines {names}; asked for is {', '.join(missing)}."]


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
