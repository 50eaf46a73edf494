"""What an exercise is, and how an answer is checked.

An answer is not compared with the solution as it stands. First it is *observed*: a number or a
shape is taken as it is, a function is called on a few inputs, a network is traced. Then the
observation is compared with that of the solution, and with those of typical mistakes. Solution
and mistakes are computed, so that no exercise can contradict the package.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from itertools import groupby
from typing import Any, TypeAlias

import torch
from torch import nn

from vgglab.summary import Summary, summary

NOT_ATTEMPTED = "not attempted yet"
RIGHT = "right"
WRONG = "not yet right"


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes
    ----------
    answer
        Returns the wrong answer.
    hint
        What to say to someone who gives it: where it comes from, not what the solution is.
    """

    answer: Callable[[], Any]
    hint: str


@dataclass(frozen=True)
class Exercise:
    """A question whose answer can be checked.

    Attributes
    ----------
    id
        Number of the chapter and of the exercise, such as ``"04-2"``.
    question
        One sentence; the chapter says more.
    solution
        Returns the right answer.
    mistakes
        Typical wrong answers, at least two, each with its hint.
    hints
        Help for everybody else, one at a time, from gentle to clear.
    observe
        Turns an answer into what is compared: `value`, or what `value_that`, `calls`, `network`,
        `network_that` or `outputs` returns.
    others
        Other right answers, found in another way; an open task has at least one.
    """

    id: str
    question: str
    solution: Callable[[], Any]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    observe: Callable[[Any], "Observation"]
    others: tuple[Callable[[], Any], ...] = ()


