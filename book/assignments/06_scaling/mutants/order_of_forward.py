"""The first layer's gradient is taken for the first that is there.

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
    order = list(layers)
    todo = [work for _, work in order]
    end = done = 0
    for bucket in fill_buckets([amount for amount, _ in order], first, following):
        done += sum(todo.pop(0) for _ in bucket)
        ready = compute
        if overlap:
            ready = compute * (1 / 3 + 2 / 3 * done / sum(work for _, work in layers))
        end = max(ready, end) + ring_seconds(sum(bucket), devices, link)
    return max(compute, end)
