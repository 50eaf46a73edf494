import json
import re
import subprocess
import sys
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import torch
from error_messages import BY_KIND, MESSAGES, POSTED, REPORTS, mutated
from hypothesis import given
from hypothesis import strategies as st
from networks import Windowed, torchvision_network
from sampling import SEED, WIDE, examples, sampled
from torch import nn

from vgglab.explain import Cause, explain_error, format_causes, interpreter
from vgglab.models.network import vgg
from vgglab.shapes import Window, feature_map_sizes

RULES = json.loads((files("vgglab.explain") / "rules.json").read_text(encoding="utf-8"))
VGG_400 = "mat1 and mat2 shapes cannot be multiplied (1x73728 and 25088x4096)"


def kinds(message):
    return [cause.kind for cause in explain_error(message)]


def raised(function, *args):
    """The text of the error that a call raises."""
    with pytest.raises((RuntimeError, ValueError)) as error:
        function(*args)
    return str(error.value)


def meta(*shape):
    return torch.empty(*shape, device="meta")


# What people posted


@pytest.mark.parametrize("posted", POSTED, ids=lambda posted: posted["source"].split("/", 3)[-1])
def test_cause_of_the_thread_is_among_the_first_two(posted):
    assert posted["kind"] in kinds(posted["message"])[:2]


def test_cause_of_the_thread_comes_first():
    right = sum(kinds(posted["message"])[0] == posted["kind"] for posted in POSTED)
    assert right >= 0.9 * len(POSTED)


def test_posted_messages_are_many_and_of_every_kind():
    assert len({posted["message"] for posted in POSTED}) >= 40
    kinds_of_threads = {posted["kind"] for posted in POSTED}
    assert kinds_of_threads | {report["kinds"][0] for report in REPORTS} == set(RULES["kinds"])
    for posted in [*POSTED, *REPORTS]:
        assert posted["source"].startswith("https://")
        assert posted["note"]


# Of what must be said of the reports, what the message alone can say.
SAID = {
    "torchinfo-269": ["2·640", "took the batch", "flatten(x, 1)", "Do not set in_features to 1280"],
    "pytorch-139031": ["60 = 6·10", "torch.cat"],
    "csdn-mnist-800x4": ["20·4·4", "10·20·4", "flatten(x, 1)"],
    "senet-35": ["4·64", "all 256 are channels", "no image size"],
    "vision-416": ["another image size"],
    "hf-cv-course-308": ["512·7·7", "512·14·14", "one pooling of 2 is missing", "224 to 255"],
    "lfr-2": ["128·18", "128·10", "nn.Linear(1280, 128)"],
    "c3d-whitesnowdrop-1": ["512·7·7", "512·3·3"],
    "c3d-davidea-10": ["1 frame is too few", "16 frames"],
    "hku-7": ["4 images are glued into one row", "x.view(x.size(0), -1)"],
    "deeprobust-71": ["64·8·8", "64·7·7", "nn.Linear(3136, 1024)"],
    "pytorch-6316": ["BatchNorm1d", "nn.BatchNorm2d", "assigned twice"],
    "gconv-1": ["4 axes", "5", "3d for volumes"],
    "vision-2151": ["at least two images", "model.eval()", "Larger images help only"],
    "discogan-17": ["2·13·13", "1×1"],
    "pytorch-11762": ["x.unsqueeze(1)", "Not unsqueeze(0)"],
    "wtconv-34": ["128 channels", "built for"],
    "pate-1": ["1 channel", "convert('L')", "3 channels"],
    "yunjey-161": ["1 against 3", "Normalize([0.5], [0.5])"],
    "unetzoo-55": ["61 and 60", "multiples of the whole stride", "F.interpolate"],
    "pytorch-580": ["output_size", "multiples"],
    "artificio-12": ["460, 692", "458, 690", "does not give back the size"],
    "cnnvae-2": ["320, 320", "128, 128", "larger than planned"],
    "keras-4918": ["512·18·18", "576 to 607"],
    "tf-44404": ["2 numbers a pixel", "batch axis", "convert('L')"],
    "depthanything-onnx-14": ["518 pixels", "364", "export anew"],
    "pytorch-42653": ["16×16", "224, 448 or 672"],
    "unet-258": ["0 to classes - 1", "background"],
    "cpvton-30": ["reshape", "features is right"],
    "shape-16-400": ["24·5·5", "16·5·5"],
    "executorch-1350": ["ExecuTorch", "export anew"],
}


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report["id"])
def test_a_report_is_understood_and_told_what_it_must_be(report):
    causes = explain_error(report["message"])
    assert causes[0].kind in report["kinds"]
    text = " ".join(f"{cause.explanation} {cause.suggestion}" for cause in causes)
    assert [words for words in SAID[report["id"]] if words not in text] == []


