"""What an error message about shapes says, from its text alone.

The rules are data, in ``rules.json``; this module and ``error_form.js``, which runs them in a
reader's browser, are two small interpreters of the same structure:

1. The end of the text is cleaned of typographic variants (``clean``).
2. The first of the ``wordings`` whose pattern occurs gives the message's form and its numbers.
3. Each of the ``causes`` for that form derives further numbers (``let``) and applies if all of its
   conditions (``when``) hold. The highest score comes first; of each kind only the best counts.
4. Sentences are filled with the numbers; one that needs a number which nobody knows is left out.

An expression in ``let`` and ``when`` is a number, a name, or a list of a function and its
arguments. A function of something unknown is unknown (``None``), save for ``not`` and ``or``.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from math import isqrt
from typing import Any, TypeAlias

from vgglab.shapes import Window, input_sizes

Value: TypeAlias = int | bool | str | list[int] | None
Names: TypeAlias = Mapping[str, Value]

LARGEST = 2**53 - 1  # to which integers are exact in JavaScript


@dataclass(frozen=True)
class Cause:
    """One thing that may be wrong, read from an error message by `explain_error`.

    Attributes
    ----------
    kind
        ``"input-size"``, ``"missing-flatten"``, ``"missing-pool"``, ``"wrong-in-features"``,
        ``"unbatched-input"``, ``"channel-mismatch"``, ``"input-too-small"``,
        ``"padding-mismatch"`` or ``"unknown"``.
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


def explain_error(message: str) -> list[Cause]:
    """Return what may have caused an error about shapes, the likeliest first.

    Parameters
    ----------
    message
        The error's text, alone or somewhere in a traceback: torch's own in its wordings since 2016,
        and some of Keras, TensorFlow, NumPy and ONNX Runtime. Of a very long text the end is read.

    Returns
    -------
    list of Cause
        At least one. It is the only one, of kind ``"unknown"``, if the message is not recognised.

    Raises
    ------
    TypeError
        If `message` is not a string.

    Examples
    --------
    >>> causes = explain_error("mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)")
    >>> [cause.kind for cause in causes]
    ['input-size', 'wrong-in-features']
    >>> print(causes[0].explanation)
    The layer was made for 25088 = 512·7·7 features, and 73728 = 512·12·12 came. In VGG, a 12×12 \
map is what images of 384 to 415 pixels give; 7×7 needs 224 to 255.
    """
    if not isinstance(message, str):
        raise TypeError(f"message must be a string; got {type(message).__name__}")
    best: dict[str, Cause] = {}
    for rule, names in fitting_causes(message):
        texts = (_fill(rule[part], names) for part in ("explanation", "suggestion"))
        best.setdefault(rule["kind"], Cause(rule["kind"], *texts))
    return list(best.values()) or [Cause("unknown", **compiled_rules()["unknown"])]


def format_causes(causes: Iterable[Cause]) -> str:
    """Return the causes as numbered lines of text."""
    return "\n".join(f"{number}. {cause}" for number, cause in enumerate(causes, start=1))


def read_rules() -> dict[str, Any]:
    """Return the rules as they stand in the file."""
    text = (files("vgglab.explain") / "rules.json").read_text(encoding="utf-8")
    rules: dict[str, Any] = json.loads(text)
    return rules


@cache
def compiled_rules() -> dict[str, Any]:
    """Return the rules with their patterns compiled, to be read only."""
    rules = read_rules()
    for wording in rules["wordings"]:
        wording["pattern"] = re.compile(wording["pattern"], re.IGNORECASE | re.ASCII)
    rules["clean"] = [(re.compile(pattern), text) for pattern, text in rules["clean"]]
    return rules


def fitting_causes(message: str) -> list[tuple[dict[str, Any], Names]]:
    """Return the rules that apply, best first, each with the numbers that it knows."""
    form, numbers = _read(clean(message))
    fitting = []
    for rule in compiled_rules()["causes"]:
        if rule["form"] == form:
            names = _derive(rule["let"], numbers)
            if all(_holds(_evaluate(condition, names)) for condition in rule["when"]):
                fitting.append((rule, names))
    return sorted(fitting, key=lambda pair: -pair[0]["score"])


def clean(message: str) -> str:
    """Return the end of a message without what pasting adds: what the wordings are sought in."""
    text = message[-compiled_rules()["longest_message"] :]
    for pattern, replacement in compiled_rules()["clean"]:
        text = pattern.sub(replacement, text)
    return text


