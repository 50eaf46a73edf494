"""What the pages for teachers say, as Markdown: plans from ``book/teaching``, times as measured."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from docutils import nodes
from make_notebooks import COSTS, WORDS_A_MINUTE, sections_of, words_read
from status import costs_made_with, read

BOOK = Path(__file__).resolve().parents[1]
TEACHING = BOOK / "teaching"
SESSION = "shapes_to_the_head"
STATED = re.compile(r"about (\d+) minutes?")
Step = dict[str, Any]
Rows = list[list[str]]


def load(name: str) -> dict[str, Any]:
    """Return the data of a file beside the pages."""
    return tomllib.loads((TEACHING / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def notebook(name: str) -> Any:
    """Return a published notebook."""
    return nbformat.read(BOOK / "notebooks" / f"{name}.ipynb", as_version=4)


def title_of(name: str) -> str:
    """Return the title of a published notebook."""
    return str(notebook(name).cells[0].source.splitlines()[0].removeprefix("# "))


def session_title() -> str:
    """Return the title of the session's notebook."""
    return title_of(SESSION)


def anchor(heading: str) -> str:
    """Return the anchor that a heading has in its page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


# --- the session of 90 minutes --------------------------------------------------------------------


def steps() -> list[Step]:
    """Return the steps of the session, each with the minute at which it starts."""
    found, start = [], 0
    for step in load("plan")["steps"]:
        found.append(
            {"sections": [], "items": [], "slides": [], "exercise": "", **step, "start": start}
        )
        start += step["minutes"]
    return found


def session_sections() -> dict[str, list[Any]]:
    """Return the cells of the session's notebook, by the heading that they stand under."""
    return sections_of(notebook(SESSION))


@cache
def seconds_of_sections() -> dict[str, float]:
    """Return what the cells below each heading of the session's notebook took."""
    cost = read(COSTS)["notebooks"][f"notebooks/{SESSION}"]
    seconds: dict[str, float] = cost["sections"]
    return seconds


def measured(step: Step) -> tuple[float, float]:
    """Return the minutes that reading a step's sections and running their cells take."""
    sections = session_sections()
    cells = [cell for name in step["sections"] for cell in sections[name]]
    shown = [cell.source for cell in cells if cell.cell_type == "markdown"]
    shown += [o.text for cell in cells for o in cell.get("outputs", []) if "text" in o]
    words = sum(map(words_read, shown))
    seconds = sum(seconds_of_sections().get(name, 0) for name in step["sections"])
    return words / WORDS_A_MINUTE, seconds / 60


def _in_time(minutes: float) -> str:
    seconds = round(60 * minutes)
    return f"{seconds // 60}:{seconds % 60:02}"


def time_table() -> Rows:
    """Return the steps with their minutes: what was measured, what is an estimate, what is left."""
    rows = [["minute", "part", "step", "minutes", "measured", "estimated", "to spare"]]
    total = [0.0, 0.0, 0.0]
    part = ""
    for step in steps():
        known, doing = sum(measured(step)), sum(step["doing"].values())
        times = (known, doing, step["minutes"] - known - doing)
        total = [a + b for a, b in zip(total, times, strict=True)]
        name = step["part"] if step["part"] != part else ""
        part = step["part"]
        rows.append(
            [str(step["start"]), name, step["title"], str(step["minutes"])]
            + [_in_time(minutes) for minutes in times]
        )
    whole = sum(step["minutes"] for step in steps())
    rows.append(["", "", "together", str(whole), *map(_in_time, total)])
    return rows


def made_with() -> str:
    """Say what measured the times."""
    return (
        f"Reading counts {WORDS_A_MINUTE} words a minute, of the text and of what the cells print. "
        f"Running: {costs_made_with(SESSION)} "
        f"Setting the notebook up took {seconds_of_sections()[session_title()]:.0f} s of it, with "
        "the package installed; where it is not, what its first cell installs comes on top."
    )


def plan() -> str:
    """Return the plan by the minute."""
    lines, part = [], ""
    for step in steps():
        if step["part"] != part:
            part = step["part"]
            inside = [other for other in steps() if other["part"] == part]
            minutes = sum(other["minutes"] for other in inside)
            lines += [f"### {part}: {minutes} minutes", ""]
        end = step["start"] + step["minutes"]
        lines += [f"**Minute {step['start']} to {end}: {step['title']}**", ""]
        lines += [f"* *You:* {step['teacher']}", f"* *The class:* {step['students']}"]
        if step["phone"]:
            lines.append(f"* *With a phone only:* {step['phone']}{_open(step['open'])}")
        lines += [f"* {', '.join(_used(step))}", ""]
    return "\n".join(lines)