@pytest.mark.parametrize("kind", BY_KIND)
def test_messages_of_each_kind(kind):
    for message in BY_KIND[kind]:
        assert kinds(message)[0] == kind, message


def test_what_is_about_something_else_is_unknown_and_nothing_more():
    for message in BY_KIND["unknown"]:
        assert kinds(message) == ["unknown"], message
    out_of_scope, all_messages = len(BY_KIND["unknown"]), sum(map(len, BY_KIND.values()))
    assert out_of_scope >= 100
    assert all_messages >= 5 * out_of_scope


def test_what_is_about_something_else_is_told_what_it_is_about():
    (cause,) = explain_error("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    assert "memory is full" in cause.explanation
    (cause,) = explain_error("ModuleNotFoundError: No module named 'timm'")
    assert "pip install" in cause.suggestion


# What torch itself says


# Of one number, however large it looks: torch checks the shapes before it multiplies.
FC6 = torch.empty(1, 1).expand(4096, 25088)


def error_at_fc6(height, width):
    features = 512 * (height // 32) * (width // 32)
    return raised(nn.functional.linear, torch.empty(1, 1).expand(1, features), FC6)


@given(size=st.one_of(st.integers(32, 223), st.integers(256, 2000)))
def test_size_of_the_image_is_read_back_from_vggs_message(size):
    cause = explain_error(error_at_fc6(size, size))[0]
    assert cause.kind == "input-size"
    first, last = map(
        int, re.search(r"images of (\d+) to (\d+) pixels", cause.explanation).groups()
    )
    assert first <= size <= last
    assert "224 to 255 pixels" in cause.suggestion


@given(height=st.integers(32, 700), ratio=st.floats(0.6, 1.7))
def test_size_of_a_rectangle_is_a_cause_too(height, ratio):
    width = max(32, int(height * ratio))
    sides = sorted([height // 32, width // 32])
    if sides[0] * sides[1] != 49 and sides[1] <= 2 * sides[0]:
        assert kinds(error_at_fc6(height, width))[0] == "input-size"


def test_vgg_at_400_in_every_wording():
    model = vgg("D", head="fc-fixed", device="meta")
    assert error_at_fc6(400, 400).endswith(VGG_400)  # torch 2.15 begins with the operation
    wordings = [
        VGG_400,
        raised(model, meta(1, 3, 400, 400)),
        "size mismatch, m1: [1 x 73728], m2: [25088 x 4096] at THTensorMath.cpp:940",
        "Dimensions must be equal, but are 73728 and 25088 for 'MatMul' (op: 'MatMul') with input "
        "shapes: [1,73728], [25088,4096]",
        "expected axis -1 of input shape to have value 25088 but received input with shape "
        "(None, 73728)",
    ]
    assert len({explain_error(wording)[0].explanation for wording in wordings}) == 1
    cause = explain_error(VGG_400)[0]
    assert cause.kind == "input-size"
    for number in ("512·7·7", "512·12·12", "384 to 415", "224 to 255"):
        assert number in cause.explanation


class Flat(nn.Module):
    """Some layers on 8 channels, and a linear layer made for maps of 5×5."""

    def __init__(self, *between):
        super().__init__()
        self.layers = nn.Sequential(*between, nn.Linear(200, 10))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("layers", "shape", "kind"),
    [
        ([nn.Flatten()], (2, 8, 9, 9), "input-size"),
        ([], (2, 8, 5, 5), "missing-flatten"),
        ([nn.Flatten()], (8, 25), "unbatched-input"),
        ([nn.Flatten()], (3, 150), "wrong-in-features"),
        ([nn.Conv2d(3, 8, 3)], (1, 1, 9, 9), "channel-mismatch"),
        ([nn.Conv2d(3, 8, 3)], (1, 9, 9, 3), "channel-mismatch"),
        ([nn.Conv2d(8, 8, 5)], (1, 8, 2, 2), "input-too-small"),
        ([nn.ConvTranspose2d(8, 8, 1, padding=4)], (1, 8, 2, 2), "input-too-small"),
        ([nn.MaxPool2d(4)], (1, 8, 3, 3), "input-too-small"),
        ([nn.Conv2d(8, 8, 3)], (1, 1, 8, 5, 5), "wrong-dimensions"),
        ([nn.BatchNorm2d(8)], (8, 5, 5), "unbatched-input"),
        ([nn.BatchNorm1d(8)], (1, 8, 5, 5), "wrong-dimensions"),
        ([nn.BatchNorm2d(4)], (1, 8, 5, 5), "channel-mismatch"),
        ([nn.GroupNorm(2, 4)], (1, 8, 5, 5), "channel-mismatch"),
        ([nn.InstanceNorm2d(4, affine=True)], (1, 8, 5, 5), "channel-mismatch"),
        ([nn.BatchNorm2d(8)], (1, 8, 1, 1), "batch-too-small"),
        ([nn.InstanceNorm2d(8)], (1, 8, 1, 1), "input-too-small"),
        ([nn.AdaptiveAvgPool2d(5)], (8, 5), "unbatched-input"),
        ([nn.ReflectionPad2d(4)], (1, 8, 3, 3), "input-too-small"),
        ([nn.MaxPool2d(2, padding=2)], (1, 8, 5, 5), "padding-mismatch"),
    ],
)
def test_errors_of_torchs_layers(device, layers, shape, kind):
    model = Flat(*layers).to(device)
    message = raised(model, torch.zeros(shape, device=device))
    assert kinds(message)[0] == kind, message


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: torch.zeros(1, 8, 28, 28) + torch.zeros(1, 8, 27, 27), "padding-mismatch"),
        (lambda: torch.zeros(1, 64, 7, 7) + torch.zeros(1, 128, 7, 7), "channel-mismatch"),
        (lambda: torch.zeros(1, 577, 8) + torch.zeros(1, 197, 8), "input-size"),
        (
            lambda: torch.einsum("bh,oh->bo", torch.zeros(1, 62), torch.zeros(2, 60)),
            "padding-mismatch",
        ),
        (
            lambda: torch.cat([torch.zeros(1, 8, 28, 28), torch.zeros(1, 8, 27, 27)], dim=1),
            "padding-mismatch",
        ),
        (lambda: torch.zeros(144, 512).view(-1, 25088), "input-size"),
        (lambda: torch.zeros(16, 784).view(64, 784), "batch-mixed"),
        (lambda: torch.stack([torch.zeros(3, 40, 40), torch.zeros(3, 30, 40)]), "input-size"),
        (lambda: torch.stack([torch.zeros(3, 40, 40), torch.zeros(1, 40, 40)]), "channel-mismatch"),
        (
            lambda: nn.functional.cross_entropy(
                torch.zeros(144, 10), torch.zeros(49, dtype=torch.long)
            ),
            "batch-mixed",
        ),
        (
            lambda: nn.functional.cross_entropy(
                torch.zeros(1, 10), torch.zeros(64, dtype=torch.long)
            ),
            "batch-mixed",
        ),
        (
            lambda: nn.Linear(8 * 81, 10).load_state_dict(nn.Linear(8 * 25, 10).state_dict()),
            "input-size",
        ),
        (
            lambda: nn.Linear(64, 10).load_state_dict(nn.Linear(64, 1000).state_dict()),
            "num-classes",
        ),
        (
            lambda: nn.Conv2d(1, 8, 3).load_state_dict(nn.Conv2d(3, 8, 3).state_dict()),
            "channel-mismatch",
        ),
        (lambda: torch.zeros(2, 3, 4).bmm(torch.zeros(2, 5, 4)), "wrong-in-features"),
        (lambda: np.zeros((2, 3)) @ np.zeros((4, 5)), "wrong-in-features"),
        (lambda: torchvision_network("vit_b_16", "meta")(meta(1, 3, 400, 400)), "input-size"),
        (lambda: torch.zeros(3, dtype=torch.long) @ torch.zeros(3), "unknown"),
        (lambda: torch.zeros(3)[torch.tensor(5)], "unknown"),
    ],
)
def test_errors_of_torchs_functions(call, kind):
    try:
        call()
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        message = str(error)
    assert kinds(message)[0] == kind, message


