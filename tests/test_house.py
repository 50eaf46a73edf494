"""The house as a whole: what must agree across files that know nothing of each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import base
import pytest
import yaml

import vgglab
from vgglab.course.exercises import CHAPTERS, load_exercises, load_quizzes
from vgglab.explain import Cause
from vgglab.explain.interpreter import read_rules

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = sorted((ROOT / "book" / "chapters").glob("*.md"))


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def targets() -> set[str]:
    """The targets of the Makefile."""
    rules = re.findall(r"^([a-z][a-z -]*):(?!=)", read("Makefile"), re.MULTILINE)
    return {name for names in rules for name in names.split()}


def names_of_tests(path: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", read(path), re.MULTILINE))


# --- one place for each thing ---------------------------------------------------------------------


def test_the_version_stands_in_one_place():
    settings = tomllib.loads(read("pyproject.toml"))
    assert settings["project"]["dynamic"] == ["version"]
    assert "version" not in settings["project"]
    assert settings["tool"]["hatch"]["version"]["path"] == "vgglab/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", vgglab.__version__)
    assert "version" not in yaml.safe_load(read("CITATION.cff"))
    assert f"{vgglab.__version__}" in read("CHANGELOG.md")


@pytest.mark.parametrize("chapter", [path.stem for path in TEXTS])
def test_a_chapter_is_named_in_every_place(chapter):
    number = chapter[:2]
    places = {
        "book/_toc.yml": f"- file: notebooks/{chapter}\n",
        "book/index.md": f". {{doc}}`notebooks/{chapter}`\n```{{opening-picture}} {chapter}\n",
        "README.md": f"/vgglab/notebooks/{chapter}.html) |",
        "ARCHITECTURE.md": f"\n| {number} ",
    }
    assert [path for path, line in places.items() if line not in read(path)] == []
    assert (ROOT / "book" / "notebooks" / f"{chapter}.ipynb").exists(), "make notebooks"


@pytest.mark.parametrize("chapter", [path.stem for path in TEXTS if path.stem[:2] != "00"])
def test_a_chapter_has_its_exercises_and_quizzes(chapter):
    number = chapter[:2]
    assert (ROOT / "vgglab" / "course" / "exercises" / f"ch{chapter}.py").exists()
    exercises = [id for id in load_exercises() if id.startswith(f"{number}-")]
    assert CHAPTERS.get(chapter) == len(exercises)
    assert {f"{number}-predict", f"{number}-review"} <= set(load_quizzes())


def test_every_kind_of_cause_is_described():
    listed = re.findall(r"^\*\*(\w.*)\*\*$", read("book/explain.md"), re.MULTILINE)
    on_the_page = {kind for line in listed for kind in line.split("**, **")}
    assert on_the_page | {"unknown"} == set(read_rules()["kinds"])
    assert set(re.findall(r'``"([\w-]+)"``', Cause.__doc__)) == set(read_rules()["kinds"])


# --- what runs elsewhere --------------------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path):
    used = re.findall(r"\buses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    for command in commands:
        assert set(re.findall(r"\bmake ([a-z-]+)", command)) <= targets()
        for script in re.findall(r"(?<![\w./])[\w.]+/[\w./-]+", command):
            assert script.startswith(".venv/bin/") or (ROOT / script).exists(), script


def test_what_the_base_package_cannot_run_is_there():
    for name in base.NEED_MORE:
        file, _, test = name.partition("::")
        assert (ROOT / "tests" / file).exists(), name
        assert not test or test.partition("[")[0] in names_of_tests(f"tests/{file}"), name


# --- what is said of it ---------------------------------------------------------------------------


def test_every_name_of_the_package_is_in_the_architecture():
    tree = read("ARCHITECTURE.md").split("book/chapters/")[0]
    names = {path.name for path in (ROOT / "vgglab").iterdir()} - {"__pycache__"}
    assert len(names) <= 22
    assert {
        name
        for name in names - {"__init__.py", "py.typed"}
        if not re.search(rf"\b{re.escape(name)}\b", tree)
    } == set()


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_what_a_document_names_is_there(document):
    text = read(document)
    assert set(re.findall(r"\bmake ([a-z-]+)(?=[`;\s])", text)) <= targets()
    for path, test in re.findall(r"(?<![\w/])((?:tests|vgglab|book)/[\w/.-]*\w)(?:::(\w+))?", text):
        if "NN" not in path and "NAME" not in path:
            assert (ROOT / path).exists(), path
            assert not test or test in names_of_tests(path), f"{path}::{test}"
