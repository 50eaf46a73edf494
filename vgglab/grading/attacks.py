"""Submissions that want marks for nothing, or harm: whether any of them gets what it wants.

They lie in the folder ``exploits``, a file for each kind and an entry for each attack. There are
two sorts. A `cell` defines a function ``answer`` in place of a right one, and returns what
``right`` does only where it reached what it should not. An `add` stands below a mutant of an
assignment, and hides that it breaks a rule.
"""

import json
import socket
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from vgglab.grading.assignment import Assignment
from vgglab.grading.follow_on import fair_marks
from vgglab.grading.marking import Judge, observe_trusted
from vgglab.grading.probes import Call
from vgglab.grading.sandbox import Sandbox
from vgglab.grading.submissions import Answers

CONTROL = "def answer(*args, **options): return None"
HONEST = "answer = right"


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes
    ----------
    kind, name
        Of the file, and of the entry.
    cell
        An answer cell, for any assignment.
    assignment, mutants, question, add
        Or what is put below the answers of mutants of one assignment, or of one question alone.
    twice
        Whether it is graded once before, to leave something for the next.
    """

    kind: str
    name: str
    cell: str = ""
    assignment: str = ""
    mutants: tuple[str, ...] = ()
    question: str = ""
    add: str = ""
    twice: bool = False


@dataclass
class Tried:
    """What became of an attack on an assignment.

    Attributes
    ----------
    attack
        The attack.
    gained
        Marks beyond those that it honestly earns.
    harm
        What changed outside, or what a student could read of a hidden probe; ``""`` for nothing.
    """

    attack: Attack
    gained: float
    harm: str = ""

    @property
    def failed(self) -> bool:
        """Whether the attack got nothing."""
        return self.gained <= 0 and not self.harm


def all_attacks(kinds: Sequence[str] = ()) -> list[Attack]:
    """Return the attacks, or those of some kinds.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    found = []
    for file in sorted(files("vgglab.grading").joinpath("exploits").iterdir(), key=str):
        if file.name.endswith(".toml"):
            entries = tomllib.loads(file.read_text(encoding="utf-8"))
            kind = file.name.removesuffix(".toml")
            found += [Attack(kind, name, **_lists(entry)) for name, entry in entries.items()]
    known = {attack.kind for attack in found}
    if set(kinds) - known:
        raise ValueError(f"kind must be one of {', '.join(sorted(known))}; got {', '.join(kinds)}")
    return [attack for attack in found if not kinds or attack.kind in kinds]


def _lists(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}


@dataclass
class Outside:
    """What a submission would like to reach: a folder, and a service on the network."""

    folder: Path
    server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    connections: int = 0

    def places(self, assignment: Assignment) -> dict[str, Any]:
        """Return the names by which attacks know it."""
        return {
            "CANARY": str(self.folder),
            "PORT": self.server.getsockname()[1],
            "SOCKET": str(self.folder / "socket"),
            "ABSTRACT": "vgglab-attacked",
            "JUDGE": str(assignment.judge_file),
            "SECONDS": assignment.seconds,
        }

    def harm(self) -> str:
        """Say what was changed or reached."""
        left = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        changed = "files outside were changed" if left != {"bird": b"alive"} else ""
        return changed or ("a service outside was reached" if self.connections else "")

    def accept(self) -> None:
        """Count connections until the server is closed."""
        with suppress(OSError):
            while True:
                self.server.accept()[0].close()
                self.connections += 1


