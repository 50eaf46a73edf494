"""An interactive figure: which repairs remain for somebody's images, and what each costs.

Accuracies come from records, costs from a trace; ``repair_chart.html`` holds the figure's markup
and style, ``repair_chart.js`` drops what does not fit and sorts the rest, as `choose` does. Readers
without scripts see a table of all repairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from vgglab.convert.chain import shared_chains
from vgglab.figures.element import CHART_STYLES, fallback_table, figure_html
from vgglab.lab.experiments.reading import Recorded
from vgglab.lab.experiments.repair_findings import SCENE_NAMES, repair_accuracies
from vgglab.lab.experiments.verdicts import interval
from vgglab.lab.memory import forward_peak_bytes
from vgglab.lab.repairs import REPAIRS, Case, RepairRow, RepairsTable, apply_repair
from vgglab.report import MIB
from vgglab.tracing import trace

REASONS = {
    "sizes": "takes this one size",
    "training": "must be trained",
    "memory": "needs more memory",
    "onnx": "is not right as an ONNX file like that",
    "map": "gives no map of scores",
}
"""Why a repair does not remain."""

_ONNX = ("no", "fixed", "free")  # from the worst to the best, as in a `RepairRow`


class Answers(NamedTuple):
    """What somebody answers to the questions of the figure.

    Attributes
    ----------
    scene
        ``"enlarged"``: objects grow with the image. ``"larger"``: they keep their size.
    several
        Whether the images are of several sizes.
    pretrained, training
        Whether there are trained weights, and whether the network may be trained.
    classes
        Number of classes.
    memory
        The most that weights and one image may take, in MiB; ``None`` for any.
    onnx
        Whether it becomes an ONNX file: ``"no"``, ``"fixed"`` for one size, ``"free"`` for more.
    map
        Whether a map of scores is wanted.
    """

    scene: Literal["enlarged", "larger"] = "enlarged"
    several: bool = False
    pretrained: bool = True
    training: bool = False
    classes: int = 1000
    memory: float | None = None
    onnx: str = "no"
    map: bool = False


@dataclass(frozen=True)
class RepairChart:
    """The figure; build one with `repair_chart`. The last line of a cell shows it.

    Attributes
    ----------
    title
        Which network is repaired, and for what.
    rows
        For each repair its name, what it does, its code and its facts.
    classes
        Number of classes that the network was trained for.
    measured
        On what the accuracies were measured.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    classes: int
    measured: str

    def data(self) -> dict[str, Any]:
        """Return everything that the figure shows, as the plain dict that its JSON is made from."""
        return {
            "rows": list(self.rows),
            "classes": self.classes,
            "reasons": REASONS,
            "onnx": _ONNX,
            "measured": self.measured,
        }

    def __repr__(self) -> str:
        return f"repair_chart: {self.title}, shown as a figure in a notebook"

    def _repr_html_(self) -> str:
        return f"""\
<figure class="vgglab-figure">
{figure_html("repair_chart", self.data(), _table(self), CHART_STYLES)}\
<figcaption>{escape(self.title)}: weights, multiply-adds and memory are those of this network, for
one image. Accuracy and ONNX files are those of {escape(self.measured)}; for this network they are
not measured yet.</figcaption>
</figure>
"""


@shared_chains()
def repair_chart(
    model: nn.Module, table: RepairsTable, record: Recorded, costs: Recorded
) -> RepairChart:
    """Return the interactive figure "which repairs remain for my images?".

    Parameters
    ----------
    model
        The network that `table` is of, on the ``meta`` device.
    table
        Says what the repairs cost.
    record, costs
        Of the experiments ``"repairs"`` and ``"repairs-cost"``.
    """
    case = Case(model, table.old, table.new)
    classes = case.classes
    ratio = table.new[2] / table.old[2]
    base = 28  # px, of the small network's training
    side = min(record.definition["held"]["sides"], key=lambda side: abs(side / base - ratio))
    shares = {
        scene: {when: repair_accuracies(record, when, side, scene) for when in ("before", "after")}
        for scene in SCENE_NAMES
    }
    files = costs.samples("onnx", network="slim", precision="float32")
    rows = []
    for row in table.rows:
        accuracy = {
            scene: {when: _bounds(found[row.name]) for when, found in of_scene.items()}
            for scene, of_scene in shares.items()
        }
        onnx = min((seed[row.name] for seed in files), key=_ONNX.index)
        rows.append(_facts(row, case, classes) | {"onnx": onnx, "accuracy": accuracy})
    return RepairChart(
        f"{table.model} for images of {table.new[2]} px",
        rows,
        classes,
        f"a small network, trained at {base} px, on images of {side} px",
    )


