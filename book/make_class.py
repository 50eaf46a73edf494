"""Grades a small class that is made up, and writes what it did for the page on teaching.

    python book/make_class.py

Each student answers each question rightly, as one of the assignment's mutants does, or not at
all, drawn at random. It takes some minutes, and needs bubblewrap.
"""

import dataclasses
import json
import random
import tempfile
from pathlib import Path

from vgglab.grading.assignment import Assignment, role_of
from vgglab.grading.release import release_notebook
from vgglab.grading.runner import grade
from vgglab.grading.statistics import statistics

HERE = Path(__file__).resolve().parent
ASSIGNMENT = HERE / "assignments" / "01_vgg_table1"
RECORD = HERE / "reference" / "small_class.json"
STUDENTS = 24


def write_class(assignment: Assignment, folder: Path) -> None:
    """Write the students' notebooks."""
    draw = random.Random(0)
    blank = release_notebook(assignment)
    right = assignment.cells("answer")
    wrong: dict[str, list[str]] = {name: [] for name in right}
    for mutant in assignment.mutants():
        for name, source in mutant.cells.items():
            wrong[name].append(source)
    for number in range(STUDENTS):
        diligence = draw.random()
        notebook = json.loads(json.dumps(blank))
        for cell in notebook["cells"]:
            kind, name = role_of(cell)
            if kind != "answer":
                continue
            if draw.random() < 0.4 + 0.5 * diligence:
                cell["source"] = right[name]
            elif draw.random() < 0.3 + 0.6 * diligence:
                cell["source"] = draw.choice(wrong[name])
        path = folder / f"student{number:02}.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")


def main() -> None:
    """Write the class, grade it, and record what it did."""
    assignment = Assignment(ASSIGNMENT)
    with tempfile.TemporaryDirectory() as place:
        folder, results = Path(place, "submitted"), Path(place, "results")
        folder.mkdir()
        write_class(assignment, folder)
        for line in grade(assignment, folder, results, workers=2):
            print(*line)
        found = dataclasses.asdict(statistics(results))
    RECORD.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
