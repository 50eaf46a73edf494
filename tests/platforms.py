"""What notebook platforms have installed, and whether the first cell of a chapter leaves it alone.

    python tests/platforms.py refresh     # write tests/data/platforms.json again, of what they say
    python tests/platforms.py check       # ask uv what the first cell would do there

Both need the network; tests/test_platforms.py needs none. Binder is not in the record: it builds
environment.yml. Of a list the record keeps what a chapter's requirements lead to.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "data" / "platforms.json"
# What a running kernel has loaded: replaced under it, it fails or has to be restarted.
KERNEL = {
    *("comm", "debugpy", "decorator", "ipykernel", "ipython", "ipywidgets", "jupyter-client"),
    *("jupyter-core", "prompt-toolkit", "psutil", "pyzmq", "tornado", "traitlets"),
}
# What the first cell keeps if it cannot keep all.
KEPT = ("torch", "torchvision", "numpy")
COLAB = ("googlecolab/backend-info", "pip-freeze.gpu.txt")
COLAB_SYSTEM = ("googlecolab/backend-info", "os-info-gpu.txt")
COLAB_PAST = ("googlecolab/backend-info", "README.md")
KAGGLE = ("Kaggle/docker-python", "kaggle_requirements.txt")

Platform = dict[str, Any]


def requirements(*extras: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, with that of extras and of the extras that they name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            asked = Requirement(line)
            found += requirements(*asked.extras) if asked.name == project["name"] else [asked]
    return found


def python_range() -> str:
    """Return the versions of Python that pyproject.toml admits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["requires-python"])


def read_freeze(text: str) -> dict[str, str]:
    """Return versions by name from what ``pip freeze`` prints; what has an address is left out."""
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    }


def read_ranges(text: str) -> dict[str, str]:
    """Return the ranges of a file of requirements by name; what takes any version is left out."""
    found = {}
    for line in text.splitlines():
        if re.match(r"[A-Za-z]", line) and "://" not in line:
            asked = Requirement(line.partition("#")[0].strip())
            if asked.specifier:
                found[canonicalize_name(asked.name)] = str(asked.specifier)
    return found


def read_past_runtimes(text: str) -> dict[str, Platform]:
    """Return the past runtimes that Colab's page lists under headings such as 2026.01."""
    found = {}
    for name, part in re.findall(r"^### (\d{4}\.\d\d)\n(.*?)(?=^#|\Z)", text, re.M | re.S):
        said = dict(re.findall(r"^\*\s+(\w+) ([\d.]+)", part, re.MULTILINE))
        found[f"Colab {name}"] = {
            "past": True,
            "note": "a past runtime that a notebook may ask for",
            "python": said["Python"],
            "versions": {"numpy": said["numpy"], "torch": said["PyTorch"]},
        }
    return found


def pins(extra: str, python: str, known: dict[str, str], kept: dict[str, str]) -> dict[str, str]:
    """Return what an installer chooses that prefers what is there, and holds to what is kept.

    Raises
    ------
    ValueError
        If nothing fits, with the resolver's words.
    """

    def listing(versions: dict[str, str]) -> str:
        return "".join(f"{name}=={v.partition('+')[0]}\n" for name, v in versions.items())

    with tempfile.TemporaryDirectory() as folder:
        keep, output = Path(folder, "keep.txt"), Path(folder, "output.txt")
        keep.write_text(listing(kept), encoding="utf-8")
        output.write_text(listing(known), encoding="utf-8")  # uv prefers what the file has
        command = [sys.executable, "-m", "uv", "--no-config", "pip", "compile", "--quiet"]
        command += ["--python-platform", "x86_64-unknown-linux-gnu", "--python-version", python]
        command += ["--extra", extra, "--no-annotate", "--no-header", "pyproject.toml"]
        command += ["--constraint", str(keep), "--output-file", str(output)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip())
        return read_freeze(output.read_text(encoding="utf-8"))


def replaced(platform: Platform) -> dict[str, str]:
    """Return what the first cell would replace on a platform: names, with the new versions.

    Raises
    ------
    ValueError
        If torch, torchvision and numpy cannot stay as they are.
    """
    there = platform["versions"]
    for kept in (there, {n: there[n] for n in KEPT if n in there}):
        try:
            chosen = pins("chapters", platform["python"], there, kept)
        except ValueError as error:
            reason = error
        else:
            old = {name: version.partition("+")[0] for name, version in there.items()}
            return {n: new for n, new in chosen.items() if n in old and old[n] != new}
    raise reason


def check() -> int:
    """Print what becomes of each platform; return 1 if one of today loses its torch or kernel."""
    status = 0
    for name, platform in platforms().items():
        if "versions" not in platform:
            continue
        try:
            gone = replaced(platform)
            print(
                f"{name}: torch {platform['versions']['torch']} stays; replaced: {gone or 'none'}"
            )
            broken = bool(KERNEL & gone.keys())
        except ValueError as error:
            print(f"{name}: torch {platform['versions']['torch']} cannot stay: {error}")
            broken = True
        status |= broken and not platform.get("past", False)
    return int(status)


def platforms() -> dict[str, Platform]:
    """Return the record's platforms by name."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8"))["platforms"])


def fetch(repository: str, path: str) -> tuple[str, dict[str, Any]]:
    """Return a file's text as it is today, and where and of which day it is.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with urlopen(
        f"https://api.github.com/repos/{repository}/commits?path={path}&per_page=1", timeout=60
    ) as answer:
        (commit,) = json.load(answer)
    source = f"https://raw.githubusercontent.com/{repository}/{commit['sha']}/{path}"
    with urlopen(source, timeout=60) as answer:
        text = answer.read().decode()
    return text, {"source": source, "date": commit["commit"]["committer"]["date"][:10]}


def refresh() -> int:
    """Write the record again; return 1 with a sentence where there is no network."""
    try:
        frozen, about_colab = fetch(*COLAB)
        system, _ = fetch(*COLAB_SYSTEM)
        past, about_past = fetch(*COLAB_PAST)
        asked, about_kaggle = fetch(*KAGGLE)
    except (URLError, TimeoutError) as error:
        print(f"the lists of the platforms cannot be read, and the record stays as it is: {error}")
        return 1
    python = re.search(r"^Python ([\d.]+)", system, re.MULTILINE)
    if python is None:
        print(f"{COLAB_SYSTEM[1]} of {COLAB_SYSTEM[0]} names no version of Python any more")
        return 1
    there = read_freeze(frozen)
    of_interest = pins("chapters", python[1], there, {}).keys() | KERNEL
    direct = {canonicalize_name(r.name) for r in requirements("chapters")}
    found: dict[str, Platform] = {
        "Colab": {
            **about_colab,
            "note": "its runtime with a GPU",
            "python": python[1],
            "versions": {n: v for n, v in there.items() if n in of_interest},
        }
    }
    found |= {name: about_past | runtime for name, runtime in read_past_runtimes(past).items()}
    found["Kaggle"] = {
        **about_kaggle,
        "note": "what it asks for over Colab's image, whose torch it keeps",
        "python": None,
        "ranges": {n: r for n, r in read_ranges(asked).items() if n in direct},
    }
    text = json.dumps({"platforms": found}, indent=1) + "\n"
    RECORD.write_text(text, encoding="utf-8")
    print(f"{RECORD.relative_to(ROOT)}: {', '.join(found)}")
    return 0


def main() -> int:
    """Run one of the commands above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=["refresh", "check"])
    return {"refresh": refresh, "check": check}[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
