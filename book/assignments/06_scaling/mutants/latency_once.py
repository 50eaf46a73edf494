"""All rounds together have one latency.

Loses: q2 q3 q4 q5
"""


# %% q2
def link_of(microseconds, gigabits):
    return microseconds * 1e-6, gigabits * 1e9 / 8


def ring_bytes(nbytes, devices):
    return 2 * nbytes * (devices - 1) / devices


def ring_seconds(nbytes, devices, link):
    return link[0] * (devices > 1) + ring_bytes(nbytes, devices) / link[1]
