"""Tests of vgglab.lab.perturbations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vgglab.lab.data import ImageSet, shapes
from vgglab.lab.perturbations import (
    resize_probe,
    shift,
    shift_probe,
    shuffle_patches,
    shuffle_probe,
)
from vgglab.lab.small_networks import slim_vgg
from vgglab.lab.training import evaluate

SIZES = st.integers(1, 9)


@given(SIZES, SIZES, st.data())
def test_shift_moves_every_pixel(height: int, width: int, data: st.DataObject) -> None:
    dy = data.draw(st.integers(1 - height, height - 1))
    dx = data.draw(st.integers(1 - width, width - 1))
    images = torch.rand(2, 3, height, width) + 1
    moved, wrapped = shift(images, dy, dx), shift(images, dy, dx, "wrap")
    for i in range(height):
        for j in range(width):
            assert torch.equal(
                wrapped[:, :, (i + dy) % height, (j + dx) % width], images[:, :, i, j]
            )
            if 0 <= i - dy < height and 0 <= j - dx < width:
                assert torch.equal(moved[:, :, i, j], images[:, :, i - dy, j - dx])
            else:
                assert not moved[:, :, i, j].any()


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
def test_patches_are_kept_whole_and_each_is_used_once(
    grid: int, height: int, width: int, seed: int
) -> None:
    images = torch.rand(3, 2, grid * height, grid * width)

    def patches(image: torch.Tensor) -> list[list[float]]:
        cut = image.unfold(1, height, height).unfold(2, width, width)
        return sorted(cut.permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1).tolist())

    shuffled = shuffle_patches(images, grid, seed)
    assert torch.equal(shuffled, shuffle_patches(images, grid, seed))
    for before, after in zip(images, shuffled, strict=True):
        assert patches(before) == patches(after)
    if grid == 1:
        assert torch.equal(images, shuffled)


def test_each_image_has_an_order_of_its_own() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4).expand(8, 1, 4, 4)
    orders = {tuple(image.flatten().tolist()) for image in shuffle_patches(images, 4, seed=0)}
    assert len(orders) == 8


def single_pixels(head: nn.Module) -> nn.Module:
    """A network that looks at single pixels, and then through its head."""
    return nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), *head)


def answers(model: nn.Module, size: int = 16) -> ImageSet:
    """Images that the model gets right, for it is asked what they are."""
    images = shapes(100, size, seed=0)
    with torch.no_grad():
        labels = model.eval()((images.images.float() / 255 - 0.5) / 0.25).argmax(1)
    return ImageSet(images.images, labels, images.classes, {})


def test_the_mean_over_single_pixels_does_not_see_order_or_place() -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5))
    model = single_pixels(head)
    images = answers(model)
    assert min(shuffle_probe(model, images, [1, 2, 4, 8, 16]).values()) >= 0.99
    assert min(shift_probe(model, images, range(-4, 5), "wrap").values()) >= 0.99


def test_all_cells_see_order_and_place() -> None:
    torch.manual_seed(0)
    model = single_pixels(nn.Sequential(nn.Flatten(), nn.Linear(5 * 256, 5)))
    images = answers(model)
    shuffled, moved = shuffle_probe(model, images, [1, 8]), shift_probe(model, images, [0, 6])
    assert shuffled[1] == moved[0] == 1
    assert shuffled[8] < 0.9
    assert moved[6] < 0.9


def test_resize_says_where_a_network_cannot_run() -> None:
    images = shapes(20, 32)
    flatten = resize_probe(slim_vgg("flatten", width=1 / 16), images, [16, 32, (32, 40)])
    assert flatten == {16: None, 32: flatten[32], (32, 40): None}
    model = slim_vgg("gap", width=1 / 16)
    found = resize_probe(model, images, [16, 32, (32, 40)])
    assert None not in found.values()
    assert found[32] == evaluate(model, images).accuracy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: shift(x, 8, 0), "dy must be less than the 8 pixels .* got 8"),
        (lambda x: shift(x, 0, -9), "dx must be"),
        (lambda x: shift(x, 0, 1, "mirror"), "mode must be 'zero' or 'wrap'; got 'mirror'"),
        (lambda x: shift(x[0], 0, 1), r"images must be a tensor .* got the shape \(1, 8, 8\)"),
        (lambda x: shuffle_patches(x, 3), "grid must divide height and width, 8 and 8; got 3"),
        (lambda x: shuffle_patches(x, 0), "grid must be"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("change", [lambda x: shift(x, 1, 1), lambda x: shuffle_patches(x, 2)])
def test_what_are_no_images_is_named(change) -> None:
    for value in (None, [1.0], torch.zeros(1, 3, 16, 16).numpy()):
        with pytest.raises(TypeError, match=r"^images must be a .*tensor .*; got \w+$"):
            change(value)
    with pytest.raises(ValueError, match=r"^images must be .*; got the shape \(0, 3, 16, 16\)"):
        change(torch.zeros(0, 3, 16, 16))
