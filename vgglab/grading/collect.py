"""From result files to what teachers and students read: CSV, Markdown, Gradescope's JSON."""

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from vgglab.files import write_all
from vgglab.grading.exports import cell, fill_gradebook, table
from vgglab.grading.policy import Policy, read_policy, read_rows
from vgglab.grading.runner import GRADED, result_name
from vgglab.grading.submissions import same_name

_AS_NEEDED = ("attempts.csv", "canvas.csv", "changes.csv", "moodle.csv")
_MARKS = {True: "✓", False: "✗"}


def collect(
    results: Path, out: Path, by_hand: Path | None = None, policy: Path | None = None
) -> tuple[int, list[str]]:
    """Write ``scores.csv``, ``feedback/NAME.md`` and ``gradescope/NAME/results.json``.

    What is written depends on the marks alone, not on when, where, or in how many shards they
    were made. All of it is written, or nothing.

    Parameters
    ----------
    results
        Folder of the result files, of one assignment.
    out
        Folder to write to.
    by_hand
        CSV file with the columns ``submission``, ``question``, ``points``, and perhaps ``comment``
        and ``by``: marks by a person, which also replace those of the machine. What they replace
        is written to ``changes.csv``.
    policy
        File of a `vgglab.grading.policy.Policy`. With ``attempts``, all of them are written to
        ``attempts.csv``; with ``gradebook``, ``canvas.csv`` or ``moodle.csv`` is written.

    Returns
    -------
    tuple of int and list of str
        Number of rows in ``scores.csv``, and a sentence for each problem.

    Raises
    ------
    OSError
        If nothing could be written.
    ValueError
        If there are no results, or of several assignments, or `by_hand` or `policy` do not fit
        them.
    """
    made, problems = read_results(results)
    rules = read_policy(policy) if policy is not None else Policy()
    marks = _read_by_hand(by_hand, made) if by_hand is not None else {}
    changes = [change for result in made for change in _mark_by_hand(result, marks)]
    problems += _strangers(made, rules)
    entries = [entry for result in made for entry in _entries(result, rules)]
    entries.sort(key=lambda entry: (entry["student"], entry["submission"]))
    counted, history = _count(entries, rules)
    problems += [f"{entry['submission']}: {note}" for entry in counted for note in entry["doubts"]]
    files = {"scores.csv": table(_scores(counted))}
    if changes:
        names = ("submission", "question", "before", "after", "by", "comment")
        files["changes.csv"] = table([names, *changes])
    if history:
        files["attempts.csv"] = table(history)
    if rules.gradebook is not None:
        name, content, found = fill_gradebook(
            rules.gradebook, [_mark_of(entry) for entry in counted], made[0]["title"]
        )
        files[name] = content
        problems += found
    for entry in counted:
        name = entry["file"]
        files[f"feedback/{name}.md"] = feedback(entry).encode()
        grade = json.dumps(gradescope(entry), indent=1, ensure_ascii=False) + "\n"
        files[f"gradescope/{name}/results.json"] = grade.encode()
    write_all(out, files, remove=_AS_NEEDED)
    return len(counted), problems


