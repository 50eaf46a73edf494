"""The sandbox: bubblewrap around the worker, with limits, and no more than it needs inside."""

import json
import os
import platform
import re
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from vgglab.arguments import needs
from vgglab.grading import seccomp
from vgglab.grading.cgroups import Group, Groups

MAX_ANSWER_BYTES = 2_000_000
START_SECONDS = 120  # for bubblewrap and the imports, on a machine that is busy
PROCESSES = 64
FILE_BYTES = 16_000_000
SCRATCH_BYTES = 64_000_000
NOBODY = 65534
WALL = 5  # seconds that may pass for each second of processor time; see Budget
CHARGE_SECONDS = 0.5  # of the clock are charged at a time
LEAST_SHARE = 0.02  # of a processor, or somebody waits rather than works
LOOK_SECONDS = 0.2  # between two looks at the time used

_ISOLATION = [
    *["--unshare-all", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)],
    *["--cap-drop", "ALL", "--die-with-parent", "--new-session", "--disable-userns"],
]
ENVIRONMENT = {
    "HOME": "/tmp",
    "USER": "student",
    "LANG": "C.UTF-8",
    "PATH": "",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}


class SandboxError(Exception):
    """The sandbox cannot be had; the message says why, and what to do."""


Step = tuple[str, Any]
"""A message that is due: one of its keys, and the value there."""


