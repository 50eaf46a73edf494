"""A file is whole or not there, and what was there stays."""

from __future__ import annotations

import sys

import pytest
import torch
from disks import content, full_disk

from vgglab.files import check_writable, write_whole


def test_it_is_written_and_nothing_else(tmp_path):
    path = tmp_path / "made" / "below" / "data.bin"
    write_whole(path, lambda file: file.write(b"first"))
    assert content(tmp_path) == {"made/below/data.bin": b"first"}
    write_whole(path, lambda file: file.write(b"2"))
    assert content(tmp_path) == {"made/below/data.bin": b"2"}


def test_while_it_is_written_the_old_one_is_there(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"n")
        file.flush()
        assert path.read_bytes() == b"old"
        file.write(b"ew")

    write_whole(path, write)
    assert content(tmp_path) == {"data.bin": b"new"}


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("error", [ValueError("odd"), KeyboardInterrupt()])
def test_what_the_writer_raises_is_raised_and_half_a_file_is_not_left(tmp_path, before, error):
    path = tmp_path / "data.bin"
    if before is not None:
        path.write_bytes(before)

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)) as raised:
        write_whole(path, write)
    assert raised.value is error
    assert content(tmp_path) == ({} if before is None else {"data.bin": before})


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError("file write failed"), "file write failed"),
    ],
)
def test_what_could_not_be_written_is_named(tmp_path, before, error, reason):
    path = tmp_path / "data.bin"
    if before is not None:
        path.write_bytes(before)

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(OSError, match="could not be written") as raised:
        write_whole(path, write)
    kept = "" if before is None else "; the one from before is whole"
    assert str(raised.value) == f"{str(path)!r} could not be written ({reason}){kept}"
    assert raised.value.__cause__ is error
    assert content(tmp_path) == ({} if before is None else {"data.bin": before})


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.write(bytes(4_000_000)),
        lambda file: torch.save(torch.zeros(1_000_000), file),
    ],
    ids=["bytes", "torch.save"],
)
def test_a_full_disk_leaves_the_last_file_whole(tmp_path, write):
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")
    with (
        full_disk(100_000),
        pytest.raises(OSError, match=r"could not be written.*the one from before is whole"),
    ):
        write_whole(path, write)
    assert content(tmp_path) == {"data.bin": b"old"}


def test_a_folder_in_its_place_stays(tmp_path):
    path = tmp_path / "data.bin"
    path.mkdir()
    (path / "inside.txt").write_bytes(b"kept")
    with pytest.raises(OSError, match="could not be written"):
        write_whole(path, lambda file: file.write(b"new"))
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "inside.txt").read_bytes() == b"kept"


def test_a_folder_is_made_if_files_can_be_written_there(tmp_path):
    check_writable(tmp_path / "new" / "below")
    assert not list((tmp_path / "new" / "below").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"nothing can be written to .* \(Not a directory\)"):
        check_writable(tmp_path / "file" / "below")
