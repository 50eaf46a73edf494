"""The command ``vgglab``."""

import json
from typing import NoReturn

import click

from vgglab import __version__

SIZE = "SIDE or HEIGHTxWIDTH"


class Size(click.ParamType):
    """Height and width in pixels: ``400`` or ``400x300``."""

    name = SIZE

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        parts = str(value).lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"size must be {SIZE} in pixels, such as 400 or 400x300; got {value!r}")
        return int(parts[0]), int(parts[-1])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vgglab")
def main() -> None:
    """Explain convolutional networks: shapes, parameters, multiply-adds, memory."""


@main.command()
@click.argument("model")
@click.option("--size", type=Size(), default="224", show_default=True, help="Size of the image.")
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
        _fail(str(error))
    click.echo(json.dumps(table.to_dict(), indent=2) if style == "json" else table.format(style))
    if table.trace.failure is not None:
        raise SystemExit(1)


def _fail(message: str) -> NoReturn:
    error = click.ClickException(message)
    error.exit_code = 2
    raise error
