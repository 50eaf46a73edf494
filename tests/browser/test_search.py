"""What readers type into the search, and the page that they should find near the top."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sampling import sampled

from .conftest import MODES, Visit, faults

pytestmark = pytest.mark.browser

# In words that readers use, a message whose numbers are in no chapter among them.
ASKED = [
    ("25088", "04_shape_mismatch"),
    ("73728", "04_shape_mismatch"),
    ("25088 features", "04_shape_mismatch"),
    ("average pooling necessary", "06_fc_to_conv"),
    ("400x400", "04_shape_mismatch"),
    ("400×400", "04_shape_mismatch"),
    ("mat1 and mat2", "04_shape_mismatch"),
    ("receptive field", "02_receptive_field"),
    ("LRN", "03_normalization"),
    ("adaptive_avg_pool2d", "05_adaptive_pooling"),
    (
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)",
        "04_shape_mismatch",
    ),
    ("mat1 and mat2 shapes cannot be multiplied (37x9216 and 4711x10)", "04_shape_mismatch"),
    ("102,760,448 weights", "06_fc_to_conv"),
    ("why flatten", "07_gap_vs_flatten"),
    ("batchnormalization", "03_normalization"),
    ("fc to convolution", "06_fc_to_conv"),
    ("grad-cam", "07_gap_vs_flatten"),
    ("onnx", "05_adaptive_pooling"),
    ("dilation", "glossary"),
    ("conv_output_size", "04_shape_mismatch"),
    ("138357544", "01_vgg_design"),
    ("keras vgg include_top", "explain"),
    # No page has all of these words.
    ("how to calculate in_features", "04_shape_mismatch"),
    ("DDP two gpus slower", "10_scaling_out"),
    ("heatmap cam", "07_gap_vs_flatten"),
    ("how many pixels does a neuron see", "02_receptive_field"),
]


def found_pages(page: Page) -> list[str]:
    """Return the pages that the search found, best first."""
    page.wait_for_selector("#search-results .search-summary:not(:empty)")
    page.wait_for_function(
        "document.querySelector('.search-summary').textContent.match(/found|match/)"
    )
    links = page.eval_on_selector_all(
        "#search-results li a", "links => links.map(a => a.pathname.split('/').pop())"
    )
    return list(dict.fromkeys(name.removesuffix(".html") for name in links))


def ask(page: Page, query: str) -> list[str]:
    page.fill("#search-results ~ form input, .bd-search-container input[name=q]", query)
    page.keyboard.press("Enter")
    page.wait_for_load_state("load")
    return found_pages(page)


@pytest.mark.sampled
@pytest.mark.parametrize(("query", "wanted"), sampled(ASKED, 6))
def test_a_query_finds_its_page(visit: Visit, query: str, wanted: str) -> None:
    assert wanted in ask(visit("search.html"), query)[:4]


@pytest.mark.sampled
@pytest.mark.parametrize(("query", "wanted"), sampled(ASKED, 1))
def test_search_works_without_a_server(
    site: Path, tabs: dict[str, Page], query: str, wanted: str
) -> None:
    page = tabs["light"]
    page.goto((site / "search.html").as_uri())
    assert wanted in ask(page, query)[:4]


@pytest.mark.parametrize("mode", MODES)
def test_words_that_were_searched_can_be_read(visit: Visit, mode: str) -> None:
    page = visit("stack.html", mode)
    page.evaluate("localStorage.setItem('sphinx_highlight_terms', 'fully connected image')")
    page.reload()
    expect(page.locator("main span.highlighted").first).to_be_visible()
    assert faults(page) == []


def test_only_the_page_of_search_loads_the_index(site: Path) -> None:
    loading = [p.name for p in site.rglob("*.html") if "searchindex.js" in p.read_text("utf-8")]
    assert loading == ["search.html"]
