"""Computing and messages are added, though one hides the other.

Loses: q4 q5
"""


# %% q4
def fill_buckets(sizes, first=MIB, following=25 * MIB):
    packed = [[]]
    for amount in sizes:
        if packed[-1] and sum(packed[-1]) >= (first if len(packed) == 1 else following):
            packed.append([])
        packed[-1].append(amount)
    return packed


def step_seconds(layers, compute, devices, link, first=MIB, following=25 * MIB, overlap=True):
    if devices == 1:
        return compute
    order = [amount for amount, _ in reversed(layers)]
    filled = fill_buckets(order, first, following)
    return compute + sum(ring_seconds(sum(bucket), devices, link) for bucket in filled)
