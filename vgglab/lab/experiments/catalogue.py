"""The experiments of the chapters, as data; the modules beside it say how a run is made."""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from vgglab.lab.experiments.reading import NOT_MEASURED
from vgglab.lab.experiments.results import read_results
from vgglab.lab.experiments.running import Budget, Experiment, Settings, Trial


def _call(
    module: str, function: str, settings: Settings, seed: int, checkpoint: Path
) -> dict[str, Any]:
    trial: Trial = getattr(import_module(f"vgglab.lab.experiments.{module}"), function)
    return trial(settings, seed, checkpoint)


def _trial(module: str, function: str) -> Trial:
    """Return a trial that is imported when it runs, so that the catalogue can be read fast."""
    return partial(_call, module, function)


_NORMS = (None, "lrn", "batch")
_ALL_NORMS = (None, "lrn", "lrn-fitted", "batch", "group", "layer")
_HEADS = ("gap", "flatten", "flatten-fc")
_HEADS_AND_DROPOUT = (*_HEADS, "flatten-fc+dropout")
_PADDING_MODES = ("zeros", "reflect", "circular")

# What is trained, by data and budget.
_TINY_SHAPES = {
    "data": "shapes",
    "side": 32,
    "train_images": 500,
    "valid_images": 200,
    "test_images": 500,
    "width": 1 / 8,
    "epochs": 8,
    "warmup": 1,
}
_CPU_SHAPES = {
    **_TINY_SHAPES,
    "train_images": 2000,
    "valid_images": 500,
    "test_images": 1000,
    "width": 1 / 4,
    "epochs": 12,
}
_TINY_DIGITS = {
    "data": "digits",
    "side": 16,
    "train_images": 500,
    "valid_images": 200,
    "test_images": 300,
    "width": 1 / 8,
    "epochs": 4,
    "warmup": 1,
}
_CPU_DIGITS = {**_TINY_DIGITS, "train_images": 1000, "width": 1 / 4, "epochs": 20}
_CPU_CIFAR = {
    "data": "cifar10",
    "side": 32,
    "train_images": 10_000,
    "valid_images": 1000,
    "test_images": 5000,
    "width": 1 / 4,
    "epochs": 8,
    "warmup": 1,
}
_GPU_CIFAR = {
    **_CPU_CIFAR,
    "train_images": 45_000,
    "valid_images": 5000,
    "test_images": 10_000,
    "width": 1.0,
    "epochs": 30,
}
_SHORT_CIFAR = {**_CPU_CIFAR, "train_images": 3000, "valid_images": 500, "test_images": 2000}
_PLAIN_CIFAR = {**_SHORT_CIFAR, "train_images": 2000, "width": 1 / 8, "epochs": 6, "warmup": 0}
# Networks this small leave a GPU waiting for their steps: larger batches make fewer of them.
_FAST_CIFAR = {**_GPU_CIFAR, "batch_size": 256, "channels_last": True}
_SMALL_DIGITS = {**_TINY_DIGITS, "test_images": 360, "epochs": 6}
_FIRST_LAYERS = ("nothing", "constant", "LRN, alpha", "LRN, alpha / n")
# Stack, channels, and after which convolutions there is BatchNorm. 7x7 with 12 channels and three
# 3x3 with 16 cost the same; so do 24 and 32. The two depthwise ones have equal channels.
_STACKS = (
    "7x7/12/each",
    "3x3/16/each",
    "3x3-linear/16/each",
    "3x3/16/last",
    "3x3-linear/16/last",
    "7x7/12/none",
    "3x3/16/none",
    "3x3-linear/16/none",
    "7x7-depthwise/16/each",
    "3x3-depthwise/16/each",
)
_WIDE_STACKS = (
    "7x7/24/each",
    "3x3/32/each",
    "3x3-linear/32/each",
    "3x3/32/last",
    "3x3-linear/32/last",
    "7x7/24/none",
    "3x3/32/none",
    "3x3-linear/32/none",
    "7x7-depthwise/32/each",
    "3x3-depthwise/32/each",
)
# Heads learn best at different rates: each is judged at its own, chosen by validation images.
_HEADS_BY_RATE = {"head": _HEADS, "lr": (0.02, 0.1)}
_HEADS_EQUAL = (
    "Backbone, images, epochs and rates to choose from; the heads cannot have as many weights."
)
_SHIFTS = (*range(9), 12, 16, 20, 24, 28, 32)
_TRANSFER_HEADS = ("gap", "flatten", "both", "gap-fc", "flatten-fc")
_TRANSFER = {"valid_images": 200, "test_images": 300, "epochs": 40, "warmup": 1}
_ALL_REDUCE = {"heads": ("fc", "spp", "gap"), "batch_size": 1, "passes": 50}
ERROR_BOUND = 0.3
"""Of the median error of what the model of scaling predicts: said before it was measured."""
# Repairs, by what of a network they change, and the networks that are repaired.
_REPAIRS = (
    "resize",
    "crop",
    "five-crops",
    "pool",
    "pool-in-place",
    "conv",
    "conv-probabilities",
    "fold",
    "gap",
    "spp",
    "new-first",
    "new-classifier",
)
_SCENES = ("enlarged", "larger")
_TINY_REPAIRS = {
    "data": "shapes",
    "network": "trained",
    "stages": 2,
    "width": 1 / 8,
    "hidden": 32,
    "network_images": 1000,
    "network_epochs": 4,
    "network_batch": 25,
    "network_lr": 0.03,
    "train_images": 50,
    "valid_images": 50,
    "test_images": 200,
    "epochs": 3,
    "tuned": "head",
}
_CPU_REPAIRS = {
    "data": "cifar10",
    "network": "shipped",
    "train_images": 200,
    "valid_images": 200,
    "test_images": 500,
    "epochs": 5,
    "tuned": "head",
}
_TINY_HEADS = {"head": _HEADS, "lr": (0.05,)}

