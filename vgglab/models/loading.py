"""Models by name: of torchvision, of timm, of this package, or your own."""

import ast
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

ACCEPTED = (
    "torchvision:NAME, timm:NAME, vgglab:CONFIG[,head=...], package.module:callable "
    "or file.py:callable"
)

LIBRARIES = ("torchvision", "timm", "vgglab")


def load_model(source: str, *, data: bool = False, weights: str | None = None) -> nn.Module:
    """Build the model that `source` names.

    Parameters
    ----------
    source
        ``"torchvision:vgg16"``, ``"timm:vgg16"``, ``"vgglab:D"`` (options of `vgglab.vgg` after
        commas: ``"vgglab:D,norm=batch,head=gap"``), ``"package.module:callable"`` or
        ``"folder/file.py:callable"``: a module, or something that returns one when called without
        arguments; the current folder is searched first.
    data
        Whether a library's model is to have data. If not, it is on the meta device: enough for
        everything that looks at shapes, and nothing has to be computed.
    weights
        A file with a state_dict, or, for torchvision and vgglab, the name of a set of torchvision's
        weights, such as ``"IMAGENET1K_V1"``. Without it the weights are random.

    Returns
    -------
    torch.nn.Module
        From a library of models: in eval mode. Your own: as you made it, with the weights given.

    Raises
    ------
    ValueError
        If there is no such model, it cannot be built, or the weights do not fit it.
    ConnectionError
        If named weights are not there and cannot be downloaded.
    """
    library, name = _split(source)
    build = dict(zip(LIBRARIES, (_from_torchvision, _from_timm, _from_vgglab), strict=True))
    file = weights if weights is not None and os.path.isfile(weights) else None
    named = None if file else weights
    if named is not None and named.endswith((".pt", ".pth")):
        raise ValueError(f"weights must be an existing file; got {named!r}")
    if library not in build:
        if named:
            raise ValueError(f"weights for {source!r} must be a file; got {named!r}")
        model = _from_module(library, name)
    else:
        # Up to torch 2.8, what torchvision imports computes, which it cannot on the meta device.
        with suppress(ImportError):
            import_module(library)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of builders, about initialisation
            model = _built(build[library], name, named, data or named is not None).eval()
    return model if file is None else _with_weights(model, file)


def _split(source: str) -> tuple[str, str]:
    """Return what stands before the colon, a library, a module or a file, and what after it."""
    head, colon, name = source.rpartition(".py:")
    library, colon, name = (head + ".py", colon, name) if colon else source.partition(":")
    if library and colon and name:
        return library, name
    advice = ""
    if source.endswith(".py"):
        advice = f"; name what is in it, {source}:Net"
    elif not colon:
        from torchvision import models

        advice = _did_you_mean("torchvision:", source, models.list_models())
    raise ValueError(f"model must be {ACCEPTED}; got {source!r}{advice}")


def _built(
    build: Callable[[str, str | None], nn.Module], name: str, weights: str | None, data: bool
) -> nn.Module:
    if data:
        return build(name, weights)
    try:
        with torch.device("meta"):
            return build(name, weights)
    except NotImplementedError:  # the builder computes with tensors
        return build(name, weights)


def _with_weights(model: nn.Module, file: str) -> nn.Module:
    try:
        state_dict = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"weights must be a file with a state_dict; {file!r} cannot be read: {error}"
        ) from error
    if isinstance(state_dict, dict) and isinstance(state_dict.get("state_dict"), dict):
        state_dict = state_dict["state_dict"]
    try:
        model.load_state_dict(state_dict, assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"weights of {file!r} do not fit the model: {error}") from None
    return model


def _from_torchvision(name: str, weights: str | None) -> nn.Module:
    from torchvision import models

    _check_name("torchvision", name, models.list_models())
    # No builder may fetch weights unasked, not even those of a backbone.
    options: dict[str, Any] = {"weights": None}
    if "weights_backbone" in models.get_model_builder(name).__annotations__:
        options["weights_backbone"] = None
    if weights is not None:
        available = [member.name for member in models.get_model_weights(name)]
        if weights not in available:
            raise ValueError(
                f"weights for {name} must be a file or one of {', '.join(available)}; "
                f"got {weights!r}"
            )
        options["weights"] = weights
    try:
        model: nn.Module = models.get_model(name, **options)
    except OSError as error:
        raise ConnectionError(
            f"weights {weights!r} for {name} could not be fetched ({error}); go online once, or "
            f"put the file into {torch.hub.get_dir()}/checkpoints"
        ) from error
    return model


def _from_timm(name: str, weights: str | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise ValueError(f"model 'timm:{name}' needs timm: pip install timm") from None
    _check_name("timm", name, timm.list_models())
    if weights is not None:
        raise ValueError(f"weights for timm:{name} must be a file; got {weights!r}")
    model: nn.Module = timm.create_model(name, pretrained=False)
    return model


def _from_vgglab(name: str, weights: str | None) -> nn.Module:
    from vgglab.models.network import vgg

    config, *settings = name.split(",")
    options: dict[str, Any] = {"weights": weights}
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
        found: Any = _imported(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"model {source!r} cannot be imported: {error}") from error
        raise ValueError(
            f"model must be {ACCEPTED}; got {source!r}, and there is no module {module_name!r}"
            + _did_you_mean("", module_name, LIBRARIES)
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


def _imported(module: str) -> ModuleType:
    """Import a module by its name, or from its file."""
    path = Path(module)
    if path.suffix != ".py":
        return import_module(module)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {module!r}")
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    if str(path.resolve().parent) not in sys.path:
        sys.path.insert(0, str(path.resolve().parent))  # for what it imports itself
    spec = spec_from_file_location(path.stem, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


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
        advice = _did_you_mean("", name, known)
        raise ValueError(f"model {name!r} is not in {library}{advice}")


def _did_you_mean(prefix: str, name: str, names: Iterable[str]) -> str:
    lowered = {known.lower(): known for known in names}
    near = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3)]
    return f"; did you mean {', '.join(prefix + found for found in near)}?" if near else ""


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
