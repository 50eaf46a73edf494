"""The interpreter of ``rules.json``; ``figures/error_form.js`` is the same for a browser.

1. The end of the text is cleaned of typographic variants (``clean``).
2. Each of the ``wordings`` has a pattern, a form and names for what the pattern captures. The one
   that occurs last in the text counts, for a traceback ends with the message; where two occur in
   the same place, the one that stands first in the file. A wording of a higher ``tier`` counts
   only if none of a lower one occurs: first messages with their numbers, then those that lack
   them, then messages that are about something else than shapes.
3. The ``facts`` are looked for in the text before and around it, such as a call of a loss.
4. ``forms`` derives further numbers for all causes of a form, and each of the ``causes`` for that
   form derives its own (``let``) and applies if all of its conditions (``when``) hold.
5. Sentences are filled with the numbers; one that needs a number which nobody knows is left out.
   ``{n|channel}`` is "1 channel" or "3 channels".

An expression in ``let`` and ``when`` is a number, a name, or a list of a function and its
arguments. A function of something unknown is unknown (``None``), save for ``not``, ``or`` and
``else``.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from math import isqrt, prod
from typing import Any, NamedTuple, TypeAlias

from vgglab.shapes import Window, input_sizes

Value: TypeAlias = int | bool | str | list[int] | None
Names: TypeAlias = Mapping[str, Value]

LARGEST = 2**53 - 1  # to which integers are exact in JavaScript
ANY = -2  # a size that a shape leaves open, as None, null or ?
TAKER = {"taker": "The layer", "taker_low": "the layer"}


class Found(NamedTuple):
    """Where a wording occurs: its numbers are those of `match`, its place is that of `last`."""

    wording: dict[str, Any]
    match: re.Match[str]
    last: re.Match[str]


def read_rules() -> dict[str, Any]:
    """Return the rules as they stand in the file."""
    text = (files("vgglab.explain") / "rules.json").read_text(encoding="utf-8")
    rules: dict[str, Any] = json.loads(text)
    return rules


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern as both interpreters read it."""
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


@cache
def compiled_rules() -> dict[str, Any]:
    """Return the rules with their patterns compiled, to be read only."""
    rules = read_rules()
    for wording in rules["wordings"]:
        wording["pattern"] = compiled(wording["pattern"])
    rules["clean"] = [
        (re.compile(pattern), re.sub(r"\$(\d)", r"\\\1", text)) for pattern, text in rules["clean"]
    ]
    rules["facts"] = {name: compiled(pattern) for name, pattern in rules["facts"].items()}
    return rules


def fitting_causes(message: str) -> list[tuple[dict[str, Any], Names]]:
    """Return the rules that apply, best first, each with the numbers that it knows."""
    form, names = _read(clean(message))
    for forms, definitions in compiled_rules()["forms"].items():
        if form in forms.split():
            names = _derive(definitions, names)
    fitting = []
    for rule in compiled_rules()["causes"]:
        if form in rule["form"].split():
            known = _derive(rule.get("let", {}), names)
            if all(_holds(_evaluate(condition, known)) for condition in rule.get("when", [])):
                fitting.append((rule, known))
    return sorted(fitting, key=lambda pair: -pair[0]["score"])


def clean(message: str) -> str:
    """Return the end of a message without what pasting adds: what the wordings are sought in."""
    text = message[-compiled_rules()["longest_message"] :]
    for pattern, replacement in compiled_rules()["clean"]:
        text = pattern.sub(replacement, text)
    return text


def find_wording(text: str) -> Found | None:
    """Return the wording that counts, of those that occur in a clean text."""
    too_long = re.compile(rf"[0-9]{{{compiled_rules()['longest_number'] + 1}}}")
    found: Found | None = None
    for wording in compiled_rules()["wordings"]:
        if found and wording.get("tier", 0) > found.wording.get("tier", 0):
            break
        matches = list(wording["pattern"].finditer(text))
        if not matches or (found and matches[-1].start() < found.last.end()):
            continue
        match = matches[0] if wording.get("first") else matches[-1]
        if not any(too_long.search(group or "") for group in match.groups()):
            found = Found(wording, match, matches[-1])
    return found


def _read(text: str) -> tuple[str | None, Names]:
    """Return the form of the message and what is known: captured numbers and facts."""
    found = find_wording(text)
    if found is None:
        return None, {}
    wording = found.wording
    names: dict[str, Value] = {**TAKER, **_facts(text, found.last.start())}
    names |= wording.get("with", {})
    captured = map(_capture, wording["captures"], found.match.groups())
    return wording["form"], names | {name: n for name, n in captured if n is not None}


def _facts(text: str, start: int) -> dict[str, Value]:
    """Return what else the text says; a pattern that ends with $ ends where the message starts."""
    facts: dict[str, Value] = {}
    for name, pattern in compiled_rules()["facts"].items():
        match = pattern.search(text[:start] if pattern.pattern.endswith("$") else text)
        if match:
            facts[name] = match[match.lastindex or 0]
    return facts


