"""Which well-known network a model is, read from the layers that its forward executes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vgglab.arguments import check_model
from vgglab.models.configs import CONFIGS, FC_SIDE, FULLY_CONNECTED, Config, Conv, config_title
from vgglab.report import Remark, Report
from vgglab.tracing import InputSize, Op, Trace, caller_undisturbed, trace
from vgglab.tracing.operations import ADAPTIVE_POOLS, REDUCTIONS, Kind
from vgglab.valid_sizes import search
from vgglab.valid_sizes.propagation import propagate

SIDE = 224
"""Height and width at which a network is traced to be identified, if none are given."""

LAYERS_WITH_WEIGHTS = {
    "alexnet": 8, "squeezenet1_0": 26, "squeezenet1_1": 26, "googlenet": 58, "inception_v3": 95,
    "resnet18": 21, "resnet34": 37, "resnet50": 54, "resnet101": 105, "resnet152": 156,
    "resnext50_32x4d": 54, "resnext101_32x8d": 105, "resnext101_64x4d": 105,
    "wide_resnet50_2": 54, "wide_resnet101_2": 105,
    "densenet121": 121, "densenet161": 161, "densenet169": 169, "densenet201": 201,
    "mobilenet_v2": 53, "mobilenet_v3_small": 54, "mobilenet_v3_large": 64,
    "mnasnet0_5": 53, "mnasnet0_75": 53, "mnasnet1_0": 53, "mnasnet1_3": 53,
    "shufflenet_v2_x0_5": 57, "shufflenet_v2_x1_0": 57, "shufflenet_v2_x1_5": 57,
    "shufflenet_v2_x2_0": 57,
    "efficientnet_b0": 82, "efficientnet_b1": 116, "efficientnet_b2": 116, "efficientnet_b3": 131,
    "efficientnet_b4": 161, "efficientnet_b5": 195, "efficientnet_b6": 225, "efficientnet_b7": 274,
    "efficientnet_v2_s": 171, "efficientnet_v2_m": 246, "efficientnet_v2_l": 340,
    "convnext_tiny": 59, "convnext_small": 113, "convnext_base": 113, "convnext_large": 113,
}  # fmt: skip
"""Networks of torchvision beside the VGGs, and how many convolutions and linear layers they run."""

_NORMS = {
    None: "",
    "batch": " with BatchNorm",
    "group": " with GroupNorm",
    "layer": " with LayerNorm",
    "lrn": " with LRN",
}
_HEADS = {None: "It has no head.", "other": "Its head is none of those of vgglab."}

ALIKE = 0.6
"""What part of the layers with weights has to agree for a network to be called a relative."""


@dataclass(frozen=True, repr=False)
class Identity(Report):
    """What `identify` found; printed it is a report, in a notebook too.

    Attributes
    ----------
    model
        Class of the model.
    name
        The network that it is or, if there are `differences`, that it is nearest to, such as
        ``"vgg16"`` or ``"resnet50"``; ``None`` if it is like none that is known here.
    config
        The letter of a VGG in Table 1 of the paper; ``None`` for other networks.
    norm
        Of a VGG: ``"batch"``, ``"group"``, ``"layer"``, ``"lrn"`` or ``None``.
    head
        Of a VGG, what comes after the last map: ``"fc"``, ``"fc-fixed"``, ``"conv"``, ``"gap"`` or
        ``"spp"`` as `vgglab.vgg` has them, ``"other"``, or ``None`` if nothing does.
    width
        Of a VGG: its channels over those of the paper.
    num_classes
        Features of its last layer with weights; ``None`` if it has no head.
    layers
        Convolutions and linear layers that it executes.
    differences
        What it has otherwise than the network of that name, a sentence each.
    named_otherwise
        Of a VGG: what its class would have if its name were right; empty if it is.
    """

    model: str
    name: str | None
    config: str | None
    norm: str | None
    head: str | None
    width: float | None
    num_classes: int | None
    layers: tuple[int, int]
    differences: tuple[str, ...]
    named_otherwise: str = ""

    @property
    def exact(self) -> bool:
        """Whether it is the network of that name, apart from width, head and classes."""
        return self.name is not None and not self.differences

    @property
    def explanation(self) -> str:
        """Which network it is, in a sentence or two."""
        convolutions, linear = self.layers
        both = _count(convolutions, "convolution"), _count(linear, "linear layer")
        counts = f"It executes {' and '.join(both)}"
        if self.name is None:
            return f"{counts}, and is like none of the networks that are known here."
        kind = "It is" if self.exact else "It is nearest to"
        if self.config is None:
            return f"{counts}. {kind} torchvision's {self.name}."
        title = config_title(CONFIGS[self.config])
        wide = "" if self.width == 1 else f", its channels {self.width:.3g} times the paper's"
        head = _HEADS.get(self.head, f"Its head is {self.head!r}.")
        return (
            f"{counts}. {kind} configuration {title} of the paper{_NORMS[self.norm]}{wide}. {head}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, strings, lists and dicts."""
        return {
            "model": self.model,
            "name": self.name,
            "exact": self.exact,
            "config": self.config,
            "norm": self.norm,
            "head": self.head,
            "width": self.width,
            "num_classes": self.num_classes,
            "convolutions": self.layers[0],
            "linear": self.layers[1],
            "explanation": self.explanation,
            "differences": list(self.differences),
            "named_otherwise": self.named_otherwise,
        }

    def _title(self) -> str:
        return f"{self.model}: {self.name or 'not known'}"

    def _answer(self) -> list[str]:
        return [self.explanation, *self.differences, *filter(None, [self.named_otherwise])]

    def _tables(self, tablefmt: str) -> list[str]:
        return []

    def _remarks(self) -> list[Remark]:
        return []

    def _sentences(self) -> list[str]:
        return []


