"""The command ``vgglab``."""

import codecs
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import methodcaller
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from vgglab import __version__

if TYPE_CHECKING:
    from vgglab.diagnose import Diagnosis
    from vgglab.lab.experiments import Experiment, Shard

SIZE = "SIDE or HEIGHTxWIDTH"


class BadInput(click.ClickException):
    """A sentence for the reader, without a traceback."""

    exit_code = 2


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width from ``400`` or ``400x300``."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"size must be {SIZE} in pixels; got {text!r}")
    return int(parts[0]), int(parts[-1])


def parse_cell(text: str) -> tuple[int, int]:
    """Return row and column from ``3,4``."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"cell must be ROW,COLUMN, counted from 0; got {text!r}")
    return int(parts[0]), int(parts[1])


FORMAT = 1  # of what is printed as JSON; book/output.schema.json describes it


def print_json(command: str, body: dict[str, Any]) -> None:
    """Print what a command found as JSON, with its name and the version of its form."""
    click.echo(json.dumps({"format": FORMAT, "command": command, **body}, indent=2))


def model_and_input(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument MODEL and the options that describe an input."""
    for option in (
        click.option(
            "--channels",
            type=click.IntRange(min=1),
            default=3,
            show_default=True,
            help="Input channels.",
        ),
        click.option(
            "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images."
        ),
        click.option(
            "--size",
            type=parse_size,
            default="224",
            metavar=SIZE,
            show_default=True,
            help="Pixels.",
        ),
        click.argument("model"),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vgglab")
def main() -> None:
    """Explain, measure and repair convolutional networks.

    A MODEL is torchvision:NAME, timm:NAME, vgglab:CONFIG (such as vgglab:D,norm=batch,head=gap),
    package.module:callable or file.py:callable.
    """


@main.command()
@model_and_input
@click.option(
    "--format",
    "style",
    type=click.Choice(["vgglab", "torchsummary", "torchinfo", "json"]),
    default="vgglab",
    show_default=True,
    help="Layout and conventions of the table.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def summary(
    model: str, size: tuple[int, int], batch: int, channels: int, style: str, as_json: bool
) -> None:
    """Print the layers of MODEL with shapes, parameters, multiply-adds and memory.

    If the forward fails, the table ends there and the command exits with 1.
    """
    from vgglab.models.loading import load_model
    from vgglab.summary import summary as summarise

    try:
        table = summarise(load_model(model), (batch, channels, *size))
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    if as_json or style == "json":
        print_json("summary", table.to_dict())
    else:
        click.echo(table.format(style))
    if table.trace.failure is not None:
        raise SystemExit(1)


@main.command()
@model_and_input
@click.option("--layer", help="Only the output of this module.")
@click.option(
    "--cell",
    type=parse_cell,
    metavar="ROW,COLUMN",
    help="Of the layer: the pixels that this cell sees.",
)
@click.option("--all", "whole", is_flag=True, help="Also operations that change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def rf(
    model: str,
    size: tuple[int, int],
    batch: int,
    channels: int,
    layer: str | None,
    cell: tuple[int, int] | None,
    whole: bool,
    as_json: bool,
) -> None:
    """Print what the cells of MODEL's maps see of the image: the receptive fields.

    Size, stride, padding and centre are in pixels, as if the image had no border; "In image" is the
    largest field within it. If the forward stops, the table ends there and the command exits
    with 1.
    """
    from vgglab.models.loading import load_model
    from vgglab.receptive_field import fields_of, fields_table, receptive_field
    from vgglab.tracing import trace

    try:
        network, input_size = load_model(model), (batch, channels, *size)
        if layer is not None:
            field = receptive_field(network, input_size, layer)
            box = cell and field.box(*cell)
            if as_json:
                print_json("rf", {"fields": [field.to_dict()], "box": box and box._asdict()})
            else:
                click.echo(field)
                if box:
                    click.echo(
                        f"cell {cell} sees rows {box.top} to {box.bottom - 1}, "
                        f"columns {box.left} to {box.right - 1}"
                    )
            return
        if cell is not None:
            raise BadInput("--cell needs --layer")
        traced = trace(network, input_size, training=False)
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    fields = fields_of(traced)
    if as_json:
        print_json("rf", {"fields": [field.to_dict() for field in fields]})
    else:
        click.echo(fields_table(fields, whole=whole))
    if traced.failure is not None:
        click.echo(f"Stopped in {traced.failure.path!r}: {traced.failure.message}", err=True)
        raise SystemExit(1)


@main.command()
@model_and_input
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations of a workflow of GitHub.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def diagnose(
    model: str, size: tuple[int, int], batch: int, channels: int, style: str, as_json: bool
) -> None:
    """Say whether MODEL takes an input, where and why it stops, and how to repair it.

    If the forward stops, the command exits with 1.
    """
    found = _diagnosis(model, (batch, channels, *size))
    if as_json or style == "json":
        print_json("diagnose", found.to_dict())
    else:
        click.echo("\n".join(found.annotations(Path.cwd())) if style == "github" else str(found))
    if not found.ok:
        raise SystemExit(1)


@main.command()
@model_and_input
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def identify(model: str, size: tuple[int, int], batch: int, channels: int, as_json: bool) -> None:
    """Say which VGG or other well-known network MODEL is, or what it has otherwise.

    If it is like none that is known, the command exits with 1.
    """
    from vgglab.diagnose.identity import identify as identify_model
    from vgglab.models.loading import load_model

    try:
        found = identify_model(load_model(model), (batch, channels, *size))
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    if as_json:
        print_json("identify", found.to_dict())
    else:
        click.echo(found)
    if found.name is None:
        raise SystemExit(1)


WHICH_REPAIR = """\
Which line is right depends on your objects: if they grow with the image, resize it; if they keep
their size in a larger scene, let windows of the trained size slide over it (vgglab.fc_to_conv).
`vgglab repairs torchvision:vgg16 --size 400` compares all ways; chapter 8 of the book measured
them on a small network."""


@main.command()
@click.argument("message", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def explain(message: str | None, as_json: bool) -> None:
    """Say what an error message about shapes means; without MESSAGE read standard input.

    A whole traceback will do. If the message is not understood, the command exits with 1.
    """
    from vgglab.explain import explain_error, format_causes, report

    if message is None or message == "-":
        if sys.stdin.isatty():
            raise BadInput("message must be an argument, or come from standard input")
        message = _decoded(sys.stdin.buffer.read())
    causes = explain_error(message)
    if as_json:
        print_json("explain", report(causes))
    else:
        click.echo(format_causes(causes))
        if causes[0].kind == "input-size":
            click.echo(WHICH_REPAIR)
    if causes[0].kind == "unknown":
        raise SystemExit(1)


@main.command()
@model_and_input
@click.option("--with", "name", required=True, help="Name of a repair that `diagnose` offers.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write."
)
@click.option("--weights", help="File with a state_dict, or a name of torchvision's weights.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def repair(
    model: str,
    size: tuple[int, int],
    batch: int,
    channels: int,
    name: str,
    out: Path,
    weights: str | None,
    force: bool,
) -> None:
    """Repair MODEL for an input and write its weights, with the code that builds it.

    The file is read with torch.load(..., weights_only=True); it holds "state_dict" and "code".
    """
    from vgglab.diagnose.saving import save_repaired

    if out.exists() and not force:
        raise BadInput(f"--out must not exist, or be given with --force; {str(out)!r} exists")
    found = _diagnosis(model, (batch, channels, *size), data=True, weights=weights)
    fix = next((fix for fix in found.fixes if fix.name == name), None)
    if fix is None:
        names = ", ".join(fix.name for fix in found.fixes) or "none, nothing is wrong"
        raise BadInput(f"--with must be a repair that applies here ({names}); got {name!r}")
    try:
        save_repaired(fix, model, out)
    except (OSError, ValueError) as error:
        raise BadInput(f"nothing was written: {error}") from None
    click.echo(fix.line)
    click.echo(fix.note)
    if weights is None:
        click.echo("The weights were random: give your own with --weights.")
    click.echo(f"Wrote {out} ({fix.parameters:,} parameters) with the code that builds it.")


@main.command()
@model_and_input
@click.option("--weights", help="File with a state_dict, or a name of torchvision's weights.")
@click.option(
    "--trained", type=parse_size, metavar=SIZE, help="Pixels of the training, if not to be found."
)
@click.option("--onnx", is_flag=True, help="Also export each repaired network, and check it.")
@click.option(
    "--images",
    is_flag=True,
    help="Also ask each about the images in the folder VGGLAB_DATA, a sub-folder a class.",
)
@click.option("--per-class", type=click.IntRange(min=1), default=30, show_default=True)
@click.option(
    "--epochs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Train each on a third of the images, and choose its rate by another third.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def repairs(
    model: str,
    size: tuple[int, int],
    batch: int,
    channels: int,
    weights: str | None,
    trained: tuple[int, int] | None,
    onnx: bool,
    images: bool,
    per_class: int,
    epochs: int,
    as_json: bool,
) -> None:
    """Repair MODEL for an input in every way there is, and print what each costs and keeps.

    With --weights also how far the answers are apart; with --images how often they are right, for
    torchvision's weights and folders named as its classes are, or by WordNet ids.
    """
    from vgglab.lab.repairs import repairs_table
    from vgglab.models.loading import load_model

    try:
        if images:
            from vgglab.lab.folder_repairs import pictures_for

            pictures = pictures_for(model, weights, size, per_class, trained, epochs)
        network = load_model(model, data=onnx, weights=weights)
        tables: list[Any] = [
            repairs_table(network, (batch, channels, *size), trained_size=trained, onnx=onnx)
        ]
        if images:
            from vgglab.lab.folder_repairs import accuracy_table

            tables.append(accuracy_table(network, tables[0], pictures, epochs))
    except (ConnectionError, ImportError, OSError, TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    if as_json:
        print_json("repairs", {"tables": [table.to_dict() for table in tables]})
    else:
        click.echo("\n\n".join(map(str, tables)))


@main.command()
@click.argument("name")
@click.option(
    "--budget",
    type=click.Choice(["tiny", "cpu", "gpu"]),
    default="tiny",
    show_default=True,
    help="Under 30 s, at most 40 minutes on two cores, or for a GPU.",
)
@click.option("--only", multiple=True, metavar="SETTING=VALUE", help="Run a part: norm=batch.")
@click.option("--shard", metavar="I/N", help="Run part I of N, on one of N machines.")
@click.option("--reproduce", is_flag=True, help="Run again what is recorded and compare.")
@click.option(
    "--results",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the records: results in the current folder; with --reproduce, vgglab's own.",
)
def experiment(
    name: str,
    budget: str,
    only: tuple[str, ...],
    shard: str | None,
    reproduce: bool,
    folder: Path | None,
) -> None:
    """Run the experiment NAME, or what is left of it, and record every run.

    With --shard each machine records in a file of its own; without it the command takes in those
    that lie in the folder, and runs what is left. With --reproduce nothing is recorded, and the
    command exits with 1 if a run differs.
    """
    from vgglab.course.notebooks import RESULTS
    from vgglab.lab import experiments

    folder = folder or (RESULTS if reproduce else Path("results"))
    if reproduce and not folder.is_dir():
        raise BadInput(f"--results must be a folder with records; {str(folder)!r} does not exist")
    if reproduce and shard:
        raise BadInput("--shard is of what is recorded anew; --reproduce takes --only")
    differs = False
    with _runs_errors():
        part = experiments.Shard.parse(shard) if shard else None
        chosen = experiments.find_experiment(name)
        settings = dict(_setting(text) for text in only)
        if reproduce:
            for made, differences in experiments.reproduce(chosen, budget, folder, only=settings):
                differs |= bool(differences)
                click.echo(f"{_run_line(made)}: {'; '.join(differences) or 'the same'}")
        else:
            _record(chosen, budget, folder, settings, part)
    if differs:
        raise SystemExit(1)


@main.command()
@click.argument("names", nargs=-1)
@click.option(
    "--budget",
    type=click.Choice(["tiny", "cpu", "gpu"]),
    default="tiny",
    show_default=True,
    help="Under a minute, some on two cores, or for a GPU.",
)
@click.option("--only", multiple=True, metavar="SETTING=VALUE", help="Run a part: side=400.")
@click.option(
    "--results",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default="results",
    show_default=True,
    help="Folder of the records.",
)
def bench(names: tuple[str, ...], budget: str, only: tuple[str, ...], folder: Path) -> None:
    """Measure how fast VGG-16 is here, or what is left of it, and record every run.

    NAMES are of grids: bench-ways (precision, layout, compilation, CUDA graphs), bench-sizes,
    bench-heads, bench-runners (checkpoints), bench-layers (each alone), bench-memory, bench-fit
    (the largest batch and image); by default all. --only is for one of them. Every result is
    checked, and a figure above what the device can do is refused.
    """
    from vgglab.lab.benchmark.grids import BENCHMARKS, find_benchmark

    if only and len(names) != 1:
        raise BadInput(f"--only needs the name of one grid, such as {next(iter(BENCHMARKS))}")
    with _runs_errors():
        from vgglab.lab.benchmark.measurements import read_benchmark

        for chosen in [find_benchmark(name) for name in names or BENCHMARKS]:
            _record(chosen, budget, folder, dict(_setting(text) for text in only))
            if not only:
                click.echo(f"\n{read_benchmark(folder / f'{chosen.name}.json', budget)}\n")


@contextmanager
def _runs_errors() -> Iterator[None]:
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        raise BadInput(str(error)) from None
    except KeyboardInterrupt:
        click.echo("Stopped. What is finished is recorded; run it again to resume.", err=True)
        raise SystemExit(130) from None


def _record(
    chosen: "Experiment",
    budget: str,
    folder: Path,
    only: dict[str, Any],
    shard: "Shard | None" = None,
) -> None:
    """Run what is left of an experiment, and say what is done."""
    from vgglab.lab.experiments import run

    left = run(chosen, budget, folder, only=only, shard=shard)
    for text in (chosen.question, chosen.control, chosen.held_equal, chosen.changes_mind):
        click.echo(fill(text, width=88), err=True)
    part = f".{shard.number}-of-{shard.of}" if shard else ""
    click.echo(f"Recording in {folder / chosen.name}{part}.json", err=True)
    for made in left:
        click.echo(f"{_run_line(made)}: {made['seconds']:.1f} s")


@main.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False
)
def results(folder: Path | None) -> None:
    """List the experiments, and what is recorded of them in FOLDER, by default in vgglab itself."""
    from tabulate import tabulate

    from vgglab.course.notebooks import RESULTS

    try:
        from vgglab.lab.experiments import overview

        rows = overview(folder or RESULTS)
    except (ImportError, ValueError) as error:
        raise BadInput(str(error)) from None
    click.echo(tabulate(rows, headers="keys", tablefmt="simple"))


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace notebooks that are there.")
def exercises(folder: Path, force: bool) -> None:
    """Write the chapters into FOLDER as notebooks for students, without solutions.

    Notebooks that are there are left as they are, with the answers in them.
    """
    from vgglab.course.notebooks import write_student_notebooks

    kept = False
    try:
        for path, written in write_student_notebooks(folder, force):
            click.echo(f"{'wrote' if written else 'kept '} {path}")
            kept |= not written
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from None
    if kept:
        click.echo("What was kept may hold answers; --force replaces it.")


@main.group("quiz")
def quiz_group() -> None:
    """Take the book's questions elsewhere."""


@quiz_group.command("export")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "style",
    type=click.Choice(["moodle", "qti", "paper"]),
    required=True,
    help="Moodle XML, a QTI 1.2 package for Canvas, or a page to print.",
)
@click.option("--seed", type=int, help="Draws numbers, where they vary, and the order of options.")
@click.option("--chapter", metavar="NN", help="Only the questions of this chapter.")
@click.option("--pack", help='Only those of a pack, such as "shapes".')
def quiz_export(
    out: Path, style: str, seed: int | None, chapter: str | None, pack: str | None
) -> None:
    """Write the question bank into the file OUT.

    With --format paper OUT has no answers; the key is a second file beside it. The other two hold
    answers and reasons: they are for the system that asks, not for students. Files that are there
    are replaced.
    """
    from vgglab.course import exporting
    from vgglab.course.bank import question_bank
    from vgglab.files import check_writable, write_whole

    try:
        questions = question_bank(chapter, pack, seed, shuffled=True)
        title = " ".join(["VGG Lab", *filter(None, (chapter, pack))])
        # Moodle keeps what several seeds drew in one category, and their names tell them apart.
        if seed is not None and style != "moodle":
            title += f" ({seed})"
        files = {
            "moodle": {out: exporting.moodle_xml},
            "qti": {out: exporting.qti_package},
            "paper": {
                out: exporting.paper_sheet,
                out.with_stem(f"{out.stem}-key"): exporting.paper_key,
            },
        }[style]
        check_writable(out.parent)
        for path, make in files.items():
            write_whole(path, methodcaller("write", make(questions, title)))
            click.echo(f"wrote {path}: {len(questions)} questions")
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from None


@main.command()
@click.option("--reset", is_flag=True, help="Forget all of it, after a question.")
def progress(reset: bool) -> None:
    """Print which exercises of the course you have solved on this machine."""
    from vgglab.course import logbook
    from vgglab.course.exercises import progress as read_progress

    found = read_progress()
    if not reset:
        click.echo(found)
        return
    question = f"Forget {found.attempted} answered exercises, {found.solved} of them solved?"
    click.confirm(question, abort=True)
    try:
        logbook.forget()
    except OSError as error:
        raise BadInput(f"nothing was forgotten: {error}") from None


@main.group()
def grade() -> None:
    """Release assignments and grade what comes back, in a sandbox."""


FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
SUBMISSIONS = click.Path(exists=True, path_type=Path)  # a folder or a zip
SEED = click.option("--seed", help="Course seed: chooses numbers and probes.")
SEED_FILE = click.option(
    "--seed-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="vgglab-seed.txt",
    show_default=True,
    help="Holds the course seed, if --seed is not given.",
)
JUDGE = click.option(
    "--judge",
    type=click.Path(exists=True, path_type=Path),
    help="Another judge.py, kept outside the repository.",
)


def parse_shard(text: str) -> tuple[int, int]:
    """Return i and n from ``i/n``."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise click.BadParameter(f"shard must be i/n with 1 <= i <= n; got {text!r}")
    return int(part), int(parts)


@grade.command("release")
@click.argument("assignments", type=EXISTING, nargs=-1, required=True)
@click.argument("out", type=FOLDER)
@SEED
@SEED_FILE
@JUDGE
@click.option("--source", is_flag=True, help="Write the notebook for nbgrader's source folder.")
def grade_release(
    assignments: tuple[Path, ...],
    out: Path,
    seed: str | None,
    seed_file: Path,
    judge: Path | None,
    source: bool,
) -> None:
    """Write the students' notebook of each of ASSIGNMENTS below the folder OUT.

    Without --seed the course seed is the one in the file, and the first time a new one.
    """
    from vgglab.grading import release
    from vgglab.grading.assignment import Assignment

    with _graders_errors():
        chosen = seed or release.course_seed(seed_file, draw=True)
        for folder, done in _with_progress(assignments):
            made = Assignment(folder, seed=chosen, judge=judge)
            done(partial(click.echo, release.write_release(made, out, source=source)))
        if seed is None:
            click.echo(f"The course seed is in {seed_file}: keep it, and show it to nobody.")


def _with_progress(folders: tuple[Path, ...]) -> Iterator[tuple[Path, Callable[..., None]]]:
    """Yield each folder, and what is to be called with what says that it is done."""
    from vgglab.grading.progress import Progress

    progress = Progress(len(folders), sys.stderr)
    for folder in folders:
        progress.now(folder.name)
        yield folder, progress.done


@grade.command("run")
@click.argument("assignment", type=EXISTING)
@click.argument("submissions", type=SUBMISSIONS)
@click.argument("results", type=FOLDER)
@SEED
@SEED_FILE
@JUDGE
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--shard", type=parse_shard, default="1/1", metavar="I/N", help="Grade one part.")
def grade_run(
    assignment: Path,
    submissions: Path,
    results: Path,
    seed: str | None,
    seed_file: Path,
    judge: Path | None,
    workers: int,
    shard: tuple[int, int],
) -> None:
    """Grade each notebook, zip or folder in SUBMISSIONS; write one file each to RESULTS.

    SUBMISSIONS is a folder, or a zip as Canvas or Moodle exports it.

    What has a result is kept: run it again to resume after it was stopped. It exits with 1 if a
    submission could not be graded for a reason that is not in the submission.
    """
    from vgglab.grading.assignment import Assignment
    from vgglab.grading.progress import Progress
    from vgglab.grading.release import course_seed
    from vgglab.grading.runner import FAILED, KEPT, LEFT_OUT, WITHDRAWN, grade, part_of
    from vgglab.grading.sandbox import Sandbox

    failed = False
    with _graders_errors():
        chosen = Assignment(assignment, seed=seed or course_seed(seed_file), judge=judge)
        sandbox = Sandbox(chosen.packages, chosen.memory_mb)
        for words in sandbox.warnings:
            click.secho(f"Warning: {words}", fg="yellow", err=True)
        progress = Progress(len(part_of(submissions, shard)[0]), sys.stderr)
        for name, status, words in grade(
            chosen,
            submissions,
            results,
            workers=workers,
            shard=shard,
            sandbox=sandbox,
            started=progress.now,
        ):
            failed |= status == FAILED
            line = f"{name}: {status}{f', {words}' if words else ''}"
            if status in (LEFT_OUT, WITHDRAWN):
                click.echo(line)
            else:
                progress.done(partial(click.echo, line), free=status == KEPT)
    if failed:
        raise SystemExit(1)


@grade.command("collect")
@click.argument("results", type=EXISTING)
@click.argument("out", type=FOLDER)
@click.option(
    "--by-hand",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV of points by a person: submission,question,points,comment,by.",
)
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file: deadline, attempts, students, a gradebook to fill.",
)
def grade_collect(results: Path, out: Path, by_hand: Path | None, policy: Path | None) -> None:
    """Write scores.csv, feedback and Gradescope's files from RESULTS to the folder OUT."""
    from vgglab.grading.collect import collect

    with _graders_errors():
        count, problems = collect(results, out, by_hand, policy)
    for problem in problems:
        click.echo(problem, err=True)
    click.echo(f"{count} submissions: {out / 'scores.csv'}")


@grade.command("stats")
@click.argument("results", type=EXISTING)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to draw it in: PNG, SVG or PDF.",
)
def grade_stats(results: Path, plot: Path | None) -> None:
    """Print what a class did by question, and the commonest wrong results, from RESULTS."""
    from vgglab.grading import statistics

    with _graders_errors():
        found = statistics.statistics(results)
        click.echo(found)
        if plot is not None:
            statistics.plot(found, plot)
            click.echo(f"\nWrote {plot}")


