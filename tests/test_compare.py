import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from untouched import Careless, assert_unchanged, everything

from vgglab.compare import compare
from vgglab.models.network import vgg
from vgglab.pooling import adaptive_matrix

SMALL = {"width": 1 / 32, "num_classes": 10}
AT_64 = (2, 3, 64, 64)
AT_224 = (2, 3, 224, 224)
AT_400 = (2, 3, 400, 400)


def narrow(head="fc", **options):
    torch.manual_seed(0)
    return vgg("A", head=head, **SMALL, **options)


def as_convolutions(model):
    """The same weights with the head "conv"."""
    converted = narrow("conv")
    shapes = {name: tensor.shape for name, tensor in converted.state_dict().items()}
    state_dict = model.state_dict()
    converted.load_state_dict({name: state_dict[name].reshape(shapes[name]) for name in shapes})
    return converted


def folded_into(linear, bins, side):
    """Adaptive pooling and a linear layer as one convolution, for one size of the map."""
    weight = linear.weight.detach().double().unflatten(1, (-1, bins, bins))
    matrix = adaptive_matrix(side, bins)
    conv = nn.Conv2d(weight.shape[1], linear.out_features, side)
    with torch.no_grad():
        conv.weight.copy_(torch.einsum("ocij,ih,jw->ochw", weight, matrix, matrix))
        conv.bias.copy_(linear.bias)
    return conv


# --- the verdict -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "dtype"),
    [
        ("fc", torch.float32),
        ("conv", torch.float32),
        ("gap", torch.float64),
        ("spp", torch.bfloat16),
    ],
)
def test_a_copy_is_identical(head, dtype):
    model = narrow(head, norm="batch", dtype=dtype)
    result = compare(model, copy.deepcopy(model), [(1, 3, 224, 224), (1, 3, 225, 230)])
    assert result.verdict == "identical"
    for row in result.rows:
        assert (row.verdict, row.relative_l2, row.argmax_agreement) == ("identical", 0, 1)
    assert result.state_dicts.loads
    assert not result.state_dicts.changed


def test_the_mode_of_the_models_has_no_part_in_it():
    training, evaluated = narrow(norm="batch").train(), narrow(norm="batch").eval()
    assert compare(training, evaluated, AT_64).verdict == "identical"


def test_convolutions_with_the_same_weights():
    model = narrow()
    result = compare(model, as_convolutions(model), [AT_224, (2, 3, 224, 256)])
    at_224, larger = result.rows
    assert at_224.verdict == "equal within rounding"
    assert 0 < at_224.relative_l2 < 1e-5
    assert at_224.exact_relative_l2 < 1e-12
    assert larger.verdict == result.verdict == "a different function"
    assert larger.relative_l2 > 0.01
    assert list(result.state_dicts.reshaped) == [f"classifier.{k}.weight" for k in (0, 3, 6)]
    assert not result.state_dicts.loads
    assert not result.state_dicts.changed


def test_weights_that_were_rounded_again_are_equal_within_rounding():
    model = narrow()
    conv = folded_into(model.classifier[0], 7, 3)
    folded = nn.Sequential(model.features, conv, nn.Flatten(), *model.classifier[1:])
    (row,) = compare(model, folded, (2, 3, 96, 96)).rows
    assert row.verdict == "equal within rounding"
    # The folded weights are rounded to float32, and float64 shows that.
    assert 1e-10 < row.exact_relative_l2 < 4 * row.rounding < 1e-5


@given(
    channels=st.integers(1, 8),
    side=st.sampled_from([5, 12, 13]),
    bins=st.sampled_from([1, 2, 3, 7]),
    classes=st.integers(2, 10),
    seed=st.integers(0, 1000),
)
def test_folding_is_rounding_in_shallow_networks_too(channels, side, bins, classes, seed):
    torch.manual_seed(seed)
    linear = nn.Linear(channels * bins**2, classes)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(bins), nn.Flatten(), linear)
    result = compare(pooled, folded_into(linear, bins, side), (2, channels, side, side))
    assert result.verdict in ("identical", "equal within rounding")


