"""Both heads are judged at the rate that suits ours.

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
    lr = choose_rate(runs, heads[0])
    ours, others = (test_scores([r for r in runs if r["lr"] == lr], head) for head in heads)
    interval = paired_interval(ours, others)
    return {
        "rates": dict.fromkeys(heads, lr),
        "interval": interval,
        "verdict": verdict(*interval[1:], margin),
    }