@pytest.mark.parametrize(
    ("message", "first", "second"),
    [
        (VGG_400, "input-size", "wrong-in-features"),
        (VGG_400.replace("1x73728", "3584x7"), "missing-flatten", "wrong-in-features"),
        (VGG_400.replace("1x73728", "6144x12"), "missing-flatten", "input-size"),
        (VGG_400.replace("1x73728", "512x144"), "unbatched-input", "input-size"),
        (
            "mat1 and mat2 shapes cannot be multiplied (14336x7 and 2048x1000)",
            "missing-pool",
            "missing-flatten",
        ),
        (
            "mat1 and mat2 shapes cannot be multiplied (8x8192 and 2048x1000)",
            "input-size",
            "missing-pool",
        ),
        (
            "shape '[-1, 25088]' is invalid for input of size 73728",
            "input-size",
            "wrong-in-features",
        ),
    ],
)
def test_order_of_causes(message, first, second):
    assert kinds(message)[:2] == [first, second]


def test_resnet_without_its_pooling():
    resnet = torchvision_network("resnet50", "meta")
    children = list(resnet.children())
    unpooled = nn.Sequential(*children[:-2], nn.Flatten(), children[-1])
    assert kinds(raised(unpooled, meta(2, 3, 224, 224)))[0] == "missing-pool"
    bare = nn.Sequential(*children)
    assert kinds(raised(bare, meta(2, 3, 224, 224)))[0] == "missing-flatten"


