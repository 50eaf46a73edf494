"""Checks before work begins: of arguments, each with one wording, and of packages of an extra.

A message about an argument has its name, what is accepted, and what came.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MAX_SIDE = 65_536
"""The largest size of an image along one axis, in pixels: what comes after it is a slip."""

MAX_LENGTH = 1_048_576
"""The most steps of a signal: those of 20 s of sound."""


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Return an argument as an int; a NumPy integer is one too, ``True`` is none.

    Raises
    ------
    TypeError
        If it is no integer.
    ValueError
        If it is below `minimum`.
    """
    number = _as_integer(value)
    if number is None:
        accepted = "an integer" + (", 'same' or 'valid'" if name == "padding" else "")
        raise TypeError(f"{name} must be {accepted}; got {value!r}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {number}")
    return number


def check_side(name: str, value: Any, minimum: int = 1) -> int:
    """Return the height or width of an image as an int.

    Raises
    ------
    TypeError
        If it is no integer.
    ValueError
        If it is below `minimum` or above `MAX_SIDE`.
    """
    side = check_integer(name, value, minimum)
    if side > MAX_SIDE:
        raise ValueError(f"{name} must be at most {MAX_SIDE:,} pixels a side; got {side:,}")
    return side


def as_pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return an argument as (height, width); one number stands for both.

    Raises
    ------
    ValueError
        If it is a sequence of another length.
    """
    if not _is_sequence(value):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} must be an integer or a pair (height, width); got {value!r}")
    return value[0], value[1]


def check_model(name: str, model: Any) -> "nn.Module":
    """Return the module, or the one that ``torch.compile`` has wrapped.

    Raises
    ------
    TypeError
        If it is none.
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module; got {_kind(model)}")
    plain: nn.Module = getattr(model, "_orig_mod", model)
    return plain


def check_model_with_numbers(name: str, model: Any) -> "nn.Module":
    """Return a module that can be run for real, as `check_model` does.

    Raises
    ------
    TypeError
        If it is no module.
    ValueError
        If a parameter or buffer has no shape yet, or no data.
    """
    from torch.nn.parameter import is_lazy

    plain = check_model(name, model)
    for key, tensor in [*plain.named_parameters(), *plain.named_buffers()]:
        if is_lazy(tensor):
            raise ValueError(f"{name} must have been run once; its {key!r} has no shape yet")
        if tensor.is_meta:
            raise ValueError(f"{name} must hold numbers; its {key!r} is on the meta device")
    return plain


def check_sizes(name: str, value: Any) -> tuple[tuple[int, ...], ...]:
    """Return shapes, given as one or as a list of them; lists and ``torch.Size`` are shapes too.

    Raises
    ------
    TypeError
        If it is something else than integers in one or two levels.
    ValueError
        If there are none, or one is below 1 or, from the third axis on, above `MAX_SIDE`.
    """
    accepted = f"{name} must be a shape such as (1, 3, 224, 224), or a list of shapes"
    if not _is_sequence(value):
        raise TypeError(f"{accepted}; got {value!r}")
    nested = [_is_sequence(item) for item in value]
    if any(nested) != all(nested):
        raise TypeError(f"{accepted}; got {value!r}")
    shapes = value if all(nested) and value else [value]
    if not all(len(shape) for shape in shapes):
        raise ValueError(f"{accepted}, none of them empty; got {value!r}")
    return tuple(_shape(accepted, value, shape) for shape in shapes)


def check_image_size(name: str, value: Any) -> tuple[int, int, int, int]:
    """Return the shape (N, C, H, W) of a batch of images.

    Raises
    ------
    TypeError
        If it is no sequence of integers.
    ValueError
        If it does not have four sizes, each at least 1, with H and W at most `MAX_SIDE`.
    """
    accepted = f"{name} must be a shape (N, C, H, W) such as (1, 3, 224, 224)"
    if not _is_sequence(value):
        raise TypeError(f"{accepted}; got {value!r}")
    if len(value) != 4:
        raise ValueError(f"{accepted}; got {value!r}")
    batch, channels, height, width = _shape(accepted, value, value)
    return batch, channels, height, width


def check_images(name: str, value: Any, *, dims: int | None = 4, floating: bool = True) -> "Tensor":
    """Return a batch of images: a tensor of the shape (N, C, H, W), not empty.

    Parameters
    ----------
    name
        Of the argument.
    value
        What came.
    dims
        Number of axes; ``None``: any number from 1.
    floating
        Whether its numbers have to be floating-point ones.

    Raises
    ------
    TypeError
        If it is no tensor, or one of other numbers.
    ValueError
        If it has another number of axes, or one of them is empty.
    """
    from torch import Tensor

    shape = "of the shape (N, C, H, W)" if dims == 4 else "with a batch axis"
    kind = "a floating-point tensor" if floating else "a tensor"
    accepted = f"{name} must be {kind} {shape}, none of its axes empty"
    if not isinstance(value, Tensor):
        raise TypeError(f"{accepted}; got {_kind(value)}")
    if floating and not value.is_floating_point():
        raise TypeError(f"{accepted}; got {value.dtype}")
    if not value.dim() or dims not in (None, value.dim()) or not value.numel():
        raise ValueError(f"{accepted}; got the shape {tuple(value.shape)}")
    return value


def number_type(model: "nn.Module") -> "torch.dtype":
    """Return the type of the model's first floating-point parameter, or torch's default."""
    import torch

    floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.get_default_dtype())


def most_along(shape: Sequence[int]) -> int:
    """Return the largest size along an axis that inputs of as many axes may have."""
    return MAX_SIDE if len(shape) > 3 else MAX_LENGTH


def _shape(accepted: str, value: Any, shape: Iterable[Any]) -> tuple[int, ...]:
    sizes = []
    for item in shape:
        size = _as_integer(item)
        if size is None:
            raise TypeError(f"{accepted}; got {value!r}, where {item!r} is no integer")
        if size < 1:
            raise ValueError(f"{accepted}, all sizes at least 1; got {value!r}")
        sizes.append(size)
    most = most_along(sizes)
    things = "pixels a side" if most == MAX_SIDE else "steps long"
    if max(sizes[2:], default=0) > most:
        raise ValueError(f"{accepted}, at most {most:,} {things}; got {value!r}")
    return tuple(sizes)


def _as_integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _kind(value: Any) -> str:
    """Say what came, for values whose text may be long or say nothing."""
    if isinstance(value, type):
        return f"the class {value.__name__}, not an instance"
    return type(value).__name__


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import what an extra brings; say how to install it if it is not there.

    Raises
    ------
    ImportError
        In place of a ModuleNotFoundError.

    Examples
    --------
    >>> with needs("train"):
    ...     from tqdm import tqdm
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ImportError(
            f'the package {package} is not installed: pip install "vgglab[{extra}]"', name=package
        ) from error
