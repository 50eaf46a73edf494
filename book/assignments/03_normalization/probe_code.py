"""What probes call besides the answers."""

import _thread as _threads
import threading as _threading
from unittest import mock as _mock

KERNELS = (
    *("_batch_norm_impl_index", "_batch_norm_no_update", "_batch_norm_with_update"),
    *("_fused_rms_norm", "_native_batch_norm_legit", "_native_batch_norm_legit.no_stats"),
    *("native_batch_norm", "native_batch_norm_backward", "native_group_norm", "native_layer_norm"),
)
_library = []


def scaled(x, factor):
    """Return a tensor of another scale."""
    return x * factor


def _refuse(*args, **options):
    raise RuntimeError("this is not from scratch")


def by_hand(function, *args, **kwargs):
    """Return what a function gives as the notebook's `by_hand` does, more strictly.

    torch's normalisations raise whichever way they are reached, and no thread starts: it would
    have modes of its own.
    """
    if not _library:  # it is taken back when nobody holds it
        _library.append(torch.library.Library("aten", "IMPL"))
        for name in KERNELS:
            if hasattr(torch.ops.aten, name.partition(".")[0]):
                _library[0].impl(name, _refuse, "CPU")
    layers = _mock.patch.multiple(F, local_response_norm=_refuse, batch_norm=_refuse)
    threads = _mock.patch.object(_threads, "start_new_thread", _refuse)
    started = _mock.patch.object(_threading.Thread, "start", _refuse)
    with layers, threads, started, Refusing(), torch.no_grad():
        return function(*args, **kwargs)