def _used(step: Step) -> Iterator[str]:
    for name in step["sections"][-1:]:
        yield f"Notebook: [{name}](../notebooks/{SESSION}.ipynb#{anchor(name)})"
    if step["slides"]:
        links = (f'<a href="slides/{SESSION}.html#/{s}">{s}</a>' for s in step["slides"])
        yield f"slides: {', '.join(links)}"
    if step["exercise"]:
        yield f"exercise `{step['exercise']}`"
    if step["items"]:
        yield f"items {', '.join(f'`{item}`' for item in step['items'])}"
    done = ", ".join(f"{what} {_in_time(minutes)}" for what, minutes in step["doing"].items())
    yield f"{_in_time(sum(measured(step)))} measured; estimated: {done}"


def _open(name: str) -> str:
    if not name:
        return ""
    title, address = pages()[name]
    return f' <a href="{escape(address)}">{title}</a>.'


@cache
def pages() -> dict[str, tuple[str, str]]:
    """Return the pages that show a step without a notebook: a title, and an address."""
    from torch import nn

    from vgglab import vgg
    from vgglab.figures.stack import lines_of

    def stack(network: nn.Module, height: int, width: int) -> str:
        layers = ";".join(line.replace(" ", "") for line in lines_of(network))
        return f"../stack.html#{quote(f'3x{height}x{width};{layers}', safe='(),;=')}"

    fixed, pooled, sliding, fresh = (
        vgg("D", head=head, device="meta") for head in ("fc-fixed", "fc", "conv", "fc-fixed")
    )
    message = "mat1 and mat2 shapes cannot be multiplied (16x51200 and 25088x4096)"
    fresh.classifier[0] = nn.Linear(512 * 12 * 12, 4096, device="meta")
    return {
        "notebook": ("The notebook, to read", f"../notebooks/{SESSION}.html"),
        "explorer": (
            "The sides, with a slider",
            "../notebooks/04_shape_mismatch.html#every-size-at-once",
        ),
        "rectangle": ("The layers on such an image", stack(fixed.features, 300, 500)),
        "failing": ("VGG-16 at 400 px", stack(fixed, 400, 400)),
        "message": ("The message, taken apart", f"../explain.html#message={quote(message)}"),
        "pooled": ("With adaptive pooling", stack(pooled, 400, 400)),
        "sliding": ("As convolutions", stack(nn.Sequential(sliding), 400, 400)),
        "fresh": ("With a fresh fc6", stack(fresh, 400, 400)),
        "see": ("The trained network", "../see.html"),
    }


def session_bars() -> nodes.Node:
    """Draw the parts of the session, each where it lies in the 90 minutes."""
    minutes: dict[str, int] = {}
    for step in steps():
        minutes[step["part"]] = minutes.get(step["part"], 0) + step["minutes"]
    bars = [(f'<a href="#{anchor(f"{p}: {m} minutes")}">{p}</a>', m) for p, m in minutes.items()]
    return drawn(bars, "min", f"The {sum(minutes.values())} minutes by part.", after_another=True)


def left_out() -> Rows:
    """Return what to leave out when time is short, in order."""
    order = sorted((s for s in steps() if "leave_out" in s), key=lambda step: step["leave_out"])
    rows, rest = [["leave out", "and instead", "then it takes"]], sum(s["minutes"] for s in steps())
    for step in order:
        rest -= step["minutes"]
        rows.append([step["title"], step["instead"], f"{rest} min"])
    return rows


def stumbles() -> Rows:
    """Return where classes stumble, and what helps."""
    rows = [["stumble", "what helps"]]
    rows += [[found["what"], found["help"]] for found in load("plan")["stumbles"]]
    return rows


def notes() -> dict[str, list[str]]:
    """Return for slides what the speaker has to know of the plan.

    A step is told with its first slide, and before that with the last slide of what comes before
    it: a vote comes before the slide that answers it, and some steps have no slide.
    """
    said: dict[str, list[str]] = {}
    shown = ""
    for step in steps():
        end = step["start"] + step["minutes"]
        about = f"minute {step['start']} to {end}: {step['part']}, {step['title']}"
        if shown:
            said.setdefault(shown, []).extend([f"Next, {about}", step["teacher"]])
        if step["slides"]:
            said.setdefault(step["slides"][0], []).extend([f"Now, {about}", step["teacher"]])
            shown = step["slides"][-1]
    return said


# --- the handout ----------------------------------------------------------------------------------


def handout_formulas() -> Rows:
    """Return the formulas of the session, from the sheet of all."""
    import sheet

    wanted = load("handout")["formulas"]
    rows = {row[0]: row for row in sheet.formula_rows()[1:]}
    return [["what", "formula"], *([what, rows[what][1]] for what in wanted)]


