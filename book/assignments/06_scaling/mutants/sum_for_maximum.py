"""Computing and messages are added, though one hides the other.

Loses: q4 q5
"""


# %% q4
def fill_buckets(sizes, first=MIB, following=25 * MIB):
    found = [[]]
    for size in sizes:
        if found[-1] and sum(found[-1]) >= (first if len(found) == 1 else following):
            found.append([])
        found[-1].append(size)
    return found


def step_seconds(layers, compute, devices, link, first=MIB, following=25 * MIB, overlap=True):
    if devices == 1:
        return compute
    order = [size for size, _ in reversed(layers)]
    filled = fill_buckets(order, first, following)
    return compute + sum(ring_seconds(sum(bucket), devices, link) for bucket in filled)
