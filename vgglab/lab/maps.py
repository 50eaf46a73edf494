"""Where in an image a class was seen: the score maps that global average pooling hides.

A linear layer after global average pooling is a linear layer at every cell of the last feature map,
averaged afterwards. So each logit is the mean of a map, plus the bias. Heads with a hidden layer
have no such map; the gradient of a logit gives one that is like it to first order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from vgglab.arguments import check_images, check_model
from vgglab.tracing import Op, Trace, caller_undisturbed, trace
from vgglab.tracing.copies import real_copy
from vgglab.tracing.operations import AVERAGES, RESHAPES, Kind

__all__ = ["CAM", "class_activation_map", "grad_cam"]


@dataclass(frozen=True, eq=False)
class CAM:
    """Class activation maps of a batch.

    Attributes
    ----------
    maps
        (N, num_classes, h, w): what each cell of the last feature map says for each class. The
        mean of a map, plus the bias of its class, is the logit.
    bias
        (num_classes,); zeros if there is none.
    logits
        (N, num_classes), as the model returns them.
    """

    maps: Tensor
    bias: Tensor
    logits: Tensor

    def of(self, classes: Tensor | int | None = None) -> Tensor:
        """Return one map an image, (N, h, w).

        Parameters
        ----------
        classes
            A class for all images, or (N,) one for each; by default those of the largest logits.
        """
        chosen = _chosen(classes, self.logits)
        return self.maps[torch.arange(len(self.maps), device=chosen.device), chosen]


def class_activation_map(model: nn.Module, images: Tensor) -> CAM:
    """Return the class activation maps of a network that ends in global average pooling.

    After the pooling there may be one linear layer, or nothing: then the pooled map is already one
    of scores. A copy of the model is run, in eval mode; the model itself is not touched.

    Source: B. Zhou et al., "Learning Deep Features for Discriminative Localization",
    https://arxiv.org/abs/1512.04150, section 2, equations 1 and 2. There the maps are sums over
    the cells; here they are scaled so that the mean is the logit.

    Parameters
    ----------
    model
        Any network from images (N, C, H, W) to logits (N, num_classes).
    images
        (N, C, H, W), prepared as the model wants them.

    Raises
    ------
    TypeError
        If `model` is no module, or `images` no floating-point tensor.
    ValueError
        If the model does not end like that, or cannot take these images.
    """
    model = check_model("model", model)
    traced = _traced(model, images)
    linear, pooling = _ending(traced)
    copied = real_copy(model).eval()
    watch = _LastMap(
        pooling.name, sum(op.name == pooling.name for op in traced.ops[: pooling.index])
    )
    with caller_undisturbed(), torch.no_grad(), watch:
        logits = copied(images)
    features = watch.found
    num_classes = logits.shape[1]
    weight, bias = torch.eye(num_classes).to(features), torch.zeros(num_classes).to(features)
    if linear is not None:
        parameters = dict(copied.named_parameters())
        for name in linear.parameters:
            if parameters[name].dim() == 2:
                weight = parameters[name].detach()
            else:
                bias = parameters[name].detach()
    return CAM(torch.einsum("kc,nchw->nkhw", weight, features), bias, logits)


def grad_cam(
    model: nn.Module, images: Tensor, layer: str, classes: Tensor | int | None = None
) -> Tensor:
    """Return the Grad-CAM of each image: what a layer's cells say for a class, by the gradient.

    The weight of a channel is the gradient of the logit, averaged over the cells; the map is the
    sum of the channels times their weights, where it is positive. So any differentiable head will
    do. With global average pooling and one linear layer it is the class activation map without its
    negative part, divided by the number of cells. With any other head the cells do not add up to
    the logit. A copy of the model is run, in eval mode; the model itself is not touched.

    Source: R. R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-Based Localization", https://arxiv.org/abs/1610.02391, section 3, equations 1 and 2.

    Parameters
    ----------
    model
        Any network from images (N, C, H, W) to logits (N, num_classes).
    images
        (N, C, H, W), prepared as the model wants them.
    layer
        Path of a module whose output is a map (N, channels, h, w): usually the last one, such as
        ``"features"`` of a VGG or ``"layer4"`` of a ResNet.
    classes
        A class for all images, or (N,) one for each; by default those of the largest logits.

    Returns
    -------
    Tensor
        (N, h, w), from 0; its scale is that of the logits, and differs from image to image.

    Raises
    ------
    TypeError
        If `model` is no module, or `images` no floating-point tensor.
    ValueError
        If the model cannot take these images, or does not return logits; if `layer` names no
        module of it that returns a map on which the logits depend; or if a class is not there.
    """
    model = check_model("model", model)
    traced = _traced(model, images)
    if layer not in traced.modules:
        near = get_close_matches(layer, traced.modules, n=3) or list(traced.modules)[1:4]
        raise ValueError(f"layer must be a module of the model, such as {near}; got {layer!r}")
    outputs: list[Any] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> Any:
        outputs.append(output)
        # What comes next may overwrite what it gets.
        return output.clone() if isinstance(output, Tensor) else None

    with torch.inference_mode(False), caller_undisturbed(), torch.enable_grad():
        copied = real_copy(model).eval().requires_grad_(False)
        copied.get_submodule(layer).register_forward_hook(keep)
        source = images.detach().clone().requires_grad_()
        logits = copied(source.clone())
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            raise ValueError("model must return logits (N, num_classes), and nothing else")
        chosen = _chosen(classes, logits)
        maps = outputs[-1] if outputs else None
        if not isinstance(maps, Tensor) or maps.dim() != 4:
            raise ValueError(f"layer must return a map (N, channels, h, w); {layer!r} does not")
        scores = logits[torch.arange(len(logits), device=logits.device), chosen].sum()
        (gradient,) = torch.autograd.grad(scores, maps, allow_unused=True)
    if gradient is None:
        raise ValueError(f"layer must be one that the logits depend on; got {layer!r}")
    return torch.einsum("nc,nchw->nhw", gradient.mean((2, 3)), maps.detach()).relu()


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (N, h, w) at the size of the images, (N, H, W), bilinearly between cells.

    Parameters
    ----------
    maps
        (N, h, w).
    size
        (H, W) in pixels.
    """
    return interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _traced(model: nn.Module, images: Tensor) -> Trace:
    """Return the trace of a model in eval mode, if it takes these images."""
    check_images("images", images)
    traced = trace(model, tuple(images.shape), dtypes=[images.dtype], training=False)
    if traced.failure is not None:
        raise ValueError(
            f"images must be such as the model takes; it fails for {tuple(images.shape)} at "
            f"{traced.failure.path!r}: {traced.failure.message}"
        )
    return traced


