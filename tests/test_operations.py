"""The table of operations, against what torch really executes."""

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgglab import trace
from vgglab.receptive_field import field_rules
from vgglab.tracing.operations import Kind, kind_of
from vgglab.valid_sizes import size_rules

# For each name a forward of x, (2, 4, 11, 13), that executes it.
NETWORKS: dict[Kind, dict[str, Callable[[Tensor], Tensor]]] = {
    Kind.CONVOLUTION: {
        "convolution": lambda x: F.conv2d(x, torch.ones(3, 4, 2, 2)),
    },
    Kind.MAX_POOL: {"max_pool2d_with_indices": lambda x: F.max_pool2d(x, 2)},
    Kind.AVERAGE_POOL: {
        "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
        "avg_pool3d": lambda x: F.local_response_norm(x, 3),
    },
    Kind.ADAPTIVE_AVERAGE_POOL: {"_adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 3)},
    Kind.ADAPTIVE_MAX_POOL: {"adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 3)},
    Kind.MEAN: {"mean": lambda x: x.mean((2, 3))},
    Kind.REDUCTION: {
        "amax": lambda x: x.amax(1),
        "amin": lambda x: x.amin(1),
        "max": lambda x: x.max(1).values,
        "sum": lambda x: x.sum(1),
        "var": lambda x: x.var(1),
        "std": lambda x: x.std(1),
        "linalg_vector_norm": lambda x: x.norm(dim=1),
    },
    Kind.ELEMENTWISE: {
        "relu": F.relu,
        "_prelu_kernel": lambda x: F.prelu(x, torch.ones(1)),
        "rrelu_with_noise": lambda x: F.rrelu(x, training=True),
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "celu": F.celu,
        "silu": F.silu,
        "gelu": F.gelu,
        "mish": F.mish,
        "softplus": F.softplus,
        "softshrink": F.softshrink,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "hardtanh": F.relu6,
        "hardswish": F.hardswish,
        "hardsigmoid": F.hardsigmoid,
        "log_sigmoid_forward": F.logsigmoid,
        "threshold": lambda x: F.threshold(x, 0.0, 1.0),
        "neg": torch.neg,
        "abs": torch.abs,
        "exp": torch.exp,
        "log": torch.log,
        "sqrt": torch.sqrt,
        "rsqrt": torch.rsqrt,
        "reciprocal": torch.reciprocal,
        "pow": lambda x: x**3,
        "clamp": lambda x: x.clamp(0, 1),
        "clamp_min": lambda x: torch.clamp_min(x, 0),
        "_to_copy": lambda x: x.double(),
        "native_dropout": lambda x: torch.native_dropout(x, 0.5, True),
        "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    },
    Kind.BATCH_NORM: {
        "native_batch_norm": lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)),
    },
    Kind.GROUP_NORM: {"native_group_norm": lambda x: F.group_norm(x, 2)},
    Kind.LAYER_NORM: {"native_layer_norm": lambda x: F.layer_norm(x, (13,))},
    Kind.SOFTMAX: {
        "_softmax": lambda x: x.softmax(1),
        "_log_softmax": lambda x: x.log_softmax(1),
    },
    Kind.BROADCAST: {
        "add": lambda x: x + x,
        "sub": lambda x: x - x.exp(),
        "rsub": lambda x: 1 - x,
        "mul": lambda x: x * x,
        "div": lambda x: x / x,
        "maximum": lambda x: torch.maximum(x, x),
        "minimum": lambda x: torch.minimum(x, x),
        "addcmul": lambda x: torch.addcmul(x, x, x),
        "lerp": lambda x: torch.lerp(x, x, 0.5),
    },
    Kind.CAT: {"cat": lambda x: torch.cat([x, x])},
    Kind.STACK: {"stack": lambda x: torch.stack([x, x])},
    Kind.LINEAR: {
        "addmm": lambda x: F.linear(x.flatten(1), torch.ones(3, 572), torch.ones(3)),
        "mm": lambda x: F.linear(x.flatten(1), torch.ones(3, 572)),
    },
    Kind.VIEW: {
        "view": lambda x: x.flatten(1),
        "_unsafe_view": lambda x: x.transpose(1, 3).reshape(2, -1),
    },
    Kind.CLONE: {"clone": lambda x: x.transpose(1, 3).contiguous()},
    Kind.EXPAND: {"expand": lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1)},
    Kind.PERMUTE: {
        "permute": lambda x: x.permute(0, 2, 3, 1),
        "transpose": lambda x: x.transpose(1, 2),
    },
    Kind.SLICE: {"slice": lambda x: x[:, 1:]},
    Kind.SPLIT: {
        "split": lambda x: x.chunk(2, 1)[0],
        "split_with_sizes": lambda x: x.split([1, 3], 1)[0],
    },
    Kind.SELECT: {"select": lambda x: x[:, 1]},
    Kind.UNBIND: {"unbind": lambda x: x.unbind(1)[0]},
    Kind.SQUEEZE: {"squeeze": lambda x: x[:, :1].squeeze(1)},
    Kind.UNSQUEEZE: {"unsqueeze": lambda x: x.unsqueeze(1)},
    Kind.CONSTANT_PAD: {"constant_pad_nd": lambda x: F.pad(x, (1, 2))},
    Kind.REFLECTION_PAD: {"reflection_pad2d": lambda x: F.pad(x, (1, 2, 3, 0), "reflect")},
    Kind.REPLICATION_PAD: {"replication_pad2d": lambda x: F.pad(x, (1, 2, 3, 0), "replicate")},
    Kind.NEAREST_UPSAMPLE: {"upsample_nearest2d": lambda x: F.interpolate(x, scale_factor=2)},
    Kind.BILINEAR_UPSAMPLE: {
        "upsample_bilinear2d": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    },
    Kind.OTHER_UPSAMPLE: {
        "upsample_bicubic2d": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    },
    Kind.PIXEL_SHUFFLE: {"pixel_shuffle": lambda x: F.pixel_shuffle(x, 2)},
    Kind.PIXEL_UNSHUFFLE: {"pixel_unshuffle": lambda x: F.pixel_unshuffle(x[:, :, 1:, 1:], 2)},
    Kind.PRODUCT: {
        "bmm": lambda x: x.flatten(0, 1) @ x.transpose(2, 3).flatten(0, 1),
        "_trilinear": lambda x: F.bilinear(x, x, torch.ones(3, 13, 13)),
    },
    Kind.UNPOOL: {
        "max_unpool2d": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    },
    # As modules, for a layer is one operation only where its module is called.
    Kind.RECURRENT: {
        "lstm": nn.Sequential(nn.Flatten(1, 2), nn.LSTM(13, 3)),
        "gru": nn.Sequential(nn.Flatten(1, 2), nn.GRU(13, 3)),
        "rnn_tanh": nn.Sequential(nn.Flatten(1, 2), nn.RNN(13, 3)),
        "rnn_relu": nn.Sequential(nn.Flatten(1, 2), nn.RNN(13, 3, nonlinearity="relu")),
    },
    Kind.OTHER: {"cumsum": lambda x: x.cumsum(1)},
}
UNSEEN = {  # by a trace of these: other versions and devices, and what no trace holds
    *("_reshape_alias", "detach", "alias", "lift_fresh"),
}
# Kinds without a rule: whatever they are, their output is not followed.
UNFOLLOWED = {Kind.SAME_DATA, Kind.NO_DATA, Kind.OTHER}
WITHOUT_FIELDS = {Kind.OTHER_UPSAMPLE, Kind.RECURRENT, Kind.UNPOOL, Kind.PRODUCT}