@dataclass(frozen=True)
class Feedback:
    """What `check` and `hint` answer; shows itself in a notebook.

    Attributes
    ----------
    id
        The exercise.
    status
        ``"right"``, ``"not yet right"``, ``"not attempted yet"`` or ``"hint 1 of 3"``.
    message
        What to look at; may be empty, or have several lines. Those that begin with a dash are a
        list.
    """

    id: str
    status: str
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the answer is right."""
        return self.status == RIGHT

    def __str__(self) -> str:
        return f"{self._title()} {self.message}".strip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first, *others = self.message.split("\n")
        html = f"<p><strong>{escape(self._title())}</strong> {escape(first)}</p>"
        for is_list, lines in groupby(others, lambda line: line.startswith("- ")):
            if is_list:
                html += f"<ul>{''.join(f'<li>{escape(line[2:])}</li>' for line in lines)}</ul>"
            else:
                html += "".join(f"<p>{escape(line)}</p>" for line in lines)
        return f'<div class="vgglab-feedback">{html}</div>'

    def _title(self) -> str:
        mark = {RIGHT: "✓", WRONG: "✗"}.get(self.status, "·")
        return f"{mark} {self.id}: {self.status}."


@dataclass(frozen=True)
class Observation:
    """What was seen of an answer: plain values to compare, and words to quote it back.

    Several lines of words are quoted as a list.
    """

    seen: Any
    words: str

    def agrees_with(self, other: "Observation") -> bool:
        """Tell whether two answers are the same; ``True`` and ``1`` are not."""
        return self.seen is not None and repr(self.seen) == repr(other.seen)

    def quote(self) -> str:
        """Return the sentence that quotes the answer back."""
        if "\n" not in self.words:
            return f"You have {self.words}."
        return "\n- ".join(("You have", *self.words.split("\n")))


class NotAttemptedError(Exception):
    """The answer is still the blank that the chapter left."""


def value(answer: Any) -> Observation:
    """Observe a number, a string, a shape, or a list of them.

    Numbers of numpy and torch count as Python's, lists and ``torch.Size`` as tuples; floats are
    compared with 6 significant digits.
    """
    plain = _plain(answer)
    return Observation(plain, repr(plain))


def value_that(*conditions: tuple[str, Callable[[Any], bool]]) -> Callable[[Any], Observation]:
    """Return an observer of what was measured, and comes out a little different on each machine.

    Parameters
    ----------
    *conditions
        What is asked for, and whether a plain value has it, with a margin; one for which this
        raises an error has it not.
    """

    def observe(answer: Any) -> Observation:
        plain = _plain(answer)
        met = [_true(holds, plain) for _, holds in conditions]
        words = [
            f"{text}: {'yes' if yes else 'no'}"
            for (text, _), yes in zip(conditions, met, strict=True)
        ]
        # A right answer is not quoted, so that the feedback is the same on each machine.
        return Observation(tuple(met), "\n".join(words if all(met) else [repr(plain), *words]))

    return observe


def calls(*inputs: Sequence[Any]) -> Callable[[Any], Observation]:
    """Return an observer of functions: what they return for each of `inputs` (argument lists)."""

    def observe(answer: Any) -> Observation:
        if not callable(answer):
            return Observation(None, f"a {type(answer).__name__}, where a function is asked for")
        results, quoted = [], []
        for arguments in inputs:
            call = f"f({', '.join(map(_short, arguments))})"
            try:
                result = _plain(answer(*arguments))
            except NotImplementedError:
                raise NotAttemptedError from None
            except Exception as error:
                return Observation(None, f"{call} raises {_named(error)}")
            if result is None or result is ...:
                raise NotAttemptedError
            results.append(result)
            quoted.append(f"{call} = {result!r}")
        return Observation(tuple(results), "; ".join(quoted[:3]))

    return observe


def network(*input_sizes: tuple[int, ...]) -> Callable[[Any], Observation]:
    """Return an observer of networks: shapes, where the forward stops, and parameters.

    A network may also come as a function without arguments that builds it.
    """

    def observe(answer: Any) -> Observation:
        model = _built(answer)
        if isinstance(model, Observation):
            return model
        seen: list[Any] = []
        words = []
        for size in input_sizes:
            table = summary(model, size)
            failure = table.trace.failure
            if failure is None:
                seen.append((table.trace.output_shapes, table.total_params, table.mult_adds))
                outcome = ", ".join(map(str, table.trace.output_shapes))
            else:
                seen.append((failure.path, failure.input_shapes))
                reason = _one_line(failure.message).removesuffix(".")
                outcome = f"stops in {failure.path or 'the model'} ({reason})"
            words.append(f"{size} → {outcome}")
        words.append(f"{table.total_params:,} parameters")
        return Observation(tuple(seen), "\n".join(words))

    return observe


@dataclass(frozen=True)
class Condition:
    """One thing that an open task asks of a network.

    Attributes
    ----------
    text
        What is asked for, such as ``"fewer than 15 million parameters"``.
    holds
        Whether a network has it; a network for which this raises an error has not. It gets the
        network, and a function from an input size to its `vgglab.summary` there.
    """

    text: str
    holds: Callable[[nn.Module, "Tables"], bool]


Tables: TypeAlias = Callable[[tuple[int, ...]], Summary]


def network_that(*conditions: Condition) -> Callable[[Any], Observation]:
    """Return an observer of networks that may be built in many ways: which conditions hold.

    A network may also come as a function without arguments that builds it.
    """

    def observe(answer: Any) -> Observation:
        model = _built(answer)
        if isinstance(model, Observation):
            return model
        tables = cache(partial(summary, model))
        met = [_true(condition.holds, model, tables) for condition in conditions]
        words = [
            f"{condition.text}: {'yes' if yes else 'no'}"
            for condition, yes in zip(conditions, met, strict=True)
        ]
        return Observation(tuple(met), "\n".join(words))

    return observe


def gives(input_size: tuple[int, ...], output_shape: tuple[int, ...]) -> Condition:
    """Return the condition that an input of one size gives an output of one shape."""

    def holds(model: nn.Module, tables: Tables) -> bool:
        trace = tables(input_size).trace
        return trace.failure is None and trace.output_shapes == (output_shape,)

    return Condition(f"{input_size} → {output_shape}", holds)


def _built(answer: Any) -> nn.Module | Observation:
    """Return the network that an answer is or builds, or what was seen in its place."""
    if callable(answer) and not isinstance(answer, nn.Module):
        try:
            answer = answer()
        except NotImplementedError:
            raise NotAttemptedError from None
        except Exception as error:
            return Observation(None, f"building it raises {_named(error)}")
        if answer is None or answer is ...:
            raise NotAttemptedError
    if not isinstance(answer, nn.Module):
        return Observation(None, f"a {type(answer).__name__}, where a network is asked for")
    return answer


def _true(holds: Callable[..., bool], *arguments: Any) -> bool:
    try:
        return bool(holds(*arguments))
    except Exception:
        return False


def outputs(*input_sizes: tuple[int, ...]) -> Callable[[Any], Observation]:
    """Return an observer of layers: what they give for an input of each size, always the same."""

    def observe(answer: Any) -> Observation:
        if not isinstance(answer, nn.Module):
            return Observation(None, f"a {type(answer).__name__}, where a layer is asked for")
        seen, words = [], []
        for size in input_sizes:
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(size, generator=generator, dtype=torch.float64)
            try:
                with torch.no_grad():
                    y = answer(x)
            except Exception as error:
                return Observation(None, f"{size} raises {_named(error)}")
            shape = _plain(getattr(y, "shape", y))
            seen.append((shape, _plain(y)))
            words.append(f"{size} → {shape}")
        return Observation(tuple(seen), "; ".join(words))

    return observe


def check_answer(exercise: Exercise, answer: Any) -> Feedback:
    """Compare an answer with the solution and with the typical mistakes."""
    if answer is None or answer is ...:
        return Feedback(exercise.id, NOT_ATTEMPTED)
    try:
        observed = exercise.observe(answer)
    except NotAttemptedError:
        return Feedback(exercise.id, NOT_ATTEMPTED)
    except Exception as error:
        return Feedback(exercise.id, WRONG, f"Your answer raises {_named(error)}")
    if observed.agrees_with(_expected(exercise.observe, exercise.solution)):
        return Feedback(exercise.id, RIGHT, observed.quote())
    for mistake in exercise.mistakes:
        if observed.agrees_with(_expected(exercise.observe, mistake.answer)):
            return Feedback(exercise.id, WRONG, f"{observed.quote()}\n{mistake.hint}")
    help_ = f'For a hint: vgglab.hint("{exercise.id}").'
    return Feedback(exercise.id, WRONG, f"{observed.quote()}\n{help_}")


@cache
def _expected(observe: Callable[[Any], Observation], answer: Callable[[], Any]) -> Observation:
    """Observe a solution or a typical mistake, once in a session."""
    return observe(answer())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(argument: Any) -> str:
    """Return an argument as it is quoted, a tensor too in one line."""
    return _one_line(repr(argument))


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {_one_line(str(error))}"


def _plain(answer: Any) -> Any:
    """Return the answer in Python's own types, floats rounded to 6 significant digits.

    Of any other object only its class is seen, so that none can claim to equal the solution.
    """
    if hasattr(answer, "tolist"):  # numpy and torch
        answer = answer.tolist()
    if isinstance(answer, list | tuple):
        return tuple(_plain(item) for item in answer)
    if isinstance(answer, dict):
        return {key: _plain(item) for key, item in answer.items()}
    if isinstance(answer, float):
        return int(answer) if answer.is_integer() else float(f"{answer:.6g}")
    if answer is None or answer is ... or type(answer) in (bool, int, str, range):
        return answer
    return f"an object of class {type(answer).__name__}"