# What is timed: VGG-16 of some width, by budget. One precision is held for all of its layers.
_CPU_PRECISION = ("float32",)
_GPU_PRECISIONS = ("float32", "tf32", "bfloat16")
_TINY_TIMING = {"width": 1 / 8, "warmup": 1, "repetitions": 5, "passes": 1}
_CPU_TIMING = {"width": 1.0, "warmup": 1, "repetitions": 3, "passes": 1}
_HALF_TIMING = {**_CPU_TIMING, "width": 1 / 2}
_GPU_TIMING = {"width": 1.0, "warmup": 2, "repetitions": 7, "passes": 3}
_TIMED_TWICE = "The first arm is timed twice in each turn: beside itself it must cost the same."

_ALL = (
    Experiment(
        name="stacking",
        chapter="02_receptive_field",
        question="What do the ReLUs between three 3x3 convolutions add to one 7x7 convolution?",
        trial=_trial("trials", "compare_stacks"),
        budgets={
            "tiny": Budget(
                vary={"network": ("7x7/12/each", "3x3-linear/16/each", "3x3/16/each")},
                held={**_TINY_SHAPES, "epochs": 4, "lr": 0.1},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"network": _STACKS, "lr": (0.03, 0.2, 1.2)},
                held={**_SHORT_CIFAR, "epochs": 12},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"network": _WIDE_STACKS, "lr": (0.05, 0.2, 0.8, 3.2)},
                held={**_FAST_CIFAR, "epochs": 15},
                seeds=3,
            ),
        },
        control=(
            "The stack without ReLUs between its layers: if it is as accurate, they add nothing. "
            "And BatchNorm after each convolution, after the last of a stack, or nowhere: a 7x7 "
            "has one convolution to normalise and a stack three, so kernels can only be compared "
            "where that is not what differs."
        ),
        changes_mind=(
            "A stack with ReLUs that is no better than one without, or a 7x7 that is better at "
            "the same cost with the same normalisation; two points are worth seeing."
        ),
        held_equal=(
            "Images, epochs, rates to choose from, and mult-adds (depthwise: channels). Channels "
            "and depth cannot be equal too."
        ),
        tolerance=0.05,
    ),
    Experiment(
        name="effective-field",
        chapter="02_receptive_field",
        question="How much of a cell's receptive field counts, before and after training?",
        trial=_trial("trials", "widen_field"),
        budgets={
            "tiny": Budget(vary={"lr": (0.1,)}, held={**_TINY_SHAPES, "seen_images": 32}, seeds=2),
            "cpu": Budget(
                vary={"lr": (0.1,)},
                held={**_CPU_CIFAR, "train_images": 5000, "seen_images": 200},
                seeds=5,
            ),
            "gpu": Budget(vary={"lr": (0.1,)}, held={**_GPU_CIFAR, "seen_images": 200}, seeds=5),
        },
        control="The same network before training.",
        changes_mind=(
            "A share that grows in training, as in residual networks (Luo et al., 2016, section 4)."
        ),
        held_equal="Network and images.",
        tolerance=0.05,
    ),
    Experiment(
        name="normalization",
        chapter="03_normalization",
        question="How do networks learn with each normalisation, by learning rate and depth?",
        trial=_trial("normalizing", "compare_norms"),
        budgets={
            "tiny": Budget(
                vary={"norm": _NORMS},
                held={**_TINY_DIGITS, "side": 32, "config": "A", "lr": 0.05},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"config": ("A", "E"), "lr": (0.01, 0.05, 0.25), "norm": _NORMS},
                held={**_PLAIN_CIFAR, "train_images": 3000, "epochs": 8},
                seeds=5,
            ),
            "gpu": Budget(
                vary={
                    "config": ("A", "E"),
                    "lr": (0.002, 0.01, 0.05, 0.25, 1.25),
                    "norm": _ALL_NORMS,
                },
                held={**_FAST_CIFAR, "width": 1 / 8, "epochs": 4, "warmup": 0},
                seeds=3,
            ),
        },
        control="The network without normalisation, at each depth and rate.",
        changes_mind=(
            "LRN that learns at some rate as BatchNorm does, or a depth at which BatchNorm "
            "gains nothing."
        ),
        held_equal=(
            "Images, epochs, rates to choose from and first weights; BatchNorm, GroupNorm and "
            "LayerNorm have two weights a channel more."
        ),
        tolerance=0.1,
    ),
    Experiment(
        name="batch-size",
        chapter="03_normalization",
        question="Which normalisation still works with batches of two images?",
        trial=_trial("normalizing", "compare_norms"),
        budgets={
            "tiny": Budget(
                vary={"norm": ("batch", "group"), "batch_size": (2, 64)},
                held={
                    **_TINY_DIGITS,
                    "config": "slim",
                    "train_images": 200,
                    "epochs": 2,
                    "lr": 0.02,
                },
                seeds=2,
            ),
            "cpu": Budget(
                vary={
                    "norm": (None, "lrn-fitted", "batch", "group", "layer"),
                    "batch_size": (2, 8, 64),
                    "lr": (0.0007, 0.004, 0.025, 0.15, 0.9, 5.4),
                },
                held={**_SMALL_DIGITS, "config": "slim", "epochs": 8},
                seeds=4,
            ),
        },
        control="Batches of 64, and GroupNorm and LayerNorm, which see one image at a time.",
        changes_mind=(
            "BatchNorm that loses no more from 64 images to 2 than GroupNorm does; two points are "
            "worth seeing."
        ),
        held_equal=(
            "Images, epochs, rates to choose from and first weights; smaller batches make more "
            "steps of the same epochs."
        ),
        tolerance=0.1,
    ),
    Experiment(
        name="frozen-batchnorm",
        chapter="03_normalization",
        question="Fine-tuning with small batches: keep BatchNorm's statistics, or learn them anew?",
        trial=_trial("transfer", "fine_tune"),
        budgets={
            "tiny": Budget(
                vary={"norm": ("batch", "frozen"), "batch_size": (2, 32)},
                held={
                    **_TINY_SHAPES,
                    "train_images": 64,
                    "test_images": 200,
                    "epochs": 1,
                    "warmup": 0,
                    "lr": 0.005,
                },
                seeds=2,
            ),
            "cpu": Budget(
                vary={
                    "norm": ("batch", "frozen"),
                    "batch_size": (2, 8, 64),
                    "lr": (0.0007, 0.004, 0.025, 0.15, 0.9),
                },
                held={
                    "data": "shapes",
                    "side": 32,
                    "train_images": 200,
                    "valid_images": 200,
                    "test_images": 500,
                    "epochs": 6,
                    "warmup": 1,
                },
                seeds=4,
            ),
        },
        control="Batches of 64, whose statistics are good: there the two should hardly differ.",
        changes_mind=(
            "Frozen statistics that are no better with two images, or better with 64; two points "
            "are worth seeing."
        ),
        held_equal=(
            "Trained network, images, epochs and rates to choose from; frozen layers have no "
            "weights to train."
        ),
        tolerance=0.1,
    ),
    Experiment(
        name="a-lrn",
        chapter="03_normalization",
        question="Does the paper's one LRN layer, A-LRN, change configuration A?",
        trial=_trial("normalizing", "compare_lrn"),
        budgets={
            "tiny": Budget(
                vary={"first": ("nothing", "LRN, alpha")},
                held={**_TINY_DIGITS, "side": 32, "lr": 0.001},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"first": _FIRST_LAYERS, "lr": (0.0004, 0.0015, 0.006, 0.024)},
                held=_PLAIN_CIFAR,
                seeds=6,
            ),
            "gpu": Budget(
                vary={"first": _FIRST_LAYERS, "lr": (0.0001, 0.0004, 0.0015, 0.006, 0.024)},
                held={**_FAST_CIFAR, "width": 1 / 8, "epochs": 10, "warmup": 0},
                seeds=6,
            ),
        },
        control=(
            "The same layer with the sum of squares left out, which divides by a constant: what it "
            "changes is not local response normalisation. Both formulas, because the paper does "
            "not say which was meant."
        ),
        changes_mind=(
            "A difference of the size that was ever claimed: 0.1 points by VGG's paper, 1.4 by "
            "AlexNet's."
        ),
        held_equal=(
            "Images at the scale of AlexNet and VGG, epochs, rates to choose from, first weights "
            "and their number."
        ),
        tolerance=0.05,
    ),
    Experiment(
        name="normalization-cost",
        chapter="03_normalization",
        question="What does a training step cost with LRN or BatchNorm, in time and memory?",
        trial=_trial("costs", "training_cost"),
        budgets={
            "tiny": Budget(
                vary={"norm": _NORMS},
                held={"config": "A", "head": "gap", "side": 32, "batch_size": 2, "steps": 2},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"norm": _NORMS},
                held={"config": "A", "head": "gap", "side": 96, "batch_size": 8, "steps": 5},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"norm": _NORMS},
                held={"config": "E", "head": "gap", "side": 224, "batch_size": 64, "steps": 20},
                seeds=3,
            ),
        },
        control="The step without normalisation.",
        changes_mind="A normalised step that takes no longer than one without.",
        held_equal=(
            "Images, batch and threads; the runs of a seed follow each other, and do not take "
            "turns."
        ),
    ),
    Experiment(
        name="forward-cost",
        chapter="01_vgg_design",
        question="Do mult-adds predict the time of convolutions and of fully connected layers?",
        trial=_trial("costs", "forward_cost"),
        budgets={
            "tiny": Budget(
                vary={"precision": _CPU_PRECISION, "batch_size": (1, 8)},
                held={**_TINY_TIMING, "head": "fc", "side": 64},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"precision": _CPU_PRECISION, "batch_size": (1, 4)},
                held={**_CPU_TIMING, "head": "fc", "side": 224},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"precision": _GPU_PRECISIONS, "batch_size": (1, 64)},
                held={**_GPU_TIMING, "head": "fc", "side": 224},
                seeds=3,
            ),
        },
        control=_TIMED_TWICE,
        changes_mind=(
            "As many mult-adds a second in the fully connected layers as in the convolutions, "
            "with one image."
        ),
        held_equal="Weights, number of images, precision and threads; the two parts of one network "
        "cannot read the same numbers, so the fully connected layers get random features.",
    ),
    Experiment(
        name="size-cost",
        chapter="04_shape_mismatch",
        question="384 and 400 px end in the same map: what do the 16 pixels cost?",
        trial=_trial("costs", "size_cost"),
        budgets={
            "tiny": Budget(
                vary={"precision": _CPU_PRECISION},
                held={**_TINY_TIMING, "head": "fc", "sides": (384, 400), "batch_size": 1},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"precision": _CPU_PRECISION},
                held={**_HALF_TIMING, "head": "fc", "sides": (384, 400), "batch_size": 1},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"precision": _GPU_PRECISIONS},
                held={**_GPU_TIMING, "head": "fc", "sides": (384, 400), "batch_size": 32},
                seeds=3,
            ),
        },
        control=_TIMED_TWICE,
        changes_mind="A ratio of times whose interval leaves out that of the mult-adds.",
        held_equal="Weights, number of images, precision and threads; the pixels are drawn anew.",
    ),
    Experiment(
        name="fold-cost",
        chapter="05_adaptive_pooling",
        question="Is average pooling before fc6 faster than folded into it, at 384 px?",
        trial=_trial("costs", "fold_cost"),
        budgets={
            "tiny": Budget(
                vary={"precision": _CPU_PRECISION, "batch_size": (1, 32)},
                held={**_TINY_TIMING, "head": "fc", "side": 384},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"precision": _CPU_PRECISION, "batch_size": (1, 8)},
                held={**_HALF_TIMING, "head": "fc", "side": 384},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"precision": _GPU_PRECISIONS, "batch_size": (1, 32)},
                held={**_GPU_TIMING, "head": "fc", "side": 384},
                seeds=3,
            ),
        },
        control=_TIMED_TWICE,
        changes_mind="A folded layer that is faster than the pooling before it.",
        held_equal="Maps, weights of fc6, precision and threads: all three are the same function.",
    ),
    Experiment(
        name="dense-cost",
        chapter="06_fc_to_conv",
        question="What does one dense evaluation cost beside the crops that its cells stand for?",
        trial=_trial("costs", "dense_cost"),
        budgets={
            "tiny": Budget(
                vary={"precision": _CPU_PRECISION, "images": (1,)},
                held={**_TINY_TIMING, "head": "fc-fixed", "side": 288, "crops_at_once": 9},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"precision": _CPU_PRECISION, "images": (1,)},
                held={**_HALF_TIMING, "head": "fc-fixed", "side": 400, "crops_at_once": 6},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"precision": _GPU_PRECISIONS, "images": (1, 8)},
                held={**_GPU_TIMING, "head": "fc-fixed", "side": 400, "crops_at_once": 36},
                seeds=3,
            ),
        },
        control=_TIMED_TWICE,
        changes_mind=(
            "Crops that are as fast as one dense evaluation, for instance because they fill the "
            "device better."
        ),
        held_equal="Weights, images, precision and threads; the batches cannot be equal, so the "
        "number of crops that go through at once is held.",
    ),
    Experiment(
        name="signal-scale",
        chapter="01_vgg_design",
        question="Do outputs and gradients of A and E grow as the draw of their weights foretells?",
        trial=_trial("other_sizes", "signal_scale"),
        budgets={
            "tiny": Budget(
                vary={"config": ("A", "E"), "std": (0.01, 0.1, "He")},
                held={"width": 1 / 8, "side": 32, "images": 2},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"config": ("A", "E"), "std": (0.01, 0.1, "He")},
                held={"width": 1.0, "side": 64, "images": 2},
                seeds=5,
            ),
        },
        control="The factor that is derived from the draw, for each stage of E.",
        changes_mind="A stage in which the measured growth leaves out the derived one.",
        held_equal="Images, labels, head and the numbers drawn; A and E differ in depth alone.",
        tolerance=0.01,
    ),
    Experiment(
        name="forced-shapes",
        chapter="04_shape_mismatch",
        question="A picture of another size gets through: does the network still understand it?",
        trial=_trial("other_sizes", "force_shapes"),
        budgets={
            "tiny": Budget(vary={"lr": (0.02,)}, held={"train_images": 200, "epochs": 2}, seeds=2),
            "cpu": Budget(vary={"lr": (0.02,)}, held={"train_images": 1000, "epochs": 10}, seeds=5),
        },
        control=(
            "63 px with digits as large as in training: only the rim is dropped there, so a loss "
            "at 63 px beyond it is due to the size of the digits."
        ),
        changes_mind=(
            "A silent shape that is understood better than by guessing, or a loss at 63 px that "
            "the rim alone explains."
        ),
        held_equal="Network, weights and pictures; the seeds test on different pictures.",
        tolerance=0.05,
    ),
    Experiment(
        name="pool-in-place",
        chapter="05_adaptive_pooling",
        question="Adaptive pooling after the last max pooling, or in its place?",
        trial=_trial("other_sizes", "replace_pool"),
        budgets={
            "tiny": Budget(
                vary={"lr": (0.02,)},
                held={"train_images": 200, "epochs": 2, "sides": (20, 28, 31)},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"lr": (0.02,)},
                held={"train_images": 1000, "epochs": 10, "sides": (20, 28, 31, 36, 48, 56)},
                seeds=10,
            ),
        },
        control="28 px, where pooling after the max pooling changes nothing.",
        changes_mind="A size at which the pool in place is worse; at 28 px any difference at all.",
        held_equal="Network, weights and pictures; seeds 0 to 4 test on different pictures.",
        tolerance=0.05,
    ),
    Experiment(
        name="dense-cells",
        chapter="06_fc_to_conv",
        question="Is a cell of the map of scores what the network gives for a crop?",
        trial=_trial("other_sizes", "compare_cells"),
        budgets={
            "tiny": Budget(
                vary={"config": ("A",), "padding": (True, False)},
                held={"width": 1 / 16, "cells": 3},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"config": ("A", "D", "E"), "padding": (True, False)},
                held={"width": 1 / 8, "cells": 6},
                seeds=5,
            ),
        },
        control="The same network without padding: there each cell must be its crop.",
        changes_mind="A cell with padding that is its crop, or one without padding that is not.",
        held_equal=(
            "Weights and photographs; without padding a crop has to be larger to end at 7x7."
        ),
        tolerance=0.01,
    ),
    Experiment(
        name="dense-answers",
        chapter="06_fc_to_conv",
        question="Do a dense evaluation and its patches give the same answers, once trained?",
        trial=_trial("other_sizes", "answer_patches"),
        budgets={
            "tiny": Budget(vary={"lr": (2e-3,)}, held={"train_images": 40, "epochs": 2}, seeds=2),
            "cpu": Budget(vary={"lr": (2e-3,)}, held={"train_images": 150, "epochs": 4}, seeds=5),
        },
        control=(
            "The weights in the wrong order, for which no error is raised; and a rule that only "
            "looks at the brightness of a patch."
        ),
        changes_mind=(
            "Answers of one that are right two points more often than those of the other."
        ),
        held_equal="Weights and photographs; the seeds train on different patches.",
        tolerance=0.05,
    ),
    Experiment(
        name="repairs",
        chapter="08_repair_shop",
        question="Which repair of a network is right most often on images of another size?",
        trial=_trial("repairing", "repair_and_tune"),
        budgets={
            "tiny": Budget(
                vary={"scene": _SCENES, "repair": ("resize", "pool", "new-first")},
                held={**_TINY_REPAIRS, "sides": (14, 28, 50), "lr": (0.01, 0.1)},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"scene": _SCENES, "repair": _REPAIRS},
                held={
                    **_CPU_REPAIRS,
                    "sides": (14, 28, 42, 56),
                    "lr": (0.002, 0.015, 0.1, 0.6, 4.0),
                },
                seeds=5,
            ),
            "gpu": Budget(
                vary={"tuned": ("head", "all"), "scene": _SCENES, "repair": _REPAIRS},
                held={
                    "data": "cifar10",
                    "network": "trained",
                    "stages": 3,
                    "width": 1.0,
                    "hidden": 1024,
                    "network_images": 50_000,
                    "network_epochs": 12,
                    "network_batch": 128,
                    "network_lr": 0.1,
                    "train_images": 500,
                    "valid_images": 500,
                    "test_images": 2000,
                    "epochs": 3,
                    "sides": (28, 56, 84, 112),
                    "lr": (0.002, 0.015, 0.1, 0.6, 4.0),
                },
                seeds=3,
            ),
        },
        control=(
            "The side of the training: there every repair that keeps the function must be as "
            "accurate as the network was, and one with fresh weights no better than chance before "
            "it is trained. Two kinds of scenes: in one the objects grow with the image, in the "
            "other they keep their size, so a repair that is good only because it undoes a "
            "resizing must lose in the other. And the fold beside adaptive pooling, of which it is "
            "the same function until it is trained."
        ),
        changes_mind=(
            "Adaptive pooling that is no worse than resizing where objects grow, or no better than "
            "a dense evaluation where they do not; fresh layers that after a short training are as "
            "good as kept ones. Two points are worth seeing."
        ),
        held_equal=(
            "Trained network, pictures, their number, steps and rates to choose from; the features "
            "stay as they are, unless all is tuned. There is one trained network, so intervals are "
            "over pictures, places and fresh weights, not over trainings. The repairs cannot have "
            "as many weights or mult-adds, and pictures that were shrunk show less."
        ),
        tolerance=0.05,
    ),
    Experiment(
        name="repairs-cost",
        chapter="08_repair_shop",
        question="What does a forward of each repaired network take, in time and memory?",
        trial=_trial("costs", "repairs_cost"),
        budgets={
            "tiny": Budget(
                vary={"precision": _CPU_PRECISION, "network": ("slim",)},
                held={**_TINY_TIMING, "head": "fc-fixed", "batch_size": 1, "exported": ()},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"precision": _CPU_PRECISION, "network": ("slim", "vgg-16")},
                held={
                    **_CPU_TIMING,
                    "width": 1 / 8,
                    "head": "fc-fixed",
                    "batch_size": 4,
                    "exported": ("slim",),
                },
                seeds=5,
            ),
            "gpu": Budget(
                vary={"precision": _GPU_PRECISIONS, "network": ("slim", "vgg-16")},
                held={**_GPU_TIMING, "head": "fc-fixed", "batch_size": 8, "exported": ()},
                seeds=3,
            ),
        },
        control=_TIMED_TWICE,
        changes_mind="Five crops that take no longer than one of them, or a resizing that is not "
        "among the cheapest.",
        held_equal="Images, their number, precision and threads. The repairs cannot have as many "
        "weights or mult-adds. The width is that of VGG-16; the small network has its own.",
    ),
    Experiment(
        name="gap-cost",
        chapter="07_gap_vs_flatten",
        question="What does a training step of VGG-16 cost with each head, in time and memory?",
        trial=_trial("costs", "training_cost"),
        budgets={
            "tiny": Budget(
                vary={"head": ("gap", "fc")},
                held={"config": "D", "norm": None, "side": 64, "batch_size": 1, "steps": 1},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"head": ("gap", "fc")},
                held={"config": "D", "norm": None, "side": 224, "batch_size": 4, "steps": 2},
                seeds=5,
            ),
            "gpu": Budget(
                vary={"head": ("gap", "fc")},
                held={"config": "D", "norm": None, "side": 224, "batch_size": 64, "steps": 20},
                seeds=3,
            ),
        },
        control="Multiply-adds: if a step cost what they say, the heads would hardly differ.",
        changes_mind="A step with GAP that takes as long as one with the fully connected layers.",
        held_equal=(
            "Backbone, images, batch and threads; the runs of a seed follow each other, and do not "
            "take turns."
        ),
    ),
    Experiment(
        name="gap-accuracy",
        chapter="07_gap_vs_flatten",
        question="Which head is more accurate on real images, at the same backbone?",
        trial=_trial("trials", "compare_heads"),
        budgets={
            "tiny": Budget(vary=_TINY_HEADS, held=_TINY_SHAPES, seeds=2),
            "cpu": Budget(vary=_HEADS_BY_RATE, held=_CPU_CIFAR, seeds=5),
            "gpu": Budget(
                vary={
                    "head": _HEADS_AND_DROPOUT,
                    "augment": (False, True),
                    "lr": (0.0125, 0.05, 0.2, 0.8),
                },
                held={**_FAST_CIFAR, "width": 1 / 4, "epochs": 10},
                seeds=3,
            ),
        },
        control=(
            "The flatten head of one layer: with it alone, depth and places can be told apart. On "
            "a GPU also shifted and mirrored images, and VGG's dropout: both work against "
            "overfitting, so a lead of GAP that is due to it must shrink."
        ),
        changes_mind=(
            "A Flatten head that is two points more accurate; a lead of GAP that stays as large "
            "with augmentation and dropout."
        ),
        held_equal=_HEADS_EQUAL,
        tolerance=0.05,
    ),
    Experiment(
        name="gap-information",
        chapter="07_gap_vs_flatten",
        question="How well can position, count and layout be read from GAP and from all cells?",
        trial=_trial("trials", "read_features"),
        budgets={
            "tiny": Budget(
                vary={"trained": (False, True)},
                held={**_TINY_SHAPES, "lr": 0.1, "read_side": 64},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"trained": (False, True)},
                held={**_CPU_SHAPES, "lr": 0.1, "read_side": 64},
                seeds=5,
            ),
        },
        control="The network before training, which has learnt nothing to throw away.",
        changes_mind="Position or layout that is read as well from the means as from all cells.",
        held_equal="Network, scenes and the linear readout; GAP leaves it fewer numbers to read.",
        tolerance=0.05,
    ),
    Experiment(
        name="gap-border",
        chapter="07_gap_vs_flatten",
        question="What tells GAP of an untrained network where a figure is: zeros, or the border?",
        trial=_trial("trials", "read_position"),
        budgets={
            "tiny": Budget(
                vary={"padding_mode": _PADDING_MODES},
                held={"side": 32, "test_images": 500, "width": 1 / 8, "read_side": 64},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"padding_mode": _PADDING_MODES},
                held={"side": 32, "test_images": 1000, "width": 1 / 4, "read_side": 64},
                seeds=10,
            ),
        },
        control="Circular padding, with which no place is nearer to a border than another.",
        changes_mind="Position that is read with circular padding too, or only with zeros.",
        held_equal="Weights, scenes and the linear readout.",
        tolerance=0.05,
    ),
    Experiment(
        name="gap-translation",
        chapter="07_gap_vs_flatten",
        question="Trained with figures on the left only: what of figures on the right?",
        trial=_trial("trials", "move_objects"),
        budgets={
            "tiny": Budget(vary=_TINY_HEADS, held=_TINY_SHAPES, seeds=2),
            "cpu": Budget(vary=_HEADS_BY_RATE, held=_CPU_SHAPES, seeds=5),
        },
        control="Figures on the left, where they were in training.",
        changes_mind="A Flatten head that loses no more on the right than GAP does.",
        held_equal=_HEADS_EQUAL,
        tolerance=0.05,
    ),
    Experiment(
        name="shift-consistency",
        chapter="07_gap_vs_flatten",
        question="Does the answer stay the same while a figure moves, pixel by pixel?",
        trial=_trial("trials", "shift_objects"),
        budgets={
            "tiny": Budget(
                vary={"blur": (False, True)},
                held={**_TINY_SHAPES, "lr": 0.1, "read_side": 64, "shifts": (0, 1, 2, 4, 32)},
                seeds=2,
            ),
            "cpu": Budget(
                vary={"blur": (False, True)},
                held={**_CPU_SHAPES, "lr": 0.1, "read_side": 64, "shifts": _SHIFTS},
                seeds=5,
            ),
        },
        control=(
            "Moves by whole strides, four pixels, after which the same cells see the same pixels "
            "except at the border; and a blur before the stride of each pooling."
        ),
        changes_mind=(
            "Answers that stay the same at every move, or a blur that does not make them steadier."
        ),
        held_equal="Images, epochs, rate and first weights; the rate is that of the other figures.",
        tolerance=0.1,  # another processor's rounding moved one by 0.053
    ),
    Experiment(
        name="transfer",
        chapter="07_gap_vs_flatten",
        question="Frozen features, new dense layers: GAP, Flatten or both?",
        trial=_trial("transfer", "transfer_features"),
        budgets={
            "tiny": Budget(
                vary={"head": ("gap", "flatten")},
                held={
                    **_TINY_SHAPES,
                    "backbone": "slim-vgg",
                    "train_images": 50,
                    "test_images": 200,
                    "epochs": 3,
                    "lr": 0.01,
                },
                seeds=2,
            ),
            "cpu": Budget(
                vary={
                    "train_images": (50, 500),
                    "head": _TRANSFER_HEADS,
                    "lr": (0.002, 0.02, 0.2, 2.0),
                },
                held={**_TRANSFER, "data": "shapes", "backbone": "slim-vgg", "side": 32},
                seeds=5,
            ),
            "gpu": Budget(
                vary={
                    "backbone": ("vgg16", "resnet50"),
                    "train_images": (100, 5000),
                    "head": _TRANSFER_HEADS,
                    "lr": (0.002, 0.02, 0.2, 2.0),
                },
                held={**_TRANSFER, "data": "cifar10", "side": 32, "test_images": 2000},
                seeds=3,
            ),
        },
        control="GAP and all cells together: a head that has both can do what either can.",
        changes_mind="GAP that is better with few images and with many, or neither.",
        held_equal=(
            "Frozen features, images, epochs and rates to choose from; the heads cannot have as "
            "many weights."
        ),
        tolerance=0.05,
    ),
    Experiment(
        name="gap-size",
        chapter="07_gap_vs_flatten",
        question="Trained at 32 pixels: what of the same scenes at other sizes?",
        trial=_trial("trials", "resize_images"),
        budgets={
            "tiny": Budget(vary=_TINY_HEADS, held={**_TINY_SHAPES, "sides": (24, 32, 48)}, seeds=2),
            "cpu": Budget(
                vary=_HEADS_BY_RATE,
                held={**_CPU_SHAPES, "sides": (16, 24, 28, 32, 36, 40, 48, 64, 96)},
                seeds=5,
            ),
        },
        control="The same scenes resized back to the side of the training.",
        changes_mind=(
            "Scenes of twice the size that GAP names as well as those of the size of training."
        ),
        held_equal=_HEADS_EQUAL,
        tolerance=0.1,  # at sides far from 32 px another processor's rounding moved one by 0.07
    ),
    Experiment(
        name="gap-cam",
        chapter="07_gap_vs_flatten",
        question="Does the map of a class point at the figure, though only kinds were taught?",
        trial=_trial("trials", "point_at_objects"),
        budgets={
            "tiny": Budget(vary={"lr": (0.1,)}, held={**_TINY_SHAPES, "read_side": 64}, seeds=2),
            "cpu": Budget(vary={"lr": (0.1,)}, held={**_CPU_SHAPES, "read_side": 64}, seeds=5),
        },
        control="The middle of the image, and a place drawn at random.",
        changes_mind="A map that is on the figure no more often than the middle of the image is.",
        held_equal="Network and images.",
        tolerance=0.05,
    ),
    Experiment(
        name="all-reduce",
        chapter="10_scaling_out",
        question=(
            "Does a link of two numbers, fitted to all-reduces of powers of two, predict VGG's own "
            "buckets and steps?"
        ),
        trial=_trial("all_reducing", "time_all_reduces"),
        budgets={
            "tiny": Budget(
                vary={"processes": (2,)},
                held={
                    **_ALL_REDUCE,
                    "powers": (14, 20),
                    "bucket_width": 1 / 8,
                    "step_width": 1 / 8,
                    "sides": (32,),
                    "repetitions": 3,
                    "steps": 2,
                },
                seeds=2,
            ),
            "cpu": Budget(
                vary={"processes": (2,)},
                held={
                    **_ALL_REDUCE,
                    "powers": (16, 27),
                    "bucket_width": 1.0,
                    "step_width": 1 / 2,
                    "sides": (64, 128),
                    "repetitions": 6,
                    "steps": 4,
                },
                seeds=5,
            ),
        },
        control=(
            "Buckets and steps are in no fit; a link eight times as fast, or as slow, must miss "
            "the bound by far."
        ),
        changes_mind=(
            "A median error of the predictions, over all buckets and steps, above "
            f"{ERROR_BOUND:.0%}, with medians of all samples, and with transfers after backward: "
            "the processors that compute also carry."
        ),
        held_equal=(
            "Processes, threads and tensors' type; powers and buckets in turn, steps with and "
            "without averaging in turn. What else the machine does falls on both."
        ),
    ),
    Experiment(
        name="gap-digits",
        chapter="07_gap_vs_flatten",
        question="Does GAP make no sense for characters?",
        trial=_trial("trials", "compare_heads"),
        budgets={
            "tiny": Budget(vary=_TINY_HEADS, held=_TINY_DIGITS, seeds=2),
            "cpu": Budget(
                vary={"head": _HEADS, "lr": (0.02, 0.1, 0.5)},
                held={**_CPU_DIGITS, "test_images": 360, "keep_answers": True},
                seeds=5,
            ),
        },
        control="Both flatten heads, which keep the places that GAP averages.",
        changes_mind="A Flatten head that reads digits better.",
        held_equal=_HEADS_EQUAL,
        tolerance=0.05,
    ),
)

