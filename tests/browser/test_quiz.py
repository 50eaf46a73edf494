"""The quizzes of the built chapters, answered by keyboard."""

from __future__ import annotations

import pytest

import vgglab
from vgglab.exercises import QUIZZES

from .conftest import MODES, SITE, Visit

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", QUIZZES)
def test_each_option_shows_its_own_reason(visit: Visit, name: str, mode: str) -> None:
    (chapter,) = (SITE / "notebooks").glob(f"{name[:2]}_*.html")
    page = visit(f"notebooks/{chapter.name}", mode)
    quiz = vgglab.quiz(name)
    reasons = page.locator(".vgglab-quiz .vgglab-option p")
    assert [r.is_visible() for r in reasons.all()] == [False] * len(quiz.options)
    page.locator(".vgglab-quiz input").first.focus()
    page.keyboard.press("Space")
    for chosen, option in enumerate(quiz.options):
        shown = [r.is_visible() for r in reasons.all()]
        assert shown == [number == chosen for number in range(len(quiz.options))]
        verdict = "Yes." if option.right else "No."
        assert reasons.nth(chosen).inner_text() == f"{verdict} {option.why}"
        page.keyboard.press("ArrowDown")
