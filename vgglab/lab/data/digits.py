"""Scikit-learn's handwritten digits: real, tiny, and on the machine already."""

import torch
import torch.nn.functional as F

from vgglab.arguments import check_integer, needs
from vgglab.lab.data.images import ImageSet

_TEST = 360  # the last fifth, of other writers than most of the first


def digits(split: str = "train", size: int = 8) -> ImageSet:
    """Return the digits of E. Alpaydin and C. Kaynak, 8x8 pixels of 17 greys.

    Source: https://archive.ics.uci.edu/dataset/80, the test part, as scikit-learn holds it.

    Parameters
    ----------
    split
        ``"train"``: the first 1437; ``"test"``: the last 360.
    size
        Side in pixels; above 8 each image is enlarged bilinearly.

    Returns
    -------
    ImageSet
        Of (N, 1, size, size), ten classes.

    Raises
    ------
    ValueError
        If `split` or `size` is none of these.
    ImportError
        If scikit-learn is not installed.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test'; got {split!r}")
    check_integer("size", size, minimum=8)
    with needs("train"):
        from sklearn.datasets import load_digits
    bunch = load_digits()
    part = slice(None, -_TEST) if split == "train" else slice(-_TEST, None)
    images = torch.from_numpy(bunch.images[part]).float()[:, None] * (255 / 16)
    if size > 8:
        images = F.interpolate(images, size=(size, size), mode="bilinear")
    return ImageSet(
        images.round().to(torch.uint8),
        torch.from_numpy(bunch.target[part]).long(),
        tuple(str(digit) for digit in range(10)),
        {"data": "digits", "split": split, "size": size},
    )
