"""A set of labelled images, whole in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vgglab.arguments import check_integer

Index: TypeAlias = Sequence[int] | Tensor | slice


@dataclass(frozen=True, eq=False)
class ImageSet(Dataset[tuple[Tensor, Tensor]]):
    """Images of one size with their labels.

    Indexed with a list of positions it gives that batch, so that torch's ``DataLoader`` can read
    it with ``batch_size=None`` and a ``BatchSampler``.

    Attributes
    ----------
    images
        (N, C, H, W), ``torch.uint8``.
    labels
        (N,), ``torch.int64``, places in `classes`.
    classes
        Their names.
    source
        What is needed to get the same images again, for the records of experiments.
    notes
        What else is known of each image, by name: tensors of N rows.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    source: Mapping[str, object]
    notes: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise ValueError(
                "images must be torch.uint8 of the shape (N, C, H, W); got "
                f"{self.images.dtype} of {tuple(self.images.shape)}"
            )
        for name, rows in {"labels": self.labels, **self.notes}.items():
            if len(rows) != len(self.images):
                raise ValueError(
                    f"{name} must have a row for each of {len(self.images)} images; got {len(rows)}"
                )
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(
                f"labels must be places in the {len(self.classes)} classes; they are from "
                f"{self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Index) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def subset(self, index: Index) -> "ImageSet":
        """Return the images at these positions, with all that is known of them."""
        notes = {name: rows[index] for name, rows in self.notes.items()}
        return replace(self, images=self.images[index], labels=self.labels[index], notes=notes)

    def take(self, count: int, seed: int = 0) -> "ImageSet":
        """Return `count` images drawn without replacement, equally many of each class.

        Parameters
        ----------
        count
            A multiple of the number of classes.
        seed
            Other seeds draw other images.

        Raises
        ------
        ValueError
            If `count` is no such multiple, or if a class has too few images.
        """
        return self.divide(count, seed)[0]

    def divide(self, count: int, seed: int = 0) -> tuple["ImageSet", "ImageSet"]:
        """Return the images that `take` draws, and the others."""
        each, rest = divmod(check_integer("count", count, minimum=1), len(self.classes))
        if rest:
            raise ValueError(
                f"count must be a multiple of the {len(self.classes)} classes; got {count}"
            )
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.zeros(len(self), dtype=torch.bool)
        for label, name in enumerate(self.classes):
            places = (self.labels == label).nonzero().flatten()
            if len(places) < each:
                raise ValueError(
                    f"count must be at most {len(places)} times {len(self.classes)}, for there are "
                    f"{len(places)} images of {name}; got {count}"
                )
            drawn[places[torch.randperm(len(places), generator=generator)[:each]]] = True
        taken, others = (
            replace(
                self.subset(which.nonzero().flatten()),
                source={**self.source, key: count, f"{key}_seed": seed},
            )
            for key, which in (("take", drawn), ("leave", ~drawn))
        )
        return taken, others
