"""Answers that do no work: they return one thing whatever they are asked, or raise."""

from collections.abc import Callable, Sequence
from typing import Any

CONSTANTS = """
None | True | False | 0 | 1 | -1 | 2 | 0.0 | 1.0 | 0.5 | float("inf") | float("nan") | "" | "a"
[] | () | {} | [0] | (0, 0) | (1, 1) | (0.0, 0.0, 0.0) | [[]] | {0: 0.0} | "no difference seen"
"no difference that matters" | "ours is better" | "ours is worse"
"""
BODIES = (
    *(
        f"return {value.strip()}"
        for value in CONSTANTS.replace("\n", "|").split("|")
        if value.strip()
    ),
    *(f"raise {name}" for name in ("ValueError", "TypeError", "RuntimeError", "Exception")),
    "return args[0] if args else None",
    "return args",
)
WITH_TORCH = """
class Network(torch.nn.Module):
    def __init__(self, error=None):
        super().__init__()
        self.error = error
    def forward(self, *args):
        if self.error is not None:
            raise self.error
"""
TORCH_BODIES = (
    *("return torch.tensor(0.0)", "return torch.zeros(1)", "return torch.nn.Identity()"),
    *("return torch.nn.Sequential()", "return torch.nn.Sequential(torch.nn.Flatten())"),
    *(f"return Network({e})" for e in ("", "ValueError", "TypeError", "RuntimeError")),
    "return args[0].clone()",
    *("return torch.zeros_like(args[0])", "return (args[0],) * 3", "return (args[0],) * 2"),
)


def sources(functions: Sequence[str], packages: Sequence[str]) -> list[str]:
    """Return an answer cell that defines these functions, for each constant."""
    torch = "torch" in packages
    head = f"import torch\n{WITH_TORCH}" if torch else ""
    return [
        head + "\n".join(f"def {name}(*args, **options): {body}" for name in functions)
        for body in (*BODIES, *(TORCH_BODIES if torch else ()))
    ]


def constants(packages: Sequence[str]) -> list[Callable[..., Any]]:
    """Return these answers as functions."""
    found = []
    for source in sources(["answer"], packages):
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        found.append(namespace["answer"])
    return found
