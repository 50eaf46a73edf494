import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from vgglab.plots import COLORS, HATCHES, draw_bins, use_style


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
