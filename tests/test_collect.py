"""From results to tables: what a policy counts, what platforms take, and what no name can do."""

import csv
import io
import json
import zipfile

import pytest
from disks import content, full_disk
from grading_course import NAME, write_result

from vgglab.grading.collect import collect
from vgglab.grading.exports import cell, table
from vgglab.grading.policy import Policy, read_policy
from vgglab.grading.runner import result_name


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def collected(tmp_path):
    """Write files, collect with policy.toml if it is one of them; return scores and problems."""

    def collect_with(files=None, by_hand=None):
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        policy = tmp_path / "policy.toml"
        _, problems = collect(
            tmp_path / "results",
            tmp_path / "out",
            tmp_path / by_hand if by_hand else None,
            policy if policy.exists() else None,
        )
        return rows(tmp_path / "out" / "scores.csv"), problems

    return collect_with


# Cells


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("\t=1+1", "'=1+1"),
        ("＝1+1", "'＝1+1"),
        ("﹢1", "'﹢1"),
        ("a;=1+1", "a;'=1+1"),
        ("a;; @x", "a;; '@x"),
        ("-2", "'-2"),
        ("anna-maria; b+c", "anna-maria; b+c"),
        ("a\nb", "a b"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula_where_commas_or_semicolons_separate(text, safe):
    assert cell(text) == safe


def test_a_name_that_begins_as_a_formula_survives_from_scores_to_points(collected, tmp_path):
    names = ["=1.ipynb", "a;=1.ipynb", "-2.ipynb", "'-3.ipynb", "anna.ipynb"]
    for name in names:
        write_result(tmp_path / "results", name)
    found, _ = collected()
    lines = [["submission", "question", "points"], *([r["submission"], "q3", 1] for r in found)]
    file = io.StringIO()
    csv.writer(file).writerows(lines)
    found, _ = collected({"points.csv": file.getvalue()}, by_hand="points.csv")
    assert [row["q3"] for row in found] == ["1"] * len(names)


def test_a_file_that_is_no_result_is_named(collected, tmp_path):
    write_result(tmp_path / "results", "anna.ipynb")
    for number, text in enumerate(("{", "[1]", "{}", "3")):
        (tmp_path / "results" / f"bad{number}.json").write_text(text)
    found, problems = collected()
    assert len(found) == 1
    wanted = [f"bad{n}.json is not a result; run the grader again." for n in range(4)]
    assert problems == wanted


# Names


def test_names_composed_in_two_ways_are_one_students(collected, tmp_path):
    write_result(tmp_path / "results", "josé.ipynb")
    write_result(tmp_path / "results", "jose\u0301.ipynb")
    found, problems = collected()
    assert len(problems) == 2
    assert {row["notes"] for row in found} == {"2 submissions have this student's name."}


def test_a_mark_by_hand_is_given_to_one_of_two_names_that_look_alike(collected, tmp_path):
    write_result(tmp_path / "results", "anna.ipynb")
    write_result(tmp_path / "results", r"an\x07na.ipynb")
    points = "submission,question,points\nanna.ipynb,q3,4\n"
    found, _ = collected({"points.csv": points}, by_hand="points.csv")
    assert {row["submission"]: row["q3"] for row in found} == {
        "anna.ipynb": "4",
        r"an\x07na.ipynb": "",
    }


# Marks by a person


def test_what_a_person_changes_is_written_down(collected, tmp_path):
    write_result(tmp_path / "results", "anna.ipynb", q1=1.0)
    lines = "submission,question,points,comment,by\nanna.ipynb,q1,2.5,The idea is right.,Dr. M.\n"
    collected({"points.csv": lines}, by_hand="points.csv")
    assert rows(tmp_path / "out" / "changes.csv") == [
        {"submission": "anna.ipynb", "question": "q1", "before": "1", "after": "2.5",
         "by": "Dr. M.", "comment": "The idea is right."},
    ]  # fmt: skip
    (text,) = (tmp_path / "out" / "feedback").iterdir()
    assert "Marked by Dr. M.. The idea is right." in text.read_text()


# Late


DUE = "due = 2027-03-01T23:59:00+01:00\ngrace_minutes = 15\npercent_a_day = 10\n"


@pytest.mark.parametrize(
    ("time", "days", "score"),
    [
        ("2027-03-01T23:59:00+01:00", "0", "5"),
        ("2027-03-01T22:59:00+00:00", "0", "5"),
        ("2027-03-02T00:14", "0", "5"),
        ("2027-03-02T00:14:01", "1", "4.5"),
        ("2027-03-03T00:14", "1", "4.5"),
        ("2027-03-03T00:15", "2", "4"),
        ("2027-04-03", "32", "3.5"),
    ],
)
def test_late_days_are_taken_off_up_to_the_most(collected, tmp_path, time, days, score):
    write_result(tmp_path / "results", "anna.ipynb")
    write_result(tmp_path / "results", "ben.ipynb")
    times = f"submission,time\nanna.ipynb,{time}\nben.ipynb,2027-03-09\n"
    policy = DUE + "at_most_percent = 30\ntimes = 'times.csv'\n"
    (anna, _), problems = collected({"policy.toml": policy, "times.csv": times})
    assert problems == []
    assert (anna["late_days"], anna["score"]) == (days, score)
    texts = [p.read_text() for p in (tmp_path / "out" / "feedback").iterdir()]
    assert any("Handed in 7 d 1 min after the deadline: 30 % of the points" in t for t in texts)


def test_times_come_from_the_zip_of_the_class(collected, tmp_path):
    write_result(tmp_path / "results", "anna")
    write_result(tmp_path / "results", "ben.ipynb")
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        for name, date in (
            ("anna/a.ipynb", (2027, 3, 2, 9, 0, 0)),
            ("ben.ipynb", (2027, 2, 1, 0, 0, 0)),
        ):
            archive.writestr(zipfile.ZipInfo(name, date), "{}")
    found, problems = collected({"policy.toml": DUE + "times = 'class.zip'\n"})
    assert problems == []
    assert {row["student"]: row["late_days"] for row in found} == {"anna": "1", "ben": "0"}


def test_a_submission_without_a_time_is_said(collected, tmp_path):
    write_result(tmp_path / "results", "anna.ipynb")
    times = "submission,time\nemil.ipynb,2027-03-01\n"
    (row,), problems = collected({"policy.toml": DUE + "times = 'times.csv'\n", "times.csv": times})
    assert row["score"] == "5"
    assert problems == [
        "times names emil.ipynb, which has no result.",
        "anna.ipynb: it is not known when it came; it counts as in time.",
    ]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("due = 5", "due in .* must be a date and time, .*; got 5"),
        ("due = 2027-03-01", "due in .* must be a date and time"),
        ("grace_minutes = -1", "grace_minutes in .* must be a number from 0 to inf; got -1"),
        ("percent_a_day = 'ten'", "percent_a_day in .* from 0 to 100; got 'ten'"),
        ("at_most_percent = true", "at_most_percent in .* got True"),
        ("attempts = 'first'", "attempts in .* must be one of best, last; got 'first'"),
        ("grace = 5", "may hold due, grace_minutes, .*, gradebook; got grace"),
        ("times = 'none.csv'", "times in .* must be a file; got .*none.csv"),
        ("due =", "policy must be a TOML file"),
        ("times = 'bad.csv'", "bad.csv, line 2, must have submission, time; got"),
        ("times = 'odd.csv'", "odd.csv, line 2, must have a time, .*; got 'noon'"),
        ("due = 2027-03-01T00:00:00\ntimes = 'zone.csv'", "due must have a zone"),
        ("gradebook = 'odd.csv'", "gradebook must have the columns Student, ID of Canvas or"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(tmp_path, policy, words):
    (tmp_path / "policy.toml").write_text(policy)
    (tmp_path / "bad.csv").write_text("submission,when\na,b\n")
    (tmp_path / "odd.csv").write_text("submission,time\na,noon\n")
    (tmp_path / "zone.csv").write_text("submission,time\na,2027-03-01T00:00+01:00\n")
    write_result(tmp_path / "results", "anna.ipynb")
    with pytest.raises(ValueError, match=words):
        collect(tmp_path / "results", tmp_path / "out", policy=tmp_path / "policy.toml")
    assert not (tmp_path / "out").exists()


# Attempts, groups, and other names


@pytest.mark.parametrize(("attempts", "score", "one"), [("best", "4.5", 2), ("last", "2", 3)])
def test_of_several_attempts_the_best_or_the_last_counts(collected, tmp_path, attempts, score, one):
    for number, points in enumerate((1.0, 3.0, 0.0), start=1):
        write_result(tmp_path / "results", f"a{number}.ipynb", q1=points)
    write_result(tmp_path / "results", "ben.ipynb")
    files = {
        "policy.toml": DUE + f"attempts = '{attempts}'\nstudents = 'students.csv'\ntimes = 't.csv'",
        "students.csv": "submission,student\na1.ipynb,Anna\na2.ipynb,anna\na3.ipynb,Anna\n"
        "ben.ipynb,Ben\n",
        "t.csv": "submission,time\na2.ipynb,2027-03-02T08:00\na1.ipynb,2027-03-01\n"
        "ben.ipynb,2027-03-01\na3.ipynb,2027-03-02T00:10\n",
    }  # fmt: skip
    if attempts == "last":
        files["t.csv"] = files["t.csv"].replace("2027-03-02T00:10", "2027-03-02T08:10")
        files["policy.toml"] = files["policy.toml"].replace("percent_a_day = 10", "")
    found, problems = collected(files)
    assert problems == []
    assert [row["score"] for row in found] == [score, "5"]
    assert found[0]["submission"] == f"a{one}.ipynb"
    history = rows(tmp_path / "out" / "attempts.csv")
    assert [row["counts"] for row in history].count("yes") == 2
    assert len(history) == 4
    assert f"the {attempts} one, counts: " in found[0]["notes"]


def test_one_submission_counts_for_all_of_a_group(collected, tmp_path):
    write_result(tmp_path / "results", "team.ipynb", q1=1.5)
    write_result(tmp_path / "results", "solo.ipynb")
    students = "submission,student\nteam.ipynb,Anna\nteam.ipynb,Ben\n"
    found, problems = collected(
        {"policy.toml": "students = 'students.csv'", "students.csv": students}
    )
    scores = {row["student"]: row["score"] for row in found}
    assert scores == {"Anna": "3.5", "Ben": "3.5", "solo": "5"}
    assert found[0]["notes"] == "Handed in by Anna, Ben together."
    assert problems == ["solo.ipynb: students does not say whose it is."]
    assert len(list((tmp_path / "out" / "feedback").iterdir())) == 3


# Canvas and Moodle


CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Small (77),Other (78),Final Score
    Points Possible,,,,,10,3,(read only)
"Alm, Anna",10234,u1,anna@uni,Lab 1,,2,
"Bo, Ben",10235,u2,ben@uni,Lab 1,,1,
"Cox, Carla",10236,u3,carla@uni,Lab 1,,,
"Student, Test",10999,,xyz,Lab 1,,,
"""
MODIFIED, COMMENTS = "Last modified (grade)", "Feedback comments"
MOODLE = f"""Identifier,Full name,Email address,Status,Grade,Maximum Grade,{MODIFIED},{COMMENTS}
Participant 11111,Anna Alm,anna@uni,Submitted,,10.00,-,
Participant 22222,"=Ben; Bo",ben@uni,Submitted,,10.00,-,
Participant 33333,Carla Cox,carla@uni,No submission,,10.00,-,
"""


def test_a_gradebook_of_canvas_gets_the_column_of_the_assignment(collected, tmp_path):
    write_result(tmp_path / "results", "almanna_10234_99887_01.ipynb", student="almanna", q1=1.0)
    write_result(tmp_path / "results", "ben.ipynb")
    write_result(tmp_path / "results", "Carla Cox.ipynb", q2=0.0)
    write_result(tmp_path / "results", "nobody.ipynb")
    files = {"policy.toml": "gradebook = 'canvas-export.csv'", "canvas-export.csv": CANVAS}
    _, problems = collected(files)
    assert problems == [
        "nobody is not in the filled gradebook: 0 rows fit.",
        "1 rows of the gradebook have no submission.",
    ]
    text = (tmp_path / "out" / "canvas.csv").read_text()
    assert list(csv.reader(io.StringIO(text))) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Small (77)"],
        ["Points Possible", "", "", "", "", "9"],
        ["Alm, Anna", "10234", "u1", "anna@uni", "Lab 1", "3"],
        ["Bo, Ben", "10235", "u2", "ben@uni", "Lab 1", "5"],
        ["Cox, Carla", "10236", "u3", "carla@uni", "Lab 1", "3"],
    ]
    _, problems = collected({"canvas-export.csv": CANVAS.replace("Small", "Tiny")})
    assert problems[-1] == "The gradebook has no column 'Small'; Canvas will ask to make one."
    collected({"policy.toml": ""})
    assert not (tmp_path / "out" / "canvas.csv").exists()


def test_a_worksheet_of_moodle_gets_grades_of_its_own_scale(collected, tmp_path):
    write_result(tmp_path / "results", "Anna Alm_11111_assignsubmission_file_", q1=2.5)
    write_result(tmp_path / "results", "Somebody_22222_assignsubmission_file_", q1=0.0)
    files = {"policy.toml": "gradebook = 'sheet.csv'", "sheet.csv": "\ufeff" + MOODLE}
    _, problems = collected(files)
    assert problems == ["1 rows of the gradebook have no submission."]
    found = rows(tmp_path / "out" / "moodle.csv")
    assert [(row["Full name"], row["Grade"]) for row in found] == [
        ("Anna Alm", "5.00"),
        ("=Ben; Bo", "2.22"),
    ]
    assert found[0]["Feedback comments"] == "q1: 2.5 of 3; q2: 2 of 2"
    assert ",".join(found[0]) == MOODLE.partition("\n")[0]


def test_a_worksheet_that_moodle_would_refuse_is_refused_before(collected, tmp_path):
    """It looks for the time of the last grade, to leave what was changed since."""
    write_result(tmp_path / "results", "Anna Alm_11111_assignsubmission_file_")
    files = {"policy.toml": "gradebook = 'sheet.csv'", "sheet.csv": MOODLE.replace(MODIFIED, "On")}
    with pytest.raises(ValueError, match=r"Identifier, Grade, Last modified \(grade\) of Moodle"):
        collected(files)


# Gradescope and feedback


def test_gradescopes_text_has_no_markdown_and_hints_stand_alone(collected, tmp_path):
    write_result(tmp_path / "results", "a.ipynb", q1=0.0, why="build_features is not *defined*")
    collected()
    (grades,) = (tmp_path / "out" / "gradescope").rglob("results.json")
    (test, _) = json.loads(grades.read_text())["tests"]
    assert test["output"].splitlines() == [
        "- ✗ numbers: build_features is not *defined*",
        "  - Hint: Think *big*.",
    ]
    (text,) = (tmp_path / "out" / "feedback").iterdir()
    assert r"build\_features is not \*defined\*" in text.read_text()


# All or nothing


def test_on_a_full_disk_everything_stays_as_it_was(collected, tmp_path):
    write_result(tmp_path / "results", "anna.ipynb")
    out = tmp_path / "out"
    with full_disk(10), pytest.raises(OSError, match=r"nothing was written to .*out"):
        collected()
    assert not out.exists()
    collected()
    (out / "points.csv").write_text("mine")
    before = content(out)
    for number in range(40):
        write_result(tmp_path / "results", f"s{number}.ipynb")
    with full_disk(1_000), pytest.raises(OSError, match=r"nothing was written to .*out"):
        collected()
    assert content(out) == before
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_what_was_withdrawn_leaves_the_folder_and_the_teachers_files_stay(collected, tmp_path):
    for name in ("anna.ipynb", "ben.ipynb"):
        write_result(tmp_path / "results", name)
    collected()
    (tmp_path / "out" / "points.csv").write_text("mine")
    (tmp_path / "results" / result_name(NAME, "ben.ipynb")).unlink()
    collected()
    assert len(list((tmp_path / "out" / "feedback").iterdir())) == 1
    assert len(list((tmp_path / "out" / "gradescope").iterdir())) == 1
    assert (tmp_path / "out" / "points.csv").read_text() == "mine"


def test_an_empty_policy_changes_nothing(tmp_path):
    (tmp_path / "policy.toml").write_text("")
    assert read_policy(tmp_path / "policy.toml") == Policy()
    assert table([["a", 1, None, 2.5]]) == b"a,1,,2.5\n"
