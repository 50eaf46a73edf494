"""VGG Lab: explain, measure and repair convolutional networks.

Every name below is imported when it is first used, so that ``import vgglab`` needs no torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgglab.compare import compare as compare
    from vgglab.compare.onnx import onnx_round_trip as onnx_round_trip
    from vgglab.convert import fc_to_conv as fc_to_conv
    from vgglab.convert import fold_adaptive_pool as fold_adaptive_pool
    from vgglab.convert import fold_batchnorm as fold_batchnorm
    from vgglab.convert import with_adaptive_pool as with_adaptive_pool
    from vgglab.convert import with_flatten as with_flatten
    from vgglab.convert import with_gap_head as with_gap_head
    from vgglab.convert import with_in_channels as with_in_channels
    from vgglab.convert import with_new_fc as with_new_fc
    from vgglab.convert import with_new_linear as with_new_linear
    from vgglab.convert import with_num_classes as with_num_classes
    from vgglab.convert import with_pooled_features as with_pooled_features
    from vgglab.convert import with_resized_inputs as with_resized_inputs
    from vgglab.convert import with_second_layer as with_second_layer
    from vgglab.convert import with_spp_head as with_spp_head
    from vgglab.course.exercises import check as check
    from vgglab.course.exercises import hint as hint
    from vgglab.course.exercises import progress as progress
    from vgglab.course.exercises import quiz as quiz
    from vgglab.course.glue import glue as glue
    from vgglab.diagnose import diagnose as diagnose
    from vgglab.diagnose.identity import identify as identify
    from vgglab.explain import Cause as Cause
    from vgglab.explain import explain_error as explain_error
    from vgglab.figures.explorer import explorer as explorer
    from vgglab.figures.field_explorer import field_explorer as field_explorer
    from vgglab.figures.prediction import predict as predict
    from vgglab.lab.maps import class_activation_map as class_activation_map
    from vgglab.lab.maps import grad_cam as grad_cam
    from vgglab.models.configs import CONFIGS as CONFIGS
    from vgglab.models.configs import PAPER_ERRORS as PAPER_ERRORS
    from vgglab.models.configs import PAPER_PARAMETERS as PAPER_PARAMETERS
    from vgglab.models.network import vgg as vgg
    from vgglab.pooling import ExportableAdaptivePool2d as ExportableAdaptivePool2d
    from vgglab.pooling import SpatialPyramidPool as SpatialPyramidPool
    from vgglab.pooling import adaptive_bins as adaptive_bins
    from vgglab.pooling import adaptive_matrix as adaptive_matrix
    from vgglab.receptive_field import receptive_field as receptive_field
    from vgglab.receptive_field import receptive_fields as receptive_fields
    from vgglab.shapes import Window as Window
    from vgglab.shapes import conv_output_size as conv_output_size
    from vgglab.shapes import feature_map_sizes as feature_map_sizes
    from vgglab.shapes import input_sizes as input_sizes
    from vgglab.summary import summary as summary
    from vgglab.tracing import trace as trace

__version__ = "0.1.0"

_HOME = {
    "CONFIGS": "models.configs",
    "Cause": "explain",
    "ExportableAdaptivePool2d": "pooling",
    "PAPER_ERRORS": "models.configs",
    "PAPER_PARAMETERS": "models.configs",
    "SpatialPyramidPool": "pooling",
    "Window": "shapes",
    "adaptive_bins": "pooling",
    "adaptive_matrix": "pooling",
    "check": "course.exercises",
    "class_activation_map": "lab.maps",
    "compare": "compare",
    "conv_output_size": "shapes",
    "diagnose": "diagnose",
    "explain_error": "explain",
    "explorer": "figures.explorer",
    "fc_to_conv": "convert",
    "feature_map_sizes": "shapes",
    "field_explorer": "figures.field_explorer",
    "fold_adaptive_pool": "convert",
    "fold_batchnorm": "convert",
    "glue": "course.glue",
    "grad_cam": "lab.maps",
    "hint": "course.exercises",
    "identify": "diagnose.identity",
    "input_sizes": "shapes",
    "onnx_round_trip": "compare.onnx",
    "predict": "figures.prediction",
    "progress": "course.exercises",
    "quiz": "course.exercises",
    "receptive_field": "receptive_field",
    "receptive_fields": "receptive_field",
    "summary": "summary",
    "trace": "tracing",
    "vgg": "models.network",
    "with_adaptive_pool": "convert",
    "with_flatten": "convert",
    "with_gap_head": "convert",
    "with_in_channels": "convert",
    "with_new_fc": "convert",
    "with_new_linear": "convert",
    "with_num_classes": "convert",
    "with_pooled_features": "convert",
    "with_resized_inputs": "convert",
    "with_second_layer": "convert",
    "with_spp_head": "convert",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vgglab' has no attribute {name!r}")
    return getattr(import_module(f"vgglab.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Keeps functions such as `summary` when the modules of the same names are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