class Net(nn.Module):
    """A forward written as a function."""

    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_torch_executes_has_its_kind(kind):
    for name, forward in NETWORKS[kind].items():
        model = forward if isinstance(forward, nn.Module) else Net(forward)
        traced = trace(model, (2, 4, 11, 13))
        assert traced.failure is None
        assert {op.kind for op in traced.ops if op.name.removesuffix("_") == name} == {kind}, name
        assert kind_of(f"{name}_") is kind


def test_every_name_in_the_table_is_one_that_torch_gives_and_has_one_kind():
    recorded = {name for networks in NETWORKS.values() for name in networks}
    for kind in Kind:
        for name in kind.value.split("|") if "(" not in kind.value else ():
            if not name.isidentifier():
                continue  # a pattern: what it is for is recorded above
            assert name in recorded | UNSEEN, f"{name}: give a forward that executes it in NETWORKS"
            fitting = [other for other in Kind if re.fullmatch(other.value, name)]
            assert fitting[0] is kind, name
            assert set(fitting) <= {kind, Kind.OTHER_UPSAMPLE, Kind.PRODUCT, Kind.OTHER}, name
    assert set(NETWORKS) == set(Kind) - {Kind.SAME_DATA, Kind.NO_DATA}


def test_what_no_trace_holds():
    aside = [torch.detach, torch.zeros_like, torch.randn_like, lambda x: x.new_ones(3)]
    for forward in aside:
        traced = trace(Net(lambda x, forward=forward: (forward(x), x + 1)[1]), (2, 4, 11, 13))
        assert [op.name for op in traced.ops] == ["add"]
    names = ("zeros_like", "randn_like", "new_ones", "new_empty_strided")
    assert {kind_of(name) for name in names} == {Kind.NO_DATA}
    assert {kind_of(name) for name in ("detach", "detach_", "alias")} == {Kind.SAME_DATA}


