"""What interactive figures have in common: a table that makes way for a drawing.

The figure called ``name`` is a custom element, ``<vgglab-name>``. ``name.html`` holds its markup
and style, ``name.js`` its behaviour on top of ``element.js``. Readers without scripts see the
table.
"""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

CHART_STYLES = ("element.css", "chart.css")
"""Of a figure that is a form above its answer."""


def figure_html(
    name: str, data: dict[str, Any], table: str, styles: Sequence[str] = ("element.css",)
) -> str:
    """Return the element and its script, as HTML that needs nothing else.

    Parameters
    ----------
    name
        Of the files beside this one that make the figure, such as ``"error_form"``.
    data
        What the script shows, as ``this.data``.
    table
        HTML for readers without scripts.
    styles
        Files beside this one that come before the figure's own style.
    """
    tag = _tag(name)
    style = "".join(map(_resource, styles))
    # Within a script only "<" could end it.
    text = json.dumps(data, separators=(",", ":")).replace("<", r"\u003c")
    # Scripts of another type than JavaScript are plain text to a browser, and are dropped together
    # with the script by whoever shows a notebook's output without trusting it. The braces keep
    # names to the figure, which a page may show twice.
    return f"""\
<{tag} data-lm-suppress-shortcuts="true">
{table}
<script type="application/json">{text}</script>
<script type="text/html">
<style>
{style}</style>
{_resource(f"{name}.html")}</script>
</{tag}>
<script>
{{
{_resource("element.js")}
{_resource(f"{name}.js")}}}
</script>
"""


def fallback_table(figure: str, label: str, caption: str, head: Sequence[str], rows: str) -> str:
    """Return the table for readers without scripts, which scrolls by itself where it is too wide.

    Parameters
    ----------
    figure
        Name of the figure.
    label
        What a screen reader calls the scrolling region.
    caption
        HTML above the table.
    head
        Titles of the columns.
    rows
        HTML of the rows.
    """
    tag = _tag(figure)
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return f"""\
<style>
{tag} .vgglab-scroll {{ overflow-x: auto; }}
{tag} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
{tag} caption {{ text-align: start; }}
{tag} :is(th, td) {{ padding: .2em .4em; text-align: end; white-space: nowrap; }}
</style>
<div class="vgglab-scroll" role="region" tabindex="0" aria-label="{label}">
<table>
<caption>{caption}</caption>
<thead><tr>{titles}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""


def photograph() -> str:
    """Return the photograph of the figures, 224 pixels a side, as a data URL.

    A square of chelsea of scikit-image (CC0, Stefan van der Walt).
    """
    data = (files("vgglab.figures") / "cat.jpg").read_bytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _tag(figure: str) -> str:
    return f"vgglab-{figure.replace('_', '-')}"


def _resource(name: str) -> str:
    return (files("vgglab.figures") / name).read_text(encoding="utf-8")