def _chosen(classes: Tensor | int | None, logits: Tensor) -> Tensor:
    """Return the class of each image, (N,); by default that of the largest logit."""
    images, num_classes = logits.shape
    chosen = logits.argmax(1) if classes is None else torch.as_tensor(classes)
    if chosen.shape not in ((), (images,)) or chosen.is_floating_point():
        raise ValueError(f"classes must be an integer or {images} of them; got {classes!r}")
    if not 0 <= int(chosen.min()) <= int(chosen.max()) < num_classes:
        raise ValueError(f"classes must be from 0 to {num_classes - 1}; got {classes!r}")
    return chosen.expand(images).to(logits.device)


def _ending(traced: Trace) -> tuple[Op | None, Op]:
    """Return the linear layer at the end, if there is one, and the global pooling before it."""

    def before(op: Op) -> Op | None:
        """Go back to the operation that made the numbers which this one reads."""
        while len(op.sources) == 1 and op.sources[0] >= 0:
            op = traced.ops[op.sources[0]]
            if op.kind not in RESHAPES:
                return op
        return None

    last: Op | None = traced.ops[-1]
    if last is not None and last.kind in RESHAPES:
        last = before(last)
    linear = None
    if last is not None and last.kind is Kind.LINEAR:
        linear, last = last, before(last)
    if last is not None and _is_global_pooling(last):
        return linear, last
    found = "its input" if last is None else f"{last.name} at {last.path!r}"
    if linear is not None:
        shape = linear.input_shapes[0]
        found = f"a linear layer at {linear.path!r} that reads {shape} from {found}"
    raise ValueError(
        "model must end in global average pooling, with at most one linear layer after it; it ends "
        f"in {found}; vgglab.with_gap_head builds such an end, which has to be trained"
    )


def _is_global_pooling(op: Op) -> bool:
    (before, *_), (after, *_) = op.input_shapes, op.output_shapes
    return op.kind in AVERAGES and len(before) == 4 and after in (before[:2], (*before[:2], 1, 1))


class _LastMap(TorchDispatchMode):
    """Keeps what goes into one operation, found by its name and by how many came before it."""

    def __init__(self, name: str, before: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name
        self._before = before
        self.found = torch.empty(0)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func.overloadpacket.__name__ == self._name:  # type: ignore[attr-defined]
            if self._before == 0:
                self.found = args[0].clone()
            self._before -= 1
        return func(*args, **(kwargs or {}))
