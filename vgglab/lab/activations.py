"""How large the activations and gradients are, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from vgglab.arguments import check_images, check_integer, check_model
from vgglab.tracing import caller_undisturbed, trace
from vgglab.tracing.copies import real_copy

Kinds: TypeAlias = type[nn.Module] | tuple[type[nn.Module], ...]


@dataclass(frozen=True)
class Activation:
    """What one call of a layer returned, in numbers.

    Attributes
    ----------
    path
        Path of the layer; a layer that is called twice is there twice.
    type
        Class of the layer.
    mean, std
        Of all values for all images; the standard deviation has the factor 1/n.
    near_zero
        Share of the values whose magnitude is below the first of the `decades`; behind a ReLU
        these are the units that are off.
    counts
        How many values have a magnitude in each bin. The bins divide `decades` evenly, and the last
        has the larger values too. Values that are not a number are in none.
    decades
        Powers of ten, from and to, between which the bins lie.
    gradient_rms
        Root of the mean square of the loss's gradient with respect to the values; ``None`` without
        a loss, or if the loss does not depend on them.
    weight_gradient_norm
        L2 norm of the loss's gradient with respect to the layer's ``weight``, over all its calls;
        ``None`` without a loss or a weight, or if the weight is frozen.
    """

    path: str
    type: str
    mean: float
    std: float
    near_zero: float
    counts: tuple[int, ...]
    decades: tuple[int, int]
    gradient_rms: float | None = None
    weight_gradient_norm: float | None = None


def activation_statistics(
    model: nn.Module,
    images: Tensor,
    *,
    kinds: Kinds = (nn.Conv2d, nn.Linear),
    loss: Callable[[Any], Tensor] | None = None,
    bins: int = 50,
    decades: tuple[int, int] = (-6, 4),
) -> list[Activation]:
    """Return how large the values are that each layer returns, and their gradients.

    A copy of the model is run once, each module in the mode that it is in. The model itself, its
    BatchNorms' statistics and the state of all random generators stay as they are. What a layer
    returned is looked at before an in-place operation can overwrite it.

    Parameters
    ----------
    model
        Any network; only modules are seen, so not a ReLU that its forward calls as a function.
    images
        (N, C, H, W) or whatever the model takes, floating-point.
    kinds
        The classes of the layers to look at, subclasses included.
    loss
        A function of the model's output that returns one number. A mean over the images makes all
        gradients of the values smaller by a factor of N.
    bins
        Number of bins of the magnitudes.
    decades
        Powers of ten between which they lie.

    Returns
    -------
    list of Activation
        In the order of execution.

    Raises
    ------
    TypeError
        If an argument is of another type than those above.
    ValueError
        If the model does not take `images`, no layer of these kinds is called or one does not
        return a tensor, `loss` does not return one number that depends on the output, or `bins` or
        `decades` leave no bin.
    """
    model = check_model("model", model)
    check_images("images", images, dims=None)
    _check(kinds, decades)
    check_integer("bins", bins, minimum=1)
    traced = trace(model, tuple(images.shape), dtypes=[images.dtype])
    if traced.failure is not None:
        raise ValueError(
            f"images must be such as the model takes; it fails for {tuple(images.shape)} at "
            f"{traced.failure.path!r}: {traced.failure.message}"
        )
    with torch.inference_mode(False), caller_undisturbed():
        copied = real_copy(model)
        watch = _Watched(bins, decades)
        for path, module in copied.named_modules():
            if isinstance(module, kinds):
                watch.attach(path, module)
        device = next((p.device for p in copied.parameters()), images.device)
        source = images.detach().to(device).clone()
        if loss is None:
            with torch.no_grad():
                copied(source)
        else:
            source.requires_grad_()  # so that gradients reach layers that are frozen
            # In-place operations may write into a copy, not into a leaf.
            value = loss(copied(source.clone()))
            watch.backward(value, source)
    if not watch.found:
        raise ValueError(f"kinds must be classes of layers that the model calls; got {kinds!r}")
    return watch.found


class _Watched:
    """Looks at what layers return, and at the gradients that come back to them."""

    def __init__(self, bins: int, decades: tuple[int, int]) -> None:
        self.found: list[Activation] = []
        self._layers: list[nn.Module] = []
        self._bins = bins
        self._decades = decades

    def attach(self, path: str, layer: nn.Module) -> None:
        """Have each call of a layer looked at."""

        def look(module: nn.Module, args: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise ValueError(
                    "kinds must be classes of layers that return one tensor; "
                    f"{path!r} ({type(module).__name__}) returns {type(output).__name__}"
                )
            index = len(self.found)
            name = type(module).__name__
            self.found.append(_described(path, name, output, self._bins, self._decades))
            self._layers.append(module)
            if output.requires_grad:
                # Of these values, even if an in-place operation overwrites them afterwards.
                output.register_hook(lambda gradient: self._note(index, gradient))

        layer.register_forward_hook(look)

    def backward(self, value: Any, images: Tensor) -> None:
        """Take the gradients of a loss."""
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss must return a tensor with one number; got {got}")
        if not value.requires_grad:
            raise ValueError("loss must depend on the model's output; got one without a gradient")
        weights = [layer._parameters.get("weight") for layer in self._layers]
        trained = {id(w): w for w in weights if w is not None and w.requires_grad}
        gradients = torch.autograd.grad(value, [images, *trained.values()], allow_unused=True)
        norms = {
            key: float(gradient.double().norm())
            for key, gradient in zip(trained, gradients[1:], strict=True)
            if gradient is not None
        }
        self.found = [
            replace(row, weight_gradient_norm=norms.get(id(weight)))
            for row, weight in zip(self.found, weights, strict=True)
        ]

    def _note(self, index: int, gradient: Tensor) -> None:
        # In float32 the squares of small gradients would vanish.
        rms = float(gradient.detach().double().square().mean().sqrt())
        self.found[index] = replace(self.found[index], gradient_rms=rms)


def _described(
    path: str, name: str, output: Tensor, bins: int, decades: tuple[int, int]
) -> Activation:
    values = output.detach().double()
    exponents = values.abs().log10()
    inner_edges = torch.linspace(*decades, bins + 1, device=values.device, dtype=values.dtype)[1:-1]
    seen = exponents[exponents >= decades[0]]
    counts = torch.bincount(torch.bucketize(seen, inner_edges, right=True), minlength=bins)
    return Activation(
        path=path,
        type=name,
        mean=float(values.mean()),
        std=float(values.std(correction=0)),
        near_zero=float((exponents < decades[0]).double().mean()),
        counts=tuple(counts.tolist()),
        decades=decades,
    )


def _check(kinds: Any, decades: Any) -> None:
    classes = kinds if isinstance(kinds, tuple) else (kinds,)
    if not all(isinstance(kind, type) and issubclass(kind, nn.Module) for kind in classes):
        raise TypeError(f"kinds must be classes of modules; got {kinds!r}")
    if not (
        isinstance(decades, tuple)
        and len(decades) == 2
        and all(type(power) is int for power in decades)
        and decades[0] < decades[1]
    ):
        raise ValueError(
            f"decades must be two whole numbers, the smaller one first; got {decades!r}"
        )
