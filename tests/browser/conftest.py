"""A server for the built book, under its published prefix, and a browser that looks at it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from make_pdf import BROWSERS
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "_build" / "html"
PREFIX = "/vgglab/"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# How a reader sees a page: the size of the window and the colour scheme of the system.
MODES = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "narrow": (390, 844, "light")}

# A page that leaves its colours to the browser; `%s` stands for a figure.
BARE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A figure</title>
<meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark; font-family: sans-serif }</style></head>
<body><main><h1>A figure</h1>
%s
</main></body></html>"""
# The theme's own: an icon's label, and text outside of landmarks.
THEME_RULES = {"label-content-name-mismatch", "region"}

Visit = Callable[..., Page]


@contextmanager
def from_file(context: BrowserContext, path: Path) -> Iterator[Page]:
    """Open a page from its file: it may ask for what lies beside it, and has an empty console."""
    own = (path.parent.as_uri(), "data:", "blob:")
    problems: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: r.url.startswith(own) or problems.append(r.url))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert problems == []


def faults(page: Page, but: Collection[str] = THEME_RULES) -> list[tuple[str, str]]:
    """What axe finds wrong with a page, but for some rules: by default those that the theme breaks.

    A bare page has none to be left out: ``but=()``.
    """
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False})
    return [
        (violation["id"], node["html"])
        for violation in found.response["violations"]
        if violation["id"] not in but
        for node in violation["nodes"]
    ]


def unavailable(reason: str) -> None:
    """Skip, or fail where a browser is required, as in CI."""
    if os.environ.get("VGGLAB_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Handler(SimpleHTTPRequestHandler):
    """Serves the site under `PREFIX`, and nothing else."""

    def translate_path(self, path: str) -> str:
        inside = path.startswith(PREFIX)
        return super().translate_path(path.removeprefix(PREFIX[:-1]) if inside else "/not-there")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.fail("the book is not built: run `make book`")
    return SITE


@pytest.fixture(scope="session")
def base_url(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        unavailable(f"no browser: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> dict[str, BrowserContext]:
    return {
        mode: browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        for mode, (width, height, scheme) in MODES.items()
    }


@pytest.fixture(scope="session")
def tabs(contexts: dict[str, BrowserContext]) -> dict[str, Page]:
    """A tab for each mode, in which one page follows another: a new tab takes a second to open."""
    return {mode: context.new_page() for mode, context in contexts.items()}


@pytest.fixture
def visit(tabs: dict[str, Page], base_url: str) -> Iterator[Visit]:
    """Return a function that opens a page of the book: ``visit("index.html", "dark")``.

    When the test ends, it fails if a page asked for anything that is not its own, was answered
    with an error, or wrote one to the console.
    """
    problems: list[str] = []
    own = (base_url, "data:", "blob:")
    listeners: dict[Any, Callable[[Any], object]] = {
        "console": lambda m: m.type == "error" and problems.append(f"console: {m.text}"),
        "pageerror": lambda error: problems.append(f"exception: {error}"),
        "request": lambda r: (
            r.url.startswith(own) or problems.append(f"request to another place: {r.url}")
        ),
        "response": lambda r: r.status >= 400 and problems.append(f"{r.status}: {r.url}"),
    }

    def open_page(path: str, mode: str = "light") -> Page:
        tabs[mode].goto(base_url + path, wait_until="load")
        return tabs[mode]

    for tab in tabs.values():
        for event, listener in listeners.items():
            tab.on(event, listener)
    yield open_page
    for tab in tabs.values():
        for event, listener in listeners.items():
            tab.remove_listener(event, listener)
    assert problems == []
