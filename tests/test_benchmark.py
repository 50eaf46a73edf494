"""How fast a network is here: what is measured, what is refused, and the file of it."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from vgglab.__main__ import main
from vgglab.lab import benchmark
from vgglab.lab.benchmark import grids
from vgglab.lab.benchmark.grids import BENCHMARKS, find_benchmark
from vgglab.lab.benchmark.layers import WHOLE, layer_names, layer_times, moved_bytes
from vgglab.lab.benchmark.measurements import Measurement, benchmarks, read_benchmark
from vgglab.lab.experiments import BUDGETS, Budget, Experiment, run
from vgglab.lab.experiments.results import as_json, read_results
from vgglab.lab.timing import Timings
from vgglab.summary import summary

SETTINGS = {
    "mode": "inference",
    "precision": "float32",
    "layout": "NCHW",
    "runner": "eager",
    "head": "gap",
    "side": 32,
    "batch_size": 2,
    "width": 1 / 16,
    "warmup": 1,
    "repetitions": 3,
}
SCHEMA = json.loads((files("vgglab.lab.benchmark") / "benchmark.schema.json").read_text("utf-8"))
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="it needs a GPU")


throughput, roofs = benchmark.throughput, benchmark.roofs


def measure(**changes):
    return throughput({**SETTINGS, **changes}, 0, Path("unused"))


@pytest.fixture(autouse=True)
def high_roofs(monkeypatch):
    """Roofs are measured once; those of a busy machine may be low, and refuse what is right."""
    found = dict.fromkeys(("float32", "tf32", "bfloat16", "copy"), 1e15)
    stand_in = lambda: found  # noqa: E731
    stand_in.cache_clear = lambda: None
    monkeypatch.setattr(benchmark, "roofs", stand_in)
    return found


@pytest.fixture
def record(tmp_path):
    """The file of a small benchmark."""
    vary = {"mode": ("inference", "training")}
    held = {name: value for name, value in SETTINGS.items() if name not in vary}
    grid = Experiment(
        "bench-ways",
        "So?",
        throughput,
        {"tiny": Budget(vary, held, 1)},
        command="vgglab bench",
    )
    list(run(grid, "tiny", tmp_path))
    return tmp_path / "bench-ways.json"


def rewritten(path: Path, change) -> Path:
    whole = json.loads(path.read_text())
    change(whole["budgets"]["tiny"])
    path.write_text(json.dumps(whole))
    return path


# --- what is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", benchmark.CHOICES["layout"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", benchmark.CHOICES["mode"])
def test_each_way_computes_what_it_should(mode, precision, layout):
    found = measure(mode=mode, precision=precision, layout=layout)
    assert len(found["seconds"]) == SETTINGS["repetitions"]
    assert min(found["seconds"]) > 0
    assert found["error"] < found["tolerance"]
    assert (found["peak_bytes"] is None) == (not torch.cuda.is_available())


@GPU
@pytest.mark.parametrize("runner", benchmark.CHOICES["runner"])
@pytest.mark.parametrize("precision", benchmark.CHOICES["precision"])
@pytest.mark.parametrize("mode", benchmark.CHOICES["mode"])
def test_each_way_on_a_gpu(mode, precision, runner):
    found = measure(mode=mode, precision=precision, runner=runner, width=1 / 4, side=64)
    assert found["peak_bytes"] > 0


def test_a_lower_precision_is_told_from_a_higher():
    """The bounds part the precisions: bfloat16 does not pass for float32 in either mode."""
    for mode in benchmark.CHOICES["mode"]:
        error = measure(mode=mode, precision="bfloat16", width=1 / 8)["error"]
        assert error > measure(mode=mode, width=1 / 8)["tolerance"]


def test_mult_adds_are_those_of_the_summary_and_the_backward_pass():
    forward = measure()["mult_adds"]
    network = benchmark.vgg("D", head="gap", width=1 / 16, device="meta")
    assert forward == summary(network, (2, 3, 32, 32)).mult_adds
    first = 2 * 4 * 3 * 9 * 32 * 32  # needs no gradient of its input: batch, channels, 3x3, cells
    assert measure(mode="training")["mult_adds"] == 3 * forward - first


def test_the_roofs_of_this_device():
    found = roofs()
    assert found["bfloat16"] >= found["float32"] > 0
    assert found["copy"] > 0
    assert ("tf32" in found) == torch.cuda.is_available()


@pytest.mark.wide
@pytest.mark.filterwarnings("ignore:Skipping serialization")
def test_a_compiled_network_is_timed():
    try:
        torch.compile(lambda x: x.relu() + 1)(torch.rand(64))
    except Exception as error:  # no compiler, or one that cannot read what torch writes for it
        pytest.skip(f"torch.compile does not work here: {type(error).__name__}")
    assert min(measure(runner="compile")["seconds"]) > 0


# --- what is refused ------------------------------------------------------------------------------


class Pretender(nn.Module):
    """Where nothing is computed it seems to do nine times the work that it does."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        if x.is_meta:
            for _ in range(8):
                self.network(x)
        return self.network(x)


