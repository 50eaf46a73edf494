"""Experiments as data: what varies, what is held, how many seeds, at which budget."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from json import dumps
from pathlib import Path
from typing import Any, TypeAlias

from vgglab.lab.data import origin
from vgglab.lab.experiments.results import Results, as_json, read_results
from vgglab.lab.provenance import provenance, today

BUDGETS = ("tiny", "cpu", "gpu")
"""Under 30 s in a notebook; at most 40 minutes on two cores; for a GPU."""

Settings: TypeAlias = Mapping[str, Any]
Trial: TypeAlias = Callable[[Settings, int, Path], dict[str, Any]]


@dataclass(frozen=True)
class Budget:
    """The size of an experiment.

    Attributes
    ----------
    vary
        For each setting the values that it takes; every combination is run.
    held
        The settings that are the same in all runs.
    seeds
        Runs of each combination, with the seeds from 0.
    """

    vary: Mapping[str, Sequence[Any]]
    held: Mapping[str, Any]
    seeds: int

    @property
    def runs(self) -> int:
        """Their number."""
        return len(self.combinations()) * self.seeds

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of what varies."""
        return [
            dict(zip(self.vary, values, strict=True)) for values in product(*self.vary.values())
        ]


@dataclass(frozen=True)
class Experiment:
    """A question, and how it is put.

    Attributes
    ----------
    name, question
        For people.
    trial
        Takes all settings, a seed, and a place for a checkpoint; returns plain values by name.
    budgets
        By name, of `BUDGETS`.
    tolerance
        How far a number of a result may be from the recorded one on another machine; on the same
        one it is the same number. Times are not compared.
    """

    name: str
    question: str
    trial: Trial
    budgets: Mapping[str, Budget]
    tolerance: float = 0.0


def find_experiment(name: str) -> Experiment:
    """Return an experiment by its name.

    Raises
    ------
    ValueError
        If there is none.
    """
    from vgglab.lab.experiments.catalogue import EXPERIMENTS

    if name not in EXPERIMENTS:
        raise ValueError(f"experiment must be one of {', '.join(EXPERIMENTS)}; got {name!r}")
    return EXPERIMENTS[name]


def open_results(experiment: Experiment, budget: str, folder: Path) -> Results:
    """Return the results of an experiment, to be read or added to.

    Raises
    ------
    ValueError
        If there is no such budget, if it needs a GPU that is not there, or if the file there cannot
        be added to.
    """
    size = _budget(experiment, budget)
    here = _provenance(experiment, budget)
    if budget == "gpu" and here["kind"] != "cuda":
        raise ValueError("budget must be tiny or cpu on a machine without a GPU; got 'gpu'")
    return Results(
        folder / f"{experiment.name}.json",
        experiment.name,
        budget,
        {"vary": size.vary, "held": size.held, "seeds": size.seeds},
        here,
        f"vgglab experiment {experiment.name} --budget {budget}",
    )


def run(
    experiment: Experiment, budget: str, folder: Path, *, only: Settings | None = None
) -> Iterator[dict[str, Any]]:
    """Run what is not yet recorded, and record it, run by run.

    Parameters
    ----------
    experiment
        See `find_experiment`.
    budget
        ``"tiny"``, ``"cpu"`` or ``"gpu"``.
    folder
        Where ``NAME.json`` is, or will be.
    only
        Run only the combinations with these settings; ``"seed"`` may be one.

    Yields
    ------
    dict
        Each run as it is recorded.
    """
    wanted = list(_wanted(experiment, budget, only or {}))
    results = open_results(experiment, budget, folder)
    done = {_key(run["settings"], run["seed"]) for run in results.runs()}
    for settings, seed in wanted:
        if _key(settings, seed) not in done:
            made = _make(experiment, budget, settings, seed, folder)
            results.add(made)
            yield made


