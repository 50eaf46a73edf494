"""The stride of the first convolution plays no part in the kernel.

Loses: q6
"""


# %% q6
def compose(weight_1, bias_1, weight_2, bias_2, stride=1):
    _, channels, h1, w1 = weight_1.shape
    out, _, h2, w2 = weight_2.shape
    weight = weight_1.new_zeros(out, channels, h1 + h2 - 1, w1 + w2 - 1)
    for i in range(h2):
        for j in range(w2):
            both = torch.einsum("om,mckl->ockl", weight_2[:, :, i, j], weight_1)
            weight[:, :, i : i + h1, j : j + w1] += both
    return weight, bias_2 + weight_2.sum(dim=(2, 3)) @ bias_1
