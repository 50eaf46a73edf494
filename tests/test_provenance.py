"""What is said of the machine and the versions of a measurement."""

from __future__ import annotations

import json
import platform
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch
import torchvision

import vgglab
from vgglab.lab import provenance as module
from vgglab.lab.provenance import provenance, today

CARD = "A card of four chips"


@pytest.fixture
def cuda(monkeypatch):
    """A machine with a GPU, as torch tells of it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: CARD)
    monkeypatch.setattr(torch.version, "cuda", "13.0")


def driver_tool(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\n{script}\n")
    tool.chmod(0o755)


def test_it_is_plain_and_the_same_each_time():
    found = provenance()
    assert json.loads(json.dumps(found)) == found
    assert provenance() == found
    assert set(found) == {
        *("kind", "device", "threads", "driver", "cuda"),
        *("torch", "torchvision", "python", "vgglab"),
    }


def test_versions_are_those_that_run():
    found = provenance()
    assert found["torch"] == torch.__version__
    assert found["torchvision"] == torchvision.__version__
    assert found["python"] == platform.python_version()
    assert found["vgglab"] == vgglab.__version__


def test_another_number_of_threads_is_another_measurement():
    one = provenance()
    torch.set_num_threads(2)
    two = provenance()
    assert {name for name in one if one[name] != two[name]} == {"threads"}
    assert (one["threads"], two["threads"]) == (1, 2)


def test_a_machine_without_a_gpu_names_its_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = provenance()
    assert (found["kind"], found["driver"], found["cuda"]) == ("cpu", None, None)
    assert isinstance(found["device"], str)
    assert found["device"].strip()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: A chip: the 3rd\nmodel name\t: Other\n", "A chip: the 3rd"),
        ("processor\t: 0\nCPU part\t: 0xd0c\n", "aarch64"),
        (None, "aarch64"),
    ],
)
def test_where_the_system_does_not_name_the_processor_its_kind_is_named(
    tmp_path, monkeypatch, text, name
):
    cpuinfo = tmp_path / "cpuinfo"
    if text is not None:
        cpuinfo.write_text(text)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(module, "Path", {"/proc/cpuinfo": cpuinfo}.__getitem__)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert provenance()["device"] == name


@pytest.mark.usefixtures("cuda")
@pytest.mark.skipif(sys.platform == "win32", reason="the driver's tool is a script here")
@pytest.mark.parametrize(
    ("script", "driver"),
    [
        ("print('580.65\\n580.65')", "580.65"),  # a line for each of two GPUs
        ("raise SystemExit(9)", None),
        (None, None),
    ],
)
def test_a_gpu_is_named_with_its_driver(tmp_path, monkeypatch, script, driver):
    if script is not None:
        driver_tool(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = provenance()
    assert (found["kind"], found["device"], found["cuda"]) == ("cuda", CARD, "13.0")
    assert found["driver"] == driver


def test_the_day_is_that_of_utc(monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            here = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
            return here.astimezone(tz) if tz else here

    monkeypatch.setattr(module, "datetime", Clock)
    assert today() == "2025-12-31"
