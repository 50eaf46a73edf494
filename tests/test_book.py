"""The chapters' text, the notebooks made from it, and the command that checks them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import make_notebooks
import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Tiny

```{code-cell} ipython3
print(6 * 7)
print(6 * 8)
```

+++

The same cell again:

```{code-cell} ipython3
print(6 * 7)
print(6 * 8)
```

```{code-cell} ipython3
:tags: [raises-exception]

raise ValueError("on purpose")
```

```{code-cell} ipython3
:tags: [nbval-ignore-output]

import time

print(time.time())
```

```{code-cell} ipython3
:mystnb: {image: {alt: "a line"}}

import matplotlib.pyplot as plt

_ = plt.plot([1, 2, 4])
```
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a built chapter in it."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "chapters").mkdir()
    chapter = folder / "chapters" / "00_tiny.md"
    chapter.write_text(CHAPTER, encoding="utf-8")
    assert make_notebooks.build(chapter, folder / "notebooks")
    return folder


def test_texts_and_notebooks_agree() -> None:
    assert make_notebooks.faults_of() == []


def test_texts_and_notebooks_of_assignments_agree() -> None:
    assert len(make_notebooks.assignment_folders()) > 0
    assert make_notebooks.faults_of_assignments() == []


@pytest.fixture
def assignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small assignment that is built."""
    folder = tmp_path / "00_tiny"
    folder.mkdir()
    (folder / "assignment.toml").write_text(
        'title = "Tiny"\nminutes = 1\ngoals = []\npackages = []\n[[questions]]\nid = "q1"\n'
        'title = "One"\npoints = 7\nfunctions = ["one"]\n'
    )
    (folder / "judge.py").write_text(
        'def variant(random):\n    return {"number": random.randrange(10**9)}\n'
    )
    cells = (
        "```{code-cell} ipython3\n:tags: [given]\n\nNUMBER = {{ number }}\n```\n\n"
        "```{code-cell} ipython3\n:tags: [answer-q1]\n\ndef one():\n    ### BEGIN SOLUTION\n"
        "    return NUMBER\n    ### END SOLUTION\n```\n\n"
        "```{code-cell} ipython3\n:tags: [check-q1]\n\nassert one() == {{ number }}\n```\n"
    )
    (folder / "00_tiny.md").write_text(CHAPTER.split("```", 1)[0] + cells)
    monkeypatch.setattr(make_notebooks, "ASSIGNMENTS", tmp_path)
    assert make_notebooks.build_assignment(folder)
    assert not make_notebooks.build_assignment(folder)
    return folder


def test_tags_of_an_assignment_become_nbgraders_metadata(assignment: Path) -> None:
    notebook = nbformat.read(assignment / "00_tiny.ipynb", as_version=4)
    given, answer, check = (c.metadata for c in notebook.cells if c.cell_type == "code")
    names = [metadata.nbgrader.grade_id for metadata in (given, answer, check)]
    assert names == ["given-1", "answer-q1", "check-q1"]
    assert [m.nbgrader.locked for m in (given, answer, check)] == [True, False, True]
    assert (check.nbgrader.grade, check.nbgrader.points) == (True, 7)
    assert answer.nbgrader.solution
    assert given.vgglab.template == "NUMBER = {{ number }}"
    assert "vgglab" not in answer


def test_an_assignment_whose_text_changed_is_found(assignment: Path) -> None:
    assert make_notebooks.faults_of_assignments() == []
    text = assignment / "00_tiny.md"
    text.write_text(text.read_text().replace("# Tiny", "# Small"))
    (fault,) = make_notebooks.faults_of_assignments()
    assert fault == "00_tiny: text and notebook differ; run `make notebooks`"


def test_a_placeholder_may_not_show_a_solution(assignment: Path) -> None:
    text = assignment / "00_tiny.md"
    text.write_text(text.read_text().replace("return NUMBER", "return {{ number }}"))
    with pytest.raises(make_notebooks.ChapterError, match="answer-q1 must have no placeholder"):
        make_notebooks.from_assignment(assignment)


