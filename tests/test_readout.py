"""Tests of vgglab.lab.readout."""

import pytest
import torch

from vgglab.lab.readout import readout


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
