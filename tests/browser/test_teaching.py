"""The slides, the pages for a phone and the sheets of exercises, as a class sees them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest
import teaching_tables as tables
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader
from sampling import sampled

from vgglab.course.exercises import CHAPTERS, load_exercises
from vgglab.diagnose import diagnose
from vgglab.models.network import vgg

from .conftest import MODES, Visit

pytestmark = pytest.mark.browser

DECK = "teaching/slides/shapes_to_the_head.html"
SLIDES = tables.load("slides")["slides"]
# What is seen: formulas once, not again as MathML for who listens, and no speaker's notes.
TEXT = """whole => {
  const copy = whole.cloneNode(true);
  const unseen = ".katex-mathml, .headerlink, script, style, .copybtn";
  copy.querySelectorAll(unseen).forEach(e => e.remove());
  return copy.textContent;
}"""
BLOCKS = "h2, p, pre, li, figcaption, .katex-display"


def plain(text: str) -> str:
    """Text without its blanks: where lines are broken is not the text."""
    return re.sub(r"\s+", "", text)


def words_of_chapter(page: Page) -> str:
    """What a chapter says, with what its figures are described by."""
    text = page.locator("article.bd-article").evaluate(TEXT)
    alts = page.locator("article.bd-article img").evaluate_all("all => all.map(i => i.alt)")
    return plain(text + "\n".join(alts))


# --- the slides -------------------------------------------------------------------------------


@pytest.fixture
def deck(visit: Visit) -> Page:
    page = visit(DECK)
    page.reload()
    expect(page.locator("section.present")).to_have_count(1)
    return page


def test_slides_have_no_text_that_the_chapter_does_not_have(visit: Visit) -> None:
    page = visit(DECK)
    said = {
        (section.get_attribute("id"), section.get_attribute("data-page")): [
            *section.locator(f":is({BLOCKS}):not(aside *)").evaluate_all(f"all => all.map({TEXT})"),
        ]
        for section in page.locator(".slides > section").all()
    }
    assert [id for id, _ in said] == [slide["id"] for slide in SLIDES]
    whole = plain(
        "".join(page.locator(".slides > section").evaluate_all(f"all => all.map({TEXT})"))
    )
    notes = plain("".join(page.locator("aside.notes").evaluate_all(f"all => all.map({TEXT})")))
    of_blocks = plain("".join(text for (id, _), texts in said.items() for text in texts))
    assert len(whole) - len(notes) == len(of_blocks)  # nothing stands outside of the blocks
    for (_, path), texts in said.items():
        chapter = words_of_chapter(visit(f"{path}.html"))
        assert len(texts) > 1
        assert [text for text in texts if plain(text) not in chapter] == []


def test_slides_are_turned_by_keyboard(deck: Page) -> None:
    for slide in SLIDES:
        expect(deck.locator(f"section#{slide['id']}")).to_be_visible()
        expect(deck).to_have_url(re.compile(f"#/{slide['id']}$"))
        deck.keyboard.press("ArrowRight")
    deck.keyboard.press("Home")
    expect(deck.locator(f"section#{SLIDES[0]['id']}")).to_be_visible()
    deck.keyboard.press("PageDown")
    expect(deck.locator(f"section#{SLIDES[1]['id']}")).to_be_visible()


def test_the_speaker_has_notes_in_a_window_of_their_own(deck: Page) -> None:
    with deck.expect_popup() as opened:
        deck.keyboard.press("s")
    notes = opened.value
    (first, *_) = tables.notes()[SLIDES[0]["id"]]
    expect(notes.locator(".speaker-controls-notes .value")).to_contain_text(first)
    notes.close()


@pytest.mark.parametrize("mode", MODES)
def test_every_slide_fits_and_is_read_alone(visit: Visit, mode: str) -> None:
    page = visit(DECK, mode)
    assert page.evaluate("document.documentElement.dataset.theme") == MODES[mode][2]
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    for figure in page.locator(".slides figure").all():
        alt = figure.locator("img").get_attribute("alt")
        assert alt == figure.locator("figcaption").text_content()
        assert len(alt or "") > 80
    formulas = page.locator(".slides .katex-display")
    wide = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
    assert formulas.evaluate_all(wide) == []
    if mode == "narrow":  # one below the other
        expect(page.locator(".reveal-viewport.reveal-scroll")).to_have_count(1)
        return
    for slide in SLIDES:
        page.evaluate("id => { location.hash = `/${id}` }", slide["id"])
        section = page.locator(f"section#{slide['id']}")
        expect(section).to_have_class(re.compile("present"))
        tall = section.evaluate(
            "e => Math.max(...[...e.children].filter(c => c.offsetParent)"
            ".map(c => c.offsetTop + c.offsetHeight))"
        )
        assert tall <= 720, slide["id"]


@pytest.mark.parametrize("way", ["", "?print-pdf"])
def test_slides_are_printed_whole(browser: Browser, base_url: str, way: str) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{base_url}{DECK}{way}")
    page.wait_for_function("Reveal.isReady()")
    if way:  # each slide on a sheet of its own
        expect(page.locator(".pdf-page")).to_have_count(len(SLIDES))
    printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    context.close()
    text = plain("".join(sheet.extract_text() for sheet in printed.pages))
    assert len(printed.pages) >= len(SLIDES)
    for slide in SLIDES:
        assert plain(slide["section"]) in text


# --- with a phone alone -------------------------------------------------------------------------


def links(site: Path) -> Iterator[tuple[str, str]]:
    """Yield the pages that the plan opens for a phone, each with its name."""
    html = (site / "teaching" / "ninety_minutes.html").read_text(encoding="utf-8")
    for name, (title, address) in tables.pages().items():
        found = re.findall(rf'<a href="([^"]+)">{re.escape(title)}</a>', html)
        assert {*map(unescape, found)} == {address}, name
        yield name, urljoin("teaching/", address)


def test_the_plans_pages_open_in_the_right_state(site: Path, visit: Visit) -> None:
    found = dict(links(site))
    asked = diagnose(vgg("D", head="fc-fixed", device="meta"), (1, 3, 400, 400))
    page = visit(found["failing"], "narrow")
    wrong = page.locator("vgglab-stack tr.wrong input")
    expect(wrong).to_have_value("Linear(25088,4096)")
    assert page.locator("vgglab-stack tr.wrong + tr").count() == 1  # it is the first of three
    for number in (asked.expected, asked.got):
        expect(page.locator("vgglab-stack #message")).to_contain_text(str(number))
    for side in ("224", "255"):
        expect(page.locator("vgglab-stack #fitting")).to_contain_text(side)
    for name, height in (("pooled", 400), ("sliding", 400), ("fresh", 400), ("rectangle", 300)):
        page = visit(found[name], "narrow")
        expect(page.locator("vgglab-stack input#height")).to_have_value(str(height))
        assert page.locator("vgglab-stack tr.wrong").count() == 0, name
    expect(page.locator("vgglab-stack #rows tr").last).to_contain_text("512 × 9 × 15")
    page = visit(found["fresh"], "narrow")
    page.locator("vgglab-stack input#height").fill("224")
    page.locator("vgglab-stack input#width").fill("224")
    expect(page.locator("vgglab-stack tr.wrong input")).to_have_value(re.compile("73728"))
    page = visit(found["message"], "narrow")
    expect(page.locator("vgglab-error-form #answer")).to_contain_text("512·10·10")
    for name in ("notebook", "explorer", "see"):
        page = visit(found[name], "narrow")
        assert page.locator("article h1").count() == 1
    expect(page.locator("vgglab-see #verdict")).not_to_be_empty(timeout=60_000)


@pytest.mark.parametrize("name", ["ninety_minutes", "day", "semester", "capstone"])
def test_every_link_of_a_plan_leads_somewhere(site: Path, name: str) -> None:
    html = (site / "teaching" / f"{name}.html").read_text(encoding="utf-8")
    article = html[html.index("<article") : html.index("</article>")]
    addresses = re.findall(r'href="((?!https?:|#)[^"]+)"', article)
    assert addresses
    for address in map(unescape, addresses):
        path, _, place = urljoin("teaching/", address).partition("#")
        page = (site / path).read_text(encoding="utf-8")
        if place and not path.startswith(("stack", "explain")):
            assert f'id="{place.removeprefix("/")}"' in page, address


# --- on paper ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_sheet_asks_every_exercise_and_answers_none(site: Path, chapter: str) -> None:
    html = (site / "teaching" / "sheets" / f"{chapter}.html").read_text(encoding="utf-8")
    article = html[html.index("<article") : html.index("</article>")]
    text = unescape(re.sub("<[^>]*>", "", article))
    ids = [id for id in load_exercises() if id.startswith(f"{chapter[:2]}-")]
    assert re.findall(r"^(\d\d-\d+) ", text, re.MULTILINE) == ids
    for id in ids:
        assert text.count(f'check("{id}", answer') == 1
    assert not re.search(r"solution|strict|✓|not attempted", text)


@pytest.mark.parametrize("path", sampled(["teaching/sheets/04_shape_mismatch.html"], 1))
def test_a_sheet_is_found_and_is_printed_without_the_site_around_it(
    visit: Visit, path: str
) -> None:
    page = visit("reference/exercises.html")
    address = path.removeprefix("teaching/sheets/")
    page.locator(f"main a[href$='{address}']").click()
    expect(page).to_have_url(re.compile(re.escape(path)))
    page.emulate_media(media="print")
    assert page.get_by_text("04-2 Features at fc6").is_visible()
    assert not page.locator(".bd-sidebar-primary").is_visible()
    page.emulate_media(media="screen")


@pytest.mark.parametrize("chapter", sampled([*CHAPTERS], 2))
def test_a_printed_sheet_says_what_it_is_and_tears_no_exercise(
    browser: Browser, base_url: str, chapter: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base_url}teaching/sheets/{chapter}.html")
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "10mm")
    printed = PdfReader(io.BytesIO(page.pdf(format="A4", margin=margin)))
    sides = [plain(side.extract_text()) for side in printed.pages]
    assert sides[0].startswith("Exercises:")
    for id in (id for id in load_exercises() if id.startswith(f"{chapter[:2]}-")):
        (side,) = (side for side in sides if f'check("{id}"' in side)
        assert re.search(rf"{id}[A-Z“]", side), id
    assert "Citethispage" not in "".join(sides)
    context.close()


def test_the_handout_is_a_sheet_to_keep_and_a_ticket(browser: Browser, base_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base_url}teaching/handout.html")
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "10mm")
    for paper in ("A4", "Letter"):
        printed = PdfReader(io.BytesIO(page.pdf(format=paper, margin=margin)))
        sheet, ticket = (plain(side.extract_text()) for side in printed.pages)
        assert "1x73728" in sheet
        assert "Ticket." not in sheet
        assert ticket.startswith("Ticket.")
        assert "Citethispage" not in ticket
    context.close()