def with_noise(model, scale):
    noisy = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in noisy.parameters():
            parameter.mul_(1 + scale * torch.randn_like(parameter))
    return noisy


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (torch.float32, 1e-1),
        (torch.float32, 1e-3),
        (torch.float32, 1e-5),
        (torch.float64, 1e-12),
        (torch.bfloat16, 1e-1),
    ],
)
@pytest.mark.parametrize("head", ["fc", "gap"])
def test_noise_makes_a_different_function(dtype, scale, head):
    model = narrow(head, dtype=dtype)
    result = compare(model, with_noise(model, scale), AT_64)
    assert result.verdict == "a different function"
    assert 0.1 * scale < result.rows[0].exact_relative_l2 < 10 * scale
    assert "features.0.weight" in result.state_dicts.changed
    assert result.state_dicts.loads


class Reordered(nn.Module):
    """The sums of a linear layer, taken in another order."""

    def __init__(self, linear):
        super().__init__()
        self.linear = copy.deepcopy(linear)
        self.order = torch.randperm(linear.in_features)
        self.linear.weight.data = linear.weight.data[:, self.order]

    def forward(self, x):
        return self.linear(x[:, self.order])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_another_order_of_a_sum_is_rounding(dtype):
    torch.manual_seed(0)
    rows = []
    for features in (20, 500, 5000):
        linear = nn.Linear(features, 10, dtype=dtype)
        rows += compare(linear, Reordered(linear), (4, features)).rows
    assert "a different function" not in [row.verdict for row in rows]
    if dtype != torch.float16:  # whose sums are taken in float32
        assert all(row.relative_l2 > 0 for row in rows)


def test_the_verdict_does_not_depend_on_the_order():
    model = nn.Linear(500, 10)
    for other in (Reordered(model), with_noise(model, 1e-4)):
        there, back = compare(model, other, (2, 500)), compare(other, model, (2, 500))
        assert there.verdict == back.verdict
        assert there.rows[0].rounding == pytest.approx(back.rows[0].rounding)


def test_another_type_of_numbers_is_rounding_of_the_coarser_one():
    model = narrow("gap")
    (row,) = compare(model, copy.deepcopy(model).bfloat16(), AT_64).rows
    assert row.verdict == "equal within rounding"
    assert row.exact_relative_l2 > 1e-4


# --- distances -------------------------------------------------------------------------------


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@pytest.mark.parametrize(("factor", "agreement"), [(-1.0, 0), (0.5, 1), (0.0, None)])
def test_distance_and_agreement_by_hand(factor, agreement):
    (row,) = compare(Scaled(1.0), Scaled(factor), (8, 5)).rows
    assert row.relative_l2 == pytest.approx(1 - factor)
    assert agreement is None or row.argmax_agreement == agreement


def test_agreement_is_the_fraction_of_the_images():
    class FirstImageReversed(nn.Module):
        def forward(self, x):
            return torch.cat([-x[:1], x[1:]])

    (row,) = compare(nn.Identity(), FirstImageReversed(), (8, 5)).rows
    assert row.argmax_agreement == 7 / 8


def test_nothing_is_relative_to_zero():
    (row,) = compare(Scaled(0.0), Scaled(1.0), (2, 5)).rows
    assert (row.verdict, row.relative_l2) == ("a different function", math.inf)
    assert compare(Scaled(0.0), Scaled(-0.0), (2, 5)).verdict == "identical"


def test_what_is_not_a_number():
    assert compare(Scaled(math.nan), Scaled(math.nan), (2, 5)).verdict == "identical"
    assert compare(Scaled(1.0), Scaled(math.nan), (2, 5)).verdict == "a different function"


# --- maps ------------------------------------------------------------------------------------


class OneCellReversed(nn.Module):
    def forward(self, x):
        x = x.clone()
        x[..., 0, -1] *= -1
        return x


def test_two_maps_cell_by_cell():
    (row,) = compare(nn.Identity(), OneCellReversed(), (4, 10, 3, 2)).rows
    assert row.cells.relative_l2 == ((0, pytest.approx(2)), (0, 0), (0, 0))
    assert row.cells.argmax_agreement == ((1, 0), (1, 1), (1, 1))
    assert row.argmax_agreement == pytest.approx(5 / 6)


