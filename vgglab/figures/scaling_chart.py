"""An interactive figure: where the time of a step of VGG-16 goes, on how many devices.

Bytes and work come from a trace, links from the table of `vgglab.lab.scaling`;
``scaling_chart.html`` holds the figure's markup and style, ``scaling_chart.js`` computes a step as
`step_time` does. Readers without scripts see a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from vgglab.figures.element import CHART_STYLES, fallback_table, figure_html
from vgglab.lab.scaling import (
    FORWARD,
    LINKS,
    Gradient,
    Step,
    buckets,
    gradients,
    step_time,
)
from vgglab.models.network import vgg

HEADS = {
    "fc": "fully connected, of the paper",
    "conv": "the same as convolutions",
    "spp": "spatial pyramid",
    "gap": "global average pooling",
}
DEVICES = tuple(2**k for k in range(11))
BACKWARD_TOO = round(1 / FORWARD)


class Choice(NamedTuple):
    """What somebody chooses.

    Attributes
    ----------
    head, link
        One of `HEADS`, and one of `LINKS`.
    devices
        Number of devices.
    batch
        Images for each device.
    speed
        Of a device, in 10¹² multiply-adds a second.
    overlap
        Whether gradients travel while backward goes on.
    """

    head: str = "fc"
    link: str = "25 Gb Ethernet"
    devices: int = 8
    batch: int = 32
    speed: float = 100.0
    overlap: bool = True


@dataclass(frozen=True)
class ScalingChart:
    """The figure; build one with `scaling_chart`. The last line of a cell shows it.

    Attributes
    ----------
    layers
        The gradients of VGG-16 by head, for one image of 224 px.
    """

    layers: Mapping[str, Sequence[Gradient]]

    def step(self, choice: Choice) -> Step:
        """Return the step of a choice."""
        layers = self.layers[choice.head]
        work = sum(layer.mult_adds for layer in layers)
        compute = BACKWARD_TOO * choice.batch * work / (choice.speed * 1e12)
        return step_time(
            layers, compute, choice.devices, LINKS[choice.link], overlap=choice.overlap
        )

    def data(self) -> dict[str, Any]:
        """Return everything that the figure needs, as the plain dict that its JSON is made from."""
        heads = []
        for name, title in HEADS.items():
            layers = self.layers[name]
            total = sum(layer.mult_adds for layer in layers)
            made, done, found = iter(layers), 0, []
            for bucket in buckets(layer.nbytes for layer in layers):
                done += sum(next(made).mult_adds for _ in bucket)
                found.append([sum(bucket), done / total])
            heads.append({"name": name, "title": title, "work": total, "buckets": found})
        links = [{"name": name, "link": link[:2]} for name, link in LINKS.items()]
        return {
            "heads": heads,
            "links": links,
            "devices": DEVICES,
            "forward": FORWARD,
            "choice": Choice()._asdict(),
        }

    def __repr__(self) -> str:
        return "scaling_chart: where the time of a step goes, shown as a figure in a notebook"

    def _repr_html_(self) -> str:
        return f"""\
<figure class="vgglab-figure">
{figure_html("scaling_chart", self.data(), _table(self), CHART_STYLES)}\
<figcaption>A step of VGG-16 at 224 px, as the model says: links are nominal, and the speed of a
device is assumed.</figcaption>
</figure>
"""


def scaling_chart() -> ScalingChart:
    """Return the interactive figure "where does the time of a step go?"."""
    models = {head: vgg("D", head=head, device="meta") for head in HEADS}
    return ScalingChart(
        {head: gradients(model, (1, 3, 224, 224)) for head, model in models.items()}
    )


def _table(chart: ScalingChart) -> str:
    """Return the figure's content for readers without scripts: all heads and links."""
    rows = []
    for head in HEADS:
        for link in LINKS:
            choice = Choice(head, link)
            step = chart.step(choice)
            cells = [
                escape(link),
                f"{sum(layer.nbytes for layer in chart.layers[head]) / 1e6:.0f}",
                *(f"{1e3 * seconds:.1f}" for seconds in (step.compute, step.exposed)),
                f"{step.compute / step.seconds:.0%}",
                f"{choice.devices * step.compute / step.seconds:.1f}",
            ]
            rows.append(
                f'<tr><th scope="row">{escape(HEADS[head])}</th>'
                + "".join(f"<td>{cell}</td>" for cell in cells)
                + "</tr>"
            )
    first = Choice()
    caption = (
        f"{first.devices} devices, {first.batch} images each, {first.speed:.0f} T mult-adds a "
        "second"
    )
    titles = ["head", "link", "MB sent", "ms computing", "ms waiting", "efficiency", "times one"]
    return fallback_table("scaling_chart", "All heads and links", caption, titles, "\n".join(rows))
