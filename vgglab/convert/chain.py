"""A network taken apart: the modules that it runs, in order, each fed by the one before.

What runs is read off a trace, so the forward may be any code: operations that it calls as functions
become modules. The chain is then traced as well, and it counts only if it executes the very
operations of the network, in eval and in train mode.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import signature
from itertools import groupby, takewhile
from typing import NamedTuple, TypeAlias

from torch import nn

from vgglab.convert.dry_run import find_run
from vgglab.convert.equivalence import NO_CHAIN, no_chain, options_of, require_same_steps
from vgglab.pooling import SpatialPyramidPool
from vgglab.tracing import ModuleCall, Op, Shape, Trace
from vgglab.tracing.copies import callers_hooks, real_copy
from vgglab.tracing.operations import ADAPTIVE_POOLS, AVERAGES, RESHAPES, Kind, flattened

Part: TypeAlias = tuple[str | None, nn.Module]
"""A module and its path; ``None`` asks for a name that is free."""


@dataclass(frozen=True)
class Chain:
    """What a network runs.

    Attributes
    ----------
    model
        The network. The chain is made of its modules, not of copies.
    parts
        Those modules, and one for each operation that the code calls as a function, in order.
    size
        An input size that was traced to the end, for which the first linear layer may have been
        given the number of features that it gets.
    runs
        Trial runs of its parts alone, by the parts and the size: conversions ask for the same ones.
    is_proven
        Whether the network is the same chain wherever it consists of the same parts.
    as_it_is
        Whether no layer was given another number of features.
    """

    model: nn.Module
    parts: Mapping[str, nn.Module]
    size: Shape
    runs: dict[tuple[tuple[Part, ...], Shape], Trace] = field(
        default_factory=dict, compare=False, repr=False
    )
    is_proven: bool = False
    as_it_is: bool = True


class _Shared(NamedTuple):
    """What is known of networks, and whether what becomes of them is traced by who asked.

    By the network itself, which so lives as long as what is known of it: an id is used again.
    """

    chains: dict[tuple[nn.Module, Shape | None], Chain | ValueError]
    are_traced: bool


_shared: ContextVar[_Shared | None] = ContextVar("_shared", default=None)


@contextmanager
def shared_chains(are_traced: bool = False) -> Iterator[None]:
    """Take a network apart once for all conversions of it that are tried meanwhile.

    One that is no chain is no chain at any size, and what was proved is not proved again.

    Parameters
    ----------
    are_traced
        Whether the caller traces what they return and leaves out what stops: then they do not.
    """
    token = _shared.set(_Shared({}, are_traced))
    try:
        yield
    finally:
        _shared.reset(token)


def is_traced_later() -> bool:
    """Tell whether whoever asked for a conversion traces what it returns."""
    shared = _shared.get()
    return shared is not None and shared.are_traced


def unroll(model: nn.Module, size: Shape, *, at_any: bool = False) -> Chain:
    """Rewrite a network as a chain of its own modules.

    Parameters
    ----------
    model
        A network that is such a chain, however its forward is written.
    size
        From `image_batch`. If the network does not run at it, other sizes are tried.
    at_any
        Whether a chain will do that is known already, of any other size.

    Raises
    ------
    ValueError
        If the forward ends at no size that was tried, the network is no such chain, or a hook of
        the caller would be lost.
    """
    shared = _shared.get()
    if shared is None:
        return _unroll(model, size)
    known = shared.chains
    chains = [c for (of, _), c in known.items() if of is model and isinstance(c, Chain)]
    found = known.get((model, None)) or known.get((model, size))
    if found is None and at_any and chains:
        found = chains[0]
    if found is None:
        try:
            found = known[model, size] = _unroll(model, size, chains)
            if found.as_it_is:
                known[model, found.size] = found
        except ValueError as error:
            found = error.with_traceback(None)
            known[model, None if str(error).startswith(NO_CHAIN) else size] = found
    if isinstance(found, ValueError):
        raise found
    return found


def _unroll(model: nn.Module, size: Shape, known: Iterable[Chain] = ()) -> Chain:
    if any(isinstance(p, nn.UninitializedParameter) for p in model.parameters()):
        raise ValueError(
            f"model must have been run once: {type(model).__name__} has lazy layers, "
            "which have no weights yet"
        )
    run = find_run(model, size)
    parts = _named(model, _expand(model, run.trace, run.trace.calls[0]))
    _require_no_hook_lost(model, parts.values())
    is_proven = any(chain.is_proven and _are_same(chain.parts, parts) for chain in known)
    if not is_proven and not _is_nested_sequence(model, set(parts.values())):
        is_proven = require_same_steps(model, sequential(model, parts), run)
    return Chain(model, parts, run.size, is_proven=is_proven, as_it_is=run.misfit is None)


def _are_same(parts: Mapping[str, nn.Module], others: Mapping[str, nn.Module]) -> bool:
    """Tell whether parts are the same modules, or do the same in place of functions."""
    return list(parts) == list(others) and all(
        one is other or (type(one) is type(other) and vars(one) == vars(other))
        for one, other in zip(parts.values(), others.values(), strict=True)
    )


def has_hooks(module: nn.Module) -> bool:
    """Tell whether something else runs when the module is called."""
    return any(hooks for name, hooks in vars(module).items() if name.endswith("_hooks"))


def _require_no_hook_lost(model: nn.Module, parts: Iterable[nn.Module]) -> None:
    kept = {module for part in parts for module in part.modules()}
    for path, _ in callers_hooks(model):
        if model.get_submodule(path) not in kept:
            where = repr(path) if path else "the model itself"
            raise ValueError(
                "model must have no hooks on modules that are taken apart, for they would be lost; "
                f"{where} has some"
            )


def _is_nested_sequence(module: nn.Module, parts: set[nn.Module]) -> bool:
    """Tell whether a network is written as the chain already: then there is nothing to prove."""
    if module in parts or type(module) is nn.Identity:
        return True
    if type(module) is not nn.Sequential or "forward" in vars(module) or has_hooks(module):
        return False
    return all(_is_nested_sequence(child, parts) for child in module.children())


def assemble(chain: Chain, parts: Iterable[Part]) -> nn.Sequential:
    """Build a network of `parts`, with copies in place of the modules of the chain's model.

    What is left out is not copied.
    """
    named = _named(chain.model, parts)
    own = set(chain.model.modules())
    kept = nn.ModuleList(module for module in named.values() if module in own)
    copies = dict(zip(kept, real_copy(kept, hooks=True), strict=True))  # type: ignore[call-overload]
    return sequential(chain.model, {path: copies.get(m, m) for path, m in named.items()})


def sequential(model: nn.Module, parts: Mapping[str, nn.Module], prefix: str = "") -> nn.Sequential:
    """Build the nested ``Sequential`` in which each part has its path.

    Whatever comes between, such as ``features`` around ``features.0``, is in the mode that it has
    in `model`.
    """
    network = nn.Sequential()
    for name, group in groupby(parts, key=lambda path: path.partition(".")[0]):
        members = {path[len(name) + 1 :]: parts[path] for path in group}
        if name in network._modules or ("" in members and len(members) > 1):
            raise no_chain(model, f"the modules in {prefix + name!r} do not run in a row")
        nested = "" not in members
        network.add_module(
            name, sequential(model, members, f"{prefix}{name}.") if nested else members[""]
        )
    network.training = model.get_submodule(prefix.removesuffix(".")).training
    return network


def _expand(model: nn.Module, trace: Trace, call: ModuleCall) -> Iterator[Part]:
    """Yield what runs in a call: its modules, and modules for its functions."""
    inside: list[ModuleCall | Op] = [
        *(other for other in trace.calls if other.parent == call.index),
        *(op for op in trace.ops if op.call == call.index),
    ]
    for is_reshape, group in groupby(sorted(inside, key=_begin), key=_is_reshape):
        if is_reshape:
            yield from _flatten(model, [op for op in group if isinstance(op, Op)])
            continue
        for item in group:
            if isinstance(item, Op):
                yield from _modules(model, item)
            elif not _is_whole(model, trace, item):
                yield from _expand(model, trace, item)
            elif not _is_idle(item):
                yield item.path, model.get_submodule(item.path)


def _begin(item: ModuleCall | Op) -> tuple[int, int, int]:
    """Return when it began; a call in which nothing is executed comes before the next operation."""
    return (item.index, 1, 0) if isinstance(item, Op) else (item.first_op, 0, item.index)


def _is_whole(model: nn.Module, trace: Trace, call: ModuleCall) -> bool:
    """Tell whether a module stays as it is: a layer, or a block from one feature map to another.

    A block that ends with pooling is opened: it may be the pooling before the flatten.
    """
    module = model.get_submodule(call.path)
    if isinstance(module, SpatialPyramidPool):
        return True
    if call.is_leaf and type(module).__module__.startswith("torch.nn.modules."):
        return True
    if type(module).forward is nn.Sequential.forward:
        return False
    if [len(shape) for shape in (*call.input_shapes, *call.output_shapes)] != [4, 4]:
        return False
    family = {call.index}
    for other in trace.calls[call.index + 1 :]:
        if other.parent in family:
            family.add(other.index)
    ops = [op for op in trace.ops if op.call in family]
    return not (ops and ops[-1].kind in AVERAGES | ADAPTIVE_POOLS)


def _is_idle(call: ModuleCall) -> bool:
    return call.type in ("Identity", "Flatten") and call.input_shapes == call.output_shapes


# The module for an operation; it takes those of torch's options that it knows by name.
_FUNCTIONS: Mapping[str, type[nn.Module]] = {
    "max_pool2d_with_indices": nn.MaxPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "_adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
    "native_dropout": nn.Dropout,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "hardtanh": nn.Hardtanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "_softmax": nn.Softmax,
    "_log_softmax": nn.LogSoftmax,
}


def _is_reshape(item: ModuleCall | Op) -> bool:
    return isinstance(item, Op) and item.kind in RESHAPES


def _flatten(model: nn.Module, reshapes: Sequence[Op]) -> Iterator[Part]:
    """Yield a flatten for operations that together flatten maps; nothing if they do nothing."""
    before, after = reshapes[0].input_shapes[0], reshapes[-1].output_shapes[0]
    if after == before:
        return
    if len(before) != 4 or after != flattened(before):
        where = reshapes[0].path or "its own code"
        raise no_chain(model, f"in {where} it reshapes {before} to {after}")
    yield None, nn.Flatten()


def _modules(model: nn.Module, op: Op) -> Iterator[Part]:
    """Yield the modules for an operation; whether they do the same is seen later."""
    name = op.name.removesuffix("_")
    if op.kind is Kind.MEAN and len(op.input_shapes[0]) == 4 and options_of(op)["dim"] == [2, 3]:
        yield None, nn.AdaptiveAvgPool2d(1)
        if not op.options["keepdim"]:
            yield None, nn.Flatten()
        return
    if name not in _FUNCTIONS:
        where = op.path or "its own code"
        raise no_chain(model, f"in {where} it calls {op.name}, for which there is no module")
    known = signature(_FUNCTIONS[name]).parameters
    options = {option: value for option, value in options_of(op).items() if option in known}
    yield None, _FUNCTIONS[name](**options)


def _named(model: nn.Module, parts: Iterable[Part]) -> dict[str, nn.Module]:
    """Give a name to each part without one, and a second name to a module that runs again."""
    parts = list(parts)
    named: dict[str, nn.Module] = {}
    for place, (path, module) in enumerate(parts):
        later = [other for other, _ in parts[place + 1 :] if other is not None]
        if path is None:
            module.train(model.training)
            path = _beside(next(reversed(named), ""), next(iter(later), ""), _short_name(module))
        elif path not in named:
            named[path] = module
            continue
        elif module.state_dict():
            raise no_chain(model, f"{path} runs twice, and it has weights")
        named[free_name(path, [*named, *later])] = module
    return named


def _beside(before: str, after: str, name: str) -> str:
    """Return the path of a module between two others: in the innermost container of both."""
    pairs = zip(before.split(".")[:-1], after.split(".")[:-1], strict=False)
    shared = [part for part, other in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return ".".join([*shared, name])


def _short_name(module: nn.Module) -> str:
    if isinstance(module, SpatialPyramidPool):
        return "spp"
    return type(module).__name__.removeprefix("Adaptive").removesuffix("2d").lower()


def free_name(path: str, taken: Sequence[str]) -> str:
    """Return `path`, with a number if a module of that name, or in a group of it, is taken."""
    names = [path, *(f"{path}_{number}" for number in range(1, len(taken) + 1))]
    return next(n for n in names if not any(f"{t}.".startswith(f"{n}.") for t in taken))
