"""What an experiment is, and how its runs are made, recorded and compared."""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

from vgglab.files import check_writable
from vgglab.lab.experiments.results import Results, as_json, read_results

BUDGETS = ("tiny", "cpu", "gpu")
"""Under 30 s in a notebook; at most 40 minutes of training on two cores; for a GPU."""

MEASURED = ("seconds", "peak_bytes", "answers")
"""Figures of a result that are not compared with a repeated run's: two belong to the machine, and
single answers turn with the last bit, while their mean, the accuracy, is compared."""

CURVES = ("train_loss", "valid_accuracy")
"""Figures of a result with a number for each epoch, of which the last is compared: in the middle of
a training accuracy swings, and another processor's rounding moves the swings."""

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
        """The number of runs: combinations times seeds."""
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
    name
        As the command line and the file of its records have it.
    chapter
        The chapter of the book that reads its records.
    question
        What the experiment asks, in one sentence.
    trial
        Takes all settings, a seed, and a path for a checkpoint; returns plain values by name.
    budgets
        By name, one of `BUDGETS`.
    control
        What in the records could show that the answer, or the measurement, is wrong.
    held_equal
        What is the same in all arms, and what cannot be.
    changes_mind
        Which result would refute what the page expects, and, where it is known, how large an
        effect is worth seeing.
    tolerance
        How far a number of a repeated run may be from the recorded one and still count as the same.
        It allows for the rounding of another processor, driver or version, which training
        magnifies. Whole numbers and words must be the same. What a clock or an allocator measures
        is not compared, and of a curve the end is: see `MEASURED` and `CURVES`.
    command
        What runs it, before its name.
    """

    name: str
    question: str
    trial: Trial
    budgets: Mapping[str, Budget]
    chapter: str = ""
    control: str = ""
    held_equal: str = ""
    changes_mind: str = ""
    tolerance: float = 0.0
    command: str = "vgglab experiment"


class Shard(NamedTuple):
    """A part of the runs of an experiment, for one of several machines: part `number` of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``"2/4"``.

        Raises
        ------
        ValueError
            If it is nothing like that, or if there is no such part.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"shard must be i/n with i from 1 to n, such as 2/4; got {text!r}")
        return cls(int(found[1]), int(found[2]))


def open_results(
    experiment: Experiment, budget: str, folder: Path, shard: Shard | None = None
) -> Results:
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
    part = f".{shard.number}-of-{shard.of}" if shard else ""
    return Results(
        folder / f"{experiment.name}{part}.json",
        experiment.name,
        budget,
        {"vary": size.vary, "held": size.held, "seeds": size.seeds},
        here,
        f"{experiment.command} {experiment.name} --budget {budget}",
    )


def run(
    experiment: Experiment,
    budget: str,
    folder: Path,
    *,
    only: Settings | None = None,
    shard: Shard | None = None,
) -> Iterator[dict[str, Any]]:
    """Run what is not yet recorded, and record it, run by run.

    What cannot be run is refused at once, before the first run is asked for.

    Of several machines each runs a shard and records it in a file of its own,
    ``NAME.2-of-4.json``. A run without `shard` begins by taking in those files that lie in the
    folder: then the record is that of a single run.

    Parameters
    ----------
    experiment
        See `vgglab.lab.experiments.find_experiment`.
    budget
        ``"tiny"``, ``"cpu"`` or ``"gpu"``.
    folder
        Where ``NAME.json`` is, or will be.
    only
        Run only the combinations with these settings; ``"seed"`` may be one.
    shard
        Run only this part.

    Returns
    -------
    iterator of dict
        Makes the runs, one at a time, and gives each as it is recorded.

    Raises
    ------
    OSError
        Before anything runs, if nothing can be written there.
    ValueError
        As `open_results` does, or if `only` names what is not there.
    """
    wanted = list(_wanted(experiment, budget, only or {}))
    results = open_results(experiment, budget, folder)
    check_writable(folder)
    if shard is None:
        _take_in_shards(experiment, budget, results)
    done = {_key(run["settings"], run["seed"]) for run in results.runs()}
    if shard is not None:
        wanted = wanted[shard.number - 1 :: shard.of]
        results = open_results(experiment, budget, folder, shard)
        done |= {_key(run["settings"], run["seed"]) for run in results.runs()}
    left = [pair for pair in wanted if _key(*pair) not in done]

    def runs() -> Iterator[dict[str, Any]]:
        for settings, seed in left:
            made = _make(experiment, budget, settings, seed, folder)
            results.add(made)
            yield made

    return runs()


