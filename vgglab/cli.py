"""The command ``vgglab``."""

import json

import click

from vgglab import __version__

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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vgglab")
def main() -> None:
    """Explain convolutional networks: shapes, parameters, multiply-adds, memory."""


@main.command()
@click.argument("model")
@click.option(
    "--size", type=parse_size, default="224", metavar=SIZE, show_default=True, help="Pixels."
)
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images.")
@click.option(
    "--channels", type=click.IntRange(min=1), default=3, show_default=True, help="Input channels."
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["vgglab", "torchsummary", "torchinfo", "json"]),
    default="vgglab",
    show_default=True,
    help="Layout and conventions of the table.",
)
def summary(model: str, size: tuple[int, int], batch: int, channels: int, style: str) -> None:
    """Print the layers of MODEL with shapes, parameters, multiply-adds and memory.

    MODEL is torchvision:NAME, timm:NAME, vgglab:CONFIG (such as vgglab:D,norm=batch,head=gap)
    or package.module:callable. If the forward fails, the table ends there and the command
    exits with 1.
    """
    from vgglab.sources import load_model
    from vgglab.summary import summary as summarise

    try:
        table = summarise(load_model(model), (batch, channels, *size))
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    click.echo(json.dumps(table.to_dict(), indent=2) if style == "json" else table.format(style))
    if table.trace.failure is not None:
        raise SystemExit(1)
