"""Answers in Python's own types: what they hold, when two agree, and the form that they have."""

from collections import deque
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn

TOLERANCE = 1e-4
"""By what share two numbers may differ: about four digits. Whole numbers must be equal."""
OF_LARGEST = 1e-6
"""What may be added to that: this share of the largest number beside it, for those that are 0."""
FRACTION = 1e-3
"""The most by which two numbers may differ, so that a fraction is not taken for a large number."""
ROUNDING = 1e-9
QUOTED = 300  # characters
MOST_ITEMS = 4096
_LISTS = (list, tuple, range, deque, Iterator, KeysView, ValuesView, ItemsView)
SHORT = 16  # as many numbers of a tensor are quoted

Plain: TypeAlias = Any
"""Numbers, strings, booleans and `Thing`, in tuples and dicts."""


@dataclass(frozen=True, eq=False)
class Thing:
    """What is no value; it equals nothing, so that no object can claim to be the solution."""

    words: str

    def __repr__(self) -> str:
        return self.words


def plain(answer: Any, inside: bool = False) -> Plain:
    """Return an answer in Python's own types.

    Parameters
    ----------
    answer
        Numbers of any kind (`numbers.Real`, of numpy and torch too) become int or float; lists,
        shapes, arrays, generators and the like become tuples. Large tensors and those without data
        are a `Thing`, as are all other objects.
    inside
        Whether it is an item of a list. A range there is a pair, its start and its stop.
    """
    if isinstance(answer, Tensor | np.ndarray | np.generic):
        if (isinstance(answer, Tensor) and answer.is_meta) or _numel(answer) > MOST_ITEMS:
            return Thing(form(answer))
        answer = answer.tolist()
    if answer is None or answer is ... or isinstance(answer, bool | str):
        return answer
    if isinstance(answer, Real | Decimal):
        return _number(answer)
    if isinstance(answer, Mapping):
        return {plain(key): plain(item, inside=True) for key, item in answer.items()}
    if isinstance(answer, range) and inside:
        return answer.start, answer.stop
    if isinstance(answer, _LISTS):
        return tuple(plain(item, inside=True) for item in islice(answer, MOST_ITEMS))
    return Thing(form(answer))


def agree(answer: Plain, expected: Plain) -> bool:
    """Tell whether an answer is what is expected: numbers within `TOLERANCE`, strings in any case.

    0 and 1 are taken for ``False`` and ``True``, but these not for numbers.
    """
    if isinstance(expected, tuple):
        largest = max((abs(item) for item in expected if _is_number(item)), default=0)
        return (
            isinstance(answer, tuple)
            and len(answer) == len(expected)
            and all(
                _near(a, e, largest) if _is_number(e) else agree(a, e)
                for a, e in zip(answer, expected, strict=True)
            )
        )
    if isinstance(expected, dict):
        return (
            isinstance(answer, dict)
            and answer.keys() == expected.keys()
            and agree(tuple(answer[key] for key in expected), tuple(expected.values()))
        )
    if isinstance(expected, bool):
        return isinstance(answer, bool | int) and answer == expected
    if _is_number(expected):
        return _near(answer, expected, abs(expected))
    if isinstance(expected, str):
        return isinstance(answer, str) and _word(answer) == _word(expected)
    return False


def leaves(answer: Plain) -> tuple[Plain, ...]:
    """Return what is in an answer, whatever holds it."""
    if isinstance(answer, dict):
        answer = tuple(answer.values())
    if isinstance(answer, tuple):
        return tuple(leaf for item in answer for leaf in leaves(item))
    return (answer,)


def fits(answer: Plain, expected: Any) -> bool:
    """Tell whether an answer has the form of the solution; a list may have any length."""
    if isinstance(expected, Tensor | np.ndarray):
        expected = expected.tolist()
    if isinstance(expected, list):
        return isinstance(answer, tuple) and all(fits(item, expected[0]) for item in answer)
    if isinstance(expected, tuple):
        return (
            isinstance(answer, tuple)
            and len(answer) == len(expected)
            and all(fits(a, e) for a, e in zip(answer, expected, strict=True))
        )
    if isinstance(expected, dict):
        return isinstance(answer, dict) and answer.keys() == expected.keys()
    if isinstance(expected, str):
        return isinstance(answer, str) and (len(expected) > 1 or len(_word(answer)) == 1)
    if isinstance(expected, bool):
        return isinstance(answer, bool) or answer in (0, 1)
    return _is_number(answer)


