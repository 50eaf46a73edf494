"""Starts bubblewrap: in its control groups, and with a session keyring of its own.

Run by path, with no package around it: ``launch.py KEYCTL COUNT GROUP... COMMAND...``. A shell
would add the grader's folder to the environment.
"""

import ctypes
import os
import sys

JOIN_SESSION_KEYRING = 1  # keyctl(2)


def main() -> None:
    """Enter the groups before there is anything to limit, leave the keys behind, and go on."""
    keyctl, count = int(sys.argv[1]), int(sys.argv[2])
    for group in sys.argv[3 : 3 + count]:
        with open(group, "w") as file:
            file.write("0")
    if keyctl >= 0:
        ctypes.CDLL(None).syscall(keyctl, JOIN_SESSION_KEYRING, None)
    command = sys.argv[3 + count :]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
