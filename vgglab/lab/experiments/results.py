"""The file of an experiment's results: every run by itself, with what it was made with.

.. code-block:: text

    {"format": 1, "experiment": NAME, "budgets": {BUDGET: {
        "definition": what varies, what is held, how many seeds,
        "provenance": device and versions, "command": ...,
        "runs": [{"settings": ..., "seed": ..., "date": ..., "seconds": ..., "result": ...}]}}}
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgglab.files import write_whole

FORMAT = 1


def as_json(value: Any) -> Any:
    """Return a value as it is after it was written and read: lists for tuples."""
    return json.loads(json.dumps(value))


def read_results(path: Path) -> dict[str, Any]:
    """Read a file of results.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no such file, or one of another format.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"results must be JSON; {str(path)!r} is damaged ({error})") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        version = found.get("format") if isinstance(found, dict) else None
        raise ValueError(
            f"results must be of format {FORMAT}; {str(path)!r} has {version!r}: move it away, or "
            "read it with the version that wrote it"
        )
    return found


class Results:
    """The runs of one experiment at one budget, kept in a file that other budgets share.

    Parameters
    ----------
    path
        The file; made with the first run.
    experiment, budget
        Names.
    definition
        What varies, what is held, how many seeds.
    provenance
        Of the runs to come.
    command
        That makes them.

    Raises
    ------
    ValueError
        If the file holds runs of another definition or provenance, which cannot be mixed.
    """

    def __init__(
        self,
        path: Path,
        experiment: str,
        budget: str,
        definition: Mapping[str, Any],
        provenance: Mapping[str, Any],
        command: str,
    ) -> None:
        self.path = path
        self.experiment = experiment
        self.budget = budget
        self.provenance = as_json(provenance)
        self._new = {
            "definition": as_json(definition),
            "provenance": self.provenance,
            "command": command,
            "runs": [],
        }
        found = self._read()["budgets"].get(budget)
        for part in ("definition", "provenance"):
            if found is not None and found[part] != self._new[part]:
                raise ValueError(
                    f"results must have one {part}; the runs of budget {budget!r} in {str(path)!r} "
                    f"were made with {_changes(found[part], self._new[part])}: move the file away "
                    "to begin again"
                )

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that are there."""
        found: list[dict[str, Any]] = self._read()["budgets"].get(self.budget, self._new)["runs"]
        return found

    def add(self, run: Mapping[str, Any]) -> None:
        """Write the file again with one run more, whole or not at all."""
        self.replace_runs([*self.runs(), as_json(run)])

    def replace_runs(self, runs: Sequence[Mapping[str, Any]]) -> None:
        """Write the file again with these runs, whole or not at all."""
        whole = self._read()
        whole["budgets"].setdefault(self.budget, self._new)["runs"] = runs
        self._write(whole)

    def remove(self) -> None:
        """Remove the runs of this budget, and the file with the last of them."""
        whole = self._read()
        whole["budgets"].pop(self.budget, None)
        if whole["budgets"]:
            self._write(whole)
        else:
            self.path.unlink(missing_ok=True)

    def _write(self, whole: Mapping[str, Any]) -> None:
        text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.path, lambda file: file.write(text.encode()))

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"format": FORMAT, "experiment": self.experiment, "budgets": {}}
        found = read_results(self.path)
        if found["experiment"] != self.experiment:
            raise ValueError(
                f"results must be of {self.experiment!r}; {str(self.path)!r} is of "
                f"{found['experiment']!r}"
            )
        return found


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Name what differs: ``torch 2.11.0, not 2.14.1``."""
    return "; ".join(
        f"{key} {old.get(key)!r}, not {new.get(key)!r}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    )
