"""Read records: the samples of a figure, the setting that was best, what something costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean, median
from typing import Any

from vgglab.lab.experiments.results import read_results
from vgglab.lab.experiments.verdicts import ConfidenceInterval, interval

AGAIN = " again"
"""Ends the name of the arm that is another one once more: what the two differ by is noise."""

NOT_MEASURED = "not measured yet"

_PROVENANCE = ("device", "threads", "torch", "python", "vgglab")


@dataclass(frozen=True)
class Recorded:
    """The runs of an experiment at a budget.

    Attributes
    ----------
    experiment, budget
        Their names.
    definition
        What varies, what is held, how many seeds.
    provenance
        Device and versions.
    command
        The command that makes the runs.
    runs
        Each with its settings, seed, date, seconds and result.
    """

    experiment: str
    budget: str
    definition: Mapping[str, Any]
    provenance: Mapping[str, Any]
    command: str
    runs: tuple[Mapping[str, Any], ...]

    def samples(self, *path: str | int, **settings: Any) -> list[Any]:
        """Return a figure of the results, one a seed, in the order of the seeds.

        Parameters
        ----------
        *path
            Where it is in a result: ``samples("layout", "gap")``, ``samples("train_loss", -1)``.
        **settings
            Those of the wanted runs, one value for everything that varies.

        Raises
        ------
        ValueError
            If the settings leave several runs of a seed, or none, or if a result has no such
            figure.
        """
        varying = self.definition["vary"]
        if settings.keys() != varying.keys():
            raise ValueError(
                f"settings must give {', '.join(varying) or 'none'}; "
                f"got {', '.join(settings) or 'none'}"
            )
        found = [run for run in self.runs if run["settings"] == settings]
        if not found:
            raise ValueError(f"settings must be those of recorded runs; got {settings}")
        return [_at(run["result"], path) for run in sorted(found, key=lambda run: run["seed"])]

    def best(self, setting: str, **settings: Any) -> Any:
        """Return the value of a setting with the highest mean accuracy on validation images.

        What counts is the accuracy after the last epoch; a run that diverged counts as 0.

        Parameters
        ----------
        setting
            The name of what is to be chosen: ``best("lr", head="gap")``.
        **settings
            The others.
        """
        accuracies = self._valid_accuracies(setting, settings)
        return max(accuracies, key=lambda value: accuracies[value])

    def at_edge(self, setting: str, **settings: Any) -> tuple[str, float] | None:
        """Say whether the best value is the least or the largest of those that were tried.

        Then a better one may lie beyond, and the arm is not known to be at its best.

        Parameters
        ----------
        setting
            The name of what is to be chosen, numbers.
        **settings
            The others.

        Returns
        -------
        tuple or None
            ``"lowest"`` or ``"highest"``, and by how much its accuracy on validation images is
            above that of the value next to it; ``None`` if the best lies inside, or if there is
            nothing to choose from.
        """
        accuracies = self._valid_accuracies(setting, settings)
        tried = sorted(accuracies)
        best = max(accuracies, key=lambda value: accuracies[value])
        if len(tried) == 1 or best not in (tried[0], tried[-1]):
            return None
        which, beside = ("lowest", tried[1]) if best == tried[0] else ("highest", tried[-2])
        return which, accuracies[best] - accuracies[beside]

    def _valid_accuracies(self, setting: str, settings: Mapping[str, Any]) -> dict[Any, float]:
        """Return the mean accuracy on validation images for each value of a setting."""
        values = self.definition["vary"].get(setting)
        if values is None:
            raise ValueError(
                f"setting must be one of {', '.join(self.definition['vary'])}; got {setting!r}"
            )

        def accuracy(value: Any) -> float:
            chosen = {setting: value, **settings}
            curves, diverged = (
                self.samples(name, **chosen) for name in ("valid_accuracy", "diverged")
            )
            return fmean(
                0.0 if lost else curve[-1] for curve, lost in zip(curves, diverged, strict=True)
            )

        return {value: accuracy(value) for value in values}

    def time_ratio(self, arm: str, beside: str, **settings: Any) -> ConfidenceInterval:
        """Return how many times as long one arm takes as another.

        The two were timed in turn: each repetition gives a ratio, and a seed counts with the median
        of its ratios. Ratios multiply, so mean and interval are those of their logarithms.

        Parameters
        ----------
        arm, beside
            Names of two arms that a run times.
        **settings
            Those of the wanted runs, one value for everything that varies.

        Returns
        -------
        ConfidenceInterval
            Of the geometric mean over the seeds.

        Raises
        ------
        ValueError
            As `samples` does, or if there are fewer than two seeds.
        """
        ours, others = (self.samples("seconds", name, **settings) for name in (arm, beside))
        found = interval(
            [
                log(median(a / b for a, b in zip(*seed, strict=True)))
                for seed in zip(ours, others, strict=True)
            ]
        )
        return ConfidenceInterval(exp(found.mean), exp(found.low), exp(found.high), found.n)

    def __str__(self) -> str:
        """Say on what, with what, how often and when, in three short lines."""
        dates = sorted({run["date"] for run in self.runs})
        when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        where = self.provenance
        threads = f"{where['threads']} thread{'s' if where['threads'] != 1 else ''}"
        images = f"images: {where['images']['data']}; " if "images" in where else ""
        seeds = self.definition["seeds"]
        return (
            f"{where['device']}, {threads}; torch {where['torch']}\n"
            f"{images}{seeds} seed{'s' if seeds != 1 else ''}; {when}\n{self.command}"
        )


def recorded(path: Path, budget: str) -> Recorded:
    """Read what is recorded of an experiment.

    Parameters
    ----------
    path
        A file of results.
    budget
        One that is in it.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is damaged, or does not have the budget, or not all of its runs, or if it does not say
        on which device and with which versions they were made.
    """
    whole = read_results(path)
    parts = whole["budgets"]
    if budget not in parts:
        raise ValueError(f"budget must be one of {', '.join(parts)} in {path.name}; got {budget!r}")
    part = parts[budget]
    unknown = [name for name in _PROVENANCE if not part.get("provenance", {}).get(name)]
    if unknown:
        raise ValueError(
            f"results must say what made them; {path.name} lacks {', '.join(unknown)} at budget "
            f"{budget!r}"
        )
    wanted = part["definition"]["seeds"]
    for values in part["definition"]["vary"].values():
        wanted *= len(values)
    if len(part["runs"]) != wanted:
        raise ValueError(
            f"budget must be one that was run to its end; {path.name} has {len(part['runs'])} of "
            f"{wanted} runs of {budget!r}: {part['command']}"
        )
    return Recorded(
        whole["experiment"],
        budget,
        part["definition"],
        part["provenance"],
        part["command"],
        tuple(part["runs"]),
    )


def _at(result: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        try:
            result = result[key]
        except (KeyError, IndexError, TypeError):
            raise ValueError(f"path must lead to a figure of a result; got {path}") from None
    return result