def identify(model: nn.Module, input_size: InputSize | None = None) -> Identity:
    """Say which configuration of VGG a network is, or which other network of torchvision.

    What counts is what the forward executes, not the name of the class or of the layers. Nothing is
    computed, and the model is not changed: see `vgglab.trace`.

    Parameters
    ----------
    model
        A network for images.
    input_size
        Shape of an input that it takes; by default one image of 224 px, with the channels that its
        first convolution wants.

    Returns
    -------
    Identity
        The network that it is or that is nearest to it, and what it has otherwise.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> from vgglab import vgg
    >>> network = identify(vgg("D", norm="batch", head="gap", device="meta"))
    >>> network.name, network.config, network.norm, network.head
    ('vgg16', 'D', 'batch', 'gap')
    """
    model = check_model("model", model)
    seen = trace(model, input_size or (1, _channels(model), SIDE, SIDE), training=False)
    if seen.failure is not None:
        # The layers of the head run at a size that fits.
        further = search(model, seen, propagate(seen)).stops
        seen = max((seen, *further), key=lambda other: len(other.ops))
    return identify_vgg(seen) or _identify_other(seen)


def _channels(model: nn.Module) -> int:
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if first is None or is_lazy(first.weight) else first.in_channels


def identify_vgg(seen: Trace) -> Identity | None:
    """Return which VGG was traced, or which is nearest; ``None`` if it is none.

    A VGG is a chain: convolutions of stride 1 without groups, and poolings that halve the map.
    """
    found = _features(seen)
    if found is None or not found[0]:
        return None
    stages, head = found
    config = min(CONFIGS.values(), key=lambda c: _distance(c, stages, seen))
    differences = _stage_differences(config, stages)
    if len(differences) > 2:
        return None
    kind, classes = _head(seen, head)
    return Identity(
        model=seen.model_type,
        name=config.nickname or f"vgg-{config.name}",
        config=config.name,
        norm=_norm(seen, stages, config),
        head=kind,
        width=_width(config, stages),
        num_classes=classes,
        layers=_counted(seen),
        differences=(*differences, *_details(seen, stages)),
        named_otherwise=_name_says(seen, config, stages),
    )


def _features(seen: Trace) -> tuple[list[list[Op]], int] | None:
    """Return the convolutions of each stage, and the index of the first operation of the head."""
    stages: list[list[Op]] = []
    convs: list[Op] = []
    for op in seen.ops:
        if op.kind is Kind.CONVOLUTION:
            if len(stages) == 5 and not convs:
                return stages, op.index
            if not _is_vggs(op):
                return None
            convs.append(op)
        elif op.name.startswith(("max_pool2d", "avg_pool2d")):
            if not convs:
                return (stages, op.index) if stages else None
            stages.append(convs)
            convs = []
        elif _begins_head(op):
            break
        elif op.kind is Kind.CAT or (op.name.startswith("add") and len(op.sources) > 1):
            return None  # paths meet, as in a ResNet
    else:
        return ([*stages, convs] if convs else stages), len(seen.ops)
    return ([*stages, convs] if convs else stages), op.index