def test_every_chapter_is_in_the_table_of_contents() -> None:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    listed = [Path(entry["file"]).name for part in toc["parts"] for entry in part["chapters"]]
    chapters = [path.stem for path in sorted(make_notebooks.CHAPTERS.glob("*.md"))]
    assert [name for name in listed if re.match(r"\d\d_", name)] == chapters


def test_index_names_every_chapter() -> None:
    index = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    for path in make_notebooks.CHAPTERS.glob("*.md"):
        assert f"notebooks/{path.stem}" in index


def test_building_again_changes_no_byte(tiny: Path) -> None:
    target = tiny / "notebooks" / "00_tiny.ipynb"
    before = target.read_bytes()
    assert not make_notebooks.build(tiny / "chapters" / "00_tiny.md", tiny / "notebooks")
    assert target.read_bytes() == before


def test_cell_ids_are_unique_and_come_from_the_source() -> None:
    first, second = (make_notebooks.from_text(CHAPTER) for _ in range(2))
    ids = [cell.id for cell in first.cells]
    assert len(set(ids)) == len(ids)
    assert ids == [cell.id for cell in second.cells]


def test_a_good_notebook_has_no_faults(tiny: Path) -> None:
    assert make_notebooks.faults_of(tiny / "chapters", tiny / "notebooks") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("print(6 * 7)", "print(6 * 9)", "text and notebook differ"),
        ('"execution_count": 2', '"execution_count": null', "execution count None"),
        ('"execution_count": 3', '"execution_count": 9', "execution count 9"),
        ('"raises-exception"', '"hide-input"', "not tagged raises-exception"),
        ('"name": "stdout"', '"name": "stderr"', "wrote to stderr"),
        ("on purpose", "in /home/somebody/x.py", "path of this machine"),
        ('"nbformat_minor": 5', '"nbformat_minor":  5', "was not written by"),
    ],
)
def test_faults_are_found(tiny: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    stored = (tiny / "notebooks" / "00_tiny.ipynb").read_text(encoding="utf-8")
    assert old in stored
    (tmp_path / "00_tiny.ipynb").write_text(stored.replace(old, new), encoding="utf-8")
    faults = make_notebooks.faults_of(tiny / "chapters", tmp_path)
    assert any(message in fault for fault in faults), faults


def test_an_output_that_nothing_compares_is_not_stored(tiny: Path) -> None:
    notebook = nbformat.read(tiny / "notebooks" / "00_tiny.ipynb", as_version=4)
    (cell,) = [c for c in notebook.cells if "time.time()" in c.source]
    assert cell.execution_count
    assert cell.outputs == []
    cell.outputs = [nbformat.v4.new_output("stream", text="1.5\n")]
    (fault,) = make_notebooks.faults_of_outputs(notebook)
    assert "stores an output that nothing compares" in fault


def test_what_a_gpu_has_made_is_kept(tmp_path: Path) -> None:
    kept = {"gpu": '{"budgets": {"tiny": {}, "gpu": {}}}', "tiny": '{"budgets": {"tiny": {}}}'}
    for name, text in kept.items():
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    make_notebooks.forget_tiny_results(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


def test_a_chapter_says_how_long_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that are folded, and code, are not read; what was measured is no fault of the text."""
    head, cell = CHAPTER.split("# Tiny")[0], "```{code-cell} ipython3\nprint(6 * 7)\n```\n"
    folded = f":::{{dropdown}} Deeper: more\n{'beside the idea ' * 500}\n:::\n"
    text = f"{head}# Tiny\n\n{{{{ times }}}}\n\n{'word ' * 390}\n\n{folded}\n{cell}"
    chapter, notebook = tmp_path / "chapters" / "00_tiny.md", tmp_path / "00_tiny.ipynb"
    chapter.parent.mkdir()
    chapter.write_text(text, encoding="utf-8")
    for seconds, said in (
        (100, "2 minutes"),
        (50, "2 minutes"),
        (40, "1 minute"),
        (70, "1 minute"),
    ):
        monkeypatch.setattr(make_notebooks, "processor_seconds", iter([0, seconds]).__next__)
        make_notebooks.build(chapter, tmp_path)
        first = nbformat.read(notebook, as_version=4).cells[0].source
        assert "Reading the text, without the code: about 3 minutes." in first
        assert f"Running its cells: about {said} of" in first
        assert make_notebooks.faults_of(chapter.parent, tmp_path) == []
    chapter.write_text(text.replace("word ", "word " * 2), encoding="utf-8")
    (fault,) = make_notebooks.faults_of(chapter.parent, tmp_path)
    assert "text and notebook differ" in fault


def test_a_missing_and_an_orphaned_notebook_are_found(tiny: Path, tmp_path: Path) -> None:
    assert "no notebook" in make_notebooks.faults_of(tiny / "chapters", tmp_path)[0]
    assert "without a text" in make_notebooks.faults_of(tmp_path, tiny / "notebooks")[0]


def test_an_error_that_is_not_tagged_stops_the_build(tmp_path: Path) -> None:
    chapter = tmp_path / "00_bad.md"
    chapter.write_text(CHAPTER.replace("raises-exception", "hide-input"), encoding="utf-8")
    with pytest.raises(make_notebooks.ChapterError, match="on purpose"):
        make_notebooks.build(chapter, tmp_path)
    assert not (tmp_path / "00_bad.ipynb").exists()


@pytest.mark.wide
def test_canary_one_wrong_stored_output_fails(tmp_path: Path) -> None:
    """By the command of `make test`: of two cells, one lies."""
    head = CHAPTER.split("# Tiny")[0]
    cells = "```{code-cell} ipython3\nprint(6 * 7)\n```\n\n" * 2
    notebook = make_notebooks.from_text(f"{head}{cells}")
    notebook.cells = notebook.cells[1:]  # without the setup
    for number, (cell, text) in enumerate(zip(notebook.cells, ("42\n", "43\n"), strict=True), 1):
        cell.execution_count = number
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]
    (tmp_path / "canary.ipynb").write_text(make_notebooks.to_json(notebook), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "book/make_notebooks.py", "nbval", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Cell outputs differ" in result.stdout
    assert "1 failed, 1 passed" in result.stdout
    assert "canary.ipynb::Cell 1" in result.stdout.split("short test summary")[1]


def test_unknown_chapter_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_notebooks.py", "build", "99_nothing"])
    with pytest.raises(SystemExit) as ended:
        make_notebooks.main()
    assert ended.value.code == 2
    assert "there is no chapter book/chapters/99_nothing.md" in capsys.readouterr().err


def test_the_code_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    narrow = code.replace('head="fc-fixed"', 'head="fc-fixed", width=1 / 16')
    assert narrow != code
    exec(narrow, {})
    printed = capsys.readouterr().out
    assert "equal within rounding" in printed
    assert "stopped here" in printed


def test_the_commands_of_the_readme_exist() -> None:
    from vgglab.__main__ import main

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^vgglab (\w+) ", readme, re.MULTILINE))
    assert named == set(main.commands)


FORMULA = r"""
import formulas
print(formulas.render(r"\frac{a}{b}", {"displayMode": True}))
"""


def test_each_process_of_the_build_has_a_server_of_formulas_of_its_own(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    formulas = importlib.import_module("formulas")
    whole = formulas.render(r"\frac{a}{b}", {"displayMode": True})
    assert "katex-display" in whole
    assert "katex-error" in formulas.render(r"\frac{a")
    assert formulas.server(os.getpid()) is not formulas.server(0)
    for process in (os.getpid(), 0):
        formulas.server(process).communicate()
    formulas.server.cache_clear()
    # A node that were left behind would hold the output open.
    command, place = [sys.executable, "-c", FORMULA], ROOT / "book" / "_ext"
    child = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60)
    assert (child.stdout, child.stderr) == (f"{whole}\n", "")


PRINTED = '<div class="output stream notranslate"><div class="highlight"><pre>{}</pre>'


def test_outputs_know_where_a_line_may_end(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    ready = importlib.import_module("vgglab_light").phone_ready
    assert ready("<td>21 [19, 23] of 9 × 9</td>") == "<td>21 [19,\xa023] of 9\xa0×\xa09</td>"
    assert ready("<p>[19, 23]</p>") == "<p>[19, 23]</p>"
    words = PRINTED.format("one sentence:\n  (0): two")
    assert ready(words) == words.replace("notranslate", "notranslate vgglab-prose")
    for columns in ("a   b", "one\n-----\n"):
        assert ready(PRINTED.format(columns)) == PRINTED.format(columns)


CSS = """
.used, .gone:hover { color: red } .gone { color: red } p > a { color: red }
.used:not(.gone) { color: red } .used .gone { color: red } [class*="x"] { color: red }
@media print { .gone { color: red } .used { color: red } }
@media screen { .gone { color: red } }
@font-face { src: url(a.woff2) format("woff2") }
"""


def test_styles_of_no_page_are_left_out(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    light = importlib.import_module("vgglab_light")
    assert light.used_rules(CSS, {"used", "p", "a"}).split("}") == [
        ".used{ color: red ",
        "p > a{ color: red ",
        ".used:not(.gone){ color: red ",
        '[class*="x"]{ color: red ',
        "@media print {.used{ color: red ",
        "",
        '@font-face { src: url(a.woff2) format("woff2") ',
        "",
    ]


def test_cells_of_tables_are_light():
    light_tables = importlib.import_module("vgglab_light").light_tables
    cells = '<th>a b  </th><td style="text-align: right;">  1</td><td>  x </td><p> a  b </p>'
    assert light_tables(cells) == (
        '<th>a b</th><td style="text-align: right;">1</td><td>x</td><p> a  b </p>'
    )


def test_a_script_is_light_and_there_once():
    script = "<script>\n{\n  // why\n  run( 1 );\n}\n</script>"
    data = '<script type="application/json">{"a": " // b"}</script>'
    template = '<script type="text/html">\n  <p>\n    a b\n</script>'
    html = importlib.import_module("vgglab_light").light_scripts(script + data + script + template)
    assert html.count("run(1);") == 1
    assert "why" not in html
    assert data in html
    assert '<script type="text/html">\n<p>\na b\n</script>' in html


def test_marks_of_plain_code_are_left_out(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    light = importlib.import_module("vgglab_light")
    code = '<span class="n">a</span><span class="w"> </span><span class="o">=</span>'
    assert light.plain_code(code) == 'a <span class="o">=</span>'


def test_styles_become_one_with_their_imports_and_addresses(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    light = importlib.import_module("vgglab_light")
    static = tmp_path / "_static"
    for name, css in {
        "basic.css": "a{}",
        "styles/theme.css": '@import "../basic.css";b{background:url(../x.png)}',
        "own.css": 'c{src:url("data:x") url(fonts/f.woff2)}',
    }.items():
        (static / name).parent.mkdir(exist_ok=True, parents=True)
        (static / name).write_text(css, encoding="utf-8")
    links = [
        f'<link rel="stylesheet" href="../_static/{name}?v=1" />\n'
        for name in ("styles/theme.css", "own.css", "own.css")
    ]
    (tmp_path / "notebooks").mkdir()
    html = light.with_one_style("".join(links) + "<b>", tmp_path / "notebooks" / "a.html", static)
    (one,) = static.glob("all.*.css")
    assert html == f'<link rel="stylesheet" href="../_static/{one.name}">\n<b>'
    css = one.read_text(encoding="utf-8").replace("\n", "")
    assert css == 'a{}b{background:url("x.png")}c{src:url("data:x") url("fonts/f.woff2")}'
