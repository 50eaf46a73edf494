"""A gigabit is taken for a gigabyte.

Loses: q2
"""


# %% q2
def link_of(microseconds, gigabits):
    return microseconds * 1e-6, gigabits * 1e9


def ring_bytes(nbytes, devices):
    return 2 * nbytes * (devices - 1) / devices


def ring_seconds(nbytes, devices, link):
    return 2 * (devices - 1) * (link[0] + nbytes / devices / link[1])
