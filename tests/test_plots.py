import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from vgglab.plots import COLORS, HATCHES, use_style


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
