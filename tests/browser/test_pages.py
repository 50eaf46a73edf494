"""Every page of the built book, as its readers see it."""

from __future__ import annotations

import gzip
import posixpath
import re
import subprocess
import sys
import zipfile
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page
from pypdf import PdfReader
from sampling import WIDE, sampled

from .conftest import MODES, ROOT, SITE, THEME_RULES, Visit

pytestmark = pytest.mark.browser

# Without preload, or axe itself asks for style sheets, at wrong addresses.
AXE = {"resultTypes": ["violations"], "preload": False}
# Contrast, the slowest rule, depends on the colours, and no other does; no colour on the width.
RULES_BY_MODE = {
    "light": {},
    "dark": {"runOnly": ["color-contrast"]},
    "narrow": {"rules": {"color-contrast": {"enabled": False}}},
}
# A listing, a formula, an entry of the reference or a list of links is hundreds of words in a few
# colours. Of those that look alike, with all that is around them in it, axe measures the contrast
# of the first; but a text without two letters in a row it never blames, so those are apart.
MEASURE_ALIKE_ONCE = """() => {
  const looks = new Map();
  const look = (element, whole) => {
    if (element === whole) return "";
    if (!looks.has(element)) {
      const s = getComputedStyle(element);
      looks.set(element, [
        s.color, s.backgroundColor, s.backgroundImage, s.opacity, s.fontSize, s.fontWeight,
        s.textShadow, s.filter, s.mixBlendMode, s.position, s.display, s.visibility,
      ].join() + "/" + look(element.parentElement, whole));
    }
    return looks.get(element);
  };
  for (const whole of document.querySelectorAll("pre, .katex-html, dl.py, nav")) {
    const seen = new Set();
    for (const word of whole.querySelectorAll("*")) {
      if (word.getClientRects().length === 0) continue;
      const text = [...word.childNodes].map(node => node.nodeValue ?? " ").join("");
      const key = /\\w\\w/.test(text) + "/" + look(word, whole);
      word.toggleAttribute("data-alike", seen.has(key));
      seen.add(key);
    }
  }
  axe.configure({ rules: [{ id: "color-contrast", selector: "*:not([data-alike])" }] });
}"""
# A reference has hundreds of entries, each like the others, of which a sample looks at a few.
ENTRIES = "dl.py:not(dl.py dl.py)"
KEEP_SOME = """([entries, keep]) => document.querySelectorAll(entries).forEach(
  (entry, place) => keep.includes(place) || entry.remove()
)"""
# The elements that stick out on the right.
WIDER = """[...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
  .map(e => e.tagName + "." + e.className).slice(0, 20)"""
LOADING_RELS = {"stylesheet", "preload", "modulepreload", "icon", "manifest", "prefetch"}


