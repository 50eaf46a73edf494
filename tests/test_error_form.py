"""The form to paste an error into; tests/browser/test_explain.py uses it."""

import gzip
import json
import re
import subprocess
import sys
from html import escape

from pages import assert_self_contained

from vgglab.explain.interpreter import read_rules
from vgglab.figures.error_form import error_form

RULES = read_rules()


def test_form_is_self_contained():
    html = error_form()
    assert len(gzip.compress(html.encode())) < 46_000
    assert_self_contained(html)


def test_form_carries_the_rules_and_a_table():
    html = error_form()
    data = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1]
    assert json.loads(data) == {**RULES, "chapters": {}}
    table = html[html.index("<table>") : html.index("</table>")]
    assert re.findall(r'scope="row"><code>([\w-]+)', table) == list(RULES["kinds"])
    for about in RULES["kinds"].values():
        assert f"<td>{escape(about['title'])}</td>" in table
        assert f"<code>{escape(about['example'])}</code>" in table


def test_needs_no_torch():
    code = (
        "import sys; from vgglab.figures.error_form import error_form; error_form(); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
