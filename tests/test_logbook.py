"""What somebody has solved: noted of them alone, and never in the way of a check."""

import json
import os
import subprocess
import sys
from pathlib import Path

import make_notebooks
import pytest
from click.testing import CliRunner
from filelock import FileLock

import vgglab
from vgglab.__main__ import main
from vgglab.course import logbook
from vgglab.course.checking import value
from vgglab.course.exercises import load_exercises


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VGGLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def entry(id):
    return vgglab.progress().chapters["04_shape_mismatch"][id]


EXERCISES = load_exercises()
OF_CHAPTER = [id for id in EXERCISES if id.startswith("04-")]
ID = [id for id in OF_CHAPTER if EXERCISES[id].observe is value][-1]
RIGHT = EXERCISES[ID].solution()


def test_answers_and_hints_are_noted(home):
    assert entry(ID) == logbook.Entry(answers=0, solved=False, hints=0)
    vgglab.check(ID, (1, 1))
    assert entry(ID) == logbook.Entry(answers=1, solved=False)
    vgglab.check(ID, RIGHT)
    vgglab.check(ID, (1, 1))
    assert entry(ID) == logbook.Entry(answers=3, solved=True)
    logbook.note_hint(ID, 2)
    logbook.note_hint(ID, 1)
    assert entry(ID).hints == 2
    progress = vgglab.progress()
    assert (progress.solved, progress.attempted, progress.hints) == (1, 1, 2)
    assert progress.path == home / "progress.json"
    assert {path.name for path in home.iterdir()} == {"progress.json", "progress.lock"}


def test_blanks_and_published_solutions_are_not(home):
    for blank in (..., None):
        vgglab.check(ID, blank)
    vgglab.check(ID, RIGHT, strict=True)
    with pytest.raises(AssertionError):
        vgglab.check(ID, (1, 1), strict=True)
    assert not home.exists()


def test_nothing_is_kept_where_the_book_is_built_and_tested(monkeypatch):
    assert os.environ["VGGLAB_HOME"] == ""
    assert make_notebooks.environment()["VGGLAB_HOME"] == ""

    def write(*arguments):
        raise AssertionError

    monkeypatch.setattr(logbook, "write_whole", write)
    vgglab.check(ID, RIGHT)
    vgglab.hint(ID)
    assert vgglab.progress().attempted == 0
    assert "Nothing is kept" in str(vgglab.progress())


def test_without_the_variable_it_lies_in_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("VGGLAB_HOME")
    monkeypatch.setattr(logbook, "user_data_path", lambda name, appauthor: tmp_path / name)
    vgglab.check(ID, RIGHT)
    assert (tmp_path / "vgglab" / "progress.json").exists()


def test_the_table_as_text_and_html(home):
    vgglab.check("04-1", 3)
    vgglab.check(ID, RIGHT)
    text, html = str(vgglab.progress()), vgglab.progress()._repr_html_()
    line = next(line for line in text.splitlines() if line.startswith("04_shape_mismatch"))
    marks = "".join({"04-1": "✗", ID: "✓"}.get(id, "·") for id in OF_CHAPTER)
    assert line.split() == ["04_shape_mismatch", str(len(OF_CHAPTER)), "1", "2", "0", marks]
    total = next(line for line in text.splitlines() if line.startswith("all"))
    assert total.split() == ["all", str(len(EXERCISES)), "1", "2", "0"]
    assert html.count("<tr>") == len(text.split("\n\n")[0].splitlines()) - 1
    assert marks in html


# The module alone, since the package of the exercises takes seconds to import.
NOTER = """
from importlib.util import module_from_spec, spec_from_file_location
import sys
spec = spec_from_file_location("logbook", {file!r})
logbook = sys.modules["logbook"] = module_from_spec(spec)
spec.loader.exec_module(logbook)
logbook.LOCK_TIMEOUT = 600
for number in range({times}):
    logbook.note_answer("04-{exercise}", right=False)
    logbook.note_answer("04-3", right=False)
"""