def test_both_interpreters_have_a_rule_for_each_kind_or_leave_it_out_knowingly():
    missing = set(Kind) - UNFOLLOWED - set(size_rules.RULES)
    assert not missing, f"no rule in size_rules.RULES for {missing}: write one, or UNFOLLOWED"
    assert not UNFOLLOWED & set(size_rules.RULES)
    fields = {*field_rules.RULES, *field_rules.JOINING_RULES}
    assert len(fields) == len(field_rules.RULES) + len(field_rules.JOINING_RULES)
    assert fields == set(Kind) - UNFOLLOWED - WITHOUT_FIELDS


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda x: x.permute(0, 2, 3, 1), (2, 4, 11, 13)),
        (lambda x: x.permute(3, -2, 0, 1), (2, 4, 11, 13)),
        (lambda x: x.transpose(1, -1), (2, 4, 11, 13)),
        (lambda x: x.transpose(-3, 0), (11, 2, 13, 4)),
        (lambda x: x.unsqueeze(-1), (2, 4, 11, 13)),
        (lambda x: x.unsqueeze(3), (2, 4, 11, 13)),
        (lambda x: x.unsqueeze(0), (11, 13, 2)),
        (lambda x: torch.stack([x, x], 2), (2, 11, 13, 4)),
        (lambda x: torch.stack([x, x], -1), (2, 4, 11, 13)),
        (lambda x: x.squeeze(), (1, 11, 1, 13, 1)),
        (lambda x: x.squeeze(-1), (2, 11, 13, 1)),
        (lambda x: x.squeeze((1, -1)), (11, 1, 13, 3)),
        (lambda x: x.squeeze(2), (2, 11, 13, 4)),
        (lambda x: x[..., 2], (2, 11, 13, 4)),
        (lambda x: x.select(1, 0), (11, 2, 13)),
        (lambda x: x.unbind(-1)[0], (2, 11, 13, 4)),
        (lambda x: x.unbind(1)[1], (2, 4, 11, 13)),
        (lambda x: x.mean((0, -1)), (2, 11, 13, 4)),
        (lambda x: x.mean((0, -1), keepdim=True), (2, 11, 13, 4)),
        (lambda x: x.amax(-2), (11, 13, 2, 4)),
        (lambda x: x.max(2).values, (11, 13, 2, 4)),
        (lambda x: x.softmax(1), (2, 4, 11, 13)),
        # Height or width goes.
        (lambda x: x.mean(), (2, 4, 11, 13)),
        (lambda x: x.sum(2), (2, 4, 11, 13)),
        (lambda x: x[:, :, :, 1], (2, 4, 11, 13)),
        (lambda x: x.unbind(1)[0], (2, 11, 13, 4)),
    ],
)
def test_where_height_and_width_are_afterwards(forward, shape):
    """They are the sides of 11 and 13 px, and no other dimension is as long."""
    op = trace(Net(forward), shape).ops[-1]
    (out,) = {op.output_shapes[0]}
    dims = op.after((shape.index(11) - len(shape), shape.index(13) - len(shape)))
    assert (dims is None) == (not {11, 13} <= {*out})
    assert dims is None or (out[dims[0]], out[dims[1]]) == (11, 13)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: F.pad(x, (1, 2)),
        lambda x: F.pad(x, (1, 2, 3, 4)),
        lambda x: F.pad(x, (0, 0, -1, 4, 2, 5)),
        lambda x: F.pad(x, (1, 2, 3, 0), "reflect"),
        lambda x: F.pad(x, (1, 2, 3, 0), "replicate"),
    ],
)
def test_padding_is_that_of_the_dimension(forward):
    shape = (2, 4, 11, 13)
    op = trace(Net(forward), shape).ops[-1]
    padded = tuple(side + sum(op.padding(k - 4)) for k, side in enumerate(shape))
    assert op.output_shapes == (padded,)
    first = forward(torch.ones(shape)).nonzero().min(0).values
    if op.kind is Kind.CONSTANT_PAD:
        assert first.tolist() == [max(op.padding(k - 4)[0], 0) for k in range(4)]
