"""From result files to what teachers and students read: CSV, Markdown, Gradescope's JSON."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from vgglab.grading.runner import GRADED

_MARKS = {True: "✓", False: "✗"}


def collect(results: Path, out: Path, by_hand: Path | None = None) -> tuple[int, list[str]]:
    """Write ``scores.csv``, ``feedback/NAME.md`` and ``gradescope/NAME/results.json``.

    What is written depends on the marks alone, not on when, where, or in how many shards they
    were made.

    Parameters
    ----------
    results
        Folder of the result files, of one assignment.
    out
        Folder to write to.
    by_hand
        CSV file with the columns ``submission``, ``question``, ``points``, and perhaps
        ``comment``: marks by a person, which also replace those of the machine.

    Returns
    -------
    tuple of int and list of str
        Number of submissions, and a sentence for each problem.

    Raises
    ------
    ValueError
        If there are no results, or of several assignments, or `by_hand` does not fit them.
    """
    made, problems = _read(results)
    marks = _read_by_hand(by_hand, made) if by_hand is not None else {}
    out.mkdir(parents=True, exist_ok=True)
    times = Counter(result["student"].casefold() for result in made)
    for result in made:
        count = times[result["student"].casefold()]
        if count > 1:
            result["notes"].append(f"{count} submissions have this student's name.")
            problems.append(f"{result['submission']}: {count} submissions have this name.")
        _mark_by_hand(result, marks)
    _write_scores(made, out / "scores.csv")
    for result in made:
        name = result["file"]
        _write_text(out / "feedback" / f"{name}.md", feedback(result))
        grade = json.dumps(gradescope(result), indent=1, ensure_ascii=False) + "\n"
        _write_text(out / "gradescope" / name / "results.json", grade)
    return len(made), problems


def _read(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    made, problems = [], []
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            result["file"] = path.stem
            made.append(result)
        except (ValueError, TypeError):
            problems.append(f"{path.name} is not a result; run the grader again.")
    names = sorted({result["assignment"] for result in made})
    if len(names) != 1:
        raise ValueError(
            f"results must be of one assignment; {folder} has {', '.join(names) or 'none'}"
        )
    return sorted(made, key=lambda result: (result["student"], result["submission"])), problems


def _read_by_hand(path: Path, made: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    limits = {
        (result["submission"], entry["id"]): entry["points"]
        for result in made
        for entry in (*result["questions"], *result["by_hand"])
    }
    marks = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                place = (row["submission"], row["question"])
                points = float(row["points"])
            except (KeyError, TypeError, ValueError):
                raise ValueError(
                    f"{path}, line {number}, must have submission, question and points; got {row}"
                ) from None
            if place not in limits or not 0 <= points <= limits[place]:
                raise ValueError(
                    f"{path}, line {number}, must name a submission, a question, and points from "
                    f"0 to its most; got {', '.join(place)}, {points:g}"
                )
            marks[place] = {"score": points, "comment": row.get("comment") or ""}
    return marks


def _mark_by_hand(result: dict[str, Any], marks: dict[tuple[str, str], dict[str, Any]]) -> None:
    for entry in result["by_hand"]:
        entry |= marks.get((result["submission"], entry["id"]), {"score": None})
    for question in result["questions"]:
        mark = marks.get((result["submission"], question["id"]))
        if mark is not None:
            question["score"] = mark["score"]
            question["notes"].append(f"Marked by a person. {mark['comment']}".strip())
            result["score"] = round(sum(q["score"] for q in result["questions"]), 2)


def total(result: dict[str, Any]) -> tuple[float, float]:
    """Return score and most points, of what the machine and a person graded so far."""
    hand = [entry for entry in result["by_hand"] if entry["score"] is not None]
    score = result["score"] + sum(entry["score"] for entry in hand)
    return round(score, 2), result["out_of"] + sum(entry["points"] for entry in result["by_hand"])


def _write_scores(made: list[dict[str, Any]], path: Path) -> None:
    graded = [result for result in made if result["questions"]]
    coded = [question["id"] for question in graded[0]["questions"]] if graded else []
    hand = [entry["id"] for entry in made[0]["by_hand"]]
    with path.open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write(["student", "submission", "status", *coded, *hand, "score", "out_of", "notes"])
        for result in made:
            scores = {question["id"]: question["score"] for question in result["questions"]}
            scores |= {entry["id"]: entry["score"] for entry in result["by_hand"]}
            notes = " ".join([*result["notes"], *_question_notes(result)])
            row = [result["student"], result["submission"], result["status"]]
            row += [scores.get(name, 0 if name in coded else None) for name in (*coded, *hand)]
            write([_cell(value) for value in (*row, *total(result), notes)])


def _question_notes(result: dict[str, Any]) -> list[str]:
    return [f"{q['id']}: {note}" for q in result["questions"] for note in q["notes"]]


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from taking a student's text for a formula."""
    if isinstance(value, str):
        value = " ".join(value.split())
        return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
    return "" if value is None else f"{value:g}"


