"""The last layer that ran is taken for the one that stopped.

Loses: q1
"""


# %% q1
def stops_at(model, input_size):
    model = copy.deepcopy(model)
    finished = [(None, tuple(input_size))]
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            module.register_forward_hook(
                lambda module, args, out, name=name: finished.append((name, tuple(out.shape)))
            )
    like = next(model.parameters())
    try:
        with torch.no_grad():
            model(torch.zeros(input_size, device=like.device, dtype=like.dtype))
    except RuntimeError:
        return finished[-1]
    return None
