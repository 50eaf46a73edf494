"""Grading a folder of submissions: one result file each, written once and whole."""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from vgglab.files import write_whole
from vgglab.grading.assignment import Assignment
from vgglab.grading.bundles import UnreadableError
from vgglab.grading.follow_on import fair_marks
from vgglab.grading.marking import Judge, Observed, plain_text
from vgglab.grading.prepare import prepare
from vgglab.grading.regrades import log_regrade, read_result, restore, withdraw
from vgglab.grading.sandbox import Sandbox, SandboxError
from vgglab.grading.submissions import (
    Answers,
    Submission,
    check_seed,
    find_submissions,
    read_answers,
    read_notebook,
)

GRADED = "graded"
UNREADABLE = "not graded"
KEPT = "kept"
LEFT_OUT = "left out"
WITHDRAWN = "withdrawn"
FAILED = "failed"
_LATER = "later"

_PACKAGE = Path(__file__).resolve().parent.parent
_STALE_SECONDS = 3600


def grade(
    assignment: Assignment,
    submissions: Path,
    results: Path,
    *,
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    started: Callable[[str], object] = lambda name: None,
    sandbox: Sandbox | None = None,
) -> Iterator[tuple[str, str, str]]:
    """Grade what has no result yet, each submission in a sandbox of its own.

    Parameters
    ----------
    assignment
        With its course seed and its judge.
    submissions
        Folder, or zip of a learning platform, with one notebook, zip or subfolder a student.
    results
        Folder of the result files. A result is kept if submission, judge and environment are
        still the same, so that a run that was stopped goes on.
    workers
        Sandboxes at a time. What was too slow among others is graded once more, alone, before it
        counts.
    shard
        ``(i, n)`` for the i-th of n parts, counted from 1. A submission's part depends on its
        name alone.
    started
        Called with the name of each submission that begins to be graded, in the thread of the
        caller or another.
    sandbox
        With the assignment's packages and memory; one is made if it is not given.

    Yields
    ------
    tuple of str
        Name of the submission, ``"graded"``, ``"not graded"``, ``"kept"``, ``"left out"``,
        ``"withdrawn"`` or ``"failed"``, and a sentence. Of the last three there is no result. What
        is graded again or withdrawn is written down in ``regrades.csv``, beside the results.

    Raises
    ------
    SandboxError
        If there is no sandbox.
    ValueError
        If an argument is wrong, or the assignment contradicts itself.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    found, hidden = part_of(submissions, shard)
    check_seed(found, assignment)
    sandbox = sandbox or Sandbox(assignment.packages, assignment.memory_mb)
    sandbox.check()
    judge = Judge(assignment, sandbox, prepare(assignment) if assignment.packages else None)
    results.mkdir(parents=True, exist_ok=True)
    _remove_stale(results)
    basis = {"judge": assignment.digest(), "environment": environment(assignment)}
    for submission in hidden:
        yield submission.name, LEFT_OUT, "it is hidden"
    names = {submission.name for submission in found}
    restore(results, (result_name(assignment.name, name) for name in names))
    for name, place in withdraw(
        results, assignment.name, lambda name: name in names or not _is_in(name, shard)
    ):
        yield name, WITHDRAWN, f"it is no longer there; its result is now {place}"
    late = []
    with ThreadPoolExecutor(workers) as pool:
        work = partial(_grade_one, judge, results, basis, started)
        jobs = {pool.submit(work, s, alone=workers == 1): s for s in found}
        try:
            for job in as_completed(jobs):
                if job.result()[1] == _LATER:
                    late.append(jobs[job])
                else:
                    yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)
    for submission in late:
        yield work(submission, alone=True)


def part_of(submissions: Path, shard: tuple[int, int]) -> tuple[list[Submission], list[Submission]]:
    """Return the submissions of a shard: those to grade, and those that are hidden.

    Raises
    ------
    ValueError
        If an argument is wrong.
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"shard must be i/n with 1 <= i <= n; got {part}/{parts}")
    found = [s for s in find_submissions(submissions) if _is_in(s.name, shard)]
    return [s for s in found if not s.is_hidden], [s for s in found if s.is_hidden]


def _is_in(name: str, shard: tuple[int, int]) -> bool:
    return _hash(name) % shard[1] == shard[0] - 1


