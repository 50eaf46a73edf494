"""What interactive figures have in common: a table that makes way for a drawing.

The figure called ``name`` is a custom element, ``<vgglab-name>``. ``name.html`` holds its markup
and style, ``name.js`` its behaviour on top of ``element.js``. Readers without scripts see the
table.
"""

import json
from importlib.resources import files
from typing import Any


def figure_html(name: str, data: dict[str, Any], table: str) -> str:
    """Return the element and its script, as HTML that needs nothing else.

    Parameters
    ----------
    name
        Of the files beside this one that make the figure, such as ``"error_form"``.
    data
        What the script shows, as ``this.data``.
    table
        HTML for readers without scripts.
    """
    tag = f"vgglab-{name.replace('_', '-')}"
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
{_resource(f"{name}.html")}</script>
</{tag}>
<script>
{{
{_resource("element.js")}
{_resource(f"{name}.js")}}}
</script>
"""


def _resource(name: str) -> str:
    return (files("vgglab.figures") / name).read_text(encoding="utf-8")
