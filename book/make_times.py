"""Measures how long the cells of the session's notebook run, for the plan by the minute.

    python book/make_times.py

It runs the notebook several times, as `make notebooks` does, and writes the median of each section
into ``book/teaching/times.json``.
"""

import json
from datetime import datetime
from statistics import median

import nbformat
from make_notebooks import METADATA, NOTEBOOKS, ROOT, environment
from nbclient import NotebookClient

from vgglab.lab.provenance import provenance, today

SESSION = "shapes_to_the_head"
RECORD = ROOT / "book" / "teaching" / "times.json"
RUNS = 3


def seconds_of(cell: nbformat.NotebookNode) -> float:
    """Return how long a cell ran, by the kernel's own messages."""
    times = cell.metadata["execution"]
    busy, idle = (
        datetime.fromisoformat(times[f"iopub.status.{state}"]) for state in ("busy", "idle")
    )
    return (idle - busy).total_seconds()


def one_run() -> dict[str, float]:
    """Return the seconds of each section's cells; the first includes what they import."""
    notebook = nbformat.read(NOTEBOOKS / f"{SESSION}.ipynb", as_version=4)
    NotebookClient(
        notebook,
        kernel_name=METADATA["kernelspec"]["name"],
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    ).execute(env=environment())
    seconds: dict[str, float] = {}
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                heading = line.lstrip("# ") if line.startswith("#") else heading
        else:
            seconds[heading] = seconds.get(heading, 0) + seconds_of(cell)
    return seconds


def main() -> None:
    """Run the notebook, and write what it took."""
    runs = [one_run() for _ in range(RUNS)]
    record = {
        "command": "python book/make_times.py",
        "date": today(),
        "provenance": provenance(),
        "runs": RUNS,
        "sections": {name: round(median(run[name] for run in runs), 2) for name in runs[0]},
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(RECORD.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
