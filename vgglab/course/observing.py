"""What is seen of an answer that is a value or a function, and what differs from the solution."""

import dis
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from vgglab.course.plain import Plain, agree, cut, fits, form, leaves, plain, quoted

NEAR = 0.01  # a share of the right number
_NUMBERS = ("first", "second", "third", "fourth", "fifth")
_DOES_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}


class NotAttemptedError(Exception):
    """The answer is still the blank that the chapter left."""


@dataclass(frozen=True)
class Observation:
    """What was seen of an answer.

    Attributes
    ----------
    seen
        Plain values to compare; ``None`` agrees with nothing.
    words
        They quote the answer back; several lines are quoted as a list.
    about
        What `Mistake.applies` gets.
    detail
        What a typical mistake must have in common with the answer besides.
    looked_at
        What a right answer was judged by, if its quotation does not say it.
    """

    seen: Any
    words: str
    about: tuple[Any, ...] = ()
    detail: Any = ()
    looked_at: str = ""

    def agrees_with(self, other: "Observation") -> bool:
        """Tell whether two answers are the same."""
        return self.seen is not None and agree(self.seen, other.seen)

    def is_alike(self, other: "Observation") -> bool:
        """Tell whether an answer is that typical mistake."""
        return self.agrees_with(other) and agree(self.detail, other.detail)

    def differs_from(self, solution: "Observation") -> str:
        """Say in what the answer differs, without giving the solution away; or nothing."""
        return ""

    def quote(self) -> str:
        """Return the sentence that quotes the answer back."""
        if "\n" not in self.words:
            return f"You have {self.words}."
        return "\n- ".join(("You have", *self.words.split("\n")))


@dataclass(frozen=True)
class Refused(Observation):
    """An answer of which nothing can be compared: the words are a sentence that says why."""

    def quote(self) -> str:
        """Return the sentence."""
        return f"{self.words.removesuffix('.')}."


def refused(words: str) -> Refused:
    """Return what was seen of an answer that cannot be compared."""
    return Refused(None, words)


@dataclass(frozen=True)
class Value(Observation):
    """A value, and the answer as it came, whose form is that of the solution."""

    raw: Any = field(default=None, compare=False)

    def differs_from(self, solution: Observation) -> str:
        """Name the form that is wanted, and which of several values are right."""
        assert isinstance(solution, Value)
        return _form_wanted(self.raw, self.seen, solution.raw) or _partly(self.seen, solution.seen)


def value(answer: Any) -> Observation:
    """Observe a number, a string, a shape, or a list of them.

    Numbers of all kinds count as Python's, lists, shapes and generators as tuples. Numbers that are
    not whole need about four digits: see `vgglab.course.plain.TOLERANCE`.
    """
    seen = plain(answer)
    return Value(seen, quoted(answer, seen), about=(seen,), raw=answer)


def value_that(*conditions: tuple[str, Callable[[Any], bool]]) -> Callable[[Any], Observation]:
    """Return an observer of what was measured, and comes out a little different on each machine.

    Parameters
    ----------
    *conditions
        What is asked for, and whether a plain value has it, with a margin; one for which this
        raises an error has it not.
    """

    def observe(answer: Any) -> Observation:
        seen = plain(answer)
        met = tuple(holds_for(holds, seen) for _, holds in conditions)
        words = yes_and_no([text for text, _ in conditions], met)
        # A right answer is not quoted, so that the feedback is the same on each machine.
        lines = words if all(met) else [quoted(answer, seen), *words]
        return _Measured(met, "\n".join(lines), about=(seen,), raw=answer)

    return observe


@dataclass(frozen=True)
class _Measured(Value):
    """What was measured: which conditions it has."""

    def is_alike(self, other: Observation) -> bool:
        """Ask for the form too: what has none of the conditions may be anything."""
        return super().is_alike(other) and fits(self.about[0], other.raw)  # type: ignore[attr-defined]

    def differs_from(self, solution: Observation) -> str:
        """Name the form that is wanted."""
        assert isinstance(solution, Value)
        return _form_wanted(self.raw, self.about[0], solution.raw)


def calls(*inputs: Sequence[Any]) -> Callable[[Any], Observation]:
    """Return an observer of functions: what they return for each of `inputs` (argument lists)."""

    def observe(answer: Any) -> Observation:
        if not callable(answer):
            return refused(
                f"You have {form(answer)}, where a function is asked for: its name, not its call"
            )
        results, quotes, raw = [], [], []
        for arguments in inputs:
            call = cut(f"f({', '.join(map(repr, arguments))})")
            try:
                # A copy for each call: a function may take its list apart.
                result = answer(*deepcopy(arguments))
                seen = plain(result)
            except NotImplementedError:
                raise NotAttemptedError from None
            except Exception as error:
                return refused(f"{call} raises {named(error)}")
            if result is ... or (result is None and does_nothing(answer)):
                raise NotAttemptedError
            if result is None:
                return refused(without_return(call, answer))
            results.append(seen)
            raw.append(result)
            quotes.append(cut(f"{call} = {quoted(result, seen)}"))
        seen_all = tuple(results)
        return _Results(
            seen_all, "; ".join(quotes[:3]), about=(seen_all,), raw=raw, quotes=tuple(quotes)
        )

    return observe


