"""Tests of the tests: they hold on any machine, stand alone, and are named for what they test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tests").glob("test_*.py")) + sorted((ROOT / "tests/browser").glob("*.py"))
NAMES = [str(path.relative_to(ROOT / "tests")) for path in FILES]

CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
    | {"process_time", "process_time_ns", "thread_time"},
    "resource": {"getrusage"},
    "os": {"times"},
    "datetime": {"now", "utcnow"},
}

# Test files that are of no single module of vgglab.
HOUSE = {
    "base_install": "what is left without the extras",
    "house": "the documents, the version, what every place must name",
    "book": "the chapters' text and book/make_notebooks.py",
    "doctests": "the examples in all docstrings",
    "grading_hostile": "submissions that harm, against the whole of vgglab.grading",
    "tests": "this file",
    "assignments": "the assignments' pages",
    "pages": "every page of the built book",
    "quiz": "the quizzes in a page",
    "search": "the search of the built book",
    "bank_tables": "tables of the page about the question bank",
    "recorded_tables": "tables of pages that are made of records",
    "sheet": "the page of all formulas and repairs",
    "about": "what each page says of itself: book/_ext/vgglab_about.py",
    "status": "the page of the status: book/_ext/status.py",
    "corrections": "the page of corrections: book/_ext/corrections.py",
    "wheelhouse": "what a class room without a network installs: book/make_wheelhouse.py",
    "platforms": "the first cell of a chapter in Colab, Kaggle and Binder: tests/platforms.py",
    "teaching": "the pages for teachers, slides and sheets: book/teaching and book/_ext",
    "several_processes": "trainings of several processes, against the whole of vgglab.lab",
}

# What is the same to the last bit because nothing was computed twice in floating point.
EXACT = {
    ("test_activations.py", "test_the_images_are_not_overwritten"): "a copy made before",
    ("test_convert.py", "test_converted_network_is_the_same_function"): "copied weights",
    ("test_convert.py", "test_fresh_layers_are_drawn_as_torch_draws_them"): "the generator's draws",
    ("test_convert.py", "test_spp_head"): "copied weights",
    ("test_copies.py", "test_no_hook_of_the_caller_fires"): "a copy made before",
    ("test_copies.py", "test_torchscript"): "a copy made before",
    ("test_folding.py", "test_the_numbers_are_copies"): "a copy made before",
    ("test_diagnose.py", "test_every_fix_of_generated_networks_is_what_it_claims_to_be"): "a copy",
    ("test_diagnose.py", "test_nothing_of_the_caller_changes"): "a copy, and the generator's state",
    ("test_loading.py", "test_weights_from_a_file"): "saved and loaded",
    ("test_maps.py", "test_the_map_is_of_the_class_that_was_asked_for"): "slices of one tensor",
    ("test_models.py", "test_official_weights_go_through_torchvision"): "the generator's state",
    ("test_normalization.py", "test_the_state_goes_both_ways"): "loaded weights",
    (
        "test_other_sizes.py",
        "test_the_wrong_order_of_weights_makes_guesses",
    ): "random state",
    ("test_pooling.py", "test_bins_are_torchs"): "zeros and ones",
}
# Images are drawn, stored and moved; training goes on from checkpoints on one thread.
EXACT_FILES = {"test_data.py", "test_perturbations.py", "test_training.py"}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / "tests" / name).read_text(encoding="utf-8"))


def clocks(module: ast.Module) -> Iterator[str]:
    """Yield what reads a clock: time.time, or a name imported from time; sleeping is no reading."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in CLOCKS.get(owner, ()):
                yield f"{owner}.{node.attr}, line {node.lineno}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in CLOCKS.get(node.module or "", ()):
                    yield f"{node.module}.{alias.name}, line {node.lineno}"


def functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield every function that is not in another."""
    for node in module.body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, ast.FunctionDef):
                yield inner


REDUCED = {"sum", "mean", "std", "var", "norm", "prod"}


def exact(function: ast.FunctionDef) -> Iterator[str]:
    """Yield comparisons bit by bit: torch.equal, and == between a tensor's sums and the like."""

    def reduced(node: ast.expr) -> bool:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        if node.func.attr == "item":
            return reduced(node.func.value)
        return node.func.attr in REDUCED

    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and node.attr == "equal":
            yield f"equal, line {node.lineno}"
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq) for op in node.ops):
            sides = [node.left, *node.comparators]
            if sum(reduced(side) for side in sides) > 1:
                yield f"==, line {node.lineno}"


def imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def private(module: ast.Module) -> Iterator[str]:
    """Yield names with an underscore that are imported or reached from vgglab."""
    ours = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vgglab"):
            ours |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if is_private(alias.name))
        if isinstance(node, ast.Import):
            ours |= {alias.asname or "vgglab" for alias in node.names if "vgglab" in alias.name}
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and len(node.args) > 1:  # monkeypatch.setattr(module, "_x")
            owner, name = node.args[:2]
            if isinstance(owner, ast.Name) and owner.id in ours and isinstance(name, ast.Constant):
                yield from [name.value] if is_private(str(name.value)) else []
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or root.id not in ours:
            continue
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.attr


def is_private(name: str) -> bool:
    known = name.startswith("__") or name in ("_replace", "_fields", "_asdict", "_repr_html_")
    return name.startswith("_") and not known


@pytest.mark.parametrize("name", NAMES)
def test_no_test_reads_a_clock(name: str) -> None:
    assert list(clocks(tree(name))) == []


DRAWN = {"Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "rand", "randn", "randint"}
DRAWN |= {"randperm", "vgg", "slim_vgg", "stacked_network"}


def drawn_at_import(node: ast.AST) -> Iterator[str]:
    """Yield calls that draw random numbers when the module is imported, before any seed is set."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(child, ast.Call):
            name = getattr(child.func, "attr", getattr(child.func, "id", ""))
            if name in DRAWN:
                yield f"{name}, line {child.lineno}"
        yield from drawn_at_import(child)


# In test_convert.py they are networks that are refused for what they are made of.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "test_convert.py"])
def test_no_weights_are_drawn_at_import(name: str) -> None:
    """They would depend on which files were imported before."""
    assert list(drawn_at_import(tree(name))) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EXACT_FILES])
def test_floating_point_is_never_compared_bit_by_bit(name: str) -> None:
    for function in functions(tree(name)):
        if (name, function.name) not in EXACT:
            assert list(exact(function)) == [], function.name


def test_what_is_allowed_is_still_there() -> None:
    for (name, function), why in EXACT.items():
        assert why
        if name not in EXACT_FILES:
            (found,) = [f for f in functions(tree(name)) if f.name == function]
            assert list(exact(found)), function


@pytest.mark.parametrize("name", NAMES)
def test_no_test_file_imports_another(name: str) -> None:
    parts = {part for path in imported(tree(name)) for part in path.split(".")}
    assert [part for part in parts if part.startswith("test_")] == []
    assert "tests" not in parts


@pytest.mark.parametrize("name", NAMES)
def test_tests_use_public_names(name: str) -> None:
    assert set(private(tree(name))) == set()


def modules() -> Iterator[tuple[str, ...]]:
    for path in sorted((ROOT / "vgglab").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield parts[:-1] if parts[-1] == "__init__" else parts


def test_each_test_file_has_the_name_of_what_it_tests() -> None:
    known = {part.strip("_") for parts in modules() for part in parts} | set(HOUSE)
    files = [Path(name).stem for name in NAMES if "test_" in name]
    assert [file for file in files if file.removeprefix("test_") not in known] == []


def test_each_module_has_tests_of_its_name_or_its_rooms() -> None:
    files = {Path(name).name for name in NAMES}
    without = []
    for parts in modules():
        own = [f"test_{part.strip('_')}.py" for part in parts[1:]]
        if not files & set(own) and (ROOT.joinpath(*parts)).with_suffix(".py").is_file():
            without.append(".".join(parts))
    assert without == []


# --- they would notice --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.perf_counter()",
        "from time import monotonic",
        "import datetime\ndatetime.datetime.now()",
        "import resource\nresource.getrusage(0)",
    ],
)
def test_a_clock_is_noticed(code: str) -> None:
    assert list(clocks(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["torch.equal(a, b)", "all(torch.equal(a, b) for a in c)", "a.sum() == b.sum().item()"]
)
def test_exact_equality_is_noticed(code: str) -> None:
    (function,) = functions(ast.parse(f"def test():\n    assert {code}"))
    assert list(exact(function))


@pytest.mark.parametrize(
    "code",
    [
        "from vgglab.explain import _first",
        "from vgglab import explain\nexplain._first()",
        "import vgglab.explain\nvgglab.explain._first()",
        "from vgglab import explain\nmonkeypatch.setattr(explain, '_first', 1)",
    ],
)
def test_a_private_name_is_noticed(code: str) -> None:
    assert list(private(ast.parse(code))) == ["_first"]
