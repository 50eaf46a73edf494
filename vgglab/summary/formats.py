"""The tables of two other tools, with their own figures, under their own conventions.

People paste these tables into questions. To explain a figure one must be able to reproduce it.
Both are written from the behaviour of the tools: torchsummary 1.5.1
(https://github.com/sksq96/pytorch-summary) and torchinfo 1.8.0
(https://github.com/TylerYep/torchinfo).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from vgglab.report import MIB
from vgglab.tracing import ModuleCall, Parameter, Trace

MB = 10**6

TORCHSUMMARY_CONVENTIONS = (
    "Conventions of torchsummary 1.5.1: one image, whatever the batch; MB is 2**20 bytes; "
    "4 bytes a number; the pass size is twice the output of every module call, in-place or not; "
    "no optimizer."
)
TORCHINFO_CONVENTIONS = (
    "Conventions of torchinfo 1.8.0: the whole batch; MB is 10**6 bytes; mult-adds count biases "
    "and normalisation parameters; the pass size is twice the output of the modules with "
    "parameters; no optimizer."
)


def torchsummary_table(trace: Trace) -> str:
    """Return torchsummary's table, and a line with its conventions."""
    calls = sorted(
        (
            call
            for call in trace.calls
            if call.path and call.finished is not None and not call.is_sequence
        ),
        key=lambda call: call.finished or 0,
    )
    rule, double_rule = "-" * 64, "=" * 64
    lines = [rule, _torchsummary_row("Layer (type)", "Output Shape", "Param #"), double_rule]
    total_params = trainable_params = outputs = 0
    for number, call in enumerate(calls, start=1):
        # Only what the module calls "weight" and "bias" is counted, at every call.
        own = {name.rpartition(".")[2]: trace.parameters[name] for name in call.parameters}
        params = sum(own[name].count for name in ("weight", "bias") if name in own)
        total_params += params
        if "weight" in own and own["weight"].trainable:
            trainable_params += params
        shapes = [[-1, *shape[1:]] for shape in call.output_shapes]
        # The batch of -1 is part of the product: two outputs of one module make it positive.
        outputs += prod(prod(shape) for shape in shapes)
        shown = shapes[0] if len(shapes) == 1 else shapes
        lines.append(_torchsummary_row(f"{call.type}-{number}", str(shown), f"{params:,}"))
    input_size = prod(prod(size[1:]) for size in trace.input_sizes) * 4 / MIB
    pass_size = abs(2 * outputs * 4 / MIB)
    params_size = total_params * 4 / MIB
    return "\n".join(
        [
            *lines,
            double_rule,
            f"Total params: {total_params:,}",
            f"Trainable params: {trainable_params:,}",
            f"Non-trainable params: {total_params - trainable_params:,}",
            rule,
            f"Input size (MB): {input_size:.2f}",
            f"Forward/backward pass size (MB): {pass_size:.2f}",
            f"Params size (MB): {params_size:.2f}",
            f"Estimated Total Size (MB): {input_size + pass_size + params_size:.2f}",
            rule,
            TORCHSUMMARY_CONVENTIONS,
        ]
    )


def _torchsummary_row(layer: str, output_shape: str, params: str) -> str:
    return f"{layer:>20}  {output_shape:>25} {params:>15}"


@dataclass
class _Node:
    """A line of torchinfo's tree."""

    path: str
    type: str
    depth: int
    repeated: bool = False
    call: ModuleCall | None = None  # None: a container that is never called
    number: int = 0
    below: list["_Node"] = field(default_factory=list)
    params: int = 0
    trainable: int = 0

    @property
    def is_leaf(self) -> bool:
        return self.call is not None and self.call.is_leaf

    @property
    def title(self) -> str:
        return f"{self.type}: {self.depth}-{self.number}" if self.depth else self.type

    def leftover(self, count: str) -> int:
        """Return the parameters that no line below accounts for."""
        own: int = getattr(self, count)
        return own - sum(
            getattr(node, count) if node.is_leaf else node.leftover(count)
            for node in self.below
            if not node.repeated
        )