def _is_vggs(op: Op) -> bool:
    windows = op.windows
    return (
        windows is not None
        and all(w.stride == w.dilation == 1 and w.kernel_size in (1, 3) for w in windows)
        and windows[0].kernel_size == windows[1].kernel_size
        and op.options["groups"] == 1
    )


def _begins_head(op: Op) -> bool:
    flat = op.kind is Kind.VIEW and len(op.output_shapes[0]) < 3
    return flat or op.kind in (Kind.LINEAR, *ADAPTIVE_POOLS, *REDUCTIONS)


def _convs(stage: Sequence[Op]) -> list[Conv]:
    return [Conv(op.all_windows[0].kernel_size, op.output_shapes[0][1]) for op in stage]


def _of_paper(config: Config, width: float) -> list[list[Conv]]:
    """Return the convolutions of each stage of a configuration, as wide as the network."""
    stages: list[list[Conv]] = [[]]
    for layer in config.layers():
        if isinstance(layer, Conv):
            channels = max(1, round(layer.out_channels * width))
            stages[-1].append(layer._replace(out_channels=channels))
        elif layer == "maxpool":
            stages.append([])
    return stages[:-1]


def _width(config: Config, stages: Sequence[Sequence[Op]]) -> float:
    """Return the channels of the widest stage over those of the paper."""
    widest = max(conv.out_channels for stage in stages for conv in _convs(stage))
    return widest / max(conv.out_channels for conv in config.convs())


def _distance(config: Config, stages: Sequence[Sequence[Op]], seen: Trace) -> tuple[int, ...]:
    paper = _of_paper(config, _width(config, stages))
    counts = zip_longest(map(len, paper), map(len, stages), fillvalue=0)
    one_lrn = sum(op.name == "avg_pool3d" for op in seen.ops) == 1
    return (
        len(_stage_differences(config, stages)),
        sum(abs(a - b) for a, b in counts),
        (config.name == "A-LRN") != one_lrn,
    )


def _stage_differences(config: Config, stages: Sequence[Sequence[Op]]) -> list[str]:
    paper = _of_paper(config, _width(config, stages))
    none: list[Conv] = []
    pairs = zip_longest(map(_convs, stages), paper, fillvalue=none)
    return [
        f"Stage {k} has {_words(here)}; that of the paper's {config_title(config)} has "
        f"{_words(there)}."
        for k, (here, there) in enumerate(pairs, 1)
        if here != there
    ]


def _words(convs: Sequence[Conv]) -> str:
    names = ", ".join(f"conv{conv.kernel_size}-{conv.out_channels}" for conv in convs)
    return names or "no convolution"


def _details(seen: Trace, stages: Sequence[Sequence[Op]]) -> Iterator[str]:
    """Say what is missing around the convolutions."""
    convs = [op for stage in stages for op in stage]
    ends = [*(op.index for op in convs[1:]), len(seen.ops)]
    for op, end in zip(convs, ends, strict=True):
        window = op.all_windows[0]
        if window.padding != window.kernel_size // 2:
            yield (
                f"{_name(op)} pads by {window.padding}; the paper pads by "
                f"{window.kernel_size // 2}, so that height and width stay."
            )
        if not any(other.kind is Kind.ELEMENTWISE for other in seen.ops[op.index : end]):
            yield f"No activation follows {_name(op)}."
    normed = sum(op.kind in (Kind.BATCH_NORM, Kind.GROUP_NORM) for op in seen.ops)
    if 0 < normed < len(convs):
        yield f"{normed} of its {len(convs)} convolutions are normalised."


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _name(op: Op) -> str:
    return op.path or "a convolution of its forward"


def _norm(seen: Trace, stages: Sequence[Sequence[Op]], config: Config) -> str | None:
    ops = seen.ops[: stages[-1][-1].index + 2]
    if any(op.kind is Kind.BATCH_NORM for op in ops):
        return "batch"
    groups = [op.options["group"] for op in ops if op.kind is Kind.GROUP_NORM]
    if groups:
        return "layer" if max(groups) == 1 else "group"
    if config.name != "A-LRN" and any(op.name == "avg_pool3d" for op in ops):
        return "lrn"
    return None