def test_a_map_against_logits():
    head = narrow("conv")
    dense = copy.deepcopy(head)
    dense.classifier = dense.classifier[:-2]
    at_224, at_400 = compare(head, dense, [AT_224, AT_400]).rows
    assert at_224.verdict in ("identical", "equal within rounding")
    assert at_224.cells is None
    assert at_224.after.output_shape == (2, 10, 1, 1)
    # The mean over the map is what the head computes; the map itself is not.
    assert at_400.verdict == "a different function"
    assert at_400.relative_l2 < 1e-6
    x = torch.randn(AT_400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        logits, cells = head.eval()(x.float()), dense.eval()(x.float())
    corner = (cells[..., 0, 5] - logits).norm() / logits.norm()
    assert at_400.cells.relative_l2[0][5] == pytest.approx(corner.item(), rel=1e-4)
    assert len(at_400.cells.relative_l2) == len(at_400.cells.relative_l2[0]) == 6

    (back,) = compare(dense, head, AT_400).rows
    assert back.verdict == "a different function"
    assert back.cells.argmax_agreement == at_400.cells.argmax_agreement


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (nn.Flatten(), nn.Flatten(2)),
        (nn.Identity(), nn.MaxPool2d(2)),
        (nn.Identity(), nn.Conv2d(3, 4, 1)),
    ],
)
def test_other_shapes_are_another_function(before, after):
    result = compare(before, after, (2, 3, 8, 8))
    assert result.verdict == "a different function"
    assert result.rows[0].relative_l2 is None
    assert f"to {result.rows[0].after.output_shape}" in str(result)


# --- failures --------------------------------------------------------------------------------


def test_a_size_at_which_one_fails_has_no_part_in_the_verdict():
    fixed = narrow("fc-fixed")
    adaptive = narrow()
    adaptive.load_state_dict(fixed.state_dict())
    result = compare(fixed, adaptive, [AT_400, AT_224])
    at_400, at_224 = result.rows
    assert result.verdict == at_224.verdict
    assert at_224.verdict in ("identical", "equal within rounding")
    assert at_400.verdict is at_400.relative_l2 is None
    assert "mat1 and mat2 shapes cannot be multiplied" in at_400.errors["before"]
    assert list(at_400.errors) == ["before"]
    assert at_400.after.output_shape == (2, 10)
    assert at_400.after.mult_adds > 0
    assert at_400.before.mult_adds is None
    assert f"At (2, 3, 400, 400) before fails: {at_400.errors['before']}" in str(result)


def test_no_verdict_if_they_never_both_run():
    result = compare(narrow("fc-fixed"), narrow(), AT_400)
    assert result.verdict is None
    assert "not comparable at these sizes" in str(result)


def test_several_tensors_are_a_failure():
    result = compare(nn.LSTM(4, 4), nn.Identity(), (2, 3, 4))
    assert result.rows[0].errors == {
        "before": "The model returned a tuple and not one tensor.",
    }


def test_a_model_that_cannot_run_in_float64_is_not_judged():
    class OnlyFloat32(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight.float(), self.bias.float())

    model = OnlyFloat32(4, 4)
    (row,) = compare(model, with_noise(model, 1e-3), (2, 4)).rows
    assert row.verdict is None
    assert row.errors["before"].startswith("In torch.float64: RuntimeError")


# --- costs and state_dicts -------------------------------------------------------------------


def test_costs_are_those_of_the_summary():
    from vgglab.summary import summary

    before, after = narrow(), narrow("gap")
    result = compare(before, after, [AT_64, AT_224])
    tables = [[summary(model, size) for size in (AT_64, AT_224)] for model in (before, after)]
    assert result.params == (tables[0][0].total_params, tables[1][0].total_params)
    for k, row in enumerate(result.rows):
        for side, rows in ((row.before, tables[0]), (row.after, tables[1])):
            assert side.mult_adds == rows[k].mult_adds
            assert side.saved_bytes == rows[k].saved_bytes


