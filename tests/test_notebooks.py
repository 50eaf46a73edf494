"""The notebooks that students get: made of the published ones, and they run."""

from __future__ import annotations

import ast
import builtins
import json
import re
import shutil
import subprocess
import symtable
import sys
import tomllib
from pathlib import Path

import make_notebooks
import matplotlib as mpl
import nbformat
import pytest
from click.testing import CliRunner
from sampling import sampled

from vgglab.__main__ import main
from vgglab.course import notebooks as course
from vgglab.course.checking import Feedback
from vgglab.course.quizzes import Quiz

ROOT = make_notebooks.ROOT
PUBLISHED = sorted(course.NOTEBOOKS.glob("*.ipynb"))
# The way in, 00, has no exercises; a session's notebook has no solutions.
WITH_EXERCISES = [path for path in PUBLISHED if path.stem[0].isdigit() and path.stem[:2] != "00"]
HINT = re.compile(r"hint\(.*\)")

READ_MINUTES = {"01": 21, "02": 16, "03": 15, "04": 19, "05": 23, "06": 21, "07": 17}
"""What the texts of these chapters took to read when they were reviewed, at commit eb41085."""

each_chapter = pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    folder = tmp_path_factory.mktemp("students")
    assert all(written for _, written in course.write_student_notebooks(folder))
    return folder


def code_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def is_solution(cell):
    return re.search(r"check\(.*strict=True\)", cell.source) is not None


def test_notebooks_and_records_are_those_of_this_checkout():
    assert course.NOTEBOOKS == make_notebooks.NOTEBOOKS
    assert course.RESULTS == ROOT / "book" / "results"


# --- what is in them -------------------------------------------------------------------------


@each_chapter
def test_a_student_gets_every_cell_but_the_solutions(students, path):
    published = code_of(path)
    assert any(is_solution(cell) for cell in published) == (path in WITH_EXERCISES)
    expected = [c.source for c in published if not is_solution(c) and not HINT.fullmatch(c.source)]
    assert [c.source for c in code_of(students / path.name)] == [*expected, course.PROGRESS]


@each_chapter
def test_nothing_tells_the_solution(students, path):
    text = (students / path.name).read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "solution_" not in text
    assert "✓" not in text
    assert all(not c.outputs and c.execution_count is None for c in code_of(students / path.name))
    after_blank = ""
    for cell in notebook.cells:  # what follows an exercise's cells is the next heading
        if cell.cell_type == "markdown" and 'check("' in after_blank:
            assert cell.source.startswith("#"), cell.source
        after_blank = cell.source if cell.cell_type == "code" else ""


