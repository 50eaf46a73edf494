"""The page of corrections, made of the list beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

LIST = Path(__file__).parents[1] / "reference" / "corrections.toml"
REPOSITORY = "https://github.com/vgglab/vgglab"


def corrections() -> list[dict[str, Any]]:
    """Return what was wrong, as it is listed."""
    return list(tomllib.loads(LIST.read_text(encoding="utf-8"))["correction"])


def title_of(page: str) -> str:
    """Return the first heading of a page's text."""
    lines = (LIST.parents[1] / f"{page}.md").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("# ") for line in lines if line.startswith("# "))


def entries() -> str:
    """Return the corrections as a list of what was said, each with what is said now."""
    made = []
    for entry in corrections():
        folder, _, name = entry["page"].rpartition("/")
        chapter = folder == "chapters"
        published = f"../notebooks/{name}.ipynb" if chapter else f"../{entry['page']}.md"
        path, _, test = entry["held"].partition("::")
        held = {"cells": "held by its cells", "nothing": "held by no test, for it is prose"}
        by = f"held by [a test]({REPOSITORY}/blob/main/{path}): {test[5:].replace('_', ' ')}"
        made.append(
            f"It said: {entry['said']}\n"
            f": Now: {entry['now']}\n\n"
            f"  [{title_of(entry['page'])}]({published}#{entry['section']}) · "
            f"found by {entry['found']} · "
            f"mended by [{entry['change']}]({REPOSITORY}/commit/{entry['change']}) · "
            f"{held.get(path, by)}\n"
        )
    return "\n".join(made)
