"""VGG Lab: explain, measure and repair convolutional networks.

Every name below is imported when it is first used, so that ``import vgglab`` needs no torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgglab.configs import CONFIGS as CONFIGS
    from vgglab.configs import PAPER_ERRORS as PAPER_ERRORS
    from vgglab.configs import PAPER_PARAMETERS as PAPER_PARAMETERS
    from vgglab.exercises import check as check
    from vgglab.exercises import hint as hint
    from vgglab.exercises import quiz as quiz
    from vgglab.explorer import explorer as explorer
    from vgglab.models import vgg as vgg
    from vgglab.notebook import glue as glue
    from vgglab.shapes import Window as Window
    from vgglab.shapes import conv_output_size as conv_output_size
    from vgglab.shapes import feature_map_sizes as feature_map_sizes
    from vgglab.shapes import input_sizes as input_sizes
    from vgglab.summary import summary as summary
    from vgglab.tracing import trace as trace

__version__ = "0.1.0"

_HOME = {
    "CONFIGS": "configs",
    "PAPER_ERRORS": "configs",
    "PAPER_PARAMETERS": "configs",
    "Window": "shapes",
    "check": "exercises",
    "conv_output_size": "shapes",
    "explorer": "explorer",
    "feature_map_sizes": "shapes",
    "glue": "notebook",
    "hint": "exercises",
    "input_sizes": "shapes",
    "quiz": "exercises",
    "summary": "summary",
    "trace": "tracing",
    "vgg": "models",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vgglab' has no attribute {name!r}")
    return getattr(import_module(f"vgglab.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Keeps `summary` and `explorer` the functions when the modules of those names are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
