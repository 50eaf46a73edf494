"""Turn the chapters' text into executed notebooks, and prove that the two agree.

``book/chapters/NN_topic.md`` is what people write; ``book/notebooks/NN_topic.ipynb`` is
generated from it and committed with its outputs. Commands, from the root of the repository::

    python book/make_notebooks.py build [NN_topic ...]   # execute; all chapters by default
    python book/make_notebooks.py check                  # compare text and notebooks, run nothing
    python book/make_notebooks.py nbval [PATH ...]       # run again, compare every stored output
    python book/make_notebooks.py student                # run what students get, from top to bottom
    python book/make_notebooks.py assignments [NN_name ...]   # write assignments, run nothing
    python book/make_notebooks.py costs [NN_topic ...]   # time and memory, for the status page

A chapter is a MyST Markdown notebook. It begins with ::

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

    # Title

and its code cells look like this, tags and figure description being optional::

    ```{code-cell} ipython3
    :tags: [raises-exception]
    :mystnb: {image: {alt: "What the figure shows"}}

    vgg("D", head="fc-fixed")(image)
    ```

Markdown is cut into cells at ``+++``. Tags in use: ``raises-exception`` (the error is content),
``nbval-ignore-output`` (timings, device names: they differ from run to run, so they are shown to
whoever runs the cell and never stored), ``remove-cell``, ``hide-cell``, ``hide-input``.
Notes are colon fences (``:::{note}``), which also read well in Jupyter. A trailing ``;`` does not
silence a cell under nbval: write ``_ = plt.plot(...)`` or end the cell with ``plt.show()``.

What is beside the idea is folded under a title that begins with "Deeper: ": text as
``:::{dropdown} Deeper: ...``, a cell by the tag ``hide-cell`` and ``code_prompt_show`` (and
``code_prompt_hide``) in its ``mystnb``. ``{{ times }}`` under the title of a chapter becomes the
time that it takes: to read, counted from the words that are not folded, and to run, measured by
``build`` and kept in the notebook's metadata, so that ``check`` asks no clock.

A hidden cell, ``SETUP``, is put before the first code cell of each chapter.
An assignment, ``book/assignments/NN_name/NN_name.md``, is written in the same way and becomes
``NN_name.ipynb`` beside it, a source notebook for nbgrader. Tags say what its cells are for:
``given``, ``answer-q1``, ``check-q1``, ``text-q5``; points come from ``assignment.toml``.
The notebook of a session, ``book/teaching/shapes_to_the_head.md``, is made as a chapter's is.

Building twice gives identical bytes: cells are named after their source, nothing records the time,
and the kernel's metadata is fixed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from vgglab.grading.assignment import BEGIN_HIDDEN, Assignment, render, role_of

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "book" / "chapters"
NOTEBOOKS = ROOT / "book" / "notebooks"
ASSIGNMENTS = ROOT / "book" / "assignments"
COSTS = ROOT / "book" / "reference" / "notebook_costs.json"
CELL_TIMEOUT = 300  # seconds
WORKERS = 2
SESSIONS = "teaching/shapes_*.md"  # beside the folder of the chapters
TIMES = "{{ times }}"
WORDS_A_MINUTE = 150
FOLDED = re.compile(r"^(:{3,})\{dropdown\}.*?^\1$", re.DOTALL | re.MULTILINE)

# One-line tracebacks without local paths, and the package when a notebook opens in Colab, Kaggle or
# the like. What is installed there stays: a torch for its accelerator, which pip would replace by
# another without a word, and what the running kernel has loaded, which breaks when it is replaced.
SETUP = """\
%xmode Minimal
import re
from importlib import invalidate_caches
from importlib.metadata import distributions
from importlib.util import find_spec

