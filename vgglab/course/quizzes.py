"""A quiz: a question with options, each with the reason why it is right or wrong."""

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Option:
    """One answer of a quiz, and why it is right or wrong."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Quiz:
    """A question with options; shows itself in a notebook and works without scripts."""

    id: str
    question: str
    options: tuple[Option, ...]

    def __str__(self) -> str:
        letters = "abcdefghij"
        lines = [f"{letters[k]}) {option.text}" for k, option in enumerate(self.options)]
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
