"""How a course counts what was handed in: late, more than once, in groups, under other names."""

import csv
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from vgglab.grading.bundles import shown
from vgglab.grading.exports import cell, uncell
from vgglab.grading.submissions import times_in_zip

ATTEMPTS = ("best", "last")


@dataclass(frozen=True)
class Late:
    """How late a submission was.

    Attributes
    ----------
    days
        Begun days after the deadline and its grace.
    percent
        Taken off the points that were earned.
    says
        A sentence.
    """

    days: int
    percent: float
    says: str


@dataclass(frozen=True)
class Policy:
    """What a policy file says; without one, every submission counts as it is.

    Attributes
    ----------
    due
        The deadline.
    grace_minutes
        After it, in which nothing is taken off.
    percent_a_day, at_most_percent
        Taken off the points that were earned, for each begun day, and in all.
    attempts
        ``"best"`` or ``"last"`` of a student's submissions counts; ``None``: each, with a note.
    times
        When each submission came, by its name.
    students
        Whose each submission is, by its name: one or several.
    gradebook
        A file exported from Canvas or Moodle, to be filled.
    """

    due: datetime | None = None
    grace_minutes: float = 0
    percent_a_day: float = 0
    at_most_percent: float = 100
    attempts: str | None = None
    times: Mapping[str, datetime] = field(default_factory=dict)
    students: Mapping[str, list[str]] = field(default_factory=dict)
    gradebook: Path | None = None

    def time(self, submission: str) -> datetime | None:
        """Return when a submission came, if that is known."""
        return self.times.get(submission) or self.times.get(cell(submission))

    def whose(self, submission: str) -> list[str]:
        """Return the students whose a submission is, if the policy says so."""
        return self.students.get(submission) or self.students.get(cell(submission)) or []

    def late(self, submission: str) -> Late | None:
        """Return how late a submission was; ``None`` if it was not, or no time is known."""
        time = self.time(submission)
        if self.due is None or time is None:
            return None
        over = time - self.due
        beyond = over - timedelta(minutes=self.grace_minutes)
        if over <= timedelta(0):
            return None
        days = max(0, math.ceil(beyond / timedelta(days=1)))
        percent = min(days * self.percent_a_day, self.at_most_percent)
        taken = f"{percent:g} % of the points earned are taken off" if percent else "no points lost"
        return Late(days, percent, f"Handed in {_duration(over)} after the deadline: {taken}.")


def _duration(time: timedelta) -> str:
    """Return days, hours and minutes, rounded up to a minute."""
    minutes = math.ceil(time / timedelta(minutes=1))
    parts = zip((minutes // 1440, minutes // 60 % 24, minutes % 60), ("d", "h", "min"), strict=True)
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def read_policy(path: Path) -> Policy:
    """Read a policy file: TOML, in which other files are named relative to it.

    Raises
    ------
    ValueError
        If something in it is not understood; the message says what and where.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"policy must be a TOML file; {path}: {error}") from None
    due = given.pop("due", None)
    if due is not None and not isinstance(due, datetime):
        raise ValueError(f"due in {path} must be a date and time, 2027-03-01T23:59:00; got {due}")
    made: dict[str, Any] = {"due": due}
    for name, most in (
        ("grace_minutes", math.inf),
        ("percent_a_day", 100),
        ("at_most_percent", 100),
    ):
        value = given.pop(name, getattr(Policy, name))
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise ValueError(f"{name} in {path} must be a number from 0 to {most}; got {value!r}")
        made[name] = value
    made["attempts"] = given.pop("attempts", None)
    if made["attempts"] not in (None, *ATTEMPTS):
        raise ValueError(
            f"attempts in {path} must be one of {', '.join(ATTEMPTS)}; got {made['attempts']!r}"
        )
    files = {name: path.parent / str(given.pop(name)) for name in _FILES if name in given}
    if given:
        known = ", ".join((*made, *_FILES))
        raise ValueError(f"{path} may hold {known}; got {', '.join(given)}")
    for name, file in files.items():
        if not file.is_file():
            raise ValueError(f"{name} in {path} must be a file; got {str(file)!r}")
    if "times" in files:
        made["times"] = _times(files["times"], due)
    if "students" in files:
        made["students"] = _students(files["students"])
    return Policy(**made, gradebook=files.get("gradebook"))


_FILES = ("times", "students", "gradebook")


def read_rows(path: Path, *columns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and cells of each line of a CSV file that must have some columns.

    Raises
    ------
    ValueError
        If it lacks a column, or a line lacks a cell.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} must be a CSV file in UTF-8: {error}") from None
    for number, row in enumerate(rows, start=2):
        if any(not isinstance(row.get(name), str) for name in columns):
            raise ValueError(f"{path}, line {number}, must have {', '.join(columns)}; got {row}")
        yield number, row


def _times(path: Path, due: datetime | None) -> dict[str, datetime]:
    """Return the times in a CSV or zip; those without a zone are in that of the deadline."""
    if path.suffix == ".zip":
        found = times_in_zip(path)
    else:
        found = {}
        for number, row in read_rows(path, "submission", "time"):
            try:
                found[row["submission"]] = datetime.fromisoformat(row["time"].strip())
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}, must have a time, 2027-03-01T23:59; "
                    f"got {shown(row['time'])!r}"
                ) from None
    zone = due.tzinfo if due is not None else None
    with_zone = sum(time.tzinfo is not None for time in found.values())
    if zone is None and with_zone and (due is not None or with_zone < len(found)):
        raise ValueError(f"due must have a zone, 2027-03-01T23:59:00+01:00, as times in {path} do")
    return {
        name: time.replace(tzinfo=zone) if time.tzinfo is None else time
        for name, time in found.items()
    }


def _students(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, row in read_rows(path, "submission", "student"):
        found.setdefault(row["submission"], []).append(shown(uncell(row["student"]).strip()))
    return found