@dataclass
class Outcome:
    """What came out of a sandbox.

    Attributes
    ----------
    messages
        The worker's JSON lines after it was ready. Only their order and what they are about is
        known to be right, not what they say.
    ended
        ``"done"``, ``"too slow"``, ``"out of memory"``, ``"too much output"``, or ``"stopped"``
        for a process that ended before it should, or said what was not due.
    at
        The step that was due when it ended: ``("cell", "q1")``, ``("probe", 3)``, ...
    peak_bytes
        Most memory in use; ``None`` if the kernel does not say.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    ended: str = "stopped"
    at: Step = ("", None)
    peak_bytes: int | None = None


@dataclass
class Allowance:
    """What a submission may still use, in all its sandboxes together.

    Attributes
    ----------
    processor, wall
        Seconds of processor time, and on the clock.
    """

    processor: float
    wall: float

    @classmethod
    def of(cls, seconds: float) -> "Allowance":
        """Return so much processor time, and `WALL` times as much on the clock."""
        return cls(seconds, WALL * seconds)


class Sandbox:
    """Runs workers that can import some packages, each in a sandbox of its own.

    Parameters
    ----------
    packages
        Distributions that student code may import, such as ``"torch"``; what they require comes
        with them.
    memory_mb
        Limit of memory for each worker.

    Raises
    ------
    SandboxError
        If bubblewrap is missing or cannot work here.
    """

    def __init__(self, packages: Sequence[str], memory_mb: int) -> None:
        bwrap = shutil.which("bwrap")
        if not sys.platform.startswith("linux") or bwrap is None:
            raise SandboxError(
                "student work is graded only inside bubblewrap, which is not here; on Debian or "
                "Ubuntu: sudo apt install bubblewrap"
            )
        self.imports = list(packages)
        self.memory_bytes = memory_mb * 1_000_000
        self._command = [bwrap, *_ISOLATION, *_mounts(packages)]
        self._command += ["--", *_PYTHON, "/worker.py"]
        try:
            self._groups: Groups | None = Groups()
        except OSError:
            self._groups = None
        self._become: list[str] = []
        if os.geteuid() == 0:
            self._leave_root()
        else:
            self._try_out([])

    @property
    def limits(self) -> str:
        """How memory and processes are limited, in words."""
        if self._groups is not None:
            return f"control groups, version {self._groups.version}"
        return "resource limits of each process (no control group can be made here)"

    @property
    def warnings(self) -> list[str]:
        """What is weaker here than it could be, each with what to do."""
        found = []
        if self._groups is None:
            found.append(
                "No control group can be made here: what all processes of a submission use "
                "together is looked at five times a second, and can be more in between. Grade "
                "with: "
                "systemd-run --user --scope -p Delegate=yes vgglab grade run ..."
            )
        if FILTER is None:
            found.append(
                f"System calls are not filtered: that is known for "
                f"{' and '.join(seccomp.ARCHITECTURES)}, and this is {platform.machine()}."
            )
        return found

    def _leave_root(self) -> None:
        """Start bubblewrap as nobody, if nobody can read this Python."""
        setpriv = shutil.which("setpriv")
        nobody = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        self._become = [setpriv, *nobody] if setpriv else []
        try:
            self._try_out([])
        except SandboxError:
            if self._groups is None:  # nothing would limit the number of root's processes
                raise SandboxError(
                    "as root, student work is graded only where control groups can be made or "
                    "where nobody can read Python; run the grader as an ordinary user"
                ) from None
            self._become = []
            self._try_out([])

    def check(self) -> None:
        """Run a worker that imports the packages and nothing else.

        Raises
        ------
        SandboxError
            If it cannot.
        """
        self._try_out(self.imports)

    def _try_out(self, imports: Sequence[str]) -> None:
        job: dict[str, Any] = {"cells": []}
        self._run_limited([job], [], START_SECONDS, Allowance.of(START_SECONDS), imports)

    def run(
        self,
        job: dict[str, Any],
        probes: list[dict[str, Any]],
        *,
        seconds: float,
        allowance: Allowance | None = None,
    ) -> Outcome:
        """Run a worker on one submission.

        Parameters
        ----------
        job, probes
            What `vgglab.grading.worker.run_job` takes. The probes are sent when the cells have
            run.
        seconds
            Processor time between two steps of the worker. Waiting is stopped as well, after
            `WALL` times as long.
        allowance
            For all steps together; what is used is taken from it. By default that of two steps.
        """
        allowance = allowance or Allowance.of(2 * seconds)
        due = [("cell", cell["id"]) for cell in job["cells"]] + [("cells", "done")]
        due += [("probe", probe["index"]) for probe in probes] + [("end", True)]
        return self._run_limited([job], probes, seconds, allowance, self.imports, due)

    def run_trusted(self, jobs: list[dict[str, Any]], *, seconds: float) -> Outcome:
        """Run one worker on several jobs that trust each other: a torch import for all of them."""
        jobs = [*jobs, {"cells": [], "probes": []}]  # at least two, so that each has its process
        allowance = Allowance.of(seconds * len(jobs))
        return self._run_limited(jobs, None, seconds, allowance, self.imports)

    def _run_limited(
        self,
        jobs: list[dict[str, Any]],
        probes: list[dict[str, Any]] | None,
        seconds: float,
        allowance: Allowance,
        imports: Sequence[str],
        due: Sequence[Step] | None = None,
    ) -> Outcome:
        group = self._groups.create(self.memory_bytes, PROCESSES) if self._groups else None
        limits = {"RLIMIT_FSIZE": FILE_BYTES, "RLIMIT_NOFILE": 256}
        # A core limit of 1, not 0, also stops dumps that the kernel pipes to a program.
        limits["RLIMIT_CORE"] = 1
        if group is None:
            limits |= {"RLIMIT_DATA": self.memory_bytes, "RLIMIT_NPROC": PROCESSES}
        task = {"imports": list(imports), "limits": limits, "jobs": jobs}
        try:
            process = self._start(group)
            try:
                return _follow(
                    process, task, probes, seconds, allowance, self.memory_bytes, group, due
                )
            finally:
                process.kill()  # bubblewrap dies with all that is inside
                process.wait()
                _wait_for_all(process)
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()
        finally:
            if group is not None:
                group.remove()

    def _start(self, group: Group | None) -> "subprocess.Popen[bytes]":
        entrances = [str(path) for path in group.entrances] if group else []
        launch = [*_LAUNCH, str(_KEYCTL), str(len(entrances)), *entrances, *self._become]
        with ExitStack() as open_files:
            filtered: list[str] = []
            passed = []
            if FILTER is not None:
                passed.append(open_files.enter_context(_readable(FILTER)))
                filtered = ["--seccomp", str(passed[0])]
            return subprocess.Popen(
                [*launch, *self._command[:1], *filtered, *self._command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                start_new_session=True,
                pass_fds=passed,
            )


@contextmanager
def _readable(data: bytes) -> Iterator[int]:
    """Open a pipe from which the data, which fits into it, can be read once."""
    source, sink = os.pipe()
    try:
        os.write(sink, data)
        os.close(sink)
        yield source
    finally:
        os.close(source)


_PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-X", "utf8"]
_LAUNCH = [*_PYTHON, str(Path(__file__).with_name("launch.py"))]
FILTER = seccomp.seccomp_filter()
_KEYCTL = seccomp.number("keyctl")


def _follow(
    process: "subprocess.Popen[bytes]",
    task: dict[str, Any],
    probes: list[dict[str, Any]] | None,
    seconds: float,
    allowance: Allowance,
    memory_bytes: int,
    group: Group | None,
    due: Sequence[Step] | None,
) -> Outcome:
    """Read what the worker says, as long as it says what is due; without `due`, until it ends."""
    assert process.stdout is not None
    outcome = Outcome()
    lines = _Lines(process.stdout.fileno(), MAX_ANSWER_BYTES * len(task["jobs"]))
    _send(process, task, time.monotonic() + START_SECONDS)
    used = partial(_processor_seconds, process.pid, group)
    first = lines.next(Budget(Allowance.of(START_SECONDS), used))
    if first != {"ready": True}:
        raise _start_error(process, first)
    whole = Budget(allowance, used)
    limits: list[Budget | _Memory] = [whole]
    if group is None:
        limits.append(_Memory(process.pid, memory_bytes))
    steps = iter(due or ())
    while outcome.ended == "stopped":
        if due is not None:
            outcome.at = next(steps)
        message = lines.next(*limits, Budget(Allowance.of(seconds), used))
        if isinstance(message, str):
            outcome.ended = message
            break
        key, value = outcome.at
        if due is not None and message.get(key) != value:
            break
        outcome.messages.append(message)
        if probes is not None and message == {"cells": "done"}:
            _send(process, probes, time.monotonic() + WALL * seconds)
            probes = None
        if message == {"end": True}:
            outcome.ended = "done"
    allowance.processor, allowance.wall = whole.left()
    if group is not None:
        outcome.peak_bytes = group.peak_bytes()
        if outcome.ended != "done" and group.ran_out_of_memory():
            outcome.ended = "out of memory"
    return outcome


class _Memory:
    """What all processes of a sandbox may have together, where no control group limits it."""

    says = "out of memory"

    def __init__(self, root: int, most: int) -> None:
        self._root, self._most = root, most

    def is_spent(self) -> bool:
        return tree_bytes(self._root) > self._most


class Budget:
    """An allowance that is being used, from now on.

    On the clock, time in which there was work and the processor went to others counts a tenth:
    twenty busy neighbours must not stop anybody, and who hardly works must not stay for ever.
    """

    says = "too slow"

    def __init__(self, allowance: Allowance, used: Callable[[], float]) -> None:
        self._used, self._processor = used, used() + allowance.processor
        self._wall = allowance.wall
        self._then, self._used_then = time.monotonic(), used()

    def left(self) -> tuple[float, float]:
        """Return seconds of processor time, and on the clock."""
        now, used = time.monotonic(), self._used()
        passed = now - self._then
        if passed > CHARGE_SECONDS:
            works = used - self._used_then > LEAST_SHARE * passed
            self._wall -= passed / 10 if works else passed
            self._then, self._used_then = now, used
        return self._processor - used, self._wall

    def is_spent(self) -> bool:
        return min(self.left()) < 0


def _processor_seconds(pid: int, group: Group | None) -> float:
    """Return the processor time of a sandbox; without a control group, of its processes by now."""
    counted = group.processor_seconds() if group else None
    return tree_seconds(pid) if counted is None else counted


def tree_seconds(root: int) -> float:
    """Return the time of a process, of all below it, and of those of them that have ended."""
    # utime, stime, cutime, cstime: see proc(5)
    ticks = sum(sum(map(int, fields[11:15])) for fields in _tree(root).values())
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_bytes(root: int) -> int:
    """Return the memory of a process and of all below it; what some share counts once."""
    kilobytes = 0
    for pid in _tree(root):
        with suppress(OSError):  # it has just ended
            found = re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB", _rollup(pid), re.MULTILINE)
            kilobytes += sum(map(int, found))
    return 1024 * kilobytes


def _rollup(pid: int) -> str:
    return Path("/proc", str(pid), "smaps_rollup").read_text()


def _tree(root: int) -> dict[int, list[str]]:
    """Return the fields of ``stat``, from the state on, of a process and of all below it."""
    fields: dict[int, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (folder / "stat").read_text()
            fields[int(folder.name)] = stat.rpartition(")")[2].split()
    tree = {root}
    while more := {pid for pid, found in fields.items() if int(found[1]) in tree} - tree:
        tree |= more
    return {pid: fields[pid] for pid in tree if pid in fields}


def _wait_for_all(process: "subprocess.Popen[bytes]", seconds: float = 5) -> None:
    """Wait until the last process of the sandbox has let go of the pipe."""
    assert process.stdout is not None
    descriptor, deadline = process.stdout.fileno(), time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0] and not os.read(descriptor, 1 << 16):
            return


def _send(process: "subprocess.Popen[bytes]", message: Any, deadline: float) -> None:
    """Write a line; give up silently, since reading will tell what happened."""
    assert process.stdin is not None
    descriptor = process.stdin.fileno()
    os.set_blocking(descriptor, False)  # or a worker that does not read would stop the grader
    data = json.dumps(message).encode() + b"\n"
    while data and (left := deadline - time.monotonic()) > 0:
        if select.select([], [descriptor], [], left)[1]:
            try:
                data = data[os.write(descriptor, data[: 1 << 16]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return


class _Lines:
    """JSON lines from a pipe whose writer is not trusted."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor, self._most, self._buffer, self._total = descriptor, most, b"", 0

    def next(self, *limits: Budget | _Memory) -> dict[str, Any] | str:
        """Return the next message, or why there is none, as `Outcome.ended` says it."""
        while b"\n" not in self._buffer:
            for limit in limits:
                if limit.is_spent():
                    return limit.says
            if not select.select([self._descriptor], [], [], LOOK_SECONDS)[0]:
                continue
            data = os.read(self._descriptor, 1 << 16)
            if not data:
                return "stopped"
            self._total += len(data)
            if self._total > self._most:
                return "too much output"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return "stopped"
        return message if isinstance(message, dict) else "stopped"


