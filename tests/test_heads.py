import pytest
import torch
from torch import nn

from vgglab.models.heads import HEADS

CHANNELS = 8


def run(name, x, **sizes):
    head = HEADS[name](CHANNELS, 16, 5, 0.0)
    return nn.Sequential(*head).eval()(x)


@pytest.mark.parametrize("name", HEADS)
def test_logits_have_one_shape(name):
    assert run(name, torch.rand(2, CHANNELS, 7, 7)).shape == (2, 5)


@pytest.mark.parametrize("size", [(7, 7), (12, 12), (9, 14)])
@pytest.mark.parametrize("name", [name for name in HEADS if name != "fc-fixed"])
def test_heads_that_take_any_larger_map(name, size):
    assert run(name, torch.rand(2, CHANNELS, *size)).shape == (2, 5)


def test_fixed_head_takes_a_7x7_map_alone():
    with pytest.raises(RuntimeError):
        run("fc-fixed", torch.rand(2, CHANNELS, 12, 12))


def test_conv_head_needs_7x7_at_least():
    with pytest.raises(RuntimeError):
        run("conv", torch.rand(2, CHANNELS, 6, 6))


def test_conv_head_is_the_fc_head_with_reshaped_weights():
    x = torch.rand(2, CHANNELS, 7, 7)
    fc, conv = (HEADS[name](CHANNELS, 16, 5, 0.0) for name in ("fc", "conv"))
    state_dict = fc.classifier.state_dict()
    shapes = conv.classifier.state_dict()
    conv.classifier.load_state_dict(
        {name: state_dict[name].reshape(tensor.shape) for name, tensor in shapes.items()}
    )
    torch.testing.assert_close(
        nn.Sequential(*conv).eval()(x), nn.Sequential(*fc).eval()(x), rtol=1e-5, atol=1e-6
    )


def test_gap_head_averages_over_the_map():
    head = HEADS["gap"](CHANNELS, 16, 5, 0.0)
    x = torch.rand(2, CHANNELS, 3, 11)
    linear = head.classifier[-1]
    torch.testing.assert_close(
        nn.Sequential(*head).eval()(x), linear(x.mean(dim=(2, 3))), rtol=1e-5, atol=1e-6
    )
