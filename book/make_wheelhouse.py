"""Collect what a class room without a network installs: `make wheelhouse`.

    python book/make_wheelhouse.py wheelhouse                            # for this machine
    python book/make_wheelhouse.py wheelhouse --platform win_amd64 --python-version 3.12

The folder gets a wheel of this package, of JupyterLab, of what the notebooks import and of all that
these need, ``requirements.txt`` with their versions, and a README that says how to install them.
Versions are those of ``constraints.txt``. At the end the folder alone is asked whether it suffices.

On x86_64 Linux PyPI's torch brings CUDA with it. Where PyTorch's own index can be reached,
``UV_TORCH_BACKEND=cpu`` takes the build without.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from vgglab import __version__

ROOT = Path(__file__).resolve().parent.parent
ASKED = ["jupyterlab", "vgglab[chapters]"]
UV = [sys.executable, "-m", "uv"]
BACKEND = "UV_TORCH_BACKEND"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

README = """\
For {where}, Python {python}: vgglab {version}, JupyterLab and what the notebooks need, {size}.
Beside it: pip install --no-index --find-links {folder} -r {folder}/requirements.txt
Then: vgglab exercises my-course && jupyter lab my-course
"""


def uv_platform(platform: str) -> str:
    """Return uv's name of a platform that pip names by a tag of wheels.

    Raises
    ------
    ValueError
        If it is none that is known.
    """
    known = {
        r"win_amd64": "x86_64-pc-windows-msvc",
        r"win_arm64": "aarch64-pc-windows-msvc",
        r"macosx_\d+_\d+_arm64": "aarch64-apple-darwin",
        r"manylinux_2_(\d+)_(x86_64|aarch64)": r"\2-manylinux_2_\1",
    }
    for pattern, name in known.items():
        found = re.fullmatch(pattern, platform)
        if found:
            return found.expand(name)
    raise ValueError(
        "platform must be win_amd64, win_arm64, macosx_14_0_arm64, manylinux_2_28_x86_64 or the "
        f"like; got {platform!r}"
    )


def tags(platform: str) -> list[str]:
    """Return the tags of wheels that a platform takes: of Linux, those for older systems too."""
    found = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", platform)
    if not found:
        return [platform]
    newest, machine = int(found[1]), found[2]
    older = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
    return [*older, f"manylinux2014_{machine}", f"manylinux1_{machine}"]


def missing(folder: Path) -> list[str]:
    """Return which requirements of a folder have no wheel in it."""
    there = set()
    for path in folder.glob("*.whl"):
        name, version, *_ = parse_wheel_filename(path.name)
        there.add((name, str(version)))
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?==(\S+)", line) for line in lines]
    return [
        line
        for line, found in zip(lines, asked, strict=True)
        if found is None or (canonicalize_name(found[1]), found[2]) not in there
    ]


def run(command: list[str]) -> None:
    """Run a command at the root of the repository; end with its status if it fails."""
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def compiled(folder: Path, target: list[str], *sources: str) -> str:
    """Return the versions of everything that is asked for, a line each, as uv resolves them."""
    command = [*UV, "pip", "compile", "--quiet", "--no-annotate", "--no-header", *target]
    command += ["--find-links", str(folder), "--constraint", "constraints.txt", *sources, "-"]
    env = dict(os.environ)
    if "--no-index" in sources:
        env.pop(BACKEND, None)  # it would add its index
    asked = "\n".join(ASKED)
    done = subprocess.run(
        command, cwd=ROOT, env=env, input=asked, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(done.returncode)
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if "==" in line)


def make(folder: Path, platform: str | None, python: str) -> None:
    """Fill a folder.

    Parameters
    ----------
    folder : Path
        Is made if it is not there. Wheels that are there already are not fetched again.
    platform : str or None
        A tag of wheels, such as ``win_amd64``; None for this machine.
    python : str
        The version of Python in the class room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("vgglab-*.whl"):
        old.unlink()
    run([*UV, "build", "--quiet", "--wheel", "--out-dir", str(folder)])
    target = ["--python-version", python]
    if platform:
        target += ["--python-platform", uv_platform(platform)]
    listed = compiled(folder, target)
    requirements = folder / "requirements.txt"
    requirements.write_text(listed, encoding="utf-8")

    fetch = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    fetch += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    fetch += ["--find-links", str(folder), "--requirement", str(requirements)]
    if platform:
        fetch += ["--python-version", python, "--implementation", "cp"]
        for tag in tags(platform):
            fetch += ["--platform", tag]
    if os.environ.get(BACKEND) == "cpu":
        fetch += ["--extra-index-url", CPU_INDEX]
    run(fetch)

    lacking = missing(folder)
    if lacking:
        sys.exit(f"the folder has no wheel of {', '.join(lacking)}")
    compiled(folder, target, "--no-index")
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    words = {"where": platform or "machines like this one", "python": python}
    words |= {"folder": folder.name, "version": __version__, "size": f"{size / 1e6:,.0f} MB"}
    text = README.format(**words)
    (folder / "README.txt").write_text(text, encoding="utf-8")
    print(text, end="")


def main() -> None:
    """Read the arguments and fill the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--platform", help="a tag of wheels, such as win_amd64")
    parser.add_argument(
        "--python-version", default=f"{sys.version_info.major}.{sys.version_info.minor}"
    )
    arguments = parser.parse_args()
    if arguments.platform:
        try:
            uv_platform(arguments.platform)
        except ValueError as error:
            parser.error(str(error))
    elif arguments.python_version != parser.get_default("python_version"):
        parser.error("for another Python name its --platform too")
    make(arguments.folder.resolve(), arguments.platform, arguments.python_version)


if __name__ == "__main__":
    main()