def test_every_difference_of_state_dicts():
    before = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(3, 3), "c": nn.Linear(2, 2)})
    after = nn.ModuleDict({"a": nn.Conv2d(1, 2, 2), "b": nn.Linear(3, 5), "d": nn.Linear(2, 2)})
    with torch.no_grad():
        after["a"].weight.copy_(before["a"].weight.reshape(2, 1, 2, 2))
        after["a"].bias.copy_(before["a"].bias + 1)
    found = compare(before, after, (1, 4)).state_dicts
    assert found.missing == ("c.weight", "c.bias")
    assert found.unexpected == ("d.weight", "d.bias")
    assert found.reshaped == {"a.weight": ((2, 4), (2, 1, 2, 2))}
    assert found.resized == {"b.weight": ((3, 3), (5, 3)), "b.bias": ((3,), (5,))}
    assert found.changed == ("a.bias",)
    assert not found.loads


@pytest.mark.parametrize("change", ["missing", "unexpected", "reshaped", "resized", None])
def test_whether_it_loads_is_what_torch_says(change):
    before = nn.Sequential(nn.Linear(4, 2))
    after = {
        "missing": nn.Sequential(nn.Linear(4, 2, bias=False)),
        "unexpected": nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)),
        "reshaped": nn.Sequential(nn.Conv2d(1, 2, 2)),
        "resized": nn.Sequential(nn.Linear(5, 2)),
        None: nn.Sequential(nn.Linear(4, 2)),
    }[change]
    try:
        copy.deepcopy(after).load_state_dict(before.state_dict())
        loads = True
    except RuntimeError:
        loads = False
    assert compare(before, after, (1, 4)).state_dicts.loads == loads == (change is None)


# --- the promise: nothing changes ------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_the_models_are_untouched(training):
    models = [narrow(norm="batch").train(training), narrow("gap", norm="batch").train(training)]
    for model in models:
        model.register_forward_hook(lambda module, args, output: None)
        model.features[0].weight.grad = torch.ones_like(model.features[0].weight)
    before = [everything(model) for model in models]
    compare(*models, [AT_64, (1, 3, 8, 8)])
    for state, model in zip(before, models, strict=True):
        assert_unchanged(state, model)


def test_models_that_draw_numbers_and_change_themselves():
    model = Careless().eval()
    other = copy.deepcopy(model)
    before = everything(model), everything(other)
    assert compare(model, other, [(2, 3, 9, 9), (2, 3, 9, 9)]).rows[0].relative_l2 < math.inf
    assert_unchanged(before[0], model)
    assert_unchanged(before[1], other)


def test_random_numbers_of_torch_are_the_same_in_both():
    class Draws(nn.Module):
        def forward(self, x):
            return x + torch.rand(x.shape)

    assert compare(Draws(), Draws(), [(2, 3), (4, 3)]).verdict == "identical"


def test_the_seed_is_that_of_the_inputs():
    model = narrow()
    noisy = with_noise(model, 1e-2)
    first, again, other = (compare(model, noisy, AT_64, seed=seed) for seed in (1, 1, 2))
    assert first.rows[0].relative_l2 == pytest.approx(again.rows[0].relative_l2, rel=1e-3)
    assert first.rows[0].relative_l2 != pytest.approx(other.rows[0].relative_l2, rel=1e-3)


# --- printing and bad input ------------------------------------------------------------------


def test_text_and_html_say_the_same():
    model = narrow("fc-fixed")
    result = compare(model, narrow("gap"), [AT_224, AT_400])
    text, html = str(result), result._repr_html_()
    words = ["VGG → VGG: a different function", "Mult-adds, (2, 3, 400, 400)", "Missing: "]
    for word in [*words, f"{result.params[0]:,}", f"{result.rows[0].relative_l2:.1e}"]:
        assert word in text
        assert word in html


