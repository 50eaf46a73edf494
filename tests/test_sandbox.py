"""Tests of vgglab.grading.sandbox: what counts as time, and what is stopped."""

import errno
import importlib.util
import os
import platform
import re
import struct
import subprocess
import sys

import pytest
from grading_course import require_sandbox

from vgglab.grading import Call, seccomp
from vgglab.grading import sandbox as sandbox_module
from vgglab.grading.cgroups import Group
from vgglab.grading.sandbox import Sandbox, tree_seconds

BURN = "while True: pass"
REST = "import time; time.sleep(1000)"


@pytest.fixture(scope="module")
def sandbox():
    require_sandbox()
    return Sandbox([], memory_mb=150)


def cells(*sources):
    found = [{"id": f"q{number}", "source": source} for number, source in enumerate(sources)]
    return {"cells": found}


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


def test_on_the_clock_waiting_counts_whole_and_being_held_up_a_tenth(monkeypatch):
    clock = [0.0, 0.0]  # passed, and used
    monkeypatch.setattr(sandbox_module.time, "monotonic", lambda: clock[0])
    held_up = sandbox_module.Budget(sandbox_module.Allowance.of(2), lambda: clock[1])
    for _ in range(40):
        clock[:] = clock[0] + 1, clock[1] + 0.04  # a twenty-fifth of a processor
        assert not held_up.is_spent()
    assert held_up.left() == pytest.approx((0.4, 6))
    clock[1] += 0.5
    assert held_up.is_spent()
    clock[:] = 0.0, 0.0
    waiting = sandbox_module.Budget(sandbox_module.Allowance.of(2), lambda: clock[1])
    clock[0] = 9
    assert not waiting.is_spent()
    clock[0] = 11
    assert waiting.is_spent()


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


# What is refused


