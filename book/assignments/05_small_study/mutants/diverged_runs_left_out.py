"""Runs that diverged are left out, so that the others speak for the rate.

Loses: q3
"""


# %% q3
def choose_rate(runs, head):
    by_rate = {}
    for run in runs:
        if run["head"] == head and not math.isnan(run["valid"]):
            by_rate.setdefault(run["lr"], []).append(run["valid"])
    if not by_rate:
        raise ValueError(head)
    return min(by_rate, key=lambda lr: (-fmean(by_rate[lr]), lr))


def test_scores(runs, head):
    lr = choose_rate(runs, head)
    return {
        run["seed"]: run["test"]
        for run in runs
        if run["head"] == head and run["lr"] == lr and not math.isnan(run["test"])
    }
