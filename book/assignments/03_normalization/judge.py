"""Judge of assignment 3: torch's own layers and autograd, which students may not use."""

from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vgglab.grading import Call, Probe, Randn, Ref
from vgglab.grading import Tensor as Numbers
from vgglab.normalization import local_response_norm


def variant(random: Random) -> dict[str, Any]:
    """Return the settings of the public checks."""
    return {
        "scale": random.choice((20, 30, 50)),
        "size": random.choice((3, 5)),
        "momentum": random.choice((0.2, 0.3, 0.7)),
    }


def probes(variant: dict[str, Any], random: Random) -> list[Probe]:
    """Return the hidden probes."""

    def randn(*shape: int, dtype: str = "float64") -> Randn:
        return Randn(shape, seed=random.randrange(10**6), dtype=dtype)

    def positive(count: int, dtype: str = "float64") -> Numbers:
        return Numbers([random.uniform(0.3, 3) for _ in range(count)], dtype=dtype)

    def large(*shape: int) -> Call:
        """Return activations of a scale at which the sum of squares counts."""
        return Call("scaled", randn(*shape), random.uniform(20, 80), name="x", returned=False)

    def state(count: int, dtype: str = "float64") -> list[Any]:
        """Return weight, bias, running mean and running variance."""
        three = [randn(count, dtype=dtype) for _ in range(3)]
        return [*three, positive(count, dtype)]

    def hand(function: str, *args: Any, **options: Any) -> Call:
        return Call("by_hand", Ref(function), *args, **options)

    def forward(
        shape: tuple[int, ...], training: bool, *parts: int, dtype: str = "float64", **options: Any
    ) -> list[Call]:
        """Return calls for some parts: 0 is the output, 1 and 2 are the running statistics."""
        tensors = [randn(*shape, dtype=dtype), *state(shape[1], dtype)]
        kept = hand("batch_norm", *tensors, training, **options, name="r", returned=False)
        return [kept, *(Call("@identity", Ref("r", part)) for part in parts)]

    def backward(shape: tuple[int, ...], training: bool, **options: Any) -> Call:
        weight, _, *running = state(shape[1])
        x, grad = randn(*shape), randn(*shape)
        return hand("batch_norm_backward", grad, x, weight, *running, training, **options)

    def fold(name: str, into: int, out: int, bias: bool = True, dtype: str = "float64") -> Call:
        kernel = random.sample(range(1, 5), 2)
        statistics = state(out if name == "fold_after" else into, dtype)
        conv_bias = randn(out, dtype=dtype) if bias else None
        conv_weight = randn(out, into, *kernel, dtype=dtype)
        return hand(name, conv_weight, conv_bias, *statistics, random.choice((1e-3, 0.1)))

    alexnet = (1e-4, 0.75, 2.0)
    sides = random.sample(range(2, 6), 2)
    momentum = random.choice((0.05, 0.4, 0.6))
    kept = [randn(2, 3, *sides), *state(3)]
    names = ("x", "weight", "bias", "mean", "var")
    return [
        *(
            Probe("q1", f"{says}, large activations", *(
                call for size in (3, 5, 7)
                for call in (large(2, 9, *sides), hand("lrn", Ref("x"), size, *alexnet, formula))
            ), hint="Which of the two divides alpha by the size of the window?")
            for says, formula in (("AlexNet's convention", "alexnet"), ("torch's", "torch"))
        ),
        Probe("q1", "windows of even size", *(
            call for size, formula in ((4, "alexnet"), (2, "torch"), (6, "torch"))
            for call in (large(1, 8, *sides), hand("lrn", Ref("x"), size, *alexnet, formula))
        ), hint="How many channels come before, and how many after?"),
        Probe("q1", "fewer channels than the window has, other settings",
              hand("lrn", randn(3, 2, *sides), 5, 0.3, 0.5, 1.5, "alexnet"),
              hand("lrn", randn(1, 1, 1, 4), 7, 0.7, 1.0, 1.0, "torch"),
              hint="In torch's convention alpha is always divided by the same number."),
        Probe("q1", "float32, an unknown formula, an argument that stays as it was",
              Call("@identity", randn(2, 4, *sides, dtype="float32"), name="x", returned=False),
              hand("lrn", Ref("x"), 3, 0.5, 0.75, 1.0, "torch"), Call("@identity", Ref("x")),
              hand("lrn", Ref("x"), 3, 0.5, 0.75, 1.0, "caffe", raises=True)),
        Probe("q2", "train mode: the output",
              *forward((4, 3, *sides), True, 0), *forward((2, 5, 1, 2), True, 0),
              hint="Which numbers have their mean and variance in common?"),
        Probe("q2", "train mode: the running statistics",
              *forward((4, 3, *sides), True, 1, 2), *forward((2, 5, 1, 2), True, 1, 2),
              *forward((3, 2, *sides), True, 1, 2, momentum=momentum),
              hint="Two variances are at work: which of them is remembered, and with which share?"),
        Probe("q2", "either mode, with autograd on and off",
              *forward((3, 4, *sides), False, 0, 1, 2), *forward((1, 3, 1, 1), False, 0),
              Call("batch_norm", randn(3, 2, *sides), *state(2), False),
              *forward((3, 2, *sides), True, 0),
              hint="The argument says the mode, and autograd does not."),
        Probe("q2", "another eps", *forward((3, 2, *sides), True, 0, eps=0.3),
              *forward((3, 2, *sides), False, 0, eps=0.3)),
        Probe("q2", "a batch of one image; a channel with one value",
              *forward((1, 3, *sides), True, 0), *forward((2, 2, 1, 1), True, 0),
              hand("batch_norm", randn(1, 3, 1, 1), *state(3), True, raises=True)),
        Probe("q2", "no factor and no offset, float32", *(
            call for training in (True, False) for call in (
                hand("batch_norm", randn(3, 2, *sides), None, None, randn(2), positive(2), training,
                     name="r", returned=False),
                Call("@identity", Ref("r", 0)))
        ), *forward((3, 2, *sides), True, 0, dtype="float32")),
        Probe("q2", "the arguments stay as they were",
              *(Call("@identity", tensor, name=name, returned=False)
                for name, tensor in zip(names, kept, strict=True)),
              hand("batch_norm", *(Ref(name) for name in names), True),
              *(Call("@identity", Ref(name)) for name in names),
              hint="Return new running statistics, and leave the old ones alone."),
        Probe("q3", "train mode", backward((4, 3, *sides), True), backward((2, 5, 3, 2), True),
              points=2, hint="The mean and the variance depend on x too."),
        Probe("q3", "eval mode", backward((4, 3, *sides), False), backward((1, 2, 1, 1), False),
              hint="In eval mode nothing depends on the batch."),
        Probe("q3", "a batch of one image, two values a channel",
              backward((1, 3, *sides), True), backward((2, 3, 1, 1), True),
              hint="The mean goes over how many numbers?"),
        Probe("q3", "another eps", backward((3, 2, *sides), True, eps=0.5),
              backward((3, 2, *sides), False, eps=0.5)),
        *(
            Probe("q4", f"{says}", fold(name, 3, 5), fold(name, 4, 2),
                  hint="The factor is the weight over the square root of variance plus eps.")
            for says, name in (("convolution, then BatchNorm", "fold_after"),
                               ("BatchNorm, then convolution", "fold_before"))
        ),
        Probe("q4", "convolutions without bias",
              fold("fold_after", 3, 4, bias=False), fold("fold_before", 3, 4, bias=False)),
        Probe("q4", "float32; as many channels before as after",
              fold("fold_after", 3, 3, dtype="float32"), fold("fold_before", 3, 3, dtype="float32"),
              hint="Whose channels does BatchNorm scale: those that go in, or those after?"),
        Probe("q5", "windows of odd size", *(
            call for size in (3, 5) for call in
            (large(2, 8, *sides),
             hand("lrn_backward", randn(2, 8, *sides), Ref("x"), size, *alexnet))
        ), hint="Which outputs have this number in their window?"),
        Probe("q5", "other settings, one channel",
              hand("lrn_backward", randn(1, 5, *sides), randn(1, 5, *sides), 3, 0.4, 0.5, 1.5),
              hand("lrn_backward", randn(2, 1, *sides), randn(2, 1, *sides), 5, 0.4, 2.0, 1.0)),
        Probe("q5", "windows of even size",
              hand("lrn_backward", randn(2, 6, *sides), randn(2, 6, *sides), 4, 0.5, 0.75, 1.0),
              hand("lrn_backward", randn(2, 6, *sides), randn(2, 6, *sides), 2, 0.5, 0.75, 1.0),
              hint="If j is in the window of c, is c in the window of j?"),
    ]  # fmt: skip