if find_spec("vgglab") is None:
    course = "vgglab[chapters] @ git+https://github.com/vgglab/vgglab"
    # The first of two of one name is the one that is imported.
    found = {d.name: str(d.version) for d in reversed([*distributions()])}
    here = {n: v for n, v in found.items() if re.fullmatch(r"[\\d.]+(\\+\\w+)?", v)}
    takes = f"about a minute; torch {here['torch']} stays" if "torch" in here else "minutes"
    print(f"Installing vgglab, once in a session: {takes}.")
    for names in (here, {"torch", "torchvision", "numpy"} & here.keys()):
        with open("vgglab-keep.txt", "w") as keep:
            keep.writelines(f"{name}=={here[name]}\\n" for name in names)
        %pip install -q -c vgglab-keep.txt "{course}"
        invalidate_caches()
        if find_spec("vgglab"):
            break
    else:
        print(f'vgglab needs others than are here. To replace them: %pip install "{course}"')"""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}

# Paths of a machine: home and temporary folders, drives, and where packages are installed.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|root|Users|tmp|var|opt|usr|mnt|work|workspace|content)/"
    r"|site-packages|ipykernel_\d|\b[A-Z]:\\\\?Users"
)


class ChapterError(Exception):
    """A chapter that cannot become a notebook; the message says where and why."""


def environment() -> dict[str, str]:
    """Return the variables that kernels run under, when building and when checking."""
    # MPLBACKEND: the kernel chooses its inline backend. PYTEST_*: nbval may run inside a test.
    drop = ("MPLBACKEND", "PYTHONWARNINGS", "PYTEST_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    # PYTHONPATH: chapters import this very tree, whatever is installed.
    # VGGLAB_HOME: what a chapter answers is nobody's progress.
    own = {"PYTHONPATH": str(ROOT), "VGGLAB_HOME": ""}
    return env | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} | own


def from_text(text: str) -> NotebookNode:
    """Return the notebook of a chapter's text, not executed.

    Parameters
    ----------
    text : str
        The chapter, a MyST Markdown notebook.

    Returns
    -------
    NotebookNode
        Its cells, with ids that depend on nothing but their source.
    """
    notebook = jupytext.reads(text, fmt="md:myst")
    first = next((i for i, c in enumerate(notebook.cells) if c.cell_type == "code"), None)
    if first is not None:
        setup = nbformat.v4.new_code_cell(SETUP, metadata={"tags": ["remove-cell"]})
        notebook.cells.insert(first, setup)
    _name_cells(notebook)
    return notebook


def _name_cells(notebook: NotebookNode) -> None:
    """Give a notebook the fixed metadata, and each cell an id."""
    extra = {k: v for k, v in notebook.metadata.items() if k not in {"jupytext", *METADATA}}
    notebook.metadata = nbformat.from_dict({**extra, **METADATA})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.id, repeat = cell_id(cell, 0), 0
        while cell.id in seen:
            repeat += 1
            cell.id = cell_id(cell, repeat)
        seen.add(cell.id)


def texts_of(chapters: Path = CHAPTERS) -> dict[str, Path]:
    """Return the texts that become notebooks, by name: those of the chapters and of sessions."""
    paths = [*chapters.glob("*.md"), *chapters.parent.glob(SESSIONS)]
    return {path.stem: path for path in sorted(paths)}


def words_read(text: str) -> int:
    """Count the words of a text that are not folded."""
    return len(FOLDED.sub("", text).split())


def state_times(notebook: NotebookNode, run_minutes: int) -> None:
    """Say in the place of `TIMES` how long a chapter takes, if it asks for it.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place.
    run_minutes : int
        What running it takes.
    """
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    places = [cell for cell in texts if TIMES in cell.source]
    if not places:
        return
    read_minutes = ceil(sum(words_read(cell.source) for cell in texts) / WORDS_A_MINUTE)
    read, run = (f"about {n} minute{'s' * (n > 1)}" for n in (read_minutes, run_minutes))
    for cell in places:
        line = (
            f"*Reading the text, without the code: {read}. "
            f"Running its cells: {run} of one processor core.*"
        )
        cell.source = cell.source.replace(TIMES, line)
    notebook.metadata["vgglab"] = {"run_minutes": run_minutes}
    _name_cells(notebook)


def run_minutes_of(notebook: NotebookNode) -> int:
    """Return how long a built chapter says that it runs."""
    return int(notebook.metadata.get("vgglab", {}).get("run_minutes", 0))


def in_minutes(seconds: float, stored: int = 0) -> int:
    """Round up to minutes; what was stored stays unless it is clearly wrong."""
    if 45 * (stored - 1) < seconds <= 75 * stored:
        return stored
    return max(ceil(seconds / 60), 1)


def processor_seconds() -> float:
    """Return the processor's time of all kernels that have ended: load does not lengthen it."""
    times = os.times()
    return times.children_user + times.children_system