@grade.command("similar")
@click.argument("assignment", type=EXISTING)
@click.argument("submissions", type=SUBMISSIONS)
def grade_similar(assignment: Path, submissions: Path) -> None:
    """Say which SUBMISSIONS are alike, so that a person looks at them."""
    from vgglab.grading.assignment import Assignment
    from vgglab.grading.similarity import similar

    with _graders_errors():
        pairs, count = similar(Assignment(assignment), submissions)
    for pair in pairs:
        click.echo(pair)
    click.echo(f"{len(pairs)} pairs of {count} submissions. A likeness proves nothing.")


@grade.command("blind")
@click.argument("assignment", type=EXISTING)
@click.argument("submissions", type=SUBMISSIONS)
@click.argument("out", type=FOLDER)
@click.argument("students", type=click.Path(dir_okay=False, path_type=Path))
def grade_blind(assignment: Path, submissions: Path, out: Path, students: Path) -> None:
    """Copy SUBMISSIONS to the folder OUT without names, which only the file STUDENTS has."""
    from vgglab.grading.assignment import Assignment
    from vgglab.grading.blind import hide_names

    with _graders_errors():
        for name, why in hide_names(Assignment(assignment), submissions, out, students):
            click.echo(f"{name}: left out, {why}", err=True)
    click.echo(f"{out}: whose is whose stands in {students}")


