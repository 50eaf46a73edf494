import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from timed_record import timed

from vgglab.figures.plots import (
    COLORS,
    HATCHES,
    draw_activations,
    draw_bins,
    draw_effective,
    draw_intervals,
    draw_time_ratios,
    use_style,
)
from vgglab.lab.activations import Activation
from vgglab.lab.experiments.reading import recorded
from vgglab.receptive_field import Box
from vgglab.receptive_field.effective import EffectiveField


def test_style_is_opaque_and_uses_the_colours():
    with mpl.rc_context():
        use_style()
        assert mpl.rcParams["figure.facecolor"] == mpl.rcParams["savefig.facecolor"] == "white"
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS)


def luminance(color):
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("color", COLORS)
def test_lines_stand_out_from_the_background(color):
    # WCAG 2.2 asks for 3:1 of graphics; the two light colours are for filled areas with an edge.
    contrast = 1.05 / (luminance(color) + 0.05)
    assert contrast >= (2 if color in ("#E69F00", "#56B4E9", "#CC79A7") else 3)


def test_as_many_hatches_as_colours():
    assert len(set(HATCHES)) == len(HATCHES) == len(COLORS)


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def drawn(axes):
    """The cells as (pixel, bin): is it hatched; and the weights under the columns."""
    cells = {
        (round(cell.get_x() + 0.5), round(cell.get_y() + 0.5)): bool(cell.get_hatch())
        for cell in axes.patches
    }
    return cells, [text.get_text() for text in axes.texts]


def test_overlapping_bins_are_hatched(axes):
    assert draw_bins(3, 2, axes) is axes
    cells, weights = drawn(axes)
    assert cells == {(0, 0): False, (1, 0): True, (1, 1): True, (2, 1): False}
    assert weights == [".5", "1", ".5"]


def test_tiling_bins_are_not_hatched(axes):
    cells, weights = drawn(draw_bins(14, 7, axes))
    assert cells == {(pixel, pixel // 2): False for pixel in range(14)}
    assert weights == [".5"] * 14


def test_bins_make_their_own_figure():
    axes = draw_bins(6, 7)
    try:
        assert all(drawn(axes)[0].values())
        assert axes.get_title() == "Adaptive pooling, 6 → 7"
    finally:
        plt.close(axes.figure)


def test_no_figure_is_left_open_by_bad_sizes():
    before = plt.get_fignums()
    with pytest.raises(ValueError, match="output_size must be at least 1; got 0"):
        draw_bins(6, 0)
    assert plt.get_fignums() == before


def activation(path, std=1.0, gradient=None, counts=(1, 3), near_zero=0.5, decades=(-1, 1)):
    return Activation(path, "ReLU", 0.0, std, near_zero, counts, decades, gradient)


def test_a_column_for_each_layer(axes):
    rows = [activation("a"), activation("b.c", counts=(0, 8), near_zero=0.2)]
    assert draw_activations(rows, axes) is axes
    shares = np.ma.filled(axes.collections[0].get_array(), 0)
    np.testing.assert_allclose(shares, [[0.125, 0], [0.375, 0.8]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b.c"]
    assert [text.get_text() for text in axes.texts] == ["50%", "20%"]


def test_lines_are_at_their_powers_of_ten_and_stay_on_the_scale(axes):
    rows = [activation("a", 10.0, 0.1), activation("b", 0.0, 1.0), activation("c", 1.0, 1e9)]
    draw_activations(rows, axes)
    deviation, gradient = (line.get_ydata() for line in axes.lines)
    np.testing.assert_allclose(deviation, [1, np.nan, 0])
    np.testing.assert_allclose(gradient, [-1, 0, np.nan])


def test_no_line_of_gradients_without_a_loss(axes):
    draw_activations([activation("a")], axes)
    assert [line.get_label() for line in axes.lines] == ["standard deviation"]


def test_a_silent_network_is_drawn(axes):
    draw_activations([activation("a", 0.0, counts=(0, 0), near_zero=1.0)], axes)
    assert not axes.lines
    assert axes.collections[0].get_array().mask.all()


def test_activations_make_their_own_figure():
    axes = draw_activations([activation("a")])
    plt.close(axes.figure)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "statistics must have at least one layer; got none"),
        ([activation("a"), activation("b", decades=(-2, 1))], "must have the same bins"),
        ([activation("a"), activation("b", counts=(1,))], "must have the same bins"),
    ],
)
def test_no_figure_is_left_open_by_bad_statistics(rows, message):
    before = plt.get_fignums()
    with pytest.raises(ValueError, match=message):
        draw_activations(rows)
    assert plt.get_fignums() == before


def effective(layer, box):
    magnitude = torch.zeros(20, 30, dtype=torch.float64)
    magnitude[box.top : box.bottom, box.left : box.right] = 1
    return EffectiveField(layer, (0, 0), magnitude, box)


def test_effective_fields_are_framed_and_named():
    boxes = [Box(5, 5, 8, 8), Box(2, 3, 12, 20)]
    drawn = [effective(f"layer{k}", box) for k, box in enumerate(boxes)]
    _, axes = plt.subplots(1, 2)
    draw_effective(drawn, axes)
    for ax, field, box in zip(axes, drawn, boxes, strict=True):
        assert ax.get_title() == field.path
        assert ax.get_xlabel() == "100% counts"
        (frame,) = ax.patches
        assert frame.get_xy() == (box.left - 0.5, box.top - 0.5)
        assert (frame.get_width(), frame.get_height()) == (
            box.right - box.left,
            box.bottom - box.top,
        )
        (image,) = ax.images
        assert image.get_array()[box.top, box.left] == 1
    plt.close("all")


def test_effective_fields_need_as_many_axes():
    with pytest.raises(ValueError, match="fields must be at least one"):
        draw_effective([])
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="axes must be as many as fields, 2; got 1"):
        draw_effective([effective("a", Box(0, 0, 1, 1))] * 2, [ax])
    plt.close("all")


def test_intervals_show_each_seed_the_mean_and_guessing():
    samples = {"one": [0.2, 0.4, 0.9], "other": [0.5, 0.5]}
    ax = draw_intervals(samples, chance=0.1, xlabel="accuracy")
    assert [label.get_text() for label in ax.get_yticklabels()] == list(samples)
    drawn = [list(line.get_xdata()) for line in ax.lines]
    for values in samples.values():
        assert values in drawn
        assert any(x == pytest.approx([np.mean(values)]) for x in drawn)
    assert [0.1, 0.1] in drawn
    assert ax.get_xlabel() == "accuracy"
    plt.close(ax.figure)


def test_one_number_has_no_interval():
    with pytest.raises(ValueError, match="samples must be at least 2"):
        draw_intervals({"one": [0.5]})
    plt.close("all")


def test_times_are_drawn_beside_what_mult_adds_say(tmp_path):
    record = recorded(timed(tmp_path), "gpu")
    ax = draw_time_ratios([record])
    names = ["gpu, images 1", "gpu, images 8"]
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    drawn = [x for line in ax.lines for x in line.get_xdata()]
    for images in (1, 8):
        found = record.time_ratio("crops", "dense", images=images)
        assert all(any(x == pytest.approx(y) for x in drawn) for y in (found.mean, found.low))
    assert drawn.count(10) == 2  # of the mult-adds
    assert drawn.count(1) >= 2  # the first arm, again
    (legend,) = ax.figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["as the mult-adds say", "dense again", "crops"]
    plt.close(ax.figure)


def test_no_records_make_no_figure():
    before = plt.get_fignums()
    with pytest.raises(ValueError, match="records must be at least one"):
        draw_time_ratios([])
    assert plt.get_fignums() == before
