"""Repaired networks as files: a state_dict, and the code that builds the network for it."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vgglab.diagnose.fixes import IMPORTS, Fix
from vgglab.files import write_whole
from vgglab.models.loading import load_model

CODE = """\
import torch
{imports}from vgglab.models.loading import load_model

saved = torch.load({file!r}, weights_only=True)
model = load_model({source!r}, data={data})
{line}
model.load_state_dict(saved["state_dict"], assign=True)
"""


def save_repaired(fix: Fix, source: str, path: Path) -> None:
    """Apply a repair and write the repaired network's weights, with the code to build it.

    The file holds a dict of ``"state_dict"`` and ``"code"``, for
    ``torch.load(..., weights_only=True)``. It appears complete or not at all, and only if the code
    really gives the same weights.

    Parameters
    ----------
    fix
        The repair.
    source
        The name of the model, as in `vgglab.models.loading.load_model`.
    path
        Where to write. An existing file is replaced.

    Raises
    ------
    ValueError
        If the repair does not apply, or the code cannot build the network.
    OSError
        If the file cannot be written.
    """
    state_dict = fix.apply().state_dict()
    # Without data is faster; models whose builders compute tensors need it.
    data = next((data for data in (False, True) if _fits(fix, source, data, state_dict)), None)
    if data is None:
        raise ValueError(f"the repaired network cannot be built again from {source!r}")
    code = CODE.format(imports=IMPORTS, file=path.name, source=source, data=data, line=fix.line)
    saved = {"state_dict": state_dict, "code": code}
    write_whole(path, lambda file: torch.save(saved, file))


def _fits(fix: Fix, source: str, data: bool, state_dict: dict[str, Tensor]) -> bool:
    """Tell whether the code builds a network that takes the weights and misses nothing."""
    model = replace(fix, model=load_model(source, data=data)).apply()
    try:
        model.load_state_dict(state_dict, assign=True)
    except RuntimeError:
        return False
    return not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
