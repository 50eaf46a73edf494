"""Files that are either whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its place and move it there: nobody ever sees half of it.

    Parameters
    ----------
    path
        The file; what it was stays if writing fails.
    write
        Writes to an open file.

    Raises
    ------
    OSError
        If it cannot be written, such as on a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError | RuntimeError):  # torch.save's own kind of error
            reason = error.strerror if isinstance(error, OSError) else str(error)
            kept = "; the one from before is whole" if path.exists() else ""
            raise OSError(f"{str(path)!r} could not be written ({reason}){kept}") from error
        raise
