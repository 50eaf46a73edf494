"""Tests of vgglab.grading.sandbox: what counts as time, and what is stopped."""

import os
import subprocess
import sys

import pytest
from grading_course import require_sandbox

from vgglab.grading.cgroups import Group
from vgglab.grading.sandbox import Sandbox, tree_seconds

BURN = "while True: pass"
REST = "import time; time.sleep(1000)"


@pytest.fixture(scope="module")
def sandbox():
    require_sandbox()
    return Sandbox([], memory_mb=150)


def cells(*sources):
    return [{"id": f"q{number}", "source": source} for number, source in enumerate(sources)]


@pytest.mark.parametrize("source", [BURN, REST])
def test_work_and_waiting_without_end_are_stopped(sandbox, source):
    assert sandbox.run(cells(source), [], seconds=0.3).ended == "too slow"


def test_time_that_others_take_does_not_count(sandbox):
    """As many neighbours as processors, each busy all the time, and a limit near the need."""
    work = "import time\nwhile time.process_time() < 0.5: pass"
    neighbours = [
        subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        assert sandbox.run(cells(work), [], seconds=2).ended == "done"
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def test_work_in_processes_of_its_own_counts(sandbox):
    fork = "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        "
    outcome = sandbox.run(cells(fork + BURN + "\n" + REST), [], seconds=0.3)
    assert outcome.ended == "too slow"


def test_without_a_control_group_the_time_of_all_processes_below_counts():
    code = f"import os\nif os.fork() == 0:\n    os.setsid()\n    {BURN}\nos.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        while tree_seconds(parent.pid) < 0.3:  # the parent itself waits, and uses nothing
            assert parent.poll() is None
    finally:
        for process in (*_children(parent.pid), parent.pid):
            os.kill(process, 9)
        parent.wait()


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        ("cpu.stat", "usage_usec 2500000\nuser_usec 1\n", 2.5),
        ("cpuacct.usage", "2500000000\n", 2.5),
        ("memory.max", "1", None),
    ],
)
def test_the_kernels_count_is_read_in_both_versions(tmp_path, name, text, seconds):
    (tmp_path / name).write_text(text)
    assert Group((tmp_path,)).processor_seconds() == seconds
