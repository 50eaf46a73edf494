"""What became of results that there were: graded again, or withdrawn."""

import getpass
import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vgglab.grading.exports import table

LOG = "regrades.csv"
WITHDRAWN = "withdrawn"
_COLUMNS = ("time", "who", "submission", "why", "before", "after")
_REASONS = {
    "notebook": "handed in again",
    "judge": "the judge, the course seed or the assignment changed",
    "environment": "vgglab or the environment changed",
}


def read_result(path: Path) -> dict[str, Any] | None:
    """Return a result, or ``None`` if there is none or it is damaged."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def log_regrade(results: Path, before: dict[str, Any], after: dict[str, Any] | None) -> str:
    """Write down that a result was replaced, or withdrawn if `after` is ``None``.

    Returns
    -------
    str
        Why.
    """
    old, new = before.get("of"), after.get("of") if after else {}
    if after is None:
        why = "withdrawn"
    elif isinstance(old, dict) and isinstance(new, dict):
        why = "; ".join(w for name, w in _REASONS.items() if old.get(name) != new.get(name))
    else:
        why = "an earlier version of vgglab made it"
    row = [_now(), _who(), before.get("submission"), why, _mark(before), _mark(after)]
    path = results / LOG
    lines = table([row] if path.exists() else [_COLUMNS, row])
    # One write at the end of the file: graders may do so at the same time.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    with open(descriptor, "wb", buffering=0) as file:
        file.write(lines)
    return why


def withdraw(
    results: Path, assignment: str, is_there: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """Move away the results of submissions that are no longer there.

    Parameters
    ----------
    results
        Folder of the result files.
    assignment
        Only its results are looked at.
    is_there
        Whether a submission is still there, by its name.

    Yields
    ------
    tuple of str
        Name of the submission, and where its result is now.
    """
    for path in sorted(results.glob("[!.]*.json")):
        result = read_result(path)
        if result is None or result.get("assignment") != assignment:
            continue
        name = str(result.get("submission"))
        if not is_there(name):
            target = results / WITHDRAWN / path.name
            target.parent.mkdir(exist_ok=True)
            try:
                path.replace(target)
            except FileNotFoundError:  # another grader was faster
                continue
            log_regrade(results, result, None)
            yield name, str(target)


def restore(results: Path, names: Iterable[str]) -> None:
    """Move back the results of submissions that are there again."""
    for name in names:
        moved = results / WITHDRAWN / name
        if moved.exists() and not (results / name).exists():
            moved.replace(results / name)


def _mark(result: dict[str, Any] | None) -> str:
    points = [result.get(name) for name in ("score", "out_of")] if result else []
    return " of ".join(f"{p:g}" if isinstance(p, int | float) else "?" for p in points)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return str(os.getuid())