def test_more_work_than_is_done_cannot_be_claimed(monkeypatch, high_roofs):
    monkeypatch.setattr(benchmark, "time_checked", lambda *args, **options: Timings([1.0], 0.0))
    high_roofs["float32"] = measure()["mult_adds"] / 2.0
    assert Measurement(SETTINGS, measure()).share_of_product == 2.0  # as Winograd allows
    make = benchmark.vgg
    monkeypatch.setattr(benchmark, "vgg", lambda *args, **kwargs: Pretender(make(*args, **kwargs)))
    with pytest.raises(ValueError, match=r"device's roofs; .* has 18 times a product's"):
        measure()


def test_roofs_of_a_busy_moment_are_measured_again(monkeypatch, high_roofs):
    low = dict.fromkeys(high_roofs, 1.0)
    told = iter([low, low, high_roofs])
    stand_in = lambda: next(told)  # noqa: E731
    stand_in.cache_clear = lambda: None
    monkeypatch.setattr(benchmark, "roofs", stand_in)
    assert measure()["roofs"] == high_roofs


def test_the_batch_is_halved_until_it_fits(monkeypatch):
    tried = []

    def scarce(settings, seed):
        tried.append(settings["batch_size"])
        if settings["batch_size"] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return {"batch_size": settings["batch_size"]}

    monkeypatch.setattr(benchmark, "measure", scarce)
    assert measure(batch_size=13) == {"batch_size": 3}
    assert tried == [13, 6, 3]


def test_what_does_not_fit_with_one_image_is_said(monkeypatch):
    def scarce(settings, seed):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(benchmark, "measure", scarce)
    with pytest.raises(ValueError, match="side must be one that fits into memory; got 32"):
        measure()


def test_what_cannot_run_is_said(monkeypatch):
    def broken(settings, seed):
        raise RuntimeError("No working C++ compiler found\nand a long story")

    monkeypatch.setattr(benchmark, "measure", broken)
    with pytest.raises(ValueError, match=r"'compile' cannot run: No working C\+\+ compiler found$"):
        measure(runner="compile")


@pytest.mark.parametrize("name", benchmark.CHOICES)
def test_an_unknown_choice(name):
    with pytest.raises(ValueError, match=f"{name} must be one of .*; got 'other'"):
        measure(**{name: "other"})


@NO_GPU
@pytest.mark.parametrize("change", [{"precision": "tf32"}, {"runner": "graph"}])
def test_what_needs_a_gpu(change):
    with pytest.raises(ValueError, match="needs a GPU, and there is none"):
        measure(**change)


# --- records --------------------------------------------------------------------------------------


def test_a_record_is_of_the_schema_and_can_be_read(record):
    jsonschema.validate(read_results(record), SCHEMA)
    found = read_benchmark(record, "tiny")
    inference, training = found.measurements
    assert (inference.settings["mode"], training.settings["mode"]) == ("inference", "training")
    text = str(found)
    assert "Images/s" in text
    assert "vgglab bench bench-ways --budget tiny" in text
    assert torch.__version__ in text


