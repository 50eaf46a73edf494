"""Tables of the page about the question bank, in book/_ext/bank_tables.py."""

import re

import bank_tables
from markdown_it import MarkdownIt

from vgglab.course.bank import load_goals, load_misconceptions, question_bank
from vgglab.course.exercises import CHAPTERS


def test_every_question_is_in_the_table_with_its_goal():
    head, *rows = bank_tables.goals()
    assert len(rows) == len(load_goals())
    assert {len(row) for row in rows} == {len(head)}
    asked = [id.strip("`") for row in rows for id in row[2].split(", ")]
    assert sorted(asked) == sorted(question.quiz.id for question in question_bank())
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_every_misconception_is_in_the_table_of_a_chapter():
    rows = [row for chapter in CHAPTERS for row in bank_tables.misconceptions(chapter[:2])[1:]]
    assert len(rows) == len(load_misconceptions())
    assert all(re.fullmatch(r".+[.?] \[.+\]\(\S+\)", row[2]) for row in rows)


def test_no_option_stands_there_in_its_own_words():
    cells = [cell for row in bank_tables.goals() for cell in row]
    for chapter in CHAPTERS:
        cells += [cell for row in bank_tables.misconceptions(chapter[:2]) for cell in row]
    said = "\n".join([*cells, bank_tables.size()]).lower()
    for question in question_bank():
        for option in question.quiz.options:
            if option.right:
                assert option.why.lower() not in said
            # A number may stand anywhere.
            if len(option.text) > 20:
                assert option.text.lower() not in said


def test_the_size_is_counted():
    numbers = {int(word) for word in bank_tables.size().replace(",", "").split() if word.isdigit()}
    assert {len(question_bank()), len(load_misconceptions())} <= numbers


def test_signs_of_markdown_are_shown():
    text = "view(-1, 128*8*8) of <b> | `x` [0] _a_ \\ #"
    shown = MarkdownIt().renderInline(bank_tables.plain(text))
    assert shown == text.replace("<", "&lt;").replace(">", "&gt;")
