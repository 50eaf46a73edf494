import pytest
import torch
import torch.nn.functional as F

from vgglab.pooling import SpatialPyramidPool


def test_bins_and_features_of_the_usual_pyramid():
    pool = SpatialPyramidPool((1, 2, 4))
    assert pool.bins == 21
    assert pool(torch.rand(2, 512, 12, 12)).shape == (2, 10_752)


@pytest.mark.parametrize("size", [(1, 1), (3, 17), (7, 7), (13, 10)])
def test_features_do_not_depend_on_the_size_of_the_map(size):
    assert SpatialPyramidPool((1, 3, 6))(torch.rand(1, 2, *size)).shape == (1, 2 * 46)


def test_the_first_level_is_the_global_maximum():
    x = torch.rand(2, 5, 9, 9)
    pooled = SpatialPyramidPool((1, 2))(x)
    assert torch.equal(pooled[:, :5], x.amax(dim=(2, 3)))
    assert torch.equal(pooled[:, 5:], F.adaptive_max_pool2d(x, 2).flatten(1))


@pytest.mark.parametrize("levels", [(), (0, 1), (1, -2), (1.5,), (True,)])
def test_bad_levels_are_named(levels):
    with pytest.raises(ValueError, match="levels must be positive integers"):
        SpatialPyramidPool(levels)
