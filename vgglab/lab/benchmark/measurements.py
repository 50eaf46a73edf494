"""Read the records of `vgglab bench`; what cannot be true is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from tabulate import tabulate

from vgglab.lab.experiments.reading import Recorded, recorded
from vgglab.lab.experiments.results import read_results
from vgglab.lab.experiments.running import Budget
from vgglab.report import Report, mebibytes

FEWEST = {"float32": 4.0, "tf32": 1.0, "bfloat16": 1.0}
"""Multiply-adds that are counted for one that is needed, at most, by precision.

Winograd's F(4×4, 3×3), which libraries choose for 3×3 convolutions in float32, needs 36 where the
definition has 144 (Lavin and Gray, 2015, https://arxiv.org/abs/1509.09308).
"""


@dataclass(frozen=True)
class Measurement:
    """One way to run a network, and how fast it was.

    Attributes
    ----------
    settings
        All of them, the batch as it was asked for.
    result
        What `vgglab.lab.benchmark.throughput` returned.
    """

    settings: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """The median time of a batch: the latency."""
        return float(median(self.result["seconds"]))

    @property
    def images_per_second(self) -> float:
        """The throughput."""
        return float(self.result["batch_size"]) / self.seconds

    @property
    def share_of_product(self) -> float:
        """Multiply-adds a second, as a share of those of a large product in this precision.

        More than 1 is possible in float32 alone: see `FEWEST`.
        """
        rate = self.result["mult_adds"] / self.seconds
        return float(rate / self.result["roofs"][self.settings["precision"]])

    @property
    def share_of_copy(self) -> float | None:
        """The bytes that a batch needs at least, a second, as a share of those of a large copy.

        ``None`` where they may come from a cache.
        """
        if self.result["least_bytes"] < self.result["copied_bytes"]:
            return None
        return float(self.result["least_bytes"] / self.seconds / self.result["roofs"]["copy"])

    def columns(self) -> dict[str, str]:
        """Return what a table shows of it."""
        copied = self.share_of_copy
        return {
            "Batch": str(self.result["batch_size"]),
            "ms": f"{1000 * self.seconds:.3g}",
            "Images/s": f"{self.images_per_second:.3g}",
            "Of a product": f"{100 * self.share_of_product:.3g} %",
            "Of a copy": "-" if copied is None else f"{100 * copied:.3g} %",
            "Peak (MiB)": mebibytes(self.result["peak_bytes"]),
        }

    def above(self) -> str | None:
        """Say which roof it is above; ``None`` if it is above none."""
        fewest = FEWEST[self.settings["precision"]]
        if not self.share_of_product <= fewest:
            return f"{self.share_of_product:.3g} times a product's multiply-adds a second"
        if self.share_of_copy is not None and not self.share_of_copy <= 1:
            return f"{self.share_of_copy:.3g} times a copy's bytes a second"
        return None

    def check(self) -> None:
        """Refuse what is above a roof, or not right.

        Raises
        ------
        ValueError
            With the settings and the figure.
        """
        how = " ".join(f"{name}={value}" for name, value in self.settings.items())
        if (above := self.above()) is not None:
            raise ValueError(f"measurements must be below the device's roofs; {how} has {above}")
        if not self.result["error"] <= self.result["tolerance"]:
            raise ValueError(
                f"measurements must be of right results; {how} was {self.result['error']:.2g} off"
            )


@dataclass(frozen=True)
class MemoryMeasurement:
    """The memory of a step in some setting: predicted, tracked, allocated.

    Attributes
    ----------
    settings
        All of them.
    result
        What `vgglab.lab.memory.memory_of_a_step` returned.
    """

    settings: Mapping[str, Any]
    result: Mapping[str, Any]

    def columns(self) -> dict[str, str]:
        """Return what a table shows of it, in MiB."""
        figures = {**self.result["predicted"], **self.result}
        names = (*self.result["predicted"], "tracked", "allocated")
        return {f"{name.capitalize()} (MiB)": mebibytes(figures[name]) for name in names}

    def check(self) -> None:
        """Refuse a total that is none.

        Raises
        ------
        ValueError
            With both figures.
        """
        parts = dict(self.result["predicted"])
        total = parts.pop("total")
        if total != sum(parts.values()):
            raise ValueError(f"total must be the sum {sum(parts.values())}; got {total}")


@dataclass(frozen=True)
class LayersMeasurement:
    """How long each layer takes alone, and the whole network.

    Attributes
    ----------
    settings
        All of them.
    result
        What `vgglab.lab.benchmark.layers.layer_times` returned.
    """

    settings: Mapping[str, Any]
    result: Mapping[str, Any]

    def layers(self) -> dict[str, Measurement]:
        """Return a measurement for each layer, and for the ``"whole"``, in order."""
        common = {name: value for name, value in self.result.items() if name != "layers"}
        return {
            name: Measurement({**self.settings, "layer": name}, {**common, **layer})
            for name, layer in self.result["layers"].items()
        }

    def columns(self) -> dict[str, str]:
        """Return what a table shows of it: the batch, and milliseconds of each layer."""
        times = {name: f"{1000 * layer.seconds:.3g}" for name, layer in self.layers().items()}
        return {"Batch": str(self.result["batch_size"]), **times}

    def check(self) -> None:
        """Refuse it if any of its layers is above a roof or not right.

        Raises
        ------
        ValueError
            With the settings, the layer and the figure.
        """
        for layer in self.layers().values():
            layer.check()


@dataclass(frozen=True)
class FitMeasurement:
    """The largest batch or image that fits: predicted, tracked, and what the allocator allowed.

    Attributes
    ----------
    settings
        All of them.
    result
        What `vgglab.lab.memory.what_fits` returned.
    """

    settings: Mapping[str, Any]
    result: Mapping[str, Any]

    def columns(self) -> dict[str, str]:
        """Return what a table shows of it."""
        return {
            name.capitalize(): "-" if found is None else str(found)
            for name, found in self.result.items()
        }

    def check(self) -> None:
        """Refuse nothing: a prediction may be wrong, and the record says by how much."""


AnyMeasurement: TypeAlias = Measurement | MemoryMeasurement | LayersMeasurement | FitMeasurement


def _kind(result: Mapping[str, Any]) -> type[AnyMeasurement]:
    if "layers" in result:
        return LayersMeasurement
    if "predicted" not in result:
        return Measurement
    return MemoryMeasurement if isinstance(result["predicted"], Mapping) else FitMeasurement


class Benchmark(Report):
    """The measurements of one grid; printed it is a table.

    Attributes
    ----------
    measurements
        Of time or of memory, in the order in which they were made.
    definition
        What varies, what is held, how many seeds.
    """

    measurements: list[AnyMeasurement]
    definition: Mapping[str, Any]

    def __init__(self, record: Recorded) -> None:
        self._record = record
        self.definition = record.definition
        held = record.definition["held"]
        self.measurements = []
        for run in record.runs:
            kind = _kind(run["result"])
            self.measurements.append(kind({**held, **run["settings"]}, run["result"]))
            self.measurements[-1].check()

    def _title(self) -> str:
        return f"{self._record.experiment}, budget {self._record.budget}"

    def _tables(self, tablefmt: str) -> list[str]:
        vary = [name for name in self._record.definition["vary"] if name != "batch_size"]
        rows = [
            {name.capitalize(): str(measured.settings[name]) for name in vary} | measured.columns()
            for measured in self.measurements
        ]
        align = ["left" if index < len(vary) else "right" for index in range(len(rows[0]))]
        return [tabulate(rows, "keys", tablefmt, colalign=align, disable_numparse=True)]

    def _sentences(self) -> list[str]:
        batches = [
            (measured.settings.get("batch_size"), measured.result.get("batch_size"))
            for measured in self.measurements
        ]
        halved = {(old, new) for old, new in batches if new not in (None, old)}
        return [
            *(f"Out of memory with {old}: measured with {new}." for old, new in sorted(halved)),
            *str(self._record).splitlines(),
        ]


def read_benchmark(path: Path, budget: str) -> Benchmark:
    """Read the record of a benchmark.

    Parameters
    ----------
    path
        A file that ``vgglab bench`` has written.
    budget
        One that was run to its end.

    Returns
    -------
    Benchmark
        All measurements below the roofs that were measured with them.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is damaged, without provenance or not whole, or if a figure is above its roof or of a
        wrong result.
    """
    return Benchmark(recorded(path, budget))


def benchmarks(path: Path) -> dict[str, Benchmark]:
    """Read what a page shows of a benchmark: each budget but ``"tiny"`` that was run to its end.

    Without a file there are none.

    Parameters
    ----------
    path
        As `read_benchmark` takes it.

    Returns
    -------
    dict
        By budget, `read_benchmark` of each.
    """
    there = read_results(path)["budgets"] if path.exists() else {}
    whole = [name for name, part in there.items() if len(part["runs"]) == _size(part).runs]
    return {budget: read_benchmark(path, budget) for budget in whole if budget != "tiny"}


def _size(part: Mapping[str, Any]) -> Budget:
    return Budget(**part["definition"])
