"""How the time of the patterns of ``vgglab.explain_error`` grows with the text.

    python tests/benchmarks/explain.py

Each wording is sought in texts of its own pieces over and over, which make a careless pattern
explode, at two lengths. A pattern that reads a text once takes twice the time for twice the text.
Printed are the worst ratios; above 3 the script exits with 1.
"""

import re
import sys
import time

from tabulate import tabulate

from vgglab.explain.interpreter import compiled, read_rules

LENGTH = 20_000  # characters
LEAST = 2e-3  # seconds; below, a ratio says nothing
TRIES = 3


def seconds(pattern: re.Pattern[str], text: str) -> float:
    """Return the shortest processor time of a few tries."""
    times = []
    for _ in range(TRIES):
        start = time.process_time()
        list(pattern.finditer(text))
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    rows = []
    rules = read_rules()
    patterns = [wording["pattern"] for wording in rules["wordings"]]
    for text in [*patterns, *rules["facts"].values()]:
        pattern = compiled(text)
        pieces = [p for p in re.split(r"\\.|[^\w\s]+", text) if p.strip()]
        for piece in [*pieces, "1", "1 ", "1, ", "[1", "(1x", " x 1", "'"]:
            for start in ("", pieces[0]):
                text = (start + piece * LENGTH)[:LENGTH]
                short, long = seconds(pattern, text), seconds(pattern, text + text[len(start) :])
                rows.append([long / max(short, LEAST), 1000 * long, pattern.pattern[:40], piece])
    rows.sort(key=lambda row: -row[0])
    print(tabulate(rows[:10], ["ratio", "ms", "pattern", "repeated"], floatfmt=".2f"))
    sys.exit(rows[0][0] > 3)


if __name__ == "__main__":
    main()