# The networks that the rules know


class CifarTutorial(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2))


def mnist(*layers):
    return nn.Sequential(*layers).to("meta")


def fixed_pooling(resnet):
    return nn.Sequential(*list(resnet.children())[:-2], nn.AvgPool2d(7, stride=1))


# The convolutional part, and the side of the images that the classifier was made for.
NETWORKS = {
    "VGG": (lambda: vgg("D", device="meta").features, 224),
    "a VGG for CIFAR-10": (lambda: vgg("D", device="meta").features, 32),
    "PyTorch's MNIST example": (
        lambda: mnist(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2)),
        28,
    ),
    "PyTorch's first MNIST example": (
        lambda: mnist(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2)),
        28,
    ),
    "AlexNet": (lambda: torchvision_network("alexnet", "meta").features, 224),
    "the network of PyTorch's CIFAR-10 tutorial": (lambda: CifarTutorial().to("meta"), 32),
    "a LeNet without padding": (lambda: CifarTutorial().to("meta"), 28),
    "a ResNet with a fixed 7×7 average pooling": (
        lambda: fixed_pooling(torchvision_network("resnet50", "meta")).eval(),
        224,
    ),
}


@pytest.mark.parametrize("network", RULES["networks"], ids=lambda network: network["name"])
def test_networks_are_torchs(network):
    build, usual = NETWORKS[network["name"]]
    features = build()
    windows = [Window(*window) for window in network["windows"]]
    smallest = interpreter.FUNCTIONS["first"](network["name"], 1)
    for size in [smallest, smallest + 1, 255, 256, 400]:
        images = meta(1, next(features.parameters()).shape[1], size, size)
        _, channels, height, width = features(images).shape
        assert channels == network["channels"]
        assert height == width == feature_map_sizes(size, windows)[-1]
    assert feature_map_sizes(usual, windows)[-1] == network["side"]


