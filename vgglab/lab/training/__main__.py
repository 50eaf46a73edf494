"""Train a small VGG from the command line, in one process or in several.

``python -m vgglab.lab.training`` or ``torchrun --nproc-per-node 2 -m vgglab.lab.training``.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
import torch
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

from vgglab.files import check_writable, write_whole
from vgglab.lab.data import load_images
from vgglab.lab.provenance import provenance, today
from vgglab.lab.small_networks import HEADS, SIDE, slim_vgg
from vgglab.lab.training import DivergenceError, Epoch, Recipe, fit
from vgglab.tracing import random_state_kept


@click.command()
@click.option("--data", default="shapes", show_default=True, help="shapes, digits or cifar10.")
@click.option("--images", default=2000, show_default=True, help="How many to train on.")
@click.option("--head", type=click.Choice(list(HEADS)), default="gap", show_default=True)
@click.option("--width", default=0.25, show_default=True, help="Channels, as a share of VGG's.")
@click.option("--norm", type=click.Choice(["none", "batch"]), default="none", show_default=True)
@click.option("--epochs", default=10, show_default=True)
@click.option(
    "--batch-size", default=64, show_default=True, help="Images of a step, of all processes."
)
@click.option("--lr", default=0.05, show_default=True)
@click.option("--warmup", default=1.0, show_default=True, help="In epochs.")
@click.option("--augment", is_flag=True, help="Shift and mirror each image at random.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path),
    default="training",
    show_default=True,
    help="Folder for the checkpoint and the losses; one that all machines share.",
)
def main(
    data: str, images: int, head: str, width: float, norm: str, folder: Path, **options: object
) -> None:
    """Train a slim VGG, and go on where an interrupted training was.

    Several processes divide every batch: the losses are those of one process.
    """
    with _one_sentence(folder):
        recipe = Recipe(**options)  # type: ignore[arg-type]
        check_writable(folder)
        # Scenes are drawn as many as there shall be, real images are chosen.
        count: dict[str, Any] = {"count": images} if data == "shapes" else {}
        chosen = load_images(data, size=SIDE, **count).take(images, recipe.seed)
        with random_state_kept():
            torch.manual_seed(recipe.seed)
            network = slim_vgg(
                head,
                norm=None if norm == "none" else "batch",
                width=width,
                num_classes=len(chosen.classes),
                in_channels=chosen.images.shape[1],
            )
        checkpoint = folder / "checkpoint.pt"
        history = fit(network, chosen, recipe, checkpoint=checkpoint, on_epoch=_say)
        if _leads():
            record = {
                "provenance": {**provenance(), "images": chosen.source},
                "processes": int(os.environ.get("WORLD_SIZE", "1")),
                "date": today(),
                "recipe": asdict(recipe),
                "epochs": [asdict(epoch) for epoch in history],
            }
            text = json.dumps(record, indent=1, default=dict)
            write_whole(folder / "training.json", lambda file: file.write(text.encode()))


def _leads() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _say(epoch: Epoch) -> None:
    if _leads():
        click.echo(f"epoch {epoch.number}: loss {epoch.train_loss:.6f}, {epoch.seconds:.1f} s")


class _Ended(BaseException):
    """Somebody asked this process to end."""


@contextmanager
def _one_sentence(folder: Path) -> Iterator[None]:
    """End with one sentence of one process, whatever happens to which of them."""
    again = "the same command goes on after the last finished epoch"
    try:
        signal.signal(signal.SIGTERM, _end)
        yield
    except (DivergenceError, ImportError, OSError, TypeError, ValueError) as error:
        _tell(f"Error: {error}", 2)
    except (KeyboardInterrupt, _Ended):
        _tell(f"Stopped; {str(folder)!r} is whole, and {again}", 130)
    except torch.OutOfMemoryError:
        _tell(
            f"Error: the device has too little memory for this batch; {str(folder)!r} is whole: "
            "try half of --batch-size",
            1,
        )
    except RuntimeError as error:
        # gloo raises no type of its own.
        if not isinstance(error, DistError) and "gloo" not in str(error):
            raise
        _tell(f"Error: a process was lost; {str(folder)!r} is whole, and {again}", 1)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended


def _tell(sentence: str, status: int) -> NoReturn:
    """Say a sentence, unless another process has said one, and exit."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others; this one is ending
    if _first_to_speak():
        click.echo(sentence, err=True)
    sys.stderr.flush()
    # Without the farewell of the communication library, which would wait for who is gone.
    os._exit(status)


def _first_to_speak() -> bool:
    """Ask the store of torchrun, which outlives its processes."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    try:
        store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=5),
        )
        key = f"said/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
        return store.add(key, 1) == 1
    except (OSError, RuntimeError):
        return True


if __name__ == "__main__":
    main()