def from_assignment(folder: Path) -> NotebookNode:
    """Return the source notebook of an assignment for the default course seed.

    A cell with placeholders keeps its template in its metadata, for other course seeds.

    Parameters
    ----------
    folder : Path
        The assignment.

    Returns
    -------
    NotebookNode
        With nbgrader's metadata, made from tags and points.

    Raises
    ------
    ChapterError
        If a placeholder stands where it would show a solution.
    """
    assignment = Assignment(folder)
    points = {question.id: question.points for question in assignment.questions}
    notebook = jupytext.reads((folder / f"{folder.name}.md").read_text("utf-8"), fmt="md:myst")
    given = 0
    for cell in notebook.cells:
        kind, question = role_of(cell)
        if kind:
            given += kind == "given"
            name = f"given-{given}" if kind == "given" else f"{kind}-{question}"
            cell.metadata["nbgrader"] = {
                "grade": kind in ("check", "text"),
                "grade_id": name,
                "locked": kind in ("given", "check"),
                "schema_version": 3,
                "solution": kind in ("answer", "text"),
                "task": False,
                **({"points": points[question]} if kind in ("check", "text") else {}),
            }
        rendered = render(cell.source, assignment.variant, cell.cell_type)
        if rendered != cell.source:
            if kind in ("answer", "text") or BEGIN_HIDDEN in cell.source:
                raise ChapterError(f"{folder.name}: {kind}-{question} must have no placeholder")
            cell.metadata["vgglab"] = {"template": cell.source}
            cell.source = rendered
    _name_cells(notebook)
    return notebook


def assignment_folders() -> list[Path]:
    """Return the folders of the assignments."""
    return sorted(path.parent for path in ASSIGNMENTS.glob("*/assignment.toml"))


def build_assignment(folder: Path) -> bool:
    """Write the source notebook of an assignment; return whether the file changed."""
    target, new = folder / f"{folder.name}.ipynb", to_json(from_assignment(folder))
    if target.exists() and target.read_text(encoding="utf-8") == new:
        return False
    target.write_text(new, encoding="utf-8", newline="\n")
    return True


def faults_of_assignments() -> list[str]:
    """Say which assignments' notebooks are not what their text makes."""
    return [
        f"{folder.name}: text and notebook differ; run `make notebooks`"
        for folder in assignment_folders()
        if not (folder / f"{folder.name}.ipynb").exists()
        or (folder / f"{folder.name}.ipynb").read_text("utf-8") != to_json(from_assignment(folder))
    ]


def cell_id(cell: NotebookNode, repeat: int) -> str:
    """Return an id from a cell's source, another one for each repetition of it."""
    return hashlib.sha256(f"{cell.cell_type}\n{repeat}\n{cell.source}".encode()).hexdigest()[:12]


def execute(notebook: NotebookNode, folder: Path, *, timed: bool = False) -> None:
    """Run a notebook in ``folder`` and keep its outputs, in a form that does not vary.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place.
    folder : Path
        The working directory of the kernel.
    timed : bool, default False
        Whether each cell's metadata say when it ran.
    """
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=METADATA["kernelspec"]["name"],
        record_timing=timed,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(env=environment())
    except CellExecutionError as error:
        raise ChapterError(str(error).strip()) from None
    notebook.metadata.update(nbformat.from_dict(METADATA))  # the kernel wrote its version there
    for cell in notebook.cells:
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            cell.outputs = []


