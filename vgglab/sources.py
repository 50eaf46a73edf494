"""Models by name: of torchvision, of timm, of this package, or your own."""

import ast
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import torch
from torch import nn

ACCEPTED = "torchvision:NAME, timm:NAME, vgglab:CONFIG[,head=...] or package.module:callable"


def load_model(source: str) -> nn.Module:
    """Build the model that `source` names, with random weights or, where possible, none at all.

    Parameters
    ----------
    source
        ``"torchvision:vgg16"``, ``"timm:vgg16"``, ``"vgglab:D"`` (options of `vgglab.vgg` after
        commas: ``"vgglab:D,norm=batch,head=gap"``), or ``"package.module:callable"``: a module, or
        something that returns one when called without arguments; the current folder is searched
        first.

    Returns
    -------
    torch.nn.Module
        From a library of models: on the meta device, in eval mode. Your own: as you made it.

    Raises
    ------
    ValueError
        If there is no such model, or it cannot be built.
    """
    library, colon, name = source.partition(":")
    if not (library and colon and name):
        raise ValueError(f"model must be {ACCEPTED}; got {source!r}")
    build = {"torchvision": _from_torchvision, "timm": _from_timm, "vgglab": _from_vgglab}
    if library not in build:
        return _from_module(library, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of builders, about initialisation
        try:
            with torch.device("meta"):
                return build[library](name).eval()
        except NotImplementedError:  # the builder computes with tensors
            return build[library](name).eval()


def _from_torchvision(name: str) -> nn.Module:
    from torchvision import models

    _check_name("torchvision", name, models.list_models())
    # No builder may fetch weights, not even those of a backbone.
    weights = {"weights": None}
    if "weights_backbone" in models.get_model_builder(name).__annotations__:
        weights["weights_backbone"] = None
    model: nn.Module = models.get_model(name, **weights)
    return model


def _from_timm(name: str) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise ValueError(f"model 'timm:{name}' needs timm: pip install timm") from None
    _check_name("timm", name, timm.list_models())
    model: nn.Module = timm.create_model(name, pretrained=False)
    return model


def _from_vgglab(name: str) -> nn.Module:
    from vgglab.models import vgg

    config, *settings = name.split(",")
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"model options must be written name=value; got {setting!r}")
        options[key] = _literal(text)
    try:
        return vgg(config, **options)
    except TypeError as error:
        raise ValueError(f"model 'vgglab:{name}': {error}") from None


def _from_module(module_name: str, attribute: str) -> nn.Module:
    source = f"{module_name}:{attribute}"
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"model {source!r} cannot be imported: {error}") from error
        raise ValueError(
            f"model must be {ACCEPTED}; got {source!r}, and there is no module {module_name!r}"
        ) from None
    except Exception as error:
        raise ValueError(
            f"model {source!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split("."):
        _check_name(module_name, part, dir(found))
        found = getattr(found, part)
    model = _call(source, found) if not isinstance(found, nn.Module) and callable(found) else found
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model {source!r} must be a torch.nn.Module or return one; got {type(model).__name__}"
        )
    return model


def _call(source: str, build: Callable[[], object]) -> object:
    try:
        return build()
    except Exception as error:
        raise ValueError(
            f"model {source!r} must be callable without arguments; "
            f"it raises {type(error).__name__}: {error}"
        ) from error


def _check_name(library: str, name: str, names: Iterable[str]) -> None:
    known = list(names)
    if name not in known:
        near = get_close_matches(name, known, n=3)
        advice = f"; did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"model {name!r} is not in {library}{advice}")


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
