"""What a class room without a network installs: book/make_wheelhouse.py."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import make_wheelhouse
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("win_amd64", "x86_64-pc-windows-msvc"),
        ("macosx_14_0_arm64", "aarch64-apple-darwin"),
        ("manylinux_2_28_x86_64", "x86_64-manylinux_2_28"),
        ("manylinux_2_28_aarch64", "aarch64-manylinux_2_28"),
    ],
)
def test_a_platform_has_a_name_for_uv(tag: str, name: str) -> None:
    assert make_wheelhouse.uv_platform(tag) == name
    assert make_wheelhouse.tags(tag)[0] == tag


def test_a_platform_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"platform must be win_amd64.*; got 'windows'"):
        make_wheelhouse.uv_platform("windows")


def test_a_linux_takes_wheels_for_older_ones() -> None:
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64"} < {
        *make_wheelhouse.tags("manylinux_2_28_x86_64")
    }
    assert "manylinux_2_34_x86_64" not in make_wheelhouse.tags("manylinux_2_28_x86_64")


def test_what_it_asks_for_has_a_version_in_the_lock_file() -> None:
    locked = {
        canonicalize_name(name)
        for name in re.findall(
            r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    for line in make_wheelhouse.ASKED:
        asked = Requirement(line)
        assert asked.name == "vgglab" or canonicalize_name(asked.name) in locked
        assert asked.extras <= extras.keys()


def test_a_wheel_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("vgglab-0.1.0-py3-none-any", "ml_dtypes-0.6.0-cp311-cp311-win_amd64"):
        (tmp_path / f"{name}.whl").touch()
    listed = tmp_path / "requirements.txt"
    listed.write_text("ml-dtypes==0.6.0\nvgglab[chapters]==0.1.0\n", encoding="utf-8")
    assert make_wheelhouse.missing(tmp_path) == []
    listed.write_text("ml-dtypes==0.7.0\ntorch==2.14.1\nvgglab==0.1.0\n", encoding="utf-8")
    assert make_wheelhouse.missing(tmp_path) == ["ml-dtypes==0.7.0", "torch==2.14.1"]


def test_the_readme_is_three_lines() -> None:
    words = {"where": "win_amd64", "python": "3.12", "version": "0.1.0", "size": "1 MB"}
    text = make_wheelhouse.README.format(**words, folder="wheels")
    assert len(text.splitlines()) == 3
    assert "--no-index --find-links wheels -r wheels/requirements.txt" in text


def test_another_python_needs_a_platform(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "book/make_wheelhouse.py", tmp_path / "a"]
    done = subprocess.run(
        [*command, "--python-version", "3.99"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert "name its --platform too" in done.stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.wide
def test_the_folder_suffices_without_a_network() -> None:
    """Where `make wheelhouse` was run: pip finds in it all that it would install."""
    folder = ROOT / "wheelhouse"
    if not (folder / "README.txt").exists():
        pytest.skip("make wheelhouse was not run here")
    assert make_wheelhouse.missing(folder) == []
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--dry-run", "--quiet"]
    command += ["--ignore-installed", "--no-index", "--find-links", str(folder)]
    subprocess.run([*command, "--requirement", str(folder / "requirements.txt")], check=True)