def form(answer: Any) -> str:
    """Return what kind of answer it is, with an article: ``"a pair"``, ``"a list of numbers"``."""
    if isinstance(answer, Tensor | np.ndarray) and answer.ndim == 0:
        return "a number"
    if isinstance(answer, list | tuple | dict) and not answer:
        return f"an empty {type(answer).__name__}"
    if isinstance(answer, dict):
        return f"a dict with the keys {', '.join(map(repr, answer))}"
    if isinstance(answer, list):
        return f"a list of {_plural(answer[0])}"
    if isinstance(answer, tuple) and len(answer) > 2:
        return f"a tuple of {len(answer)} {_plural(answer[0])}"
    return next(words for kinds, words in _FORMS if isinstance(answer, kinds))(answer)


def cut(text: str, length: int = QUOTED) -> str:
    """Return a text in one line, shortened if it is longer than that."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


def quoted(answer: Any, seen: Plain) -> str:
    """Return how an answer is quoted back: long tensors by their shape, all else cut."""
    if isinstance(answer, Tensor | np.ndarray) and _numel(answer) > SHORT:
        return form(answer)
    return cut(repr(_rounded(seen)))


def _is_number(item: Plain) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _numel(answer: Any) -> int:
    return int(answer.numel() if isinstance(answer, Tensor) else answer.size)


def _number(number: Any) -> int | float:
    """Return a number as int if it is whole but for rounding; 1e-12 stays what it is."""
    if isinstance(number, Integral):
        return int(number)
    found = float(number)
    whole = round(found) if isfinite(found) else 0
    return whole if found == whole or (whole and abs(found / whole - 1) < ROUNDING) else found


def _near(answer: Plain, expected: int | float, largest: int | float) -> bool:
    if not _is_number(answer):
        return False
    if isinstance(answer, int) and isinstance(expected, int):
        return answer == expected
    share = TOLERANCE if isinstance(expected, float) else OF_LARGEST
    tolerance = min(share * abs(expected) + OF_LARGEST * largest, FRACTION)
    return bool(abs(answer - expected) <= tolerance)


def _word(text: str) -> str:
    return text.casefold().strip(" ().'\"")


def _rounded(seen: Plain) -> Plain:
    """Return a plain value with six digits of each number that is not whole."""
    if isinstance(seen, tuple):
        return tuple(_rounded(item) for item in seen)
    if isinstance(seen, dict):
        return {key: _rounded(item) for key, item in seen.items()}
    return float(f"{seen:.6g}") if isinstance(seen, float) else seen


def _plural(item: Any) -> str:
    if isinstance(item, bool):
        return "booleans"
    words = form(item).split(" ", 1)[1]
    noun, of, rest = words.partition(" of ")
    return f"{noun}s{of}{rest}"


def _class_named(answer: Any) -> str:
    return f"an object of class {type(answer).__name__}"


def _form_of_text(answer: str) -> str:
    return "a letter in quotation marks" if len(answer) == 1 and answer.isalpha() else "a string"


_FORMS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (bool, lambda answer: "True or False"),
    (Real | Decimal, lambda answer: "a number"),
    (str, _form_of_text),
    (tuple, lambda answer: "a pair" if len(answer) == 2 else "a tuple of one"),
    (Tensor, lambda answer: f"a tensor of shape {tuple(answer.shape)}"),
    (np.ndarray, lambda answer: f"an array of shape {answer.shape}"),
    (range, lambda answer: "a range"),
    (AbstractSet, lambda answer: "a set, which has no order"),
    (nn.Module, lambda answer: f"a network or layer, {type(answer).__name__}"),
    (type, lambda answer: f"the class {answer.__name__}"),
    (Callable, lambda answer: "a function"),
    (object, _class_named),
)
