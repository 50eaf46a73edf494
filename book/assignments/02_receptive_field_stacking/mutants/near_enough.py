"""Where no stack fits, the nearest smaller one is taken.

Loses: q5
"""


# %% q5
def stack(small, large, channels, bias=True):
    layers = (large - 1) // (small - 1)
    biases = channels if bias else 0
    of_small, of_large = (channels**2 * side**2 + biases for side in (small, large))
    return layers, layers * of_small, of_large