def to_json(notebook: NotebookNode) -> str:
    """Return the file's text of a valid notebook."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def build(chapter: Path, folder: Path = NOTEBOOKS) -> bool:
    """Write the executed notebook of one chapter.

    Parameters
    ----------
    chapter : Path
        The chapter's text.
    folder : Path
        Where the notebook goes, and runs.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    ChapterError
        If a cell fails that should not, or the outputs have faults. The file stays as it was.
    """
    notebook = from_text(chapter.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    target, stored = folder / f"{chapter.stem}.ipynb", 0
    if target.exists():
        stored = run_minutes_of(nbformat.read(target, as_version=4))
    before = processor_seconds()
    execute(notebook, folder)
    state_times(notebook, in_minutes(processor_seconds() - before, stored))
    faults = faults_of_outputs(notebook)
    if faults:
        raise ChapterError("\n".join(faults))
    new = to_json(notebook)
    if target.exists() and target.read_text(encoding="utf-8") == new:
        return False
    target.write_text(new, encoding="utf-8", newline="\n")
    return True


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return a copy that holds what came from the text."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copy


def faults_of_outputs(notebook: NotebookNode) -> list[str]:
    """Say what is wrong with stored outputs.

    Parameters
    ----------
    notebook : NotebookNode
        An executed notebook.

    Returns
    -------
    list of str
        A sentence for each cell that was not executed in order, failed without being tagged so
        or did not fail although tagged so, wrote to stderr, stores an output that is tagged
        ``nbval-ignore-output``, or shows a path of the machine.
    """
    faults = []
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code_cells, start=1):
        where = f"code cell {number} ({cell.source.strip().splitlines()[:1]})"
        failed = any(output.output_type == "error" for output in cell.outputs)
        expected = "raises-exception" in cell.metadata.get("tags", [])
        if cell.execution_count != number:
            faults.append(f"{where} has execution count {cell.execution_count}, not {number}")
        if failed and not expected:
            faults.append(f"{where} failed, and is not tagged raises-exception")
        if expected and not failed:
            faults.append(f"{where} is tagged raises-exception, and did not fail")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            faults.append(f"{where} wrote to stderr")
        if cell.outputs and "nbval-ignore-output" in cell.metadata.get("tags", []):
            faults.append(f"{where} stores an output that nothing compares")
        path = MACHINE_PATH.search(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
        if path:
            faults.append(f"{where} shows a path of this machine, at {path.group()!r}")
    return faults


def faults_of(chapters: Path = CHAPTERS, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Say where text and notebooks disagree; run nothing.

    Parameters
    ----------
    chapters, notebooks : Path
        The two folders.

    Returns
    -------
    list of str
        A sentence for each fault; empty when all is well.
    """
    texts = texts_of(chapters)
    built = {path.stem: path for path in sorted(notebooks.glob("*.ipynb"))}
    faults = [f"{stem}: no notebook; run `make notebooks`" for stem in texts if stem not in built]
    faults += [f"{stem}: a notebook without a text" for stem in built if stem not in texts]
    for stem in texts.keys() & built.keys():
        stored = built[stem].read_text(encoding="utf-8")
        notebook = nbformat.reads(stored, as_version=4)
        wanted = from_text(texts[stem].read_text(encoding="utf-8"))
        state_times(wanted, run_minutes_of(notebook))
        if to_json(without_outputs(notebook)) != to_json(without_outputs(wanted)):
            faults.append(f"{stem}: text and notebook differ; run `make notebooks`")
        if to_json(notebook) != stored:
            faults.append(f"{stem}: was not written by `make notebooks`")
        faults += [f"{stem}: {fault}" for fault in faults_of_outputs(notebook)]
    return faults


