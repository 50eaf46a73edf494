"""A record of made-up times."""

from pathlib import Path

from vgglab.lab.experiments import Budget, Experiment
from vgglab.lab.experiments.results import Results
from vgglab.lab.provenance import provenance, today


def timed(folder: Path, budget: str = "gpu") -> Path:
    """Record made-up times of three arms: powers of two, so that what follows is exact."""
    size = Budget({"images": (1, 8)}, {}, 2)

    def trial(settings, seed, checkpoint):
        dense = [0.25, 0.5, 0.25]
        factor = {1: 4, 8: 8}[settings["images"]] * 2 ** (1 - 2 * seed)
        return {
            "seconds": {
                "dense": dense,
                "dense again": dense,
                "crops": [factor * second for second in dense],
            },
            "mult_adds": {"dense": 2 * 10**9, "dense again": 2 * 10**9, "crops": 20 * 10**9},
            "saved_bytes": {"dense": 3 * 2**20},
            "peak_bytes": {"dense": None, "crops": 5 * 2**30},
        }

    made = Experiment("made", "So?", trial, {budget: size})
    path = folder / "made.json"
    results = Results(
        path, "made", budget, vars(size), provenance(), f"vgglab experiment made --budget {budget}"
    )
    for settings in size.combinations():
        for seed in range(2):
            results.add(
                {
                    "settings": settings,
                    "seed": seed,
                    "date": today(),
                    "seconds": 1.0,
                    "result": made.trial(settings, seed, path),
                }
            )
    return path