EXPERIMENTS: Mapping[str, Experiment] = {experiment.name: experiment for experiment in _ALL}
"""All experiments, by name."""


def find_experiment(name: str) -> Experiment:
    """Return an experiment by its name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment must be one of {', '.join(EXPERIMENTS)}; got {name!r}")
    return EXPERIMENTS[name]


def unrecorded(folder: str | Path, budget: str) -> list[str]:
    """Return the experiments with a budget that is not yet recorded, or not to its end."""
    found = []
    for name, experiment in EXPERIMENTS.items():
        path = Path(folder) / f"{name}.json"
        part = read_results(path)["budgets"].get(budget) if path.exists() else None
        runs = len(part["runs"]) if part else 0
        if budget in experiment.budgets and runs < experiment.budgets[budget].runs:
            found.append(name)
    return found


def overview(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each experiment and budget: what it asks, and what is recorded of it.

    Raises
    ------
    ValueError
        If a file of results is damaged.
    """
    rows = []
    for name, experiment in EXPERIMENTS.items():
        path = folder / f"{name}.json"
        recorded = read_results(path)["budgets"] if path.exists() else {}
        for budget, size in experiment.budgets.items():
            part = recorded.get(budget)
            rows.append(
                {
                    "experiment": name,
                    "budget": budget,
                    "runs": f"{len(part['runs']) if part else 0} of {size.runs}",
                    "measured on": part["provenance"]["device"] if part else NOT_MEASURED,
                    "question": experiment.question,
                }
            )
    return rows
