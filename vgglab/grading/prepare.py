"""Runs the reference answers in a process of its own, which takes torch's memory with it.

Only that process imports the judge: a grader that runs for hours stays small.
"""

import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from vgglab.grading.assignment import Assignment
from vgglab.grading.marking import Prepared


def prepare(assignment: Assignment) -> Prepared:
    """Return what the reference answers return; the assignment then has variant and probes.

    Raises
    ------
    ValueError
        If the assignment contradicts itself.
    """
    # By standard input: whoever lists processes sees arguments, and with them the seed.
    asked = pickle.dumps((str(assignment.folder), assignment.seed, str(assignment.judge_file)))
    command = [sys.executable, "-m", __name__]
    made = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True)
    found: Prepared | ValueError
    found, variant, probes = pickle.loads(made.stdout)
    if isinstance(found, ValueError):
        raise found
    vars(assignment).update(variant=variant, probes=probes)
    return found


def main() -> None:
    """Answer on standard output to what standard input asks."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # if the grader is gone, nobody waits
    asked = sys.stdin.buffer.read()
    if not asked:
        return
    folder, seed, judge = pickle.loads(asked)
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # a judge may print
    made: tuple[Any, ...]
    try:
        assignment = Assignment(Path(folder), seed=seed, judge=judge)
        made = (Prepared.of(assignment), assignment.variant, assignment.probes)
    except ValueError as error:
        made = (error, None, None)
    out.write(pickle.dumps(made))


if __name__ == "__main__":
    main()