def reproduce(
    experiment: Experiment, budget: str, folder: Path, *, only: Settings | None = None
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Run again what is recorded, and compare; nothing is written.

    Yields
    ------
    tuple
        The recorded run, and what differs by more than the experiment's tolerance, in words.
    """
    _budget(experiment, budget)
    recorded = read_results(folder / f"{experiment.name}.json")["budgets"].get(budget)
    if recorded is None:
        raise ValueError(f"budget must be one that is recorded; got {budget!r}")
    runs = {_key(run["settings"], run["seed"]): run for run in recorded["runs"]}
    here = _provenance(experiment, budget)
    tolerance = 0.0 if recorded["provenance"] == as_json(here) else experiment.tolerance
    for settings, seed in _wanted(experiment, budget, only or {}):
        then = runs.get(_key(settings, seed))
        if then is not None:
            now = _make(experiment, budget, settings, seed, folder)
            yield then, list(_differences("", then["result"], now["result"], tolerance))


def overview(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each experiment and budget: what it asks, and what is recorded of it.

    Raises
    ------
    ValueError
        If a file of results is damaged.
    """
    from vgglab.lab.experiments.catalogue import EXPERIMENTS

    rows = []
    for name, experiment in EXPERIMENTS.items():
        path = folder / f"{name}.json"
        recorded = read_results(path)["budgets"] if path.exists() else {}
        for budget, size in experiment.budgets.items():
            part = recorded.get(budget)
            rows.append(
                {
                    "experiment": name,
                    "budget": budget,
                    "runs": f"{len(part['runs']) if part else 0} of {size.runs}",
                    "measured on": part["provenance"]["device"] if part else "not measured yet",
                    "question": experiment.question,
                }
            )
    return rows


def _make(
    experiment: Experiment, budget: str, settings: Settings, seed: int, folder: Path
) -> dict[str, Any]:
    held = experiment.budgets[budget].held
    digest = sha256(f"{budget} {_key(settings, seed)}".encode()).hexdigest()[:8]
    checkpoint = folder / f".{experiment.name}-{digest}.checkpoint"
    start = time.perf_counter()
    result = experiment.trial({**held, **settings}, seed, checkpoint)
    seconds = time.perf_counter() - start
    checkpoint.unlink(missing_ok=True)
    made: dict[str, Any] = as_json(
        {
            "settings": settings,
            "seed": seed,
            "date": today(),
            "seconds": round(seconds, 2),
            "result": result,
        }
    )
    return made


def _provenance(experiment: Experiment, budget: str) -> dict[str, object]:
    """Return what the runs are made with: machine, versions and images."""
    data = experiment.budgets[budget].held.get("data")
    return {**provenance(), **({"images": origin(data)} if data else {})}


def _budget(experiment: Experiment, budget: str) -> Budget:
    if budget not in experiment.budgets:
        raise ValueError(
            f"budget must be one of {', '.join(experiment.budgets)} for {experiment.name}; "
            f"got {budget!r}"
        )
    return experiment.budgets[budget]


def _wanted(
    experiment: Experiment, budget: str, only: Settings
) -> Iterator[tuple[dict[str, Any], int]]:
    """Give every combination, all of a seed before the next: an interrupted one stays fair."""
    size = _budget(experiment, budget)
    known = {**size.vary, "seed": range(size.seeds)}
    for name, value in only.items():
        if name not in known:
            raise ValueError(f"only must name one of {', '.join(known)}; got {name!r}")
        if value not in known[name]:
            values = ", ".join(map(str, known[name]))
            raise ValueError(f"only must give {name} one of {values}; got {value!r}")
    for seed in range(size.seeds):
        for settings in size.combinations():
            given = {**settings, "seed": seed}
            if all(given[name] == value for name, value in only.items()):
                yield settings, seed


def _key(settings: Settings, seed: int) -> str:
    return dumps({"settings": settings, "seed": seed}, sort_keys=True)


def _differences(name: str, then: Any, now: Any, tolerance: float) -> Iterator[str]:
    """Compare two results, number by number."""
    if isinstance(then, dict) and isinstance(now, dict) and then.keys() == now.keys():
        for key in then:
            if key != "seconds":
                yield from _differences(f"{name}.{key}", then[key], now[key], tolerance)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, pair in enumerate(zip(then, now, strict=True)):
            yield from _differences(f"{name}[{place}]", *pair, tolerance)
    elif isinstance(then, float) and isinstance(now, float):
        if abs(then - now) > tolerance:
            yield f"{name.lstrip('.')} was {then} and is {now}"
    elif then != now:
        yield f"{name.lstrip('.')} was {then!r} and is {now!r}"
