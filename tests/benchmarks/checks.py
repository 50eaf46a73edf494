"""Time of every check of the exercises, in one run.

    python tests/benchmarks/checks.py

An exercise is checked with its solution, its other right answers, each typical mistake, and an
answer that nobody expected. Each check is timed as the first one in a session, when solution and
mistakes have yet to be built, and once more; what an answer takes to be built is not counted.
Listed is the slowest check of each exercise, by the processor's time, which other programs on the
machine do not lengthen. Python's collection of garbage, which falls into one check of many, is left
out and timed by itself, as is the import of the checker.
"""

import gc
import platform
import time

start = time.process_time()

import torch  # noqa: E402
from tabulate import tabulate  # noqa: E402
from torch import nn  # noqa: E402

from vgglab import check  # noqa: E402
from vgglab.course import checking  # noqa: E402
from vgglab.course.exercises import load_exercises  # noqa: E402

IMPORT = time.process_time() - start
LIMIT = 200  # ms


def milliseconds(id: str, answer: object) -> tuple[float, float]:
    """Return the processor's time for one check, and the time that passed."""
    before = time.process_time(), time.perf_counter()
    check(id, answer)
    after = time.process_time(), time.perf_counter()
    return 1000 * (after[0] - before[0]), 1000 * (after[1] - before[1])


def main() -> None:
    print(f"{platform.platform()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    start = time.process_time()
    gc.collect()
    print(f"import: {IMPORT:.1f} s; collection of garbage: {time.process_time() - start:.2f} s")
    gc.disable()
    rows = []
    for id, exercise in load_exercises().items():
        answers = {"solution": exercise.solution(), "unexpected": nn.Identity()}
        answers |= {f"other {k}": make() for k, make in enumerate(exercise.others, 1)}
        answers |= {f"mistake {k}": m.answer() for k, m in enumerate(exercise.mistakes, 1)}
        times = {}
        for name, answer in answers.items():
            checking._expected.cache_clear()
            times[name] = *milliseconds(id, answer), *milliseconds(id, answer)
        slowest = max(times, key=lambda name: times[name][0])
        rows.append([id, len(answers), slowest, *times[slowest]])
    rows.sort(key=lambda row: -row[3])
    headers = ["exercise", "answers", "slowest", "first (ms)", "passed", "again (ms)", "passed"]
    print(tabulate(rows, headers, floatfmt=".1f"))
    print(f"{sum(row[3] > LIMIT for row in rows)} of {len(rows)} above {LIMIT} ms")


if __name__ == "__main__":
    main()
