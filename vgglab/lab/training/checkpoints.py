"""Checkpoints of a training: files that are either whole or not there."""

from pathlib import Path
from typing import Any

import torch

from vgglab.files import write_whole


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
