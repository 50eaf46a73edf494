"""Tables of the page about the question bank: rows of cells as Markdown, the head first."""

from __future__ import annotations

import re
from collections import Counter

from docutils import nodes
from teaching_tables import chapters, drawn, title_of

from vgglab.course.bank import Misconception, load_misconceptions, question_bank
from vgglab.course.exercises import CHAPTERS

Rows = list[list[str]]


def goals() -> Rows:
    """Return what is asked, by goal: questions, difficulty, and whether their numbers vary."""
    rows = [["chapter", "the reader can ...", "questions", "difficulty", "numbers drawn"]]
    bank = sorted(question_bank(), key=lambda question: question.goal.chapter)
    for goal in dict.fromkeys(question.goal for question in bank):
        asked = [question for question in bank if question.goal == goal]
        rows.append(
            [
                goal.chapter,
                f"[{plain(goal.text)}]({_section(goal.chapter, goal.section)})",
                ", ".join(f"`{question.quiz.id}`" for question in asked),
                ", ".join(str(question.quiz.difficulty) for question in asked),
                ", ".join("yes" if question.drawn else "no" for question in asked),
            ]
        )
    return rows


def bars() -> nodes.Node:
    """Draw how many questions each chapter has."""
    asked = Counter(question.goal.chapter for question in question_bank())
    found = [(title_of(chapters()[name]), asked[name]) for name in sorted(asked)]
    return drawn(found, "", "Questions by chapter.")


def size() -> str:
    """Say how much there is."""
    bank = question_bank()
    beliefs = load_misconceptions().values()
    drawn = sum(question.drawn for question in bank)
    wrong = sum(not option.right for question in bank for option in question.quiz.options)
    return (
        f"There are {len(bank)} questions; the numbers of {drawn} are drawn. They have {wrong} "
        f"wrong options, which go back to {len(beliefs)} misconceptions. Each of these has a place "
        "where somebody held it, or tells of people who do."
    )


def misconceptions(chapter: str) -> Rows:
    """Return what people believe that a chapter answers, and where somebody did."""
    rows = [["somebody believes", "instead", "held"]]
    for entry in load_misconceptions().values():
        if entry.section.startswith(chapter):
            notebook, _, anchor = entry.section.partition("#")
            instead = f"[{plain(entry.wrong)}]({_section(notebook[:2], anchor)})"
            rows.append([plain(entry.belief), instead, _held(entry)])
    return rows


def _held(entry: Misconception) -> str:
    if "//" not in entry.source:
        return f"{plain(entry.said)} [The threads, answered](../{entry.source})"
    return f"{plain(entry.said)} [{plain(_place(entry.source))}]({entry.source})"


def _place(address: str) -> str:
    """Name an address: project and number on GitHub, the host elsewhere."""
    number = re.fullmatch(r"https://github\.com/(\S+)/(?:issues|pull)/(\d+)", address)
    return f"{number[1]}#{number[2]}" if number else address.split("/")[2].removeprefix("www.")


def _section(chapter: str, anchor: str) -> str:
    (notebook,) = (name for name in CHAPTERS if name.startswith(chapter))
    return f"../notebooks/{notebook}.ipynb#{anchor}"


def plain(text: str) -> str:
    """Return text whose signs mean nothing in Markdown."""
    return re.sub(r"([*_<|`\[\]\\#])", r"\\\1", text)
