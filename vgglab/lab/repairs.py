"""All repairs of a network that refuses an image for its size, in one table, side by side.

`REPAIRS` is data: a name, what it does, and the function that makes the repaired network.
`repairs_table` says what each costs and keeps and how far their answers are apart; how often they
are right is an experiment (`vgglab.lab.experiments.repairing`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import log, prod
from typing import Any, NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import five_crop

from vgglab.arguments import as_pair, check_model, check_sizes
from vgglab.compare import VERDICTS, compare
from vgglab.compare.onnx import onnx_round_trip
from vgglab.compare.reference import Failed, random_input, run_copies
from vgglab.convert import (
    fc_to_conv,
    fold_adaptive_pool,
    with_adaptive_pool,
    with_gap_head,
    with_spp_head,
)
from vgglab.convert.chain import Part, shared_chains
from vgglab.convert.dry_run import image_batch
from vgglab.convert.single_layers import fresh_linear
from vgglab.convert.split import Split, find_split
from vgglab.diagnose import diagnose
from vgglab.diagnose.candidates import LEVELS
from vgglab.report import Report, count, mebibytes
from vgglab.shapes import IntOrPair
from vgglab.summary import summary
from vgglab.tracing import Shape, Trace, random_state_kept, trace
from vgglab.valid_sizes import valid_sizes

CROPS = 5


class Case(NamedTuple):
    """A network, the input for which it was trained, and the input that it is to take.

    Attributes
    ----------
    model
        The network.
    old, new
        Shapes (N, C, H, W).
    """

    model: nn.Module
    old: Shape
    new: Shape

    @property
    def map(self) -> tuple[int, int]:
        """Height and width of the map that the first fully connected layer reads."""
        split = self._split()
        return split.map_shape(split.maps, image_batch(self.old))[1:]

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self._split().last.linear.out_features

    def _split(self) -> Split:
        """Return the network, cut where its last feature maps are flattened."""
        return find_split(self.model, image_batch(self.old))


@dataclass(frozen=True)
class Repair:
    """One way to make a network take images of another size.

    Attributes
    ----------
    name
        A short name.
    note
        What it does, in a sentence.
    make
        Takes a `Case` and returns the repaired network; raises ``ValueError`` if it does not apply.
    changed
        Which fully connected layers do not have the numbers that they had: ``"none"``,
        ``"first"``, ``"all"``.
    fresh
        Whether those have random numbers, so that they must be trained.
    control
        What would show that it does not repair.
    code
        The lines for VGG-16 as published, ``model``, and ``images`` of 400 px.
    """

    name: str
    note: str
    make: Callable[[Case], nn.Module]
    changed: str = "none"
    fresh: bool = False
    control: str = ""
    code: str = ""


class FiveCrops(nn.Module):
    """Cut the corners and the middle: (N, C, H, W) to (5 * N, C, height, width).

    The crops of an image are five rows that follow each other.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(five_crop(x, list(self.size)), dim=1).flatten(0, 1)

    def extra_repr(self) -> str:
        return f"size={self.size}"


class MeanOfCrops(nn.Module):
    """Average the scores of the crops of each image: (5 * N, K) to (N, K)."""

    def forward(self, scores: Tensor) -> Tensor:
        mean: Tensor = scores.unflatten(0, (-1, CROPS)).mean(1)
        return mean


class MeanProbability(nn.Module):
    """Average the probabilities of all cells: scores (N, K, h, w) to their logarithms (N, K).

    The logarithms are scores again: their softmax is the mean probability.
    """

    def forward(self, scores: Tensor) -> Tensor:
        cells = scores.log_softmax(1).flatten(2)  # (N, K, h * w)
        return cells.logsumexp(2) - log(cells.shape[2])


def _resize(case: Case) -> nn.Module:
    return nn.Sequential(v2.Resize(case.old[2:], antialias=True), case.model)


def _require_room(case: Case) -> None:
    if case.new[2] < case.old[2] or case.new[3] < case.old[3]:
        raise ValueError(f"new must be at least {case.old[2:]} px, to be cropped; got {case.new}")


def _crop(case: Case) -> nn.Module:
    _require_room(case)
    return nn.Sequential(v2.CenterCrop(case.old[2:]), case.model)


def _five_crops(case: Case) -> nn.Module:
    _require_room(case)
    _, _, height, width = case.old
    return nn.Sequential(FiveCrops((height, width)), case.model, MeanOfCrops())