def _grade_one(
    judge: Judge,
    results: Path,
    basis: dict[str, str],
    started: Callable[[str], object],
    submission: Submission,
    *,
    alone: bool,
) -> tuple[str, str, str]:
    target = results / result_name(judge.assignment.name, submission.name)
    before = read_result(target)
    try:
        try:
            data = read_notebook(submission, judge.assignment)
            of = {"notebook": hashlib.sha256(data).hexdigest(), **basis}
            key = _key(of)
            if before is not None and before.get("key") == key:
                return submission.name, KEPT, ""
            target.unlink(missing_ok=True)  # it must not count if this one fails
            started(submission.name)
            start = time.perf_counter()
            answers = read_answers(data, judge.assignment)
        except UnreadableError as error:
            words = plain_text(str(error))
            of = {"notebook": words, **basis}
            made = {**_head(submission, judge.assignment, of), "status": UNREADABLE}
            _write(target, {**made, "notes": [words], **judge.assignment.nothing()}, before)
            return submission.name, UNREADABLE, words
        observed = judge.observe(answers)
        if observed.was_too_slow and not alone:
            return submission.name, _LATER, ""
        notes = list(answers.notes.get("", []))
        if answers.stamp not in (None, judge.assignment.stamp):
            notes.append("The notebook was released with another course seed.")
        made = {
            **_head(submission, judge.assignment, of),
            "status": GRADED,
            "notes": notes,
            **_marks(judge, answers, observed),
            "seconds": round(time.perf_counter() - start, 2),
            "peak_memory_mb": observed.peak_bytes // 1_000_000,
        }
        _write(target, made, before)
        words = f"{made['score']:g} of {made['out_of']:g}"
        words = words if made["status"] == GRADED else made["notes"][0]
        return submission.name, made["status"], words
    except SandboxError as error:
        return submission.name, FAILED, str(error)
    except Exception as error:  # one submission must not stop the others
        return submission.name, FAILED, f"{type(error).__name__}: {error}"


def _marks(judge: Judge, answers: Answers, observed: Observed) -> dict[str, Any]:
    """Return the marks; what makes the judge itself fail earns nothing, and is a result too."""
    try:
        return fair_marks(judge, answers, observed)
    except Exception as error:
        note = f"The judge failed ({type(error).__name__}): please report this as a bug."
        return {**judge.assignment.nothing(), "status": UNREADABLE, "notes": [note]}


def _key(of: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def _head(submission: Submission, assignment: Assignment, of: dict[str, str]) -> dict[str, Any]:
    return {
        "key": _key(of),
        "of": of,
        "assignment": assignment.name,
        "title": assignment.title,
        "submission": submission.name,
        "student": submission.student,
        "by_hand": [
            {"id": question.id, "title": question.title, "points": question.points}
            for question in assignment.questions
            if question.by_hand
        ],
    }


def environment(assignment: Assignment) -> str:
    """Return what besides submission and judge can change marks: versions, and all of vgglab.

    Judges compute what they expect with the package, so any of its code may decide about a mark.
    """
    versions = [f"{name} {metadata.version(name)}" for name in assignment.packages]
    return f"Python {platform.python_version()}, {', '.join(versions)}, {code_digest(_PACKAGE)}"


def code_digest(package: Path, left_out: Collection[str] = ()) -> str:
    """Return a hash of all code and data of a package but some modules, names included."""
    files = {f"{module}.py" for module in left_out}
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and name not in files:
            digest.update(f"{name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def result_name(assignment: str, submission: str) -> str:
    """Return the name of the result file of a submission."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", submission.removesuffix(".ipynb"))[:60]
    return f"{readable.lstrip('.')}-{_hash(f'{assignment}/{submission}'):016x}.json"


def _hash(name: str) -> int:
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:16], 16)


def _write(target: Path, made: dict[str, Any], before: dict[str, Any] | None) -> None:
    data = json.dumps(made, indent=1).encode()
    write_whole(target, lambda file: file.write(data))
    if before is not None and before.get("key") != made["key"]:
        log_regrade(target.parent, before, made)


def _remove_stale(results: Path) -> None:
    """Remove what a killed grader began to write; another one may be writing now."""
    for path in results.glob(".*.json.*"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue
