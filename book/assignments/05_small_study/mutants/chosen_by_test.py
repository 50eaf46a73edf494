"""The learning rate is chosen by the test images.

Loses: q3 q5
"""


# %% q3
def choose_rate(runs, head):
    by_rate = {}
    for run in runs:
        if run["head"] == head:
            test = 0.0 if math.isnan(run["test"]) else run["test"]
            by_rate.setdefault(run["lr"], []).append(test)
    if not by_rate:
        raise ValueError(head)
    return min(by_rate, key=lambda lr: (-fmean(by_rate[lr]), lr))


def test_scores(runs, head):
    lr = choose_rate(runs, head)
    return {
        run["seed"]: 0.0 if math.isnan(run["test"]) else run["test"]
        for run in runs
        if run["head"] == head and run["lr"] == lr
    }
