"""All gradients travel in each round, and not a part.

Loses: q2 q3 q4 q5 q6
"""


# %% q2
def link_of(microseconds, gigabits):
    return microseconds * 1e-6, gigabits * 1e9 / 8


def ring_bytes(nbytes, devices):
    return 2 * nbytes * (devices - 1)


def ring_seconds(nbytes, devices, link):
    return 2 * (devices - 1) * (link[0] + nbytes / link[1])