def handout_example() -> Rows:
    """Return the way from an image to the head: computed for one size, blanks for the others."""
    from vgglab import Window, feature_map_sizes

    sizes = load("handout")["sides"]
    pool = Window(kernel_size=2, stride=2)
    columns = [feature_map_sizes(n, [pool] * 5) for n in sizes]
    columns = [[*sides, 512 * sides[-1] ** 2] for sides in columns]
    blank = "__________"
    names = [
        "the image",
        *(f"after pooling {k}" for k in range(1, 6)),
        "features: 512 · side · side",
    ]
    rows = [["side of the map", *(f"{n} px" for n in sizes)]]
    for k, name in enumerate(names):
        given = [str(columns[0][k]), *(str(c[k]) if k == 0 else blank for c in columns[1:])]
        rows.append([name, *given])
    return rows


def ticket() -> str:
    """Return the questions of the exit ticket as text, without answers.

    Their numbers and letters are those of ``vgglab quiz export --format paper --pack shapes``.
    """
    from vgglab.course.bank import question_bank

    asked = {item for step in steps() if step["part"] == "Exit ticket" for item in step["items"]}
    lines = []
    for number, question in enumerate(question_bank(pack="shapes", shuffled=True), 1):
        if question.quiz.id in asked:
            text, *options = str(question.quiz).split("\n")
            lines += [f"**{number}.** {text}", "", *(f"* ☐ {option}" for option in options), ""]
    return "\n".join(lines)


# --- a day, and six weeks -------------------------------------------------------------------------


def stated_minutes(chapter: str) -> tuple[int, int]:
    """Return how long reading a chapter and running it take, as the chapter says itself."""
    text = "\n".join(cell.source for cell in notebook(chapter).cells[:3])
    line = next(line for line in text.splitlines() if line.startswith("*Reading the text"))
    read, run = map(int, STATED.findall(line))
    return read, run


@cache
def chapters() -> dict[str, str]:
    """Return the chapters by their numbers."""
    return {path.stem[:2]: path.stem for path in sorted(BOOK.glob("notebooks/[0-9]*.ipynb"))}


def chapters_with_exercises() -> list[str]:
    """Return the chapters that have exercises."""
    from vgglab.course.exercises import CHAPTERS

    return [*CHAPTERS]


def goals(numbers: list[str]) -> list[dict[str, Any]]:
    """Return the goals of chapters."""
    return [goal for goal in load("goals")["goals"] if goal["chapter"] in numbers]


def assignments(numbers: list[str]) -> list[dict[str, Any]]:
    """Return the assignments of chapters, each with the name of its folder."""
    return [
        {"name": path.parent.name, **found}
        for path in sorted(BOOK.glob("assignments/*/assignment.toml"))
        for found in [tomllib.loads(path.read_text(encoding="utf-8"))]
        if found["chapter"][:2] in numbers
    ]


def _chapter_link(number: str) -> str:
    return f"[{number}](../notebooks/{chapters()[number]}.ipynb)"


def _goal_link(goal: dict[str, Any]) -> str:
    page = f"../notebooks/{chapters()[goal['chapter']]}.ipynb"
    return f"[{goal['text']}]({page}#{goal['section']})"


def drawn(
    bars: list[tuple[str, int]], unit: str, caption: str, after_another: bool = False
) -> nodes.Node:
    """Draw numbers as bars, each with its name; or as times that follow one another."""
    whole = sum(n for _, n in bars) if after_another else max(n for _, n in bars)
    lines, start = [], 0
    for name, n in bars:
        place = f"margin-inline-start: {100 * start / whole:.1f}%; width: {100 * n / whole:.1f}%"
        lane = f'<span class="lane"><span style="{place}"></span></span>'
        lines.append(f"<li><span>{name}</span>{lane}<span>{n} {unit}</span></li>")
        start += n if after_another else 0
    html = f"<ol>{''.join(lines)}</ol><figcaption>{caption}</figcaption>"
    return nodes.raw("", f'<figure class="vgglab-bars">{html}</figure>', format="html")


def weeks_bars() -> nodes.Node:
    """Draw what each week asks to be read and run."""
    bars = [
        (f"{number}. {week['title']}", sum(map(sum, _times(week["chapters"]))))
        for number, week in enumerate(load("semester")["weeks"], 1)
    ]
    return drawn(bars, "min", "Reading the chapters of each week and running them.")


