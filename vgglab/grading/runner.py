"""Grading a folder of submissions: one result file each, written once and whole."""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path
from typing import Any

from vgglab.files import write_whole
from vgglab.grading.assignment import Assignment
from vgglab.grading.marking import Judge, Observed, plain_text
from vgglab.grading.prepare import prepare
from vgglab.grading.sandbox import Sandbox, SandboxError
from vgglab.grading.submissions import (
    Answers,
    Submission,
    UnreadableError,
    find_submissions,
    read_answers,
    read_notebook,
)

GRADED = "graded"
UNREADABLE = "not graded"
KEPT = "kept"
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
    sandbox: Sandbox | None = None,
) -> Iterator[tuple[str, str, str]]:
    """Grade what has no result yet, each submission in a sandbox of its own.

    Parameters
    ----------
    assignment
        With its course seed and its judge.
    submissions
        Folder with one notebook or subfolder a student.
    results
        Folder of the result files. A result is kept if submission, judge and environment are
        still the same, so that a run that was stopped goes on.
    workers
        Sandboxes at a time. What was too slow among others is graded once more, alone, before it
        counts.
    shard
        ``(i, n)`` for the i-th of n parts, counted from 1. A submission's part depends on its
        name alone.
    sandbox
        With the assignment's packages and memory; one is made if it is not given.

    Yields
    ------
    tuple of str
        Name of the submission, ``"graded"``, ``"not graded"``, ``"kept"`` or ``"failed"``, and a
        sentence. Only of a failure no result is written.

    Raises
    ------
    SandboxError
        If there is no sandbox.
    ValueError
        If an argument is wrong, or the assignment contradicts itself.
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"shard must be i/n with 1 <= i <= n; got {part}/{parts}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    found = [s for s in find_submissions(submissions) if _hash(s.name) % parts == part - 1]
    sandbox = sandbox or Sandbox(assignment.packages, assignment.memory_mb)
    sandbox.check()
    judge = Judge(assignment, sandbox, prepare(assignment) if assignment.packages else None)
    results.mkdir(parents=True, exist_ok=True)
    _remove_stale(results)
    basis = f"{assignment.digest()}:{environment(assignment)}"
    late = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_grade_one, s, judge, results, basis, workers == 1): s for s in found}
        try:
            for job in as_completed(jobs):
                if job.result()[1] == _LATER:
                    late.append(jobs[job])
                else:
                    yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)
    for submission in late:
        yield _grade_one(submission, judge, results, basis, alone=True)


def _grade_one(
    submission: Submission, judge: Judge, results: Path, basis: str, alone: bool
) -> tuple[str, str, str]:
    target = results / result_name(judge.assignment.name, submission.name)
    shown = plain_text(submission.name)
    try:
        try:
            data = read_notebook(submission, judge.assignment)
            key = hashlib.sha256(basis.encode() + data).hexdigest()
            if _key_of(target) == key:
                return shown, KEPT, ""
            target.unlink(missing_ok=True)  # it must not count if this one fails
            start = time.perf_counter()
            answers = read_answers(data, judge.assignment)
        except UnreadableError as error:
            words = plain_text(str(error))
            key = hashlib.sha256((basis + words).encode()).hexdigest()
            made = {**_head(submission, judge.assignment, key), "status": UNREADABLE}
            _write(target, {**made, "notes": [words], **judge.assignment.nothing()})
            return shown, UNREADABLE, words
        observed = judge.observe(answers)
        if observed.was_too_slow and not alone:
            return shown, _LATER, ""
        notes = list(answers.notes.get("", []))
        if answers.stamp not in (None, judge.assignment.stamp):
            notes.append("The notebook was released with another course seed.")
        made = {
            **_head(submission, judge.assignment, key),
            "status": GRADED,
            "notes": notes,
            **_marks(judge, answers, observed),
            "seconds": round(time.perf_counter() - start, 2),
            "peak_memory_mb": observed.peak_bytes // 1_000_000,
        }
        _write(target, made)
        words = f"{made['score']:g} of {made['out_of']:g}"
        return shown, made["status"], words if made["status"] == GRADED else made["notes"][0]
    except SandboxError as error:
        return shown, FAILED, str(error)
    except Exception as error:  # one submission must not stop the others
        return shown, FAILED, f"{type(error).__name__}: {error}"


def _marks(judge: Judge, answers: Answers, observed: Observed) -> dict[str, Any]:
    """Return the marks; what makes the judge itself fail earns nothing, and is a result too."""
    try:
        return judge.marks(answers, observed)
    except Exception as error:
        note = f"The judge failed ({type(error).__name__}): please report this as a bug."
        return {**judge.assignment.nothing(), "status": UNREADABLE, "notes": [note]}


def _head(submission: Submission, assignment: Assignment, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "assignment": assignment.name,
        "title": assignment.title,
        "submission": plain_text(submission.name),
        "student": plain_text(submission.student),
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


def code_digest(package: Path) -> str:
    """Return a hash of all code and data of a package, names included."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def result_name(assignment: str, submission: str) -> str:
    """Return the name of the result file of a submission."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", submission.removesuffix(".ipynb"))[:60]
    return f"{readable.lstrip('.')}-{_hash(f'{assignment}/{submission}'):016x}.json"


def _hash(name: str) -> int:
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:16], 16)


def _key_of(result: Path) -> str | None:
    try:
        found = json.loads(result.read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _write(target: Path, made: dict[str, Any]) -> None:
    data = json.dumps(made, indent=1).encode()
    write_whole(target, lambda file: file.write(data))


def _remove_stale(results: Path) -> None:
    """Remove what a killed grader began to write; another one may be writing now."""
    for path in results.glob(".*.json.*"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue
