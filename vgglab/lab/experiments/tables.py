"""Tables of what is recorded: they print in a terminal, and show in a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from html import escape
from math import floor, log10
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from vgglab.lab.experiments.reading import AGAIN, NOT_MEASURED, Recorded, recorded
from vgglab.lab.experiments.results import read_results
from vgglab.lab.experiments.running import Budget, Experiment, Settings
from vgglab.lab.experiments.verdicts import CONFIDENCE, Difference, interval
from vgglab.report import Report

INTERVAL = f"{CONFIDENCE:.0%} interval"


@dataclass(frozen=True, repr=False)
class ResultTable(Report):
    """Rows under a title, what is concluded from them, and where they come from.

    Attributes
    ----------
    title
        What is compared.
    rows
        Cells by the name of their column, the same names in the same order; what a row has not is
        left empty.
    said
        Sentences below the table: verdicts first, then how it was measured.
    """

    title: str
    rows: Sequence[Mapping[str, str]]
    said: Sequence[str] = ()

    def _title(self) -> str:
        return self.title

    def _tables(self, tablefmt: str) -> list[str]:
        if not self.rows:
            return []
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        cells = [[row.get(name, "") for name in columns] for row in self.rows]
        _, *others = zip(*cells, strict=True)
        align = ["left", *("left" if _is_text(column) else "right" for column in others)]
        return [tabulate(cells, columns, tablefmt, disable_numparse=True, colalign=align)]

    def _sentences(self) -> list[str]:
        return list(self.said)


def _is_text(cells: Sequence[str]) -> bool:
    return any(cell[:1].isalpha() for cell in cells)


def interval_table(
    title: str,
    samples: Mapping[str, Mapping[str, Sequence[float]] | Sequence[float]],
    *,
    first: str,
    spec: str = ".2f",
    said: Sequence[str] = (),
    record: Recorded | None = None,
) -> ResultTable:
    """Return a table of means with their confidence intervals.

    Parameters
    ----------
    title
        What is compared.
    samples
        For each row one number a seed, or several such lists by the name of their column.
    first
        What the rows are.
    spec
        How a number is written, for `format`.
    said
        What is concluded.
    record
        Where the numbers come from; it is said below the table.

    Returns
    -------
    ResultTable
        In each cell the mean, and in brackets the interval of `vgglab.lab.experiments.interval`.
    """
    rows = []
    for name, values in samples.items():
        columns = values if isinstance(values, Mapping) else {"mean and interval": values}
        rows.append({first: name, **{k: _with_interval(v, spec) for k, v in columns.items()}})
    source = [_one_line(record)] if record else []
    return ResultTable(title, rows, [*said, *source])


@dataclass(frozen=True, repr=False)
class DifferenceTable(Report):
    """Differences with their intervals, each drawn beside 0: a forest plot that is a table.

    Attributes
    ----------
    title
        What is compared.
    found
        At least one difference, by the name of its row.
    first
        What the rows are.
    more, less
        What a difference above and below 0 means.
    unit, scale, spec
        Of the numbers shown: the differences times `scale`, written by `format`.
    said
        Further sentences below the table.
    """

    title: str
    found: Mapping[str, Difference]
    _: KW_ONLY
    first: str
    more: str
    less: str
    unit: str = "points"
    scale: float = 100.0
    spec: str = ".1f"
    said: Sequence[str] = ()

    def _title(self) -> str:
        return self.title

    def _tables(self, tablefmt: str) -> list[str]:
        columns = [self.first, f"{self.unit} and {INTERVAL}", "so"]
        rows = []
        for name, found in self.found.items():
            mean, low, high = (self.scale * v for v in (found.mean, found.low, found.high))
            numbers = f"{mean:+{self.spec}} [{low:+{self.spec}}, {high:+{self.spec}}]"
            rows.append([name, numbers, found.in_words(self.more, self.less)])
        if tablefmt == "html":
            (first, numbers, _), *cells = ([escape(c) for c in row] for row in (columns, *rows))
            columns = [first, f"{escape(self.less)} ← 0 → {escape(self.more)}", numbers]
            drawn = _drawn(list(self.found.values()))
            rows = [
                [name, picture, f"{number}<br>{words}"]
                for (name, number, words), picture in zip(cells, drawn, strict=True)
            ]
            tablefmt = "unsafehtml"
        return [tabulate(rows, columns, tablefmt, disable_numparse=True)]

    def _sentences(self) -> list[str]:
        found = list(self.found.values())
        unseen = [self.scale * f.minimum_detectable_effect for f in found if not f.significant]
        seeds = sorted({f.n for f in found})
        how = f"n = {' and '.join(map(str, seeds))}"
        if (claims := max(f.claims for f in found)) > 1:
            how += f"; {claims} intervals that hold together"
        if unseen:
            of = " to ".join(
                sorted({f"{v:{self.spec}}" for v in (min(unseen), max(unseen))}, key=float)
            )
            how += (
                f". Where no difference is seen, one of {of} {self.unit} would have been seen in "
                "four of five such experiments"
            )
        return [f"{how}.", *self.said]


def _drawn(found: Sequence[Difference]) -> list[str]:
    """Return the intervals as SVG, on one scale with a line at 0; their numbers stand beside."""
    least, most = min(0.0, *(f.low for f in found)), max(0.0, *(f.high for f in found))
    width, height, edge = 150, 20, 8
    unit = (width - 2 * edge) / ((most - least) or 1.0)

    def at(value: float) -> str:
        return f"{edge + unit * (value - least):.1f}"

    return [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true" '
        f'stroke="currentColor"><path d="M{at(0)} 0V{height}" stroke-dasharray="2"/>'
        f'<path d="M{at(f.low)} {height // 2}H{at(f.high)}" stroke-width="2"/>'
        f'<circle cx="{at(f.mean)}" cy="{height // 2}" r="4" '
        f'fill="{"currentColor" if f.significant else "none"}"/></svg>'
        for f in found
    ]


def _one_line(record: Recorded) -> str:
    return "; ".join(str(record).splitlines())


def _with_interval(values: Sequence[float], spec: str) -> str:
    found = interval(values)
    if found.low == found.high:
        return f"{found.mean:{spec}}"
    return f"{found.mean:{spec}} [{found.low:{spec}}, {found.high:{spec}}]"


def edge_note(record: Recorded, setting: str, arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the arms whose best value is the least or the largest that was tried.

    Parameters
    ----------
    record
        Of an experiment whose results have ``"valid_accuracy"`` and ``"diverged"``.
    setting
        What was chosen for each arm: ``"lr"``.
    arms
        By name, the other settings of each.

    Returns
    -------
    str
        One sentence, with how far each is above the value next to it.
    """
    found = {name: record.at_edge(setting, **settings) for name, settings in arms.items()}
    there = [f"{name} ({e[0]}, {100 * e[1]:+.1f})" for name, e in found.items() if e]
    if not there:
        return f"The best {setting} of each lies inside of those that were tried."
    return (
        f"Best at the edge of what was tried as {setting}, so not known to be at their best (which "
        f"edge, and points of validation accuracy over the value next to it): {', '.join(there)}."
    )


