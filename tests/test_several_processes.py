"""A training in two processes: the steps of one, and nothing lost when one of them is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from sampling import sampled
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from vgglab.course.exercises import load_exercises
from vgglab.lab.data import shapes
from vgglab.lab.training import Recipe, fit, normalise
from vgglab.lab.training.__main__ import main

# 70 images in batches of 16 leave 6: 3 for each of two processes, 2 or 1 for each of four.
IMAGES = shapes(70, 16, kinds=("disk", "cross"), clutter=0)
RECIPE = Recipe(epochs=3, batch_size=16, lr=0.003, warmup=0.5, device="cpu")
COMMAND = [
    "--images", "100", "--width", "0.0625", "--head", "flatten", "--batch-size", "32",
    "--lr", "0.002", "--device", "cpu",
]  # fmt: skip


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 2))


def train(recipe: Recipe, checkpoint: Path | None = None) -> list[float]:
    """Return the loss of each epoch, and then a sum over all weights."""
    model = network()
    history = fit(model, IMAGES, recipe, checkpoint=checkpoint)
    weights = sum(parameter.abs().sum().item() for parameter in model.parameters())
    return [*(epoch.train_loss for epoch in history), weights]


def launch(processes: int, call, *arguments):
    """Call a function in several processes, as torchrun does; a fork need not import torch."""
    config = LaunchConfig(
        1,
        1,
        processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.02,
        start_method="spawn" if torch.cuda.is_available() else "fork",
    )
    return elastic_launch(config, call)(*arguments)


def check_same(found: list[float], wanted: list[float]) -> None:
    """Sums in another order: 1e-4. A wrong share of the last batch is off by more than 1e-3."""
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=1e-4, atol=0)


@pytest.mark.sampled
@pytest.mark.parametrize("processes", sampled([2, 4], 1))
def test_the_losses_are_those_of_one_process(tmp_path, processes):
    found = launch(processes, train, RECIPE, tmp_path / "checkpoint.pt")
    alone = train(RECIPE)
    for losses in found.values():
        check_same(losses, alone)
    assert alone[2] < 0.9 * alone[0]
    # One process goes on where several were, and ends where they would have.
    part = tmp_path / "part.pt"
    check_same(launch(processes, interrupted, RECIPE, part)[0], alone[:2])
    check_same(train(RECIPE, part), alone)


def ddp_and_by_hand() -> list[list[float]]:
    """Return the gradients of this process's images: by DDP, and averaged in two ways."""
    dist.init_process_group("gloo")
    rank, processes = dist.get_rank(), dist.get_world_size()
    batch, labels = normalise(IMAGES.images[rank:8:processes]), IMAGES.labels[rank:8:processes]
    found = []
    for average in (None, *(load_exercises()[id].solution() for id in ("10-2", "10-3"))):
        model = network()
        if average is None:
            parallel = DistributedDataParallel(model)  # only what is kept averages
            cross_entropy(parallel(batch), labels).backward()
        else:
            cross_entropy(model(batch), labels).backward()
            average([p.grad for p in model.parameters()], dist.all_reduce, processes)
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]).tolist())
    dist.destroy_process_group()
    return found


def test_the_solutions_of_chapter_10_average_as_ddp_does():
    for by_torch, naive, flat in launch(2, ddp_and_by_hand).values():
        torch.testing.assert_close(torch.tensor(naive), torch.tensor(by_torch))
        torch.testing.assert_close(torch.tensor(flat), torch.tensor(by_torch))


def interrupted(recipe: Recipe, checkpoint: Path) -> list[float]:
    """Train for two epochs of those of the recipe, and say their losses."""
    losses: list[float] = []

    def stop(epoch):
        losses.append(epoch.train_loss)
        if epoch.number == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        fit(network(), IMAGES, recipe, checkpoint=checkpoint, on_epoch=stop)
    return losses


def run_main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    main(arguments, standalone_mode=False)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    sampled(
        [
            (["--batch-size", "9"], "batch_size must be a multiple of the number of processes"),
            (["--images", "65", "--batch-size", "32"], "images must leave each of 2 processes one"),
            (["--results", "{taken}"], "nothing can be written to"),
            (["--lr", "1e30", "--warmup", "0"], "the loss became no finite number in epoch 1"),
            (["--data", "mnist"], "name must be one of"),
            (["--device", "tpu"], "device must be one of"),
        ],
        1,
    ),
)
def test_a_mistake_is_one_sentence_of_one_process(tmp_path, capfd, arguments, sentence):
    taken = tmp_path / "file"
    taken.touch()
    arguments = [text.format(taken=taken) for text in arguments]
    with pytest.raises(ChildFailedError):
        launch(2, run_main, [*COMMAND, "--results", str(tmp_path / "results"), *arguments])
    said = [line for line in capfd.readouterr().err.splitlines() if "Error:" in line]
    assert len(said) == 1
    assert sentence in said[0]


@pytest.mark.wide
def test_a_killed_process_costs_no_more_than_its_epoch(tmp_path):
    """With torchrun itself: one sentence, and the next call ends where one process would have."""
    command = [*COMMAND, "--epochs", "20", "--results", str(tmp_path / "results")]
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone"]
    torchrun += ["--nproc-per-node", "2", "-m", "vgglab.lab.training", *command]
    path = tmp_path / "results" / "training.json"
    job = subprocess.Popen(torchrun, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stdout is not None
    for line in job.stdout:
        if line.startswith("epoch 2:"):
            break
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    (victim,) = [pid for pid in map(int, children) if of_rank(pid) == 0]  # writes the files
    os.kill(victim, signal.SIGKILL)
    rest, errors = job.communicate()
    assert job.returncode == 1
    (said,) = [line for line in errors.splitlines() if "the same command goes on" in line]
    # The other process misses the lost one, or torchrun stops it before it does.
    begins, _, rest_of_it = said.partition("; ")
    assert begins in ("Error: a process was lost", "Stopped")
    assert rest_of_it == (
        f"{str(path.parent)!r} is whole, and the same command goes on after the last finished epoch"
    )
    assert not path.exists()
    last = max([2, *(int(line.split()[1].strip(":")) for line in rest.splitlines())])
    again = subprocess.run(torchrun, capture_output=True, text=True, check=True)
    first = int(again.stdout.split()[1].strip(":"))
    assert first in (last + 1, last + 2)
    run_main([*command[:-1], str(tmp_path / "alone")])
    runs = [json.loads(p.read_text()) for p in (path, tmp_path / "alone" / "training.json")]
    check_same(*([epoch["train_loss"] for epoch in run["epochs"]] for run in runs))
    assert [run["processes"] for run in runs] == [2, 1]


def of_rank(pid: int) -> int | None:
    """Return the rank in a process's environment, if it has one."""
    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if entry.startswith(b"RANK="):
            return int(entry.removeprefix(b"RANK="))
    return None
