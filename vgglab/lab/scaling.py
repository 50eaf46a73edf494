"""What a step of data parallel training takes: computing, and adding up gradients meanwhile.

The model has three parts. An all-reduce over a ring of `n` devices takes `2 (n - 1)` messages one
after the other, each of a part of the data (Patarasuk and Yuan, "Bandwidth optimal all-reduce
algorithms for clusters of workstations", 2009). Gradients travel in buckets, as those of torch's
DistributedDataParallel do (Li et al., "PyTorch Distributed: experiences on accelerating data
parallel training", 2020): a bucket starts when backward has filled it and the one before it has
arrived. And backward takes twice as long as forward, each layer by its multiply-adds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from vgglab.arguments import check_integer
from vgglab.summary import summary

MIB = 2**20
FIRST_BUCKET, BUCKET = 1 * MIB, 25 * MIB
"""Bytes at which a bucket of DistributedDataParallel is full: of its first one, and of others."""

FORWARD = 1 / 3
"""Of the time: backward computes two products where forward computes one."""


class Link(NamedTuple):
    """How fast a device sends to the next one.

    Attributes
    ----------
    latency
        Seconds that a message takes, however short it is.
    bandwidth
        Bytes a second, in one direction.
    source
        Where the figures are from.
    """

    latency: float
    bandwidth: float
    source: str = ""


LINKS: Mapping[str, Link] = {
    "NVLink 4": Link(3e-6, 450e9, "NVIDIA H100 data sheet: 900 GB/s, both directions"),
    "PCIe 4.0 x16": Link(5e-6, 31.5e9, "PCI-SIG, PCI Express 4.0: 16 GT/s, 16 lanes, 128b/130b"),
    "PCIe 3.0 x16": Link(5e-6, 15.75e9, "PCI-SIG, PCI Express 3.0: 8 GT/s, 16 lanes, 128b/130b"),
    "50 Gb Ethernet": Link(20e-6, 6.25e9, "IEEE 802.3cd: 50 Gb/s"),
    "25 Gb Ethernet": Link(20e-6, 3.125e9, "IEEE 802.3by: 25 Gb/s"),
}
"""Bandwidths are nominal, and latencies assumed: nobody here has measured them."""


class Gradient(NamedTuple):
    """What backward makes at one layer: its bytes, and the multiply-adds of the layer's forward."""

    layer: str
    nbytes: int
    mult_adds: int


class Transfer(NamedTuple):
    """A bucket on its way: its bytes, and when it is full, starts and has arrived, in seconds."""

    nbytes: int
    ready: float
    start: float
    end: float


class Step(NamedTuple):
    """The time of a step, in seconds.

    Attributes
    ----------
    compute
        Of forward and backward.
    transfers
        Of the buckets, one after the other.
    """

    compute: float
    transfers: Sequence[Transfer]

    @property
    def seconds(self) -> float:
        """Until the last gradient has arrived."""
        return max([self.compute, *(transfer.end for transfer in self.transfers)])

    @property
    def communication(self) -> float:
        """Of all transfers, hidden behind backward or not."""
        return sum(transfer.end - transfer.start for transfer in self.transfers)

    @property
    def exposed(self) -> float:
        """For which the device waits."""
        return self.seconds - self.compute


def all_reduce_seconds(nbytes: int, devices: int, link: Link) -> float:
    """Return the time of an all-reduce over a ring.

    Parameters
    ----------
    nbytes
        Bytes that each device has.
    devices
        Number of devices in the ring.
    link
        From each device to the next.
    """
    steps = 2 * (devices - 1)
    return steps * (link.latency + nbytes / devices / link.bandwidth)


def fit_link(seconds: Mapping[int, float], devices: int) -> Link:
    """Return the link with the least relative errors (root mean square).

    Parameters
    ----------
    seconds
        Of an all-reduce, by its bytes.
    devices
        Number of devices that were measured.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, or if larger ones do not take longer.
    """
    if len(seconds) < 2:
        raise ValueError(f"seconds must be of two sizes or more; got {len(seconds)}")
    steps = 2 * (devices - 1)
    taken = np.array([*seconds.values()])
    sizes = np.array([*seconds]) / devices
    found, *_ = np.linalg.lstsq(
        np.stack([steps / taken, steps * sizes / taken], axis=1), np.ones(len(taken)), rcond=None
    )
    latency, per_byte = (float(value) for value in found)
    if per_byte <= 0:
        raise ValueError("seconds must grow with the bytes; the fit has a bandwidth below 0")
    return Link(max(latency, 0.0), 1 / per_byte, f"fitted to {len(seconds)} sizes")


def gradients(model: nn.Module, input_size: tuple[int, ...]) -> list[Gradient]:
    """Return the gradients of a model's parameters, in the order in which backward makes them.

    Parameters
    ----------
    model
        Looked at on the ``meta`` device, and left as it is. Each layer is used once.
    input_size
        Of a batch (N, C, H, W).
    """
    work = {row.path: row.mult_adds or 0 for row in summary(model, input_size).rows}
    found = []
    for path, module in model.named_modules():
        own = [*module.named_parameters(recurse=False)]
        # A linear layer's bias is added last, so backward meets it first.
        for name, parameter in own if isinstance(module, nn.Linear) else reversed(own):
            nbytes = parameter.numel() * parameter.element_size()
            layer = f"{path}.{name}" if path else name
            found.append(Gradient(layer, nbytes, work.get(path, 0) if name == "weight" else 0))
    return found[::-1]


def buckets(
    sizes: Iterable[int], first: int = FIRST_BUCKET, following: int = BUCKET
) -> list[list[int]]:
    """Divide gradients into buckets as DistributedDataParallel does.

    Parameters
    ----------
    sizes
        Bytes of each gradient, in the order in which backward makes them.
    first, following
        Bytes at which a bucket is full: the first one, and those after it. A gradient is never
        divided, so a bucket may get far larger.

    Returns
    -------
    list of list of int
        For each bucket the sizes that are in it.
    """
    found: list[list[int]] = [[]]
    for size in sizes:
        if found[-1] and sum(found[-1]) >= (first if len(found) == 1 else following):
            found.append([])
        found[-1].append(size)
    return found


def step_time(
    layers: Sequence[Gradient],
    compute: float,
    devices: int,
    link: Link,
    *,
    overlap: bool = True,
    first: int = FIRST_BUCKET,
    following: int = BUCKET,
) -> Step:
    """Predict a step of data parallel training.

    Parameters
    ----------
    layers
        What `gradients` returns.
    compute
        Seconds of forward and backward on one device, for its part of the batch.
    devices
        Number of devices.
    link
        From each device to the next.
    overlap
        Whether gradients travel while backward goes on. They do where something else than the
        device carries them; a processor that computes and carries does one after the other.
    first, following
        As in `buckets`.
    """
    check_integer("devices", devices, minimum=1)
    if devices == 1:
        return Step(compute, ())
    made = iter(layers)
    total = sum(layer.mult_adds for layer in layers) or 1
    transfers: list[Transfer] = []
    done = 0
    free = 0.0
    for bucket in buckets([layer.nbytes for layer in layers], first, following):
        done += sum(next(made).mult_adds for _ in bucket)
        backward = done / total if overlap else 1.0
        ready = compute * (FORWARD + (1 - FORWARD) * backward)
        start = max(ready, free)
        free = start + all_reduce_seconds(sum(bucket), devices, link)
        transfers.append(Transfer(sum(bucket), ready, start, free))
    return Step(compute, transfers)
