"""Tables of pages, made of the records beside them: rows of cells, the head first."""

from __future__ import annotations

from statistics import fmean, median
from typing import Any

Rows = list[list[str]]


def made_with(record: dict[str, Any]) -> str:
    """Say what made a record."""
    made = record["provenance"]
    versions = ", ".join(f"{name} {made[name]}" for name in ("torch", "python", "vgglab"))
    return f"`{record['command']}`, {record['date']}, {made['device']}, {versions}."


def advice_rows(record: dict[str, Any]) -> Rows:
    """Return what each advice costs the trained network and VGG-16."""
    images = record["images"]
    sides = f"{images['side']} px", f"{images['new_side']} px"
    head = ["advice", "weights lost", f"right at {sides[1]}", f"at {sides[0]} then"]
    rows = [[*head, "VGG-16: weights lost", "at 400 px"]]
    for row in record["rows"]:
        small, large = row["trained"], row["vgg16"]
        rows.append(
            [
                f"{row['said']}: `{row['line']}`",
                _lost(small),
                f"{fmean(small['accuracy']):.1%}" if small["accuracy"] else _outcome(small, 2),
                "raises" if small["error_at_old_size"] else "runs",
                _lost(large),
                _outcome(large, 2),
            ]
        )
    return rows


def _lost(cost: dict[str, Any]) -> str:
    return f"{cost['lost']:,} ({cost['lost'] / cost['parameters']:.1%})" if cost["lost"] else "none"


def _outcome(cost: dict[str, Any], images: int) -> str:
    """Say what comes of a forward, beside a row of scores an image."""
    if cost["error"]:
        return "raises"
    (shape,) = cost["returns"]
    if shape[0] != images:
        return f"{shape[0] / images:.3g} rows an image"
    return "runs" if len(shape) == 2 and shape[1] <= 1000 else f"{shape[1]:,} features, no scores"


_MARKS = {"place": "P", "cause": "C", "sizes": "S", "repairs_that_run": "R"}


def tool_rows(record: dict[str, Any]) -> Rows:
    """Return for each tool in how many cases it answers what."""
    rows = [
        ["tool", "version", "place", "cause", "sizes", "a repair that runs", "weights kept then",
         "leaves the model alone", "seconds a case"]
    ]  # fmt: skip
    for tool, versions in record["versions"].items():
        said = [case["tools"][tool] for case in record["cases"].values()]
        done = [cell for cell in said if "failed" not in cell]
        asked = [cell for cell in done if cell["sizes"] is not None]
        kept = [cell["kept"] for cell in done if cell["kept"] is not None]
        known = [cell["unchanged"] for cell in done if cell["unchanged"] is not None]
        version = next(iter(versions.values()), record["provenance"]["vgglab"])
        rows.append(
            [
                tool,
                version if tool != "set in_features" else "a rule",
                f"{sum(cell['place'] for cell in done)} of {len(said)}",
                f"{sum(cell['cause'] for cell in done)} of {len(said)}",
                f"{sum(cell['sizes'] for cell in asked)} of {len(asked)}",
                f"{sum(cell['repairs_that_run'] > 0 for cell in done)} of {len(said)}",
                f"{min(kept):.0%} to {max(kept):.0%}" if kept else "no repair",
                f"{sum(known)} of {len(known)}" if known else "own process",
                f"{median(cell['seconds'] for cell in done):.2g}",
            ]
        )
    return rows


def case_rows(record: dict[str, Any]) -> Rows:
    """Return for each case what each tool answers, a letter each."""
    tools = list(record["versions"])
    rows = [["network", "stops in", *tools]]
    for name, case in record["cases"].items():
        cells = []
        for tool in tools:
            cell = case["tools"][tool]
            marks = "".join(mark for key, mark in _MARKS.items() if cell.get(key))
            cells.append("stopped" if "failed" in cell else marks or "–")
        link = f"[{name}]({case['source']})" if case["source"].startswith("http") else name
        rows.append([link, case["layer"] or "its own forward", *cells])
    return rows


def advice_accuracy(record: dict[str, Any]) -> str:
    """Say how often the trained network is right as it is."""
    images = record["images"]
    return (
        f"As it was trained it names {record['as_trained']:.1%} of {images['count']:,} test "
        f"pictures of CIFAR-10 right, at {images['side']} px."
    )
