"""Files that are either whole or not there."""

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryFile
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


def check_writable(folder: Path) -> None:
    """Make a folder, and find out whether files can be written there, before work begins.

    Raises
    ------
    OSError
        If they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"nothing can be written to {str(folder)!r} ({error.strerror})") from error


def write_all(folder: Path, files: Mapping[str, bytes], remove: Collection[str] = ()) -> None:
    """Write several files into a folder: all of them or none.

    Parameters
    ----------
    folder
        What else lies in it stays, but for what lies in the subfolders that `files` names.
    files
        Contents by path relative to `folder`, with ``/``.
    remove
        Names in `folder` that go if they are not among `files`.

    Raises
    ------
    OSError
        If they cannot be written, such as on a full disk.
    """
    existed = folder.exists()
    unfinished = folder / f".{os.getpid()}"
    try:
        for name, data in files.items():
            path = unfinished / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (unfinished / "old").mkdir()
        new = sorted((unfinished / "new").iterdir())
        for name in sorted({*remove, *(path.name for path in new)}):  # this needs no room
            if (folder / name).exists():
                (folder / name).rename(unfinished / "old" / name)
        for path in new:
            path.rename(folder / path.name)
    except OSError as error:
        shutil.rmtree(folder if not existed else unfinished, ignore_errors=True)
        raise OSError(f"nothing was written to {str(folder)!r} ({error.strerror})") from error
    shutil.rmtree(unfinished, ignore_errors=True)