def faults_of_student_notebook(path: Path) -> list[str]:
    """Run a notebook as a student gets it, and say what fails that should not.

    Parameters
    ----------
    path : Path
        A notebook that `vgglab exercises` wrote; runs in its folder, and stays as it is.

    Returns
    -------
    list of str
        A sentence for each error that is neither content nor a blank's NotImplementedError.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=METADATA["kernelspec"]["name"],
        allow_errors=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment())
    return [
        f"{path.stem}: {output.ename}: {output.evalue} in {cell.source.splitlines()[:3]}"
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
        and output.ename != "NotImplementedError"
        and "raises-exception" not in cell.metadata.get("tags", [])
    ]


def run_student_notebooks() -> int:
    """Write the notebooks for students into an empty folder and run them; return 1 on faults."""
    from vgglab.course.notebooks import write_student_notebooks

    faults = []
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(WORKERS) as pool:
        paths = [path for path, _ in write_student_notebooks(Path(folder))]
        for path, found in zip(paths, pool.map(faults_of_student_notebook, paths), strict=True):
            print(f"{path.stem}: {len(found)} faults", flush=True)
            faults += found
    print("\n".join(faults), file=sys.stderr)
    return bool(faults)


def text_of(notebook: NotebookNode) -> str:
    """Return a hash of what a notebook says and runs, whatever its outputs."""
    return hashlib.sha256("\0".join(cell.source for cell in notebook.cells).encode()).hexdigest()


def sections_of(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Return the cells of a notebook by the heading that they stand under, text cut at headings."""
    sections: dict[str, list[NotebookNode]] = {}
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            sections.setdefault(heading, []).append(cell)
            continue
        for part in re.split(r"^(?=#+ )", cell.source, flags=re.MULTILINE):
            if part.startswith("#"):
                heading = part.splitlines()[0].lstrip("# ")
            if part:
                sections.setdefault(heading, []).append(nbformat.v4.new_markdown_cell(part))
    return sections


def seconds_of_sections(notebook: NotebookNode) -> dict[str, float]:
    """Return what the cells below each heading took on the wall, of a notebook that ran timed."""

    def seconds(cell: NotebookNode) -> float:
        times = cell.metadata["execution"]
        busy, idle = (
            datetime.fromisoformat(times[f"iopub.status.{state}"]) for state in ("busy", "idle")
        )
        return (idle - busy).total_seconds()

    code = {
        heading: [cell for cell in cells if cell.cell_type == "code"]
        for heading, cells in sections_of(notebook).items()
    }
    return {heading: round(sum(map(seconds, cells)), 2) for heading, cells in code.items() if cells}


def cost_of(path: Path) -> dict[str, Any]:
    """Run a notebook and return what it took; nothing is written.

    To be called in a process that has run nothing else: the system counts all of its children.

    Parameters
    ----------
    path : Path
        A notebook.

    Returns
    -------
    dict
        ``seconds`` on the wall, ``processor_seconds``, ``peak_bytes`` of the largest process,
        ``sections``, the seconds of the cells below each heading, and ``text``, the hash of what
        was run.
    """
    import resource

    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    execute(notebook, path.parent, timed=True)
    wall = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(wall, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "sections": seconds_of_sections(notebook),
        "text": text_of(notebook),
    }


