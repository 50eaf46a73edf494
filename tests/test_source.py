"""The line of the source to change, where a network stops and no repair is to be applied."""

import importlib.util
import linecache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from vgglab import diagnose
from vgglab.diagnose.source import constructor

# The body of a network; the size of its input; the number of the line, counted from the class's
# own, and what is said of it.
NETWORKS = {
    "a linear layer": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.fc = nn.Linear(2048, 10)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
""",
        (2, 3, 48, 48),
        5,
        "`nn.Linear(2048, 10)` → `nn.Linear(4608, 10)`",
    ),
    "in a sequence": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2048, 10),
        )

    def forward(self, x):
        return self.head(self.conv(x))
""",
        (2, 3, 48, 48),
        7,
        "`nn.Linear(2048, 10)` → `nn.Linear(4608, 10)`",
    ),
    "with a name and other arguments": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(3, 8, 3, 2, 1)
        self.rnn: nn.Module = nn.LSTM(
            input_size=8 * 4, hidden_size=9, dropout=0.1, num_layers=2,
        )

    def forward(self, x):
        return self.rnn(self.conv(x).permute(3, 0, 1, 2).flatten(2))[0]
""",
        (2, 3, 16, 16),
        5,
        "→ `nn.LSTM( input_size=64, hidden_size=9, dropout=0.1, num_layers=2, )`",
    ),
    "under weight_norm, joined by a backslash, beside text that is not indented": (
        '''class Net(nn.Module):
    def __init__(self):
        """Say
something."""
        super().__init__(); self.conv = nn.Conv2d(3, 8, 3, 2, 1); \\
        self.fc = parametrizations.weight_norm(nn.Linear(2048, 10, bias=False))

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
''',
        (2, 3, 48, 48),
        6,
        "→ `parametrizations.weight_norm(nn.Linear(4608, 10, bias=False))`",
    ),
    "a layer of a network from elsewhere": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential()
        self.net.conv, self.net.flatten = nn.Conv2d(3, 8, 3, 2, 1), nn.Flatten()
        self.net.fc = nn.Sequential(nn.Linear(2048, 10))

    def forward(self, x):
        return self.net(x)
""",
        (2, 3, 48, 48),
        6,
        "`nn.Linear(2048, 10)` → `nn.Linear(4608, 10)`",
    ),
    "a normalisation": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(16, momentum=0.2)

    def forward(self, x):
        return self.norm(self.conv(x))
""",
        (2, 3, 32, 32),
        5,
        "→ `nn.BatchNorm2d(8, momentum=0.2)`",
    ),
    "an attention": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 8, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]
""",
        (2, 12, 80),
        4,
        "→ `nn.MultiheadAttention(80, 8, batch_first=True)`",
    ),
    "batch and steps of a recurrent layer": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 4)

    def forward(self, x):
        return self.rnn(x, torch.zeros(1, x.size(0), 4, device=x.device))[0]
""",
        (5, 12, 6),
        4,
        "with batch_first=True",
    ),
    "a shortcut that is missing": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x):
        return self.conv(x) + x
""",
        (2, 3, 32, 32),
        7,
        "let one of the two ways pass nn.Conv2d(3, 8, 1, stride=2)",
    ),
    "two of one name": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.norm = nn.BatchNorm1d(10)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = self.norm(self.conv(x)).mean((2, 3))
        return self.norm(self.fc(x))
""",
        (2, 3, 32, 32),
        5,
        "replaces `nn.BatchNorm2d(8)` of line 8",
    ),
    "one of two branches": (
        """class Net(nn.Module):
    def __init__(self, deep=False):
        super().__init__()
        if deep:
            self.norm = nn.BatchNorm2d(3)
        else:
            self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x)
""",
        (2, 3, 32, 32),
        7,
        "`nn.BatchNorm1d(3)` → `nn.BatchNorm2d(3)`",
    ),
    "a block of one's own": (
        """class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x):
        return x * self.fc(x.mean((2, 3)))[..., None, None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3)
        self.gate = Gate(8)

    def forward(self, x):
        return self.gate(self.conv(x))
""",
        (2, 3, 32, 32),
        14,
        "`Gate(8)` builds it for 8; give it what makes gate.fc take 32",
    ),
    "a skip connection": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 8, 2, 2), nn.ConvTranspose2d(8, 3, 2, 2)

    def forward(self, x):
        y = self.up(self.down(x))
        return torch.cat([x, y], 1)
""",
        (2, 3, 33, 33),
        8,
        "`return torch.cat([x, y], 1)`: bring what meets here to one size",
    ),
    "a functional convolution": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 3, 3, 3))

    def forward(self, x):
        x = x.repeat(1, 2, 1, 1)
        return F.conv2d(x, self.weight)
