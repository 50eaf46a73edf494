"""A quiz shows itself: every option with its own reason, and without scripts."""

import re
from html.parser import HTMLParser

from vgglab.course.quizzes import Option, Quiz

QUIZ = Quiz(
    id="00-predict",
    question="Is 7 < 12 & 12 > 7?",
    options=(
        Option("Yes, <b>", "7 is less than 12, <i>", right=True),
        Option("No", "Count & see."),
        Option("It depends", "It does not."),
    ),
    difficulty=1,
)


class Options(HTMLParser):
    """Collects the attributes of the inputs, and the text of each option."""

    def __init__(self):
        super().__init__()
        self.inputs, self.texts, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if ("class", "vgglab-option") in attrs:
            self.texts.append("")
        if tag == "input":
            self.inputs.append(dict(attrs))

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data


def test_as_text_it_asks_and_gives_no_reason_away():
    assert str(QUIZ) == repr(QUIZ) == "Is 7 < 12 & 12 > 7?\na) Yes, <b>\nb) No\nc) It depends"


def test_each_option_has_a_button_and_its_reason():
    page = Options()
    page.feed(QUIZ._repr_html_())
    assert [re.sub(r"\s+", " ", text).strip() for text in page.texts] == [
        "Yes, <b>Yes. 7 is less than 12, <i>",
        "NoNo. Count & see.",
        "It dependsNo. It does not.",
    ]
    # One group, so one choice; and the arrow keys stay in it.
    expected = {
        "type": "radio",
        "name": "vgglab-quiz-00-predict",
        "data-lm-suppress-shortcuts": "true",
    }
    assert page.inputs == [expected] * 3
    assert "script" not in page.tags


def test_html_is_escaped():
    html = QUIZ._repr_html_()
    assert "<legend>Is 7 &lt; 12 &amp; 12 &gt; 7?</legend>" in html
    assert "<b>" not in html
    assert "<i>" not in html


def test_a_reason_is_hidden_until_its_option_is_chosen():
    style = re.search("<style>(.*)</style>", QUIZ._repr_html_(), re.DOTALL)[1]
    assert ".vgglab-option p { display: none;" in style
    assert ".vgglab-option:has(input:checked) p { display: block; }" in style
