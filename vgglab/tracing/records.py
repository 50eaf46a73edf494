"""What a trace consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vgglab.shapes import Window
from vgglab.tracing.operations import Op, Shape
from vgglab.tracing.size_reads import Computed


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model: what is needed of it without its data."""

    name: str
    shape: Shape
    count: int
    bytes: int
    trainable: bool


@dataclass
class ModuleCall:
    """One call of a module.

    Attributes
    ----------
    index
        Its place in `Trace.calls`, in order of their beginning.
    parent
        The index of the call around it; ``None`` for the model itself.
    path
        Path of the module; ``""`` is the model itself.
    type
        Class of the module.
    is_leaf
        Whether the module holds no modules.
    is_sequence
        Whether the module is a ``Sequential`` or a ``ModuleList``.
    repeated
        Whether the same module had been called before.
    parameters
        Names of the parameters that the module itself holds, those of its children left out.
    input_shapes
        Shapes of the tensors that came.
    first_op
        How many operations had been executed when it began.
    output_shapes
        Shapes of the tensors that it returned; empty if it did not end.
    output_bytes
        Bytes of those tensors.
    finished
        How many calls had ended before it did; ``None`` if it did not.
    """

    index: int
    parent: int | None
    path: str
    type: str
    is_leaf: bool
    is_sequence: bool
    repeated: bool
    parameters: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    first_op: int
    output_shapes: tuple[Shape, ...] = ()
    output_bytes: tuple[int, ...] = ()
    finished: int | None = None


class CodeLine(NamedTuple):
    """A line of somebody's source.

    Attributes
    ----------
    file
        Name of the file, as Python has it.
    number
        Of the line, from 1.
    code
        Its text; empty if the source is not at hand.
    """

    file: str
    number: int
    code: str


@dataclass(frozen=True)
class Failure:
    """Where and why the forward stopped.

    Attributes
    ----------
    path
        Path of the innermost module in which it stopped.
    type
        Class of that module.
    op
        The operation that refused, without outputs; ``None`` if the error came from Python code.
    input_shapes
        Shapes of all tensors that came to that operation, parameters included.
    error
        Class of the exception.
    message
        Its text.
    line
        The innermost line of code that is neither torch's nor ours; ``None`` if there is none.
    """

    path: str
    type: str
    op: Op | None
    input_shapes: tuple[Shape, ...]
    error: str
    message: str
    line: CodeLine | None = None

    @property
    def operation(self) -> str | None:
        """Torch's name of the operation that refused."""
        return None if self.op is None else self.op.name


@dataclass(frozen=True)
class Trace:
    """What happened when a model was run.

    Attributes
    ----------
    model_type
        Class of the model.
    input_sizes
        Shapes of the inputs.
    input_bytes
        Bytes of the inputs.
    saved_input_bytes
        Those of them that autograd keeps for the backward pass; ``None`` without autograd.
    parameters
        All parameters by name, shared ones once.
    modules
        The class of each module, by path; shared ones once.
    ops
        The operations in order, up to the failure if there was one.
    calls
        The calls of modules in order, up to the failure if there was one.
    output_shapes
        Shapes of the tensors that the model returned.
    output_sources
        The operations whose outputs these are, by index; the model's k-th input is ``-1 - k``.
    failure
        ``None`` if the forward ended.
    fallback
        ``None`` if the model ran on the meta device, else why it had to run for real.
    reads_sizes
        Whether code that is not torch's asked a tensor for its size, or was not watched (as
        TorchScript cannot be). Where it is not so, the forward does the same at every size, unless
        it catches an error.
    comparisons
        What that code compared of the sizes that it got, or computed of them.
    hooks_left_out
        Paths of the modules whose hooks did not run, because they are the caller's: see `trace`.
    call_options
        The other arguments of `trace`, with which it can be made again.
    """

    model_type: str
    input_sizes: tuple[Shape, ...]
    input_bytes: int
    saved_input_bytes: int | None
    parameters: Mapping[str, Parameter]
    modules: Mapping[str, str]
    ops: tuple[Op, ...]
    calls: tuple[ModuleCall, ...]
    output_shapes: tuple[Shape, ...]
    output_sources: tuple[int, ...]
    failure: Failure | None = None
    fallback: str | None = None
    reads_sizes: bool = True
    comparisons: tuple[Computed, ...] = field(default=(), repr=False)
    hooks_left_out: tuple[str, ...] = ()
    call_options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def windows(self, axis: int) -> list[Window]:
        """Return the windows between the first input and the last feature map, along one axis.

        Give them to `vgglab.input_sizes`. The feature map ends where its height and width are
        pooled to a fixed size or flattened.

        Parameters
        ----------
        axis
            0 for the height, 1 for the width.

        Raises
        ------
        ValueError
            If `axis` is neither, or if paths through different windows meet (as in a ResNet).
        """
        if axis not in (0, 1):
            raise ValueError(f"axis must be 0 (height) or 1 (width); got {axis!r}")
        chains: dict[int, tuple[Window, ...]] = {-1: ()}
        last: tuple[Window, ...] = ()
        for op in self.ops:
            incoming = {chains[source] for source in op.sources if source in chains}
            if not incoming:
                continue
            if len(incoming) > 1:
                raise ValueError(
                    f"paths through different windows meet in {op.name} at {op.path!r}: "
                    "there is no single chain of windows"
                )
            (chain,) = incoming
            if op.windows is not None:
                window = op.windows[axis]
                # A 1x1 window at every pixel changes no size.
                last = chain if window == Window(kernel_size=1) else (*chain, window)
            elif op.input_shapes[0][-2:] == op.output_shapes[0][-2:]:
                last = chain
            else:
                continue
            chains[op.index] = last
        return list(last)
