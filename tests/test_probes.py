"""Tests of vgglab.probes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vgglab.data import ImageSet, shapes
from vgglab.probes import (
    readout,
    resize_probe,
    shift,
    shift_probe,
    shuffle_patches,
    shuffle_probe,
)
from vgglab.slim import slim_vgg
from vgglab.training import evaluate

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


GAP = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5))
FLATTEN = (nn.Flatten(), nn.Linear(5 * 256, 5))


def test_the_mean_over_single_pixels_does_not_see_order_or_place() -> None:
    torch.manual_seed(0)
    model = single_pixels(nn.Sequential(*GAP))
    images = answers(model)
    assert min(shuffle_probe(model, images, [1, 2, 4, 8, 16]).values()) >= 0.99
    assert min(shift_probe(model, images, range(-4, 5), "wrap").values()) >= 0.99


def test_all_cells_see_order_and_place() -> None:
    torch.manual_seed(0)
    model = single_pixels(nn.Sequential(*FLATTEN))
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
        (lambda x: shift(x[0], 0, 1), r"images must be a tensor .* got \(1, 8, 8\)"),
        (lambda x: shuffle_patches(x, 3), "grid must divide height and width, 8 and 8; got 3"),
        (lambda x: shuffle_patches(x, 0), "grid must be"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 1, 8, 8))


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(300, 12, generator=torch.Generator().manual_seed(0))


def test_a_planted_number_is_read_and_a_shuffled_one_is_not(noise: torch.Tensor) -> None:
    target = noise @ torch.arange(12.0) + 5
    shuffled = target[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    assert readout(noise, target) > 0.999
    assert readout(noise, shuffled) < 0.1


def test_a_planted_class_is_read_and_a_shuffled_one_is_at_chance(noise: torch.Tensor) -> None:
    target = (noise[:, 0] > 0).long()
    shuffled = target[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    assert readout(noise, target) > 0.9
    assert readout(noise, shuffled) == pytest.approx(0.5, abs=0.1)


def test_a_rare_class_counts_as_much_as_a_common_one() -> None:
    """A reader that always says the common class is at chance, not at 90 %."""
    features = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    target = (torch.arange(300) % 10 == 0).long()
    assert readout(features, target) == pytest.approx(0.5, abs=0.05)


def test_what_it_says_is_of_images_that_it_has_not_seen() -> None:
    """More features than images: a reader fits any targets, and can predict none."""
    features = torch.randn(60, 200, generator=torch.Generator().manual_seed(0))
    target = torch.randn(60, generator=torch.Generator().manual_seed(1))
    assert readout(features, target) < 0.3


def test_the_seed_decides(noise: torch.Tensor) -> None:
    target = noise[:, 0] + torch.randn(300, generator=torch.Generator().manual_seed(2))
    assert readout(noise, target, seed=3) == readout(noise, target, seed=3)
    assert readout(noise, target, seed=3) != readout(noise, target, seed=4)


def test_the_scale_of_the_features_does_not_matter(noise: torch.Tensor) -> None:
    target = noise[:, 0] + noise[:, 1]
    scaled = noise.double() * 1e9 + 1e6
    assert readout(scaled, target) == pytest.approx(readout(noise, target), abs=1e-6)


def test_a_feature_that_is_nearly_always_zero_does_no_harm(noise: torch.Tensor) -> None:
    """Divided by its own deviation in a fold, one such value outweighs all others."""
    rare = torch.zeros(300, 1)
    rare[:2, 0] = torch.tensor([1e-9, 1.0])
    target = noise[:, 0] + noise[:, 1]
    assert readout(torch.cat([noise, rare], 1), target) > 0.99


@pytest.mark.parametrize(
    ("features", "targets", "folds", "message"),
    [
        (torch.zeros(4, 2, 2), torch.zeros(4), 2, r"\(N, D\) and \(N,\); got \(4, 2, 2\)"),
        (torch.zeros(4, 2), torch.zeros(5), 2, r"got \(4, 2\) and \(5,\)"),
        (torch.zeros(4, 2), torch.zeros(4), 2, "must not all be the same"),
        (torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), 2, "folds must be at most 1"),
        (torch.zeros(4, 2), torch.arange(4.0), 1, "folds must be at least 2"),
    ],
)
def test_what_cannot_be_read_is_refused(
    features: torch.Tensor, targets: torch.Tensor, folds: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        readout(features, targets, folds=folds)