@grade.command("selftest")
@click.argument("assignments", type=EXISTING, nargs=-1, required=True)
@click.option("--seed", "seeds", multiple=True, help="Course seeds to try, instead of two.")
@JUDGE
@click.option("--html", "site", type=EXISTING, help="Built book that must show no secret.")
@click.option("--attacks", is_flag=True, help="Also try attacks and constant answers.")
@click.option("--kind", "kinds", multiple=True, help="Only attacks of this kind.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--json",
    "proof",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the numbers that the book publishes; implies --attacks.",
)
def grade_selftest(
    assignments: tuple[Path, ...],
    seeds: tuple[str, ...],
    judge: Path | None,
    site: Path | None,
    attacks: bool,
    kinds: tuple[str, ...],
    workers: int,
    proof: Path | None,
) -> None:
    """Grade the solution, the blank release and every mutant of each of ASSIGNMENTS."""
    from vgglab.grading import selftest
    from vgglab.grading.attacks import all_attacks
    from vgglab.grading.proof import digest, grader

    faults = 0
    known: dict[str, Any] = {}
    with _graders_errors():
        if proof is not None and proof.exists():
            known = json.loads(proof.read_text(encoding="utf-8"))["assignments"]
        for folder, done in _with_progress(assignments):
            chosen: dict[str, Any] = {"seeds": seeds} if seeds else {}
            if attacks or proof:
                chosen |= {"attacks": all_attacks(kinds), "workers": workers}
            report = selftest.selftest(folder, judge=judge, site=site, **chosen)
            known[report.assignment] = {
                "of": digest(folder),
                "grader": grader(),
                **report.numbers,
            }
            faults += len(report.faults)
            lines = [f"{report.assignment}: {line}" for line in report.faults or report.checked]
            done(partial(click.echo, "\n".join(lines)))
            if proof is not None:
                text = json.dumps({"assignments": known}, indent=1, sort_keys=True) + "\n"
                proof.write_text(text, encoding="utf-8", newline="\n")
    if faults:
        raise SystemExit(1)


