"""Makes the built site light: without what no page of it uses, and with little to wait for."""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path

import imagesize
import rjsmin
import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

FONTS = "vendor/fontawesome/webfonts"
# Selectors that ask about an element in brackets, such as :not(.a), are true without a class .a.
# Names, punctuation and blanks: half of the marks in a chapter.
PLAIN = re.compile(r'<span class="[npw]">([^<]*)</span>')
ASIDE = re.compile(r":[\w-]+\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\]")
CLASS = re.compile(r"\.((?:[\w-]|\\.)+)")
SCRIPT = re.compile(r"(<script>\s*)(.*?)(\s*</script>)", re.DOTALL)
TEMPLATE = re.compile(r'<script type="text/html">.*?</script>', re.DOTALL)
INDENT = re.compile(r"\n\s+")
PADDING = re.compile(r"(?<=<t[dh]>) +| +(?=</t[dh]>)|(?<=right;\">) +")
CELL = re.compile(r"<td[^>]*>[^<]+")
UNBROKEN = re.compile(r" (?=[%×])|(?<=[×≈±]) |(?<=\d,) (?=[-+−\d])")
PRINTED = re.compile(
    r'(<div class="output (?:stream|text_plain)[^"]*)'
    r'("[^>]*><div class="highlight"><pre>)(?=(.*?)</pre>)',
    re.DOTALL,
)
COLUMNS = re.compile(r"\S {2}|[-=_]{4}|[─│┌]")
PICTURE = re.compile(r'<img (?![^>]*\bwidth=)(?=[^>]*src="([^"]*_images/[^"]+)")')
STYLE = re.compile(r'<link (?=[^>]*rel="stylesheet")[^>]*href="([^"?]*_static/[^"?]+)[^>]*>\s*')
IMPORT = re.compile(r"""@import (?:url\()?["']([^"']+)["']\)?;""")
ADDRESS = re.compile(r"""url\((["']?)(?![\w-]+:|#)([^"')]+)\1\)""")
OLD_FONT = re.compile(r',\s*url\([^)]*\.ttf\)\s*format\("truetype"\)')


def light_scripts(html: str) -> str:
    """Return HTML whose scripts are without comments and blanks, each of them once.

    A figure's script defines its element, which a page needs to be told but once.
    """
    told: set[str] = set()

    def light(found: re.Match[str]) -> str:
        if found[2] in told:
            return ""
        told.add(found[2])
        return found[1] + rjsmin.jsmin(found[2]) + found[3]

    return SCRIPT.sub(light, TEMPLATE.sub(lambda found: INDENT.sub("\n", found[0]), html))


def light_tables(html: str) -> str:
    """Return HTML whose cells are without the blanks that align them in its source."""
    return PADDING.sub("", html)


def phone_ready(html: str) -> str:
    """Return HTML whose outputs know where a line may end on a phone.

    A number stays with its unit and an interval is whole. What is printed without columns gets a
    class, for its lines may be broken anywhere; columns would no longer stand below each other.
    """
    html = CELL.sub(lambda found: UNBROKEN.sub("\N{NO-BREAK SPACE}", found[0]), html)
    return PRINTED.sub(
        lambda found: (
            found[0] if COLUMNS.search(found[3]) else f"{found[1]} vgglab-prose{found[2]}"
        ),
        html,
    )


def words_of(site: Path) -> set[str]:
    """Return every word of the pages and scripts: no class has another name."""
    files = [*site.rglob("*.html"), *site.rglob("*.js")]
    return {word for f in files for word in re.findall(r"[\w-]+", f.read_text("utf-8"))}


def used_rules(css: str, words: set[str]) -> str:
    """Return a style sheet without the rules that can match nothing.

    Parameters
    ----------
    css : str
        A style sheet.
    words : set of str
        All words among which the classes of the pages are.

    Returns
    -------
    str
        The same rules in the same order, without selectors one of whose classes is no word, and
        without comments.
    """
    return _used(tinycss2.parse_stylesheet(css, True, True), words)


def _used(rules: list[tinycss2.ast.Node], words: set[str]) -> str:
    kept = []
    for rule in rules:
        if rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inside = _used(tinycss2.parse_rule_list(rule.content, True, True), words)
            if inside:
                prelude = tinycss2.serialize(rule.prelude)
                kept.append(f"@{rule.at_keyword}{prelude}{{{inside}}}")
        elif rule.type == "qualified-rule":
            selectors = tinycss2.serialize(rule.prelude)
            matching = [s for s in _split(selectors) if _can_match(s, words)]
            if matching:
                kept.append(f"{','.join(matching)}{{{tinycss2.serialize(rule.content)}}}")
        else:
            kept.append(rule.serialize())
    return "".join(kept)


