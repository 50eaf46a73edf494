"""The line of the source to change, where a network stops and no repair is to be applied."""

import importlib.util
from pathlib import Path
from types import ModuleType

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
        "replaces `nn.BatchNorm2d(8)` of line 7",
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
        "must have the channels of the weights",
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


def imported(path: Path, code: str) -> ModuleType:
    path.write_text(
        f"import torch\nimport torch.nn.functional as F\nfrom torch import nn\n{code}",
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
    assert f"net.py line {line + 3}" in found.advice  # three lines of imports come first
    assert said in found.advice
    assert f"In the source: {found.advice}" in str(found)


def test_a_layer_that_no_source_builds_has_no_line() -> None:
    assert constructor(nn.Sequential(nn.Linear(2, 3)), "0") is None
