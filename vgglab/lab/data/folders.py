"""Images from files: a folder for each class, loose or in an archive."""

import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from vgglab.lab.data.images import ImageSet

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}

ARCHIVES: Mapping[str, str] = {
    "cifar10-jpeg.tar.xz": "e82212b8f8580e3e79f41a32c7db0e6a5b8fb10188d1723b706e150379c98be9"
}
"""SHA-256 of the archives that recorded experiments were made with, by file name."""

_Encoded: TypeAlias = tuple[str, bytes]  # the name of the class, and a file


def read_images(root: Path, split: str, size: int | None = None) -> ImageSet:
    """Read ``split/CLASS/*.jpg`` from a folder or a tar archive into memory.

    Parameters
    ----------
    root
        A folder in torchvision's ``ImageFolder`` layout, one for each split, or a tar archive of
        one, packed by gzip, bzip2 or xz.
    split
        Name of the folder of the split, such as ``"train"``.
    size
        Side in pixels to which images are resized; by default they must be of one size.

    Returns
    -------
    ImageSet
        Of (N, 3, H, W), classes and files in the order of their names.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `root`, or no such split in it.
    ValueError
        If an archive or an image is damaged, if a known archive is not the one that it is named
        after, or if images differ in size.
    """
    if not root.exists():
        raise FileNotFoundError(f"root must be a folder or a tar archive; {str(root)!r} is neither")
    source: dict[str, object] = {"data": root.name, "split": split, "size": size}
    if root.is_dir():
        files = _from_folder(root / split)
    else:
        source["sha256"] = check_archive(root)
        files = _from_archive(root, split)
    images, names = [], []
    for name, encoded in files:
        images.append(_decode(encoded, name, size))
        names.append(name)
    if not images:
        raise FileNotFoundError(
            f"root must hold images in {split}/CLASS/; {str(root)!r} holds none there"
        )
    if len({image.shape for image in images}) > 1:
        first, other = sorted({tuple(image.shape[1:]) for image in images})[:2]
        raise ValueError(
            f"size must be given, for the images of {str(root)!r} are not of one size: "
            f"{first} and {other}"
        )
    classes = tuple(sorted(set(names)))
    labels = torch.tensor([classes.index(name) for name in names])
    order = labels.argsort(stable=True)
    return ImageSet(torch.stack(images)[order], labels[order], classes, source)


def check_archive(path: Path) -> str:
    """Return the SHA-256 of an archive.

    Raises
    ------
    ValueError
        If it has the name of a known archive and is another one.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != ARCHIVES.get(path.name, found):
        raise ValueError(
            f"{str(path)!r} must have the SHA-256 {ARCHIVES[path.name]}; it has {found}: it is "
            "damaged or another file; fetch it again"
        )
    return found


def _from_folder(folder: Path) -> Iterator[_Encoded]:
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            yield path.parent.name, path.read_bytes()


def _from_archive(path: Path, split: str) -> Iterator[_Encoded]:
    try:
        with tarfile.open(path, "r|*") as archive:
            members: Iterable[tarfile.TarInfo] = archive
            for member in members:
                name = PurePosixPath(member.name)
                if name.suffix.lower() in SUFFIXES and name.parts[-3:-2] == (split,):
                    file = archive.extractfile(member)
                    if file is not None:
                        yield name.parts[-2], file.read()
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise ValueError(
            f"root must be a whole tar archive; {str(path)!r} is damaged ({error})"
        ) from error


def _decode(encoded: bytes, name: str, size: int | None) -> Tensor:
    try:
        with Image.open(io.BytesIO(encoded)) as file:
            image: Tensor = pil_to_tensor(file.convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise ValueError(f"an image of the class {name!r} cannot be read: {error}") from error
    return image if size is None else resize(image, [size, size], antialias=True)
