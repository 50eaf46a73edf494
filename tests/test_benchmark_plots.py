"""The figures of the benchmark: what they draw is what they are given."""

from __future__ import annotations

import pytest
from matplotlib import pyplot as plt

from vgglab.figures.benchmark_plots import draw_memory, draw_roofline, draw_shares, stage_of
from vgglab.lab.benchmark.measurements import LayersMeasurement
from vgglab.lab.memory import Memory


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_shares_are_those_of_the_stages_and_fill_the_bar():
    rows = {
        "work": {"conv1_1": 1.0, "conv1_2": 5.0, "fc6": 2.0, "fc7": 0.0, "fc8": 0.0},
        "time": {"conv1_1": 30.0, "conv1_2": 0.0, "fc6": 60.0, "fc7": 10.0, "fc8": 0.0},
    }
    ax = draw_shares(rows)
    assert [stage_of(name) for name in rows["work"]] == ["conv1", "conv1", "fc6", "fc7", "fc8"]
    widths = [[bar.get_width() for bar in part] for part in ax.containers]
    wanted = [[75, 30], [25, 60], [0, 10], [0, 0]]
    assert widths == [pytest.approx(part) for part in wanted]
    assert {text.get_text() for text in ax.texts} == {"75%", "30%", "25%", "60%", "10%", ""}


def test_a_bar_of_memory_is_as_long_as_its_total():
    bars = {"one": Memory(1, 2, 3, 4, 5), "two": Memory(2**30, 0, 0, 2**30, 0)}
    ax = draw_memory(bars)
    ends = [
        max(part[row].get_x() + part[row].get_width() for part in ax.containers) for row in (0, 1)
    ]
    assert ends == pytest.approx([bar.total / 2**30 for bar in bars.values()])
    assert ends[1] == pytest.approx(2)


def test_layers_lie_where_their_work_bytes_and_time_put_them():
    layer = {"seconds": [2.0], "mult_adds": 4 * 10**9, "moved_bytes": 10**9, "least_bytes": 1}
    roofs = {"float32": 8e9, "copy": 1e9}
    measured = LayersMeasurement(
        {"precision": "float32"},
        {
            "batch_size": 1,
            "layers": {
                "conv1_1": layer,
                "fc6": {**layer, "moved_bytes": 10**10},
                "whole": {**layer, "moved_bytes": 1},
            },
            "copied_bytes": 1,
            "tolerance": 1.0,
            "roofs": roofs,
        },
    )
    _, ax = plt.subplots()
    draw_roofline(measured, ax)
    roof, *dots = ax.lines
    assert [(x.get_xdata()[0], x.get_ydata()[0]) for x in dots] == [(4.0, 2.0), (0.4, 2.0)]
    for x, y in zip(*roof.get_data(), strict=True):
        assert y == pytest.approx(min(8, x))  # 10⁹ a second
    assert {text.get_text() for text in ax.texts} == {"conv1_1", "fc6"}


@pytest.mark.parametrize(("draw", "name"), [(draw_shares, "rows"), (draw_memory, "bars")])
def test_nothing_to_draw_is_said(draw, name):
    with pytest.raises(ValueError, match=f"{name} must be at least one; got none"):
        draw({})
