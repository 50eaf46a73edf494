"""The network is tried in the mode that it is in, so BatchNorm remembers an image of zeros.

Loses: q1
"""


# %% q1
def stops_at(model, input_size):
    entered, handles = [], []
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            handles.append(
                module.register_forward_pre_hook(
                    lambda module, args, name=name: entered.append((name, tuple(args[0].shape)))
                )
            )
    like = next(model.parameters())
    try:
        with torch.no_grad():
            model(torch.zeros(input_size, device=like.device, dtype=like.dtype))
    except RuntimeError:
        return entered[-1]
    finally:
        for handle in handles:
            handle.remove()
    return None