@each_chapter
def test_text_has_nothing_that_jupyter_cannot_show(students, path):
    cells = nbformat.read(students / path.name, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert re.findall(r"\{[a-z:]+\}`", text) == []
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert link.startswith("https://") or (students / link).exists(), link
    for label in re.findall(r"\$ \(([a-z-]+)\)\n", text):
        assert label.startswith("\\tag"), label


@pytest.mark.parametrize(("chapter", "before"), READ_MINUTES.items())
def test_no_chapter_has_become_longer_to_read(chapter, before):
    (path,) = course.NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    stated = re.search(r"without the code: about (\d+) minutes", path.read_text("utf-8"))
    assert int(stated[1]) <= before


def test_roles_become_words():
    text = """{term}`max poolings <max pooling>`, {cite:p}`he2014spp,lin2014`, {cite:t}`he2015`,
{doc}`04_shape_mismatch`, {glue:text}`ratio`, {eq}`factor`, [glossary](../reference/glossary.md#a)
$$ y = x $$ (factor)"""
    link = "https://vgglab.github.io/vgglab/reference"
    bibliography = f"{link}/bibliography.html"
    assert course.plain_markdown(text, {"ratio": "0.25"}) == (
        f"max poolings, ([He 2014]({bibliography}); [Lin 2014]({bibliography})), "
        f"[He (2015)]({bibliography}),\n[04_shape_mismatch](04_shape_mismatch.ipynb), 0.25, "
        f"(factor), [glossary]({link}/glossary.html#a)\n$$ y = x \\tag{{factor}}$$"
    )


# --- they run --------------------------------------------------------------------------------
#
# Up to the exercises a student's notebook has the cells of the published one, in their order, and
# nbval runs those. From there on it lacks the solutions. So that part is run here, after all cells
# before it that make a name which it needs. `make_notebooks.py student` runs them whole.


def first_exercise(cells):
    return next(i for i, cell in enumerate(cells) if "check(" in cell.source)


def names(source):
    """Return the names that a cell makes, and those that it takes from cells before it."""
    top = symtable.symtable(source, "<cell>", "exec")
    own = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    inner = list(top.get_children())
    for table in inner:
        used |= {s.get_name() for s in table.get_symbols() if s.is_global()}
        inner += table.get_children()
    return own, used - own - set(dir(builtins))


def needed_cells(before, after):
    """Return those of some cells that make what later ones need, and what these need themselves."""
    needed = set()
    for cell in reversed(after):
        own, used = names(cell.source)
        needed = needed - own | used
    chosen = []
    for cell in reversed(before):
        own, used = names(cell.source)
        if own & needed:
            chosen.insert(0, cell)
            needed = needed - own | used
    return chosen


def run_cell(cell, namespace):
    """Run a cell; return what it would show, or the NotImplementedError of a blank."""
    tree = ast.parse(cell.source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    try:
        exec(compile(tree, "<cell>", "exec"), namespace)
        if last is not None:
            return eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    except NotImplementedError as error:
        return error
    except Exception:
        if "raises-exception" not in cell.metadata.get("tags", []):
            raise
    return None


def run_exercises(cells):
    """Run what a notebook has from its first exercise on; return what the cells show."""
    first = first_exercise(cells)
    plain = [cell for cell in cells[:first] if not cell.source.startswith("%")]
    namespace = {"__name__": "__main__"}
    for cell in needed_cells(plain, cells[first:]):
        run_cell(cell, namespace)
    return [run_cell(cell, namespace) for cell in cells[first:]]


@pytest.mark.sampled
@pytest.mark.parametrize("path", sampled(WITH_EXERCISES, 3), ids=lambda path: path.stem)
def test_a_student_notebook_runs(students, path, monkeypatch):
    monkeypatch.chdir(students)
    published, cells = code_of(path), code_of(students / path.name)
    first = first_exercise(cells)
    assert first == first_exercise(published)
    assert [c.source for c in cells[:first]] == [c.source for c in published[:first]]

    with mpl.rc_context({"backend": "agg"}):
        shown = run_exercises(cells)
    answers = [item for item in shown if isinstance(item, Feedback)]
    assert len(answers) == sum(is_solution(cell) for cell in published)
    assert {answer.status for answer in answers} == {"not attempted yet"}
    assert [type(item) for item in shown[-2:-1]] == [Quiz]


@each_chapter
def test_a_chapter_reads_nothing_that_lies_beside_it(path):
    for cell in code_of(path):
        assert '".."' not in cell.source
        assert "../" not in cell.source


def test_a_cell_that_needs_a_solution_would_be_found():
    sources = ["x = 2", 'check = print\ncheck("00-1", x)', "print(y)"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    assert run_exercises(cells[:2]) == [None]
    with pytest.raises(NameError, match="'y' is not defined"):
        run_exercises(cells)


# --- the command -----------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(main, ["exercises", *map(str, arguments)])


def test_the_command_leaves_what_is_there(tmp_path):
    folder = tmp_path / "new" / "folder"
    first, *others = [folder / path.name for path in PUBLISHED]
    result = run(folder)
    assert result.exit_code == 0
    assert result.output.count("wrote") == len(PUBLISHED)
    original = first.read_text(encoding="utf-8")
    first.write_text("my answers")
    others[0].unlink()
    result = run(folder)
    assert result.exit_code == 0
    assert first.read_text() == "my answers"
    assert f"kept  {first}" in result.output
    assert f"wrote {others[0]}" in result.output
    assert "--force" in result.output
    assert run(folder, "--force").exit_code == 0
    assert first.read_text(encoding="utf-8") == original
    assert sorted(path.name for path in folder.iterdir()) == [path.name for path in PUBLISHED]


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file" / "below")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_an_installed_package_brings_the_course(tmp_path):
    """Lay the files out as the wheel does, and run the command from there."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in wheel["packages"]:
        shutil.copytree(ROOT / package, tmp_path / "site" / package)
    for source, target in wheel["force-include"].items():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (tmp_path / "site" / target).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, tmp_path / "site" / target)
    code = (
        "from vgglab.course import bank, notebooks as course; print(course.RESULTS);"
        "print(len([*course.write_student_notebooks(course.Path('out'))]), len(bank.load_goals()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    results, count, goals = result.stdout.split()
    assert int(goals)
    assert Path(results) == tmp_path / "site" / "vgglab" / "book" / "results"
    assert (Path(results) / "a-lrn.json").exists()
    assert int(count) == len(PUBLISHED)
    for path in PUBLISHED:
        written = json.loads((tmp_path / "out" / path.name).read_text(encoding="utf-8"))
        assert written["nbformat"] == 4


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)
    result = run(tmp_path / "out")
    assert result.exit_code == 2
    assert "this installation has no notebooks" in result.output
