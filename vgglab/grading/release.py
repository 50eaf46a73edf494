"""The students' notebook, made from the source notebook by nbgrader's own preprocessors."""

import json
import math
import os
import secrets as random_secrets
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from vgglab.arguments import needs
from vgglab.grading.assignment import (
    BEGIN,
    BEGIN_HIDDEN,
    END,
    END_HIDDEN,
    Assignment,
    role_of,
)

LEAST_BITS = 80
"""Of a course seed that no student finds by trying."""

# In nbgrader's order; it keeps names of cells in its database besides, which nothing here needs.
PREPROCESSORS = (
    "LockCells",
    "ClearSolutions",
    "ClearOutput",
    "CheckCellMetadata",
    "ClearHiddenTests",
    "ComputeChecksums",
)


def source_notebook(assignment: Assignment) -> Any:
    """Return the source notebook for the course seed, as nbgrader's ``source`` folder takes it."""
    with needs("grade"):
        import nbformat

    return nbformat.from_dict(assignment.notebook)


def release_notebook(assignment: Assignment) -> Any:
    """Return the students' notebook: no solutions, no hidden tests, checks locked.

    Raises
    ------
    ImportError
        If nbgrader is not installed.
    ValueError
        If something of a solution or of a hidden probe is left.
    """
    with needs("grade"):
        from nbgrader import preprocessors

    resources: dict[str, Any] = {}
    notebook = source_notebook(assignment)
    for name in PREPROCESSORS:
        notebook, resources = getattr(preprocessors, name)().preprocess(notebook, resources)
    notebook.metadata["vgglab"] = {"assignment": assignment.name, "stamp": assignment.stamp}
    found = leaks(assignment, [("the release", notebook_text(notebook))])
    if found:
        raise ValueError(found[0])
    return notebook


def write_release(assignment: Assignment, out: Path, *, source: bool = False) -> Path:
    """Write the students' notebook, or with `source` the one for nbgrader's source folder.

    Returns
    -------
    Path
        ``out/NAME/NAME.ipynb``.

    Raises
    ------
    ValueError
        If the course seed can be guessed.
    """
    with needs("grade"):
        import nbformat

    _check_seed(assignment.seed)
    notebook = source_notebook(assignment) if source else release_notebook(assignment)
    nbformat.validate(notebook)
    target = out / assignment.name / f"{assignment.name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook, version=4) + "\n"
    target.write_text(text, encoding="utf-8", newline="\n")
    return target


def course_seed(path: Path, *, draw: bool = False) -> str:
    """Return the course seed in a file.

    Parameters
    ----------
    path
        The file.
    draw
        Whether to draw a seed if there is no file, and to write it there, for its owner alone.

    Raises
    ------
    OSError
        If the file cannot be written, such as on a full disk; then there is none.
    ValueError
        If there is no file and none is to be drawn, or the seed in it can be guessed.
    """
    try:
        seed = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if not draw:
            raise ValueError(
                f"the course seed must be given with --seed, or lie in {str(path)!r}, where "
                "vgglab grade release writes it"
            ) from None
        seed = random_secrets.token_urlsafe()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{seed}\n")
        except OSError as error:
            path.unlink()
            raise OSError(f"{str(path)!r} could not be written ({error.strerror})") from error
    return _check_seed(seed)


def _check_seed(seed: str) -> str:
    """Return a seed that is as long and as mixed as one that was drawn."""
    shares = [count / len(seed) for count in Counter(seed).values()] if seed else []
    bits = len(seed) * -sum(share * math.log2(share) for share in shares)
    if bits < LEAST_BITS or any(c.isspace() for c in seed):
        raise ValueError(
            "seed must be drawn at random, or students find it by trying, and with it the hidden "
            f"probes; got {len(seed)} characters. vgglab grade release draws one, or: "
            'python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return seed


def notebook_text(notebook: Any) -> str:
    """Return all text of a notebook, metadata included, one line of source a line."""
    metadata = [json.dumps(notebook.metadata), *(json.dumps(c.metadata) for c in notebook.cells)]
    return "\n".join([cell.source for cell in notebook.cells] + metadata).replace("\\n", "\n")


# What must not be seen


def secrets(assignment: Assignment) -> tuple[dict[str, list[str]], set[str]]:
    """Return the passages that no student may see, by where they stand, and what all may see."""
    public, passages = _split(assignment)
    for path in (assignment.judge_file, *sorted((assignment.folder / "mutants").glob("*.py"))):
        passages[path.name] = path.read_text(encoding="utf-8").splitlines()
    seen = set(map(_squeeze, public))
    return {where: _telling(lines, seen) for where, lines in passages.items()}, seen


def solution_lines(assignment: Assignment) -> list[list[str]]:
    """Return the lines of each solution and hidden test, without blanks and what tells nothing."""
    return [_telling(lines, set()) for lines in _split(assignment)[1].values()]


def _telling(lines: Iterable[str], seen: set[str]) -> list[str]:
    """Return the lines without blanks, but for those that give nothing away."""
    return [
        line
        for line in map(_squeeze, lines)
        if len(line) >= 16 and line not in seen and not line.startswith(("import", "from"))
    ]


def _split(assignment: Assignment) -> tuple[list[str], dict[str, list[str]]]:
    """Return the public lines of the source notebook, and the others by cell."""
    public: list[str] = []
    passages: dict[str, list[str]] = {}
    regions = {BEGIN: END, BEGIN_HIDDEN: END_HIDDEN}
    for cell in assignment.notebook["cells"]:
        until = ""
        for line in cell["source"].splitlines():
            text = line.strip()
            if until:
                until = "" if text == until else until
                if until:
                    passages.setdefault(" ".join(role_of(cell)), []).append(line)
            elif text in regions:
                until = regions[text]
            else:
                public.append(line)
    return public, passages


def leaks(assignment: Assignment, texts: Iterable[tuple[str, str]]) -> list[str]:
    """Say where a passage that no student may see can be read.

    A passage shows if two of its lines that follow each other do, or the only one that it has.

    Parameters
    ----------
    assignment
        Whose solutions, hidden tests, judge and mutants are looked for.
    texts
        Pairs of a name and a text to look through.
    """
    hidden, seen = secrets(assignment)
    found = []
    for name, text in texts:
        lines = _telling(text.splitlines(), seen)
        present = set(lines)
        pairs = set(pairwise(lines))
        for where, passage in hidden.items():
            shown = [pair for pair in pairwise(passage) if pair in pairs]
            alone = passage if len(passage) == 1 and passage[0] in present else []
            if shown or alone:
                line = alone[0] if alone else shown[0][0]
                found.append(f"{name} shows {where} of {assignment.name}: {line!r}")
    return found


def _squeeze(line: str) -> str:
    return "".join(line.split())
