"""A base installation: without the packages of any extra, and without torch where it can be."""

import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import base
import click
import pytest

import vgglab
from vgglab.__main__ import main

PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]


def names(requirements):
    found = (re.match(r"[\w-]+", text)[0].lower().replace("_", "-") for text in requirements)
    return {name for name in found if name != "vgglab"}


def required(distributions):
    """Return what these distributions bring, without extras."""
    found, wanted = set(), list(distributions)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            try:
                texts = distribution(name).requires or ()
            except ImportError:  # of another platform
                continue
            wanted += names(text for text in texts if "extra ==" not in text)
    return found


BASE = required(names(PROJECT["dependencies"]))
EXTRA = required(set().union(*map(names, PROJECT["optional-dependencies"].values()))) - BASE


def modules_of(distributions):
    return {
        module
        for module, owners in packages_distributions().items()
        if {owner.lower().replace("_", "-") for owner in owners} <= distributions
    }


HIDDEN = modules_of(EXTRA)

START = """
import sys

class WithoutExtras:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(WithoutExtras, sys.meta_path)
import json, os
"""


def python(code, hidden=HIDDEN, **variables):
    """Run code in a base installation and return what it printed last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", f"HIDDEN = {hidden!r}\n{START}{code}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_packages_of_all_extras_are_hidden():
    assert {"lightning_fabric", "sklearn", "scipy", "tqdm", "IPython", "onnxruntime"} <= HIDDEN
    assert {"nbgrader", "torchinfo", "timm", "matplotlib", "packaging"} <= HIDDEN
    assert not HIDDEN & {"torch", "torchvision", "numpy", "click", "tabulate", "PIL", "filelock"}


HELP = re.compile(r'the package \w+ is not installed: pip install "vgglab\[(\w+)\]"')


def modules():
    found = pkgutil.walk_packages(vgglab.__path__, "vgglab.")
    return sorted(m.name for m in found if not m.name.endswith("__main__"))


def test_every_module_and_every_name_can_be_had_or_says_what_it_needs():
    said = python(f"""
from importlib import import_module
import vgglab
said = {{}}
for name in {modules()!r}:
    try:
        import_module(name)
    except ImportError as error:
        said[name] = [type(error).__name__, str(error)]
for name in dir(vgglab):
    try:
        getattr(vgglab, name)
    except ImportError as error:
        said[name] = [type(error).__name__, str(error)]
try:
    vgglab.glue("a", 1)
except ImportError as error:
    said["glue"] = [type(error).__name__, str(error)]
print(json.dumps(said))
""")
    assert "glue" in said
    assert "vgglab.lab.training" in said
    assert "vgglab.lab.experiments.reading" not in said
    for kind, text in said.values():
        assert kind == "ImportError"
        assert HELP.fullmatch(text)[1] in PROJECT["optional-dependencies"]
    assert not [name for name in said if name in vgglab.__all__ and name != "glue"]


def commands(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


NARROW = ["vgglab:A,head=fc-fixed,width=0.0625", "--size", "400"]
ASSIGNMENT = str(Path(__file__).parents[1] / "book" / "assignments" / "05_small_study")
CALLS = {
    ("summary",): NARROW,
    ("rf",): [*NARROW, "--layer", "features.0"],
    ("diagnose",): NARROW,
    ("identify",): NARROW,
    ("explain",): ["mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)"],
    ("repair",): [*NARROW, "--with", "pool", "--out", "repaired.pt"],
    ("repairs",): NARROW,
    ("experiment",): ["gap-digits"],
    ("bench",): ["bench-memory"],
    ("results",): [],
    ("exercises",): ["student"],
    ("progress",): [],
    ("quiz", "export"): ["bank.html", "--format", "paper", "--pack", "shapes"],
    ("grade", "release"): [ASSIGNMENT, "released"],
    ("grade", "run"): [ASSIGNMENT, ".", "graded"],
    ("grade", "collect"): [".", "collected"],
    ("grade", "stats"): [".", "--plot", "class.png"],
    ("grade", "similar"): [ASSIGNMENT, "."],
    ("grade", "blind"): [ASSIGNMENT, ".", "blind", "students.csv"],
    ("grade", "selftest"): [ASSIGNMENT],
}


@pytest.mark.wide
def test_every_command_works_or_says_what_it_needs(tmp_path):
    assert set(commands(main)) == set(CALLS)
    calls = [[*path, *words] for path, words in CALLS.items()]
    calls += [[*path, "--help"] for path in CALLS]
    said = python(
        f"""
from click.testing import CliRunner
from vgglab.__main__ import main
os.chdir({str(tmp_path)!r})
said = []
for call in {calls!r}:
    result = CliRunner().invoke(main, call)
    error = result.exception
    wanted = error is None or isinstance(error, SystemExit)
    said.append([call, result.exit_code, result.output, None if wanted else repr(error)])
print(json.dumps(said))
""",
        VGGLAB_HOME=str(tmp_path / "home"),
    )
    for call, code, output, error in said:
        assert error is None, (call, error)
        assert "No module named" not in output, (call, output)
        assert code in (0, 1) or call[0] in ("experiment", "grade"), (call, output)
    texts = {tuple(call[:2]): output for call, _, output, _ in said if call[-1] != "--help"}
    assert HELP.search(texts["experiment", "gap-digits"])[1] == "train"
    assert HELP.search(texts["grade", "release"])[1] == "grade"


@pytest.mark.parametrize(
    "call",
    [
        ["--version"],
        ["progress"],
        ["results"],
        ["explain", "mat1 and mat2 shapes cannot be multiplied"],
    ],
    ids=lambda call: call[0],
)
def test_small_commands_import_no_torch(call, tmp_path):
    loaded = python(
        f"""
from click.testing import CliRunner
from vgglab.__main__ import main
result = CliRunner().invoke(main, {call!r})
assert result.exit_code in (0, 1), result.output
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
""",
        VGGLAB_HOME=str(tmp_path),
    )
    assert "vgglab" in loaded
    assert not {"torch", "torchvision", "numpy", "lightning_fabric"} & set(loaded)


@pytest.mark.wide
def test_all_other_tests_are_read_without_the_extras():
    """What `tests/base.py` leaves out is all that imports more than it installs."""
    left_out = [f"--ignore=tests/{name}" for name in base.NEED_MORE if "::" not in name]
    arguments = ["--collect-only", "-q", "-p", "no:cacheprovider", *left_out, "tests"]
    code = f"""
import pytest
print(json.dumps(int(pytest.main({arguments!r}))))
"""
    hidden = modules_of(EXTRA - required(base.TOOLS))
    assert python(code, hidden, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1") == 0