def weeks_table() -> Rows:
    """Return the six weeks: what is read, run, practised and handed in."""
    from vgglab.course.exercises import CHAPTERS, load_quizzes

    rows = [["week", "chapters", "read + run", "exercises", "questions", "assignment"]]
    for number, week in enumerate(load("semester")["weeks"], 1):
        read, run = (sum(times) for times in zip(*_times(week["chapters"]), strict=True))
        names = [chapters()[c] for c in week["chapters"]]
        exercises = sum(CHAPTERS.get(name, 0) for name in names)
        asked = sum(id[:2] in week["chapters"] for id in load_quizzes())
        handed = "; ".join(
            f"{a['name'][:2]} {a['title']}, {a['minutes']} min"
            for a in assignments(week["chapters"])
        )
        links = ", ".join(_chapter_link(c) for c in week["chapters"])
        counts = [f"{read} + {run} min", str(exercises), str(asked)]
        rows.append([f"{number}. {week['title']}", links, *counts, handed])
    return rows


def _times(numbers: list[str]) -> list[tuple[int, int]]:
    return [stated_minutes(chapters()[number]) for number in numbers]


def weeks() -> str:
    """Return the weeks one by one: what they need, the first hour, and what can go."""
    lines = []
    for number, week in enumerate(load("semester")["weeks"], 1):
        lines += [f"### Week {number}: {week['title']}", "", f"*Needs:* {week['needs']}", ""]
        lines += [f"*In class:* {week['class']}", "", f"*At home:* {week['home']}", ""]
        lines += [f"*When time is short:* {week['short']}", "", "The students can then", ""]
        for goal in goals(week["chapters"]):
            practice, asked = (", ".join(goal[name]) for name in ("exercises", "questions"))
            lines.append(f"* {_goal_link(goal)} (exercises {practice}; questions {asked})")
        lines.append("")
    return "\n".join(lines)


def day_table() -> Rows:
    """Return the blocks of a day, with the hour at which each starts."""
    rows = [["from", "minutes", "block", "chapters", "reading of all that"]]
    start = 0
    for block in load("day")["blocks"]:
        numbers = block["chapters"]
        read = f"{sum(read for read, _ in _times(numbers))} min" if numbers else ""
        links = ", ".join(_chapter_link(number) for number in numbers)
        begin = f"{start // 60}:{start % 60:02}"
        rows.append([begin, str(block["minutes"]), block["title"], links, read])
        start += block["minutes"]
    rows.append([f"{start // 60}:{start % 60:02}", "", "end", "", ""])
    return rows


def day_bars() -> nodes.Node:
    """Draw the blocks of a day, one after the other."""
    bars = [(block["title"], block["minutes"]) for block in load("day")["blocks"]]
    return drawn(bars, "min", "The day, block by block.", after_another=True)


def day() -> str:
    """Return the blocks of a day one by one."""
    lines = []
    for block in load("day")["blocks"]:
        if not block["chapters"]:
            continue
        lines += [f"### {block['title']}", "", block["text"], ""]
        practice = ", ".join(f"`{id}`" for id in block["exercises"])
        asked = ", ".join(f"`{id}`" for id in block["questions"])
        lines += [f"Exercises {practice}; questions {asked}.", ""]
        lines += [f"*When time is short:* {block['short']}", "", "Goals:", ""]
        named = {*block["exercises"], *block["questions"]}
        for goal in goals(block["chapters"]):
            if named & {*goal["exercises"], *goal["questions"]}:
                lines.append(f"* {_goal_link(goal)}")
        lines.append("")
    return "\n".join(lines)


def rubric() -> Rows:
    """Return what points are given for in the project."""
    criteria = load("capstone")["criteria"]
    rows = [["what", "points", "all of them", "half", "none"]]
    rows += [[c["what"], str(c["points"]), c["all"], c["half"], c["none"]] for c in criteria]
    rows.append(["together", str(sum(c["points"] for c in criteria)), "", "", ""])
    return rows


def rubric_bars() -> nodes.Node:
    """Draw what the project's points are given for."""
    bars = [(c["what"], c["points"]) for c in load("capstone")["criteria"]]
    return drawn(bars, "points", "What points are given for.")


def assignment_bars() -> nodes.Node:
    """Draw with how many wrong solutions each assignment is tried."""
    bars = [
        (
            f"{a['name'][:2]}. {a['title']}",
            len([*BOOK.glob(f"assignments/{a['name']}/mutants/*.py")]),
        )
        for a in assignments([*chapters()])
    ]
    caption = (
        "Wrong solutions that each assignment is tried with: each must cost the points it should."
    )
    return drawn(bars, "", caption)


def sheets() -> str:
    """Return links to the sheets of exercises."""
    return "\n".join(
        f'* <a href="../teaching/sheets/{name}.html">{name[:2]}. {title_of(name)}</a>'
        for name in chapters_with_exercises()
    )
