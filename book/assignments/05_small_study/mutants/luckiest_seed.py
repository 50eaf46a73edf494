"""The rate of the best single run is chosen.

Loses: q3
"""


# %% q3
def choose_rate(runs, head):
    own = [run for run in runs if run["head"] == head]
    if not own:
        raise ValueError(head)
    return max(own, key=lambda run: (-1 if math.isnan(run["valid"]) else run["valid"], -run["lr"]))[
        "lr"
    ]


def test_scores(runs, head):
    lr = choose_rate(runs, head)
    return {
        run["seed"]: 0.0 if math.isnan(run["test"]) else run["test"]
        for run in runs
        if run["head"] == head and run["lr"] == lr
    }
