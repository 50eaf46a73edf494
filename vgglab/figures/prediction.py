"""Predictions: made in the page or in a cell, and later seen beside what came out.

What a reader says in the page stays in the reader's browser; what a student writes into the cell
is shown in the same place. Who says nothing is told nothing. ``prediction.html`` holds markup and
style, ``prediction.js`` the behaviour. Readers without scripts see the questions, and later a table
of what came out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from types import EllipsisType
from typing import Any

from vgglab.figures.element import fallback_table, figure_html


@dataclass(frozen=True, eq=False)
class Prediction(Mapping[str, Any]):
    """Questions and what was said to them, ``...`` where nothing was; a notebook shows fields.

    Build one with `predict`.

    Attributes
    ----------
    id
        A name that no other prediction of the course has.
    said
        For each question what was said.
    of
        Type of an answer.
    """

    id: str
    said: Mapping[str, Any]
    of: type

    def __getitem__(self, question: str) -> Any:
        return self.said[question]

    def __iter__(self) -> Iterator[str]:
        return iter(self.said)

    def __len__(self) -> int:
        return len(self.said)

    def __repr__(self) -> str:
        """Return what was said, and nothing if nothing was."""
        made = {question: said for question, said in self.said.items() if said is not ...}
        return f"you said: {made}" if made else ""

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(question)}</li>" for question in self.said)
        return figure_html("prediction", self._data(None), f"<ul>{items}</ul>")

    def compare(self, found: Mapping[str, Any]) -> "Outcome":
        """Return what came out beside what was said.

        Parameters
        ----------
        found
            For each of the questions what came out: of the type of the answers, which are then
            marked, or words.

        Raises
        ------
        ValueError
            If the questions are others.
        """
        if list(found) != list(self.said):
            raise ValueError(f"found must answer {list(self.said)}; got {list(found)}")
        return Outcome(self, dict(found))

    def _data(self, found: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "id": self.id,
            "questions": {
                question: None if isinstance(said, EllipsisType) else str(said)
                for question, said in self.said.items()
            },
            "choices": ["True", "False"] if self.of is bool else None,
            "exact": found is not None
            and self.of is not float
            and all(isinstance(value, self.of) for value in found.values()),
            "found": found and {question: str(value) for question, value in found.items()},
        }


@dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """What came out, beside a prediction; printed, or shown by a notebook.

    Attributes
    ----------
    prediction
        What was said before.
    found
        For each question what came out.
    """

    prediction: Prediction
    found: Mapping[str, Any]

    def __str__(self) -> str:
        lines = []
        for question, value in self.found.items():
            said = self.prediction[question]
            lines.append(f"{question}: {value}" + ("" if said is ... else f" (you said {said})"))
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "\n".join(
            f'<tr><th scope="row">{escape(question)}</th><td>{escape(str(value))}</td></tr>'
            for question, value in self.found.items()
        )
        table = fallback_table(
            "prediction", "What came out", "What came out", ["question", "answer"], rows
        )
        return figure_html("prediction", self.prediction._data(self.found), table)


def predict(id: str, said: Mapping[str, Any], of: type = bool) -> Prediction:
    """Return fields for a prediction, and keep what is said in the cell.

    Parameters
    ----------
    id
        A name that no other prediction of the course has, such as ``"04-raises"``.
    said
        For each question ``...``, or what you expect.
    of
        Type of an answer: ``bool``, ``int``, ``float`` (what is measured), ``str``, or ``list`` of
        integers.

    Examples
    --------
    >>> said = predict("00-doc", {"7 is prime": ..., "9 is prime": True})
    >>> said
    you said: {'9 is prime': True}
    >>> said.compare({"7 is prime": True, "9 is prime": False})
    7 is prime: True
    9 is prime: False (you said True)
    """
    return Prediction(id, dict(said), of)
