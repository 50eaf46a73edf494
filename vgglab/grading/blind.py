"""Submissions without the names of students, for people who mark them."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgglab.files import write_whole
from vgglab.grading.assignment import Assignment
from vgglab.grading.bundles import UnreadableError
from vgglab.grading.exports import table, uncell
from vgglab.grading.policy import read_rows
from vgglab.grading.submissions import find_submissions, read_notebook

_LETTERS = "bcdfghjkmnpqrstvwxz"  # no word comes of them, and none looks like a number


def hide_names(
    assignment: Assignment, submissions: Path, out: Path, students: Path
) -> Iterator[tuple[str, str]]:
    """Copy the notebook of each submission to a file with a name that says nothing.

    What stands in the cells is copied as it is: a student who writes a name there shows it.
    Outputs and the notebook's own metadata, but for the stamp of the course seed, are left out.

    Parameters
    ----------
    assignment
        Whose notebooks they are.
    submissions
        Folder or zip of the submissions.
    out
        Folder to write to.
    students
        CSV file with the columns ``submission``, the new name, ``student`` and ``handed_in``, the
        old name. New names that it has are kept, so that more submissions can be added. A
        policy's ``students`` reads it.

    Yields
    ------
    tuple of str
        Name of a submission that was left out, and why.

    Raises
    ------
    ValueError
        If `students` would lie in `out`, or `submissions` is no folder and no zip.
    """
    if out.resolve() in students.resolve().parents:
        raise ValueError(f"the file with the names must not lie in {str(out)!r}; got {students}")
    codes = _known(students)
    for submission in find_submissions(submissions):
        if submission.is_hidden:
            yield submission.name, "it is hidden"
            continue
        try:
            notebook = json.loads(read_notebook(submission, assignment).decode("utf-8-sig"))
            bare = _bare(notebook)
        except (UnreadableError, ValueError, RecursionError, AttributeError, TypeError) as error:
            why = str(error) if isinstance(error, UnreadableError) else "It is no notebook."
            yield submission.name, why
            continue
        if submission.name not in codes:
            codes[submission.name] = (
                _code({code for code, _ in codes.values()}),
                submission.student,
            )
        code = codes[submission.name][0]
        data = (json.dumps(bare, indent=1) + "\n").encode()
        write_whole(out / code, lambda file, data=data: file.write(data))  # type: ignore[misc]
    # In the order of the codes: another would tell who is who to whoever sees the files' times.
    rows = sorted((*code_and_student, name) for name, code_and_student in codes.items())
    lines = table([("submission", "student", "handed_in"), *rows])
    write_whole(students, lambda file: file.write(lines))


def _known(students: Path) -> dict[str, tuple[str, str]]:
    if not students.exists():
        return {}
    rows = read_rows(students, "submission", "student", "handed_in")
    return {
        uncell(row["handed_in"]): (row["submission"], uncell(row["student"])) for _, row in rows
    }


def _code(used: set[str]) -> str:
    while True:
        code = "".join(secrets.choice(_LETTERS) for _ in range(6)) + ".ipynb"
        if code not in used:
            return code


def _bare(notebook: dict[str, Any]) -> dict[str, Any]:
    stamp = {k: v for k, v in notebook.get("metadata", {}).items() if k == "vgglab"}
    for part in notebook["cells"]:
        if part.get("cell_type") == "code":
            part |= {"outputs": [], "execution_count": None}
    return {**notebook, "metadata": stamp}
