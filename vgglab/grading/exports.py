"""Tables for people and for learning platforms: CSV, and the gradebooks of Canvas and Moodle."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vgglab.grading.submissions import platform_id, same_name

CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
# All of them are needed, or Moodle refuses the worksheet when it comes back.
MOODLE = ("Identifier", "Grade", "Last modified (grade)")
_NAMES = ("Student", "Full name", "SIS User ID", "SIS Login ID", "ID number", "Email address")


def table(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV, in which no cell is a formula to any spreadsheet."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(map(cell, row) for row in rows)
    return file.getvalue().encode()


def cell(value: Any) -> Any:
    """Return a cell that a spreadsheet takes for text or for a number, never for a formula.

    A `;` begins a cell where commas are decimal, and characters of full width count as theirs.
    """
    if isinstance(value, str):
        return re.sub(r"(?:^|;)\s*(?=(.))", _mark, " ".join(value.split()))
    return "" if value is None else f"{value:g}"


def _mark(match: re.Match[str]) -> str:
    return match[0] + "'" * _begins(match[1])


def _begins(character: str) -> bool:
    """Whether a cell that begins so is a formula."""
    return unicodedata.normalize("NFKC", character)[0] in "=+-@"


def uncell(text: str) -> str:
    """Return the text that `cell` wrote."""
    return re.sub(r"((?:^|;)\s*)'(?=(.))", lambda m: m[1] if _begins(m[2]) else m[0], text)


def fill_gradebook(
    gradebook: Path, marks: Sequence[Mapping[str, Any]], title: str
) -> tuple[str, bytes, list[str]]:
    """Return a gradebook with the marks of one assignment.

    Parameters
    ----------
    gradebook
        CSV file as Canvas exports its gradebook, or Moodle its grading worksheet.
    marks
        Dicts with ``student``, ``submission``, ``score``, ``out_of`` and ``comment``.
    title
        Of the assignment. In Canvas it is a column of that name, or a new one.

    Returns
    -------
    tuple
        ``"canvas.csv"`` or ``"moodle.csv"``, its content, and a sentence for each problem.

    Raises
    ------
    ValueError
        If the file is of neither.
    """
    try:
        with gradebook.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"gradebook must be a CSV file; {gradebook}: {error}") from None
    rows = [row + [""] * (len(head) - len(row)) for row in rows]
    if set(CANVAS[:2]) <= set(head):
        return _canvas(head, rows, marks, title)
    if set(MOODLE) <= set(head):
        return _moodle(head, rows, marks)
    raise ValueError(
        f"gradebook must have the columns {', '.join(CANVAS[:2])} of Canvas or "
        f"{', '.join(MOODLE)} of Moodle; {gradebook} has {', '.join(head)}"
    )


def _canvas(
    head: list[str], rows: list[list[str]], marks: Sequence[Mapping[str, Any]], title: str
) -> tuple[str, bytes, list[str]]:
    number = head.index("ID")
    students = [row for row in rows if row[number].strip().isdecimal()]
    found, problems = _match(head, students, number, marks)
    # Canvas puts its own number behind the name: "VGG from Table 1 (4711)".
    columns = [c for c in head if same_name(re.sub(r" \(\d+\)$", "", c)) == same_name(title)]
    if not columns:
        problems.append(f"The gradebook has no column {title!r}; Canvas will ask to make one.")
    kept = [head.index(name) for name in CANVAS if name in head]
    points = ["Points Possible" if head[i] == "Student" else "" for i in kept]
    made = [[*(head[i] for i in kept), columns[0] if columns else title]]
    made.append([*points, f"{marks[0]['out_of']:g}" if marks else ""])
    for index, row in enumerate(students):
        if index in found:
            made.append([*(row[i] for i in kept), f"{found[index]['score']:g}"])
    return "canvas.csv", _written(made), problems


def _moodle(
    head: list[str], rows: list[list[str]], marks: Sequence[Mapping[str, Any]]
) -> tuple[str, bytes, list[str]]:
    found, problems = _match(head, rows, head.index("Identifier"), marks)
    made = [head]
    for index, row in enumerate(rows):
        if index not in found:
            continue
        mark = found[index]
        most = row[head.index("Maximum Grade")] if "Maximum Grade" in head else ""
        scale = float(most) / mark["out_of"] if re.fullmatch(r"\d+(\.\d+)?", most) else 1
        cells = dict(zip(head, row, strict=False)) | {"Grade": f"{mark['score'] * scale:.2f}"}
        if "Feedback comments" in head:
            cells["Feedback comments"] = mark["comment"]
        made.append([cells[name] for name in head])
    return "moodle.csv", _written(made), problems


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as CSV, cells as they came: a platform finds its students by them."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue().encode()


def _match(
    head: list[str], rows: list[list[str]], number: int, marks: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, Mapping[str, Any]], list[str]]:
    """Find the row of each mark: by the platform's number, else by a name that one row has."""
    names: dict[str, set[int]] = {}
    for index, row in enumerate(rows):
        for key in _keys(head, row):
            names.setdefault(key, set()).add(index)
    numbers = {"".join(re.findall(r"\d", row[number])): {i} for i, row in enumerate(rows)}
    found: dict[int, Mapping[str, Any]] = {}
    problems = []
    for mark in marks:
        places = numbers.get(platform_id(mark["submission"]) or "") or set()
        if mark["mapped"] or not places:
            places = names.get(_bare(mark["student"]), set())
        if len(places) != 1 or places & found.keys():
            why = "two submissions fit one row" if len(places) == 1 else f"{len(places)} rows fit"
            problems.append(f"{mark['student']} is not in the filled gradebook: {why}.")
        else:
            found[places.pop()] = mark
    if len(found) < len(rows):
        problems.append(f"{len(rows) - len(found)} rows of the gradebook have no submission.")
    return found, problems


def _keys(head: list[str], row: list[str]) -> set[str]:
    """Return what a student may be called: names in both orders, logins, addresses."""
    keys = set()
    for name in _NAMES:
        value = row[head.index(name)] if name in head else ""
        surname, comma, first = value.partition(",")
        keys |= {value, value.partition("@")[0], f"{first} {surname}" if comma else value}
    return set(map(_bare, keys)) - {""}


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, same_name(name)))
