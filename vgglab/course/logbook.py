"""What somebody has answered so far, in a small file on their own machine.

.. code-block:: text

    {"format": 1, "exercises": {"04-2": {"answers": 3, "solved": true, "hints": 1}}}

The file lies in the user's data folder, or in the folder that the variable ``VGGLAB_HOME`` names.
If that variable is empty nothing is kept: so the book is built and tested. Answers that are checked
with ``strict=True``, as the published solutions are, are never noted.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout
from platformdirs import user_data_path
from tabulate import tabulate

from vgglab.files import write_whole

FORMAT = 1
LOCK_TIMEOUT = 1  # seconds; a notebook that waits longer says that its answer is not noted

SOLVED, ANSWERED, OPEN = "✓✗·"


@dataclass(frozen=True)
class Entry:
    """What is noted of one exercise: answers given, whether one was right, hints seen."""

    answers: int = 0
    solved: bool = False
    hints: int = 0


@dataclass(frozen=True)
class Progress:
    """The exercises of the course with what is noted of them; shows itself in a notebook.

    Attributes
    ----------
    chapters
        The exercises of each chapter, by its name, each with its entry.
    path
        The file in which they are kept; ``None``: nothing is.
    unkept
        Why nothing can be kept in that file; ``None`` if it can.
    """

    chapters: dict[str, dict[str, Entry]]
    path: Path | None
    unkept: str | None = None

    @property
    def solved(self) -> int:
        """How many exercises are solved."""
        return sum(entry.solved for entry in self._entries())

    @property
    def attempted(self) -> int:
        """How many exercises have been answered, rightly or not."""
        return sum(entry.answers > 0 for entry in self._entries())

    @property
    def hints(self) -> int:
        """How many hints have been seen."""
        return sum(entry.hints for entry in self._entries())

    def __str__(self) -> str:
        return f"{self._table('simple')}\n\n{self._where()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{self._table('html')}<p>{escape(self._where())}</p>"

    def _entries(self) -> list[Entry]:
        return [entry for entries in self.chapters.values() for entry in entries.values()]

    def _table(self, style: str) -> str:
        rows = [_row(name, entries.values()) for name, entries in self.chapters.items()]
        whole = _row("all", self._entries())
        headers = ("chapter", "exercises", "solved", "attempted", "hints", "one by one")
        table: str = tabulate([*rows, (*whole[:-1], "")], headers=headers, tablefmt=style)
        return table

    def _where(self) -> str:
        if self.unkept is not None:
            return f"Nothing can be kept: {self.unkept}. VGGLAB_HOME may name another folder."
        if self.path is None:
            return "Nothing is kept, because VGGLAB_HOME is empty."
        return f"{SOLVED} solved, {ANSWERED} answered, {OPEN} open. Kept in {self.path}"


def place() -> Path | None:
    """Return the file in which progress is kept; ``None``: it is not."""
    home = os.environ.get("VGGLAB_HOME")
    if home is None:
        return user_data_path("vgglab", appauthor=False) / "progress.json"
    return Path(home).expanduser() / "progress.json" if home else None


def read(chapters: Mapping[str, Iterable[str]]) -> Progress:
    """Return what is noted of the exercises of some chapters; a damaged file counts as empty."""
    entries, path, unkept = {}, None, None
    try:
        path = place()
        if path is not None:
            with suppress(ValueError):
                entries = _read(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=path.parent).close()
    except (OSError, RuntimeError) as error:
        unkept = _reason(error)
    noted = {name: {id: entries.get(id, Entry()) for id in ids} for name, ids in chapters.items()}
    return Progress(noted, path, unkept)


def note_answer(id: str, right: bool) -> str | None:
    """Note one more answer to an exercise; return why that was not possible, if it was not."""
    return _note(id, lambda e: replace(e, answers=e.answers + 1, solved=e.solved or right))


def note_hint(id: str, number: int) -> str | None:
    """Note that the hints of an exercise have been seen up to this one; return as `note_answer`."""
    return _note(id, lambda e: replace(e, hints=max(e.hints, number)))


def forget() -> None:
    """Delete what is noted.

    Raises
    ------
    OSError
        If the file cannot be deleted.
    """
    path = place()
    if path is not None:
        path.unlink(missing_ok=True)


def _note(id: str, change: Callable[[Entry], Entry]) -> str | None:
    """Change an entry; what cannot be written is not noted, and no check fails for it."""
    try:
        path = place()
        if path is None:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=LOCK_TIMEOUT):
            try:
                entries = _read(path)
            except ValueError:
                path.replace(path.with_suffix(".damaged"))
                entries = {}
            entries[id] = change(entries.get(id, Entry()))
            noted = {name: asdict(entry) for name, entry in sorted(entries.items())}
            text = json.dumps({"format": FORMAT, "exercises": noted}, indent=1)
            write_whole(path, lambda file: file.write(text.encode()))
    except (OSError, RuntimeError) as error:  # such as no rights, no home, no locks
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, Timeout):
        return f"another notebook has kept {error.lock_file} locked for {LOCK_TIMEOUT} s"
    return str(error) or type(error).__name__


def _read(path: Path) -> dict[str, Entry]:
    """Return the entries of a file, none if there is no file; a damaged one is a ValueError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']!r}")
        return {
            id: Entry(int(entry["answers"]), bool(entry["solved"]), int(entry["hints"]))
            for id, entry in found["exercises"].items()
        }
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def _row(name: str, entries: Iterable[Entry]) -> tuple[str, int, int, int, int, str]:
    entries = list(entries)
    marks = (SOLVED if e.solved else ANSWERED if e.answers else OPEN for e in entries)
    return (
        name,
        len(entries),
        sum(entry.solved for entry in entries),
        sum(entry.answers > 0 for entry in entries),
        sum(entry.hints for entry in entries),
        "".join(marks),
    )