@given(
    network=st.sampled_from(RULES["networks"]),
    side=st.integers(1, 300),
)
def test_range_of_images_is_that_of_shapes(network, side):
    windows = [Window(*window) for window in network["windows"]]
    first = interpreter.FUNCTIONS["first"](network["name"], side)
    last = interpreter.FUNCTIONS["last"](network["name"], side)
    assert feature_map_sizes(first, windows)[-1] == feature_map_sizes(last, windows)[-1] == side
    assert feature_map_sizes(last + 1, windows)[-1] == side + 1
    assert first == 1 or feature_map_sizes(first - 1, windows)[-1] == side - 1


# However it is pasted


@pytest.mark.parametrize(
    "paste",
    [
        VGG_400 + " \n\n",
        f"RuntimeError: {VGG_400}",
        f"`{VGG_400}`",
        f"“{VGG_400}”",
        VGG_400.replace("x", " × "),
        VGG_400.replace("x", "*"),
        VGG_400.replace("x", "х"),  # the Russian letter
        VGG_400.replace("73728", "73,728").replace("25088", "25,088"),
        "\x1b[0;31mRuntimeError\x1b[0m: "
        + VGG_400.replace("(", "(\x1b[1m").replace(")", "\x1b[0m)"),
        f"[31mE       RuntimeError: {VGG_400}[0m",
        "> " + VGG_400.replace(" and ", "\n> and "),
        VGG_400.replace("cannot be multiplied", "cannot be multipled"),
        VGG_400.removesuffix(")"),
        VGG_400.replace("shapes cannot be multiplied", "的形状不能相乘").replace("and 25", "和 25"),
        f"{VGG_400}&quot;, 求助",
        VGG_400.replace("(", "（").replace(")", "）"),
        VGG_400.replace("mat2", "MAT2"),
        VGG_400.replace(" and ", "\n    and "),
        VGG_400.replace(" ", "\u00a0"),
        VGG_400.replace("shapes", "\u200bshapes"),
        f"[rank0]: {VGG_400}\n\nSet TORCHDYNAMO_VERBOSE=1 for the internal stack trace",
        "x" * 100_000 + "\n" + VGG_400,
        f"{VGG_400.replace('73728', '8192')}\n\nDuring handling of the above exception:\n{VGG_400}",
    ],
)
def test_pasting_does_not_matter(paste):
    assert explain_error(paste) == explain_error(VGG_400)


def test_compile_is_understood():
    model = nn.Sequential(nn.Flatten(), nn.Linear(8 * 25, 10))
    compiled = torch.compile(model, backend="eager")
    message = raised(compiled, torch.zeros(1, 8, 9, 9))
    assert len(message.splitlines()) > 1
    assert kinds(message)[0] == "input-size"


def test_of_a_long_text_only_the_end_is_read():
    assert kinds(VGG_400 + "\n" + "x" * RULES["longest_message"]) == ["unknown"]


@pytest.mark.parametrize("message", ["", " ", "\n", "I have an error", "mat1 and mat2", "()", "x"])
def test_unknown_says_what_is_needed(message):
    (cause,) = explain_error(message)
    assert cause.kind == "unknown"
    assert "last line" in cause.suggestion
    assert "shapes" in cause.suggestion