def _pool(case: Case) -> nn.Module:
    return with_adaptive_pool(case.model, case.map)


def _pool_in_place(case: Case) -> nn.Module:
    split = case._split()
    path, last = split.backbone[-1]
    if not isinstance(last, nn.MaxPool2d):
        raise ValueError(
            f"model must have a max pooling before its classifier, to be replaced; it has {last}"
        )
    pool = nn.AdaptiveAvgPool2d(case.map).train(last.training)
    return split.build([*split.backbone[:-1], (path, pool), *_classifier(split)])


def _conv(case: Case) -> nn.Module:
    return nn.Sequential(fc_to_conv(case.model, case.old), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _conv_probabilities(case: Case) -> nn.Module:
    return nn.Sequential(fc_to_conv(case.model, case.old), MeanProbability())


def _fold(case: Case) -> nn.Module:
    return fold_adaptive_pool(_pool(case), case.new)


def _gap(case: Case) -> nn.Module:
    return with_gap_head(case.model, case.classes)


def _spp(case: Case) -> nn.Module:
    return with_spp_head(case.model, LEVELS, case.classes)


def _new_first(case: Case) -> nn.Module:
    split, first = _first_for(case)
    parts = [*split.backbone, split.flatten, *split.before, first, *split.hidden, *split.after]
    return split.build(parts, image_batch(case.new))


def _new_classifier(case: Case) -> nn.Module:
    split, first = _first_for(case)
    hidden = [
        (path, fresh_linear(m, m.in_features, m.out_features) if isinstance(m, nn.Linear) else m)
        for path, m in split.hidden
    ]
    parts = [*split.backbone, split.flatten, *split.before, first, *hidden, *split.after]
    return split.build(parts, image_batch(case.new))


def _classifier(split: Split) -> list[Part]:
    return [split.flatten, *split.before, split.first, *split.hidden, *split.after]


def _first_for(case: Case) -> tuple[Split, Part]:
    """Return the network cut, and a fresh first layer for the map at the new size, not pooled."""
    split = case._split()
    features = prod(split.map_shape(split.backbone, image_batch(case.new)))
    old = split.first.linear
    return split, (split.first.path, fresh_linear(old, features, old.out_features))


_ALL = (
    Repair(
        "resize",
        "Resizes every image to the trained size; the network stays as it is.",
        _resize,
        control="Objects that the resizing makes too small: a loss in larger scenes.",
        code="scores = model(resize(images, [224, 224], antialias=True))",
    ),
    Repair(
        "crop",
        "Looks at the middle of the image alone; the network stays as it is.",
        _crop,
        control="Objects that are not in the middle, or larger than the crop.",
        code="scores = model(center_crop(images, [224, 224]))",
    ),
    Repair(
        "five-crops",
        "Averages the scores of the corners and the middle; the network stays as it is.",
        _five_crops,
        control="The middle alone: four crops more must be worth their time.",
        code="crops = five_crop(images, [224, 224])\n"
        "scores = sum(model(crop) for crop in crops) / 5",
    ),
    Repair(
        "pool",
        "Averages every map to the cells that the first layer takes; every weight stays.",
        _pool,
        control="Resizing: averaging the map must lose no more than averaging the image.",
        code="scores = vgglab.with_adaptive_pool(model)(images)",
    ),
    Repair(
        "pool-in-place",
        "Adaptive average pooling in place of the last max pooling; every weight stays.",
        _pool_in_place,
        control="The trained size, where the average is no maximum: what is lost there.",
        code="model.features[30] = nn.AdaptiveAvgPool2d(7)\nscores = model(images)",
    ),
    Repair(
        "conv",
        "FC layers as convolutions, scores averaged over the image.",
        _conv,
        control="The mean of probabilities, and the crop, which is one of its cells.",
        code="model = vgglab.fc_to_conv(model, (1, 3, 224, 224))\n"
        "scores = model(images).mean((2, 3))",
    ),
    Repair(
        "conv-probabilities",
        "FC layers as convolutions, probabilities averaged over the image.",
        _conv_probabilities,
        control="The mean of scores.",
        code="model = vgglab.fc_to_conv(model, (1, 3, 224, 224))\n"
        "probabilities = model(images).softmax(1).mean((2, 3))",
    ),
    Repair(
        "fold",
        "Adaptive pooling and the first FC layer as one layer for the larger map, its weights "
        "computed from those that are there.",
        _fold,
        changed="first",
        control="Adaptive pooling: before training it must answer the same.",
        code="model = vgglab.with_adaptive_pool(model)\n"
        "scores = vgglab.fold_adaptive_pool(model, (1, 3, 400, 400))(images)",
    ),
    Repair(
        "gap",
        "Averages each channel; one fresh linear layer.",
        _gap,
        changed="all",
        fresh=True,
        control="Chance before training, and the same training of networks that kept weights.",
        code="model = vgglab.with_gap_head(model, num_classes=1000)\n"
        "scores = model(images)  # after training",
    ),
    Repair(
        "spp",
        "Pools into grids of several sizes; the first FC layer is fresh.",
        _spp,
        changed="first",
        fresh=True,
        control="Chance before training, and GAP, which has fewer weights to learn.",
        code="model = vgglab.with_spp_head(model, (1, 2, 4), num_classes=1000)\n"
        "scores = model(images)  # after training",
    ),
    Repair(
        "new-first",
        "Sets in_features to what comes: the first FC layer is fresh, and other sizes fail again.",
        _new_first,
        changed="first",
        fresh=True,
        control="The fold: a layer of the same shape with weights computed and not drawn.",
        code="model.classifier[0] = nn.Linear(512 * 12 * 12, 4096)\n"
        "scores = model(images)  # after training",
    ),
    Repair(
        "new-classifier",
        "All FC layers are fresh, for the larger map; other sizes fail again.",
        _new_classifier,
        changed="all",
        fresh=True,
        control="A fresh first layer alone: the others must have been worth keeping.",
        code="model.classifier[0] = nn.Linear(512 * 12 * 12, 4096)\n"
        "model.classifier[3].reset_parameters()\n"
        "model.classifier[6].reset_parameters()\n"
        "scores = model(images)  # after training",
    ),
)

REPAIRS: Mapping[str, Repair] = {repair.name: repair for repair in _ALL}
"""All repairs, by name."""


def apply_repair(name: str, case: Case, seed: int = 0) -> nn.Module | None:
    """Return the repaired network in eval mode, or ``None`` if the repair does not apply.

    Parameters
    ----------
    name
        Of `REPAIRS`.
    case
        What is to be repaired; its network is not changed, though wrapped ones hold it.
    seed
        Of fresh weights.

    Raises
    ------
    ValueError
        If there is no such repair.
    """
    if name not in REPAIRS:
        raise ValueError(f"name must be one of {', '.join(REPAIRS)}; got {name!r}")
    with random_state_kept():
        torch.manual_seed(seed)
        try:
            repaired = REPAIRS[name].make(case)
        except ValueError:  # the conversions say so if they do not apply
            return None
    if trace(repaired, case.new, training=False).failure is not None:
        return None
    return repaired.eval()


@dataclass(frozen=True)
class RepairRow:
    """What a repair does to a network.

    Attributes
    ----------
    name, note
        Of the `Repair`.
    kept, kept_share
        How many of the parameters have the numbers that they had, and their share of all that there
        were.
    fresh
        Whether some have random numbers.
    parameters, mult_adds, saved_bytes
        Of the repaired network at the new size, as in `vgglab.summary`.
    sizes
        Which sizes it takes, in words.
    same_function
        Whether it gives the same probabilities at the trained size, within rounding; ``None`` if it
        does not take that size, or if there were no numbers to compare.
    onnx
        ``"free"`` if a graph that was exported at the new size is right at the trained size too,
        ``"fixed"`` if it is right only where it was exported, ``"no"`` if not even there; ``None``
        if it was not tried.
    """

    name: str
    note: str
    kept: int
    kept_share: float
    fresh: bool
    parameters: int
    mult_adds: int
    saved_bytes: int | None
    sizes: str
    same_function: bool | None
    onnx: str | None


@dataclass(frozen=True, repr=False)
class RepairsTable(Report):
    """All repairs of a network for an input size; printed it is a table, in a notebook too.

    Attributes
    ----------
    model
        Class of the network.
    old, new
        Shapes of the input for which it was trained, and of the one that it is to take.
    rows
        One for each repair that applies.
    distances
        For each pair of repairs how far their scores at the new size are apart: the L2 norm of the
        difference over the mean of both norms, each image's scores around their mean. Empty if the
        network has no numbers.
    left_out
        Names of the repairs that do not apply.
    """

    model: str
    old: Shape
    new: Shape
    rows: tuple[RepairRow, ...]
    distances: Mapping[str, Mapping[str, float]]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, strings, lists and dicts."""
        return asdict(self)

    def _title(self) -> str:
        return f"{self.model}, trained at {_sides(self.old)}, repaired for {_sides(self.new)}"

    def _tables(self, tablefmt: str) -> list[str]:
        cells = [
            [
                row.name,
                f"{row.kept_share:.1%}",
                "fresh" if row.fresh else "-",
                count(row.parameters),
                count(row.mult_adds),
                mebibytes(row.saved_bytes),
                _SAME[row.same_function],
                row.onnx or "-",
                row.sizes,
            ]
            for row in self.rows
        ]
        headers = (
            "Repair", "Kept", "Weights", "Parameters", "Mult-adds", "Kept for training (MiB)",
            "Same at the old size", "ONNX", "Takes",
        )  # fmt: skip
        align = ["left", "right", "left", *["right"] * 3, *["left"] * 3]
        tables = [tabulate(cells, headers, tablefmt, disable_numparse=True, colalign=align)]
        if self.distances:
            names = list(self.distances)
            apart = [[a, *(f"{self.distances[a][b]:.2f}" for b in names)] for a in names]
            align = ["left", *["right"] * len(names)]
            tables.append(
                tabulate(apart, ("Apart", *names), tablefmt, disable_numparse=True, colalign=align)
            )
        return tables

    def _sentences(self) -> list[str]:
        said = [f"{row.name}: {row.note}" for row in self.rows]
        if self.left_out:
            said.append(f"Do not apply here: {', '.join(self.left_out)}.")
        if not self.distances:
            said.append("How far the answers are apart needs weights.")
        return said


_SAME = {None: "-", True: "same", False: "another"}


@shared_chains()
def repairs_table(
    model: nn.Module,
    input_size: Shape,
    data: Tensor | None = None,
    *,
    trained_size: IntOrPair | None = None,
    onnx: bool = False,
) -> RepairsTable:
    """Repair a network in every way that there is, and say what each way costs and keeps.

    Copies are repaired, one at a time; `model` is not changed.

    Parameters
    ----------
    model
        A convolutional network with fully connected layers at its end. On the ``meta`` device,
        without numbers, its answers are not compared.
    input_size
        Shape of the input that it is to take, such as ``(1, 3, 400, 400)``.
    data
        Images (N, C, H, W) of that size, as the network wants them; by default two of standard
        normal numbers, drawn with the seed 0.
    trained_size
        Height and width that it was trained for, or one number for both; by default the size
        nearest to `input_size` at which its first linear layer reads the map as it is.
    onnx
        Whether each repaired network is exported to ONNX too, which takes a while and the extra
        ``vgglab[onnx]``.

    Returns
    -------
    RepairsTable
        One row for each repair that applies.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If the network cannot be taken apart, if `data` is of another size, or if nothing in the
        network says at which size it was trained and `trained_size` is not given.

    Examples
    --------
    >>> from vgglab import vgg
    >>> table = repairs_table(vgg("A", width=1 / 16, num_classes=10, device="meta"),
    ...                       (1, 3, 400, 400))
    >>> [row.name for row in table.rows if row.fresh]
    ['gap', 'spp', 'new-first', 'new-classifier']
    """
    model = check_model("model", model)
    (new,) = check_sizes("input_size", [input_size])
    if len(new) != 4:
        raise ValueError(f"input_size must be (N, C, H, W); got {new}")
    if data is not None and tuple(data.shape[1:]) != new[1:]:
        raise ValueError(
            f"data must be images of {new[1:]}, as input_size says; got {tuple(data.shape)}"
        )
    old = (*new[:2], *_trained_size(model, new, trained_size))
    case = Case(model, old, new)
    split = case._split()
    has_numbers = not any(p.is_meta for p in model.parameters())
    images = random_input((2, *new[1:])) if data is None else data.double()
    rows, answers, left_out = [], {}, []
    for repair in REPAIRS.values():
        repaired = apply_repair(repair.name, case)
        if repaired is None:
            left_out.append(repair.name)
            continue
        rows.append(_row(repair, repaired, case, split, has_numbers, onnx))
        if has_numbers:
            (answer,) = run_copies(repaired, [images])
            if isinstance(answer, Failed):
                raise ValueError(f"data must be what the network takes; {answer.error}")
            answers[repair.name] = answer
    distances = {a: {b: _apart(x, y) for b, y in answers.items()} for a, x in answers.items()}
    return RepairsTable(
        type(model).__name__, case.old, case.new, tuple(rows), distances, tuple(left_out)
    )


def _trained_size(model: nn.Module, new: Shape, trained_size: IntOrPair | None) -> tuple[int, int]:
    """Return height and width that were given, or those at which the map is read as it is."""
    if trained_size is not None:
        return as_pair("trained_size", trained_size)
    split = find_split(model, image_batch(new))
    unpooled = nn.Sequential(*(module for _, module in [*split.backbone, *_classifier(split)]))
    found = diagnose(unpooled, new).valid_sizes
    features = split.first.linear.in_features
    side = found.nearest((new[2], new[3])) if found else None
    if (
        side is None
        or prod(split.map_shape(split.backbone, image_batch((*new[:2], *side)))[1:]) == 1
    ):
        raise ValueError(
            f"trained_size must be given: {split.first.path} takes {features} features, and "
            "nothing in the network says of which images"
        )
    return side[0], side[1]


def _row(
    repair: Repair, repaired: nn.Module, case: Case, split: Split, has_numbers: bool, onnx: bool
) -> RepairRow:
    costs = summary(repaired, case.new)
    same = None
    if repair.fresh:
        same = False
    elif has_numbers:
        before, after = (nn.Sequential(m, nn.LogSoftmax(1)) for m in (case.model, repaired))
        (row,) = compare(before, after, [case.old]).rows
        same = None if row.verdict is None else row.verdict != VERDICTS[-1]
    kept = sum(_kept(repair, repaired, split, has_numbers))
    return RepairRow(
        repair.name,
        repair.note,
        kept,
        kept / sum(p.numel() for p in case.model.parameters()),
        repair.fresh,
        costs.total_params,
        costs.mult_adds,
        costs.saved_bytes,
        _takes(repaired, costs.trace, case),
        same,
        onnx_sizes(repaired, case) if onnx and has_numbers else None,
    )


def _takes(repaired: nn.Module, traced: Trace, case: Case) -> str:
    """Return which sizes it takes; where that cannot be told, which of a few."""
    found = valid_sizes(repaired, traced)
    if found.exact:
        return str(found)
    (height, width), new = case.old[2:], case.new[2:]
    tried = dict.fromkeys(
        ((height // 2, width // 2), (height, width), new, (2 * new[0], 2 * new[1]))
    )
    fit = [
        f"{h}" if h == w else f"{h}×{w}"
        for h, w in tried
        if trace(repaired, (*case.new[:2], h, w), training=False).failure is None
    ]
    return f"{', '.join(fit)} px, of {len(tried)} sizes tried"


def _kept(repair: Repair, repaired: nn.Module, split: Split, has_numbers: bool) -> Iterator[int]:
    """Yield the sizes of the parameters that have the numbers that they had."""
    replaced = {"none": (), "first": (split.first.path,), "all": _linear_paths(split)}
    after = {name.split(".", 1)[-1]: p for name, p in repaired.named_parameters()}
    after |= dict(repaired.named_parameters())  # wrapped networks have a number before the name
    for name, parameter in split.chain.model.named_parameters():
        other = after.get(name)
        if other is None or other.numel() != parameter.numel():
            continue
        if has_numbers:
            if torch.equal(other.flatten(), parameter.flatten()):
                yield parameter.numel()
        elif not repair.fresh or name.rpartition(".")[0] not in replaced[repair.changed]:
            yield parameter.numel()


def _linear_paths(split: Split) -> tuple[str | None, ...]:
    hidden = (path for path, module in split.hidden if isinstance(module, nn.Linear))
    return (split.first.path, *hidden)


def onnx_sizes(repaired: nn.Module, case: Case) -> str | None:
    """Export a repaired network, and return at which sizes the graph is right: see `RepairRow`."""
    found = onnx_round_trip(repaired, [case.new, case.old])
    if found.not_checked is not None:
        return "no" if "export" in found.not_checked else None
    if not found.rows[0].exact:
        return "no"
    return "free" if found.ok else "fixed"


def _apart(x: Tensor, y: Tensor) -> float:
    # The softmax forgets what is added to all scores of an image, and so does the distance.
    x, y = (scores.double() - scores.double().mean(1, keepdim=True) for scores in (x, y))
    norm = (x.norm() + y.norm()).item() / 2
    return (x - y).norm().item() / norm if norm else 0.0


def _sides(size: Shape) -> str:
    return f"{size[2]}×{size[3]} px"
