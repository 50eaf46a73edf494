"""What belongs to an assignment: its folder, read and checked."""

import hashlib
import importlib.util
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from vgglab.grading.probes import Probe
from vgglab.grading.worker import record

DEFAULT_SEED = "0"
"""Course seed of the notebooks that lie in the repository."""

PLACEHOLDER = re.compile(r"\{\{ *([A-Za-z_]\w*) *\}\}")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

Cell = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    id, title
        Such as ``"q1"``, and its heading.
    points
        What a right answer earns.
    functions
        Names that the answer cell must define; none if a person grades a text.
    """

    id: str
    title: str
    points: float
    functions: tuple[str, ...]

    @property
    def by_hand(self) -> bool:
        """Whether a person grades it."""
        return not self.functions


@dataclass(frozen=True)
class Mutant:
    """A wrong solution.

    Attributes
    ----------
    name, says
        Name of the file, and what is wrong.
    cells
        Answer cells that replace those of the solution, by question.
    loses
        Questions that must lose points.
    """

    name: str
    says: str
    cells: dict[str, str]
    loses: tuple[str, ...]


class Assignment:
    """An assignment in its folder.

    Parameters
    ----------
    folder
        Holds ``assignment.toml``, the notebook of the folder's name, and ``judge.py``.
    seed
        The course seed: it chooses the numbers of questions and probes.
    judge
        Another ``judge.py``, or a folder with one, kept elsewhere.

    Raises
    ------
    ValueError
        If a file is missing or contradicts another; the message says which.
    """

    def __init__(
        self, folder: Path | str, *, seed: str = DEFAULT_SEED, judge: Path | str | None = None
    ) -> None:
        self.folder = Path(folder).resolve()
        self.name = self.folder.name
        self.seed = str(seed)
        settings = _read_toml(self.folder / "assignment.toml")
        try:
            self.title: str = settings["title"]
            self.minutes: int = settings["minutes"]
            self.goals: tuple[str, ...] = tuple(settings["goals"])
            self.packages: tuple[str, ...] = tuple(settings["packages"])
            self.questions = tuple(_question(entry) for entry in settings["questions"])
        except KeyError as error:
            raise ValueError(f"{self.folder / 'assignment.toml'} lacks {error}") from None
        self.seconds = float(settings.get("seconds", 10))
        self.memory_mb = int(settings.get("memory_mb", 3000))
        self.rules: dict[str, Any] = settings.get("rules", {})
        place = Path(judge).resolve() if judge is not None else self.folder
        self.judge_file = place / "judge.py" if place.is_dir() else place
        self._check_questions()

    def _check_questions(self) -> None:
        ids = [question.id for question in self.questions]
        names = [name for question in self.questions for name in question.functions]
        for what, found in (("ids", ids), ("functions", names)):
            if len(set(found)) < len(found):
                raise ValueError(f"{what} of questions must differ; {self.name} has {found}")

    @property
    def notebook_file(self) -> Path:
        """The source notebook."""
        return self.folder / f"{self.name}.ipynb"

    @property
    def coded(self) -> tuple[Question, ...]:
        """The questions that the machine grades."""
        return tuple(question for question in self.questions if not question.by_hand)

    def nothing(self) -> dict[str, Any]:
        """Return the marks of a submission that could not be read."""
        return {"questions": [], "score": 0, "out_of": sum(q.points for q in self.coded)}

    @cached_property
    def judge(self) -> ModuleType:
        """The module ``judge.py``."""
        return _load_module(self.judge_file, "vgglab_judge")

    @cached_property
    def variant(self) -> dict[str, Any]:
        """The numbers of the questions for this course seed."""
        found = self.judge.variant(self._random("variant"))
        json.dumps(found)  # must be plain values
        return dict(found)

    def _random(self, purpose: str) -> Random:
        return Random(f"{self.name}:{self.seed}:{purpose}")

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """The hidden probes for this course seed, in the order of the questions."""
        probes = list(self.judge.probes(dict(self.variant), self._random("probes")))
        order = [question.id for question in self.coded]
        for probe in probes:
            if probe.question not in order:
                raise ValueError(
                    f"question of the probe {probe.says!r} must be one of {', '.join(order)}; "
                    f"got {probe.question!r}"
                )
        missing = set(order) - {probe.question for probe in probes}
        if missing:
            raise ValueError(f"{self.name} has no probe for {', '.join(sorted(missing))}")
        return tuple(sorted(probes, key=lambda probe: order.index(probe.question)))

    @cached_property
    def notebook(self) -> dict[str, Any]:
        """The source notebook with its solutions, rendered for this course seed."""
        try:
            notebook = json.loads(self.notebook_file.read_text(encoding="utf-8"))
        except OSError:
            raise ValueError(f"{self.notebook_file} is missing") from None
        for cell in notebook["cells"]:
            template = cell["metadata"].pop("vgglab", {}).get("template")
            if template is not None:
                cell["source"] = render(template, self.variant, cell["cell_type"])
            cell["source"] = "".join(cell["source"])
        self._check_cells(notebook["cells"])
        return dict(notebook)

    def _check_cells(self, cells: list[Cell]) -> None:
        for question in self.questions:
            kinds = ("text",) if question.by_hand else ("answer", "check")
            for kind in kinds:
                found = sum(role_of(cell) == (kind, question.id) for cell in cells)
                if found != 1:
                    raise ValueError(
                        f"{self.name} must have one cell with the tag {kind}-{question.id}; "
                        f"it has {found}"
                    )

    @property
    def given(self) -> list[str]:
        """Sources of the given cells."""
        return [c["source"] for c in self.notebook["cells"] if role_of(c)[0] == "given"]

    @property
    def probe_code(self) -> list[str]:
        """Source of ``probe_code.py`` beside the judge, if there is one."""
        path = self.judge_file.parent / "probe_code.py"
        return [path.read_text(encoding="utf-8")] if path.exists() else []

    def cells(self, kind: str) -> dict[str, str]:
        """Return the sources of the ``"answer"`` or ``"check"`` cells, by question."""
        found = ((role_of(cell), cell["source"]) for cell in self.notebook["cells"])
        return {question: source for (role, question), source in found if role == kind}

    @cached_property
    def reference(self) -> dict[str, Any]:
        """The namespace in which the judge runs the probes: its own answers and the given cells."""
        namespace: dict[str, Any] = {"__name__": "__main__", "record": record}
        for source in [*self.given, *self.probe_code]:
            exec(compile(source, f"<{self.name}>", "exec"), namespace)
        return namespace | vars(self.judge)

    def mutants(self) -> Iterator[Mutant]:
        """Yield the wrong solutions in ``mutants``."""
        for path in sorted((self.folder / "mutants").glob("*.py")):
            yield _mutant(path, {question.id for question in self.coded})

    def digest(self) -> str:
        """Return a hash of all that decides about marks, the course seed included."""
        parts = [
            (self.folder / "assignment.toml").read_text(encoding="utf-8"),
            self.judge_file.read_text(encoding="utf-8"),
            *self.probe_code,
            *self.given,
            self.seed,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @cached_property
    def stamp(self) -> str:
        """Return what a released notebook says of the course seed, without giving it away.

        Whoever guesses seeds pays a tenth of a second and 16 MiB for each.
        """
        made = hashlib.scrypt(
            self.seed.encode(), salt=f"{self.name}:stamp".encode(), n=2**14, r=8, p=2, dklen=9
        )
        return made.hex()


def render(template: str, variant: dict[str, Any], cell_type: str) -> str:
    """Replace ``{{ name }}`` by the variant's values: as code in code cells, else as text.

    Raises
    ------
    ValueError
        If the variant has no such name.
    """
    show: Callable[[Any], str] = repr if cell_type == "code" else str

    def value(match: re.Match[str]) -> str:
        if match[1] not in variant:
            known = ", ".join(variant) or "none"
            raise ValueError(f"a placeholder must be one of {known}; got {match[1]!r}")
        return show(variant[match[1]])

    return PLACEHOLDER.sub(value, template)


def role_of(cell: Cell) -> tuple[str, str]:
    """Return what a cell is for, from its tags or nbgrader's name of it.

    Returns
    -------
    tuple of str
        ``("given", "")``, ``("answer", "q1")``, ``("check", "q1")``, ``("text", "q5")``, or
        ``("", "")`` for any other cell.
    """
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        return ("", "")
    nbgrader, tags = metadata.get("nbgrader"), metadata.get("tags")
    names = [nbgrader.get("grade_id")] if isinstance(nbgrader, dict) else []
    names += tags if isinstance(tags, list) else []
    for name in names:
        if isinstance(name, str):
            kind, dash, question = name.partition("-")
            if kind == "given":
                return ("given", "")
            if dash and kind in ("answer", "check", "text"):
                return (kind, question)
    return ("", "")


def _question(entry: dict[str, Any]) -> Question:
    functions = tuple(entry.get("functions", ()))
    if bool(functions) == (entry.get("kind") == "text"):
        raise ValueError(f"question {entry['id']} must have functions, or be of kind 'text'")
    return Question(entry["id"], entry["title"], entry["points"], functions)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"{path.parent} is not an assignment: it has no {path.name}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def _load_module(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ValueError(f"judge must be a file judge.py or its folder; got {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"judge needs {error.name}, which is not installed; {path} imports it"
        ) from error
    return module


_MUTANT_CELL = re.compile(r"^# %% (\S+)\n", re.MULTILINE)
_LOSES = re.compile(r"^Loses: (.+)$", re.MULTILINE)


def _mutant(path: Path, known: set[str]) -> Mutant:
    head, *parts = _MUTANT_CELL.split(path.read_text(encoding="utf-8"))
    cells = {name: source.strip() for name, source in zip(parts[::2], parts[1::2], strict=True)}
    declared = _LOSES.search(head)
    loses = tuple(re.split(r"[ ,]+", declared[1].strip())) if declared else ()
    if not loses or not cells or not {*loses, *cells} <= known:
        raise ValueError(
            f"{path} must have a line 'Loses: q1' and cells '# %% q1' of questions that exist"
        )
    says = head.strip().strip('"').strip().splitlines()[0]
    return Mutant(path.stem, says, cells, loses)
