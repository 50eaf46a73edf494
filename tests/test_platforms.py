"""The first cell of a chapter on the platforms where notebooks are opened, as they were listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import make_notebooks
import platforms
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

NAMES = sorted(platforms.platforms())
TODAY = [name for name in NAMES if not platforms.platforms()[name].get("past")]


def overlap(ours: SpecifierSet, theirs: SpecifierSet) -> bool:
    """Whether two ranges have a version in common: if so, one at a bound."""
    bounds = {re.sub(r"^\D+", "", str(part)) for part in [*ours, *theirs]}
    return any(ours.contains(version) and theirs.contains(version) for version in bounds)


@pytest.mark.parametrize("name", NAMES)
def test_a_list_says_where_it_is_from(name: str) -> None:
    listed = platforms.platforms()[name]
    assert re.match(
        r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/", listed["source"]
    )
    assert listed["date"] is None or re.fullmatch(r"\d{4}-\d\d-\d\d", listed["date"])
    assert listed["note"]


@pytest.mark.parametrize("name", TODAY)
def test_what_a_platform_has_is_admitted(name: str) -> None:
    listed = platforms.platforms()[name]
    if listed["python"]:
        assert SpecifierSet(platforms.python_range()).contains(listed["python"])
    for asked in platforms.requirements("chapters"):
        package = canonicalize_name(asked.name)
        version = listed.get("versions", {}).get(package)
        assert version is None or asked.specifier.contains(version), f"{asked}, not {version}"
        theirs = SpecifierSet(listed.get("ranges", {}).get(package, ""))
        assert overlap(asked.specifier, theirs) or not theirs, f"{asked}, not {theirs}"


def test_past_runtimes_are_admitted_from_the_oldest_exporter_of_onnx_on() -> None:
    """On older ones the cell says that it needs others."""
    ranges = [r.specifier for r in platforms.requirements("onnx") if r.name == "torch"]
    past = [runtime for runtime in platforms.platforms().values() if runtime.get("past")]
    torches = {runtime["versions"]["torch"] for runtime in past}
    refused = {torch for torch in torches if not all(part.contains(torch) for part in ranges)}
    assert refused <= {"2.6.0", "2.7.0", "2.7.1"}
    assert torches - refused


def test_a_chapter_asks_for_nothing_that_its_kernel_has_loaded() -> None:
    asked = {canonicalize_name(r.name) for r in platforms.requirements("chapters")}
    assert asked & platforms.KERNEL == set()


# --- what the cell does ---------------------------------------------------------------------------

# Two are of one name: the first is the one that is imported. pip could not read the last's version.
INSTALLED = [("torch", "2.11.0+cu128"), ("torchvision", "0.26.0+cu128"), ("numpy", "2.0.2")]
INSTALLED += [("six", "1.17.0"), ("six", "1.16.0"), ("odd", "2013-02-16")]

RUN = """
import importlib.metadata, importlib.util, json, sys
from types import SimpleNamespace
installed, admits, code = json.load(sys.stdin)
found = [SimpleNamespace(name=name, version=version) for name, version in installed]
importlib.metadata.distributions = lambda: found
tries = []
importlib.util.find_spec = lambda name: (len(tries) >= admits > 0) or None
class Shell:
    def run_line_magic(self, name, line, **_):
        if name == "pip":
            command = line.format(**globals())
            path = command.split(" -c ")[1].split()[0]
            tries.append([command, open(path).read().split()])
    _get_exc_info = None