def cost_rows(record: Recorded) -> list[dict[str, str]]:
    """Return a row for each setting and arm of an experiment that times its arms in turn.

    Parameters
    ----------
    record
        Of an experiment whose results have ``"seconds"`` and ``"mult_adds"`` for each arm.

    Returns
    -------
    list of dict
        The settings; the arm; the median time of a pass in milliseconds; multiply-adds a second in
        billions; how many times as long as the first arm it takes, with the confidence interval;
        how many times the multiply-adds; where it was recorded, what a training step keeps for its
        backward pass, and what it allocates at most.
    """
    rows = []
    for settings in Budget(**record.definition).combinations():
        (result, *_) = record.samples(**settings)
        works = result["mult_adds"]
        first = next(iter(works))
        for arm, work in works.items():
            repetitions = record.samples("seconds", arm, **settings)
            seconds = median(second for seed in repetitions for second in seed)
            row = {name.replace("_", " "): str(value) for name, value in settings.items()}
            row |= {"arm": arm, "ms": _three_digits(1e3 * seconds)}
            row["G mult-adds/s"] = f"{work / seconds / 1e9:.1f}"
            if arm != first:
                ratio = record.time_ratio(arm, first, **settings)
                row["times as long"] = f"{ratio.mean:.2f}"
                row[INTERVAL] = f"{ratio.low:.2f} to {ratio.high:.2f}"
                row["times the mult-adds"] = f"{work / works[first]:.2f}"
            for name in ("saved", "peak"):
                size = result.get(f"{name}_bytes", {}).get(arm)
                if size is not None:
                    row[f"{name} MiB"] = f"{size / 2**20:,.0f}"
            rows.append(row)
    return rows


