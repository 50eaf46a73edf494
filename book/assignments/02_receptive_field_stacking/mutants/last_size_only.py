"""Only the size after the last window is compared.

Loses: q2
"""


# %% q2
def first_wrong(windows):
    if doubled(windows)[-1] != receptive_field(windows)[0]:
        return len(windows) - 1
    return None
