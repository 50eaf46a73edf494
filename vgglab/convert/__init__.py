"""A network for another input size, with the weights that it has.

Each function takes a network apart into a chain of modules, exchanges what has to be exchanged
where feature maps become rows of features, and returns a new ``nn.Sequential`` of copies in which
every module has its old name, so that the keys of the state_dict stay as they were. The network
that it is given is not changed.

It works for every network that is a chain of modules and common functions, one fed by the other,
whatever the modules are inside: VGG, AlexNet, ResNet, LeNet; with the flatten written as ``view``,
``reshape``, ``flatten`` or ``nn.Flatten``. Hooks of modules that are kept are kept, and none
fires on the way; a network with hooks of its own, or on containers that are taken apart, is
refused. `fold_batchnorm` and the repairs of single layers, such as `with_pooled_features`, take
nothing apart and work for every network that can be traced.
"""

from vgglab.convert.batchnorm import fold_batchnorm
from vgglab.convert.convolutional import fc_to_conv, fold_adaptive_pool
from vgglab.convert.new_heads import (
    with_adaptive_pool,
    with_flatten,
    with_gap_head,
    with_new_fc,
    with_spp_head,
)
from vgglab.convert.single_layers import (
    with_in_channels,
    with_new_linear,
    with_num_classes,
    with_pooled_features,
    with_resized_inputs,
    with_second_layer,
)

__all__ = [
    "fc_to_conv",
    "fold_adaptive_pool",
    "fold_batchnorm",
    "with_adaptive_pool",
    "with_flatten",
    "with_gap_head",
    "with_in_channels",
    "with_new_fc",
    "with_new_linear",
    "with_num_classes",
    "with_pooled_features",
    "with_resized_inputs",
    "with_second_layer",
    "with_spp_head",
]
