"""Files that are either whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch


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


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    write_whole(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, on the CPU.

    Raises
    ------
    ValueError
        If the file is damaged. It is kept, under another name, and nothing is started again.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        aside = path.with_name(path.name + ".damaged")
        path.replace(aside)
        raise ValueError(
            f"checkpoint must be a whole file; {str(path)!r} is damaged ({type(error).__name__}) "
            f"and was put aside as {aside.name!r}; the same command now begins from epoch 1"
        ) from error
    return state
