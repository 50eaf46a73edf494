"""The quizzes of the built chapters, answered by keyboard."""

from __future__ import annotations

import pytest
from sampling import sampled

import vgglab
from vgglab.course.exercises import load_quizzes

from .conftest import MODES, SITE, Visit

pytestmark = pytest.mark.browser


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
@pytest.mark.parametrize("chapter", sorted({name[:2] for name in load_quizzes()}))
def test_each_option_shows_its_own_reason(visit: Visit, chapter: str, mode: str) -> None:
    (path,) = (SITE / "notebooks").glob(f"{chapter}_*.html")
    page = visit(f"notebooks/{path.name}", mode)
    shown_quizzes = page.locator(".vgglab-quiz")
    names = [name for name in load_quizzes() if name.startswith(chapter)]
    assert shown_quizzes.count() == len(names)
    for name in names:
        quiz = vgglab.quiz(name)
        shown_quiz = shown_quizzes.filter(has=page.locator(f"[name='vgglab-quiz-{name}']"))
        reasons = shown_quiz.locator(".vgglab-option p")
        assert [r.is_visible() for r in reasons.all()] == [False] * len(quiz.options)
        shown_quiz.locator("input").first.focus()
        page.keyboard.press("Space")
        for chosen, option in enumerate(quiz.options):
            shown = [r.is_visible() for r in reasons.all()]
            assert shown == [number == chosen for number in range(len(quiz.options))]
            verdict = "Yes." if option.right else "No."
            assert reasons.nth(chosen).inner_text() == f"{verdict} {option.why}"
            page.keyboard.press("ArrowDown")
