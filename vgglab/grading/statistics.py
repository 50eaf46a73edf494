"""What a class did with an assignment: by question, and as a picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tabulate import tabulate

from vgglab.arguments import needs
from vgglab.files import write_whole
from vgglab.grading.collect import read_results
from vgglab.grading.runner import GRADED

COMMONEST = 3  # wrong results shown of a question
FORMATS = (".pdf", ".png", ".svg")


@dataclass(frozen=True)
class QuestionStatistics:
    """What a class did with one question.

    Attributes
    ----------
    id, title, points
        Of the question.
    mean
        Points that were earned, by those whose notebook could be read.
    right, partly, none
        How many earned all its points, some, and none.
    wrong
        The commonest wrong results: how many had it, and what it was.
    """

    id: str
    title: str
    points: float
    mean: float
    right: int
    partly: int
    none: int
    wrong: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ClassStatistics:
    """What a class did with an assignment.

    Attributes
    ----------
    title
        Of the assignment.
    scores, out_of
        Points of each graded submission, and the most that the machine gives.
    unread
        How many submissions could not be read.
    questions
        One for each question of the machine.
    """

    title: str
    scores: tuple[float, ...]
    out_of: float
    unread: int
    questions: tuple[QuestionStatistics, ...]

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "ClassStatistics":
        """Return what `dataclasses.asdict` made a dict of, also after JSON."""
        questions = tuple(
            QuestionStatistics(**{**question, "wrong": tuple(map(tuple, question["wrong"]))})
            for question in found["questions"]
        )
        return cls(**{**found, "scores": tuple(found["scores"]), "questions": questions})

    def __str__(self) -> str:
        count = len(self.scores)
        unread = f", {self.unread} could not be read" if self.unread else ""
        head = f"{self.title}: {count} submissions graded{unread}"
        if not count:
            return head
        middle = f"mean {fmean(self.scores):.1f}, median {median(self.scores):.1f}"
        rows = [
            (q.id, q.title, f"{q.mean:.1f} of {q.points:g}", q.right, q.partly, q.none)
            for q in self.questions
        ]
        names = ("", "question", "mean", "right", "partly", "none")
        lines = [f"{head}; {middle} of {self.out_of:g} points", ""]
        lines += [tabulate(rows, names, disable_numparse=True, colalign=_ALIGNED), ""]
        lines += ["The commonest wrong results"]
        lines += [
            f"  {question.id}  {count:>3}  {what}"
            for question in self.questions
            for count, what in question.wrong
        ]
        return "\n".join(lines)


_ALIGNED = ("left", "left", "right", "right", "right", "right")


def statistics(results: Path) -> ClassStatistics:
    """Return what a class did, from the results of one assignment.

    Parameters
    ----------
    results
        Folder of the result files, with the marks of the machine.

    Raises
    ------
    ValueError
        If there are no results, or of several assignments.
    """
    made, _ = read_results(results)
    graded = [result for result in made if result["status"] == GRADED]
    by_question = zip(*(result["questions"] for result in graded), strict=True)
    return ClassStatistics(
        title=made[0]["title"],
        scores=tuple(result["score"] for result in graded),
        out_of=made[0]["out_of"],
        unread=len(made) - len(graded),
        questions=tuple(map(_question, by_question)),
    )


def _question(answers: Sequence[dict[str, Any]]) -> QuestionStatistics:
    first = answers[0]
    scores = [answer["score"] for answer in answers]
    right = sum(score == first["points"] for score in scores)
    none = sum(score == 0 for score in scores)
    wrong: Counter[str] = Counter()
    for answer in answers:
        lost = [probe for probe in answer["probes"] if not probe["passed"]]
        same = {probe["why"] for probe in lost}
        if len(lost) == len(answer["probes"]) and len(same) == 1:
            wrong[f"everything: {same.pop()}"] += 1
        else:
            wrong.update(f"{probe['says']}: {probe['why']}" for probe in lost)
    return QuestionStatistics(
        first["id"],
        first["title"],
        first["points"],
        fmean(scores),
        right,
        len(scores) - right - none,
        none,
        tuple(
            (count, what)
            for what, count in sorted(wrong.items(), key=lambda pair: (-pair[1], pair[0]))
        )[:COMMONEST],
    )


def plot(found: ClassStatistics, path: Path) -> None:
    """Draw the points of a class, in all and by question.

    Parameters
    ----------
    found
        What the class did.
    path
        File to write: PNG, SVG or PDF.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If it cannot be written.
    ValueError
        If the ending is another, or nothing was graded.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"plot must end in {', '.join(FORMATS)}; got {str(path)!r}")
    if not found.scores:
        raise ValueError("a plot needs graded submissions; there are none")
    with needs("train"):
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

    rows = len(found.questions)
    figure = Figure(figsize=(9, 1.6 + 0.45 * max(rows, 4)), layout="constrained")
    totals, questions = figure.subplots(1, 2, width_ratios=(2, 3))
    steps = min(int(found.out_of), 20) or 1
    edges = [found.out_of * step / steps for step in range(steps + 1)]
    totals.hist(found.scores, bins=edges, color=_COLOURS[0], edgecolor="white")
    totals.axvline(median(found.scores), color="0.2", linestyle="--", linewidth=1, label="median")
    totals.set(xlabel=f"points of {found.out_of:g}", ylabel="submissions", xlim=(0, found.out_of))
    totals.yaxis.set_major_locator(MaxNLocator(integer=True))
    totals.legend(frameon=False, loc="upper left")
    left = [0] * rows
    for colour, kind in zip(_COLOURS, ("right", "partly", "none"), strict=True):
        widths = [getattr(question, kind) for question in found.questions]
        bars = questions.barh(range(rows), widths, left=left, color=colour, label=kind)
        dark = colour == _COLOURS[0]
        questions.bar_label(
            bars, [str(width or "") for width in widths], label_type="center",
            color="white" if dark else "black",
        )  # fmt: skip
        left = [a + b for a, b in zip(left, widths, strict=True)]
    questions.set_yticks(range(rows), [f"{q.id}  {q.title}" for q in found.questions])
    questions.invert_yaxis()
    questions.set(xlabel="submissions", xlim=(0, len(found.scores)))
    questions.xaxis.set_major_locator(MaxNLocator(integer=True))
    questions.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    for axes in (totals, questions):
        axes.spines[["top", "right"]].set_visible(False)
    with mpl.rc_context({"svg.hashsalt": found.title}):
        write_whole(
            path,
            lambda file: figure.savefig(
                file, format=path.suffix[1:], dpi=150,
                metadata={"Date": None} if path.suffix == ".svg" else None,
            ),
        )  # fmt: skip


# Blue, sand, red: apart also for readers who do not see red and green apart, and in grey.
_COLOURS = ("#2b5c8a", "#e0c98f", "#d98880")
