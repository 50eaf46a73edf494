"""What the experiment ``all-reduce`` says: the link that is fitted, and how far it is off."""

from collections.abc import Sequence
from statistics import median, quantiles
from typing import NamedTuple

from vgglab.lab.experiments.reading import Recorded
from vgglab.lab.scaling import Link, all_reduce_seconds, fit_link, gradients, step_time
from vgglab.models.network import vgg


class Prediction(NamedTuple):
    """Something that no fit has seen: what it is, and its seconds, predicted and measured.

    Attributes
    ----------
    kind
        ``"bucket"`` or ``"step"``.
    name
        Its bytes; or head and side.
    predicted, measured
        Seconds, the latter the median of all samples.
    """

    kind: str
    name: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """How far off it is: 0.25 for a quarter too long, and for a fifth too short."""
        ratio = self.predicted / self.measured
        return max(ratio, 1 / ratio) - 1


def measured_seconds(record: Recorded, part: str) -> dict[str, float]:
    """Return the medians of all samples of a part of the record, by name."""
    (processes,) = record.definition["vary"]["processes"]
    seeds = record.samples("seconds", part, processes=processes)
    return {name: median(x for seed in seeds for x in seed[name]) for name in seeds[0]}


def fitted_link(record: Recorded) -> Link:
    """Return the link that fits the powers of two."""
    averages = measured_seconds(record, "averages")
    powers = [2**k for k in range(*record.definition["held"]["powers"])]
    (processes,) = record.definition["vary"]["processes"]
    return fit_link({size: averages[str(size)] for size in powers}, processes)


def predictions(record: Recorded, link: Link) -> list[Prediction]:
    """Predict what is in no fit: the buckets of VGG, and its steps."""
    held = record.definition["held"]
    (processes,) = record.definition["vary"]["processes"]
    averages = measured_seconds(record, "averages")
    (*_, sizes) = record.samples("buckets", processes=processes)
    found = [
        Prediction(
            "bucket", str(size), all_reduce_seconds(size, processes, link), averages[str(size)]
        )
        for size in sorted({size for of_head in sizes.values() for size in of_head})
    ]
    alone, together = (measured_seconds(record, part) for part in ("alone", "together"))
    for name, measured in together.items():
        head, side = name.split("/")
        network = vgg("D", head=head, width=held["step_width"], device="meta")
        layers = gradients(network, (held["batch_size"], 3, int(side), int(side)))
        step = step_time(layers, alone[name], processes, link, overlap=False)
        found.append(Prediction("step", name, step.seconds, measured))
    return found


def median_error(found: Sequence[Prediction]) -> float:
    """Return the error that half of the predictions exceed."""
    return median(prediction.error for prediction in found)


def error_band(found: Sequence[Prediction]) -> float:
    """Return the factor within which nine of ten predictions of transfers are."""
    errors = [prediction.error for prediction in found if prediction.kind == "bucket"]
    return 1 + quantiles(errors, n=10, method="inclusive")[-1]