@pytest.mark.parametrize("message", [None, 3, b"mat1", ["mat1"], {"error": "mat1"}, ValueError])
def test_only_strings_and_exceptions(message):
    wanted = f"message must be a string or an exception; got {type(message).__name__}"
    with pytest.raises(TypeError, match=wanted):
        explain_error(message)


def test_huge_numbers_are_not_computed_with():
    long = VGG_400.replace("73728", "9" * 12)
    assert kinds(long) == ["wrong-in-features", "input-size"]
    for digits in (13, 400):
        for cause in explain_error(VGG_400.replace("73728", "9" * digits)):
            assert "999" not in cause.explanation + cause.suggestion


# An exception


def caught(function, *args):
    """The error that a call raises."""
    with pytest.raises(Exception) as error:  # noqa: PT011
        function(*args)
    return error.value


def test_an_exception_is_read_with_its_lines_of_code():
    error = caught(nn.Linear(25088, 10), torch.zeros(1, 73728))
    assert explain_error(error) == explain_error(f"RuntimeError: {error}")
    bare = caught(Windowed(), torch.zeros(1, 3, 48, 48))
    assert str(bare) == ""
    assert explain_error(bare)[0].kind == "input-size"
    assert "assert x.shape[-1] % 7 == 0." in explain_error(bare)[0].explanation
    assert kinds(caught(int, "x")) == ["unknown"]


def test_an_exception_is_read_with_its_notes_and_its_cause():
    noted = ValueError("the model stopped")
    noted.add_note(VGG_400)
    assert kinds(noted)[0] == "input-size"
    wrapped = ValueError("the model stopped")
    wrapped.__cause__ = RuntimeError(VGG_400)
    assert kinds(wrapped)[0] == "input-size"


def test_the_traceback_decides_between_causes():
    message = "mat1 and mat2 shapes cannot be multiplied (1x100352 and 25088x4096)"
    assert kinds(message)[0] == "input-size"
    assert kinds(f"    x = torch.flatten(x, 0)\n{message}")[0] == "batch-mixed"
    maps = "The size of tensor a (64) must match the size of tensor b (62) at non-singleton "
    maps += "dimension 3"
    assert kinds(maps)[0] == "padding-mismatch"
    assert kinds(f"    loss = criterion(output, mask)\n{maps}")[0] == "target-mismatch"
    lost = "ValueError: not enough values to unpack (expected 4, got 3)"
    assert kinds(lost) == ["unknown"]
    assert kinds(f"    b, c, h, w = x.shape\n{lost}")[0] == "unbatched-input"


# Plain English


def test_sentences_are_whole():
    for message in MESSAGES:
        for cause in explain_error(message):
            for text in (cause.explanation, cause.suggestion):
                assert text.endswith((".", ".\n")), message
                assert not re.search(
                    r"(?<!\.)\.\.(?!\.)|\. \.|  |(?<!and )\b1 (?:channels|axes|classes)\b", text
                ), text


def test_numbers_and_their_nouns_agree():
    names = {"one": 1, "two": 2, "shape": [interpreter.ANY, 3]}
    sentence = "{one|channel}, {two|axis}, {two|class} of {shape}, a 8×8 map."
    filled = "1 channel, 2 axes, 2 classes of [None, 3], an 8×8 map."
    assert interpreter.fill([sentence, "{nobody} knows."], names) == filled


# Any string


@pytest.mark.sampled
def test_any_change_of_a_message_is_explained():
    strings = list(mutated(10_000 if WIDE else 500, SEED))
    assert sum(kinds(string) != ["unknown"] for string in strings[:500]) > 150
    for string in strings:
        causes = explain_error(string)
        assert causes, string
        assert len({cause.kind for cause in causes}) == len(causes)
        for cause in causes:
            assert cause.kind in RULES["kinds"]
            assert cause.explanation.endswith("."), string
            assert cause.suggestion, string
            assert "{" not in cause.explanation + cause.suggestion


