"""The factor (n - 1) / n is forgotten: as if everybody sent all, and got it back.

Loses: q2 q3 q4 q5 q6
"""


# %% q2
def link_of(microseconds, gigabits):
    return microseconds * 1e-6, gigabits * 1e9 / 8


def ring_bytes(nbytes, devices):
    return 2 * nbytes if devices > 1 else 0.0


def ring_seconds(nbytes, devices, link):
    return 2 * (devices - 1) * link[0] + ring_bytes(nbytes, devices) / link[1]
