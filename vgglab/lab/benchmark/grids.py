"""What `vgglab bench` measures, as data: grids of ways to run VGG-16, and of its memory."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from vgglab.lab.experiments.running import Budget, Experiment, Settings
from vgglab.models.configs import CONFIGS
from vgglab.models.heads import HEADS


def _call(
    module: str, function: str, settings: Settings, seed: int, checkpoint: Path
) -> dict[str, Any]:
    made: dict[str, Any] = getattr(import_module(f"vgglab.lab.{module}"), function)(
        settings, seed, checkpoint
    )
    return made


_throughput = partial(_call, "benchmark", "throughput")  # imported when it runs
_layers = partial(_call, "benchmark.layers", "layer_times")
_memory = partial(_call, "memory", "memory_of_a_step")
_fit = partial(_call, "memory", "what_fits")

_MODES = ("inference", "training")
_LAYOUTS = ("NCHW", "NHWC")
_OPTIMIZERS = (None, "sgd", "momentum", "adam")
_EAGER = {"layout": "NCHW", "runner": "eager"}
_TINY: dict[str, Any] = {"width": 1 / 16, "warmup": 1, "repetitions": 3}
_CPU: dict[str, Any] = {"width": 1 / 4, "warmup": 1, "repetitions": 5}
_GPU: dict[str, Any] = {"width": 1.0, "warmup": 2, "repetitions": 11}
_HELD_EQUAL = (
    "Weights by seed, the arithmetic that is asked for, and the check of every result against "
    "float32 in eager mode. Not held equal: what else the machine does; medians and the roofs of "
    "the same run stand beside it."
)
_CONTROL = (
    "No figure may be above the device's own roofs, measured in the same run: a product of large "
    "matrices, and a large copy."
)

BENCHMARKS = {
    grid.name: grid
    for grid in (
        Experiment(
            name="bench-ways",
            question="What do precision, layout, compilation and CUDA graphs save?",
            trial=_throughput,
            control=_CONTROL,
            held_equal=_HELD_EQUAL,
            changes_mind="Times of two ways that differ by less than their samples spread.",
            command="vgglab bench",
            budgets={
                "tiny": Budget(
                    vary={"mode": _MODES, "layout": _LAYOUTS},
                    held={
                        "precision": "float32",
                        "runner": "eager",
                        "head": "fc",
                        "side": 32,
                        "batch_size": 4,
                        **_TINY,
                    },
                    seeds=1,
                ),
                "cpu": Budget(
                    vary={
                        "mode": _MODES,
                        "precision": ("float32", "bfloat16"),
                        "layout": _LAYOUTS,
                    },
                    held={
                        "runner": "eager",
                        "head": "fc",
                        "side": 32,
                        "batch_size": 4,
                        **_CPU,
                    },
                    seeds=1,
                ),
                "gpu": Budget(
                    vary={
                        "mode": _MODES,
                        "precision": ("float32", "tf32", "bfloat16"),
                        "layout": _LAYOUTS,
                        "runner": ("eager", "graph", "compile"),
                    },
                    held={"head": "fc", "side": 224, "batch_size": 32, **_GPU},
                    seeds=1,
                ),
            },
        ),
        Experiment(
            name="bench-sizes",
            question="How do time and memory grow with the batch and the side of the image?",
            trial=_throughput,
            control=_CONTROL,
            held_equal=_HELD_EQUAL,
            changes_mind="A throughput that no larger batch raises, or that each one lowers.",
            command="vgglab bench",
            budgets={
                "tiny": Budget(
                    vary={"mode": _MODES, "batch_size": (1, 4)},
                    held={"head": "fc", "side": 32, "precision": "float32", **_EAGER, **_TINY},
                    seeds=1,
                ),
                "cpu": Budget(
                    vary={"mode": _MODES, "batch_size": (1, 4, 16), "side": (64, 112)},
                    held={"head": "fc", "precision": "float32", **_EAGER, **_CPU},
                    seeds=1,
                ),
                "gpu": Budget(
                    vary={"mode": _MODES, "batch_size": (1, 8, 64, 256), "side": (224, 400)},
                    held={"head": "fc", "precision": "bfloat16", **_EAGER, **_GPU},
                    seeds=1,
                ),
            },
        ),
        Experiment(
            name="bench-heads",
            question="What does each repair's head cost at a size that is not the training's?",
            trial=_throughput,
            control=_CONTROL,
            held_equal=_HELD_EQUAL,
            changes_mind="Heads whose times differ by less than their samples spread.",
            command="vgglab bench",
            budgets={
                "tiny": Budget(
                    vary={"mode": _MODES, "head": ("fc", "gap")},
                    held={"side": 64, "batch_size": 4, "precision": "float32", **_EAGER, **_TINY},
                    seeds=1,
                ),
                "cpu": Budget(
                    vary={"mode": _MODES, "head": ("fc", "conv", "gap", "spp")},
                    held={"side": 256, "batch_size": 2, "precision": "float32", **_EAGER, **_CPU},
                    seeds=1,
                ),
                "gpu": Budget(
                    vary={
                        "mode": _MODES,
                        "batch_size": (1, 32),
                        "head": ("fc", "conv", "gap", "spp"),
                    },
                    held={"side": 400, "precision": "bfloat16", **_EAGER, **_GPU},
                    seeds=1,
                ),
            },
        ),
        Experiment(
            name="bench-memory",
            question="Is the memory of a step what a trace predicts?",
            trial=_memory,
            control="torch's own tracker, and a GPU's allocator, of the same step.",
            held_equal="Model, input, optimiser and step are the same for all three.",
            changes_mind="A prediction more than 5 % from what is tracked.",
            command="vgglab bench",
            budgets={
                "tiny": Budget(
                    vary={"head": ("fc", "gap"), "optimizer": (None, "adam")},
                    held={"config": "A", "width": 1 / 16, "side": 64, "batch_size": 2},
                    seeds=1,
                ),
                **dict.fromkeys(
                    ("cpu", "gpu"),
                    Budget(
                        vary={
                            "config": tuple(CONFIGS),
                            "head": tuple(HEADS),
                            "optimizer": _OPTIMIZERS,
                        },
                        held={"width": 1.0, "side": 224, "batch_size": 32},
                        seeds=1,
                    ),
                ),
            },
        ),
        Experiment(
            name="bench-fit",
            question="Which batch, and which image, is the largest that fits into a memory?",
            trial=_fit,
            control="torch's own tracker, and a GPU's allocator held to the same limit.",
            held_equal="Model, optimiser and limit are the same for all three.",
            changes_mind="A prediction more than 10 % from what fits.",
            command="vgglab bench",
            budgets={
                "tiny": Budget(
                    vary={"what": ("batch", "side"), "optimizer": (None, "adam")},
                    held={"config": "A", "head": "gap", "width": 1 / 16, "gib": 1 / 16},
                    seeds=1,
                ),
                **dict.fromkeys(
                    ("cpu", "gpu"),
                    Budget(
                        vary={"what": ("batch", "side"), "optimizer": _OPTIMIZERS},
                        held={"config": "D", "head": "fc", "width": 1.0, "gib": 16},
                        seeds=1,
                    ),
                ),
            },
        ),
        Experiment(
            name="bench-runners",
            question="What does compilation save in a step, and what do checkpoints cost?",
            trial=_throughput,
            control=_CONTROL,
            held_equal=_HELD_EQUAL,
            changes_mind="Checkpoints that cost nothing, or as much as another step.",
            command="vgglab bench",
            budgets={
                budget: Budget(
                    vary={"runner": runners, "batch_size": batches},
                    held={
                        "mode": "training",
                        "precision": "float32",
                        "layout": "NCHW",
                        "head": "fc",
                        "side": side,
                        **size,
                    },
                    seeds=1,
                )
                for budget, side, batches, runners, size in (
                    ("tiny", 32, (4,), ("eager", "checkpoint"), _TINY),
                    ("cpu", 112, (8,), ("eager", "checkpoint"), _CPU),
                    ("gpu", 224, (8, 64), ("eager", "compile", "checkpoint"), _GPU),
                )
            },
        ),
        Experiment(
            name="bench-layers",
            question="Which layer takes how much of the time, and which roof is it under?",
            trial=_layers,
            control=_CONTROL + " And the whole network, beside the sum of its layers.",
            held_equal=_HELD_EQUAL,
            changes_mind="A sum of the layers' times that is far from the whole network's.",
            command="vgglab bench",
            budgets={
                budget: Budget(
                    vary={"mode": _MODES, "batch_size": batches},
                    held={"precision": precision, "side": side, **size},
                    seeds=1,
                )
                for budget, side, batches, precision, size in (
                    ("tiny", 64, (1, 4), "float32", _TINY),
                    ("cpu", 224, (1, 4), "float32", {**_CPU, "width": 1 / 2, "repetitions": 3}),
                    ("gpu", 224, (1, 8, 64), "bfloat16", _GPU),
                )
            },
        ),
    )
}
"""By name."""


def find_benchmark(name: str) -> Experiment:
    """Return a grid by its name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"name must be one of {', '.join(BENCHMARKS)}; got {name!r}")
    return BENCHMARKS[name]
