"""Prints the built book into one PDF, with an outline of its pages.

    python book/make_pdf.py OUTPUT [PAGE ...]

Chromium prints each page as it does for a reader, with the styles that the site has for paper, and
pypdf joins them. Tools and the reference of the package stay on the site, where links lead.
"""

import io
import shutil
import sys
from pathlib import Path

import yaml
from playwright.sync_api import Route, sync_playwright
from pypdf import PdfReader, PdfWriter

BOOK = Path(__file__).resolve().parent
SITE = BOOK.parent / "_build" / "html"
URL = "https://vgglab.github.io/vgglab/"  # links in the file lead there
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LEFT_OUT = ("Tools", "The package")
FOOTER = (
    '<div style="font-size: 8px; width: 100%; text-align: center">'
    '<span class="title"></span>, <span class="pageNumber"></span></div>'
)


def chapters() -> list[str]:
    """Return the pages in the order of the contents."""
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    parts = [part for part in contents["parts"] if part["caption"] not in LEFT_OUT]
    return [contents["root"], *(page["file"] for part in parts for page in part["chapters"])]


def answer(route: Route) -> None:
    """Answer from the folder that was built, and nothing from elsewhere."""
    path = SITE / route.request.url.removeprefix(URL).partition("?")[0]
    if route.request.url.startswith(URL) and path.is_file():
        route.fulfill(path=path)
    else:
        route.abort()


def main(output: str, *pages: str) -> None:
    """Print the pages, by default all of the book."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        sys.exit(f"make pdf needs a browser: install one of {', '.join(BROWSERS)}")
    if not SITE.is_dir():
        sys.exit("the book is not built: run `make book`")
    whole = PdfWriter()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path)
        page = browser.new_page(reduced_motion="reduce")
        page.route("**/*", answer)
        for name in pages or chapters():
            page.goto(f"{URL}{name}.html", wait_until="load")
            printed = page.pdf(
                format="A4",
                scale=0.8,
                margin=dict.fromkeys(("top", "bottom", "left", "right"), "15mm"),
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                tagged=True,
            )
            title = page.inner_text("h1").removesuffix("#")
            whole.append(PdfReader(io.BytesIO(printed)), outline_item=title)
        browser.close()
    whole.add_metadata({"/Title": "VGG Lab"})
    whole.write(output)
    print(f"{output}: {len(whole.pages)} pages")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main(*sys.argv[1:])