def syscall_numbers(calls):
    """Return the number of each call here, from the C library's own header."""
    text = subprocess.run(
        ["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {call: int(n) for call in calls for n in re.findall(rf"__NR_{call} (\d+)\n", text)}


def verdict(program, number, architecture, *arguments):
    """Run a program of classic BPF on a call, as seccomp(2) describes it."""
    arguments = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *arguments)
    lines = list(struct.iter_unpack("=HBBI", program))
    place = accumulator = 0
    while True:
        code, yes, no, k = lines[place]
        place += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x15:
                place += yes if accumulator == k else no
            case 0x25:
                place += yes if accumulator > k else no
            case 0x06:
                return k


@pytest.mark.parametrize("machine", sorted(seccomp.ARCHITECTURES))
def test_the_filter_refuses_what_its_table_says_and_lets_the_rest_through(machine):
    program = seccomp.seccomp_filter(machine)
    column, architecture = seccomp.ARCHITECTURES[machine]
    refused = {numbers[column] for numbers in seccomp.REFUSED.values()} - {None}
    looked_at = {numbers[column] for numbers, *_ in seccomp.ARGUMENTS.values()}
    for number in range(600):
        new = number in refused or number > seccomp.NEWEST
        expected = seccomp.ENOSYS if new else seccomp.ALLOW
        if number not in looked_at:
            assert verdict(program, number, architecture) == expected, number
    assert verdict(program, 0x40000000 + 1, architecture) == seccomp.ENOSYS  # x32
    assert verdict(program, 1, 0x40000003) == seccomp.KILL  # 32 bits
    for call, argument, values in (("socket", 40, (1, 2, 10)), ("madvise", 21, (4, 8, 14))):
        numbers, place, *_ = seccomp.ARGUMENTS[call]
        for value in (argument, *values):
            found = verdict(program, numbers[column], architecture, *[0] * place, value)
            assert found == (seccomp.EPERM if value == argument else seccomp.ALLOW)


def test_the_numbers_in_the_table_are_those_of_this_machine():
    machine = platform.machine()
    if machine not in seccomp.ARCHITECTURES:
        assert seccomp.seccomp_filter(machine) is None
        return
    column, _ = seccomp.ARCHITECTURES[machine]
    known = {call: numbers[column] for call, numbers in seccomp.REFUSED.items()}
    known |= {call: numbers[column] for call, (numbers, *_) in seccomp.ARGUMENTS.items()}
    here = syscall_numbers(known)
    assert len(here) > 70  # an older header lacks the newest calls
    assert here == {call: known[call] for call in here}


def test_a_machine_without_a_table_is_said_and_not_filtered(sandbox, monkeypatch):
    monkeypatch.setattr("vgglab.grading.sandbox.FILTER", seccomp.seccomp_filter("riscv64"))
    assert any("System calls are not filtered" in words for words in sandbox.warnings)
    assert sandbox.run(cells("pass"), [], seconds=5).ended == "done"


def answer(sandbox, source):
    """Return what the function `f` of a cell gives."""
    probe = {"index": 0, "question": "q0", "calls": [Call("f").to_json()]}
    outcome = sandbox.run(cells(source), [probe], seconds=10)
    (found,) = [message["answers"] for message in outcome.messages if "answers" in message]
    return found[0]["value"]


def test_a_module_alone_in_its_file_is_not_compiled_for_each_submission():
    require_sandbox()
    module = pytest.importorskip("typing_extensions")
    if not os.path.exists(importlib.util.cache_from_source(module.__file__)):
        pytest.skip("nobody has compiled it here")
    source = (
        "import os, typing_extensions as module\n"
        "def f(): return module.__file__, os.path.exists(module.__cached__)"
    )
    found = answer(Sandbox(["typing_extensions"], 150), source)
    assert found == ["/site/typing_extensions.py", True]


def test_torch_comes_without_what_only_a_gpu_needs_and_is_never_collected():
    require_sandbox()
    pytest.importorskip("torch")
    source = (
        "import gc, importlib.util, torch\n"
        "def f(): return gc.isenabled(), gc.get_freeze_count(), importlib.util.find_spec('cuda')"
    )
    enabled, frozen, bindings = answer(Sandbox(["torch"], 1000), source)
    assert enabled
    assert frozen > 100_000
    assert bindings is None


def test_refused_calls_fail_in_the_sandbox_and_not_outside_it(sandbox):
    numbers = {
        call: seccomp.number(call) for call in ("keyctl", "mincore", "flock", "inotify_init1")
    }
    source = (
        "import ctypes, socket\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def call(*a):\n    libc.syscall(*a)\n    return ctypes.get_errno()\n"
        "def family(name):\n    try: socket.socket(name).close()\n"
        "    except OSError as error: return error.errno\n    return 0\n"
        f"def f():\n    refused = [call(n, 0, 0, 0, 0) for n in {list(numbers.values())}]\n"
        "    return refused, [family(name) for name in (1, 2, 40, 16, 17, 38)]\n"
    )
    names = {}
    refused, families = answer(sandbox, source)
    assert refused == [errno.ENOSYS] * len(numbers)
    assert families == [0, 0, *[errno.EPERM] * 4]
    exec(source, names)
    assert errno.ENOSYS not in names["f"]()[0]


def test_keys_of_the_session_stay_outside():
    """Without the filter, so that the keyring alone keeps them."""
    require_sandbox()
    add, keyctl = seccomp.number("add_key"), seccomp.number("keyctl")
    code = (
        "import ctypes, subprocess, sys\nlibc = ctypes.CDLL(None)\n"
        f"libc.syscall({keyctl}, 1, None)\n"
        f"assert libc.syscall({add}, b'user', b'vgglab-test', b'ticket', 6, -3) > 0\n"
        "print(subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout)"
    )
    search = (
        "import ctypes\ndef f():\n"
        f"    return ctypes.CDLL(None).syscall({keyctl}, 10, -3, b'user', b'vgglab-test', 0) > 0\n"
    )
    inside = f"""
import sys
sys.path[:0] = {sys.path!r}
from vgglab.grading import sandbox
from test_sandbox import answer
sandbox.FILTER = None
print(answer(sandbox.Sandbox([], 150), {search!r}))
"""
    outside = f"{search}\nprint(f())"
    for script, found in ((inside, "False"), (outside, "True")):
        made = subprocess.run(
            [sys.executable, "-c", code, sys.executable, "-c", script],
            capture_output=True,
            text=True,
        )
        assert made.stdout.strip() == found, made.stderr