def _start_error(process: "subprocess.Popen[bytes]", first: dict[str, Any] | str) -> SandboxError:
    """Say why the worker did not start; nothing of the student has run yet."""
    if isinstance(first, dict):
        return SandboxError(f"the worker cannot import its packages: {first.get('fatal')}")
    process.kill()
    assert process.stderr is not None
    said = process.stderr.read(4000).decode(errors="replace").strip()
    if re.search(r"user namespace|uid map|Operation not permitted|Permission denied", said):
        return SandboxError(
            f"bubblewrap may not make a sandbox here ({said}); on Ubuntu 24.04 allow it with: "
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if "Unknown option" in said:
        return SandboxError(f"bubblewrap is too old; 0.8 or newer is needed ({said})")
    return SandboxError(f"the sandbox does not start: {said or first}")


# What is inside

_CPUINFO = "/proc/cpuinfo"  # by which torch chooses its kernels


def _mounts(packages: Sequence[str]) -> list[str]:
    scratch = ["--size", str(SCRATCH_BYTES), "--tmpfs"]
    arguments = [*scratch, "/tmp"]  # first: Python itself may lie below /tmp
    for path in _system_paths():
        arguments += ["--ro-bind", path, path]
    for folder in ("/lib", "/lib32", "/lib64"):
        if os.path.islink(folder):
            arguments += ["--symlink", os.readlink(folder), folder]
    for folder in _other_packages():
        arguments += ["--tmpfs", folder, "--remount-ro", folder]
    for source, name in _package_paths(packages):
        arguments += ["--ro-bind", str(source), f"/site/{name}"]
    arguments += ["--ro-bind", str(Path(__file__).with_name("worker.py")), "/worker.py"]
    return [
        *arguments,
        # No /proc: it shows command lines, environments and where files lie outside.
        *(["--ro-bind", _CPUINFO, _CPUINFO] if os.path.exists(_CPUINFO) else []),
        *["--dev", "/dev", *scratch, "/dev/shm", "--remount-ro", "/dev"],
        *["--chdir", "/tmp", "--remount-ro", "/"],
    ]


def _system_paths() -> list[str]:
    """Return what Python itself needs: the interpreter, its library, shared libraries."""
    library = os.path.join(
        sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY") or ""
    )
    wanted = [
        *["/usr/lib", "/usr/lib32", "/usr/lib64"],
        *[folder for folder in ("/lib", "/lib32", "/lib64") if not os.path.islink(folder)],
        "/etc/ld.so.cache",
        _PYTHON[0],
        os.path.join(sys.base_prefix, "lib"),
        *([os.path.realpath(library), library] if ".so" in library else []),
    ]
    present = [path for path in dict.fromkeys(wanted) if os.path.exists(path)]
    return [
        path
        for path in present
        if not any(path.startswith(other + "/") for other in present if other != path)
    ]


def _other_packages() -> Iterator[str]:
    """Yield folders of packages inside what `_system_paths` shows; they are covered."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = os.path.join(sys.base_prefix, "lib", version, "site-packages")
    for folder in (own, "/usr/lib/python3/dist-packages"):
        if os.path.isdir(folder):
            yield folder


def _package_paths(packages: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield place and name of each file or folder of the packages and of what they require."""
    seen: set[str] = set()
    for distribution in _with_requirements(packages):
        for file in distribution.files or ():
            name = file.parts[0]
            if name in seen or name in ("..", "__pycache__") or name.endswith(".pth"):
                continue
            seen.add(name)
            place = Path(str(distribution.locate_file(name)))
            if place.exists():
                yield place, name
            # The folder of compiled modules holds those of all packages.
            compiled = Path(cache_from_source(place)) if place.suffix == ".py" else place
            if compiled != place and compiled.exists():
                yield compiled, f"__pycache__/{compiled.name}"


# torch imports them where they are; a sandbox has no GPU.
_FOR_A_GPU = {"cuda-bindings", "cuda-pathfinder"}


def _with_requirements(packages: Sequence[str]) -> list[metadata.Distribution]:
    with needs("grade"):
        from packaging.requirements import Requirement

    found: dict[str, metadata.Distribution] = {}
    wanted = list(packages)
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise SandboxError(f"packages must be installed here; {name!r} is not") from None
        for text in found[name].requires or ():
            requirement = Requirement(text)
            here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if here and requirement.name not in _FOR_A_GPU:
                wanted.append(requirement.name)
    return list(found.values())
