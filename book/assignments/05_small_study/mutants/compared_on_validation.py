"""The heads are compared on the images by which their rates were chosen.

Loses: q5
"""


# %% q5
def study(trial, heads, rates, seeds, margin):
    runs = [
        {"head": head, "lr": lr, "seed": seed, **trial(head, lr, seed)}
        for head in heads
        for lr in rates
        for seed in seeds
    ]
    chosen = {head: choose_rate(runs, head) for head in heads}
    ours, others = (
        {
            run["seed"]: 0.0 if math.isnan(run["valid"]) else run["valid"]
            for run in runs
            if run["head"] == head and run["lr"] == chosen[head]
        }
        for head in heads
    )
    interval = paired_interval(ours, others)
    return {
        "rates": chosen,
        "interval": interval,
        "verdict": verdict(*interval[1:], margin),
    }