def test_long_lists_of_names_are_cut():
    before, after = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))), nn.Identity()
    sentence = str(compare(before, after, (1, 4))).splitlines()[-1]
    assert sentence == (
        "Missing: 0.weight, 0.bias, 1.weight, 1.bias, 2.weight, 2.bias, and 2 more."
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda m: compare("vgg", m, AT_224),
            TypeError,
            "before must be a torch.nn.Module; got st",
        ),
        (
            lambda m: compare(m, None, AT_224),
            TypeError,
            "after must be a torch.nn.Module; got None",
        ),
        (
            lambda m: compare(m, m, 224),
            TypeError,
            "input_sizes must be a shape such as .* got 224",
        ),
        (lambda m: compare(m, m, []), TypeError, "input_sizes must be a shape such as"),
        (lambda m: compare(m, m, [AT_224, 400]), TypeError, "input_sizes must be a shape such as"),
        (lambda m: compare(m, m, (1, 3, 2.5)), TypeError, "is no integer"),
        (lambda m: compare(m, m, (1, 3, True)), TypeError, "is no integer"),
        (lambda m: compare(m, m, [(1, 3, 0, 8)]), ValueError, "all sizes at least 1; got"),
        (lambda m: compare(m, nn.LazyLinear(3), (1, 3)), ValueError, "'weight' has no shape yet"),
        (
            lambda m: compare(vgg("A", device="meta"), m, AT_224),
            ValueError,
            "before must hold numbers; its 'features.0.weight' is on the meta device",
        ),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call(nn.Identity())


# --- what a few random inputs do not show ----------------------------------------------------


def headed(activation: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), activation, nn.Flatten(), nn.Linear(2048, 10))


class Function(nn.Module):
    def __init__(self, function, model=None):
        super().__init__()
        self.function, self.model = function, model or nn.Identity()

    def forward(self, x):
        return self.function(self.model(x))


@pytest.mark.parametrize(
    "other",
    [
        nn.ReLU6(),
        Function(lambda x: x.clamp(-5, 5).relu()),
        Function(lambda x: (x / 255 if x.max() > 50 else x).relu()),
    ],
)
def test_what_larger_inputs_would_show_is_seen(other):
    result = compare(headed(nn.ReLU()), headed(other), (4, 3, 32, 32))
    assert result.verdict == "a different function"
    assert "they differ on inputs" in str(result)


def test_the_report_says_on_what_it_was_tried():
    text = str(compare(headed(nn.ReLU()), headed(nn.ReLU()), (4, 3, 32, 32)))
    assert "Both in eval mode, on 4 random inputs" in text
    assert "negative inputs" in text


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flatten(1).sum(1),
        lambda x: x.sum(),
        lambda x: x > 0,
        lambda x: x.flatten(1).sum(1, keepdim=True),
    ],
)
def test_outputs_of_any_form_are_compared(function):
    same = compare(Function(function), Function(function), (2, 3, 4, 4))
    assert same.verdict == "identical"
    assert str(same)
    other = compare(Function(function), Function(lambda x: function(-x)), (2, 3, 4, 4))
    assert other.verdict == "a different function"


def test_random_models_are_not_called_equal():
    noisy = Function(lambda x: x + 1e-3 * torch.randn_like(x))
    assert compare(noisy, nn.Identity(), (2, 8)).verdict == "a different function"
    result = compare(noisy, noisy, (2, 8))
    assert result.rows[0].draws == ("before", "after")
    assert "draws random numbers" in str(result)


@pytest.mark.parametrize("odd", [-math.inf, math.nan])
def test_the_finite_part_is_compared_where_the_rest_agrees(odd):
    mask = torch.arange(10) % 3 == 0
    model = headed(nn.ReLU())

    def masked(factor):
        return Function(lambda x: (x * factor).masked_fill(mask, odd), model)

    rounded = compare(masked(1.0), masked(1.0 + 1e-9), (4, 3, 32, 32))
    assert rounded.verdict in ("identical", "equal within rounding")
    assert compare(masked(1.0), masked(1.01), (4, 3, 32, 32)).verdict == "a different function"


def test_large_columns_do_not_hide_small_ones():
    scales = torch.tensor([5000.0] * 4 + [1e-3])
    wrong = torch.tensor([1.0] * 4 + [1.5])
    right = 1 + 1e-9 * torch.ones(5)
    before, after, same = (
        Function(lambda x, f=f: x * scales * f, nn.Linear(6, 5)) for f in (1.0, wrong, right)
    )
    after.model = same.model = before.model
    assert compare(before, after, (4, 6)).verdict == "a different function"
    assert compare(before, same, (4, 6)).verdict != "a different function"


def test_a_coarse_rounding_is_said():
    model = headed(nn.ReLU())
    coarse = Function(lambda x: (x + 1e6) - 1e6, model)
    text = str(compare(coarse, model, (4, 3, 32, 32)))
    assert "rounding alone changes the outputs" in text