def cost_verdicts(records: Sequence[Recorded]) -> list[str]:
    """Say of each arm whether it takes as many times as long as the first as mult-adds say.

    Parameters
    ----------
    records
        Of an experiment whose results have ``"seconds"`` and ``"mult_adds"`` for each arm.

    Returns
    -------
    list of str
        A sentence for each arm, but for the one that is the first once more. Groups
        of up to half of all settings are listed.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for record in records:
        for settings in Budget(**record.definition).combinations():
            (works, *_) = record.samples("mult_adds", **settings)
            first, *others = works
            for arm in others:
                if arm.endswith(AGAIN):
                    continue
                ratio, work = record.time_ratio(arm, first, **settings), works[arm] / works[first]
                how = "as" if work in ratio else "less" if ratio.high < work else "more"
                groups = found.setdefault(arm, {"as": [], "less": [], "more": []})
                groups[how].append(setting_name(record, settings))
    means = {"as": "as the mult-adds say", "less": "less", "more": "more"}
    said = []
    for arm, groups in found.items():
        total = sum(map(len, groups.values()))
        parts = [
            f"{means[how]} in {len(names)} of {total}"
            + (f" ({'; '.join(names)})" if 2 * len(names) <= total else "")
            for how, names in groups.items()
            if names
        ]
        said.append(f"{arm}, times as long, by the {INTERVAL}: {', '.join(parts)}.")
    return said


def setting_name(record: Recorded, settings: Settings) -> str:
    """Return the budget of a record and some settings: ``gpu, tf32, images 8``."""
    values = (
        value if isinstance(value, str) else f"{name.replace('_', ' ')} {value}"
        for name, value in settings.items()
    )
    return ", ".join((record.budget, *values))


def cost_report(
    experiment: Experiment, folder: Path, budgets: Sequence[str] = ("cpu", "gpu")
) -> ResultTable:
    """Say what is recorded of an experiment that times its arms in turn.

    Parameters
    ----------
    experiment
        One of those that time.
    folder
        Where its results are; they need not be there.
    budgets
        Those to look for; what is not recorded is called not measured yet.

    Returns
    -------
    ResultTable
        The rows of `cost_rows`, and on what they were measured.

    Raises
    ------
    ValueError
        If the file is damaged, or does not have all runs of a budget.
    """
    path = folder / f"{experiment.name}.json"
    there = read_results(path)["budgets"] if path.exists() else {}
    rows: list[dict[str, str]] = []
    said = []
    for budget in budgets:
        if budget not in there:
            said.append(f"{budget}: {NOT_MEASURED}")
            continue
        record = recorded(path, budget)
        rows += [{"budget": budget, **row} for row in cost_rows(record)]
        held = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in record.definition["held"].items()
        )
        said += [f"{budget}: {_one_line(record)}", f"{budget}, held: {held}"]
    return ResultTable(experiment.question, rows, said)


def _three_digits(number: float) -> str:
    """Return a positive number as people read it: 0.123, 12.3, 12,345."""
    return f"{number:,.{max(2 - floor(log10(number)), 0)}f}"