class Loads(HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and LOADING_RELS & set(values.get("rel", "").split()):
            self.urls.append(values.get("href", ""))
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"}:
            self.urls.append(values.get("src", ""))


def pages() -> list[str]:
    """Return the pages of the built book; none if it is not built."""
    return sorted(
        path.relative_to(SITE).as_posix()
        for path in SITE.rglob("*.html")
        if "_static" not in path.relative_to(SITE).parts
    )


def looks() -> list[tuple[str, str]]:
    """Return each page with the modes in which it is opened: all, or in a sample one of them."""
    modes, turns = sampled(MODES, 1), [*MODES]
    return [
        (path, mode)
        for number, path in enumerate(pages())
        # The listings of the package's source are all alike: each has its turn in one mode.
        for mode in ([turns[number % 3]] if path.startswith("_modules/") else modes)
    ]


def audited() -> list[tuple[str, str]]:
    """Return what axe looks at: all, or in a sample the first page, a chapter, a reference."""
    kinds = ("index.html", "notebooks/", "reference/")
    chosen = [p for kind in kinds for p in sampled(filter(re.compile(kind).match, pages()), 1)]
    return [(path, mode) for path, mode in looks() if WIDE or path in chosen]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask what is built when the tests are collected; if nothing is, `site` says so."""
    found = {"page_path": pages, "look": looks, "audit": audited}
    for name in found.keys() & metafunc.fixturenames:
        cases = found[name]() or ["nothing"]
        ids = ["-".join([case] if isinstance(case, str) else case) for case in cases]
        metafunc.parametrize(name, cases, ids=ids)


def test_page_names_nothing_from_elsewhere(site: Path, page_path: str) -> None:
    parser = Loads()
    parser.feed((site / page_path).read_text(encoding="utf-8"))
    assert [url for url in parser.urls if re.match(r"(https?:)?//", url)] == []


def test_styles_name_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.css"):
        css = path.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", css), path


def test_icon_script_is_empty(site: Path) -> None:
    assert (site / "_static" / "scripts" / "fontawesome.js").stat().st_size < 100


def violations(page: Page, mode: str) -> list[str]:
    """What axe finds wrong in a page."""
    page.evaluate(Axe().axe_script)
    page.evaluate(MEASURE_ALIKE_ONCE)
    options = AXE | RULES_BY_MODE[mode]
    return [
        f"{v['id']}: {v['help']}: {node['target']} {node['html'][:200]}"
        for v in page.evaluate("options => axe.run(options)", options)["violations"]
        if v["id"] not in THEME_RULES
        for node in v["nodes"]
    ]


def test_page(visit: Visit, look: tuple[str, str]) -> None:
    path, mode = look
    page = visit(path, mode)
    width, _, scheme = MODES[mode]
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.locator(".katex-error").count() == 0

    # Without an alternative text, Sphinx writes the name of the file.
    alts = page.eval_on_selector_all("img", "images => images.map(image => image.alt)")
    assert [alt for alt in alts if not alt.strip() or re.search(r"\.(png|svg|jpe?g)$", alt)] == []

    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.evaluate(WIDER)


@pytest.mark.sampled
def test_nothing_is_in_a_readers_way(visit: Visit, audit: tuple[str, str]) -> None:
    path, mode = audit
    page = visit(path, mode)
    keep = sampled(range(page.locator(ENTRIES).count()), 10)
    page.evaluate(KEEP_SOME, [ENTRIES, keep])
    assert violations(page, mode) == []


PALE = [
    ("notebooks/03_normalization.html", "pre .mi"),
    ("notebooks/03_normalization.html", ".katex-html .text > *"),
    ("reference/laboratory.html", ".sig-param .n > .pre"),
    ("reference/laboratory.html", ".nav-item .pre"),
]


@pytest.mark.sampled
@pytest.mark.parametrize(("path", "word"), sampled(PALE, 1))
def test_one_pale_word_among_many_is_found(visit: Visit, path: str, word: str) -> None:
    page = visit(path, "dark")
    page.evaluate(
        """word => {
          const long = e => e.checkVisibility() && /\\w\\w/.test(e.textContent);
          const words = [...document.querySelectorAll(word)].filter(long);
          const pale = words[Math.floor(words.length / 2)];
          pale.style.color = "#444";
          pale.id = "pale";
        }""",
        word,
    )
    assert ["#pale" in line for line in violations(page, "dark")] == [True]


@pytest.mark.parametrize("path", [p for p in pages() if p.startswith("notebooks/")])
def test_a_chapter_is_light(site: Path, browser: Browser, base_url: str, path: str) -> None:
    """A first visit, without its own pictures: 700 kB, and 250 kB as a server compresses it."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(base_url + path, wait_until="networkidle")
    names = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    context.close()
    inside = {name.removeprefix(base_url).split("?")[0] for name in names}
    files = [site / name for name in {path, *inside} if not name.startswith("_images/")]
    read = [file.read_bytes() for file in files]
    assert any(file.suffix == ".css" for file in files)
    assert sum(map(len, read)) <= 700_000, sorted(
        (len(b), f) for b, f in zip(read, files, strict=True)
    )
    assert sum(len(gzip.compress(data)) for data in read) <= 250_000


@pytest.mark.parametrize("path", [p for p in pages() if re.match("index|notebooks/", p)])
def test_pictures_keep_their_place_while_they_come(visit: Visit, path: str) -> None:
    page = visit(path)
    assert page.locator("main img[src*='_images/']:not([width][height])").count() == 0
    distorted = """all => all.filter(e => e.clientHeight && Math.abs(
      e.clientWidth / e.clientHeight - e.getAttribute("width") / e.getAttribute("height")) > 0.05
    ).map(e => e.alt)"""
    assert page.locator(".cell_output img[width]").evaluate_all(distorted) == []


def test_paper_is_light_and_its_solutions_are_open(visit: Visit) -> None:
    page = visit("notebooks/04_shape_mismatch.html", "dark")
    closed = page.locator("main details:not([open])").count()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.get_by_text("def solution_04_2", exact=False).first.is_visible()
    assert not page.locator(".tag_hide-input summary").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("main details:not([open])").count() == closed > 0


@pytest.mark.parametrize("path", [p for p in pages() if p.startswith("notebooks/")])
def test_in_the_dark_no_output_lies_on_a_light_box(visit: Visit, path: str) -> None:
    boxes = visit(path, "dark").locator(".cell_output .text_html")
    assert boxes.count() > 0
    behind = boxes.evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert {*behind} == {"rgba(0, 0, 0, 0)"}


@pytest.mark.wide
def test_the_pdf_has_what_the_pages_have_and_links_to_the_site(site: Path, tmp_path: Path) -> None:
    output = tmp_path / "book.pdf"
    names = ["notebooks/00_start_here", "notebooks/08_repair_shop"]
    subprocess.run([sys.executable, ROOT / "book" / "make_pdf.py", output, *names], check=True)
    printed = PdfReader(output)
    titles = [item.title for item in printed.outline if not isinstance(item, list)]
    assert len(titles) == len(names)
    text = " ".join(" ".join(page.extract_text() for page in printed.pages).split())
    for name, title in zip(names, titles, strict=True):
        headings = re.findall("<h2>(.*?)<a", (site / f"{name}.html").read_text(encoding="utf-8"))
        assert headings
        for heading in (title, *headings):
            assert unescape(re.sub("<.*?>", "", heading)) in text
    assert not re.search(r":::|```|\{(glue|cite|ref|doc)", text)
    links = {
        str(note.get_object()["/A"]["/URI"])
        for page in printed.pages
        for note in page.get("/Annots", [])
        if "/URI" in note.get_object().get("/A", {})
    }
    assert {link.partition(":")[0] for link in links} <= {"https", "mailto"}
    assert any(link.startswith("https://vgglab.github.io/vgglab/notebooks/") for link in links)


@pytest.mark.wide
def test_the_epub_is_xml_with_its_pictures_and_without_scripts(tmp_path: Path) -> None:
    output = tmp_path / "book.epub"
    subprocess.run([sys.executable, ROOT / "book" / "make_epub.py", output], check=True)
    with zipfile.ZipFile(output) as book:
        names = set(book.namelist())
        texts = {n: book.read(n).decode() for n in names if n.endswith(".xhtml")}
    chapters = {Path(path).stem for path in pages() if path.startswith("notebooks/")}
    assert chapters <= {Path(name).stem for name in texts}
    for name, text in texts.items():
        tree = ElementTree.fromstring(text)
        tags = [element.tag.rpartition("}")[2] for element in tree.iter()]
        assert not {"script", "form", "style"} & set(tags), name
        assert not any(tag.startswith("vgglab-") for tag in tags), name
        for image in re.findall(r'<img [^>]*src="(?!data:)([^"]+)"', text):
            assert posixpath.normpath(f"{Path(name).parent}/{image}") in names
        for link in re.findall(r'<a [^>]*href="(?!\w+:|#)([^"#]+)', text):
            assert posixpath.normpath(f"{Path(name).parent}/{link}") in names, f"{name}: {link}"
        assert not re.search(r":::|\{(glue|cite|doc)\}", "".join(tree.itertext())), name


TO_LOOK_AT = "figure, .vgglab-figure, main .cell_output img, vgglab-explorer, vgglab-error-form"


@pytest.mark.parametrize("mode", ["light", "narrow"])
@pytest.mark.parametrize(
    "path",
    [
        p
        for p in pages()
        # Not what is for paper or for a projector.
        if re.match(r"notebooks/|teaching/(?!handout|sheets|slides)|reference/teaching", p)
        or p in ("index.html", "explain.html", "stack.html", "see.html")
    ],
)
def test_the_first_screen_has_something_to_look_at(visit: Visit, path: str, mode: str) -> None:
    page = visit(path, mode)
    tops = page.locator(TO_LOOK_AT).evaluate_all(
        "found => found.map(e => e.getBoundingClientRect()).filter(r => r.width).map(r => r.top)"
    )
    assert min(tops) < 0.9 * MODES[mode][1]


CODE = """() => {
  const main = document.querySelector("article.bd-article");
  const height = node => node.checkVisibility() ? node.getBoundingClientRect().height : 0;
  const cells = [...main.querySelectorAll(".cell_input")].map(height);
  return cells.reduce((sum, cell) => sum + cell, 0) / height(main);
}"""


@pytest.mark.parametrize("path", [p for p in pages() if p.startswith("notebooks/")])
def test_at_most_a_quarter_of_a_chapter_is_code(visit: Visit, path: str) -> None:
    assert 0 < visit(path).evaluate(CODE) <= 0.25


# From the title to the exercises, which are something to do: the screens between what is to be
# looked at or touched, and where the longest stretch begins.
WITHOUT_A_PICTURE = """look => {
  const main = document.querySelector("article.bd-article");
  const end = document.querySelector("#exercises")?.getBoundingClientRect().top
    ?? main.getBoundingClientRect().bottom;
  const seen = [...main.querySelectorAll(look)].filter(e => e.checkVisibility())
    .map(e => e.getBoundingClientRect()).filter(r => r.height > 40 && r.top < end)
    .sort((a, b) => a.top - b.top);
  let at = main.getBoundingClientRect().top;
  let longest = [0, at];
  for (const { top, bottom } of [...seen, { top: end, bottom: end }]) {
    if (top - at > longest[0]) longest = [top - at, at];
    at = Math.max(at, bottom);
  }
  const above = [...main.querySelectorAll("h1, h2, h3")]
    .filter(h => h.getBoundingClientRect().top <= longest[1]).at(-1);
  return [longest[0] / innerHeight, above?.textContent];
}"""


@pytest.mark.parametrize("path", [p for p in pages() if p.startswith("notebooks/")])
def test_two_screens_of_a_chapter_have_something_to_look_at(visit: Visit, path: str) -> None:
    look = f"{TO_LOOK_AT}, table, .vgglab-quiz, vgglab-prediction"
    screens, below = visit(path).evaluate(WITHOUT_A_PICTURE, look)
    assert screens <= 2, below


@pytest.mark.parametrize("path", [p for p in pages() if p.startswith("notebooks/")])
def test_on_a_phone_what_is_printed_without_columns_needs_no_scrolling(
    visit: Visit, path: str
) -> None:
    wide = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    printed = visit(path, "narrow").locator(".vgglab-prose pre:visible")
    assert printed.evaluate_all(wide) == []


NUMBER_OF_PICTURE = """all => all.map(picture =>
  picture.closest("figure")?.querySelector("figcaption .caption-number")?.textContent ?? picture.alt
)"""


@pytest.mark.parametrize("path", [p for p in pages() if p.startswith("notebooks/")])
def test_each_plot_has_a_caption_and_a_number(visit: Visit, path: str) -> None:
    page = visit(path)
    found = page.locator(".cell_output img[src*='_images/']").evaluate_all(NUMBER_OF_PICTURE)
    chapter = re.match(r"notebooks/0?([1-9]\d*)_", path)
    start = f"Figure {chapter[1]}." if chapter else "Figure "
    places = [int(number.strip().removeprefix(start)) for number in found]
    assert places == list(range(places[0], places[0] + len(places)))
    assert places[0] == 1 or not chapter
    assert page.locator(".cell_output .caption-number").count() == len(found)


def test_a_page_says_where_its_text_is_and_how_to_cite_it(site: Path) -> None:
    root = Path(__file__).parents[2]
    for name in ("index.html", "stack.html", "notebooks/06_fc_to_conv.html", "reference/api.html"):
        html = (site / name).read_text(encoding="utf-8")
        (foot,) = re.findall(r'<footer class="vgglab-about">.*?</footer>', html, re.DOTALL)
        (source,) = re.findall(r"/edit/main/([^\"]+)\"", foot)
        assert (root / source).exists()
        assert f"url = {{https://vgglab.github.io/vgglab/{name}}}" in foot
        described = re.findall(
            r'<meta (?:name|property)="(?:og:)?description" content="(.*?)"', html
        )
        assert len(described) == 2
        assert not any(words.startswith("Reading the text") for words in described)
    assert "_modules" not in (site / "sitemap.xml").read_text(encoding="utf-8")


def test_a_page_that_is_not_there_helps(site: Path) -> None:
    html = (site / "404.html").read_text(encoding="utf-8")
    main = html[html.index("<article") : html.index("</article>")]
    assert 'action="/vgglab/search.html"' in main
    links = re.findall(r'href="/vgglab/([^"#]+)"', main)
    assert {"explain.html", "stack.html", "index.html"} <= {*links}
    assert all((site / link).exists() for link in links)


def test_programs_find_every_page_and_the_schema(site: Path) -> None:
    root = Path(__file__).parents[2]
    text = (site / "llms.txt").read_text(encoding="utf-8")
    toc = (root / "book" / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"- file: (\S+)", toc)
    linked = re.findall(r"\]\(https://vgglab\.github\.io/vgglab/(\S+?)\)", text)
    assert [page.removesuffix(".html") for page in linked[:-1]] == listed
    assert all((site / page).exists() for page in linked)
    assert text.startswith("# VGG Lab\n\n> ")
    schema = (root / "book" / "output.schema.json").read_bytes()
    assert (site / linked[-1]).read_bytes() == schema


LAUNCHES = {
    "colab.research.google.com": r"/github/vgglab/vgglab/blob/main/([^\"]+)",
    "mybinder.org": r"/v2/gh/vgglab/vgglab/main\?urlpath=lab/tree/([^\"]+)",
}


def test_launch_buttons_lead_to_files_that_are_committed(site: Path) -> None:
    """On the branch that they name, once this one is merged into it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("git knows no files here")
    committed = set(listed.stdout.splitlines())
    for page in site.rglob("notebooks/*.html"):
        html = unescape(page.read_text(encoding="utf-8"))
        for host, path in LAUNCHES.items():
            found = re.findall(rf'href="https://{re.escape(host)}{path}"', html)
            assert set(found) == {f"book/notebooks/{page.stem}.ipynb"}
            assert set(found) <= committed
    assert "environment.yml" in committed


def reported(page: Page, inside: str) -> dict[str, list[str]]:
    """Follow the link to the form in a part of the page; return what it fills in."""
    page.evaluate("addEventListener('click', event => event.preventDefault())")
    (link,) = page.locator(f'{inside} a[href*="template=page.yml"]').all()
    link.evaluate("link => link.click()")
    return parse_qs(urlsplit(link.get_attribute("href") or "").query)


def stand_still_at(page: Page, place: Locator) -> None:
    """Scroll to a place of the page, and read for as long as counts."""
    place.evaluate("element => element.scrollIntoView()")
    page.evaluate("dispatchEvent(new Event('scroll'))")  # the browser's own comes later
    page.clock.run_for(4000)


@pytest.mark.parametrize("inside", [".article-header-buttons", "footer.vgglab-about"])
def test_a_report_names_the_section_that_was_read(visit: Visit, inside: str) -> None:
    page = visit("notebooks/06_fc_to_conv.html")
    page.clock.install()
    page.reload()
    read = page.locator("article h2").nth(1)
    stand_still_at(page, read)
    if inside.startswith("footer"):
        stand_still_at(page, page.locator(inside))
    query = reported(page, inside)
    assert query["page"] == ["notebooks/06_fc_to_conv"]
    assert query["section"] == [read.inner_text().rstrip("#").strip()]
    assert query["version"]


def test_a_report_of_a_page_that_was_not_read_names_the_section_in_view(visit: Visit) -> None:
    page = visit("notebooks/06_fc_to_conv.html")
    page.locator("footer.vgglab-about").scroll_into_view_if_needed()
    query = reported(page, "footer.vgglab-about")
    assert query["section"] == [
        page.locator("article :is(h2, h3)").last.inner_text().rstrip("#").strip()
    ]
