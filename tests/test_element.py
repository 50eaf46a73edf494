"""What all figures have in common: the element, its data, and the table in its place."""

import json
import re

import pytest
from pages import Page, assert_self_contained

from vgglab.figures.element import fallback_table, figure_html

TAGS = {
    "error_form": "vgglab-error-form",
    "explorer": "vgglab-explorer",
    "field_explorer": "vgglab-field-explorer",
    "prediction": "vgglab-prediction",
    "repair_chart": "vgglab-repair-chart",
    "scaling_chart": "vgglab-scaling-chart",
    "see": "vgglab-see",
    "stack": "vgglab-stack",
}
TABLE = "<table><tbody><tr><td>7</td></tr></tbody></table>"
DATA = {
    "ends": "</script><script>alert(1)</script>",
    "opens": "<!-- <script>",
    "text": 'ü × "7"\n\\u003c',
    "numbers": [1, 2.5, None, True],
}


@pytest.mark.parametrize(("name", "tag"), TAGS.items())
def test_the_element_is_named_for_its_files_and_its_script_defines_it(name, tag):
    html = figure_html(name, {}, TABLE)
    assert html.startswith(f"<{tag} ")
    assert re.findall(r'\.define\("([^"]*)"\)', html) == [tag]
    assert_self_contained(html)


@pytest.mark.parametrize("name", TAGS)
def test_no_data_can_end_a_script(name):
    html = figure_html(name, DATA, TABLE)
    scripts = re.findall(r"<script( type=[^>]*)?>(.*?)</script>", html, re.DOTALL)
    assert [kind.strip() for kind, _ in scripts] == [
        'type="application/json"',
        'type="text/html"',
        "",
    ]
    data = scripts[0][1]
    assert "<" not in data
    assert json.loads(data) == DATA


@pytest.mark.parametrize(("name", "tag"), TAGS.items())
def test_the_table_is_in_the_element_and_outside_all_scripts(name, tag):
    html = figure_html(name, DATA, TABLE)
    inside = html[html.index(">") + 1 : html.index(f"</{tag}>")]
    assert TABLE in re.sub(r"<script.*?</script>", "", inside, flags=re.DOTALL)


def test_names_of_a_figures_script_are_its_own():
    """A page may show two figures: what they declare must stand in braces."""
    script = figure_html("explorer", {}, TABLE).rpartition("<script>")[2]
    assert script.startswith("\n{\n")
    assert script.endswith("}\n</script>\n")


def test_the_fallback_table_holds_what_it_is_given_and_scrolls_by_itself():
    rows = '<tr><th scope="row">224</th><td>7</td></tr>'
    html = fallback_table("field_explorer", "Sides", "Sides of <b>maps</b>", ["in", "out"], rows)
    assert "<caption>Sides of <b>maps</b></caption>" in html
    assert '<thead><tr><th scope="col">in</th><th scope="col">out</th></tr></thead>' in html
    assert f"<tbody>\n{rows}\n</tbody>" in html
    page = Page()
    page.feed(html)
    assert page.open == []
    region = re.search(r'<div class="vgglab-scroll"([^>]*)>\n<table>', html)[1]
    assert {'role="region"', 'tabindex="0"', 'aria-label="Sides"'} <= set(region.split())


def test_the_style_of_a_fallback_table_touches_nothing_else_on_the_page():
    html = fallback_table("field_explorer", "Sides", "Sides", ["in"], "")
    style = re.search("<style>(.*)</style>", html, re.DOTALL)[1]
    selectors = [line.partition("{")[0].strip() for line in style.strip().splitlines()]
    assert selectors
    assert all(selector.startswith("vgglab-field-explorer ") for selector in selectors)