get_ipython = lambda: Shell()
exec(code)
print(json.dumps(tries))
"""


def first_cell(tmp_path, installed: list[tuple[str, str]], admits: int) -> tuple[list, str]:
    """Run the cell where the attempt `admits` succeeds, or none: attempts, and what it printed."""
    code = TransformerManager().transform_cell(make_notebooks.SETUP)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([installed, admits, code]),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    *said, tries = done.stdout.splitlines()
    return json.loads(tries), "\n".join(said)


def test_the_first_cell_keeps_all_that_is_there(tmp_path) -> None:
    ((command, kept),), said = first_cell(tmp_path, INSTALLED, 1)
    assert command == (
        'install -q -c vgglab-keep.txt "vgglab[chapters] @ git+https://github.com/vgglab/vgglab"'
    )
    assert sorted(kept) == [
        "numpy==2.0.2",
        "six==1.17.0",
        "torch==2.11.0+cu128",
        "torchvision==0.26.0+cu128",
    ]
    assert "torch 2.11.0+cu128 stays" in said
    assert "minute" in said


def test_if_not_all_can_stay_torch_does(tmp_path) -> None:
    (_, (_, kept)), _ = first_cell(tmp_path, INSTALLED, 2)
    assert {line.partition("==")[0] for line in kept} == set(platforms.KEPT)


def test_if_torch_cannot_stay_nothing_is_replaced_and_the_cell_says_what_to_do(tmp_path) -> None:
    tries, said = first_cell(tmp_path, INSTALLED, 0)
    assert all(any(line.startswith("torch==") for line in kept) for _, kept in tries)
    assert '%pip install "vgglab[chapters]' in said


def test_without_torch_it_is_said_that_it_takes_longer(tmp_path) -> None:
    ((_, kept),), said = first_cell(tmp_path, [("numpy", "2.0.2")], 1)
    assert kept == ["numpy==2.0.2"]
    assert "stays" not in said


# --- reading what platforms publish ---------------------------------------------------------------


def test_a_frozen_list_is_read() -> None:
    text = (
        "# by hand\ntorch==2.11.0+cu128\nml_dtypes==0.5.4\nen-core-web-sm @ https://a.org/b.whl\n"
    )
    assert platforms.read_freeze(text) == {"torch": "2.11.0+cu128", "ml-dtypes": "0.5.4"}


def test_a_list_of_ranges_is_read() -> None:
    text = "# b/1: why\n--extra-index-url https://a.org\nonnx==1.18.0\nshapely<2 # so\nkornia\n"
    text += "git+https://a.org/b.git\nscikit-learn-intelex>=2023.0.1\n"
    assert platforms.read_ranges(text) == {
        "onnx": "==1.18.0",
        "shapely": "<2",
        "scikit-learn-intelex": ">=2023.0.1",
    }


def test_past_runtimes_are_read() -> None:
    text = "### 2026.01\n\n*   Ubuntu 22.04.5 LTS\n*   Python 3.12.12\n*   numpy 2.0.2\n"
    text += "*   PyTorch 2.9.0\n\n## Contributing\n"
    (runtime,) = platforms.read_past_runtimes(text).items()
    assert runtime[0] == "Colab 2026.01"
    assert runtime[1]["python"] == "3.12.12"
    assert runtime[1]["versions"] == {"numpy": "2.0.2", "torch": "2.9.0"}


def test_without_a_network_the_record_stays_and_a_sentence_says_so(monkeypatch, capsys) -> None:
    def unreachable(*_, **__):
        raise platforms.URLError("no network")

    monkeypatch.setattr(platforms, "urlopen", unreachable)
    before = platforms.RECORD.read_bytes()
    assert platforms.refresh() == 1
    assert "stays as it is" in capsys.readouterr().out
    assert platforms.RECORD.read_bytes() == before


# --- Binder ---------------------------------------------------------------------------------------


def test_binder_builds_what_the_first_cell_needs() -> None:
    text = (platforms.ROOT / "environment.yml").read_text(encoding="utf-8")
    asked = yaml.safe_load(text)["dependencies"]
    (python,) = [line for line in asked if str(line).startswith("python=")]
    assert SpecifierSet(platforms.python_range()).contains(python.partition("=")[2] + ".0")
    (lines,) = [part["pip"] for part in asked if isinstance(part, dict)]
    assert "-e .[chapters]" in lines
    (constraints,) = [line.split()[1] for line in lines if line.startswith("-c ")]
    assert (platforms.ROOT / constraints).exists()