def feedback(result: dict[str, Any]) -> str:
    """Return what a student reads, in Markdown, without the values of hidden probes."""
    score, out_of = total(result)
    lines = [f"# {result['title']}", "", f"Submission: {_code(result['submission'])}", ""]
    lines += [f"**{score:g} of {out_of:g} points**", ""]
    lines += [f"{_text(note)}\n" for note in result["notes"]]
    if result["status"] != GRADED:
        lines += ["The notebook was not graded.", ""]
    for question in result["questions"]:
        points = f"{question['score']:g} of {question['points']:g}"
        lines += [f"## {question['id']}: {question['title']} ({points})", ""]
        lines += [f"{_text(note)}\n" for note in question["notes"]]
        for probe in question["probes"]:
            lines += _probe_lines(probe)
        lines.append("")
    for entry in result["by_hand"]:
        lines += [f"## {entry['id']}: {entry['title']} ({_hand_points(entry)})", ""]
        if entry.get("comment"):
            lines += [_text(entry["comment"]), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _probe_lines(probe: dict[str, Any]) -> list[str]:
    why = f": {_text(probe['why'])}" if not probe["passed"] else ""
    lines = [f"- {_MARKS[probe['passed']]} {probe['says']}{why}"]
    if not probe["passed"]:
        if probe.get("hint"):
            lines.append(f"  Hint: {probe['hint']}")
        if "calls" in probe:
            lines.append(f"  Called: {'; '.join(_code(call) for call in probe['calls'])}")
            lines.append(f"  Expected: {_code(probe['expected'])}")
    return lines


def _hand_points(entry: dict[str, Any]) -> str:
    if entry["score"] is None:
        return f"{entry['points']:g} points, graded by a person"
    return f"{entry['score']:g} of {entry['points']:g}"


def gradescope(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result in the shape of Gradescope's autograder (``results.json``)."""
    tests = []
    for question in result["questions"]:
        lines = [
            *question["notes"],
            *(line for p in question["probes"] for line in _probe_lines(p)),
        ]
        tests.append(
            {
                "name": f"{question['id']}: {question['title']}",
                "number": question["id"],
                "score": question["score"],
                "max_score": question["points"],
                "status": "passed" if question["score"] == question["points"] else "failed",
                "output": "\n".join(lines),
            }
        )
    for entry in result["by_hand"]:
        if entry["score"] is not None:
            tests.append(
                {
                    "name": f"{entry['id']}: {entry['title']}",
                    "number": entry["id"],
                    "score": entry["score"],
                    "max_score": entry["points"],
                    "output": entry.get("comment", ""),
                }
            )
    return {
        "score": total(result)[0],
        "output": " ".join(result["notes"]),
        "output_format": "text",
        "visibility": "after_published",
        "tests": tests,
    }


def _text(words: str) -> str:
    """Escape what Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*_\[\]<>#|&])", r"\\\1", " ".join(words.split()))


def _code(words: str) -> str:
    return f"`{' '.join(words.split()).replace('`', chr(39))}`"


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
