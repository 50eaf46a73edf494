"""The sums are made, and nobody passes them on.

Loses: q2 q3 q4 q5 q6
"""


# %% q2
def link_of(microseconds, gigabits):
    return microseconds * 1e-6, gigabits * 1e9 / 8


def ring_bytes(nbytes, devices):
    return nbytes * (devices - 1) / devices


def ring_seconds(nbytes, devices, link):
    return (devices - 1) * (link[0] + nbytes / devices / link[1])
