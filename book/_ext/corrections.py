"""The table of the page of corrections, made of the list beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

LIST = Path(__file__).parents[1] / "reference" / "corrections.toml"
REPOSITORY = "https://github.com/vgglab/vgglab"

Rows = list[list[str]]


def corrections() -> list[dict[str, Any]]:
    """Return what was wrong, as it is listed."""
    return list(tomllib.loads(LIST.read_text(encoding="utf-8"))["correction"])


def title_of(page: str) -> str:
    """Return the first heading of a page's text."""
    lines = (LIST.parents[1] / f"{page}.md").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("# ") for line in lines if line.startswith("# "))


def rows() -> Rows:
    """Return a row for each correction, the head first."""
    made = [["where", "it said", "it says now", "found by", "mended by", "held by"]]
    for entry in corrections():
        folder, _, name = entry["page"].rpartition("/")
        published = (
            f"../notebooks/{name}.ipynb" if folder == "chapters" else f"../{entry['page']}.md"
        )
        path, _, test = entry["held"].partition("::")
        held = {"cells": "its cells", "nothing": "no test: it is prose"}
        by = f"[{test[5:].replace('_', ' ')}]({REPOSITORY}/blob/main/{path})"
        made.append(
            [
                f"[{title_of(entry['page'])}]({published}#{entry['section']})",
                entry["said"],
                entry["now"],
                entry["found"],
                f"[{entry['change']}]({REPOSITORY}/commit/{entry['change']})",
                held.get(path, by),
            ]
        )
    return made
