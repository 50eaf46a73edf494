"""What an error message about shapes says, from its text alone.

The rules are data, in ``rules.json``; ``interpreter.py`` and ``error_form.js``, which runs them in
a reader's browser, are two small interpreters of the same structure.
"""

import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from vgglab.explain.interpreter import compiled_rules, fill, fitting_causes


@dataclass(frozen=True)
class Cause:
    """One thing that may be wrong, read from an error message by `explain_error`.

    Attributes
    ----------
    kind
        ``"input-size"``, ``"missing-flatten"``, ``"missing-pool"``, ``"wrong-in-features"``,
        ``"unbatched-input"``, ``"channel-mismatch"``, ``"input-too-small"``,
        ``"padding-mismatch"``, ``"batch-mixed"``, ``"wrong-dimensions"``, ``"batch-too-small"``,
        ``"target-mismatch"``, ``"not-contiguous"``, ``"num-classes"``, ``"fixed-size-export"`` or
        ``"unknown"``.
    explanation
        What the numbers of the message say.
    suggestion
        What to change.
    """

    kind: str
    explanation: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.explanation}\n  -> {self.suggestion}"


def explain_error(message: str | BaseException) -> list[Cause]:
    """Return what may have caused an error about shapes, the likeliest first.

    Parameters
    ----------
    message
        The error's text, alone or somewhere in a traceback: torch's own in its wordings since 2016,
        those of its exporters and runtimes, and many of Keras, TensorFlow, JAX, NumPy and others.
        Of a very long text the end is read. Or the exception itself: then its notes, its causes
        and the lines of code of its traceback are read too.

    Returns
    -------
    list of Cause
        At least one. It is the only one, of kind ``"unknown"``, if the message is not recognised or
        is not about shapes.

    Raises
    ------
    TypeError
        If `message` is neither a string nor an exception.

    Examples
    --------
    >>> causes = explain_error("mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)")
    >>> [cause.kind for cause in causes]
    ['input-size', 'wrong-in-features']
    >>> print(causes[0].explanation)
    The layer was made for 25088 = 512·7·7 features, and 73728 = 512·12·12 came. In VGG, a 12×12 \
map is what images of 384 to 415 pixels give; 7×7 needs 224 to 255.
    """
    if isinstance(message, BaseException):
        message = "".join(traceback.format_exception(message))
    if not isinstance(message, str):
        raise TypeError(f"message must be a string or an exception; got {type(message).__name__}")
    best: dict[str, Cause] = {}
    for rule, names in fitting_causes(message):
        texts = [fill(rule[part], names) for part in ("explanation", "suggestion")]
        if all(texts):  # otherwise too little is known to speak of this cause
            best.setdefault(rule["kind"], Cause(rule["kind"], *texts))
    return list(best.values()) or [Cause("unknown", **compiled_rules()["unknown"])]


def format_causes(causes: Iterable[Cause]) -> str:
    """Return the causes as numbered lines of text."""
    return "\n".join(f"{number}. {cause}" for number, cause in enumerate(causes, start=1))


def report(causes: Iterable[Cause]) -> dict[str, Any]:
    """Return the causes for machines, as ``vgglab explain --json`` prints them."""
    return {"causes": [asdict(cause) for cause in causes]}
