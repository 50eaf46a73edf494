"""The runs of the experiments on normalisation: that each arm is what its name says."""

from __future__ import annotations

import pytest
import torch

from vgglab.lab.experiments.normalizing import FIRST_LAYERS, compare_lrn, compare_norms
from vgglab.normalization import local_response_norm

SMALL = {
    "data": "digits",
    "side": 32,
    "train_images": 50,
    "valid_images": 50,
    "test_images": 200,
    "width": 1 / 16,
    "epochs": 1,
    "warmup": 0,
    "lr": 0.001,
}


@pytest.mark.parametrize(
    ("first", "formula"), [("LRN, alpha", "alexnet"), ("LRN, alpha / n", "torch")]
)
def test_both_formulas_are_those_of_the_chapter(first, formula):
    x = 100 * torch.rand(2, 9, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        FIRST_LAYERS[first]()(x), local_response_norm(x, k=2.0, formula=formula)
    )


def test_the_constant_is_what_lrn_divides_by_where_nothing_is_active():
    x = torch.full((1, 5, 1, 1), 1e-3)
    for first in ("LRN, alpha", "LRN, alpha / n"):
        torch.testing.assert_close(FIRST_LAYERS["constant"]()(x), FIRST_LAYERS[first]()(x))


def test_lrn_is_no_constant_at_the_scale_of_pixels(tmp_path):
    """It was one at the scale of the other experiments, and then nothing was compared."""
    deviation = {
        first: compare_lrn({**SMALL, "first": first}, 0, tmp_path / f"{place}")["deviation"]
        for place, first in enumerate(FIRST_LAYERS)
    }
    for first, (before, after) in deviation.items():
        if first.startswith("LRN"):
            assert min(before, after) > 0.01
        else:
            assert max(before, after) < 1e-6


def test_fitted_weights_let_the_signal_through_lrn(tmp_path):
    losses = {}
    for norm in (None, "lrn", "lrn-fitted"):
        settings = {**SMALL, "config": "A", "norm": norm, "lr": 0.0}
        losses[norm] = compare_norms(settings, 0, tmp_path / f"{norm}")["train_loss"][0]
    ln10 = torch.tensor(10.0).log().item()
    # Logits that vanish give each class a tenth; the first weights' own logits do not.
    assert abs(losses["lrn"] - ln10) < abs(losses["lrn-fitted"] - ln10) / 10