@examples(50, 150)
@given(st.text())
def test_any_text(text):
    assert explain_error(text)


PATTERNS = [wording["pattern"] for wording in RULES["wordings"]] + list(RULES["facts"].values())


@pytest.mark.sampled
@pytest.mark.parametrize("pattern", sampled(PATTERNS, 40), ids=lambda pattern: pattern[:40])
def test_no_text_explodes_a_pattern(pattern):
    """A careless pattern would not come back; `tests/benchmarks/explain.py` measures growth."""
    # Pieces of the pattern itself, over and over: what makes a careless pattern explode.
    pieces = [piece for piece in re.split(r"\\.|[^\w\s]+", pattern) if piece.strip()]
    pattern = interpreter.compiled(pattern)
    for piece in [*pieces, "1", "1 ", "1, ", "[1", "(1x", " x 1", "'"]:
        for text in (pieces[0] + piece * 20_000, piece * 20_000, "".join(pieces[:3]) * 2_000):
            assert not list(pattern.finditer(text[: RULES["longest_message"]]))[10_000:]


# The rules


def test_every_wording_and_every_cause_has_a_message():
    fired = [rule for message in MESSAGES for rule, _ in interpreter.fitting_causes(message)]
    rules = interpreter.compiled_rules()
    assert [rule for rule in rules["causes"] if rule not in fired] == []
    texts = [interpreter.clean(message) for message in MESSAGES]
    read = [interpreter.find_wording(text) for text in texts]
    used = [found.wording for found in read if found]
    assert [wording["pattern"] for wording in rules["wordings"] if wording not in used] == []


def names_in(expression):
    if isinstance(expression, str):
        yield expression
    elif isinstance(expression, list) and isinstance(expression[0], str):
        function, *arguments = expression
        assert function in {*interpreter.FUNCTIONS, "not", "or", "else", "like"}
        for argument in arguments[:1] if function == "like" else arguments:
            yield from names_in(argument)


def test_every_cause_uses_names_that_there_are():
    facts = {*interpreter.TAKER, *RULES["facts"]}
    captured = {}
    for wording in RULES["wordings"]:
        names = {name.removesuffix("[]") for name in wording["captures"]}
        assert re.compile(wording["pattern"]).groups == len(wording["captures"])
        captured.setdefault(wording["form"], set(facts)).update(names, wording.get("with", {}))
    derived = {form: set() for form in captured}
    for forms, definitions in RULES["forms"].items():
        for form in forms.split():
            derived[form].update(definitions)
    for rule in RULES["causes"]:
        assert rule["kind"] in RULES["kinds"]
        forms = rule["form"].split()
        known = set().union(*(captured[form] | derived[form] for form in forms))
        for name, expression in rule.get("let", {}).items():
            assert set(names_in(expression)) <= known, rule
            known.add(name)
        for condition in rule.get("when", []):
            assert set(names_in(condition)) <= known, rule
        for sentence in rule["explanation"] + rule["suggestion"]:
            assert set(re.findall(r"{(\w+)", sentence)) <= known, rule
    assert set(captured) == {form for rule in RULES["causes"] for form in rule["form"].split()}


def test_usual_numbers_of_channels_fall():
    assert all(a > b for a, b in pairwise(RULES["channels"]))


def test_example_of_each_kind():
    for kind, about in RULES["kinds"].items():
        assert kinds(about["example"])[0] == kind


# As text


def test_text():
    cause = Cause("input-size", "It is large.", "Resize it.")
    assert str(cause) == "input-size: It is large.\n  -> Resize it."
    assert format_causes([cause, cause]) == f"1. {cause}\n2. {cause}"


def test_needs_no_torch():
    code = (
        "import sys; from vgglab.explain import explain_error; "
        "explain_error('mat1 and mat2 shapes cannot be multiplied (1x7 and 8x9)'); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
