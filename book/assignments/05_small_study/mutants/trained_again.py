"""The networks are trained again for the comparison.

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
        {seed: trial(head, chosen[head], seed)["test"] for seed in seeds} for head in heads
    )
    interval = paired_interval(ours, others)
    return {
        "rates": chosen,
        "interval": interval,
        "verdict": verdict(*interval[1:], margin),
    }