def _capture(name: str, text: str | None) -> tuple[str, Value]:
    if name.endswith("[]"):
        numbers = re.findall(r"-?[0-9]+|none|null|\?", text or "", re.IGNORECASE)
        sizes = [int(n) if n[-1].isdigit() else ANY for n in numbers]
        return name[:-2], None if text is None else sizes
    return name, int(text) if text and re.fullmatch("-?[0-9]+ ?", text) else text


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
    if function == "like":
        text = names.get(arguments[0])
        return None if text is None else bool(compiled(arguments[1]).search(str(text)))
    values = [_evaluate(argument, names) for argument in arguments]
    if function == "not":
        return not _holds(values[0])
    if function == "or":
        return any(_holds(value) for value in values)
    if function == "else":
        return values[1] if values[0] is None else values[0]
    return None if None in values else FUNCTIONS[function](*values)


def _holds(value: Value) -> bool:
    return value is not None and value is not False


def fill(sentences: list[str], names: Names) -> str:
    """Return those sentences of which all numbers are known, with the numbers."""
    text = " ".join(
        re.sub(r"{(\w+)(?:\|([\w ]+))?}", lambda hole: _written(names[hole[1]], hole[2]), sentence)
        for sentence in sentences
        if all(names.get(name) is not None for name in re.findall(r"{(\w+)", sentence))
    )
    return re.sub(r"\ba (?=(?:8[0-9]*|11|18)×)", "an ", text)


def _written(value: Value, noun: str | None) -> str:
    if isinstance(value, list):
        return f"[{', '.join('None' if size == ANY else str(size) for size in value)}]"
    if noun is None:
        return str(value)
    plural = noun[:-2] + "es" if noun.endswith("is") else noun + ("es" if noun[-1] == "s" else "s")
    return f"{value} {noun if value == 1 else plural}"


def _multiply(a: int, b: int) -> int | None:
    return a * b if a * b <= LARGEST else None


def _divide(a: int, b: int) -> int | None:
    """Return a / b where that is a whole number."""
    return a // b if b > 0 and a % b == 0 else None


def _at(values: list[int], index: int) -> int | None:
    return values[index] if -len(values) <= index < len(values) else None


def _volume(values: list[int]) -> int | None:
    """Return the product of the sizes that are known."""
    volume = prod(value for value in values if value >= 0)
    return volume if volume <= LARGEST else None


def _differ(a: list[int], b: list[int]) -> list[int] | None:
    """Return on which axes two shapes of as many axes differ; an open size differs from none.

    Of maps those come last on which one of them is 1: it may be stretched.
    """
    if len(a) != len(b):
        return None
    pairs = enumerate(zip(a, b, strict=True))
    axes = [axis for axis, (m, n) in pairs if m != n and min(m, n) >= 0]
    return sorted(axes, key=lambda axis: len(a) > 2 and 1 in (a[axis], b[axis]))


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


def _usual(number: int) -> bool:
    return number in compiled_rules()["channels"]


def _channels(a: int, b: int) -> int | None:
    """Return the most channels, of those in use, with which both are square maps."""
    for channels in compiled_rules()["channels"]:
        if all(n % channels == 0 and _root(n // channels) for n in (a, b)):
            return int(channels)
    return None


def _shared(a: int, b: int) -> int | None:
    """Return the largest power of two, from 8 to 512, that divides both, and is neither."""
    powers = (2**n for n in range(9, 2, -1))
    return next((p for p in powers if a % p == b % p == 0 and p not in (a, b)), None)


def _cells(a: int, b: int) -> int | None:
    """Return the largest square map that both can be, each with a usual number of channels."""
    for side in range(14, 1, -1):
        if all(n % side**2 == 0 and n >= 8 * side**2 and _usual(n // side**2) for n in (a, b)):
            return side**2
    return None


def _network(features: int, out: int) -> str | None:
    """Return the name of the well-known network that makes `out` of so many features.

    One that is known by the features alone has no "out"; an unknown `out` is 0.
    """
    for network in compiled_rules()["networks"]:
        makes = network["channels"] * network["side"] ** 2
        if makes == features and out in (0, network.get("out", out)):
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
    "if": lambda condition, value: value if condition is not False else None,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": _multiply,
    "/": _divide,
    "//": lambda a, b: a // b if b > 0 else None,
    "abs": abs,
    "len": len,
    "at": _at,
    "volume": _volume,
    "differ": _differ,
    "root": _root,
    "height": _height,
    "usual": _usual,
    "channels": _channels,
    "shared": _shared,
    "cells": _cells,
    "network": _network,
    "depth": lambda name: _of_network(name)["channels"],
    "side": lambda name: _of_network(name)["side"],
    "first": _first,
    "last": lambda name, side: _first(name, side + 1) - 1,
}