def test_what_a_measurement_tells():
    result = {
        "seconds": [2.0, 8.0, 4.0],
        "batch_size": 8,
        "mult_adds": 400,
        "least_bytes": 64,
        "copied_bytes": 32,
        "roofs": {"float32": 200.0, "bfloat16": 400.0, "copy": 32.0},
    }
    found = Measurement({"precision": "bfloat16"}, result)
    assert (found.seconds, found.images_per_second) == (4.0, 2.0)
    assert (found.share_of_product, found.share_of_copy) == (0.25, 0.5)
    assert Measurement({"precision": "float32"}, result).share_of_product == 0.5
    cached = Measurement({"precision": "float32"}, {**result, "copied_bytes": 65})
    assert cached.share_of_copy is None


def fast(part):
    part["runs"][0]["result"]["seconds"] = [1e-12] * 3


def streaming(part):
    result = part["runs"][0]["result"]
    result |= {"copied_bytes": 1, "mult_adds": 1, "least_bytes": 10**15}
    result["seconds"] = [1e-3] * 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (fast, "must be below the device's roofs; .* times a product's"),
        (streaming, "must be below the device's roofs; .* times a copy's"),
        (lambda part: part["runs"][0]["result"].update(error=1.0), "must be of right results"),
        (lambda part: part["runs"][0]["result"].update(error=float("nan")), "of right results"),
        (lambda part: part["provenance"].pop("device"), "say what made them; .* lacks device"),
        (lambda part: part.pop("provenance"), "lacks device, threads, torch, python, vgglab"),
        (lambda part: part["runs"].pop(), "run to its end"),
    ],
)
def test_a_record_that_cannot_be_true_is_refused(record, change, said):
    with pytest.raises(ValueError, match=said):
        read_benchmark(rewritten(record, change), "tiny")


def test_a_batch_that_was_halved_is_said(record):
    halved = rewritten(record, lambda part: part["runs"][1]["result"].update(batch_size=1))
    assert "Out of memory with 2: measured with 1." in str(read_benchmark(halved, "tiny"))


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    """Stopped within a measurement: what was finished is there, and is not made again."""
    made = []

    def stopped_once(settings, seed, checkpoint):
        if len(made) == 1:
            made.append("stopped")
            raise KeyboardInterrupt
        made.append(settings["mode"])
        return measure(**{name: settings[name] for name in ("mode", "layout")})

    monkeypatch.setattr(benchmark, "throughput", stopped_once)
    call = ["bench", "bench-ways", "--results", str(tmp_path)]
    stopped = CliRunner().invoke(main, call)
    assert stopped.exit_code == 130
    assert "run it again to resume" in stopped.output
    finished = CliRunner().invoke(main, call)
    assert finished.exit_code == 0, finished.output
    assert made == ["inference", "stopped", "inference", "training", "training"]
    jsonschema.validate(read_results(tmp_path / "bench-ways.json"), SCHEMA)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            ["other"],
            "name must be one of bench-ways, bench-sizes, bench-heads, bench-memory, bench-fit",
        ),
        (["bench-ways", "--only", "precision=fp8"], "only must name one of mode, layout, seed"),
        (["bench-ways", "--only", "layout=CHWN"], "give layout one of NCHW, NHWC; got 'CHWN'"),
        (["--only", "mode=training"], "--only needs the name of one grid"),
        pytest.param(["--budget", "gpu"], "machine without a GPU; got 'gpu'", marks=NO_GPU),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, call, said):
    done = CliRunner().invoke(main, ["bench", *call, "--results", str(tmp_path)])
    assert done.exit_code == 2
    assert said in done.output
    assert done.output.count("Error:") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "import_module", lambda name: pytest.fail("it ran"))
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(main, ["bench", "--results", str(tmp_path / "file" / "results")])
    assert done.exit_code == 2
    assert "nothing can be written to" in done.output


