"""What is known of the marks of each assignment, in numbers that anybody can make again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vgglab.grading.runner import code_digest

# What is counted of an assignment, its heading, and whether it must be 0.
COLUMNS: dict[str, tuple[str, bool]] = {
    "points": ("points", False),
    "empty": ("free on an empty notebook", True),
    "constant": ("free for constant answers", True),
    "constants": ("constant answers tried", False),
    "outside": ("solution lines outside solutions", True),
    "visible": ("hidden inputs in feedback", True),
    "attacks": ("attacks tried", False),
    "passed": ("attacks that gained", True),
}

# Modules for folders of submissions, and for marks once they are there: the selftest meets none.
AFTERWARDS = (
    *("blind", "collect", "exports", "policy", "prepare", "proof", "regrades", "runner"),
    *("similarity", "statistics"),
)


def faults(proof: dict[str, Any]) -> list[str]:
    """Return a sentence for each number that must be 0 and is not, and each that is missing."""
    found = []
    for name, numbers in proof["assignments"].items():
        for column, (words, must_be_zero) in COLUMNS.items():
            if column not in numbers:
                found.append(f"{name}: {words}: not known")
            elif bool(numbers[column]) == must_be_zero:
                found.append(f"{name}: {words}: {numbers[column]:g}")
    return found


def digest(folder: Path) -> str:
    """Return a hash of what the numbers of an assignment depend on, but for its prose."""
    found = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.glob("*.toml")]):
        found.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def grader() -> str:
    """Return a hash of the code that the selftest meets, attacks included."""
    return code_digest(Path(__file__).parent, AFTERWARDS)


def older(proof: dict[str, Any]) -> list[str]:
    """Return the assignments whose numbers were made with another grader than this one."""
    now = grader()
    return [name for name, row in proof["assignments"].items() if row.get("grader") != now]


def rows(proof: dict[str, Any], link: Callable[[str], str] = str) -> list[list[str]]:
    """Return the table, headings first."""
    head = ["assignment", *(words for words, _ in COLUMNS.values())]
    return [
        head,
        *(
            [link(name), *(f"{numbers[column]:g}" for column in COLUMNS)]
            for name, numbers in proof["assignments"].items()
        ),
    ]