def test_two_notebooks_at_once_lose_nothing(home, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(make_notebooks.ROOT))
    times = 20
    codes = [NOTER.format(file=logbook.__file__, times=times, exercise=k) for k in (1, 2)]
    notebooks = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
    assert [notebook.wait() for notebook in notebooks] == [0, 0]
    assert [entry(f"04-{k}").answers for k in (1, 2, 3)] == [times, times, 2 * times]


def test_a_folder_that_cannot_be_written_breaks_no_check(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("VGGLAB_HOME", str(tmp_path / "home"))
    assert_works_and_says_that_nothing_is_kept(tmp_path / "home")


def assert_works_and_says_that_nothing_is_kept(place):
    feedback = vgglab.check(ID, RIGHT)
    assert feedback.ok
    for said in (feedback, vgglab.check(ID, (1, 1)), vgglab.hint(ID)):
        last = said.message.splitlines()[-1]
        assert last.startswith("This could not be noted in your progress: ")
        assert str(place) in last
    progress = vgglab.progress()
    assert progress.attempted == 0
    for text in (str(progress), progress._repr_html_(), run().output):
        assert "Nothing can be kept: " in text
        assert str(place) in text
        assert "Kept in" not in text


def test_nor_does_a_home_that_cannot_be(monkeypatch):
    for name in ("VGGLAB_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/x")
    assert_works_and_says_that_nothing_is_kept("/proc/x")


def test_a_lock_that_another_holds_is_named(home, monkeypatch):
    monkeypatch.setattr(logbook, "LOCK_TIMEOUT", 0)
    assert "noted" not in vgglab.check(ID, RIGHT).message
    with FileLock(home / "progress.lock"):
        message = vgglab.check(ID, RIGHT).message
    assert f"another notebook has kept {home / 'progress.lock'} locked" in message
    assert entry(ID).answers == 1


@pytest.mark.parametrize("error", [OSError(28, "full"), PermissionError(), RuntimeError("home?")])
def test_nor_does_a_full_disk(home, monkeypatch, error):
    vgglab.check("04-1", 3)
    before = (home / "progress.json").read_text()

    def write(*arguments):
        raise error

    monkeypatch.setattr(logbook, "write_whole", write)
    feedback = vgglab.check(ID, RIGHT)
    assert feedback.ok
    assert "could not be noted in your progress" in feedback.message
    assert (home / "progress.json").read_text() == before


@pytest.mark.parametrize(
    "damaged",
    ["", "{", "[]", '{"format": 2, "exercises": {}}', '{"format": 1, "exercises": {"04-1": 3}}'],
)
def test_a_damaged_file_is_put_aside(home, damaged):
    home.mkdir()
    (home / "progress.json").write_text(damaged)
    assert vgglab.progress().attempted == 0
    assert vgglab.check(ID, RIGHT).ok
    assert entry(ID).solved
    assert (home / "progress.damaged").read_text() == damaged


def test_exercises_of_another_version_are_kept(home):
    home.mkdir()
    noted = {"99-1": {"answers": 1, "solved": True, "hints": 0}}
    (home / "progress.json").write_text(json.dumps({"format": 1, "exercises": noted}))
    vgglab.check(ID, RIGHT)
    assert set(json.loads((home / "progress.json").read_text())["exercises"]) == {ID, "99-1"}
    assert vgglab.progress().solved == 1


def run(*arguments, input=None):
    return CliRunner().invoke(main, ["progress", *arguments], input=input)


def test_the_command_prints_the_table(home):
    vgglab.check(ID, RIGHT)
    assert run().output == f"{vgglab.progress()}\n"


def test_reset_asks_first(home):
    vgglab.check(ID, RIGHT)
    refused = run("--reset", input="n\n")
    assert refused.exit_code == 1
    assert "Forget 1 answered exercises, 1 of them solved?" in refused.output
    assert entry(ID).solved
    assert run("--reset", input="y\n").exit_code == 0
    assert entry(ID) == logbook.Entry()
    assert Path(home / "progress.lock").exists()
