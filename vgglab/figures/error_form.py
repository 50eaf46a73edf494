"""A form to paste an error message into, which a reader's browser answers by the rules."""

from collections.abc import Mapping, Sequence
from html import escape

from vgglab.explain.interpreter import read_rules
from vgglab.figures.element import figure_html


def error_form(chapters: Mapping[str, Sequence[Mapping[str, str]]] | None = None) -> str:
    """Return a form to paste an error into, as HTML that needs nothing else.

    A reader's browser runs the same rules; nothing is sent anywhere. Readers without scripts see a
    table of the kinds of causes.

    Parameters
    ----------
    chapters
        What explains each kind of cause, as ``title`` and ``address``. None: nothing is linked.
    """
    rules = read_rules()
    data = {**rules, "chapters": chapters or {}}
    return f"""\
<div class="vgglab-figure">
{figure_html("error_form", data, _table(rules["kinds"]))}\
</div>
"""


def _table(kinds: Mapping[str, Mapping[str, str]]) -> str:
    """Return the kinds of causes for readers without scripts."""
    rows = "\n".join(
        f'<tr><th scope="row"><code>{kind}</code></th><td>{escape(about["title"])}</td>'
        f"<td><code>{escape(about['example'])}</code></td></tr>"
        for kind, about in kinds.items()
    )
    return f"""\
<p>This form needs scripts. Without them, run <code>vgglab explain "the message"</code>.</p>
<div class="vgglab-scroll" role="region" tabindex="0" aria-label="Kinds of causes">
<table>
<caption>What an error about shapes can mean</caption>
<thead><tr><th scope="col">kind</th><th scope="col">what is wrong</th>
<th scope="col">a message of that kind</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""
