"""Error messages as people posted them, and texts that are almost such messages."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read(name: str) -> Any:
    return json.loads((Path(__file__).parent / "data" / name).read_text(encoding="utf-8"))


POSTED = read("error_messages.json")
# Posted too, with all that may be said first, and mostly with the network.
REPORTS = [report for report in read("reports.json") if report["message"]]
# Of other frameworks, runtimes and years, and about something else than shapes.
BY_KIND: dict[str, list[str]] = read("messages_by_kind.json")

# One for each wording and cause that nobody's message above has.
FURTHER = [
    "height 100 must be divisible by grid 8",
    "a and b must have same reduction dim, but got [1, 73728] X [25088, 4096].",
    "InvalidArgumentError: Matrix size-incompatible: In[0]: [16,32768], In[1]: [25088,4096]",
    "size mismatch, [4096 x 25088], [32768] at /torch/pkg/torch/lib/TH/generic/THTensorMath.c:672",
    "size mismatch, got input (1), mat (1x73728), vec (25088)",
    "size mismatch, got input (4096), mat (4096x25088), vec (73728)",
    "matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature "
    "(n?,k),(k,m?)->(n?,m?) (size 25088 is different from 73728)",
    "Expected size for first two dimensions of batch2 tensor to be: [8, 64] but got: [8, 49].",
    "mat1 and mat2 shapes cannot be multiplied (512x144 and 25088x4096)",
    "mat1 and mat2 shapes cannot be multiplied (6144x12 and 25088x4096)",
    "mat1 and mat2 shapes cannot be multiplied (14336x7 and 2048x1000)",
    "mat1 and mat2 shapes cannot be multiplied (8x100352 and 2048x1000)",
    "mat1 and mat2 shapes cannot be multiplied (8x2304 and 256x10)",
    "mat1 and mat2 shapes cannot be multiplied (8x2048 and 8192x10)",
    "mat1 and mat2 shapes cannot be multiplied (16x784 and 10x784)",
    "shape '[-1, 25088]' is invalid for input of size 73728",
    "shape '[32, 128, 9, 9]' is invalid for input of size 802816",
    "shape '[64, 784]' is invalid for input of size 12544",
    "shape '[-1, 300]' is invalid for input of size 12800",
    "invalid argument 2: size '[-1 x 400]' is invalid for input with 384 elements",
    "Need input of dimension 4 and input.size[1] == 3 but got input to be of shape: "
    "[1 x 28 x 28]; Need input.size[1] == 3 but got 1 instead.",
    "Input 0 of layer conv2d is incompatible with the layer: expected axis -1 of input shape to "
    "have value 3 but received input with shape (None, 256, 256, 1)",
    "Given groups=1, weight of size [16, 1, 3, 3], expected input[1, 8, 28, 28] to have 1 "
    "channels, but got 8 channels instead",
    "Expected 4D (or 3D) input to conv2d, but got input of size: [28, 28]",
    "Expected 4D tensor as input, got 3D tensor instead.",
    "expected 2D or 3D input (got 4D input)",
    "adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got [8, 8]",
    "Invalid channel dimensions",
    "expected input's size at dim=1 to match num_features (8), but got: 4.",
    "Expected weight to be a vector of size equal to the number of channels in input, but got "
    "weight of shape [4] and input of shape [1, 8, 5, 5]",
    "Given input size per channel: [2, 2]. Calculated output size per channel: [0, 0]. Output size "
    "is too small",
    "Trying to create tensor with negative dimension -2: [1, 8, -2, -2]",
    "Negative dimension size caused by subtracting 3 from 2 for 'Conv2D'",
    "The size of tensor a (64) must match the size of tensor b (128) at non-singleton dimension 1",
    "The size of tensor a (64) must match the size of tensor b (256) at non-singleton dimension 3",
    "Error(s) in loading state_dict for VGG: size mismatch for classifier.0.weight: copying a "
    "param with shape torch.Size([4096, 25088]) from checkpoint, the shape in current model is "
    "torch.Size([4096, 73728]).",
    "While copying the parameter named conv1.weight, whose dimensions in the model are "
    "torch.Size([64, 1, 7, 7]) and whose dimensions in the checkpoint are "
    "torch.Size([64, 3, 7, 7])",
    "size mismatch for bn1.bias: copying a param with shape torch.Size([64]) from checkpoint, "
    "the shape in current model is torch.Size([32]).",
    "Expected input batch_size (1) to match target batch_size (64).",
    "input and target shapes do not match: input [400 x 10], target [64 x 10]",
    "stack expects each tensor to be equal size, but got [3, 32, 32] at entry 0 and [1, 32, 32] "
    "at entry 5",
    "Wrong image height! Expected 224 but got 400!",
    "Input height (400) doesn't match model (224).",
    'Input 0 of layer "model" is incompatible with the layer: expected shape=(None, 224, 224, 3), '
    "found shape=(None, 256, 256, 3)",
    "INVALID_ARGUMENT : Got invalid dimensions for input: x for the following indices "
    "index: 2 Got: 400 Expected: 224",
]

MESSAGES = [
    *(posted["message"] for posted in POSTED),
    *(report["message"] for report in REPORTS),
    *FURTHER,
    *(message for messages in BY_KIND.values() for message in messages),
]

ALPHABET = "abcdefgh ()[]{}x×,.:'\"0123456789-–\n\t\\/*+?$^|éßſıK漢字😀\u00a0\u200b"


def mutated(count: int, seed: int | str = 0) -> Iterator[str]:
    """Yield messages with something changed, and a few strings that never were one."""
    generator = random.Random(seed)
    for _ in range(count):
        yield generator.choice(MUTATIONS)(generator, generator.choice(MESSAGES))


def _other_numbers(generator: random.Random, text: str) -> str:
    def number(match: re.Match[str]) -> str:
        return str(generator.randrange(10 ** generator.randint(1, 14)))

    return re.sub(r"\d+", number, text)


def _multiples(generator: random.Random, text: str) -> str:
    return re.sub(r"\d+", lambda match: str(int(match[0]) * generator.choice([1, 2, 4, 9])), text)


def _other_characters(generator: random.Random, text: str) -> str:
    characters = list(text)
    for _ in range(generator.randint(1, 5)):
        at = generator.randrange(len(characters))
        characters[at] = generator.choice([*ALPHABET, "", characters[at] * 3])
    return "".join(characters)


def _part(generator: random.Random, text: str) -> str:
    start, stop = sorted(generator.choices(range(len(text) + 1), k=2))
    return text[start:stop] or "?"


def _two(generator: random.Random, text: str) -> str:
    return text + "\n" + generator.choice(MESSAGES)


def _traceback(generator: random.Random, text: str) -> str:
    line = '  File "model.py", line 12, in forward\n    x = self.fc(x)\n'
    return (
        "Traceback (most recent call last):\n"
        + line * generator.choice([1, 5, 20, 300])
        + text
        + "\n"
    )


def _noise(generator: random.Random, text: str) -> str:
    return "".join(generator.choices(ALPHABET, k=generator.randint(1, 200))) + "?"


MUTATIONS = [
    _other_numbers,
    _multiples,
    _other_characters,
    _part,
    _two,
    _traceback,
    _noise,
]
