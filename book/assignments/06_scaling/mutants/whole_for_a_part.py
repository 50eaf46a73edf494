"""The fit takes all bytes for those of a message.

Loses: q3
"""


# %% q3
def fit_link(sweep, devices):
    if len(sweep) < 2:
        raise ValueError("too few")
    hops = 2 * (devices - 1)
    found = least_squares([[hops / t, hops * b / t] for b, t in sweep.items()], [1] * len(sweep))
    return found[0], 1 / found[1]


def median_error(held_out, devices, link):
    errors = []
    for size, taken in held_out.items():
        said = ring_seconds(size, devices, link)
        errors.append(max(said, taken) / min(said, taken) - 1)
    return median(errors)