# Reference answers


def by_hand(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function: the judge may use what students may not."""
    return function(*args, **kwargs)


def lrn(x: Tensor, size: int, alpha: float, beta: float, k: float, formula: str) -> Tensor:
    """Return what the package's layer gives, and check it against torch's."""
    found = local_response_norm(x, size, alpha, beta, k, formula=formula)
    factor = size if formula == "alexnet" else 1
    assert torch.allclose(found, F.local_response_norm(x, size, alpha * factor, beta, k))
    return found


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what torch's function gives, and the buffers that it changed."""
    mean, var = running_mean.clone(), running_var.clone()
    y = F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)
    return y, mean, var


def batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    eps: float = 1e-5,
) -> tuple[Tensor, ...]:
    """Return autograd's gradients."""
    leaves = [t.clone().requires_grad_() for t in (x, weight, torch.zeros_like(weight))]
    y, _, _ = batch_norm(*leaves, running_mean, running_var, training, eps=eps)
    return torch.autograd.grad(y, leaves, grad)


def fold_after(conv_weight: Tensor, conv_bias: Tensor | None, *norm: Any) -> tuple[Tensor, Tensor]:
    """Return the convolution of both, read from what both do."""

    def both(x: Tensor) -> Tensor:
        return _eval(F.conv2d(x, conv_weight.double(), _double(conv_bias)), *norm)

    return _read(both, conv_weight)


def fold_before(conv_weight: Tensor, conv_bias: Tensor | None, *norm: Any) -> tuple[Tensor, Tensor]:
    """Return the convolution of both, read from what both do."""

    def both(x: Tensor) -> Tensor:
        return F.conv2d(_eval(x, *norm), conv_weight.double(), _double(conv_bias))

    return _read(both, conv_weight)


def _eval(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float = 1e-5
) -> Tensor:
    weight, bias, mean, var = (t.double() for t in (weight, bias, mean, var))
    return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)


def _double(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.double()


def _read(layers: Callable[[Tensor], Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return kernel and bias of a function that is one convolution."""
    nothing = torch.zeros(1, *like.shape[1:], dtype=torch.float64)
    kernel = torch.autograd.functional.jacobian(lambda x: layers(x).flatten(), nothing)[:, 0]
    return kernel.to(like.dtype), layers(nothing).flatten().to(like.dtype)


def lrn_backward(grad: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Return autograd's gradient through torch's layer, with its alpha."""
    x = x.clone().requires_grad_()
    y = F.local_response_norm(x, size, alpha * size, beta, k)
    return torch.autograd.grad(y, x, grad)[0]
