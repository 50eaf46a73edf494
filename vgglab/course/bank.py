"""The question bank: every question, what it asks for, and what its wrong options believe.

The questions are the quizzes of the chapters and of the packs. `goals.toml`, in the book, says
which goal each belongs to; `misconceptions.toml`, beside this module, what somebody believes who
chooses a wrong option, and where somebody did.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from vgglab.course.exercises import (
    CHAPTERS,
    PACKS,
    has_drawn_numbers,
    load_quizzes,
    pack_quizzes,
    quiz,
)
from vgglab.course.notebooks import BOOK
from vgglab.course.quizzes import Quiz


@dataclass(frozen=True)
class Misconception:
    """What somebody believes who chooses a wrong option.

    Attributes
    ----------
    id
        Named by the options.
    belief
        The statement as somebody holds it.
    wrong
        Why it does not hold.
    section
        The paragraph of the book that answers it, ``notebook#anchor``.
    source
        Where somebody held it: an address, or a page of the book for a thread that has no address.
    said
        What stands there.
    """

    id: str
    belief: str
    wrong: str
    section: str
    source: str
    said: str


@dataclass(frozen=True)
class Goal:
    """What a reader can do after a chapter.

    Attributes
    ----------
    id
        The chapter's number and a word.
    chapter
        Its number.
    text
        Ends the sentence "The reader can ...".
    section
        Anchor of the heading in the chapter.
    exercises, questions
        Ids of what practises it, and of what asks for it.
    """

    id: str
    chapter: str
    text: str
    section: str
    exercises: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A quiz with its place in the bank.

    Attributes
    ----------
    quiz
        What is asked.
    goal
        What it asks for.
    pack
        Empty for those of the chapters.
    drawn
        Whether its numbers can be drawn.
    name
        Its id, and the seed where one has drawn its numbers.
    """

    quiz: Quiz
    goal: Goal
    pack: str
    drawn: bool
    name: str


@cache
def load_misconceptions() -> Mapping[str, Misconception]:
    """Return the misconceptions, by id."""
    entries = _read(Path(__file__).with_name("misconceptions.toml"))["misconceptions"]
    return _by_id(Misconception(**entry) for entry in entries)


@cache
def load_goals() -> Mapping[str, Goal]:
    """Return the learning goals of all chapters, by id."""
    entries = _read(BOOK / "teaching" / "goals.toml")["goals"]
    lists = ("exercises", "questions")
    return _by_id(Goal(**entry | {name: tuple(entry[name]) for name in lists}) for entry in entries)


def question_bank(
    chapter: str | None = None,
    pack: str | None = None,
    seed: int | None = None,
    shuffled: bool = False,
) -> list[Question]:
    """Return the questions, those of the chapters first.

    Parameters
    ----------
    chapter
        Number of a chapter, such as ``"04"``: only the questions of its goals.
    pack
        A pack, such as ``"shapes"``: only its questions.
    seed
        Draws the numbers, where they can be drawn. Without it they are those of the book.
    shuffled
        Put the options into an order that `seed` draws.

    Raises
    ------
    ValueError
        If there is no such chapter or pack, or nothing in both.
    """
    numbers = [name[:2] for name in CHAPTERS]
    if chapter is not None and chapter not in numbers:
        raise ValueError(f"chapter must be one of {', '.join(numbers)}; got {chapter!r}")
    goals = {id: goal for goal in load_goals().values() for id in goal.questions}
    ids = dict.fromkeys(load_quizzes() if pack is None else (), "")
    for name in PACKS if pack is None else [pack]:
        ids |= dict.fromkeys(pack_quizzes(name), name)
    found = []
    for id, of_pack in ids.items():
        if chapter in (None, goals[id].chapter):
            shown = quiz(id, seed)
            if shuffled:
                shown = shown.shuffled(Random(f"{id} {seed}"))
            drawn = has_drawn_numbers(id)
            name = f"{id} ({seed})" if drawn and seed is not None else id
            found.append(Question(shown, goals[id], of_pack, drawn, name))
    if not found:
        raise ValueError(f"chapter {chapter} has no questions in the pack {pack}")
    return found


Entry = TypeVar("Entry", Misconception, Goal)


def _by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.id in found:
            raise ValueError(f"id must be of one entry alone; got {entry.id!r} twice")
        found[entry.id] = entry
    return found


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
