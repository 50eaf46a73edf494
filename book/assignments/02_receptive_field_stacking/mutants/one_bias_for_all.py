"""The biases are counted once for the whole stack.

Loses: q5
"""


# %% q5
def stack(small, large, channels, bias=True):
    layers, rest = divmod(large - 1, small - 1)
    if rest:
        raise ValueError("no stack sees that")
    biases = channels if bias else 0
    return layers, layers * channels**2 * small**2 + biases, channels**2 * large**2 + biases
