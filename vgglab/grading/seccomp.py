"""System calls that student code does not get: a seccomp filter, as bubblewrap loads it.

What is refused answers "no such system call", on which the C library falls back where it can.
So does every call that is newer than the table: what nobody has looked at is not allowed.
"""

import platform
import struct
from collections.abc import Iterator, Sequence

# Name of each call, with its number on x86_64 and on aarch64; `None` where there is none.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # keys of the user who grades
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    # large and young parts of the kernel
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241),
    # what is in memory of a file that others read too
    "mincore": (27, 232), "cachestat": (451, 451), "fadvise64": (221, 223),
    "readahead": (187, 213), "preadv2": (327, 286), "pwritev2": (328, 287),
    # locks and news on such files
    "flock": (73, 32), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    # memory that no limit of a process counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "vmsplice": (278, 75),
    # namespaces, mounts, and what belongs to root
    "unshare": (272, 97), "setns": (308, 268), "clone3": (435, 435), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "personality": (135, 92), "syslog": (103, 116),
    "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "modify_ldt": (154, None), "uselib": (134, None),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "lookup_dcookie": (212, 18),
}  # fmt: skip

# Calls with one argument (its place) that must be, or must not be, among some values.
FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: the others are not in the network namespace
ARGUMENTS: dict[str, tuple[tuple[int, int], int, bool, tuple[int, ...]]] = {
    "socket": ((41, 198), 0, True, FAMILIES),
    "socketpair": ((53, 199), 0, True, FAMILIES),
    # F_GETLK to F_SETLKW, their OFD kin, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ
    "fcntl": ((72, 25), 1, False, (5, 6, 7, 36, 37, 38, 1024, 1026, 1031)),
    "madvise": ((28, 233), 2, False, (3, 20, 21)),  # MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT
    "ioctl": ((16, 29), 1, False, (0x5412, 0x541C)),  # TIOCSTI, TIOCLINUX
}
NEWEST = 452  # fchmodat2

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # AUDIT_ARCH_...

# From linux/bpf_common.h, linux/seccomp.h and asm-generic/errno.h.
_LOAD, _EQUAL, _GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # places in struct seccomp_data
ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | 1, 0x00050000 | 38


def number(call: str, machine: str = platform.machine()) -> int:
    """Return the number of a call that is refused, or -1 where it is not known."""
    column = ARCHITECTURES.get(machine, (None,))[0]
    found = None if column is None else REFUSED[call][column]
    return -1 if found is None else found


def seccomp_filter(machine: str = platform.machine()) -> bytes | None:
    """Return the filter for a machine, as bubblewrap's ``--seccomp`` reads it.

    Returns
    -------
    bytes or None
        Instructions of classic BPF, of 8 bytes each; ``None`` for a machine that is not known.
    """
    if machine not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[machine]
    return b"".join(struct.pack("=HBBI", *line) for line in _program(column, architecture))


def _program(column: int, architecture: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield code, jump if true, jump if false, and operand of each instruction."""
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    yield (_EQUAL, 1, 0, architecture)
    yield (_RETURN, 0, 0, KILL)  # 32-bit calls have other numbers
    yield (_LOAD, 0, 0, _NUMBER)
    yield from _if(_GREATER, NEWEST, [(_RETURN, 0, 0, ENOSYS)])  # those of x32 too
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            yield from _if(_EQUAL, number, [(_RETURN, 0, 0, ENOSYS)])
    for places, argument, wanted, values in ARGUMENTS.values():
        match, other = (ALLOW, EPERM) if wanted else (EPERM, ALLOW)
        tests = [line for value in values for line in _if(_EQUAL, value, [(_RETURN, 0, 0, match)])]
        # The kernel reads an int: its lower half alone.
        load = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)
        yield from _if(_EQUAL, places[column], [load, *tests, (_RETURN, 0, 0, other)])
    yield (_RETURN, 0, 0, ALLOW)


def _if(
    test: int, value: int, then: Sequence[tuple[int, int, int, int]]
) -> list[tuple[int, int, int, int]]:
    return [(test, 0, len(then), value), *then]
