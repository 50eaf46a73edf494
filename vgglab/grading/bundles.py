"""Folders and zips that somebody handed in: which files they hold, and their bytes.

Nothing is unpacked, no link is followed, and what is read is bounded.
"""

import io
import os
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

MAX_BYTES = 20_000_000  # of a notebook
MAX_FILES = 1_000  # in what one student handed in
MAX_DEPTH = 20  # of folders in folders
_ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
_BROKEN = (BadZipFile, EOFError, LookupError, OSError, OverflowError, RuntimeError, ValueError)


class UnreadableError(Exception):
    """A submission that cannot be graded; the message says why in one sentence."""


def shown(name: str) -> str:
    """Return a name on one line, as nobody can mistake it for another.

    Characters that are no letters, marks, numbers, signs or spaces are written as Python escapes
    them: those of control, of direction, without width, and bytes that are no text.
    """
    return "".join(map(_shown, name))


def _shown(character: str) -> str:
    plain = character == " " or unicodedata.category(character)[0] not in "CZ"
    return character if plain and character != "\\" else repr(character)[1:-1]


def is_hidden(name: str) -> bool:
    """Whether a file or a folder above it is hidden, or macOS's own in a zip."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def pick_notebook(names: Iterable[str], assignment: str, what: str) -> str:
    """Return the one of the files that is the notebook to grade.

    Parameters
    ----------
    names
        Paths of files, with ``/``.
    assignment
        The notebook's name, without its ending.
    what
        ``"folder"`` or ``"zip"``, for the sentence.

    Raises
    ------
    UnreadableError
        If there is none, or if there are several.
    """
    names = sorted(names)
    hidden = [name for name in names if is_hidden(name)]
    found = [n for n in names if n not in hidden and n.endswith(".ipynb")]
    wanted = [name for name in found if PurePosixPath(name).name == f"{assignment}.ipynb"]
    # nbgrader's layout: STUDENT/ASSIGNMENT/NOTEBOOK.ipynb, beside the student's other assignments
    exact = [name for name in wanted if PurePosixPath(name).parent.name == assignment]
    zips = [n for n in names if n not in hidden and n.endswith(".zip")]
    chosen = exact or wanted or found or zips
    if not chosen:
        left_out = [name for name in hidden if name.endswith(".ipynb")]
        words = f", but the hidden {shown(left_out[0])}" if left_out else ""
        raise UnreadableError(f"The {what} holds no notebook{words}.")
    if len(chosen) > 1:
        some = ", ".join(map(shown, chosen[:4]))
        raise UnreadableError(f"The {what} holds {len(chosen)} notebooks ({some}), not one.")
    return chosen[0]


# Folders


def files_in(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, in the order of their names.

    Raises
    ------
    UnreadableError
        If there are too many, or folders lie too deep in each other.
    """
    waiting = [PurePosixPath()]
    seen = 0
    while waiting:
        place = waiting.pop()
        if len(place.parts) > MAX_DEPTH:
            raise UnreadableError(f"The folder holds more than {MAX_DEPTH} folders in each other.")
        with os.scandir(folder / place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                seen += 1
                if seen > MAX_FILES:
                    raise UnreadableError(f"The folder holds more than {MAX_FILES} files.")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(place / entry.name)
                else:
                    yield str(place / entry.name)


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that is one, and is not too large.

    Raises
    ------
    OSError, UnreadableError
        If it cannot be read, or is something else.
    """
    if stat.S_ISLNK(path.lstat().st_mode):
        raise UnreadableError("The file is a symbolic link; send the notebook itself.")
    # NOFOLLOW: it may become a link now. NONBLOCK: opening a pipe would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError("This is not a file.")
        _check_size(found.st_size)
        return file.read(MAX_BYTES)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableError(
            f"The file has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are "
            "read. Clear its outputs."
        )


# Zips


def is_zip(data: bytes) -> bool:
    """Whether the bytes begin as a zip's do."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read_notebook_in_zip(data: bytes, assignment: str) -> bytes:
    """Return the notebook in a zip that a student handed in.

    Raises
    ------
    UnreadableError
        If there is none or several, or the zip is broken or made to do harm.
    """
    if data.count(_ENTRY) > MAX_FILES:
        raise UnreadableError(f"The zip holds more than {MAX_FILES} files.")
    with opened(io.BytesIO(data)) as archive:
        name = pick_notebook(names_in(archive), assignment, "zip")
        if name.endswith(".zip"):
            raise UnreadableError("The zip holds another zip; send the notebook itself.")
        return read_member(archive, name)


@contextmanager
def opened(file: IO[bytes]) -> Iterator[ZipFile]:
    """Open a zip; say in a sentence what is wrong with it, also while it is read.

    Raises
    ------
    UnreadableError
        If it is broken.
    """
    try:
        with ZipFile(file) as archive:
            yield archive
    except (*_BROKEN, struct.error, zlib.error) as error:
        raise UnreadableError(f"The zip cannot be read: {shown(str(error))}.") from None


def names_in(archive: ZipFile) -> list[str]:
    """Return the paths of the files in a zip.

    Raises
    ------
    UnreadableError
        If one of them leads out of it.
    """
    for name in archive.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if (
            path.is_absolute()
            or ".." in path.parts
            or (path.parts[:1] and ":" in path.parts[0][1:2])
        ):
            raise UnreadableError(f"The zip names a place outside itself, {shown(name)}.")
    return [name for name in archive.namelist() if name and not name.endswith("/")]


def read_member(archive: ZipFile, name: str) -> bytes:
    """Return the bytes of a file in a zip, whatever the zip says of its size.

    Raises
    ------
    UnreadableError
        If it is a link, needs a password, is packed in an uncommon way, or is too large.
    """
    info: ZipInfo = archive.getinfo(name)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnreadableError("The file is a symbolic link; send the notebook itself.")
    if info.flag_bits & 1:
        raise UnreadableError("The zip needs a password; send the notebook itself.")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise UnreadableError("The zip is packed in an uncommon way; send the notebook itself.")
    _check_size(info.file_size)
    with archive.open(info) as file:
        data = file.read(MAX_BYTES + 1)
    _check_size(len(data))
    return data


def folders_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of a class's zip by what was handed in: a file or folder at its top.

    One folder around everything, as comes from zipping a folder, does not count.
    """
    found = _by_top(names, 0)
    tops = [top for top in found if not is_hidden(top)]
    if len(tops) == 1:
        inner = _by_top(found[tops[0]], 1)
        if len(inner) > 1:
            del found[tops[0]]
            return found | inner
    return found


def _by_top(names: Sequence[str], depth: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        found.setdefault(parts[min(depth, len(parts) - 1)], []).append(name)
    return found
