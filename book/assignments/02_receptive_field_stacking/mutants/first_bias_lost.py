"""The bias of the first convolution is forgotten.

Loses: q6
"""


# %% q6
def compose(weight_1, bias_1, weight_2, bias_2, stride=1):
    _, channels, h1, w1 = weight_1.shape
    out, _, h2, w2 = weight_2.shape
    shape = (out, channels, h1 + stride * (h2 - 1), w1 + stride * (w2 - 1))
    weight = weight_1.new_zeros(shape)
    for i in range(h2):
        for j in range(w2):
            both = torch.einsum("om,mckl->ockl", weight_2[:, :, i, j], weight_1)
            weight[:, :, stride * i : stride * i + h1, stride * j : stride * j + w1] += both
    return weight, bias_2
