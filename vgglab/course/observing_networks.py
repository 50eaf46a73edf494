"""What is seen of an answer that is a network or a layer: what runs when it is called, and numbers.

Only what runs and reaches the output counts, not what a network holds. Values are compared where
the question asks for a function: on a narrow network, or with the same weights in both.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vgglab.compare.reference import Failed, random_input, relative_l2, run_copies
from vgglab.course.observing import (
    NotAttemptedError,
    Observation,
    does_nothing,
    holds_for,
    named,
    refused,
    without_return,
    yes_and_no,
)
from vgglab.course.plain import TOLERANCE, agree, cut, form, leaves, plain
from vgglab.models.network import VGG, vgg
from vgglab.summary import Summary
from vgglab.tracing import Failure, Op, Shape, Trace, random_state_kept, trace
from vgglab.tracing.copies import meta_copy
from vgglab.tracing.operations import ADAPTIVE_POOLS, PRODUCTS, RESHAPES, Kind

# Kinds that move numbers, or that no forward in eval mode has.
_NO_LAYERS = RESHAPES | {Kind.EXPAND, Kind.PERMUTE, Kind.SLICE, Kind.SELECT, Kind.SPLIT}
_NAMES = {
    Kind.MAX_POOL: "max pooling",
    Kind.AVERAGE_POOL: "average pooling",
    Kind.ADAPTIVE_AVERAGE_POOL: "adaptive average pooling",
    Kind.ADAPTIVE_MAX_POOL: "adaptive max pooling",
    Kind.BATCH_NORM: "BatchNorm",
    Kind.MEAN: "mean",
}
_RELU = {"relu", "clamp", "clamp_min", "threshold"}


_RUN = "layers that run"
STOPPED = "The forward stops before it gives anything: mend that first."
NARROW = 1 / 64
NUMBERS = 64  # of an output, that are compared


def narrow_vgg(head: str = "fc") -> VGG:
    """Return a VGG-16 with few channels, and always the same weights, to be changed."""
    with random_state_kept():
        torch.manual_seed(0)
        return vgg("D", head=head, width=NARROW).eval()


class Tables:
    """The summaries of a network by input size, in eval mode; the network that it was made from."""

    def __init__(self, network: nn.Module, before: nn.Module | None = None) -> None:
        self.network = network
        self.before = before
        self.summaries: dict[Shape, Summary] = {}

    def __call__(self, input_size: Shape) -> Summary:
        """Return the summary at one size."""
        if input_size not in self.summaries:
            traced = trace(self.network, input_size, training=False)
            self.summaries[input_size] = Summary(traced)
        return self.summaries[input_size]

    def failures(self) -> dict[Shape, Failure]:
        """Return where and why it stopped, by input size."""
        traces = {size: table.trace for size, table in self.summaries.items()}
        return {size: t.failure for size, t in traces.items() if t.failure is not None}


@dataclass(frozen=True)
class Condition:
    """One thing that an open task asks of a network.

    Attributes
    ----------
    text
        What is asked for, such as ``"fewer than 15 million parameters"``.
    holds
        Whether a network has it; a network for which this raises an error has not. It gets the
        network, and a function from an input size to its `vgglab.summary` there.
    hint
        What to say if it is the first that does not hold, and the mistake is no typical one.
    """

    text: str
    holds: Callable[[nn.Module, Tables], bool]
    hint: str = ""


def gives(input_size: Shape, output_shape: Shape, hint: str = "") -> Condition:
    """Return the condition that an input of one size gives an output of one shape."""

    def holds(model: nn.Module, tables: Tables) -> bool:
        traced = tables(input_size).trace
        return traced.failure is None and traced.output_shapes == (output_shape,)

    return Condition(f"{input_size} → {output_shape}", holds, hint)


def answers_as_before(input_size: Shape, hint: str = "") -> Condition:
    """Return the condition that a network gives the numbers of the one that it was made from."""

    def holds(model: nn.Module, tables: Tables) -> bool:
        assert tables.before is not None
        x = random_input(input_size)
        new, old = run_copies(model, [x])[0], _run_before(tables.before, input_size)
        if isinstance(new, Failed) or isinstance(old, Failed):
            return False
        return new.shape == old.shape and relative_l2(new, old) < TOLERANCE

    return Condition(f"{input_size} → the numbers of the network that it was", holds, hint)


@cache
def _run_before(model: nn.Module, input_size: Shape) -> Tensor | Failed:
    return run_copies(model, [random_input(input_size)])[0]


@cache
def _unchanged(make: Callable[[], nn.Module]) -> nn.Module:
    """Return a network that no answer gets."""
    return make()


def reaching_output(traced: Trace) -> list[Op]:
    """Return the operations that the output depends on, in order."""
    wanted, found = set(traced.output_sources), []
    for op in reversed(traced.ops):
        if op.index in wanted:
            wanted.update(op.sources)
            found.append(op)
    return found[::-1]


def executed(traced: Trace) -> dict[str, int]:
    """Return how often each kind of layer ran, of those that the output depends on.

    A layer with weights is known by its multiplications: a linear layer and a convolution over the
    whole map are one. What moves numbers, adds biases, or pools to the size that there is, is none.
    """
    return dict(sorted(Counter(_layers(traced)).items()))


def _layers(traced: Trace) -> list[str]:
    return [name for name in map(_layer, reaching_output(traced)) if name]


def _order(traced: Trace) -> tuple[str, ...]:
    """Return the layers in the order in which they run, a ReLU before a max pooling.

    The two give the same in either order.
    """
    names = _layers(traced)
    for at in range(1, len(names)):
        while at and (names[at - 1], names[at]) == (_NAMES[Kind.MAX_POOL], "ReLU"):
            names[at - 1 : at + 1] = names[at], names[at - 1]
            at -= 1
    return tuple(names)


def _layer(op: Op) -> str:
    name = op.name.removesuffix("_")
    if op.kind in PRODUCTS:
        return f"weights used in {op.mult_adds:,} mult-adds"
    if op.kind in _NO_LAYERS or "dropout" in name or name == "_to_copy":
        return ""
    if op.kind in ADAPTIVE_POOLS and op.input_shapes[0] == op.output_shapes[0]:
        return ""
    if op.kind is Kind.BROADCAST and len(op.sources) < 2:
        return ""
    return _NAMES.get(op.kind, "ReLU" if name in _RELU else name)


@dataclass(frozen=True)
class _Network(Observation):
    """A network: what it gives, what runs, what it holds, at each size."""

    parts: tuple[tuple[str, tuple[Any, ...]], ...] = field(default=(), compare=False)

    def differs_from(self, solution: Observation) -> str:
        """Name the first of shapes, parameters, layers and numbers that is not right."""
        assert isinstance(solution, _Network)
        if self.about[1].failures():
            return STOPPED
        right: list[str] = []
        for (what, mine), (_, wanted) in zip(self.parts, solution.parts, strict=True):
            if not agree(mine, wanted):
                if what == _RUN:
                    names = {
                        name for a, b in zip(mine, wanted, strict=True) for name, _ in {*a} ^ {*b}
                    }
                    what = f"{what} ({', '.join(sorted(names))})"
                said = f"Right: the {' and the '.join(right)}. " if right else ""
                return f"{said}Not right: the {what}."
            right.append(what)
        return ""


def network(*input_sizes: Shape, values: bool = False) -> Callable[[Any], Observation]:
    """Return an observer of networks: shapes, where the forward stops, parameters, what runs.

    A network may also come as a function without arguments, or a class, that builds it.

    Parameters
    ----------
    *input_sizes
        At which sizes it is run.
    values
        Whether to compare numbers too, with the same weights in both, given in the order in which
        the layers run; only for networks that are small.
    """

    def observe(answer: Any) -> Observation:
        model = _built(answer, "network")
        if isinstance(model, Observation):
            return model
        tables = Tables(model)
        shapes: list[Any] = []
        layers: list[Any] = []
        order: list[Any] = []
        words = []
        for size in input_sizes:
            traced = tables(size).trace
            came_out, ran = _gave(traced)
            shapes.append(came_out)
            layers.append(ran)
            order.append(_order(traced))
            outcome = ", ".join(map(str, traced.output_shapes))
            words.append(f"{size} → {_stops(traced.failure) if traced.failure else outcome}")
        params = tables(input_sizes[0]).total_params
        words.append(f"{params:,} parameters")
        parts: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("shapes", tuple(shapes)),
            ("parameters", (params,)),
            (_RUN, tuple(layers)),
        )
        if values:
            numbers = tuple(_numbers(tables(size).trace, model) for size in input_sizes)
            parts += (("numbers (look at the order of the layers)", numbers),)
        else:
            parts += (("order of the layers", tuple(order)),)
        looked_at = "Compared: shapes, parameters, the layers that run and their order"
        return _Network(
            tuple(part for _, part in parts),
            "\n".join(words),
            about=(model, tables),
            looked_at=looked_at + (", numbers with the same weights." if values else "."),
            parts=parts,
        )

    return observe


def _gave(traced: Trace) -> tuple[Any, ...]:
    """Return what came out and what ran, or where it stopped and with which shapes."""
    if traced.failure is not None:
        return (traced.failure.path, traced.failure.input_shapes), ()
    return traced.output_shapes, tuple(executed(traced).items())


def _numbers(traced: Trace, model: nn.Module) -> tuple[float, ...]:
    """Return what a copy gives whose weights are drawn anew, in the order of their use."""
    if traced.failure is not None:
        return ()
    size = traced.input_sizes[0]
    with random_state_kept(), torch.no_grad():
        copied = meta_copy(model).eval()
        copied(torch.zeros(size, device="meta"))  # makes lazy layers
        copied.to_empty(device="cpu")
        for module in copied.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.reset_running_stats()
        parameters = dict(copied.named_parameters())
        used = dict.fromkeys(name for op in traced.ops for name in op.parameters)
        generator = torch.Generator().manual_seed(0)
        for name in used:
            weights = torch.randn(parameters[name].numel(), generator=generator)
            parameters[name].copy_(weights.view(parameters[name].shape) / 8)
        output = copied(random_input(size).float())
    some = output.flatten()[:: -(-output.numel() // NUMBERS)]  # evenly from all of them
    return tuple(some.tolist())


def network_that(
    *conditions: Condition, of: Callable[[], nn.Module] | None = None
) -> Callable[[Any], Observation]:
    """Return an observer of networks that may be built in many ways: which conditions hold.

    Parameters
    ----------
    *conditions
        What is asked for.
    of
        Makes the network that the answer, a function, is given, and a new one each time. Without
        it, a network may also come as a function without arguments, or a class, that builds it.
    """

    def observe(answer: Any) -> Observation:
        if of is not None and (isinstance(answer, nn.Module) or not callable(answer)):
            return refused(
                f"You have {form(answer)}, where a function is asked for that takes a network"
            )
        model = _built(answer, "network", *([] if of is None else [of()]))
        if isinstance(model, Observation):
            return model
        tables = Tables(model, None if of is None else _unchanged(of))
        met = tuple(holds_for(condition.holds, model, tables) for condition in conditions)
        words = yes_and_no([condition.text for condition in conditions], met)
        words += [f"at {size} it {_stops(failure)}" for size, failure in tables.failures().items()]
        hint = next((c.hint for c, yes in zip(conditions, met, strict=True) if not yes), "")
        if tables.failures():
            hint = STOPPED
        detail = tuple(
            (size, table.total_params, *_gave(table.trace))
            for size, table in tables.summaries.items()
        )
        return _Conditions(met, "\n".join(words), (model, tables), detail, hint=hint)

    return observe


@dataclass(frozen=True)
class _Conditions(Observation):
    """A network of an open task, and the hint of the first condition that it lacks."""

    hint: str = ""

    def differs_from(self, solution: Observation) -> str:
        """Say what the first condition that does not hold says."""
        return self.hint


def _stops(failure: Failure) -> str:
    where = f"{failure.path} ({failure.type})" if failure.path else f"the model ({failure.type})"
    return f"stops in {where}: {cut(f'{failure.error}: {failure.message}')}".removesuffix(".")


def _built(answer: Any, what: str, *arguments: Any) -> nn.Module | Observation:
    """Return the module that an answer is or makes, or what was seen in its place."""
    if callable(answer) and not isinstance(answer, nn.Module):
        call = f"{getattr(answer, '__name__', 'f')}({', '.join('model' for _ in arguments)})"
        try:
            made = answer(*arguments)
        except NotImplementedError:
            raise NotAttemptedError from None
        except Exception as error:
            return refused(f"{call} raises {named(error)}")
        if made is ... or (made is None and does_nothing(answer)):
            raise NotAttemptedError
        if made is None:
            return refused(without_return(call, answer))
        answer = made
    if not isinstance(answer, nn.Module):
        return refused(f"You have {form(answer)}, where a {what} is asked for")
    return answer


def outputs(*input_sizes: Shape) -> Callable[[Any], Observation]:
    """Return an observer of layers: what they give for an input of each size, always the same."""

    def observe(answer: Any) -> Observation:
        layer = answer if _is_function(answer) else _built(answer, "layer")
        if isinstance(layer, Observation):
            return layer
        seen: list[Any] = []
        words = []
        for size in input_sizes:
            try:
                with torch.no_grad():
                    y = layer(random_input(size))
                    shape = tuple(y.shape) if isinstance(y, Tensor) else form(y)
                    seen.append((shape, leaves(plain(y))))
            except NotImplementedError:
                raise NotAttemptedError from None
            except Exception as error:
                return refused(f"An input of {size} raises {named(error)}")
            words.append(f"{size} → {shape}")
        if _is_function(answer):
            words.append("a function, where a layer is asked for: an nn.Module")
        looked_at = "Compared: the numbers that it gives for random inputs of these sizes."
        return _Layer((_is_function(answer), *seen), "; ".join(words), looked_at=looked_at)

    return observe


def _is_function(answer: Any) -> bool:
    """Tell whether an answer takes an input itself, and builds nothing."""
    code = getattr(answer, "__code__", None)
    return code is not None and code.co_argcount - len(answer.__defaults__ or ()) == 1


@dataclass(frozen=True)
class _Layer(Observation):
    """What a layer gives."""

    def differs_from(self, solution: Observation) -> str:
        """Tell shapes from numbers, and a function from a layer."""
        (is_function, *mine), (_, *wanted) = self.seen, solution.seen
        if is_function and agree(tuple(mine), tuple(wanted)):
            return "What it gives is right. Make it the forward of an nn.Module, or find a layer."
        if all(
            agree(numbers, right) for (_, numbers), (_, right) in zip(mine, wanted, strict=True)
        ):
            return "The numbers are right, the shapes are not."
        if [shape for shape, _ in mine] == [shape for shape, _ in wanted]:
            return "The shapes are right, the numbers are not."
        return "The shapes are not right."