@dataclass(frozen=True)
class _Results(Value):
    """What a function returned, and each call with its result in words."""

    quotes: tuple[str, ...] = ()

    def differs_from(self, solution: Observation) -> str:
        """Name the form that is wanted, or the calls that are right."""
        assert isinstance(solution, Value)
        for raw, seen, wanted in zip(self.raw, self.seen, solution.raw, strict=True):
            if said := _form_wanted(raw, seen, wanted):
                return said
        right = [agree(a, e) for a, e in zip(self.seen, solution.seen, strict=True)]
        if any(right):
            good, bad = self.quotes[right.index(True)], self.quotes[right.index(False)]
            return f"Right: {good}. Not right: {bad}."
        factor = _factor(leaves(self.seen), leaves(solution.seen))
        if factor:
            return f"Every number is {factor:g} times what it should be."
        parts = [_right_parts(a, e) for a, e in zip(self.seen, solution.seen, strict=True)]
        return parts[0] if len(set(parts)) == 1 else ""


def _factor(seen: tuple[Plain, ...], expected: tuple[Plain, ...]) -> float:
    """Return by what all numbers are multiplied; 0 if by no single one."""
    if not all(type(number) in (int, float) for number in (*seen, *expected)):
        return 0.0
    pairs = zip(seen, expected, strict=False)
    factor = next((float(a / e) for a, e in pairs if e), 0.0)
    return factor if agree(seen, tuple(factor * e for e in expected)) else 0.0


def _form_wanted(raw: Any, seen: Plain, wanted: Any) -> str:
    """Say which form is asked for, if the answer has another; ``""`` if it has not."""
    if fits(seen, wanted):
        return ""
    asked, expected = f"Asked for is {form(wanted)}", plain(wanted)
    if agree(plain(tuple(getattr(raw, "shape", ()))), expected):
        return f"{asked}: its shape."
    inside = leaves(seen)
    if agree(inside, leaves(expected)):
        return f"What is in it is right, its form is not. {asked}."
    if len(inside) > 2 and agree((inside[0], inside[-1]), expected):
        return f"These are the right ones, from end to end. {asked}: the first and the last."
    got = form(raw)
    return f"{asked}, and you have {got}." if got != form(wanted) else f"{asked}."


def _partly(seen: Plain, expected: Plain) -> str:
    """Say what is right of an answer that has the form that is wanted."""
    if isinstance(expected, tuple) and isinstance(seen, tuple):
        return _right_parts(seen, expected)
    if isinstance(expected, int | float) and abs(seen - expected) <= NEAR * abs(expected):
        return (
            "That is near, within one percent. A whole number has to be exact; any other needs "
            "four digits, or write it as a fraction."
        )
    return ""


def _right_parts(seen: Plain, expected: Plain) -> str:
    """Say which of several numbers are right; of several booleans, how many."""
    if not isinstance(expected, tuple) or not isinstance(seen, tuple):
        return ""
    if len(seen) != len(expected):
        return f"It has too {'few' if len(seen) < len(expected) else 'many'} entries: {len(seen)}."
    right = [agree((a,), (e,)) for a, e in zip(seen, expected, strict=True)]
    if all(isinstance(e, bool) for e in expected):
        return f"{sum(right)} of the {len(right)} are right."
    numbers = [isinstance(e, int | float) for e in expected]
    if all(numbers) and agree(tuple(sorted(seen)), tuple(sorted(expected))):
        return "These are the right numbers, in another order."
    if any(right) and len(right) <= len(_NUMBERS):
        places = " and ".join(_NUMBERS[k] for k, yes in enumerate(right) if yes)
        return f"Right so far: the {places}."
    return ""


def yes_and_no(texts: Sequence[str], met: Sequence[bool]) -> list[str]:
    """Return a line for each condition."""
    return [f"{text}: {'yes' if yes else 'no'}" for text, yes in zip(texts, met, strict=True)]


def holds_for(holds: Callable[..., bool], *arguments: Any) -> bool:
    """Tell whether a condition holds; it does not if it raises an error."""
    try:
        return bool(holds(*arguments))
    except Exception:
        return False


def does_nothing(function: Any) -> bool:
    """Tell whether the body of a function is empty: ``...``, ``pass`` or a docstring."""
    return isinstance(function, FunctionType) and _DOES_NOTHING.issuperset(
        step.opname for step in dis.get_instructions(function)
    )


def without_return(call: str, function: Any) -> str:
    """Return what to say of a function that returned ``None``."""
    if "print" in getattr(getattr(function, "__code__", None), "co_names", ()):
        return f"{call} = None: it prints, and returns nothing. Write return in place of print."
    return f"{call} = None: it ended without a return. Is there one on each way through it?"


def named(error: BaseException) -> str:
    """Return the class of an error and its text, in one line."""
    return cut(f"{type(error).__name__}: {error}")