def read_results(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the results in a folder, and a sentence for each file that is none.

    Raises
    ------
    ValueError
        If they are not of one assignment.
    """
    made, problems = [], []
    names: set[str] = set()
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            names.add(result["assignment"])
            made.append(result | {"file": path.stem, "doubts": []})
        except (KeyError, ValueError, TypeError):
            problems.append(f"{path.name} is not a result; run the grader again.")
    if len(names) != 1:
        raise ValueError(
            f"results must be of one assignment; {folder} has {', '.join(sorted(names)) or 'none'}"
        )
    return sorted(made, key=itemgetter("student", "submission")), problems


# Marks by a person


def _read_by_hand(path: Path, made: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    names = {result["submission"] for result in made}
    # As scores.csv writes them, where one is not another's own name.
    names_of = {cell(name): name for name in names} | {name: name for name in names}
    limits = {
        (result["submission"], entry["id"]): entry["points"]
        for result in made
        for entry in (*result["questions"], *result["by_hand"])
    }
    marks = {}
    for number, row in read_rows(path, "submission", "question", "points"):
        place = (names_of.get(row["submission"], row["submission"]), row["question"])
        try:
            points = float(row["points"])
        except ValueError:
            points = -1.0
        if place not in limits or not 0 <= points <= limits[place]:
            raise ValueError(
                f"{path}, line {number}, must name a submission, a question, and points from "
                f"0 to its most; got {', '.join(place)}, {row['points']}"
            )
        marks[place] = {
            "score": points,
            "comment": row.get("comment") or "",
            "by": row.get("by") or "",
        }
    return marks


def _mark_by_hand(
    result: dict[str, Any], marks: dict[tuple[str, str], dict[str, Any]]
) -> Iterator[tuple[Any, ...]]:
    """Put in the marks by a person; yield those that replace another."""
    for entry in result["by_hand"]:
        entry |= marks.get((result["submission"], entry["id"]), {"score": None})
    for question in result["questions"]:
        mark = marks.get((result["submission"], question["id"]))
        if mark is not None:
            place = (result["submission"], question["id"])
            yield (*place, question["score"], mark["score"], mark["by"], mark["comment"])
            question["score"] = mark["score"]
            person = mark["by"] or "a person"
            question["notes"].append(f"Marked by {person}. {mark['comment']}".strip())
            result["score"] = round(sum(q["score"] for q in result["questions"]), 2)


# What the policy makes of them


def _strangers(made: list[dict[str, Any]], rules: Policy) -> Iterator[str]:
    """Say which submissions a file of the policy has that were not handed in, or lacks."""
    handed_in = {name for r in made for name in (r["submission"], cell(r["submission"]))}
    for what, known in (("times", rules.times), ("students", rules.students)):
        yield from (f"{what} names {n}, which has no result." for n in known if n not in handed_in)
    for result in made:
        name = result["submission"]
        if rules.students and not rules.whose(name):
            yield f"{name}: students does not say whose it is."
        if rules.due and not rules.time(name):
            yield f"{name}: it is not known when it came; it counts as in time."


def _entries(result: dict[str, Any], rules: Policy) -> Iterator[dict[str, Any]]:
    """Yield a result for each student whose it is, with what is taken off."""
    late = rules.late(result["submission"])
    mapped = rules.whose(result["submission"])
    for student in mapped or [result["student"]]:
        entry = copy.deepcopy(result) | {"student": student, "mapped": bool(mapped)}
        if mapped:
            name = student if rules.attempts else f"{student} {result['submission']}"
            entry["file"] = result_name(result["assignment"], name).removesuffix(".json")
        if len(mapped) > 1:
            entry["notes"].append(f"Handed in by {', '.join(mapped)} together.")
        if late is not None:
            entry |= {"late_days": late.days, "percent": late.percent}
            entry["notes"].append(late.says)
        yield entry


def _count(
    entries: list[dict[str, Any]], rules: Policy
) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Return the entries that count, and the table of all attempts."""
    by_student: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_student.setdefault(same_name(entry["student"]), []).append(entry)
    counted: list[dict[str, Any]] = []
    history: list[tuple[Any, ...]] = []
    for attempts in by_student.values():
        if rules.attempts is None:
            for entry in attempts:
                if len(attempts) > 1:
                    note = f"{len(attempts)} submissions have this student's name."
                    entry["notes"].insert(0, note)
                    entry["doubts"].append(note)
            counted += attempts
            continue
        # Those whose time is not known come first: they are the least likely to be the last.
        times = {id(e): rules.time(e["submission"]) for e in attempts}
        attempts.sort(key=lambda e: (bool(times[id(e)]), times[id(e)] or 0, e["submission"]))
        # Of equally good ones the later.
        best = max(enumerate(attempts), key=lambda pair: (total(pair[1])[0], pair[0]))[1]
        chosen = attempts[-1] if rules.attempts == "last" else best
        for number, entry in enumerate(attempts, start=1):
            when = times[id(entry)]
            row = (entry["student"], number, entry["submission"], when and when.isoformat())
            history.append((*row, *total(entry), "yes" if entry is chosen else ""))
        if len(attempts) > 1:
            scores = ", ".join(f"{total(entry)[0]:g}" for entry in attempts)
            number = attempts.index(chosen) + 1
            chosen["notes"].insert(
                0,
                f"Attempt {number} of {len(attempts)}, the {rules.attempts} one, counts: {scores}.",
            )
            if rules.attempts == "last" and None in times.values():
                chosen["doubts"].append("it is not known which attempt was the last.")
        counted.append(chosen)
    head = ("student", "attempt", "submission", "time", "score", "out_of", "counts")
    return counted, [head, *history] if history else []


def total(result: dict[str, Any]) -> tuple[float, float]:
    """Return score and most points, of what the machine and a person graded so far.

    What a late submission loses is taken off.
    """
    hand = [entry for entry in result["by_hand"] if entry["score"] is not None]
    score = result["score"] + sum(entry["score"] for entry in hand)
    score *= 1 - result.get("percent", 0) / 100
    return round(score, 2), result["out_of"] + sum(entry["points"] for entry in result["by_hand"])


# What is written


def _scores(made: list[dict[str, Any]]) -> Iterator[Sequence[Any]]:
    graded = [result for result in made if result["questions"]]
    coded = [question["id"] for question in graded[0]["questions"]] if graded else []
    hand = [entry["id"] for entry in made[0]["by_hand"]]
    late = ["late_days", "percent_off"] if any("percent" in result for result in made) else []
    yield ["student", "submission", "status", *coded, *hand, *late, "score", "out_of", "notes"]
    for result in made:
        scores = {question["id"]: question["score"] for question in result["questions"]}
        scores |= {entry["id"]: entry["score"] for entry in result["by_hand"]}
        notes = " ".join([*result["notes"], *_question_notes(result)])
        row = [result["student"], result["submission"], result["status"]]
        row += [scores.get(name, 0 if name in coded else None) for name in (*coded, *hand)]
        row += [result.get("late_days", 0), result.get("percent", 0)] if late else []
        yield [*row, *total(result), notes]


def _mark_of(entry: dict[str, Any]) -> dict[str, Any]:
    score, out_of = total(entry)
    points = [f"{q['id']}: {q['score']:g} of {q['points']:g}" for q in entry["questions"]]
    comment = " ".join([*entry["notes"], "; ".join(points)]).strip()
    return entry | {"score": score, "out_of": out_of, "comment": comment}


def _question_notes(result: dict[str, Any]) -> list[str]:
    return [f"{q['id']}: {note}" for q in result["questions"] for note in q["notes"]]


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
            lines += _probe_lines(probe, _text, _code)
        lines.append("")
    for entry in result["by_hand"]:
        lines += [f"## {entry['id']}: {entry['title']} ({_hand_points(entry)})", ""]
        if entry.get("comment"):
            lines += [_text(entry["comment"]), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _probe_lines(
    probe: dict[str, Any], text: Callable[[str], str], code: Callable[[str], str]
) -> list[str]:
    why = f": {text(probe['why'])}" if not probe["passed"] else ""
    lines = [f"- {_MARKS[probe['passed']]} {probe['says']}{why}"]
    if not probe["passed"]:
        if probe.get("hint"):
            lines.append(f"  - Hint: {probe['hint']}")
        if "calls" in probe:
            lines.append(f"  - Called: {'; '.join(code(call) for call in probe['calls'])}")
            lines.append(f"  - Expected: {code(probe['expected'])}")
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
            *(line for p in question["probes"] for line in _probe_lines(p, _line, _line)),
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


def _line(words: str) -> str:
    return " ".join(words.split())


def _text(words: str) -> str:
    """Escape what Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*_\[\]<>#|&~])", r"\\\1", _line(words))


def _code(words: str) -> str:
    return f"`{_line(words).replace('`', chr(39))}`"
