"""The pages for teachers: their plans add up, their times are measured or said to be estimates."""

from __future__ import annotations

import re
import tomllib

import pytest
import teaching_tables as tables
from make_notebooks import WORDS_A_MINUTE, words_read

import vgglab
from vgglab.course.exercises import CHAPTERS, load_exercises, load_quizzes, pack_quizzes

STEPS = tables.steps()


# --- the session ------------------------------------------------------------------------------


def test_the_steps_take_ninety_minutes():
    assert sum(step["minutes"] for step in STEPS) == 90
    starts = [step["start"] for step in STEPS]
    assert starts == sorted(set(starts))
    assert [*dict.fromkeys(step["part"] for step in STEPS)] == [
        "Predict", "Derive", "Run", "Repair", "Exit ticket",
    ]  # fmt: skip


def test_a_time_is_measured_or_said_to_be_an_estimate():
    head, *rows, total = tables.time_table()
    assert head[-2:] == ["estimated", "to spare"]
    assert len(rows) == len(STEPS)
    for step in STEPS:
        read, run = tables.measured(step)
        assert read > 0, step["title"]
        assert min(step["doing"].values()) > 0, step["title"]
        assert read + run + sum(step["doing"].values()) <= step["minutes"], step["title"]
    assert total[3] == "90"


def test_the_times_are_of_the_notebook_as_it_is():
    """A section with code has a time, and no section that went has one."""
    seconds = tables.seconds_of_sections()
    sections = tables.session_sections()
    with_code = {h for h, cells in sections.items() if any(c.cell_type == "code" for c in cells)}
    assert with_code == seconds.keys()
    assert sum(seconds.values()) < 60


def test_what_a_step_names_is_there():
    sections = tables.session_sections()
    assert [name for step in STEPS for name in step["sections"]] == [*sections]
    slides = {slide["id"] for slide in tables.load("slides")["slides"]}
    for step in STEPS:
        assert {*step["slides"]} <= slides
        assert step["phone"], step["title"]
        assert step["open"] in {"", *tables.pages()}
        code = "\n".join(c.source for name in step["sections"] for c in sections[name])
        if step["exercise"]:
            assert f'check("{step["exercise"]}"' in code
        asked = {n for call in re.findall(r"^ask\((.*)\)$", code, re.M) for n in call.split(", ")}
        assert asked == {item.removeprefix("shapes-") for item in step["items"]}
        if "leave_out" in step:
            assert step["instead"]
    shown = [id for step in STEPS for id in step["slides"]]
    assert shown == [*dict.fromkeys(shown)]
    assert {*shown} == slides
    assert [slide["id"] for slide in tables.load("slides")["slides"]] == shown
    asked = sorted(item for step in STEPS for item in step["items"])
    assert asked == sorted(pack_quizzes("shapes"))
    order = sorted(step["leave_out"] for step in STEPS if "leave_out" in step)
    assert order == [*range(1, len(order) + 1)]


def test_what_students_get_holds_no_answer():
    """Neither the notebook nor the handout: no option's reason stands in either, however broken."""
    cells = tables.notebook(tables.SESSION).cells
    printed = [out.get("text", "") for cell in cells for out in cell.get("outputs", [])]
    text = " ".join(" ".join([*(cell.source for cell in cells), *printed]).split())
    for quiz in pack_quizzes("shapes").values():
        assert quiz.question in text
        for option in quiz.options:
            assert option.why not in text
            assert option.why not in tables.ticket()
    assert "solution_" not in text
    assert "strict=True" not in text
    assert len(re.findall(r'check\("\d\d-\d+"', text)) == 3


def test_the_speaker_hears_of_a_step_before_its_first_slide():
    """A vote comes before the slide that answers it; steps without a slide are told as well."""
    notes = tables.notes()
    shown = [id for step in STEPS for id in step["slides"]]
    for step, before in zip(STEPS[1:], STEPS, strict=False):
        (told, *_) = [id for id in shown if step["teacher"] in notes.get(id, ())]
        assert told not in step["slides"]
        if before["slides"]:
            assert told == before["slides"][-1]
    for step in STEPS:
        if step["slides"]:
            assert step["teacher"] in notes[step["slides"][0]]


