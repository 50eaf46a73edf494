"""The page of corrections: what it says of the book's own mistakes can be looked up."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import corrections
import pytest

ROOT = Path(__file__).parents[1]
LISTED = corrections.corrections()
NAMES = [f"{entry['page']}#{entry['section']}-{entry['change']}" for entry in LISTED]


@pytest.mark.parametrize("entry", LISTED, ids=NAMES)
def test_a_correction_is_whole(entry) -> None:
    assert entry.keys() == {"page", "section", "said", "now", "found", "change", "held"}
    assert all(entry.values())
    assert not any("\n" in words for words in entry.values())
    assert (ROOT / "book" / f"{entry['page']}.md").exists()
    assert re.fullmatch(r"[0-9a-f]{7,40}", entry["change"])


@pytest.mark.parametrize("entry", LISTED, ids=NAMES)
def test_what_was_wrong_stands_there_no_more(entry) -> None:
    text = (ROOT / "book" / f"{entry['page']}.md").read_text(encoding="utf-8")
    assert entry["said"].rstrip(".") not in text


@pytest.mark.parametrize("entry", LISTED, ids=NAMES)
def test_what_holds_a_correction_is_there(entry) -> None:
    path, _, test = entry["held"].partition("::")
    if path in ("cells", "nothing"):
        return
    names = re.findall(r"^def (test_\w+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert test in names


def test_the_changes_are_in_the_history() -> None:
    def git(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("there is no history here")
    for entry in LISTED:
        assert git("cat-file", "-t", entry["change"]) == "commit"
        assert entry["page"].rpartition("/")[2] in git("show", "--stat=200", entry["change"])


def test_the_page_has_each_with_its_place_its_change_and_its_finder() -> None:
    made = corrections.entries()
    assert made.count("\n: ") == len(LISTED)
    for entry in LISTED:
        assert f"It said: {entry['said']}\n: Now: {entry['now']}" in made
        assert f"#{entry['section']}) · found by {entry['found']} · mended by" in made
