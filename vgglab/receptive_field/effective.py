"""The effective receptive field: how much each pixel in the field counts.

W. Luo, Y. Li, R. Urtasun and R. Zemel, "Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks", NeurIPS 2016, https://arxiv.org/abs/1701.04128: the gradient of a
cell falls off from the middle of its field like a Gaussian.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from vgglab.arguments import check_images, check_model
from vgglab.receptive_field import Box, receptive_field
from vgglab.tracing import caller_undisturbed
from vgglab.tracing.copies import real_copy


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """How much each pixel counts for a cell.

    Attributes
    ----------
    path
        The layer.
    cell
        Row and column of the cell.
    magnitude
        (H, W), float64: the gradient's magnitude, the largest being 1; all 0 if there is none.
    box
        The pixels on which the cell can depend at all.
    """

    path: str
    cell: tuple[int, int]
    magnitude: Tensor
    box: Box

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviations along height and width in pixels, weighted by the magnitude."""
        down, across = (self._spread_along(dim) for dim in (0, 1))
        return down, across

    def side(self, threshold: float = 1 - 0.9545) -> float:
        """Return the side in pixels of a square as large as what counts.

        Parameters
        ----------
        threshold
            Pixels count whose magnitude is above this share of the largest. The default is that of
            the paper, section 3: what a Gaussian has two standard deviations from its middle.

        Raises
        ------
        ValueError
            If it is not between 0 and 1.
        """
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must be from 0 to below 1; got {threshold!r}")
        return sqrt(int((self.magnitude > threshold).sum()))

    @property
    def share(self) -> float:
        """`side`, divided by the side of a square as large as the box."""
        area = (self.box.bottom - self.box.top) * (self.box.right - self.box.left)
        return self.side() / sqrt(area) if area else 0.0

    def _spread_along(self, dim: int) -> float:
        weights = self.magnitude.sum(1 - dim)
        if not weights.any():
            return 0.0
        weights = weights / weights.sum()
        places = torch.arange(len(weights), dtype=weights.dtype)
        mean = (weights * places).sum()
        return float((weights * (places - mean) ** 2).sum().sqrt())


def effective_receptive_field(
    model: nn.Module, images: Tensor, layer: str, *, cell: tuple[int, int] | None = None
) -> EffectiveField:
    """Measure how much each pixel counts for a cell of a layer's output.

    The gradient of the cell, added up over its channels, is taken with respect to each image; what
    is returned is its root mean square over images and input channels. A copy of the model is run,
    in eval mode; the model stays as it is.

    Parameters
    ----------
    model
        Any network that can be trained.
    images
        (N, C, H, W), floating-point. With ReLUs the gradient depends on them, so take several.
    layer
        Path of a module whose output is a map (N, C, H, W).
    cell
        Row and column; by default the middle one.

    Returns
    -------
    EffectiveField
        A ReLU lets only a part of the cells pass, so single pixels are uneven.

    Raises
    ------
    TypeError
        If `images` is no floating-point tensor.
    ValueError
        If there is no such layer or cell, or if the forward stops before the layer's output.
    """
    model = check_model("model", model)
    check_images("images", images)
    field = receptive_field(model, tuple(images.shape), layer)
    cell = cell or (field.map_size[0] // 2, field.map_size[1] // 2)
    box = field.box(*cell)
    with torch.inference_mode(False), caller_undisturbed(), torch.enable_grad():
        copied = real_copy(model).eval().requires_grad_(False)
        outputs: list[Tensor] = []
        copied.get_submodule(layer).register_forward_hook(lambda *call: outputs.append(call[2]))
        device = next((p.device for p in copied.parameters()), images.device)
        pixels = images.detach().to(device).clone().requires_grad_()
        copied(pixels)
        (gradient,) = torch.autograd.grad(outputs[-1][:, :, cell[0], cell[1]].sum(), pixels)
    magnitude = gradient.double().square().mean((0, 1)).sqrt().cpu()
    return EffectiveField(layer, cell, magnitude / magnitude.max().clamp_min(1e-300), box)
