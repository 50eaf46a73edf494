import json
import re
from itertools import pairwise

import pytest
from fields_of_vgg import fields, names
from pages import assert_self_contained

from vgglab.figures.field_explorer import SIDE, field_explorer
from vgglab.models.configs import CONFIGS


@pytest.fixture(scope="module")
def data():
    return field_explorer("D").data()


def shown_box(axis, i, j, clipped):
    """The box that the figure shows, from its data."""
    size, stride, padding, first, last = axis
    if clipped:
        return (first[i], first[j], last[i] + 1, last[j] + 1)
    top, left = (k * stride - padding for k in (i, j))
    return (top, left, top + size, left + size)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_box_is_that_of_the_network(data, config):
    shown = data["configs"][config]
    for index, (name, layer_fields) in enumerate(fields(config).items(), start=1):
        assert shown["maps"][index][0] == name
        assert len(shown["seen"][index]) == len(layer_fields) == index
        side = shown["maps"][index][3]
        for place, field in zip(shown["seen"][index], layer_fields, strict=True):
            assert field.exactness == "exact"
            assert field.map_size == (side, side)
            axis = data["axes"][place]
            assert axis[:3] == [field.size[0], field.stride[0], field.padding[0]]
            assert len(axis[3]) == len(axis[4]) == side
            for i in range(side):  # each row with another column
                j = (7 * i + 3) % side
                for clipped in (True, False):
                    assert shown_box(axis, i, j, clipped) == field.box(i, j, clipped=clipped)


@pytest.mark.parametrize("config", CONFIGS)
def test_boxes_follow_from_the_windows(data, config):
    # Without a receptive field: from each cell window by window back, through what is there.
    shown = data["configs"][config]
    maps = shown["maps"]
    for layer in range(1, len(maps)):
        for cell in {0, 1, maps[layer][3] // 2, maps[layer][3] - 1} & set(range(maps[layer][3])):
            seen = {cell}
            for before in reversed(range(layer)):
                name, kernel, stride, _ = maps[before + 1]
                padding = kernel // 2 if name.startswith("conv") else 0
                reads = {k * stride - padding + tap for k in seen for tap in range(kernel)}
                seen = reads & set(range(maps[before][3]))
                _, _, _, first, last = data["axes"][shown["seen"][layer][before]]
                assert (first[cell], last[cell]) == (min(seen), max(seen))


def test_known_fields(data):
    shown = data["configs"]["D"]
    by_name = {
        row[0]: data["axes"][seen[0]][:3]
        for row, seen in zip(shown["maps"][1:], shown["seen"][1:], strict=True)
    }
    assert by_name["conv5_3"] == [196, 16, 90]
    assert by_name["pool5"] == [212, 32, 90]
    assert by_name["fc6"] == [404, 32, 90]


@pytest.mark.parametrize("config", CONFIGS)
def test_what_the_drawing_takes_for_granted(data, config):
    shown = data["configs"][config]
    for (name, kernel, stride, side), seen in zip(
        shown["maps"][1:], shown["seen"][1:], strict=True
    ):
        # A convolution adds to the field, a pooling multiplies it.
        assert stride in (1, kernel)
        sizes = [*(data["axes"][place][0] for place in seen), 1]
        for (read, given), (_, k, s, _) in zip(pairwise(sizes), shown["maps"][1:], strict=False):
            assert read == (given + k - 1 if s == 1 else given * s)
        size, image_stride, padding, first, last = data["axes"][seen[0]]
        # Maps cover the image, whose edges are as far from the first cell as from the last.
        if name != "fc6":
            assert side * image_stride == shown["maps"][0][3] == SIDE
        assert (side - 1) * image_stride - padding + size - SIDE == padding
        assert all(a <= b for a, b in zip(first, last, strict=True))  # no cell sees padding only


def test_start_is_in_every_config(data):
    name, row, column = data["start"]
    assert all(name in names(config) for config in CONFIGS)
    assert 0 <= row < 1
    assert 0 <= column < 1


@pytest.mark.parametrize("config", CONFIGS)
def test_html_is_small_and_always_the_same(config):
    html = field_explorer(config)._repr_html_()
    assert html == field_explorer(config)._repr_html_()
    assert len(html.encode()) < 130_000
    assert json.loads(json.dumps(field_explorer(config).data()))["config"] == config


def test_html_is_self_contained():
    assert_self_contained(field_explorer("D")._repr_html_())


def test_table_for_readers_without_scripts():
    html = field_explorer("D")._repr_html_()
    table = html[html.index("<table>") : html.index("</table>")]
    assert "<caption>Config D (vgg16)" in table
    rows = [
        re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in re.findall(r"<tr>.*?</tr>", table, re.S)
    ]
    assert [row[0] for row in rows[1:]] == names("D")
    for name, size, field, stride, padding, cell, seen in rows[1:]:
        of_image = fields("D")[name][0]
        middle = of_image.map_size[0] // 2
        box = of_image.box(middle, middle)
        assert size == "{} × {}".format(*of_image.map_size)
        assert field == "{} × {}".format(*of_image.size)
        assert [int(stride), int(padding)] == [of_image.stride[0], of_image.padding[0]]
        assert cell == f"({middle}, {middle})"
        assert seen == f"{box.top}–{box.bottom - 1}" == f"{box.left}–{box.right - 1}"
    assert table.count('scope="row"') == len(rows) - 1
    assert table.count('scope="col"') == len(rows[0])


def test_text():
    assert repr(field_explorer("E")).startswith("field_explorer('E'): receptive fields at 224 ×")


@pytest.mark.parametrize("config", ["F", "vgg16", None, 16])
def test_unknown_config(config):
    with pytest.raises(ValueError, match="config must be one of A, A-LRN, B, C, D, E; got"):
        field_explorer(config)
