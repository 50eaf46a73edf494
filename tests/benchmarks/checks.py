"""Time of every check of the exercises, in one run.

    python tests/benchmarks/checks.py

An exercise is checked with its solution, its other right answers, each typical mistake, and an
answer that nobody expected. Each check is timed as the first one in a session, when solution and
mistakes have yet to be built, and once more; what an answer takes to be built is not counted.
Listed is the slowest check of each exercise, by the processor's time, which other programs on the
machine do not lengthen. Python's collection of garbage, which falls into one check of many, is left
out and timed by itself, as is the import of the checker. So that machines can be compared, the
slowest check is also given as a multiple of a trace of ``vgg("D")``.
"""

import gc
import platform
import time
from dataclasses import replace

start = time.process_time()

import torch  # noqa: E402
from tabulate import tabulate  # noqa: E402
from torch import nn  # noqa: E402

from vgglab import trace, vgg  # noqa: E402
from vgglab.course.checking import Exercise, check_answer  # noqa: E402
from vgglab.course.exercises import load_exercises  # noqa: E402

IMPORT = time.process_time() - start
LIMIT = 200  # ms


def milliseconds(exercise: Exercise, answer: object) -> tuple[float, float]:
    """Return the processor's time for one check, and the time that passed."""
    before = time.process_time(), time.perf_counter()
    check_answer(exercise, answer)
    after = time.process_time(), time.perf_counter()
    return 1000 * (after[0] - before[0]), 1000 * (after[1] - before[1])


def main() -> None:
    print(f"{platform.platform()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    start = time.process_time()
    gc.collect()
    print(f"import: {IMPORT:.1f} s; collection of garbage: {time.process_time() - start:.2f} s")
    gc.disable()
    model = vgg("D", device="meta")
    trace(model, (1, 3, 224, 224))
    start = time.process_time()
    for _ in range(5):
        trace(model, (1, 3, 224, 224))
    unit = 1000 * (time.process_time() - start) / 5
    print(f"a trace of VGG-16: {unit:.1f} ms")
    rows = []
    for id, exercise in load_exercises().items():
        answers = {"solution": exercise.solution(), "unexpected": nn.Identity()}
        answers |= {f"other {k}": make() for k, make in enumerate(exercise.others, 1)}
        answers |= {f"mistake {k}": m.answer() for k, m in enumerate(exercise.mistakes, 1)}
        times = {}
        for name, answer in answers.items():
            cold = replace(exercise, observe=lambda answer, seen=exercise.observe: seen(answer))
            times[name] = *milliseconds(cold, answer), *milliseconds(cold, answer)
        slowest = max(times, key=lambda name: times[name][0])
        times_of = times[slowest]
        rows.append([id, len(answers), slowest, *times_of, times_of[0] / unit])
    rows.sort(key=lambda row: -row[3])
    headers = ["exercise", "answers", "slowest", "first (ms)", "passed", "again (ms)", "passed"]
    headers += ["traces"]
    print(tabulate(rows, headers, floatfmt=".1f"))
    print(f"{sum(row[3] > LIMIT for row in rows)} of {len(rows)} above {LIMIT} ms")


if __name__ == "__main__":
    main()
