"""The hooks stay on the caller's network.

Loses: q1
"""


# %% q1
def stops_at(model, input_size):
    entered = []
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            module.register_forward_pre_hook(
                lambda module, args, name=name: entered.append((name, tuple(args[0].shape)))
            )
    like = next(model.parameters())
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(input_size, device=like.device, dtype=like.dtype))
    except RuntimeError:
        return entered[-1]
    finally:
        model.train(training)
    return None
