"""No page of the built book shows what only teachers may see."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgglab.grading.assignment import Assignment
from vgglab.grading.release import leaks
from vgglab.grading.selftest import site_texts

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "book" / "assignments").glob("*/assignment.toml"))


@pytest.fixture(scope="module")
def texts(site: Path) -> list[tuple[str, str]]:
    return list(site_texts(site))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_page_and_no_source_shows_a_solution_or_a_probe(
    texts: list[tuple[str, str]], folder: Path
) -> None:
    assert any(name.startswith("_sources") for name, _ in texts)
    assert leaks(Assignment(folder), texts) == []