@contextmanager
def outside() -> Iterator[Outside]:
    """Make what attacks would like to reach, and take it away again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "canary"
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "bird").write_bytes(b"alive")
        made = Outside(folder)
        thread = threading.Thread(target=made.accept)
        thread.start()
        try:
            yield made
        finally:
            with suppress(OSError):
                made.server.shutdown(socket.SHUT_RDWR)
            thread.join()
            made.server.close()


class Trial:
    """Attacks on one assignment.

    Parameters
    ----------
    judge
        Of the assignment, which may have a shorter time than students get.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge, self.assignment = judge, judge.assignment
        self.solution = self.assignment.cells("answer")
        # Of few functions, for an attack answers them all alike.
        self.question = min(self.assignment.coded, key=lambda question: len(question.functions))
        self.mutants = {mutant.name: mutant.cells for mutant in self.assignment.mutants()}
        self.hidden = values_of(self.judge)

    def chosen(self, attacks: Iterable[Attack]) -> list[Attack]:
        """Return those that are for this assignment."""
        return [a for a in attacks if a.assignment in ("", self.assignment.name)]

    def controls(self) -> list[str]:
        """Return a sentence if a right answer fails, or one that does nothing does not."""
        faults = []
        marks = {name: self._marks(self._cells(cell)) for name, cell in _CONTROLS.items()}
        points = self.question.points
        for name, wanted in (("right", points), ("wrong", 0)):
            asked = (q["score"] for q in marks[name]["questions"] if q["id"] == self.question.id)
            found = next(asked)
            if found != wanted:
                faults.append(f"the {name} control earns {found:g} of {points:g}")
        return faults

    def run(self, attacks: Sequence[Attack], workers: int = 1) -> Iterator[Tried]:
        """Grade attacks, each as a submission; yield what became of each."""
        honest = self._marks(self._cells(CONTROL))["score"]
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(partial(self._try, honest), [a for a in attacks if a.cell])
        yield from self._try_hiding([a for a in attacks if a.add])

    def _try_hiding(self, attacks: Sequence[Attack]) -> Iterator[Tried]:
        """Run what only hides a broken rule, one after the other in one worker."""
        cells = [self._mutated(a, add) for a in attacks for add in ("", a.add)]
        jobs = [{**self.judge.job(c), "probes": self.judge.asked} for c in cells]
        if not jobs:
            return
        _, seen = observe_trusted(self.judge.sandbox, jobs, self.assignment.seconds)
        scores = [
            self.judge.marks(Answers(cells=c), observed)["score"]
            for c, observed in zip(cells, seen, strict=True)
        ]
        for attack, honest, found in zip(attacks, scores[::2], scores[1::2], strict=True):
            yield Tried(attack, round(found - honest, 2))

    def _try(self, honest: float, attack: Attack) -> Tried:
        with outside() as places:
            head = "".join(f"{k} = {v!r}\n" for k, v in places.places(self.assignment).items())
            cells = self._cells(attack.cell, head)
            try:
                for _ in range(1 + attack.twice):
                    marks = self._marks(cells)
            except Exception as error:  # whatever it made the judge meet
                return Tried(attack, 0, f"the judge failed: {type(error).__name__}: {error}")
            harm = places.harm()
        said = json.dumps(marks, ensure_ascii=False)
        if any(value in said for value in self.hidden):
            harm = harm or "feedback shows an input of a hidden probe"
        return Tried(attack, round(marks["score"] - honest, 2), harm)

    def _marks(self, cells: dict[str, str]) -> dict[str, Any]:
        answers = Answers(cells=cells)
        return fair_marks(self.judge, answers, self.judge.observe(answers))

    def _cells(self, cell: str, head: str = "") -> dict[str, str]:
        names = self.question.functions
        several = len(names) > 1
        before = f"{self.solution[self.question.id]}\nright, NAME = {names[0]}, {names[0]!r}\n"
        if several:
            before += _RIGHT_OF_SEVERAL.format(", ".join(f"{name!r}: {name}" for name in names))
        before += f"del {', '.join(names)}\n"
        after = _CALLED_OF_SEVERAL if several else ""
        after += "".join(f"\n{n} = " + (f"called({n!r})" if several else "answer") for n in names)
        return self.solution | {self.question.id: f"{before}{head}{cell}{after}\n"}

    def _mutated(self, attack: Attack, add: str) -> dict[str, str]:
        cells = dict(self.solution)
        functions = {question.id: question.functions for question in self.assignment.coded}
        for mutant in attack.mutants:
            for question, source in self.mutants[mutant].items():
                lines = [source]
                if attack.question in ("", question):
                    lines += [add.replace("FUNCTION", name) for name in functions[question]]
                cells[question] = "\n".join(lines if "FUNCTION" in add else lines[:2])
        return cells


# Of a question with several functions, `right` is that of the one that was called, NAME.
_RIGHT_OF_SEVERAL = """
rights = {{{}}}
def right(*args, **options): return rights[NAME](*args, **options)
"""
_CALLED_OF_SEVERAL = """
def called(name):
    def one(*args, **options):
        global NAME
        NAME = name
        return answer(*args, **options)
    return one
"""
_CONTROLS = {"right": HONEST, "wrong": CONTROL}


def values_of(judge: Judge) -> set[str]:
    """Return the numbers of hidden probes, those that are long enough to be told from others."""
    hidden = [probe.to_json() for probe in judge.assignment.probes if not probe.public]
    return _values(hidden)


def _values(asked: Any) -> set[str]:
    if isinstance(asked, dict):
        return set().union(*map(_values, asked.values()))
    if isinstance(asked, list | tuple):
        return set().union(*map(_values, asked))
    if type(asked) in (int, float) and len(text := f"{abs(asked):.6g}".replace(".", "")) > 5:
        return {str(abs(asked)), text}
    return set()


# What remains

_PAGES = """
import glob, mmap, os, resource
def pages(start):
    files = filter(os.path.isfile, glob.glob('/usr/lib/*/*.so*') + glob.glob('/usr/lib/*.so*'))
    path = max(files, key=os.path.getsize)
    descriptor = os.open(path, os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    found = mmap.mmap(descriptor, size, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    found.madvise(mmap.MADV_RANDOM)  # no reading ahead
    step = size // 300 // 4096 * 4096
    return [(found, start * 4096 + k * step) for k in range(256)]
def left(start, bits): return [data[k] for (data, k), bit in zip(pages(start), bits) if bit]
def found(start):
    bits = []
    for data, k in pages(start):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        data[k]
        bits.append(int(resource.getrusage(resource.RUSAGE_SELF).ru_majflt == before))
    return bits
"""
CHANNEL = (
    "a submission reads pages of a file that all of them read, and a later one counts which "
    "of them have to be fetched from the disk; each page that was in nobody's memory carries one "
    "bit, once"
)


def channel_rate(sandbox: Sandbox, random: Random) -> tuple[int, int, float]:
    """Send random bits from one sandbox to the next in the way that `CHANNEL` says.

    Returns
    -------
    tuple of int, int and float
        Bits that arrived right, bits that were sent, and seconds.
    """
    bits = [random.randrange(2) for _ in range(256)]
    start = random.randrange(64)
    begun = time.perf_counter()
    for call in (Call("left", start, bits), Call("found", start)):
        probe = {"index": 0, "question": "q1", "calls": [call.to_json()]}
        job = {"cells": [{"id": "q1", "source": _PAGES}]}
        outcome = sandbox.run(job, [probe], seconds=5)
    answers = [m["answers"] for m in outcome.messages if "answers" in m]
    arrived = answers[0][0].get("value") if answers else None
    arrived = arrived if isinstance(arrived, list) else []
    right = sum(a == b for a, b in zip(arrived, bits, strict=False))
    return right, len(bits), time.perf_counter() - begun
