"""The chart of a step: what it is made of, and what readers without scripts see."""

from __future__ import annotations

import re

import pytest
from pages import assert_self_contained

from vgglab.figures.scaling_chart import HEADS, Choice, scaling_chart
from vgglab.lab.scaling import LINKS

CHART = scaling_chart()


def test_the_figure_needs_nothing_else_and_has_a_table_of_all_heads_and_links():
    html = CHART._repr_html_()
    assert_self_contained(html)
    body = re.search("<tbody>(.*?)</tbody>", html, re.S)[1]
    rows = re.findall('<th scope="row">([^<]*)</th><td>([^<]*)</td>', body)
    assert rows == [(title, link) for title in HEADS.values() for link in LINKS]


def test_buckets_hold_everything_and_end_with_all_of_the_work():
    for head in CHART.data()["heads"]:
        layers = CHART.layers[head["name"]]
        assert sum(size for size, _ in head["buckets"]) == sum(layer.nbytes for layer in layers)
        shares = [share for _, share in head["buckets"]]
        assert shares == sorted(shares)
        assert shares[-1] == 1


@pytest.mark.parametrize("link", LINKS)
def test_few_bytes_never_wait_longer(link):
    waits = [CHART.step(Choice(head, link)).exposed for head in ("gap", "spp", "fc")]
    assert waits == sorted(waits)
    assert CHART.step(Choice("fc", link, devices=1)).exposed == 0
    assert CHART.step(Choice("fc", link, batch=4096)).exposed < waits[-1] + 1e-9