def choose(chart: RepairChart, answers: Answers) -> tuple[list[str], dict[str, str]]:
    """Return what remains, the most accurate first, and why each other repair does not.

    Without trained weights nothing is known of their accuracy: then the cheapest is first.
    """
    kept, out = [], {}
    for row in chart.rows:
        reason = _reason(row, answers, chart.classes)
        if reason is None:
            kept.append(row)
        else:
            out[row["name"]] = reason
    when = "after" if answers.training else "before"
    if answers.pretrained:
        kept.sort(key=lambda row: (-row["accuracy"][answers.scene][when][0], row["mult_adds"]))
    else:
        kept.sort(key=lambda row: row["mult_adds"])
    return [row["name"] for row in kept], out


def memory(row: Mapping[str, Any], training: bool, classes: int) -> float:
    """Return what weights and one image take, in MiB: in use, or in training by SGD with momentum.

    In training each weight has a gradient and a momentum beside it, and the maps are kept.
    """
    parameters = row["parameters"] + row["per_class"] * classes
    if training:
        return float(12 * parameters + row["saved"]) / MIB
    return float(4 * parameters + row["peak"]) / MIB


def _reason(row: Mapping[str, Any], answers: Answers, classes: int) -> str | None:
    trained = answers.pretrained and not row["fresh"] and answers.classes == classes
    limit = answers.memory
    found = {
        "sizes": answers.several and not row["several"],
        "training": not trained and not answers.training,
        "memory": limit is not None and memory(row, answers.training, answers.classes) > limit,
        "onnx": _ONNX.index(row["onnx"]) < _ONNX.index(answers.onnx),
        "map": answers.map and not row["map"],
    }
    return next((reason for reason, holds in found.items() if holds), None)


def _facts(row: RepairRow, case: Case, classes: int) -> dict[str, Any]:
    repaired = apply_repair(row.name, case)
    if repaired is None:
        raise ValueError(f"table must be of model and its sizes; {row.name!r} does not apply")
    last = [m for m in repaired.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    per_class = last.weight.numel() // classes + 1
    larger = (*case.new[:2], *(side * 5 // 4 for side in case.new[2:]))
    sizes = (case.old, larger)
    return {
        "name": row.name,
        "note": row.note,
        "code": REPAIRS[row.name].code,
        "fresh": row.fresh,
        "several": all(trace(repaired, size, training=False).failure is None for size in sizes),
        "map": row.name in ("conv", "conv-probabilities"),
        "parameters": row.parameters - per_class * classes,
        "per_class": per_class,
        "mult_adds": row.mult_adds,
        "saved": row.saved_bytes,
        "peak": forward_peak_bytes(repaired, torch.empty(case.new, device="meta")),
    }


def _bounds(shares: Sequence[float]) -> list[float]:
    found = interval([100 * share for share in shares])
    return [round(value, 1) for value in (found.mean, found.low, found.high)]


def _table(chart: RepairChart) -> str:
    """Return the figure's content for readers without scripts: all repairs."""
    rows = []
    for row in chart.rows:
        shares = [
            "{:.1f} % [{:.1f}, {:.1f}]".format(*row["accuracy"][scene][when])
            for scene in SCENE_NAMES
            for when in ("before", "after")
        ]
        cells = [
            *shares,
            f"{row['mult_adds'] / 1e9:.1f}",
            *(f"{memory(row, training, chart.classes):,.0f}" for training in (False, True)),
            "several" if row["several"] else "one",
            row["onnx"],
            "yes" if row["map"] else "no",
        ]
        rows.append(
            f'<tr><th scope="row">{row["name"]}</th>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + f"<td><code>{escape('; '.join(row['code'].splitlines()))}</code></td></tr>"
        )
    head = [
        "repair", "right, objects grow", "trained a little", "right, objects keep their size",
        "trained a little", "G mult-adds", "MiB in use", "MiB in training", "sizes", "ONNX",
        "map of scores", "code",
    ]  # fmt: skip
    return fallback_table(
        "repair_chart", "All repairs", f"{escape(chart.title)}: all repairs", head, "\n".join(rows)
    )