def _head(seen: Trace, start: int) -> tuple[str | None, int | None]:
    """Return the name of a VGG's head, and how many scores it gives."""
    ops = seen.ops[start:]
    weighted = [op for op in ops if op.kind in (Kind.LINEAR, Kind.CONVOLUTION)]
    if not weighted:
        return None, None
    linear = [op for op in weighted if op.kind is Kind.LINEAR]
    pools = [op for op in ops if op.kind in (*ADAPTIVE_POOLS, *REDUCTIONS)]
    classes = weighted[-1].output_shapes[0][-1 if linear else 1]
    kind = "other"
    if not linear:
        is_fc = [op.all_windows[0].kernel_size for op in weighted] == [FC_SIDE, 1, 1]
        kind = "conv" if is_fc else kind
    elif len(pools) > 1 and any(op.kind is Kind.CAT for op in ops):
        kind = "spp"
    elif len(weighted) == 1 and pools and prod(pools[0].output_shapes[0][2:]) == 1:
        kind = "gap"
    elif len(linear) == len(weighted) == len(FULLY_CONNECTED):
        kind = "fc" if pools else "fc-fixed"
    return kind, classes


def _name_says(seen: Trace, config: Config, stages: Sequence[Sequence[Op]]) -> str:
    """Compare a network with the number of layers that the name of its class has."""
    named = re.search(r"(?i)vgg[-_]?(\d+)", seen.model_type)
    names = {c.nickname: c for c in CONFIGS.values()}
    other = names.get(f"vgg{named[1]}") if named else None
    if other is None or other.weight_layers == config.weight_layers:
        return ""
    has, wants = sum(map(len, stages)), len(other.convs())
    return (
        f"The class is called {seen.model_type}, and has {has} convolutions, as {config.nickname}; "
        f"a {other.nickname} has {wants}. {' '.join(_stage_differences(other, stages))}"
    )


def _counted(seen: Trace) -> tuple[int, int]:
    kinds = [op.kind for op in seen.ops]
    return kinds.count(Kind.CONVOLUTION), kinds.count(Kind.LINEAR)


def _identify_other(seen: Trace) -> Identity:
    """Compare the layers with weights with those of torchvision's networks."""
    own = _layers(seen)
    alike, name, differences = 0.0, "", tuple[str, ...]()
    near = sorted(LAYERS_WITH_WEIGHTS.items(), key=lambda item: abs(item[1] - len(own)))
    for other, count in near:
        if abs(count - len(own)) > max(1, len(own) // 50) or alike == 1:
            break
        theirs = _layers(_known(other))
        ratio = SequenceMatcher(None, own, theirs, autojunk=False).ratio()
        if ratio > alike:
            alike, name = ratio, other
            differences = tuple(_layer_differences(own, theirs))
    is_like = alike >= ALIKE
    linear = [op for op in seen.ops if op.kind is Kind.LINEAR]
    return Identity(
        model=seen.model_type,
        name=name if is_like else None,
        config=None,
        norm=None,
        head=None,
        width=None,
        num_classes=linear[-1].output_shapes[0][-1] if linear else None,
        layers=_counted(seen),
        differences=differences if is_like else (),
    )


def _known(name: str) -> Trace:
    from torchvision.models import get_model

    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with caller_undisturbed(), torch.device("meta"):
        network = get_model(name, weights=None, **options).eval()
    return trace(network, (1, 3, SIDE, SIDE))


def _layers(seen: Trace) -> list[str]:
    """Return the layers with weights in words; the last one's width is that of the classes."""
    said = []
    for op in seen.ops:
        if op.kind is Kind.LINEAR:
            said.append(("a linear layer to {} features", op.output_shapes[0][-1]))
        elif op.kind is Kind.CONVOLUTION:
            sides = "×".join(str(window.kernel_size) for window in op.all_windows)
            stride = op.all_windows[0].stride if op.all_windows else 1
            groups = op.options["groups"]
            words = f"a {sides} convolution of stride {stride}"
            words += f" in {groups} groups" if groups > 1 else ""
            said.append((words + " to {} channels", op.output_shapes[0][1]))
    last = len(said) - 1
    return [text.format("so many" if k == last else n) for k, (text, n) in enumerate(said)]


def _layer_differences(own: list[str], theirs: list[str]) -> Iterator[str]:
    changes = SequenceMatcher(None, own, theirs, autojunk=False).get_opcodes()
    different = [change for change in changes if change[0] != "equal"]
    for _, a, b, c, d in different[:3]:
        here, there = own[a:b], theirs[c:d]
        more = f" and {len(here) - 1} more" if len(here) > 1 else ""
        has = f"{here[0]}{more}" if here else "nothing"
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        wants = f"{there[0]}{more}" if there else "nothing"
        yield f"At layer {a + 1} it has {has}, in place of {wants}."
    if len(different) > 3:
        yield f"It differs in {len(different) - 3} further places."