def record_costs(names: list[str], target: Path = COSTS) -> None:
    """Run notebooks, one after the other, and record what each took.

    Parameters
    ----------
    names : list of str
        Notebooks, such as ``00_start_here``; all if empty. What is recorded of others stays, if it
        was made on the same machine with the same versions.
    target : Path
        The record.

    Raises
    ------
    ChapterError
        If there is no such notebook, or if what stays would be of another machine or of other
        versions.
    """
    from vgglab.lab.provenance import provenance, today

    paths = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    for stem in names:
        if stem not in paths:
            raise ChapterError(f"there is no notebook {stem}")
    made = provenance() | {"cores": os.cpu_count(), "threads": 1}
    record = json.loads(target.read_text(encoding="utf-8")) if names else {}
    if names and record["provenance"] != made:
        raise ChapterError("the record is of another machine or other versions: name no notebooks")
    found = record.get("notebooks", {})
    for path in [paths[stem] for stem in names] or paths.values():
        name = path.relative_to(ROOT / "book").with_suffix("").as_posix()
        # A fresh process each: what its children took is what the notebook took.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            found[name] = fresh.submit(cost_of, path).result() | {"date": today()}
        print(f"{name}: {found[name]['seconds']} s", flush=True)
    record = {
        "command": "python book/make_notebooks.py costs",
        "provenance": made,
        "notebooks": dict(sorted(found.items())),
    }
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def nbval_command(paths: list[str]) -> list[str]:
    """Return the command that executes notebooks and compares every stored output.

    Parameters
    ----------
    paths : list of str
        Notebooks, or folders of them.

    Returns
    -------
    list of str
        For `make test` and for the test that proves that it can fail.
    """
    return [
        *[sys.executable, "-m", "pytest", "--rootdir", str(ROOT), "-c", "pyproject.toml"],
        *["-p", "no:cacheprovider", "-o", "filterwarnings=", "-q"],
        # Of all that is installed: other plugins take seconds to import, in each process.
        *["-p", "nbval.plugin", "-p", "xdist.plugin"],
        *["--nbval", "--nbval-current-env", "--nbval-cell-timeout", str(CELL_TIMEOUT)],
        # loadfile: or one notebook's cells would go to different kernels.
        *["-n", str(WORKERS), "--dist", "loadfile", *paths],
    ]


def run_nbval(paths: list[str]) -> int:
    """Run `nbval_command`, and return its exit status."""
    env = environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(nbval_command(paths), cwd=ROOT, env=env).returncode


def forget_tiny_results(folder: Path = NOTEBOOKS / "my-results") -> None:
    """Delete what GPU exercises kept on a CPU: it would stand in the way of a changed definition.

    It takes seconds to make again; what a GPU made is a reader's, and stays.
    """
    for path in folder.glob("*.json"):
        if json.loads(path.read_text(encoding="utf-8"))["budgets"].keys() <= {"tiny"}:
            path.unlink()


def main() -> int:
    """Run one of the commands above."""
    parser = argparse.ArgumentParser(description="Chapters to notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("chapters", nargs="*", metavar="NN_topic")
    commands.add_parser("check")
    commands.add_parser("student")
    commands.add_parser("costs").add_argument("names", nargs="*", metavar="NN_topic")
    commands.add_parser("assignments").add_argument("names", nargs="*", metavar="NN_name")
    commands.add_parser("nbval").add_argument("paths", nargs="*", default=["book/notebooks"])
    arguments = parser.parse_args()
    if arguments.command in ("build", "nbval", "costs"):
        forget_tiny_results()
    if arguments.command == "nbval":
        return run_nbval(arguments.paths)
    if arguments.command == "student":
        return run_student_notebooks()
    if arguments.command == "costs":
        try:
            record_costs(arguments.names)
        except ChapterError as error:
            parser.error(str(error))
        return 0
    if arguments.command == "check":
        faults = [*faults_of(), *faults_of_assignments()]
        print("\n".join(faults) or "Texts and notebooks agree.")
        return bool(faults)
    if arguments.command == "assignments":
        for folder in [ASSIGNMENTS / name for name in arguments.names] or assignment_folders():
            print(f"{folder.name}: {'changed' if build_assignment(folder) else 'unchanged'}")
        return 0
    texts, stems = texts_of(), [Path(name).stem for name in arguments.chapters]
    chapters = [texts.get(stem, CHAPTERS / f"{stem}.md") for stem in stems] or [*texts.values()]
    for chapter in chapters:
        if not chapter.exists():
            parser.error(f"there is no chapter {chapter.relative_to(ROOT)}")
    failed = False
    with ProcessPoolExecutor(WORKERS) as pool:
        jobs = {chapter.stem: pool.submit(build, chapter) for chapter in chapters}
        for stem, job in jobs.items():
            try:
                print(f"{stem}: {'changed' if job.result() else 'unchanged'}", flush=True)
            except ChapterError as error:
                failed = True
                print(f"{stem}: not written\n{error}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