def test_a_question_on_paper_has_its_options_and_no_more():
    ticket = tables.ticket()
    items = [item for step in STEPS if step["part"] == "Exit ticket" for item in step["items"]]
    assert items
    for item in items:
        quiz = vgglab.quiz(item)
        assert quiz.question in ticket
        assert all(f") {option.text}" in ticket for option in quiz.options)
        assert f"**{item.removeprefix('shapes-')}.** {quiz.question}" in ticket
    assert ticket.count("☐") == sum(len(vgglab.quiz(item).options) for item in items)


def test_the_handout_leaves_blank_what_the_class_works_out():
    _, *rows = tables.handout_example()
    assert [row[1] for row in rows] == ["224", "112", "56", "28", "14", "7", str(512 * 7 * 7)]
    assert {cell.strip("_") for row in rows[1:] for cell in row[2:]} == {""}


# --- a day, and six weeks -----------------------------------------------------------------------


WEEKS = tables.load("semester")["weeks"]


def test_every_goal_chapter_and_assignment_is_in_the_six_weeks():
    assert len(WEEKS) == 6
    chapters = [chapter for week in WEEKS for chapter in week["chapters"]]
    assert sorted(chapters) == sorted(tables.chapters())
    page = tables.weeks()
    for goal in tables.load("goals")["goals"]:
        assert page.count(f"[{goal['text']}](") == 1
    for path in tables.BOOK.glob("assignments/*/assignment.toml"):
        title = tomllib.loads(path.read_text(encoding="utf-8"))["title"]
        assert str(tables.weeks_table()).count(title) == 1
    assert all(week[key] for week in WEEKS for key in ("needs", "class", "home", "short"))


def test_the_weeks_name_exercises_that_are_there():
    named = re.findall(r"\d\d-\d+", " ".join(week["home"] for week in WEEKS))
    assert len(named) > 5
    assert {*named} <= load_exercises().keys()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_times_are_what_the_chapter_says(chapter):
    notebook = tables.notebook(chapter)
    read, run = tables.stated_minutes(chapter)
    words = sum(words_read(c.source) for c in notebook.cells if c.cell_type == "markdown")
    assert abs(read - words / WORDS_A_MINUTE) < 1
    assert run == notebook.metadata["vgglab"]["run_minutes"]


def test_a_day_names_what_is_there():
    blocks = tables.load("day")["blocks"]
    assert blocks[0]["minutes"] == sum(step["minutes"] for step in STEPS)
    for block in blocks:
        for id in block.get("exercises", []):
            assert id in load_exercises()
        for id in block.get("questions", []):
            assert id in {*load_quizzes(), *pack_quizzes("shapes")}
        if block["chapters"]:
            assert block["short"]
            assert tables.goals(block["chapters"]) or block["chapters"] == ["00"]


def test_the_rubric_is_of_a_hundred_points():
    criteria = tables.load("capstone")["criteria"]
    assert sum(criterion["points"] for criterion in criteria) == 100
    assert all(criterion[key] for criterion in criteria for key in ("all", "half", "none"))


def test_bars_are_as_long_as_their_numbers():
    bars = [("a", 1), ("b", 3)]
    apart = tables.drawn(bars, "min", "Two.").astext()
    assert re.findall(r"start: ([\d.]+)%; width: ([\d.]+)%", apart) == [
        ("0.0", "33.3"),
        ("0.0", "100.0"),
    ]
    follow = tables.drawn(bars, "min", "Two.", after_another=True).astext()
    assert re.findall(r"start: ([\d.]+)%; width: ([\d.]+)%", follow) == [
        ("0.0", "25.0"),
        ("25.0", "75.0"),
    ]
    session = re.findall(r"<span>(\d+) min", tables.session_bars().astext())
    assert sum(map(int, session)) == 90