def _take_in_shards(experiment: Experiment, budget: str, results: Results) -> None:
    """Add what other machines have recorded, in the order of a single run."""
    names = re.compile(re.escape(experiment.name) + r"\.(\d+)-of-(\d+)\.json")
    for path in sorted(results.path.parent.iterdir()):
        if found := names.fullmatch(path.name):
            shard = Shard(int(found[1]), int(found[2]))
            part = open_results(experiment, budget, results.path.parent, shard)
            order = [_key(*pair) for pair in _wanted(experiment, budget, {})]
            runs = {_key(run["settings"], run["seed"]): run for run in part.runs() + results.runs()}
            results.replace_runs([runs[key] for key in order if key in runs])
            part.remove()


def reproduce(
    experiment: Experiment, budget: str, folder: Path, *, only: Settings | None = None
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Run again what is recorded, and compare; nothing is written.

    Parameters
    ----------
    experiment, budget, folder, only
        As in `run`.

    Yields
    ------
    tuple
        The recorded run, and what differs by more than the experiment's tolerance, in words.

    Raises
    ------
    FileNotFoundError
        If there is no file of results.
    ValueError
        If the file is damaged, or if `budget` or `only` names what is not there.
    """
    _budget(experiment, budget)
    recorded = read_results(folder / f"{experiment.name}.json")["budgets"].get(budget)
    if recorded is None:
        raise ValueError(f"budget must be one that is recorded; got {budget!r}")
    runs = {_key(run["settings"], run["seed"]): run for run in recorded["runs"]}
    with TemporaryDirectory() as scratch:  # records may lie where nobody may write
        for settings, seed in _wanted(experiment, budget, only or {}):
            then = runs.get(_key(settings, seed))
            if then is not None:
                now = _make(experiment, budget, settings, seed, Path(scratch))
                found = _differences("", then["result"], now["result"], experiment.tolerance)
                yield then, list(found)


def _make(
    experiment: Experiment, budget: str, settings: Settings, seed: int, folder: Path
) -> dict[str, Any]:
    from vgglab.lab.provenance import today

    held = experiment.budgets[budget].held
    # Of all settings: what is left of an interrupted run must not stop one of another definition.
    digest = sha256(_key({**held, **settings}, seed).encode()).hexdigest()[:8]
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
    from vgglab.lab.data import origin
    from vgglab.lab.provenance import provenance

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
            if key in CURVES and len(then[key]) == len(now[key]):
                ends = then[key][-1:], now[key][-1:]
                yield from _differences(f"{name}.{key}, at the end", *ends, tolerance)
            elif key not in MEASURED:
                yield from _differences(f"{name}.{key}", then[key], now[key], tolerance)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, pair in enumerate(zip(then, now, strict=True)):
            yield from _differences(f"{name}[{place}]", *pair, tolerance)
    elif isinstance(then, float) and isinstance(now, float):
        if not _same(then, now, tolerance):
            yield f"{name.lstrip('.')} was {then} and is {now}"
    elif then != now:
        yield f"{name.lstrip('.')} was {then!r} and is {now!r}"


def _same(then: float, now: float, tolerance: float) -> bool:
    """Whether two numbers are the same, where a training that diverged leaves infinity or NaN."""
    if math.isfinite(then) and math.isfinite(now):
        return abs(then - now) <= tolerance
    return then == now or (math.isnan(then) and math.isnan(now))
