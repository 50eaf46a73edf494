"""Time and memory of grading a whole course, and whether every score is right.

    python tests/benchmarks/grading.py [--submissions 500] [--workers 2] [--kills 9] [ASSIGNMENT]

The submissions are the solution, the blank release and every mutant of an assignment, in turn.
Each is graded in a sandbox of its own, with its own import of torch. Then they are graded once
more, killed at random moments by SIGKILL and started again, and once in two shards; what is
collected must be the same three times.
"""

import argparse
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vgglab.grading.assignment import DEFAULT_SEED, Assignment, role_of
from vgglab.grading.collect import collect
from vgglab.grading.release import release_notebook
from vgglab.grading.runner import grade

ROOT = Path(__file__).resolve().parent.parent.parent


def notebooks(assignment: Assignment) -> Iterator[tuple[str, str, set[str]]]:
    """Yield name, text and lost questions of each kind of submission."""
    released = release_notebook(assignment)
    everything = {question.id for question in assignment.coded}
    yield "blank", json.dumps(released), everything
    kinds: list[tuple[str, dict[str, str], set[str]]] = [("solution", {}, set())]
    # What an error costs in later questions is forgiven.
    kinds += [(m.name, m.cells, {*m.loses} & {*m.cells}) for m in assignment.mutants()]
    for name, cells, lost in kinds:
        answers = {**assignment.cells("answer"), **cells}
        filled: dict[str, Any] = json.loads(json.dumps(released))
        for cell in filled["cells"]:
            kind, question = role_of(cell)
            if kind == "answer":
                cell["source"] = answers[question]
        yield name, json.dumps(filled), lost


def wrong_scores(results: Path, lost: dict[str, set[str]]) -> list[str]:
    """Return the submissions whose marks are not what they must be."""
    wrong = []
    for path in results.glob("*.json"):
        result = json.loads(path.read_text())
        expected = lost[result["student"].split("_", 1)[1]]
        found = {q["id"] for q in result["questions"] if q["score"] < q["points"]}
        if found != expected:
            wrong.append(result["submission"])
    return wrong


def command(assignment: Path, submissions: Path, results: Path, workers: int) -> list[str]:
    places = [str(place) for place in (assignment, submissions, results)]
    options = ["--workers", str(workers), "--seed", DEFAULT_SEED]
    return [sys.executable, "-m", "vgglab", "grade", "run", *places, *options]


def whole_run(grader: list[str]) -> float:
    """Grade with the command; return the most memory in MB that its own process had."""
    process = subprocess.Popen(grader, stdout=subprocess.DEVNULL)
    most = 0.0
    while process.poll() is None:
        with suppress(OSError):  # it has just ended
            status = Path("/proc", str(process.pid), "status").read_text()
            most = max([most, *(int(kb) / 1000 for kb in re.findall(r"VmHWM:\s+(\d+)", status))])
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit("the grader failed")
    return most


def killed_runs(grader: list[str], most: int, seconds: float) -> int:
    """Grade with a process that is killed again and again; return how often."""
    for kills in range(most + 1):
        process = subprocess.Popen(grader, stdout=subprocess.DEVNULL)
        try:
            process.wait(random.uniform(0.5, 1.5) * seconds if kills < most else None)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            continue
        if process.returncode:
            raise SystemExit("the grader failed")
        break
    return kills


def contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def main() -> None:
    parser = argparse.ArgumentParser()
    default = ROOT / "book" / "assignments" / "01_vgg_table1"
    parser.add_argument("assignment", nargs="?", type=Path, default=default)
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=9)
    parser.add_argument("--once", action="store_true", help="No killed and no sharded run.")
    options = parser.parse_args()
    assignment = Assignment(options.assignment)
    print(f"{platform.platform()}, {os.cpu_count()} processors, {assignment.name}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        submissions = folder / "submissions"
        submissions.mkdir()
        kinds = list(notebooks(assignment))
        for number in range(options.submissions):
            kind, text, _ = kinds[number % len(kinds)]
            (submissions / f"{number:04d}_{kind}.ipynb").write_text(text)
        start = time.perf_counter()
        own = whole_run(command(options.assignment, submissions, folder / "one", options.workers))
        seconds = time.perf_counter() - start
        made = [json.loads(path.read_text()) for path in (folder / "one").glob("*.json")]
        peak = max(result["peak_memory_mb"] for result in made)
        statuses = {result["status"] for result in made}
        wrong = wrong_scores(folder / "one", {kind: lost for kind, _, lost in kinds})
        print(f"{len(made)} submissions, {statuses}, {len(wrong)} marked wrong {wrong[:5]}")
        print(
            f"{seconds:.0f} s with {options.workers} workers: {seconds / len(made):.2f} s each; "
            f"peak memory {peak} MB a sandbox, {own:.0f} MB the grader"
        )
        collect(folder / "one", folder / "out-one")
        if options.once:
            return
        again = command(options.assignment, submissions, folder / "killed", options.workers)
        kills = killed_runs(again, options.kills, seconds / (options.kills + 1))
        for part in (1, 2):
            list(grade(assignment, submissions, folder / "two", shard=(part, 2), workers=2))
        for other in ("killed", "two"):
            collect(folder / other, folder / f"out-{other}")
            same = contents(folder / "out-one") == contents(folder / f"out-{other}")
            print(f"{other}: collected {'the same' if same else 'something else'}")
        print(f"killed {kills} times")


if __name__ == "__main__":
    main()
