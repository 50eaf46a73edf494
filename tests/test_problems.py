"""Networks as somebody posted them: what the doctor says of each, and that its repairs run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from posted_networks import NETWORKS
from sampling import sampled
from torch import nn
from untouched import everything

from vgglab import diagnose, trace
from vgglab.diagnose import Diagnosis
from vgglab.valid_sizes.propagation import axes_of

POSTED = json.loads((Path(__file__).parent / "data" / "reports.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in POSTED if case["model_code"]}

# Where it stops (None: it does not), what is said of it, and a repair that must be on offer.
SAID: dict[str, tuple[str | None, list[str], str | None]] = {
    "torchinfo-269": ("7", ["1280 = 2·640", "640 = 128·5", "nn.Flatten()"], "flatten"),
    "csdn-mnist-800x4": ("fc1", ["320 = 20·4·4", "rows of 4", "x.flatten(1)"], "flatten"),
    "senet-35": ("2.se.fc.0", ["64", "256", "are channels", "whatever the input size"], None),
    "vision-416": ("classifier.0", ["25088 = 512·7·7", "512 = 512·1·1", "224 to 255"], "pool"),
    "hf-cv-course-308": (
        "2.0",
        ["25088 = 512·7·7", "100352 = 512·14·14", "One more halving", "112 to 127"],
        "pool",
    ),
    "lfr-2": ("mlp", ["2304 = 128·18", "1280 = 128·10", "length 123 to 130"], "pool"),
    "c3d-whitesnowdrop-1": (
        "",
        ["25088 = 512·1·7·7", "4608 = 512·1·3·3", "16 to 31 frames", "224 to 255 px"],
        "resize",
    ),
    "c3d-davidea-10": (
        "pool5",
        ["12 → 12 → 6 → 3 → 1", "at 16×224×224", "4 rows of 8192", "16 to 31 frames", "96 to 127"],
        "resize",
    ),
    "hku-7": (None, ["16 images as 4 rows", "2048 = 128·4·4", "61 to 68"], "pool"),
    "deeprobust-71": (
        "fc1",
        ["4096 = 64·8·8", "3136 = 64·7·7", "nn.Linear(3136, 1024)", "does not help"],
        "fc",
    ),
    "pytorch-6316": (
        "bn4",
        ["(8, 128, 1, 10)", "nn.BatchNorm2d(128)", "after the repair, height 80 px, width 20"],
        "layer",
    ),
    "vision-2151": ("pooling.2", ["training mode", "2 or more", "No larger image helps"], "eval"),
    "discogan-17": (None, ["(2, 1, 13, 13)", "64 to 79 px"], None),
    "pytorch-11762": ("conv1", ["(64, 1, 32, 32)", "unsqueeze(1)", "32 to 35"], "channel"),
    "wtconv-34": ("", ["3 groups", "made for 32 channels"], None),
    "pate-1": (
        "conv1",
        ["wants 1 channel", "gets 3", "800", "1250 = 50·5·5", "28 to 31"],
        "resize",
    ),
    "unetzoo-55": ("", ["61", "60", "multiple of 16, such as 480 or 496"], "pad"),
    "pytorch-580": (
        "unpool",
        ["540 → 270 → 135 → 67 → 134", "multiple of 8", "544", "output_size"],
        "resize",
    ),
    "artificio-12": (None, ["(1, 3, 460, 692)", "4, 12, 20", "every 8"], None),
    "pytorch-42653": (None, ["16×16 to 7×7", "overlap", "224, 448, 672"], "resize"),
    "vision-2638": (None, ["1×7 to 7×7", "49 cells hold what 7 do", "32 and more"], "resize"),
}


def built(case: dict[str, Any]) -> nn.Module:
    names: dict[str, Any] = {}
    exec(case["model_code"], names)
    with torch.device("meta"):
        model: nn.Module = names["make"]()
    return model


def test_every_posted_network_is_looked_at() -> None:
    assert SAID.keys() == CASES.keys()


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(SAID, 6))
def test_a_posted_network_is_told_what_is_wrong(name: str) -> None:
    case = CASES[name]
    model = built(case)
    random_states = everything(model)["rng"]
    found = diagnose(model, case["input_size"])
    layer, quoted, repair = SAID[name]
    assert found.layer == layer
    if layer is not None:
        assert found.kind in case["kinds"]
    report = str(found)
    assert everything(model)["rng"] == random_states
    for words in quoted:
        assert words in report, report

    places = axes_of(found.trace).places
    # Sizes are then those of the input in the layout that the network wants.
    other_layout = found.kind in ("unbatched-input", "channel-mismatch")
    for shapes, runs in ((case["shapes_that_run"], True), (case["shapes_that_fail"], False)):
        for shape in shapes or []:
            assert (trace(model, shape).failure is None) == runs
            same = shape[:2] == case["input_size"][:2] and not other_layout
            if same and found.valid_sizes.exact:
                assert (tuple(shape[place] for place in places) in found.valid_sizes) == runs

    assert repair is None or repair in [fix.name for fix in found.fixes]
    check_repairs(model, found, case["input_size"])


def check_repairs(model: nn.Module, found: Diagnosis, size: Any) -> None:
    """Run every repair that is on offer: without data and, if it is small, with some."""
    for fix in found.fixes:
        assert diagnose(fix.apply(), size).ok
        assert 0 <= fix.weights_kept <= sum(p.numel() for p in model.parameters())
        if fix.parameters < 2_000_000 and fix.mult_adds < 5e8:
            repaired = with_zeros(fix.apply())
            answer = repaired(torch.zeros(size))
            assert {size[0], 1} & {*answer.shape[:2]}  # steps come before the batch sometimes


def with_zeros(model: nn.Module) -> nn.Module:
    """Give a network data in place of none."""
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                if tensor is not None and tensor.is_meta:
                    data = torch.zeros(tensor.shape, dtype=tensor.dtype)
                    is_weight = isinstance(tensor, nn.Parameter)
                    table[key] = nn.Parameter(data) if is_weight else data
    return model


@pytest.mark.sampled
@pytest.mark.parametrize("name", sampled(NETWORKS, 12))
def test_a_network_written_anew_is_told_what_is_wrong(name: str) -> None:
    posted = NETWORKS[name]
    with torch.device("meta"):
        model = posted.make().train(posted.train)
    random_states = everything(model)["rng"]
    found = diagnose(model, posted.size, target=posted.target)
    assert (found.layer, found.kind) == (posted.layer, posted.kind)
    report = str(found)
    assert everything(model)["rng"] == random_states
    assert [words for words in posted.said if words not in report] == [], report

    places = axes_of(found.trace).places
    other_layout = found.kind in (
        "unbatched-input",
        "wrong-dimensions",
    )
    for shapes, runs in ((posted.runs, True), (posted.fails, False)):
        for shape in shapes:
            assert (trace(model, shape).failure is None) == runs
            if found.valid_sizes.exact and not other_layout and shape[:2] == posted.size[:2]:
                assert (tuple(shape[place] for place in places) in found.valid_sizes) == runs

    assert posted.repair is None or posted.repair in [fix.name for fix in found.fixes]
    assert found.kind is None or found.fixes or found.valid_sizes or found.advice
    check_repairs(model, found, posted.size)


def test_posted_networks_are_many_and_stand_for_themselves() -> None:
    sources = [posted.source for posted in NETWORKS.values()]
    assert len({*sources}) == len(sources)
    assert not {*sources} & {case["source"] for case in POSTED if case["model_code"]}
    kinds = {posted.kind for posted in NETWORKS.values()}
    assert len(sources) + len(CASES) >= 120
    assert len(kinds) >= 10
