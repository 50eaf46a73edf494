"""A quiz: a question with options, each with the reason why it is right or wrong."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from random import Random
from typing import Any

RIGHT = ""
"""In the place of a misconception: there is none behind the right answer."""

LETTERS = "abcdefghij"
"""What options are called where they stand as text."""


@dataclass(frozen=True)
class Option:
    """One answer of a quiz, and why it is right or wrong.

    `misconception` is what somebody believes who chooses a wrong option: an id of
    `vgglab.course.bank.load_misconceptions`.
    """

    text: str
    why: str
    right: bool = False
    misconception: str = RIGHT


@dataclass(frozen=True)
class Quiz:
    """A question with options; shows itself in a notebook and works without scripts.

    `difficulty` is 1 for what can be said at once, 2 for what takes some steps, 3 for what takes a
    judgement.
    """

    id: str
    question: str
    options: tuple[Option, ...]
    difficulty: int

    def shuffled(self, draw: Random) -> "Quiz":
        """Return it with its options in another order."""
        return replace(self, options=tuple(draw.sample(self.options, len(self.options))))

    def __str__(self) -> str:
        lines = [f"{LETTERS[k]}) {option.text}" for k, option in enumerate(self.options)]
        return "\n".join([self.question, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            '<div class="vgglab-option"><label>'
            f'<input type="radio" name="vgglab-quiz-{escape(self.id)}" {_OWN_KEYS}> '
            f"{escape(option.text)}"
            f"</label><p><strong>{'Yes.' if option.right else 'No.'}</strong> "
            f"{escape(option.why)}</p></div>"
            for option in self.options
        )
        return (
            f"{_QUIZ_STYLE}<fieldset class='vgglab-quiz'>"
            f"<legend>{escape(self.question)}</legend>{rows}</fieldset>"
        )


Answers = Mapping[str, Any]
"""The answer that each misconception leads to, and the right one under `RIGHT`."""


def drawn(
    draw: Random | None,
    standing: tuple[Any, ...],
    others: Iterable[tuple[Any, ...]],
    answers: Callable[..., Answers],
) -> tuple[Any, ...]:
    """Return the numbers of a question: those that stand in the book, or others that are drawn.

    Parameters
    ----------
    draw
        Where the numbers come from; without it they are `standing`.
    standing
        What the book shows.
    others
        All that may be drawn. Those at which two of the answers are the same are left out, so
        options differ whatever the seed.
    answers
        The answers to the question with such numbers.
    """
    if draw is None:
        return standing
    return draw.choice([numbers for numbers in others if distinct(answers(*numbers))])


def distinct(answers: Answers) -> bool:
    """Whether no two of the answers are the same."""
    return len(set(answers.values())) == len(answers)


def options_of(
    answers: Answers, text: Callable[[Any], str], whys: Mapping[str, str]
) -> tuple[Option, ...]:
    """Return the options for answers, by size, so that the right one has no place of its own."""
    return tuple(
        Option(text(value), whys[mistake], mistake == RIGHT, mistake)
        for mistake, value in sorted(answers.items(), key=lambda item: item[1])
    )


# Or JupyterLab takes the arrow keys, which choose an option, to go from cell to cell.
_OWN_KEYS = "data-lm-suppress-shortcuts='true'"

# A reason is shown once its option is chosen: no script, so it works wherever HTML does.
_QUIZ_STYLE = """<style>
.vgglab-quiz { border: 1px solid color-mix(in srgb, currentColor 30%, transparent);
  border-radius: .4rem; padding: .5rem 1rem; margin: 1rem 0; }
.vgglab-quiz legend { font-weight: 600; float: inline-start; width: 100%; font-size: inherit; }
.vgglab-option { clear: both; }
.vgglab-option p { display: none; margin: .2rem 0 .6rem 1.6rem; }
.vgglab-option:has(input:checked) p { display: block; }
</style>"""