def torchinfo_table(trace: Trace, max_depth: int = 3) -> str:
    """Return torchinfo's table with its default columns, and a line with its conventions."""
    nodes = _torchinfo_nodes(trace)
    widest = max(len(node.title) + 5 * node.depth + 1 for node in nodes)
    name_width = 40 if widest < 40 else 5 * math.ceil(widest / 5)
    rule = "=" * (name_width + 2 * 25)

    total_params = trainable_params = mult_adds = pass_bytes = params_bytes = 0
    lines = [rule, _torchinfo_row(name_width, "Layer (type:depth-idx)", "Output Shape", "Param #")]
    lines.append(rule)
    for node in nodes:
        if node.is_leaf:
            mult_adds += _torchinfo_mult_adds(trace, node)
            if node.params and node.call is not None:
                pass_bytes += 2 * sum(node.call.output_bytes[:1])
        if not node.repeated:
            total_params += max(0, node.params if node.is_leaf else node.leftover("params"))
            trainable_params += max(
                0, node.trainable if node.is_leaf else node.leftover("trainable")
            )
            if node.is_leaf:
                params_bytes += sum(p.bytes for p in _parameters_below(trace, node.path))
        if node.depth <= max_depth:
            branch = "" if node.depth == 0 else "├─" if node.depth == 1 else "└─"
            indent = "│    " * (node.depth - 1)
            shape = node.call.output_shapes[0] if node.call and node.call.output_shapes else ()
            lines.append(
                _torchinfo_row(
                    name_width,
                    f"{indent}{branch}{node.title}",
                    str(list(shape)) if shape else "--",
                    _torchinfo_params(node, max_depth),
                )
            )
    input_bytes = trace.input_bytes
    return "\n".join(
        [
            *lines,
            rule,
            f"Total params: {total_params:,}",
            f"Trainable params: {trainable_params:,}",
            f"Non-trainable params: {total_params - trainable_params:,}",
            f"Total mult-adds{_torchinfo_count(mult_adds)}",
            rule,
            f"Input size (MB): {input_bytes / MB:.2f}",
            f"Forward/backward pass size (MB): {pass_bytes / MB:.2f}",
            f"Params size (MB): {params_bytes / MB:.2f}",
            f"Estimated Total Size (MB): {(input_bytes + pass_bytes + params_bytes) / MB:.2f}",
            rule,
            TORCHINFO_CONVENTIONS,
        ]
    )


def _torchinfo_nodes(trace: Trace) -> list[_Node]:
    """Return the lines of the tree: module calls, and containers around them, numbered by depth."""
    nodes: list[_Node] = []
    shown: dict[int, str] = {}  # the path at each depth above the current line
    seen: set[str] = set()
    for call in trace.calls:
        parts = call.path.split(".") if call.path else []
        for depth in range(1, len(parts)):
            path = ".".join(parts[:depth])
            if shown.get(depth) != path:
                nodes.append(_Node(path, trace.modules[path], depth, repeated=path in seen))
                shown[depth] = path
                seen.add(path)
        nodes.append(_Node(call.path, call.type, len(parts), call.repeated, call))
        seen.add(call.path)
        shown = {depth: path for depth, path in shown.items() if depth < len(parts)}
        shown[len(parts)] = call.path

    numbers: dict[int, int] = {}
    open_nodes: list[_Node] = []
    for node in nodes:
        numbers[node.depth] = node.number = numbers.get(node.depth, 0) + 1
        parameters = list(_parameters_below(trace, node.path))
        node.params = sum(p.count for p in parameters)
        node.trainable = sum(p.count for p in parameters if p.trainable)
        open_nodes = [above for above in open_nodes if above.depth < node.depth]
        for above in open_nodes:
            above.below.append(node)
        open_nodes.append(node)
    return nodes


def _parameters_below(trace: Trace, path: str) -> Iterator[Parameter]:
    prefix = f"{path}." if path else ""
    return (p for name, p in trace.parameters.items() if name.startswith(prefix))


def _torchinfo_mult_adds(trace: Trace, node: _Node) -> int:
    if node.call is None or not node.call.output_shapes:
        return 0
    shape = node.call.output_shapes[0]
    total = 0
    for parameter in _parameters_below(trace, node.path):
        name = parameter.name.rpartition(".")[2]
        if name in ("weight", "bias"):
            places = shape[:1] + shape[2:] if "Conv" in node.type else shape[:1]
        elif "weight" in name or "bias" in name:  # recurrent layers: weight_ih_l0 and so on
            places = shape[:2]
        else:
            continue
        total += parameter.count * prod(places)
    return total


def _torchinfo_params(node: _Node, max_depth: int) -> str:
    if node.params == 0:
        return "--"
    if node.repeated:
        return "(recursive)"
    if node.is_leaf or node.depth == max_depth:
        return f"{node.params:,}" if node.trainable else f"({node.params:,})"
    leftover = node.leftover("params")
    return f"{leftover:,}" if leftover > 0 else "--"


def _torchinfo_row(name_width: int, name: str, output_shape: str, params: str) -> str:
    return f"{name:<{name_width}} {output_shape:<25} {params:<25} ".rstrip()


def _torchinfo_count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= size or unit == "M":
            break
    value = number / size
    return f" ({unit}): {value:,.0f}" if value.is_integer() else f" ({unit}): {value:,.2f}"