def _read(text: str) -> tuple[str | None, Names]:
    """Return the form of the message and what its wording captures."""
    for wording in compiled_rules()["wordings"]:
        matches = list(wording["pattern"].finditer(text))
        if matches:
            groups = matches[-1].groups()  # a traceback ends with the message
            names = dict(map(_capture, wording["captures"], groups))
            digits = " ".join(group or "" for group in groups)
            if not re.search(rf"[0-9]{{{compiled_rules()['longest_number'] + 1}}}", digits):
                return wording["form"], names
    return None, {}


def _capture(name: str, text: str | None) -> tuple[str, Value]:
    if name.endswith("[]"):
        return name[:-2], [int(number) for number in re.findall("-?[0-9]+", text or "")]
    return name, int(text) if text and re.fullmatch("[0-9]+", text) else text


def _derive(definitions: Mapping[str, Any], numbers: Names) -> Names:
    names = dict(numbers)
    for name, expression in definitions.items():
        names[name] = _evaluate(expression, names)
    return names


def _evaluate(expression: Any, names: Names) -> Any:
    if isinstance(expression, str):
        return names.get(expression)
    if not isinstance(expression, list) or not isinstance(expression[0], str):
        return expression
    function, *arguments = expression
    values = [_evaluate(argument, names) for argument in arguments]
    if function == "not":
        return not _holds(values[0])
    if function == "or":
        return any(_holds(value) for value in values)
    return None if None in values else FUNCTIONS[function](*values)


def _holds(value: Value) -> bool:
    return value is not None and value is not False


def _fill(sentences: list[str], names: Names) -> str:
    known = {name: str(value) for name, value in names.items() if value is not None}
    needed = [set(re.findall(r"{(\w+)}", sentence)) for sentence in sentences]
    return " ".join(
        sentence.format_map(known)
        for sentence, names_needed in zip(sentences, needed, strict=True)
        if names_needed <= known.keys()
    )


def _multiply(a: int, b: int) -> int | None:
    return a * b if a * b <= LARGEST else None


def _divide(a: int, b: int) -> int | None:
    """Return a / b where that is a whole number."""
    return a // b if b > 0 and a % b == 0 else None


def _at(values: list[int], index: int) -> int | None:
    return values[index] if -len(values) <= index < len(values) else None


def _root(number: int) -> int | None:
    """Return the square root where that is a whole number, the side of a square map."""
    return isqrt(number) if number > 0 and isqrt(number) ** 2 == number else None


def _height(cells: int) -> int | None:
    """Return the shorter side of the most nearly square map of so many cells, if it is near."""
    if not 0 < cells <= 65536:
        return None
    height = isqrt(cells)
    while cells % height:
        height -= 1
    return height if cells <= 2 * height**2 else None


def _channels(a: int, b: int) -> int | None:
    """Return the most channels, of those in use, with which both are square maps."""
    for channels in compiled_rules()["channels"]:
        if all(n % channels == 0 and _root(n // channels) for n in (a, b)):
            return int(channels)
    return None


def _network(features: int) -> str | None:
    """Return the name of the well-known network that flattens to so many features."""
    for network in compiled_rules()["networks"]:
        if network["channels"] * network["side"] ** 2 == features:
            return str(network["name"])
    return None


def _of_network(name: str) -> dict[str, Any]:
    return next(network for network in compiled_rules()["networks"] if network["name"] == name)


@lru_cache(maxsize=4096)
def _first(name: str, side: int) -> int:
    """Return the smallest input, in pixels, that gives a map of this side."""
    return input_sizes(side, [Window(*window) for window in _of_network(name)["windows"]]).start


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "in": lambda a, values: a in values,
    "-": lambda a, b: a - b,
    "*": _multiply,
    "/": _divide,
    "//": lambda a, b: a // b if b > 0 else None,
    "abs": abs,
    "len": len,
    "at": _at,
    "root": _root,
    "height": _height,
    "usual": lambda number: number in compiled_rules()["channels"],
    "channels": _channels,
    "network": _network,
    "depth": lambda name: _of_network(name)["channels"],
    "side": lambda name: _of_network(name)["side"],
    "first": _first,
    "last": lambda name, side: _first(name, side + 1) - 1,
}
