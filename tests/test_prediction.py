"""Predictions in pages and cells; tests/browser/test_prediction.py makes some."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from pages import BOOK, assert_self_contained

from vgglab import predict

QUESTIONS = {"7 is <prime>": ..., "9 is prime": True}
FOUND = {"7 is <prime>": True, "9 is prime": False}


def data(html):
    return json.loads(re.search('<script type="application/json">(.*?)</script>', html, re.S)[1])


def test_who_says_nothing_is_told_nothing():
    said = predict("00-test", dict.fromkeys(QUESTIONS, ...))
    assert repr(said) == ""
    assert "you said" not in str(said.compare(FOUND))
    assert list(data(said._repr_html_())["questions"].values()) == [None, None]


def test_what_is_said_in_the_cell_is_kept():
    said = predict("00-test", QUESTIONS)
    assert said["9 is prime"] is True
    assert repr(said) == "you said: {'9 is prime': True}"
    assert str(said.compare(FOUND)).endswith("9 is prime: False (you said True)")
    shown = data(said.compare(FOUND)._repr_html_())
    assert shown["questions"] == {"7 is <prime>": None, "9 is prime": "True"}
    assert shown["found"] == {"7 is <prime>": "True", "9 is prime": "False"}
    assert shown["choices"] == ["True", "False"]


@pytest.mark.parametrize(
    ("of", "value", "exact"), [(bool, True, True), (bool, "holds", False), (float, 1.5, False)]
)
def test_only_what_can_be_right_is_marked(of, value, exact):
    shown = data(predict("00-test", {"what": ...}, of).compare({"what": value})._repr_html_())
    assert shown["exact"] is exact


def test_other_questions_are_refused():
    with pytest.raises(ValueError, match=r"found must answer \['7 is <prime>', '9 is prime'\]"):
        predict("00-test", QUESTIONS).compare({"7 is <prime>": True})


def test_without_scripts_the_questions_and_the_answers_are_there():
    said = predict("00-test", QUESTIONS)
    for html in (said._repr_html_(), said.compare(FOUND)._repr_html_()):
        assert_self_contained(html)
        outside = re.sub("<script.*?</script>", "", html, flags=re.S)
        assert "7 is &lt;prime&gt;" in outside
    assert "<td>False</td>" in outside


def test_every_prediction_of_a_chapter_has_a_name_of_its_own():
    names = []
    for path in sorted(Path(BOOK, "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            found = re.findall(r'predict\("([^"]*)"', cell.source)
            assert all(name.startswith(path.name[:2]) for name in found)
            names += found
    assert len(names) == len({*names}) > 5
