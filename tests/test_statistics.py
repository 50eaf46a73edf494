"""What a class did, in numbers, in words and as a picture; and how far the work is."""

import io
import json
from pathlib import Path
from statistics import fmean

import pytest
from click.testing import CliRunner
from grading_course import NAME, write_result

from vgglab.__main__ import main
from vgglab.grading.assignment import Assignment
from vgglab.grading.progress import Progress
from vgglab.grading.runner import result_name
from vgglab.grading.statistics import ClassStatistics, plot, statistics


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for number, (q1, why) in enumerate(
        [(3.0, ""), (3.0, ""), (1.0, "a wrong number"), (0.0, "a wrong number"), (0.0, "raises X")]
    ):
        write_result(folder, f"s{number}.ipynb", q1=q1, q2=2.0 if number else 0.0, why=why)
    write_result(folder, "unread.ipynb")
    path = folder / result_name(NAME, "unread.ipynb")
    unread = json.loads(path.read_text())
    path.write_text(json.dumps(unread | {"status": "not graded", "questions": [], "score": 0}))
    return folder


def test_a_question_has_mean_right_answers_and_its_commonest_wrong_results(results):
    found = statistics(results)
    q1, q2 = found.questions
    assert (q1.mean, q1.right, q1.partly, q1.none) == (7 / 5, 2, 1, 2)
    assert q1.wrong == ((2, "everything: a wrong number"), (1, "everything: raises X"))
    assert (q2.mean, q2.right, q2.partly, q2.none) == (8 / 5, 4, 0, 1)
    assert sorted(found.scores) == [2, 2, 3, 3, 5]
    assert found.unread == 1
    words = str(found)
    assert "5 submissions graded, 1 could not be read; mean 3.0, median 3.0 of 5 points" in words
    assert "  q1    2  everything: a wrong number" in words


def test_several_lost_probes_are_counted_apart(results):
    path = results / result_name(NAME, "s2.ipynb")
    result = json.loads(path.read_text())
    result["questions"][0]["probes"] = [
        {"says": "small", "passed": True, "weight": 1},
        {"says": "large", "passed": False, "weight": 1, "why": "raises X"},
        {"says": "decimals", "passed": False, "weight": 1, "why": "a wrong number"},
    ]
    path.write_text(json.dumps(result))
    (q1, _) = statistics(results).questions
    assert set(q1.wrong) <= {
        (1, "decimals: a wrong number"), (1, "everything: a wrong number"),
        (1, "everything: raises X"), (1, "large: raises X"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_plot_is_drawn(results, tmp_path, ending, begins):
    path = tmp_path / f"class.{ending}"
    made = CliRunner().invoke(main, ["grade", "stats", str(results), "--plot", str(path)])
    assert made.exit_code == 0, made.output
    assert made.output.endswith(f"Wrote {path}\n")
    assert path.read_bytes().startswith(begins)
    if ending == "svg":
        assert "q1  q1" in path.read_text()
        before = path.read_bytes()
        plot(statistics(results), path)
        assert path.read_bytes() == before


def test_what_cannot_be_drawn_is_said(results, tmp_path):
    with pytest.raises(ValueError, match=r"plot must end in \.pdf, \.png, \.svg; got 'class\.xls'"):
        plot(statistics(results), type(tmp_path)("class.xls"))
    for path in results.iterdir():
        if "unread" not in path.name:
            path.unlink()
    found = statistics(results)
    assert str(found) == "Small: 0 submissions graded, 1 could not be read"
    with pytest.raises(ValueError, match="a plot needs graded submissions"):
        plot(found, tmp_path / "class.png")


def test_the_recorded_class_is_one_of_its_assignment(tmp_path):
    """The page on teaching shows it; book/make_class.py grades it again."""
    book = Path(__file__).resolve().parent.parent / "book"
    record = json.loads((book / "reference" / "small_class.json").read_text(encoding="utf-8"))
    found = ClassStatistics.from_dict(record)
    assignment = Assignment(book / "assignments" / "01_vgg_table1")
    assert [(q.id, q.title, q.points) for q in found.questions] == [
        (q.id, q.title, q.points) for q in assignment.coded
    ]
    assert all(q.right + q.partly + q.none == len(found.scores) for q in found.questions)
    assert sum(q.mean for q in found.questions) == pytest.approx(fmean(found.scores))
    plot(found, tmp_path / "class.svg")


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream):
    """Four pieces of work, one of them free, of 20 s each."""
    now = [0.0]
    progress = Progress(4, stream, clock=lambda: now[0])
    for number in range(4):
        progress.now(f"s{number}.ipynb")
        free = number == 1
        now[0] += 0 if free else 20
        progress.done(lambda number=number: stream.write(f"s{number}: graded\n"), free=free)
    return stream.getvalue()


def test_a_terminal_has_a_line_that_changes_and_lines_that_stay():
    shown = run(Terminal())
    lines = [line.rpartition("\033[K")[2] for line in shown.split("\n")]
    assert lines == [f"s{n}: graded" for n in range(4)] + [""]
    assert "0 of 4 done; now s0.ipynb" in shown
    assert "1 of 4 done, about 60 s left; now s1.ipynb" in shown
    assert "3 of 4 done, about 20 s left; now s3.ipynb" in shown


def test_a_file_has_plain_lines_from_time_to_time():
    assert run(io.StringIO()).splitlines() == [
        "s0: graded",
        "1 of 4 done, about 60 s left; now s1.ipynb",
        "s1: graded",
        "s2: graded",
        "3 of 4 done, about 20 s left; now s3.ipynb",
        "s3: graded",
    ]