""",
        (2, 3, 32, 32),
        8,
        "must have the channels that are wanted",
    ),
    "a recurrent layer": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(16, 4, num_layers=2, bidirectional=True)

    def forward(self, x):
        return self.rnn(x)[0]
""",
        (7, 2, 12),
        4,
        "→ `nn.LSTM(12, 4, num_layers=2, bidirectional=True)`",
    ),
    "a view written down": (
        """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x):
        x = self.conv(x)
        return x.view(2, 8, 16, 16).mean((2, 3))
""",
        (2, 3, 48, 48),
        8,
        "take it from x.shape",
    ),
    "too small": (
        """class Net(nn.Module):
    def forward(self, x):
        for _ in range(5):
            x = F.max_pool2d(x, 2)
        return x
""",
        (2, 3, 16, 16),
        4,
        "leave out a halving before it",
    ),
}


IMPORTS = """import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
"""


def imported(path: Path, code: str) -> ModuleType:
    path.write_text(
        f"{IMPORTS}{code}",
        encoding="utf-8",
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_the_line_to_change_is_named(name: str, tmp_path: Path) -> None:
    code, size, line, said = NETWORKS[name]
    network = imported(tmp_path / "net.py", code).Net()
    found = diagnose(network, size)
    assert not found.ok
    assert f"net.py line {line + IMPORTS.count(chr(10))}" in found.advice
    assert said in found.advice
    assert f"In the source: {found.advice}" in str(found)


def test_a_layer_that_no_source_builds_has_no_line() -> None:
    assert constructor(nn.Sequential(nn.Linear(2, 3)), "0") is None


BODY = """
    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
"""
LAYERS = "self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(2048, 10)"

# Networks whose layers no line of a def builds, or not one that can be found.
OTHERWISE = {
    "a lambda": f"""class Net(nn.Module):
    __init__ = lambda self: (nn.Module.__init__(self), build(self))[0]
{BODY}
def build(self):
    {LAYERS}
""",
    "a partial method": f"""class Net(nn.Module):
    def build(self, features):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(features, 10)

    __init__ = functools.partialmethod(build, 2048)
{BODY}""",
    "a data class": f"""@dataclasses.dataclass(eq=False)
class Net(nn.Module):
    features: int = 2048

    def __post_init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(self.features, 10)
{BODY}""",
    "__new__": f"""class Net(nn.Module):
    def __new__(cls):
        self = super().__new__(cls)
        nn.Module.__init__(self)
        {LAYERS}
        return self

    def __init__(self):
        pass
{BODY}""",
    "type": f"""class Base(nn.Module):
{BODY}
def init(self):
    nn.Module.__init__(self)
    for name, layer in (("conv", nn.Conv2d(3, 8, 3, 2, 1)), ("fc", nn.Linear(2048, 10))):
        setattr(self, name, layer)

Net = type("Net", (Base,), {{"__init__": init}})
""",
    "code that was executed": f"""exec('''
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        {LAYERS}
{BODY}
''')
""",
    "a layer that was replaced": f"""class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(4608, 10)
{BODY}
def Net():
    net = Inner()
    net.fc = nn.Linear(2048, 10)
    return net
""",
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_layer_that_no_def_builds_is_described(name: str, tmp_path: Path) -> None:
    code = f"import dataclasses, functools\n{OTHERWISE[name]}"
    found = diagnose(imported(tmp_path / "other.py", code).Net(), (2, 3, 48, 48))
    assert "where fc is built, `nn.Linear(2048, 10)` → `nn.Linear(4608, 10)`" in str(found)


DEFINED = (
    f"class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    f"        {LAYERS}\n{BODY}"
)
CHANGED = ["", "x", "\x00\n" * 9, '"""\n(\n' * 9, "x = (\n" * 9, "  def __init__(s)\n" * 9]


@pytest.mark.parametrize("text", CHANGED)
def test_a_file_that_has_changed_since_is_no_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "changed.py"
    network = imported(path, DEFINED).Net()
    path.write_text(text, encoding="utf-8")
    linecache.clearcache()
    assert "nn.Linear(4608, 10)" in str(diagnose(network, (2, 3, 48, 48)))


def test_a_line_of_a_notebook_is_that_of_its_cell() -> None:
    names: dict[str, Any] = {}
    cell, file = IMPORTS + DEFINED, "/tmp/ipykernel_12/345.py"
    linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
    exec(compile(cell, file, "exec"), names)
    line = 1 + cell[: cell.index("self.fc")].count("\n")
    advice = diagnose(names["Net"](), (2, 3, 48, 48)).advice
    assert advice.startswith((f"cell line {line}: `nn.Linear(2048", "where fc is built"))