def test_memory_is_recorded_and_read(tmp_path):
    call = ["bench", "bench-memory", "--results", str(tmp_path)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert "Tracked (MiB)" in done.output
    path = tmp_path / "bench-memory.json"
    jsonschema.validate(read_results(path), SCHEMA)
    for measured in read_benchmark(path, "tiny").measurements:
        total = measured.result["predicted"]["total"]
        assert total == pytest.approx(measured.result["tracked"], rel=0.05)
    rewritten(path, lambda part: part["runs"][0]["result"]["predicted"].update(total=1))
    with pytest.raises(ValueError, match="total must be the sum"):
        read_benchmark(path, "tiny")


# --- each layer -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """The file of a small benchmark of layers."""
    folder = tmp_path_factory.mktemp("layers")
    held = {"precision": "float32", "side": 32, "batch_size": 2, "width": 1 / 16}
    held |= {"warmup": 0, "repetitions": 2}
    size = Budget({"mode": ("inference", "training")}, held, 1)
    grid = Experiment("bench-layers", "So?", layer_times, {"tiny": size}, command="vgglab bench")
    roofs = dict.fromkeys(("float32", "tf32", "bfloat16", "copy"), 1e15)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vgglab.lab.benchmark.layers.roofs", lambda: roofs)
        list(run(grid, "tiny", folder))
    return folder / "bench-layers.json"


def test_each_layer_is_measured_and_the_whole(layers):
    jsonschema.validate(read_results(layers), SCHEMA)
    inference, training = read_benchmark(layers, "tiny").measurements
    for measured in (inference, training):
        assert [*measured.layers()] == [*layer_names(), WHOLE]
        assert all(min(layer.result["seconds"]) > 0 for layer in measured.layers().values())
    network = benchmark.vgg("D", width=1 / 16, device="meta")
    works = [measured.layers()[WHOLE].result["mult_adds"] for measured in (inference, training)]
    assert works[0] == summary(network, (2, 3, 32, 32)).mult_adds
    first = inference.layers()["conv1_1"].result["mult_adds"]  # needs no gradient of its input
    assert works[1] == 3 * works[0] - first
    weights = sum(p.numel() for p in network.parameters())
    least = [layer.result["least_bytes"] for layer in inference.layers().values()]
    assert sum(least[:-1]) == least[-1] == 4 * weights


def test_what_a_layer_moves():
    sizes = {"input": 10, "weights": 100, "output": 1}
    assert moved_bytes(sizes, "inference") == 111
    # forward: x, w, y; its input's gradient: dy, w, dx; its weights': dy, x, dw; SGD: w, dw, w
    assert moved_bytes(sizes, "training") == 111 + 111 + 111 + 300


def test_a_layer_above_its_roof_is_refused(layers, tmp_path):
    path = Path(shutil.copy(layers, tmp_path))

    def fast_layer(part):
        part["runs"][1]["result"]["layers"]["conv3_2"]["seconds"] = [1e-15] * 2

    with pytest.raises(ValueError, match=r"device's roofs; .*layer=conv3_2 has .* a product's"):
        read_benchmark(rewritten(path, fast_layer), "tiny")


def test_a_page_shows_what_is_recorded_and_leaves_out_the_tiny(layers, tmp_path):
    assert benchmarks(tmp_path / "nothing.json") == {}
    assert benchmarks(layers) == {}
    whole = json.loads(layers.read_text())
    whole["budgets"]["gpu"] = whole["budgets"]["tiny"]
    (tmp_path / "bench-layers.json").write_text(json.dumps(whole))
    assert [*benchmarks(tmp_path / "bench-layers.json")] == ["gpu"]
    whole["budgets"]["cpu"] = {**whole["budgets"]["gpu"], "runs": []}  # not yet at its end
    (tmp_path / "bench-layers.json").write_text(json.dumps(whole))
    assert [*benchmarks(tmp_path / "bench-layers.json")] == ["gpu"]


WANTED = {
    "bench-memory": {"config", "head", "width", "side", "batch_size", "optimizer"},
    "bench-fit": {"config", "head", "width", "what", "gib", "optimizer"},
    "bench-layers": {*SETTINGS} - {"layout", "runner", "head"},
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_grid_gives_what_is_asked_for(name):
    grid = find_benchmark(name)
    assert set(grid.budgets) == set(BUDGETS)
    assert grid.question.endswith("?")
    assert grid.name == name
    assert name in SCHEMA["properties"]["experiment"]["enum"]
    keys = [{*size.vary, *size.held} for size in grid.budgets.values()]
    assert keys == [WANTED.get(name, {*SETTINGS})] * len(keys)
    for size in grid.budgets.values():
        for chosen in size.combinations():
            for setting, accepted in benchmark.CHOICES.items():
                assert {**size.held, **chosen}.get(setting, accepted[0]) in accepted
    assert as_json(grid.budgets["gpu"].held)
