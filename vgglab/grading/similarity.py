"""Which submissions are alike: a hint where a person may look, never a verdict."""

import keyword
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from vgglab.grading.assignment import Assignment
from vgglab.grading.bundles import UnreadableError
from vgglab.grading.submissions import find_submissions, read_answers, read_notebook

SHINGLE = 10  # tokens in a row that are compared
COMMON = 1 / 3  # of a class: what more have is the question's, not theirs
LIKE = 0.5
FEWEST = 15  # shingles of its own that a submission must have to be compared

_TOKEN = re.compile(
    r"""(?P<text>("{3}|'{3})[\s\S]*?\2|"[^"\n]*"|'[^'\n]*')"""
    r"""|(?P<remark>\#[^\n]*)|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<sign>[^\w\s])"""
)


@dataclass(frozen=True)
class Pair:
    """Two submissions that are alike.

    Attributes
    ----------
    names
        Of the submissions.
    share
        Jaccard index of their shingles: of those that either has, how many both have.
    """

    names: tuple[str, str]
    share: float

    def __str__(self) -> str:
        return f"Look at {self.names[0]} and {self.names[1]}: {self.share:.0%} alike."


def alike(sources: Mapping[str, str], given: str = "", least: float = LIKE) -> list[Pair]:
    """Return the pairs of submissions that are alike, the most alike first.

    Names, numbers, texts and remarks may differ, and so may the order of functions: compared is
    which `SHINGLE` tokens follow each other, of tokens without their names. What the notebook
    gives does not count, nor what more than `COMMON` of the class has, or three of a small class.

    Parameters
    ----------
    sources
        Code of each submission, by its name.
    given
        Code that all were given.
    least
        Share from which on a pair is returned.
    """
    found = {name: set(shingles(source)) for name, source in sources.items()}
    times = Counter(shingle for every in found.values() for shingle in every)
    most = max(3, COMMON * len(found))
    common = {shingle for shingle, count in times.items() if count > most}
    own = {name: every - common - set(shingles(given)) for name, every in found.items()}
    pairs = [
        Pair((a, b), len(own[a] & own[b]) / len(own[a] | own[b]))
        for a, b in combinations(sorted(own), 2)
        if min(len(own[a]), len(own[b])) >= FEWEST
    ]
    return sorted((p for p in pairs if p.share >= least), key=lambda p: (-p.share, p.names))


def similar(assignment: Assignment, submissions: Path) -> tuple[list[Pair], int]:
    """Return the pairs of alike submissions, and how many could be read.

    Raises
    ------
    ValueError
        If `submissions` is no folder and no zip.
    """
    sources = {}
    for submission in find_submissions(submissions):
        try:
            answers = read_answers(read_notebook(submission, assignment), assignment)
        except UnreadableError:
            continue
        sources[submission.name] = "\n".join(answers.cells.values())
    return alike(sources, "\n".join(assignment.given)), len(sources)


def shingles(source: str) -> Iterator[int]:
    """Yield a hash of each `SHINGLE` tokens of a source that follow each other."""
    tokens = list(_tokens(source))
    for start in range(len(tokens) - SHINGLE + 1):
        yield hash(tuple(tokens[start : start + SHINGLE]))


def _tokens(source: str) -> Iterator[str]:
    """Yield the tokens: keywords, signs and attributes as they are, of the others the kind."""
    before = ""
    for match in _TOKEN.finditer(source):
        kind, token = str(match.lastgroup), match[0]
        if kind == "remark" or (kind == "text" and before in ("", ":")):  # a docstring
            continue
        kept = kind == "sign" or keyword.iskeyword(token) or before == "."
        before = token if kept else kind
        yield before
