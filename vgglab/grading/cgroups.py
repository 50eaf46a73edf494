"""Limits of memory and processes, and time used, by Linux control groups where they can be had."""

import itertools
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PREFIX = "vgglab-"


@dataclass(frozen=True)
class Group:
    """A control group for one sandbox.

    Attributes
    ----------
    folders
        One folder for version 2; one for each controller for version 1.
    """

    folders: tuple[Path, ...]

    def processor_seconds(self) -> float | None:
        """Return the processor time that all its processes have used, if the kernel counts it."""
        for folder in self.folders:
            for line in _read(folder / "cpu.stat").splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1]) / 1e6
            nanoseconds = _read(folder / "cpuacct.usage").strip()
            if nanoseconds.isdigit():
                return int(nanoseconds) / 1e9
        return None

    @property
    def entrances(self) -> list[Path]:
        """Files to which a process writes 0 to be in the group."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def peak_bytes(self) -> int | None:
        """Return the most memory that was in use, if the kernel says."""
        return self._number("memory.peak", "memory.max_usage_in_bytes")

    def ran_out_of_memory(self) -> bool:
        """Tell whether the kernel ended a process for want of memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                lines = _read(folder / name).splitlines()
                if any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines):
                    return True
        return False

    def _number(self, *names: str) -> int | None:
        for folder in self.folders:
            for name in names:
                text = _read(folder / name).strip()
                if text.isdigit():
                    return int(text)
        return None

    def remove(self) -> None:
        """End what is still in the group, and remove it."""
        for folder in self.folders:
            for _ in range(500):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:  # processes are still ending
                    _kill(folder)
                    time.sleep(0.01)


class Groups:
    """Makes control groups below those of this process.

    Raises
    ------
    OSError
        If there are none that this process may change.
    """

    def __init__(self, root: Path = ROOT, membership: str | None = None) -> None:
        self._numbers = itertools.count(1)  # threads ask for groups at the same time
        if membership is None:
            membership = _read(Path("/proc/self/cgroup"))
        own = _own_groups(membership)
        if (root / "memory").is_dir():
            self.version = 1
            self._parents = [
                _first_that_works(root / name, own.get(name, "/"), limits)
                for name, limits in (("memory", "memory.limit_in_bytes"), ("pids", "pids.max"))
            ]
            with suppress(OSError):  # without it, time is counted by process
                self._parents.append(
                    _first_that_works(root / "cpuacct", own.get("cpuacct", "/"), "cpuacct.usage")
                )
        else:
            self.version = 2
            unified = own.get("", "/")
            _delegate(root / unified.lstrip("/"))
            self._parents = [_first_that_works(root, unified, "memory.max")]
        for parent in self._parents:
            _remove_stale(parent)

    def create(self, memory_bytes: int, processes: int) -> Group:
        """Make a group with these limits; swap counts as memory where the kernel counts it."""
        name = f"{_PREFIX}{os.getpid()}-{next(self._numbers)}"
        group = Group(tuple(parent / name for parent in self._parents))
        limits: dict[str, int] = {"pids.max": processes}
        if self.version == 1:
            limits["memory.limit_in_bytes"] = memory_bytes
            limits["memory.memsw.limit_in_bytes"] = memory_bytes
        else:
            limits |= {"memory.max": memory_bytes, "memory.swap.max": 0}
        for folder in group.folders:
            folder.mkdir()
        for file, value in limits.items():
            for folder in group.folders:
                if (folder / file).exists():
                    (folder / file).write_text(str(value))
        return group


def _own_groups(membership: str) -> dict[str, str]:
    """Return path by controller, ``""`` standing for version 2."""
    lines = (line.split(":", 2) for line in membership.splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def _first_that_works(root: Path, own: str, limit: str) -> Path:
    """Return the first of the own group, its parent and the root that can have limited groups."""
    here = root / own.lstrip("/")
    for parent in (here, here.parent if here != root else root, root):
        trial = parent / f"{_PREFIX}{os.getpid()}-trial"
        try:
            trial.mkdir()
        except OSError:
            continue
        works = os.access(trial / limit, os.W_OK) and os.access(trial / "cgroup.procs", os.W_OK)
        trial.rmdir()
        if works:
            return parent
    raise PermissionError(f"no control group with {limit} can be made under {root}")


def _delegate(own: Path) -> None:
    """Hand memory and pids to groups below the own one, if it was delegated to us.

    Version 2 allows that only once no process is in the group itself.
    """
    if "memory" in _read(own / "cgroup.subtree_control").split():
        return
    leaf = own / f"{_PREFIX}grader"
    try:
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
        (own / "cgroup.subtree_control").write_text("+memory +pids")
    except OSError:
        return


def _remove_stale(parent: Path) -> None:
    """Remove groups that a killed grader left."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            Group((folder,)).remove()


def _kill(folder: Path) -> None:
    for line in _read(folder / "cgroup.procs").split():
        try:
            os.kill(int(line), 9)
        except OSError:
            continue


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