def _split(selectors: str) -> list[str]:
    """Split a list of selectors at the commas that stand in no brackets."""
    parts, depth = [""], 0
    for sign in selectors:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _can_match(selector: str, words: set[str]) -> bool:
    classes = CLASS.findall(ASIDE.sub("", selector))
    return all(word in words for name in classes for word in re.findall(r"[\w-]+", name))


def _keep_icons(font: Path, icons: set[str]) -> None:
    """Leave a font with some of its icons."""
    with TTFont(font) as drawn:
        chosen = subset.Subsetter()
        chosen.populate(text="".join(sorted(icons)))
        chosen.subset(drawn)
        drawn.flavor = "woff2"
        drawn.save(font)


def _empty_icon_script(static: Path) -> None:
    """Empty the theme's 1.5 MB icon script: its web fonts draw the same icons."""
    script = static / "scripts" / "fontawesome.js"
    if script.exists():
        script.write_text("// The icons come from the web fonts.\n", encoding="utf-8")


def plain_code(html: str) -> str:
    """Return a page without the marks of code that has the colour of all code."""
    return PLAIN.sub(r"\1", html)


def with_sizes(html: str, page: Path) -> str:
    """Return a page that says how large its pictures are, so that no text moves as they come."""

    def sized(found: re.Match[str]) -> str:
        width, height = imagesize.get(page.parent / found[1])
        return f'<img width="{width}" height="{height}" ' if width > 0 else found[0]

    return PICTURE.sub(sized, html)


def one_style(files: list[Path], static: Path) -> str:
    """Return style sheets as one that lies in the folder ``static``, with what they import."""
    parts = []
    for file in files:

        def moved(found: re.Match[str], folder: Path = file.parent) -> str:
            target = (folder / found[2]).as_posix()
            return f'url("{posixpath.relpath(target, static.as_posix())}")'

        css = file.read_text("utf-8").replace('@charset "UTF-8";', "")
        # Every other part is the address of an import.
        for place, part in enumerate(IMPORT.split(css)):
            imported = place % 2 == 1
            parts.append(
                one_style([file.parent / part], static) if imported else ADDRESS.sub(moved, part)
            )
    return "\n".join(parts)


def with_one_style(html: str, page: Path, static: Path) -> str:
    """Return a page that asks for one style sheet, which is written, instead of a dozen."""
    first = STYLE.search(html)
    if first is None:
        return html
    addresses = dict.fromkeys(STYLE.findall(html))
    css = one_style([page.parent / address for address in addresses], static)
    name = f"all.{hashlib.sha256(css.encode()).hexdigest()[:12]}.css"
    (static / name).write_text(css, encoding="utf-8")
    link = f'<link rel="stylesheet" href="{posixpath.relpath(static, page.parent)}/{name}">\n'
    return html[: first.start()] + link + STYLE.sub("", html[first.start() :])


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Take out of the written site what it does not use."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    static = site / "_static"
    _empty_icon_script(static)
    words = words_of(site)
    signs: set[str] = set()
    for style in static.rglob("*.css"):
        css = OLD_FONT.sub("", used_rules(style.read_text("utf-8"), words))
        style.write_text(css, encoding="utf-8")
        signs |= set(css)
    for script in {*static.glob("*.js")} - {*static.glob("*.min.js")}:
        script.write_text(rjsmin.jsmin(script.read_text("utf-8")), encoding="utf-8")
    for page in site.rglob("*.html"):
        html = plain_code(page.read_text("utf-8"))
        if page.is_relative_to(site / "notebooks") or page.name == "index.html":
            html = with_sizes(html, page)
        # The page of what is not there has addresses of the whole site.
        if not page.is_relative_to(static) and page.name != "404.html":
            html = with_one_style(html, page, static)
        page.write_text(html, encoding="utf-8")
    for font in static.glob(f"{FONTS}/*.woff2"):
        _keep_icons(font, signs)
    for useless in (*static.glob(f"{FONTS}/*.ttf"), *static.rglob("*.map")):
        useless.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    # After the theme, which writes the colours of code then.
    app.connect("build-finished", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
