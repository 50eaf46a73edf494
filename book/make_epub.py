"""Writes the book as an EPUB, from the same pages as the site.

    python book/make_epub.py OUTPUT

Sphinx's own builder makes the files. What is left to do here is what EPUB asks for besides: pages
that are XML, without scripts and forms; formulas as MathML alone; a list of what each page holds.
An interactive figure is the table that it has for readers without scripts.
"""

import re
import sys
import zipfile
from pathlib import Path
from posixpath import normpath, splitext
from tempfile import TemporaryDirectory
from typing import Any

from bs4 import BeautifulSoup, Tag
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx

from vgglab import __version__

BOOK = Path(__file__).resolve().parent
URL = "https://vgglab.github.io/vgglab/"  # links to what is not in the file lead there
OF_THE_SITE = {
    *("sphinx_togglebutton", "sphinx_copybutton", "sphinx_comments", "sphinx_book_theme"),
    *("sphinxext.opengraph", "sphinx_sitemap", "notfound.extension", "sphinx.ext.viewcode"),
    *("vgglab_about", "vgglab_light", "sphinx_jupyterbook_latex"),
}
"""Extensions that are about a site: its theme, buttons, addresses, search."""
SETTINGS_OF_THE_SITE = ("sitemap_", "ogp_", "notfound_", "comments_", "togglebutton_", "use_")
PAGES = ("explain", "stack", "see", "404")
"""Pages that are nothing without scripts."""
SLIDES = ("_static/reveal/reveal.css", "_static/slides.css")
"""The styles of pages that the site alone has."""
LEFT_OUT = ("script", "form", "button", "noscript", "fieldset", "input", "style")
LEFT_OUT_CLASSES = ".katex-html, summary .expanded"
# HTML may write them in any case, XML may not.
CASED = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}


def config() -> dict[str, Any]:
    """Return the configuration of the site without what an EPUB has no use for."""
    settings, _ = get_final_config(
        user_yaml=BOOK.parent / "_config.yml",
        sourcedir=BOOK,
        cli_config={"latex_individualpages": False},
    )
    found = {k: v for k, v in settings.items() if not k.startswith(SETTINGS_OF_THE_SITE)}
    found["extensions"] = [name for name in found["extensions"] if name not in OF_THE_SITE]
    return found | {
        "html_theme": "epub",
        "html_theme_options": {},
        "html_css_files": ["vgglab.css"],
        "html_js_files": [],
        "html_extra_path": [],
        "templates_path": [],
        "version": __version__,
        "epub_title": "VGG Lab",
        "epub_author": found["author"],
        "epub_publisher": found["author"],
        "epub_identifier": "vgglab",
        "epub_uid": "vgglab",
        "epub_show_urls": "no",
        "epub_exclude_files": [
            *(f"{name}.xhtml" for name in PAGES),
            *("_static/katex/katex.min.css", *SLIDES),
        ],
        "suppress_warnings": ["epub.unknown_project_files"],
    }


def as_xml(page: str, folder: str, names: set[str]) -> str:
    """Return a page as XHTML, without what a reader of EPUB cannot run.

    Parameters
    ----------
    page, folder
        Its text, and the folder in which it lies.
    names
        Of all files.
    """
    tree = BeautifulSoup(page, "html.parser")
    for element in [*tree(LEFT_OUT), *tree.select(LEFT_OUT_CLASSES)]:
        element.decompose()
    for element in tree(True):
        _mend(element)
    for link in tree("link", href=True):
        if normpath(f"{folder}/{link['href']}") not in names:
            link.decompose()
    for link in tree("a", href=True):
        link["href"] = _address(str(link["href"]), folder, names)
    return tree.decode(formatter="minimal")


def _address(href: str, folder: str, names: set[str]) -> str:
    """Return where a link leads: within the file, or to the site if it has no such page."""
    path, sign, anchor = href.partition("#")
    if not path or ":" in path:
        return href
    page = normpath(f"{folder}/{path}")
    if page in names:
        return href
    stem, ending = splitext(page)
    if f"{stem}.xhtml" in names:
        return f"{path.removesuffix(ending)}.xhtml{sign}{anchor}"
    return f"{URL}{stem}{'.html' if ending == '.xhtml' else ending}{sign}{anchor}"


def _mend(element: Tag) -> None:
    """Make of one element what EPUB knows."""
    if element.name.startswith("vgglab-"):
        element.name = "div"
    elif element.name == "details" and "above-input" not in element.get("class", []):
        element["open"] = "open"
    elif element.name == "svg":
        element["xmlns"] = "http://www.w3.org/2000/svg"
    elif element.name in ("p", "div") and element.find_parent("summary"):
        element.name = "span"
    elif element.name == "p" and element.find(["ul", "ol", "dl"], recursive=False):
        element.name = "div"  # docutils writes lists of results so
    element.attrs = {
        CASED.get(name, name): value
        for name, value in element.attrs.items()
        if not name.startswith(("on", "data-"))
    }


def listed(package: str, pages: dict[str, str]) -> str:
    """Return the package's list with what each page holds, as EPUB wants to know beforehand."""
    package = re.sub(r'<meta name="\w+" content="" ?/>', "", package)
    for name, page in pages.items():
        held = [word for word, tag in (("mathml", "<math"), ("svg", "<svg")) if tag in page]
        if held:
            package = package.replace(
                f'href="{name}"', f'href="{name}" properties="{" ".join(held)}"', 1
            )
    return package


def rewrite(written: Path, output: Path) -> int:
    """Write what Sphinx has written once more, as EPUB asks for; return the number of pages."""
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(output, "w") as target:
        names = {item.filename for item in source.infolist()}
        pages = {
            name: as_xml(source.read(name).decode(), str(Path(name).parent), names)
            for name in sorted(names)
            if name.endswith(".xhtml") and name != "nav.xhtml"
        }
        for item in source.infolist():
            data: str | bytes = pages.get(item.filename, source.read(item))
            if item.filename == "content.opf":
                data = listed(source.read(item).decode(), pages)
            target.writestr(item, data)
    return len(pages)


def main(output: str) -> None:
    """Write the EPUB."""
    with TemporaryDirectory() as folder:
        made = Path(folder, "epub")
        app = Sphinx(
            srcdir=BOOK,
            confdir=None,
            outdir=made,
            doctreedir=Path(folder, "doctrees"),
            buildername="epub",
            confoverrides=config(),
            status=None,
            freshenv=True,
        )
        app.build()
        (written,) = made.glob("*.epub")
        count = rewrite(written, Path(output))
    print(f"{output}: {count} pages")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
