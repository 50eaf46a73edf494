"""Experiments as data: what varies, what is held, how many seeds, at which budget.

`catalogue` lists the experiments; `trials`, `normalizing`, `transfer`, `costs` and `other_sizes`
make their runs, which `running` records; `reading`, `verdicts` and `tables` say what may be
concluded. Only a run needs torch.
"""

from vgglab.lab.experiments.catalogue import EXPERIMENTS, find_experiment, overview
from vgglab.lab.experiments.running import (
    BUDGETS,
    MEASURED,
    Budget,
    Experiment,
    Settings,
    Shard,
    Trial,
    open_results,
    reproduce,
    run,
)

__all__ = [
    "BUDGETS",
    "EXPERIMENTS",
    "MEASURED",
    "Budget",
    "Experiment",
    "Settings",
    "Shard",
    "Trial",
    "find_experiment",
    "open_results",
    "overview",
    "reproduce",
    "run",
]
