"""What the page of the status says: read from records and settings when the book is built."""

from __future__ import annotations

import json
import os
import platform
import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from make_notebooks import COSTS, text_of

BOOK = Path(__file__).parents[1]
ROOT = BOOK.parent
NOT_KNOWN = "not known here"
# The variable in which CI gives the last green weekly run: its day and its address.
WEEKLY = "VGGLAB_WEEKLY"

Rows = list[list[str]]


def read(path: Path) -> dict[str, Any]:
    """Return what a record holds."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def versions() -> Rows:
    """Return a row for each thing with a version, the head first."""
    import torch

    from vgglab import __version__

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned, project = settings["tool"]["uv"]["constraint-dependencies"], settings["project"]
    torch_range = next(line for line in project["dependencies"] if re.match(r"torch\b", line))
    made = read(COSTS)["provenance"]
    return [
        ["what", "version"],
        ["vgglab, and these pages", __version__],
        ["the notebooks' outputs are stored with", ", ".join(pinned).replace("==", " ")],
        ["they were timed with", f"torch {made['torch']}, Python {made['python']}"],
        [
            "these pages were built with",
            f"torch {torch.__version__}, Python {platform.python_version()}",
        ],
        ["the package admits", f"{torch_range}, Python{project['requires-python']}"],
        ["last green weekly run", weekly()],
    ]


def weekly() -> str:
    """Return the last green weekly run, if CI gave it to this build."""
    given = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)\S* (https://github\.com/\S+/actions/runs/\d+)",
        os.environ.get(WEEKLY, ""),
    )
    return f"[{given[1]}]({given[2]})" if given else NOT_KNOWN


def costs() -> Rows:
    """Return what each notebook took, and whether it is still the one that was timed."""
    record = read(COSTS)["notebooks"]
    made = [["notebook", "minutes", "processor minutes", "largest process, MiB", "since then"]]
    for path in sorted(BOOK.glob("notebooks/*.ipynb")):
        name = path.relative_to(BOOK).with_suffix("").as_posix()
        link, cost = f"[{path.stem}](../{name}.ipynb)", record.get(name)
        if cost is None:
            made.append([link, *3 * ["not measured yet"], "new"])
            continue
        same = cost["text"] == text_of(nbformat.read(path, as_version=4))
        seconds = (cost["seconds"], cost["processor_seconds"])
        made.append(
            [
                link,
                *(f"{value / 60:.1f}" for value in seconds),
                f"{cost['peak_bytes'] / 2**20:,.0f}",
                "as it was" if same else "changed",
            ]
        )
    return made


def costs_made_with(notebook: str = "") -> str:
    """Say what timed one notebook, or all, and how long before the build."""
    record = read(COSTS)
    made, costs = record["provenance"], record["notebooks"]
    timed = sorted({cost["date"] for name, cost in costs.items() if name.endswith(notebook)})
    when = timed[0] if len(timed) == 1 else f"{timed[0]} to {timed[-1]}"
    days = (datetime.now(UTC).date() - date.fromisoformat(timed[0])).days
    age = {0: "on the day of this build", 1: "a day before this build"}
    return (
        f"`{record['command']}`, {when}, {age.get(days, f'{days} days before this build')}: "
        f"{made['device']}, {made['cores']} cores, "
        f"of which each notebook used {made['threads']}; torch {made['torch']}, "
        f"Python {made['python']}."
    )


def experiments() -> Rows:
    """Return a row for each device and torch with what is recorded there, and what is not yet."""
    from vgglab.lab.benchmark.grids import BENCHMARKS
    from vgglab.lab.experiments.catalogue import EXPERIMENTS

    chapters = {name: experiment.chapter for name, experiment in EXPERIMENTS.items()}
    chapters |= dict.fromkeys(BENCHMARKS, "09_gpu_lab")
    recorded: dict[tuple[str, str], list[str]] = {}
    without: dict[str, list[str]] = {"cpu": [], "gpu": []}
    for name, chapter in sorted(chapters.items(), key=lambda item: item[1]):
        path = BOOK / "results" / f"{name}.json"
        budgets = read(path)["budgets"] if path.exists() else {}
        link = f"[{name}](../notebooks/{chapter}.ipynb)"
        for budget, lacking in without.items():
            if budget in budgets:
                made = budgets[budget]["provenance"]
                recorded.setdefault((made["device"], made["torch"]), []).append(link)
            elif name in BENCHMARKS or budget in EXPERIMENTS[name].budgets:
                lacking.append(link)
    rows = [["device", "torch", "experiments"]]
    rows += [[*key, ", ".join(names)] for key, names in sorted(recorded.items())]
    for budget, names in without.items():
        if names:
            rows.append([f"wanted on a {budget.upper()}", "–", ", ".join(names)])
    return rows


def unmeasured() -> nodes.Node:
    """Return chapter 09's table of what is not measured, as it stands there."""
    title = "<strong>Not measured yet</strong>"
    for cell in read(BOOK / "notebooks" / "09_gpu_lab.ipynb")["cells"]:
        for output in cell.get("outputs", ()):
            html = "".join(output.get("data", {}).get("text/html", ""))
            if title in html:
                return nodes.raw("", f'<div class="cell_output">{html}</div>', format="html")
    raise ValueError(f"chapter 09 has no table with {title}")


def platforms() -> Rows:
    """Return what the platforms have on which notebooks are opened, as they were listed."""
    made = [["platform", "Python", "torch", "numpy", "list of"]]
    for name, listed in read(ROOT / "tests" / "data" / "platforms.json")["platforms"].items():
        there = listed.get("versions", {})
        day = (
            listed["date"]
            or f"commit {re.search('/([0-9a-f]{7})[0-9a-f]{33}/', listed['source'])[1]}"
        )
        made.append(
            [
                name,
                listed["python"] or "of its image",
                there.get("torch", "of its image"),
                there.get("numpy", "of its image"),
                f"[{day}]({listed['source']})",
            ]
        )
    return made
