"""The proof that a network and its rewriting execute the same."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from torch import Tensor, nn

from vgglab.convert.dry_run import Run, dry_run, mended
from vgglab.tracing import Op, Shape, Trace
from vgglab.tracing.operations import RESHAPES, Kind


class _Step(NamedTuple):
    """What an operation does; `sources` are the steps that it reads."""

    name: str
    options: Mapping[str, Any]
    parameters: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    sources: tuple[int, ...]


class _OneTensor(nn.Module):
    """Runs a network that must return a tensor, and none in a tuple or a dict."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        output = self.network(x)
        if not isinstance(output, Tensor):
            raise TypeError(f"it returns {type(output).__name__} and no tensor")
        return output


def require_same_steps(model: nn.Module, rewritten: nn.Module, run: Run) -> bool:
    """Raise a ValueError unless both networks execute the same, in eval and in train mode.

    Returns
    -------
    bool
        Whether no code of the network asks for a size: then both do so at any other size as well.
    """
    model_trained, trained = (
        dry_run(_OneTensor(mended(network, run.misfit)), run.size, training=True)
        for network in (model, rewritten)
    )
    rewritten_run = dry_run(mended(rewritten, run.misfit), run.size)
    for mode, *results in (
        ("eval", run.trace, rewritten_run),
        ("train", model_trained, trained),
    ):
        for result in results:
            if result.failure is not None:
                raise no_chain(model, f"in {mode} mode it stops: {result.failure.message}")
        for step, ours in zip_longest(*map(_steps, results)):
            if step != ours:
                raise no_chain(
                    model,
                    f"in {mode} mode its modules in a row do something else; see the "
                    f"{(step or ours).name} of one of both",
                )
    return not (run.trace.reads_sizes or model_trained.reads_sizes)


def _steps(trace: Trace) -> list[_Step]:
    """Return what is executed, and then what is returned.

    Reshapes are left out, for they show in the shapes after them.
    """
    places = {-1: -1}
    steps: list[_Step] = []
    for op in trace.ops:
        sources = tuple(sorted({places[source] for source in op.sources}))
        if op.kind in RESHAPES and len(sources) == 1:
            places[op.index] = sources[0]
            continue
        places[op.index] = len(steps)
        name = op.name.removesuffix("_")
        steps.append(_Step(name, options_of(op), op.parameters, op.input_shapes, sources))
    returned = tuple(places[source] for source in trace.output_sources)
    return [*steps, _Step("output", {}, (), trace.output_shapes, returned)]


def options_of(op: Op) -> dict[str, Any]:
    """Return the options of an operation in one spelling."""
    options = dict(op.options)
    if options.get("stride") == []:
        options["stride"] = options["kernel_size"]
    if op.kind is Kind.MEAN:
        options["dim"] = sorted(dim + len(op.input_shapes[0]) for dim in op.acted_on)
        options.pop("keepdim", None)
    return options


NO_CHAIN = "model must be a chain of modules"


def no_chain(model: nn.Module, reason: str) -> ValueError:
    """Return the error for a network that cannot be taken apart."""
    return ValueError(
        f"{NO_CHAIN} from the image to the scores, each fed by the one before; "
        f"{type(model).__name__} is not: {reason}"
    )
