"""Train a network that comes with the package: ``python -m vgglab.lab.pretrained.train``.

``--head fc`` trains the other one. ``VGGLAB_DATA`` says what it is trained on. An interrupted
training goes on when the same command is given again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from vgglab.arguments import needs
from vgglab.lab.data import cifar10
from vgglab.lab.pretrained import SHIPPED
from vgglab.lab.provenance import provenance, today
from vgglab.lab.training import Epoch, Recipe, evaluate, fit

with needs("train"):
    from safetensors.torch import save

SEED = 0
RECIPES = {
    "gap": Recipe(
        epochs=30, batch_size=128, lr=0.1, warmup=1, augment=True, seed=SEED, channels_last=True
    ),
    "fc": Recipe(epochs=5, batch_size=128, lr=0.1, warmup=0.5, seed=SEED, channels_last=True),
}
COMMANDS = {
    "gap": "VGGLAB_DATA=cifar10-jpeg.tar.xz python -m vgglab.lab.pretrained.train",
    "fc": "VGGLAB_DATA=cifar10-jpeg.tar.xz python -m vgglab.lab.pretrained.train --head fc",
}


@click.command()
@click.option("--head", type=click.Choice(list(SHIPPED)), default="gap", show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(__file__).parent,
    help="Folder for the weights and their card.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="State after each epoch; by default a file of its own in the current folder.",
)
def main(head: str, out: Path, checkpoint: Path | None) -> None:
    """Train a slim VGG on CIFAR-10 and write its weights with their card."""
    shipped, recipe = SHIPPED[head], RECIPES[head]
    checkpoint = checkpoint or Path(f"{shipped.name}.checkpoint.pt")
    images, test = cifar10("train", shipped.side), cifar10("test", shipped.side)
    torch.manual_seed(SEED)
    network = shipped.build()
    history = fit(network, images, recipe, checkpoint=checkpoint, on_epoch=_say)
    weights: dict[str, Tensor] = {
        name: tensor.contiguous() for name, tensor in network.state_dict().items()
    }
    if head == "fc":  # what is measured is what is shipped: the weights in half precision
        weights = {name: x.half() if x.is_floating_point() else x for name, x in weights.items()}
        network.load_state_dict(weights)
    after = evaluate(network, test)
    out.mkdir(parents=True, exist_ok=True)
    card = {
        "network": f"{shipped.build.__name__}()",
        "command": COMMANDS[head],
        "date": today(),
        "provenance": provenance(),
        "seed": SEED,
        "recipe": asdict(recipe),
        "train_images": dict(images.source),
        "test_images": dict(test.source),
        "classes": images.classes,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "train_loss": [round(epoch.train_loss, 4) for epoch in history],
        "test_loss": after.loss,
        "test_accuracy": after.accuracy,
    }
    encoded = save(weights)
    card["weights_sha256"] = sha256(encoded).hexdigest()
    for suffix, content in {
        "safetensors": encoded,
        "json": (json.dumps(card, indent=1) + "\n").encode(),
        "md": model_card(card, head).encode(),
    }.items():
        (out / f"{shipped.name}.{suffix}").write_bytes(content)
    checkpoint.unlink()
    click.echo(f"accuracy on {len(test)} test images: {after.accuracy:.4f}")


_ABOUT = {
    "gap": """\
The first three stages of VGG-16 at half their width, with BatchNorm, global average pooling and
one linear layer: `{network}`, {parameters:,} parameters, for images of 32 by 32
pixels. `vgglab.lab.pretrained.trained_slim_vgg()` loads it.

## For what

To look at: score maps, features and probes in the chapters, with real weights and no download. It
is no strong classifier, and nothing should be decided by what it says.
""",
    "fc": """\
The first two stages of VGG-16 at three eighths of their width, with BatchNorm, and two fully
connected layers on a map of 7x7: `{network}`, {parameters:,} parameters, for images of 28 by 28
pixels. `vgglab.lab.pretrained.trained_slim_fc_vgg()` loads it; the file is in half precision.

## For what

To be repaired: it takes no other size, as VGG-16 without adaptive pooling does, and it has trained
weights to lose. It was trained for minutes. It is no strong classifier, and nothing should be
decided by what it says.
""",
}


def model_card(card: Mapping[str, Any], head: str = "gap") -> str:
    """Return the card for people: https://arxiv.org/abs/1810.03993 says what belongs in one."""
    recipe, measured_on, images = card["recipe"], card["provenance"], card["train_images"]
    augmented = "shifts and mirrors" if recipe["augment"] else "no augmentation"
    digest = f", SHA-256 `{images['sha256']}`" if "sha256" in images else ""
    return f"""# Slim VGG, trained on CIFAR-10

{_ABOUT[head].format(**card)}
## Trained

* Command: `{card["command"]}`
* Images: {images["split"]} part of `{images["data"]}`, CIFAR-10 (A. Krizhevsky, 2009) as
  JPEG{digest}
* {recipe["epochs"]} epochs of SGD with Nesterov momentum {recipe["momentum"]}, batches of
  {recipe["batch_size"]}, learning rate {recipe["lr"]} with a warm-up of {recipe["warmup"]} epoch
  and a cosine schedule, weight decay {recipe["weight_decay"]}, {augmented}; seed
  {card["seed"]}
* On {card["date"]}: {measured_on["device"]}, {measured_on["threads"]} threads, torch
  {measured_on["torch"]}, Python {measured_on["python"]}

## Measured

Accuracy {card["test_accuracy"]:.2%}, mean cross-entropy {card["test_loss"]:.3f}, on the
test images of the same archive, looked at once, after the last epoch. One training, one seed: how
far another seed would be from this is not measured.

## Limits

It knows {len(card["classes"])} classes ({", ".join(card["classes"])}), in small photographs with
the object in the middle, and gives every other image one of these names. The images were
compressed as JPEG (quality 75), so its accuracy is not that on the original CIFAR-10.

Weights: SHA-256 `{card["weights_sha256"]}`
"""


def _say(epoch: Epoch) -> None:
    click.echo(f"epoch {epoch.number}: loss {epoch.train_loss:.4f}, {epoch.seconds:.0f} s")


if __name__ == "__main__":
    main()