@contextmanager
def _graders_errors() -> Iterator[None]:
    from vgglab.grading.sandbox import SandboxError

    try:
        yield
    except KeyboardInterrupt:
        click.echo("Stopped. What is finished is kept; run it again to resume.", err=True)
        raise SystemExit(130) from None
    except (ImportError, OSError, SandboxError, ValueError) as error:
        raise BadInput(str(error)) from None


def _decoded(data: bytes) -> str:
    """Return text of unknown encoding; what cannot be read is not part of a message."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # of PowerShell's files
    return data.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")


def _setting(text: str) -> tuple[str, Any]:
    """Return name and value from ``norm=batch``, the value as JSON writes it or as text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, {"None": None, "True": True, "False": False}.get(value, value)


def _run_line(made: dict[str, Any]) -> str:
    settings = " ".join(f"{name}={value}" for name, value in made["settings"].items())
    return f"{settings} seed={made['seed']}"


def _diagnosis(model: str, input_size: tuple[int, ...], **options: Any) -> "Diagnosis":
    from vgglab.diagnose import diagnose as diagnose_model
    from vgglab.models.loading import load_model

    try:
        return diagnose_model(load_model(model, **options), input_size)
    except (ConnectionError, TypeError, ValueError) as error:
        raise BadInput(str(error)) from None


if __name__ == "__main__":
    main(prog_name="vgglab")
