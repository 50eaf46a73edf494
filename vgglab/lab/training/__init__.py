"""One plain training loop for classifiers.

Devices, mixed precision and several processes are Lightning Fabric's. Of the well-kept libraries
for that it leaves the loop as it is, keeps no state for the whole process, so that two trainings in
one notebook may differ in precision, and runs under ``torchrun`` unchanged. Each process then
takes its part of every batch, and torch's DistributedDataParallel averages the gradients: the steps
are those of one process. What differs is drawn at random (dropout, augmentation) or counted over
the images that a process sees (BatchNorm).

Every epoch begins from its own seed. So an interrupted training that goes on from the checkpoint of
its last epoch ends, on the same machine, with the same bits as one that was never interrupted.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from vgglab.arguments import check_integer, needs
from vgglab.lab.data import ImageSet, shift_and_mirror
from vgglab.lab.training.checkpoints import load_checkpoint, save_checkpoint
from vgglab.tracing import random_state_kept

with needs("train"):
    from lightning_fabric import Fabric
    from tqdm import tqdm

__all__ = ["DivergenceError", "Epoch", "Evaluation", "Recipe", "evaluate", "fit", "normalise"]

_CHECK_EVERY = 20  # batches between looks at the loss: each look waits for the device
_OF_A_PROCESS = 1_000_000_007  # far from the seeds of other epochs


class DivergenceError(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class Recipe:
    """How to train: stochastic gradient descent with Nesterov momentum.

    Attributes
    ----------
    epochs, batch_size
        Passes through the images, and images in a step, of all processes together.
    lr, momentum, weight_decay
        Of ``torch.optim.SGD``.
    schedule
        ``"cosine"``: the learning rate falls from `lr` to 0 along a half cosine, step by step;
        ``"constant"``.
    warmup
        Epochs in which the learning rate rises from 0 to `lr` first.
    augment
        Shift and mirror each image at random, as is usual for CIFAR-10.
    seed
        Of the order of the images, of dropout and of augmentation; not of the model's weights.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    precision
        ``"auto"`` (bf16 where the GPU has it), ``"32-true"``, ``"bf16-mixed"``, ``"16-mixed"``.
    channels_last
        Keep images and weights in memory pixel by pixel, which is faster on many devices.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup: float = 0.0
    augment: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    channels_last: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        check_integer("epochs", self.epochs, minimum=1)
        check_integer("batch_size", self.batch_size, minimum=1)
        check_integer("seed", self.seed, minimum=0)
        for name in ("lr", "momentum", "weight_decay", "warmup"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a number from 0; got {value!r}")
        for name, accepted in _CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(
                    f"{name} must be one of {', '.join(accepted)}; got {getattr(self, name)!r}"
                )


_CHOICES = {
    "schedule": ("cosine", "constant"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("auto", "32-true", "bf16-mixed", "16-mixed"),
}


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy (nats), and the share of images whose largest logit is the right one."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: the mean loss of its steps, and the evaluation after it if asked for."""

    number: int
    train_loss: float
    valid: Evaluation | None
    seconds: float


def normalise(images: Tensor) -> Tensor:
    """Turn ``uint8`` images (N, C, H, W) into numbers of about -2 to 2: the training's own scale.

    ``(x / 255 - 0.5) / 0.25``, the same for each channel and each set of images, so that a network
    can be asked about any.
    """
    return (images.float() / 255 - 0.5) / 0.25


def fit(
    model: nn.Module,
    images: ImageSet,
    recipe: Recipe,
    *,
    valid: ImageSet | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train a classifier in place.

    Parameters
    ----------
    model
        Takes (N, C, H, W) from `normalise`, returns logits (N, classes). It is trained where it
        is and comes back on the CPU, in train mode.
    images
        What to train on.
    recipe
        How.
    valid
        What to evaluate on after each epoch.
    checkpoint
        A file for the state after each epoch. If it is there, training goes on from it.
    on_epoch
        Called after each epoch; what it raises ends the training, with the checkpoint written.

    Returns
    -------
    list of Epoch
        Of all epochs, also those before an interruption.

    Raises
    ------
    DivergenceError
        If the loss is no finite number, at most 20 steps after it happens.
    ValueError
        If the checkpoint is damaged, or was made by another recipe, model or other images; if the
        model does not return logits for the classes; or if the batches cannot be divided among the
        processes.
    OSError
        If the checkpoint cannot be written.
    """
    fabric = _fabric(recipe)
    _require_parts(images, recipe, fabric.world_size)
    fabric.launch()
    identity = _identity(model, images, recipe)
    history: list[Epoch] = []
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint)
        _require_same(checkpoint, state["identity"], identity)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history = [_epoch_from(row) for row in state["history"]]
    _require_one_place(fabric, len(history))
    steps = -(-len(images) // recipe.batch_size)
    with random_state_kept():
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)
        network, sgd = fabric.setup(model, optimizer)
        try:
            _require_logits(network, images, recipe, fabric.device)
            for number in range(len(history) + 1, recipe.epochs + 1):
                start = time.perf_counter()
                # A large odd factor: no two epochs of near seeds begin alike.
                seed = recipe.seed * 1_000_003 + number
                torch.manual_seed(seed)
                batches = _batches(images, recipe, fabric, number, seed)
                loss = _run_epoch(fabric, network, sgd, batches, recipe, number, steps)
                after = evaluate(network, valid, recipe) if valid is not None else None
                epoch = Epoch(number, loss, after, time.perf_counter() - start)
                history.append(epoch)
                if checkpoint is not None and fabric.is_global_zero:
                    state = {
                        "identity": identity,
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "history": [asdict(row) for row in history],
                    }
                    save_checkpoint(checkpoint, state)
                if on_epoch is not None:
                    on_epoch(epoch)
        finally:
            model.to("cpu")
    return history


def evaluate(model: nn.Module, images: ImageSet, recipe: Recipe | None = None) -> Evaluation:
    """Return loss and accuracy of a classifier in eval mode; its modes are put back.

    Parameters
    ----------
    model
        As in `fit`; evaluated on the device where it is.
    images
        What to evaluate on.
    recipe
        For its batch size, memory layout and precision.
    """
    recipe = recipe or Recipe(batch_size=256)
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    model.eval()
    loss, right = 0.0, 0
    try:
        with torch.no_grad():
            for start in range(0, len(images), recipe.batch_size):
                batch, labels = images[start : start + recipe.batch_size]
                labels = labels.to(device)
                logits = model(_prepare(batch.to(device), recipe)).float()
                loss += F.cross_entropy(logits, labels, reduction="sum").item()
                right += int((logits.argmax(1) == labels).sum())
    finally:
        for module, training in modes.items():
            module.training = training
    return Evaluation(loss / len(images), right / len(images))


def _fabric(recipe: Recipe) -> Fabric:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(recipe.device, True):
        raise ValueError(
            f"device must be auto or cpu on a machine without such a GPU; got {recipe.device!r}"
        )
    precision = recipe.precision
    if precision == "auto":
        on_gpu = recipe.device in ("auto", "cuda") and torch.cuda.is_available()
        precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
    if not torch.distributed.is_torchelastic_launched():
        devices, nodes, strategy = 1, 1, "auto"
    else:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes, strategy = int(os.environ["WORLD_SIZE"]) // devices, "ddp"
    return Fabric(
        accelerator="gpu" if recipe.device == "cuda" else recipe.device,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
    )


def _require_parts(images: ImageSet, recipe: Recipe, processes: int) -> None:
    """Refuse batches of which some process would get nothing, or less than the others."""
    if recipe.batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of the number of processes; got {recipe.batch_size} "
            f"for {processes} processes"
        )
    last = len(images) % recipe.batch_size
    if 0 < last < processes:
        raise ValueError(
            f"images must leave each of {processes} processes one in the last batch of an epoch; "
            f"{len(images)} images in batches of {recipe.batch_size} leave {last}"
        )


def _require_one_place(fabric: Fabric, done: int) -> None:
    """Refuse processes of which only some have found the checkpoint."""
    mean = fabric.all_reduce(torch.tensor(float(done), device=fabric.device), reduce_op="mean")
    if float(torch.as_tensor(mean)) != done:
        raise ValueError(
            "checkpoint must lie in a folder that all machines share; the processes found "
            f"different ones, this one {done} epochs"
        )


def _batches(
    images: ImageSet, recipe: Recipe, fabric: Fabric, number: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield this process's part of each batch, and how much it counts in the mean over processes.

    All processes draw one order. What they draw afterwards is each one's own.
    """
    batches = BatchSampler(RandomSampler(images), recipe.batch_size, drop_last=False)
    loader = DataLoader(
        _Parts(images, fabric.global_rank, fabric.world_size), None, sampler=batches
    )
    show = fabric.is_global_zero and sys.stderr.isatty()
    for step, (batch, labels, share) in enumerate(
        tqdm(loader, f"epoch {number}", disable=not show, leave=False)
    ):
        if step == 0 and fabric.global_rank:
            torch.manual_seed(seed + _OF_A_PROCESS * fabric.global_rank)
        batch = batch.to(fabric.device)
        batch = shift_and_mirror(batch) if recipe.augment else batch
        yield batch, labels.to(fabric.device), share


class _Parts(Dataset[tuple[Tensor, Tensor, float]]):
    """Of each batch of images the part of one process, and its share times their number."""

    def __init__(self, images: ImageSet, rank: int, processes: int) -> None:
        self.images, self.rank, self.processes = images, rank, processes

    def __getitem__(self, batch: list[int]) -> tuple[Tensor, Tensor, float]:
        part = batch[self.rank :: self.processes]
        return *self.images[part], len(part) * self.processes / len(batch)


def _run_epoch(
    fabric: Fabric,
    network: nn.Module,
    optimizer: Any,
    batches: Iterator[tuple[Tensor, Tensor, float]],
    recipe: Recipe,
    number: int,
    steps: int,
) -> float:
    """Train for an epoch, and return the mean loss of an image."""
    network.train()
    total = torch.zeros((), device=fabric.device)
    seen = torch.zeros((), device=fabric.device)
    for step, (batch, labels, share) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * _factor(recipe, number - 1 + step / steps)
        loss = F.cross_entropy(network(_prepare(batch, recipe)), labels)
        optimizer.zero_grad()
        fabric.backward(loss * share)
        optimizer.step()
        total += loss.detach() * len(batch)
        seen += len(batch)
        if step % _CHECK_EVERY == 0 or step == steps - 1:
            # Of all processes, so that they stop together.
            everything = fabric.all_reduce(torch.stack([total, seen]), reduce_op="sum")
            if not torch.as_tensor(everything).isfinite().all():
                raise DivergenceError(
                    f"the loss became no finite number in epoch {number}, by step {step + 1} of "
                    f"{steps}; the learning rate was {recipe.lr}: try a smaller one, or a warm-up"
                )
    mean, count = torch.as_tensor(everything).tolist()
    return float(mean / count)


def _prepare(batch: Tensor, recipe: Recipe) -> Tensor:
    images = normalise(batch)
    return images.to(memory_format=torch.channels_last) if recipe.channels_last else images


def _require_logits(
    network: nn.Module, images: ImageSet, recipe: Recipe, device: torch.device
) -> None:
    network.eval()
    with torch.no_grad():
        shape = tuple(network(_prepare(images.images[:1].to(device), recipe)).shape)
    if len(shape) != 2 or shape[1] < len(images.classes):
        raise ValueError(
            f"model must return at least {len(images.classes)} logits for an image, (N, classes); "
            f"it returns {shape} for one"
        )


def _factor(recipe: Recipe, epoch: float) -> float:
    """Return the learning rate at a time, in epochs, as a share of the recipe's."""
    if epoch < recipe.warmup:
        return epoch / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    along = (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup)
    return float(0.5 + 0.5 * torch.cos(torch.tensor(along * torch.pi)))


def _identity(model: nn.Module, images: ImageSet, recipe: Recipe) -> dict[str, str]:
    """Return what a checkpoint must have in common with the training that goes on from it."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return {
        "recipe": str(asdict(recipe)),
        "model": f"{type(model).__name__} {shapes}",
        "images": f"{len(images)} of {dict(images.source)}",
    }


def _require_same(path: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ValueError(
                f"checkpoint must be of the same {name}; {str(path)!r} was made with "
                f"{found.get(name)}, and this is {value}"
            )


def _epoch_from(row: dict[str, Any]) -> Epoch:
    valid = row["valid"]
    return Epoch(**{**row, "valid": None if valid is None else Evaluation(**valid)})
