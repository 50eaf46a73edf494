"""Networks that somebody posted because they stopped, written anew from what the posts say.

Facts are taken over (layers, sizes, the numbers of the message), code is not. Widths that do not
matter are smaller, where the post's numbers do not come from them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from networks import torchvision_network
from torch import Tensor, nn


class Posted(NamedTuple):
    """A posted network.

    Attributes
    ----------
    source
        Where it was posted.
    make
        Builds it.
    size
        The input, or several.
    layer
        Where it stops; ``None``: it ends, and what comes is not what was wanted.
    kind
        Of the problem.
    said
        What the report must contain.
    runs, fails
        Other inputs that run or fail.
    repair
        A repair that must be on offer; ``None``: none exists, or none is demanded.
    target
        Shape of the labels.
    train
        Whether it is in training mode.
    """

    source: str
    make: Callable[[], nn.Module]
    size: Any
    layer: str | None
    kind: str | None
    said: tuple[str, ...]
    runs: tuple[Any, ...] = ()
    fails: tuple[Any, ...] = ()
    repair: str | None = None
    target: tuple[int, ...] | None = None
    train: bool = False


class Layers(nn.Module):
    """Layers with names, and a forward that is a function of them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.written = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Any:
        return self.written(self, *inputs)


def convolutions(
    *channels: int, kernel_size: int = 3, pool: int = 2, axes: int = 2
) -> nn.Sequential:
    """Convolutions that keep the size, each with a pooling behind it."""
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
    pooling = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[axes]
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        padding = kernel_size // 2
        layers += [conv(before, after, kernel_size, padding=padding), nn.ReLU(), pooling(pool)]
    return nn.Sequential(*layers)


def vgg_like(channels: int, width: int, features: int, classes: int = 10) -> nn.Module:
    """Five blocks with poolings, flattened, and one linear layer."""
    sizes = (channels, *(min(64 * 2**k, 512) // width for k in range(5)))
    return nn.Sequential(convolutions(*sizes), nn.Flatten(), nn.Linear(features, classes))


def unet(depth: int, channels: int, cut: bool = False) -> nn.Module:
    """Encode by poolings and decode by transposed convolutions, each beside its map."""

    def forward(net: Any, x: Tensor) -> Tensor:
        maps = []
        for k in range(depth):
            x = F.relu(net.get_submodule(f"down{k}")(x))
            maps.append(x)
            x = F.max_pool2d(x, 2)
        for k in reversed(range(depth)):
            x = net.get_submodule(f"up{k}")(x)
            x = net.get_submodule(f"conv{k}")(torch.cat([maps[k], x], 1))
        return net.last(x)  # type: ignore[no-any-return]

    layers: dict[str, nn.Module] = {}
    for k in range(depth):
        layers[f"down{k}"] = nn.Conv2d(3 if k == 0 else channels, channels, 3, padding=1)
        layers[f"up{k}"] = nn.ConvTranspose2d(channels, channels, 2, 2)
        layers[f"conv{k}"] = nn.Conv2d(2 * channels, channels, 3, padding=1)
    return Layers(forward, **layers, last=nn.Conv2d(channels, 2, 1))


def crnn(net: Any, x: Tensor) -> Tensor:
    x = net.cnn(x)
    _, _, h, _ = x.size()
    assert h == 1, "the height of conv must be 1"
    return net.rnn(x.squeeze(2).permute(2, 0, 1))[0]  # type: ignore[no-any-return]


def crnn_layers() -> nn.Module:
    return Layers(
        crnn,
        cnn=nn.Sequential(
            convolutions(1, 8, 16),
            nn.Conv2d(16, 32, 3, 1, 1),
            nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
            nn.Conv2d(32, 32, 3, 1, 1),
            nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
            nn.Conv2d(32, 32, 2),
        ),
        rnn=nn.LSTM(32, 16, bidirectional=True),
    )


def old_resnet(net: Any, x: Tensor) -> Tensor:
    """A ResNet as it was: an average over 7×7 cells, whatever comes."""
    return net.fc(net.avgpool(net.layers(x)).view(x.size(0), -1))  # type: ignore[no-any-return]


def strided(*channels: int) -> nn.Sequential:
    """Halve the map with each convolution."""
    return nn.Sequential(*(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels)))


def hybrid_sn(net: Any, x: Tensor) -> Tensor:
    x = net.conv3d(x)
    x = net.conv2d(x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3], x.shape[4]))
    return net.fc(x.flatten(1))  # type: ignore[no-any-return]


def densenet_end(net: Any, x: Tensor) -> Tensor:
    return net.fc(torch.squeeze(F.avg_pool2d(net.features(x), 3)))  # type: ignore[no-any-return]


def lenet(net: Any, x: Tensor) -> Tensor:
    x = F.max_pool2d(torch.sigmoid(net.conv1(x)), (2, 2))
    x = F.max_pool2d(torch.sigmoid(net.conv2(x)), 2)
    x.view(-1, 576)  # what it returns is thrown away
    return net.fc1(x)  # type: ignore[no-any-return]


def bilinear(net: Any, x: Tensor) -> Tensor:
    one, two = net.one(x), net.two(x)
    n, _, h, w = one.size()
    h2, w2 = two.size()[2:]
    if h != h2 | w != w2:  # the bar binds more tightly
        two = F.interpolate(two, (h, w))
    return net.fc(  # type: ignore[no-any-return]
        torch.bmm(one.view(n, -1, h * w), two.view(n, -1, h * w).transpose(1, 2)).flatten(1)
    )


def two_backbones(net: Any, x: Tensor) -> Tensor:
    clip, frame = net.volumes(x), net.images(x[:, :, -1])
    return torch.cat((clip.squeeze(2), frame), dim=1)


def vit(side: int, patch: int, width: int = 16) -> nn.Module:
    """Patches, a class token and an embedding of positions for images of one size."""

    def forward(net: Any, x: Tensor) -> Tensor:
        x = net.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([net.cls.expand(len(x), -1, -1), x], 1) + net.positions
        return net.head(x[:, 0])  # type: ignore[no-any-return]

    net = Layers(forward, patches=nn.Conv2d(3, width, patch, patch), head=nn.Linear(width, 10))
    net.cls = nn.Parameter(torch.zeros(1, 1, width))
    net.positions = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
    return net


def autoencoder(*transposed: nn.Module, channels: tuple[int, ...] = (1, 8, 16)) -> nn.Module:
    return nn.Sequential(strided(*channels), *transposed)


def time_distributed(net: Any, x: Tensor) -> Tensor:
    n, frames = x.shape[:2]
    return net.lstm(net.cnn(x.flatten(0, 1)).view(n, frames, -1))[0][:, -1]  # type: ignore[no-any-return]


def rolled(net: Any, x: Tensor) -> Tensor:
    return net.fc(net.cnn(x).view(-1, net.fc.in_features))  # type: ignore[no-any-return]


def unet_of_volumes(depth: int, channels: int) -> nn.Module:
    """Encode by poolings and decode by repeating cells, each beside its volume."""

    def forward(net: Any, x: Tensor) -> Tensor:
        maps = [net.first(x)]
        for k in range(depth):
            maps.append(net.get_submodule(f"down{k}")(F.max_pool3d(maps[-1], 2)))
        x = maps.pop()
        for k in reversed(range(depth)):
            x = net.get_submodule(f"up{k}")(
                torch.cat([maps.pop(), F.interpolate(x, scale_factor=2)], 1)
            )
        return x

    layers: dict[str, nn.Module] = {"first": nn.Conv3d(1, channels, 3, padding=1)}
    for k in range(depth):
        layers[f"down{k}"] = nn.Conv3d(channels, channels, 3, padding=1)
        layers[f"up{k}"] = nn.Conv3d(2 * channels, channels, 3, padding=1)
    return Layers(forward, **layers)


def strided_unet(net: Any, x: Tensor) -> Tensor:
    """A level of MONAI's: down by a stride, up by a transposed convolution."""
    first = net.down(x)
    return net.last(torch.cat([first, net.up(net.deep(first))], 1))  # type: ignore[no-any-return]


def filters(net: Any, x: Tensor) -> Tensor:
    return torch.cat([torch.max(conv(x), 2)[0] for conv in net.convs], 1)


def shortcut(net: Any, x: Tensor) -> Tensor:
    x = net.stem(x)
    return net.main(x) + net.beside(x)  # type: ignore[no-any-return]


def darknet(net: Any, x: Tensor) -> Tensor:
    """A grid of cells, reckoned from the size of the configuration."""
    x = net.layers(x)
    stride = 416 // x.size(2)
    grid = 416 // stride
    return x.view(x.size(0), 255, grid * grid).transpose(1, 2)


def pruned_attention(net: Any, x: Tensor) -> Tensor:
    tokens = net.patches(x).flatten(2).transpose(1, 2)
    n, length, _ = tokens.shape
    q, k, v = net.qkv(tokens).reshape(n, length, 3, 16, 32).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v)


GITHUB = "https://github.com/"

NETWORKS = {
    "openfl-226": Posted(
        GITHUB + "securefederatedai/openfederatedlearning/issues/226",
        lambda: nn.Sequential(
            convolutions(1, 64, 128, 256, 512, 512), nn.Flatten(), nn.Linear(2048, 4096)
        ),
        (128, 1, 32, 32),
        "2",
        "input-size",
        ("2048 = 512·2·2", "512 = 512·1·1", "64 to 95"),
        runs=((128, 1, 64, 64),),
        repair="resize",
    ),
    "tinyvgg-763": Posted(
        GITHUB + "mrdbourke/pytorch-deep-learning/issues/763",
        lambda: nn.Sequential(
            convolutions(1, 10, 10), nn.Sequential(nn.Flatten(), nn.Linear(490, 10))
        ),
        (1, 28, 28),
        "1.1",
        "unbatched-input",
        ("(1, 1, 28, 28)",),
        repair="channel",
    ),
    "hybridsn-3": Posted(
        GITHUB + "purbayankar/HybridSN-pytorch/issues/3",
        lambda: Layers(
            hybrid_sn,
            conv3d=nn.Sequential(
                nn.Conv3d(1, 8, (7, 3, 3)), nn.Conv3d(8, 16, (5, 3, 3)), nn.Conv3d(16, 32, 3)
            ),
            conv2d=nn.Conv2d(576, 64, 3),
            fc=nn.Linear(18496, 256),
        ),
        (2, 1, 30, 9, 9),
        "fc",
        "input-size",
        ("18496 = 64·17·17", "64 = 64·1·1", "30 frames or slices, 25 px a side"),
        runs=((2, 1, 30, 25, 25),),
        repair="pool",
        fails=((2, 1, 30, 24, 25), (2, 1, 29, 25, 25)),
    ),
    "3d-resnets-44": Posted(
        GITHUB + "kenshohara/3D-ResNets-PyTorch/issues/44",
        lambda: Layers(
            old_resnet,
            layers=nn.Sequential(
                nn.Conv3d(3, 64, 7, (1, 2, 2), 3),
                nn.MaxPool3d(3, 2, 1),
                *(nn.Conv3d(a, 2 * a, 3, 2, 1) for a in (64, 128, 256)),
            ),
            avgpool=nn.AvgPool3d((1, 3, 3), stride=1),
            fc=nn.Linear(512, 101),
        ),
        (8, 3, 16, 112, 112),
        "fc",
        "input-size",
        ("2048 = 512·1·2·2", "512 = 512·1·1·1"),
        runs=((8, 3, 16, 96, 96),),
        repair="pool",
    ),
    "3d-resnets-64": Posted(
        GITHUB + "kenshohara/3D-ResNets-PyTorch/issues/64",
        lambda: Layers(
            old_resnet,
            layers=nn.Sequential(
                nn.Conv3d(3, 16, 7, (1, 2, 2), 3),
                nn.MaxPool3d(3, 2, 1),
                *(nn.Conv3d(a, b, 3, 2, 1) for a, b in ((16, 32), (32, 64), (64, 2048))),
            ),
            avgpool=nn.AvgPool3d((1, 3, 3), stride=1),
            fc=nn.Linear(2048, 5),
        ),
        (2, 3, 16, 112, 112),
        "fc",
        "input-size",
        ("8192 = 2048·1·2·2", "2048 = 2048·1·1·1"),
    ),
    "vip-47": Posted(
        GITHUB + "MichiganCOG/ViP/issues/47",
        lambda: nn.Sequential(
            nn.Conv3d(3, 8, 3, padding=1),
            nn.MaxPool3d((1, 2, 2), (1, 2, 2)),
            nn.Conv3d(8, 16, 3, padding=1),
            nn.MaxPool3d(2),
            nn.Conv3d(16, 32, 3, padding=1),
            nn.MaxPool3d(2),
            nn.Conv3d(32, 64, 3, padding=1),
            nn.MaxPool3d(2),
            nn.Conv3d(64, 512, 3, padding=1),
            nn.MaxPool3d(2, 2, (0, 1, 1)),
            nn.Flatten(),
            nn.Linear(8192, 10),
        ),
        (1, 3, 15, 112, 112),
        "9",
        "input-too-small",
        ("15", "16 to 31 frames"),
        runs=((1, 3, 16, 112, 112),),
        fails=((1, 3, 12, 112, 112),),
        repair="resize",
    ),
    "mmaction2-1629": Posted(
        GITHUB + "open-mmlab/mmaction2/issues/1629",
        lambda: nn.Sequential(convolutions(3, 8, 16, 32, 64, axes=3), nn.MaxPool3d((1, 2, 2))),
        (1, 3, 16, 16, 112),
        "1",
        "input-too-small",
        ("height", "32"),
        runs=((1, 3, 16, 112, 112),),
    ),
    "yowo-41": Posted(
        GITHUB + "wei-tim/YOWO/issues/41",
        lambda: Layers(
            two_backbones,
            volumes=nn.Conv3d(3, 8, (8, 3, 3), (8, 1, 1), (0, 1, 1)),
            images=nn.Conv2d(3, 4, 3, padding=1),
        ),
        (1, 3, 16, 32, 32),
        "",
        "wrong-dimensions",
        ("(1, 8, 2, 32, 32)", "(1, 4, 32, 32)"),
        runs=((1, 3, 8, 32, 32),),
    ),
    "convnext-140": Posted(
        GITHUB + "facebookresearch/ConvNeXt/issues/140",
        lambda: nn.Sequential(
            nn.Conv2d(3, 96, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10)
        ),
        (2, 16, 3, 448, 448),
        "0",
        "wrong-dimensions",
        ("16 frames", "flatten(0, 1)"),
    ),
    "histogram-loss-13": Posted(
        GITHUB + "valerystrizh/pytorch-histogram-loss/issues/13",
        lambda: torchvision_network("resnet18", "meta"),
        (3, 224, 224),
        "bn1",
        "unbatched-input",
        ("(1, 3, 224, 224)",),
        repair="batch",
    ),
    "superpoint-2": Posted(
        GITHUB + "shaofengzeng/SuperPoint-Pytorch/issues/2",
        lambda: convolutions(1, 64, 64, 128),
        (16, 120, 160),
        "0",
        "unbatched-input",
        ("(16, 1, 120, 160)", "unsqueeze(1)"),
        repair="channel",
    ),
    "braindecode-186": Posted(
        GITHUB + "braindecode/braindecode/issues/186",
        lambda: nn.Sequential(nn.Conv2d(22, 16, 1), nn.Flatten(), nn.Linear(18000, 4)),
        (64, 22, 1125),
        "0",
        "wrong-dimensions",
        ("(64, 22, 1125, 1)", "batch of 64 with 22 channels"),
        repair="unflatten",
    ),
    "braindecode-651": Posted(
        GITHUB + "braindecode/braindecode/issues/651",
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, (1, 64), padding=(0, 32)),
            nn.Conv2d(8, 16, (21, 1), groups=8),
            nn.AvgPool2d((1, 4)),
            nn.AvgPool2d((1, 8)),
            nn.Conv2d(16, 2, (1, 4808)),
            nn.Flatten(),
        ),
        (1, 1, 21, 1000),
        "4",
        "input-too-small",
        ("4808", "width"),
    ),
    "torcheeg-117": Posted(
        GITHUB + "torcheeg/torcheeg/issues/117",
        lambda: nn.Sequential(
            nn.Conv2d(1, 15, (3, 1)), nn.AvgPool2d((1, 8)), nn.Linear(15, 32), nn.Linear(32, 2)
        ),
        (64, 1, 3, 16),
        "2",
        "missing-flatten",
        ("(64, 15, 1, 2)", "960", "as many channels"),
    ),
    "drqn-1": Posted(
        GITHUB + "AndersonJo/dqn-pytorch/issues/1",
        lambda: Layers(
            lambda net, x: net.lstm(net.cnn(x).flatten(2))[0],
            cnn=nn.Sequential(nn.Conv2d(4, 32, 8, 8), nn.Conv2d(32, 64, 3, 2)),
            lstm=nn.LSTM(9, 256),
        ),
        (32, 4, 84, 84),
        "lstm",
        "input-size",
        ("9", "16"),
    ),
    "unet-222": Posted(
        GITHUB + "ptrblck/pytorch_misc/issues/2",
        lambda: unet(4, 8),
        (1, 3, 222, 222),
        "",
        "padding-mismatch",
        ("multiple of 16", "224"),
        runs=((1, 3, 224, 224), (1, 3, 208, 224)),
        fails=((1, 3, 223, 224),),
        repair="pad",
    ),
    "carvana-1": Posted(
        GITHUB + "Hsuxu/carvana-pytorch-uNet/issues/1",
        lambda: unet(5, 4),
        (2, 3, 1024, 684),
        "",
        "padding-mismatch",
        ("width", "multiple of 32", "672 or 704"),
        runs=((2, 3, 1024, 672),),
        repair="pad",
    ),
    "semseg-87": Posted(
        GITHUB + "meetps/pytorch-semseg/issues/87",
        lambda: unet(3, 8),
        (1, 3, 188, 188),
        "",
        "padding-mismatch",
        ("multiple of 8", "184 or 192"),
        repair="pad",
    ),
    "scag-1": Posted(
        GITHUB + "lbktrinh/UNet_scAG/issues/1",
        lambda: unet(5, 4),
        (1, 3, 540, 760),
        "",
        "padding-mismatch",
        ("multiple of 32", "544", "736 or 768"),
        runs=((1, 3, 512, 736),),
        repair="resize",
    ),
    "smp-57": Posted(
        GITHUB + "qubvel-org/segmentation_models.pytorch/issues/57",
        lambda: unet(5, 4),
        (1, 3, 350, 525),
        "",
        "padding-mismatch",
        ("multiple of 32", "320 or 352", "512 or 544"),
        runs=((1, 3, 320, 480),),
        fails=((1, 3, 160, 248),),
    ),
    "heatmap-7": Posted(
        GITHUB + "shubhraaich/heatmap-regulation/issues/7",
        lambda: vgg_like(3, 1, 512, 1),
        (32, 3, 224, 224),
        "2",
        "missing-pool",
        ("512", "25088 = 512·7·7", "averaged"),
        repair="pool",
    ),
    "densenet-19": Posted(
        GITHUB + "bamos/densenet.pytorch/issues/19",
        lambda: Layers(densenet_end, features=strided(3, 16, 342), fc=nn.Linear(16758, 2)),
        (1, 3, 96, 96),
        "fc",
        "missing-flatten",
        ("342", "16758"),
    ),
    "maml-7": Posted(
        GITHUB + "shirleyzhu233/PyTorch-MAML/issues/7",
        lambda: nn.Sequential(convolutions(3, 32, 32, 32, 32), nn.Flatten(), nn.Linear(800, 5)),
        (5, 3, 224, 224),
        "2",
        "input-size",
        ("800 = 32·5·5", "6272 = 32·14·14", "80 to 95"),
        runs=((5, 3, 84, 84),),
        repair="pool",
    ),
    "ld-lsi-4": Posted(
        GITHUB + "fabvio/ld-lsi/issues/4",
        lambda: nn.Sequential(
            strided(3, 16, 32, 64), nn.Conv2d(64, 2, 1), nn.Flatten(), nn.Linear(7200, 1024)
        ),
        (1, 3, 720, 1280),
        "3",
        "input-size",
        ("7200 = 2·45·80", "28800 = 2·90·160", "height 353 to 360", "width 633 to 640"),
        runs=((1, 3, 360, 640),),
    ),
    "insightface-5": Posted(
        GITHUB + "nizhib/pytorch-insightface/issues/5",
        lambda: nn.Sequential(strided(3, 16, 32, 64, 512), nn.Flatten(), nn.Linear(25088, 512)),
        (1, 3, 640, 640),
        "2",
        "input-size",
        ("25088 = 512·7·7", "819200 = 512·40·40", "97 to 112"),
        runs=((1, 3, 112, 112),),
        repair="resize",
    ),
    "stanford-cars-1": Posted(
        GITHUB + "phongdinhv/stanford-cars-model/issues/1",
        lambda: Layers(
            old_resnet,
            layers=strided(3, 16, 32, 64, 128, 2048),
            avgpool=nn.AvgPool2d(7, stride=1),
            fc=nn.Linear(2048, 196),
        ),
        (4, 3, 320, 320),
        "fc",
        "input-size",
        ("32768 = 2048·4·4", "2048 = 2048·1·1", "193 to 224"),
        runs=((4, 3, 224, 224),),
        repair="pool",
    ),
    "yunjey-94": Posted(
        GITHUB + "yunjey/pytorch-tutorial/issues/94",
        lambda: Layers(
            old_resnet,
            layers=strided(3, 16, 32, 64, 128, 512),
            avgpool=nn.AvgPool2d(7, stride=1),
            fc=nn.Linear(512, 100),
        ),
        (10, 3, 256, 256),
        "fc",
        "input-size",
        ("2048 = 512·2·2", "193 to 224"),
        runs=((10, 3, 224, 224),),
        repair="pool",
    ),
    "pytorch-cifar-97": Posted(
        GITHUB + "kuangliu/pytorch-cifar/issues/97",
        lambda: vgg_like(3, 1, 512),
        (2, 3, 96, 96),
        "2",
        "missing-pool",
        ("512", "4608 = 512·3·3"),
        runs=((2, 3, 32, 32),),
        repair="pool",
    ),
    "mmpretrain-867": Posted(
        GITHUB + "open-mmlab/mmpretrain/issues/867",
        lambda: vgg_like(3, 1, 25088),
        (8, 3, 512, 512),
        "2",
        "input-size",
        ("25088 = 512·7·7", "131072 = 512·16·16", "224 to 255"),
        runs=((8, 3, 224, 224),),
        repair="pool",
    ),
    "pesr-3": Posted(
        GITHUB + "thangvubk/PESR/issues/3",
        lambda: nn.Sequential(
            strided(3, 16, 32, 64, 512), nn.Flatten(), nn.Linear(2048, 1024), nn.Linear(1024, 1)
        ),
        (2, 3, 48, 48),
        "2",
        "input-size",
        ("4608 = 512·3·3", "2048 = 512·2·2", "17 to 32"),
        repair="pool",
    ),
    "tinkerhub-81": Posted(
        GITHUB + "tinkerhub/ComputerVision-with-PyTorch-Learning-Program/issues/81",
        lambda: Layers(
            lenet,
            conv1=nn.Conv2d(1, 6, 3),
            conv2=nn.Conv2d(6, 16, 3),
            fc1=nn.Linear(16 * 6 * 6, 120),
        ),
        (1, 1, 32, 32),
        "fc1",
        "missing-flatten",
        ("(1, 16, 6, 6)", "576 = 16·6·6"),
        repair="flatten",
    ),
    "isda-2": Posted(
        GITHUB + "blackfeather-wang/ISDA-for-Deep-Networks/issues/2",
        lambda: nn.Sequential(
            nn.Conv2d(3, 64, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 256, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(6400, 120),
            nn.Linear(120, 84),
            nn.Linear(84, 10),
            nn.Linear(84, 10),
        ),
        (4, 3, 32, 32),
        "8",
        "wrong-in-features",
        ("84", "10", "whatever the input size"),
        repair="fc",
    ),
    "androidkt-1050": Posted(
        "https://androidkt.com/fix-runtimeerror-mat1-and-mat2-shapes-cannot-be-multiplied/",
        lambda: nn.Sequential(
            convolutions(1, 16, 32, kernel_size=5), nn.Flatten(), nn.Linear(1050, 10)
        ),
        (2, 1, 28, 28),
        "2",
        "wrong-in-features",
        ("1050", "1568 = 32·7·7", "no multiple of 32"),
        repair="fc",
    ),
    "whosebug-6505309": Posted(
        "https://whosebug.com/question/6505309/Dimensionality-problem-with-PyTorch-Conv-layers",
        lambda: nn.Sequential(
            nn.Conv1d(10, 100, 1),
            nn.ReLU(),
            nn.Conv1d(100, 100, 1),
            nn.Flatten(),
            nn.Linear(100, 3),
        ),
        (1, 1, 10),
        "0",
        "channel-mismatch",
        ("10 channels", "gets 1"),
    ),
    "wenzhangge-28944": Posted(
        "http://www.wenzhangge.com/post/28944.html",
        lambda: Layers(rolled, cnn=convolutions(3, 4, 8, 16), fc=nn.Linear(16 * 64 * 64, 4)),
        (4, 3, 256, 256),
        None,
        "batch-mixed",
        ("4 images as 1 row",),
    ),
    "captcha-20": Posted(
        GITHUB + "skyduy/CNN_keras/issues/20",
        lambda: Layers(
            lambda net, x: net.fc(net.cnn(x).view(-1, 48 * 6 * 27)),
            cnn=nn.Sequential(
                nn.Conv2d(3, 18, 5), nn.MaxPool2d(2), nn.Conv2d(18, 48, 5), nn.MaxPool2d(2)
            ),
            fc=nn.Linear(48 * 6 * 27, 360),
        ),
        (4, 3, 40, 150),
        "",
        "input-size",
        ("7776",),
        runs=((4, 3, 36, 120),),
    ),
    "dbcnn-2": Posted(
        GITHUB + "zwx8981/DBCNN-PyTorch/issues/2",
        lambda: Layers(
            bilinear,
            one=nn.Sequential(strided(3, 8, 8, 8, 8), nn.MaxPool2d(1)),
            two=nn.Sequential(strided(3, 8, 8, 8), nn.MaxPool2d(2, 2, ceil_mode=True)),
            fc=nn.Linear(64, 1),
        ),
        (1, 3, 764, 960),
        None,
        None,
        (),
    ),
    "dcgan-359": Posted(
        GITHUB + "pytorch/examples/issues/359",
        lambda: nn.Sequential(
            *(nn.Conv2d(a, b, 4, 2, 1) for a, b in ((3, 16), (16, 32), (32, 64), (64, 128))),
            nn.Conv2d(128, 1, 4),
        ),
        (64, 3, 32, 32),
        "4",
        "input-too-small",
        ("32 → 16 → 8 → 4 → 2", "64"),
        runs=((64, 3, 64, 64),),
        repair="resize",
    ),
    "basicsr-249": Posted(
        GITHUB + "XPixelGroup/BasicSR/issues/249",
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, 1, 1),
            *(nn.Conv2d(8, 8, 4, 2, 1) for _ in range(4)),
            nn.Conv2d(8, 8, 4),
        ),
        (1, 3, 49, 74),
        "5",
        "input-too-small",
        ("49 → 24 → 12 → 6 → 3", "64"),
        runs=((1, 3, 64, 64),),
    ),
    "crnn-4": Posted(
        GITHUB + "meijieru/crnn.pytorch/issues/4",
        crnn_layers,
        (64, 1, 64, 128),
        "",
        "input-size",
        ("height of conv must be 1", "32"),
        runs=((64, 1, 32, 128), (64, 1, 32, 100)),
        fails=((64, 1, 60, 100),),
    ),
    "world-models-47": Posted(
        GITHUB + "ctallec/world-models/issues/47",
        lambda: Layers(
            lambda net, x: net.mu(net.cnn(x).view(x.size(0), -1)),
            cnn=nn.Sequential(
                *(nn.Conv2d(a, b, 4, 2) for a, b in ((3, 32), (32, 64), (64, 128), (128, 256)))
            ),
            mu=nn.Linear(1024, 32),
        ),
        (3, 64, 64),
        "",
        "unbatched-input",
        ("(1, 3, 64, 64)",),
        repair="batch",
    ),
    "pytorch-vae-99": Posted(
        GITHUB + "AntixK/PyTorch-VAE/issues/99",
        lambda: nn.Sequential(
            strided(3, 32, 64, 128, 256, 512), nn.Flatten(), nn.Linear(512 * 4, 128)
        ),
        (4, 3, 128, 128),
        "2",
        "input-size",
        ("2048 = 512·2·2", "8192 = 512·4·4", "33 to 64"),
        runs=((4, 3, 64, 64),),
        repair="pool",
    ),
    "rhvae-4": Posted(
        GITHUB + "clementchadebec/benchmark_VAE/issues/4",
        lambda: nn.Sequential(
            *(nn.Conv2d(a, b, 4, 2, 1) for a, b in ((1, 128), (128, 256), (256, 512), (512, 1024))),
            nn.Flatten(),
            nn.Linear(1024, 10),
        ),
        (2, 1, 79, 79),
        "5",
        "missing-pool",
        ("1024", "16384 = 1024·4·4", "16 to 31"),
        runs=((2, 1, 28, 28),),
        repair="pool",
    ),
    "genconvit-14": Posted(
        GITHUB + "erprogs/GenConViT/issues/14",
        lambda: nn.Sequential(
            strided(3, 16, 32, 64, 128, 512), nn.Flatten(), nn.Linear(25088, 1254)
        ),
        (32, 3, 384, 384),
        "2",
        "input-size",
        ("73728 = 512·12·12", "25088 = 512·7·7", "193 to 224"),
        repair="pool",
    ),
    "mfcc-4": Posted(
        GITHUB + "IliaZenkov/transformer-cnn-emotion-recognition/issues/4",
        lambda: nn.Sequential(
            nn.Conv2d(1, 16, 3, 1, 1),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, 1, 1),
            nn.MaxPool2d(4),
            nn.Conv2d(32, 64, 3, 1, 1),
            nn.MaxPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 8, 8),
        ),
        (2, 1, 40, 498),
        "7",
        "input-size",
        ("512 = 64·1·8", "960 = 64·1·15", "width 256 to 287"),
        runs=((2, 1, 40, 282),),
        repair="resize",
    ),
    "vit-pytorch-3": Posted(
        GITHUB + "jeonsworld/ViT-pytorch/issues/3",
        lambda: vit(224, 16),
        (2, 3, 32, 32),
        "",
        "input-size",
        ("197", "5", "224"),
        runs=((2, 3, 224, 224),),
        repair="resize",
    ),
    "pretrained-vit-28": Posted(
        GITHUB + "lukemelas/PyTorch-Pretrained-ViT/issues/28",
        lambda: vit(384, 16),
        (2, 3, 224, 224),
        "",
        "input-size",
        ("577", "197", "384"),
        runs=((2, 3, 384, 384),),
        repair="resize",
    ),
    "pointnet-18": Posted(
        GITHUB + "nikitakaraevv/pointnet/issues/18",
        lambda: Layers(
            lambda net, x: net.fc(torch.max(net.conv(x), 2)[0]),
            conv=nn.Sequential(nn.Conv1d(3, 64, 1), nn.BatchNorm1d(64), nn.Conv1d(64, 128, 1)),
            fc=nn.Sequential(nn.Linear(128, 512), nn.BatchNorm1d(512), nn.Linear(512, 10)),
        ),
        (1, 3, 1024),
        "fc.1",
        "batch-too-small",
        ("(1, 512)", "2 or more"),
        runs=((2, 3, 1024),),
        repair="eval",
        train=True,
    ),
    "torch-points3d-336": Posted(
        GITHUB + "torch-points3d/torch-points3d/issues/336",
        lambda: nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.Linear(64, 128)),
        (8, 500, 3),
        "1",
        "channel-mismatch",
        ("(8, 500, 64)", "come last", "x.movedim(-1, 1)"),
    ),
    "emotion-eeg-3": Posted(
        GITHUB + "numediart/Emotion-EEG/issues/3",
        lambda: convolutions(5, 32, 64),
        (144, 3, 32, 32),
        "0",
        "channel-mismatch",
        ("wants 5 channels", "gets 3"),
    ),
    "inpainting-64": Posted(
        GITHUB + "daa233/generative-inpainting-pytorch/issues/64",
        lambda: nn.Sequential(nn.ConvTranspose2d(128, 1024, 4, 2, 1)),
        (1, 1024, 32, 32),
        "0",
        "channel-mismatch",
        ("128 channels", "1024"),
    ),
    "duoke-34762": Posted(
        "https://duoke360.com/post/34762",
        lambda: nn.Sequential(
            convolutions(1, 16, 32, kernel_size=5), nn.Flatten(), nn.Linear(1568, 10)
        ),
        (100, 3, 256, 256),
        "0.0",
        "channel-mismatch",
        ("wants 1 channel", "gets 3"),
    ),
    "crowd-counting-4": Posted(
        GITHUB + "surajdakua/Crowd-Counting-Using-Pytorch/issues/4",
        lambda: nn.Sequential(convolutions(3, 8, 16, 32), nn.Conv2d(32, 1, 1)),
        (1, 3, 768, 1024),
        None,
        None,
        ("(1, 1, 768, 1024)", "(1, 1, 96, 128)"),
        target=(1, 1, 768, 1024),
    ),
    "deep-audio-23": Posted(
        GITHUB + "tyiannak/deep_audio_features/issues/23",
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ConvTranspose2d(8, 1, (3, 3), 2, (0, 1), (0, 0))
        ),
        (16, 1, 128, 201),
        None,
        None,
        ("(16, 1, 129, 201)", "(16, 1, 128, 201)"),
        target=(16, 1, 128, 201),
    ),
    "ganimation-30": Posted(
        GITHUB + "albertpumarola/GANimation/issues/30",
        lambda: Layers(
            lambda net, x: net.aux(net.main(x)).squeeze(),
            main=nn.Sequential(
                nn.Conv2d(3, 8, 4, 2, 1), *(nn.Conv2d(8, 8, 4, 2, 1) for _ in range(5))
            ),
            aux=nn.Conv2d(8, 17, 2),
        ),
        (25, 3, 224, 224),
        None,
        None,
        ("(25, 17, 2, 2)", "(25, 17)"),
        target=(25, 17),
    ),
    "cdcgan-11": Posted(
        GITHUB + "znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN/issues/11",
        lambda: Layers(
            lambda net, x: torch.sigmoid(net.main(x)).squeeze(),
            main=nn.Sequential(
                nn.Conv2d(1, 8, 4, 2, 1), nn.Conv2d(8, 8, 4, 2, 1), nn.Conv2d(8, 1, 3)
            ),
        ),
        (128, 1, 32, 32),
        None,
        None,
        ("(128, 6, 6)", "(128,)"),
        target=(128,),
    ),
    "linknet-2": Posted(
        GITHUB + "e-lab/pytorch-linknet/issues/2",
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3),
            nn.ConvTranspose2d(8, 8, 3, 2, 1, 1),
            nn.ConvTranspose2d(8, 20, 2, 3, 2),
        ),
        (4, 3, 512, 1024),
        None,
        None,
        ("(4, 512, 1024)",),
        target=(4, 512, 1024),
    ),
    "cyclegan-29": Posted(
        GITHUB + "aitorzip/PyTorch-CycleGAN/issues/29",
        lambda: nn.Sequential(
            strided(3, 8, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 1, 1), nn.Flatten()
        ),
        (1, 3, 256, 256),
        None,
        None,
        ("(1, 1)", "(1,)"),
        target=(1,),
    ),
    "vision-2919": Posted(
        GITHUB + "pytorch/vision/issues/2919",
        lambda: torchvision_network("vgg16", "meta"),
        (2, 3, 224, 224),
        None,
        "num-classes",
        ("1000",),
        target=(2, 10),
    ),
    "udacity-86": Posted(
        GITHUB + "udacity/deep-learning-v2-pytorch/issues/86",
        lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)),
        (64, 1, 28, 28),
        "0",
        "missing-flatten",
        ("1792", "784 = 1·28·28", "flatten"),
        repair="flatten",
    ),
    "openvino-lenet-1": Posted(
        GITHUB + "MaitreChen/openvino-lenet-sample/issues/1",
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 120)),
        ),
        (256, 1, 28, 28),
        "5",
        "input-size",
        ("400 = 16·5·5", "256 = 16·4·4", "32 to 35"),
        runs=((256, 1, 32, 32),),
        repair="resize",
    ),
    "glasses-236": Posted(
        GITHUB + "FrancescoSaverioZuppichini/glasses/issues/236",
        lambda: Layers(
            shortcut,
            stem=strided(3, 8, 8, 8, 8),
            main=nn.Conv2d(8, 8, 3, 2, 1),
            beside=nn.AvgPool2d(2),
        ),
        (1, 3, 240, 240),
        "",
        "padding-mismatch",
        ("(1, 8, 8, 8)", "(1, 8, 7, 7)"),
        runs=((1, 3, 224, 224),),
        repair="resize",
    ),
    "3-min-29": Posted(
        GITHUB + "keon/3-min-pytorch/issues/29",
        lambda: Layers(
            shortcut,
            stem=nn.Conv2d(3, 16, 3, 1, 1),
            main=nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, 2, 1)),
            beside=nn.Conv2d(16, 32, 1, 2),
        ),
        (4, 3, 32, 32),
        "",
        "padding-mismatch",
        ("(4, 32, 8, 8)", "(4, 32, 16, 16)", "stride"),
    ),
    "ccam-20": Posted(
        GITHUB + "CVI-SZU/CCAM/issues/20",
        lambda: Layers(
            lambda net, x: torch.cat([net.layer4(net.layer3(x)), net.layer3(x)], 1),
            layer3=nn.Conv2d(3, 8, 3, 2, 1),
            layer4=nn.Conv2d(8, 16, 3, 2, 1),
        ),
        (2, 3, 64, 64),
        "",
        "padding-mismatch",
        ("(2, 16, 16, 16)", "(2, 8, 32, 32)"),
    ),
    "multi-label-2": Posted(
        GITHUB + "pangwong/pytorch-multi-label-classifier/issues/2",
        lambda: vgg_like(3, 1, 25088),
        (1, 3, 128, 128),
        "2",
        "input-size",
        ("25088 = 512·7·7", "8192 = 512·4·4", "224 to 255"),
        repair="resize",
    ),
    "vision-7323": Posted(
        GITHUB + "pytorch/vision/issues/7323",
        lambda: torchvision_network("alexnet", "meta"),
        (3, 227, 227),
        "classifier.1",
        "unbatched-input",
        ("(1, 3, 227, 227)",),
        repair="batch",
    ),
    "loadcaffe-57": Posted(
        GITHUB + "szagoruyko/loadcaffe/issues/57",
        lambda: nn.Sequential(
            *(
                layer
                for a, b in pairwise((3, 16, 32, 64, 64, 512))
                for layer in (nn.Conv2d(a, b, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True))
            ),
            nn.Flatten(),
            nn.Linear(25088, 4096),
        ),
        (1, 3, 244, 244),
        "11",
        "input-size",
        ("25088 = 512·7·7", "32768 = 512·8·8", "193 to 224"),
        runs=((1, 3, 224, 224),),
        repair="pool",
    ),
    "monai-678": Posted(
        GITHUB + "Project-MONAI/MONAI/issues/678",
        lambda: Layers(
            strided_unet,
            down=nn.Conv3d(1, 4, 3, 2, 1),
            deep=nn.Conv3d(4, 8, 3, 2, 1),
            up=nn.ConvTranspose3d(8, 4, 3, 2, 1, 1),
            last=nn.ConvTranspose3d(8, 2, 3, 2, 1, 1),
        ),
        (2, 1, 160, 160, 78),
        "",
        "padding-mismatch",
        ("39", "40", "76 or 79"),
        runs=((2, 1, 160, 160, 76), (2, 1, 160, 160, 80)),
    ),
    "monai-432": Posted(
        GITHUB + "Project-MONAI/tutorials/issues/432",
        lambda: unet_of_volumes(4, 2),
        (1, 1, 256, 256, 90),
        "",
        "padding-mismatch",
        ("multiple of 16", "80 or 96"),
        runs=((1, 1, 256, 256, 96),),
        fails=((1, 1, 256, 256, 92),),
    ),
    "voxelmorph-254": Posted(
        GITHUB + "voxelmorph/voxelmorph/issues/254",
        lambda: unet_of_volumes(4, 2),
        (1, 1, 285, 285, 84),
        "",
        "padding-mismatch",
        ("multiple of 16", "272 or 288", "80 or 96"),
        runs=((1, 1, 288, 288, 80),),
    ),
    "voxelmorph-232": Posted(
        GITHUB + "voxelmorph/voxelmorph/issues/232",
        lambda: unet_of_volumes(5, 1),
        (1, 1, 512, 512, 434),
        "",
        "padding-mismatch",
        ("multiple of 32", "416 or 448"),
        runs=((1, 1, 512, 512, 448),),
    ),
    "allennlp-569": Posted(
        GITHUB + "allenai/allennlp/issues/569",
        lambda: Layers(filters, convs=nn.ModuleList(nn.Conv1d(8, 50, k) for k in (3, 5))),
        (20, 8, 4),
        "convs.1",
        "input-too-small",
        ("window of 5", "the length that comes is 4"),
        runs=((20, 8, 5),),
    ),
    "allennlp-5384": Posted(
        GITHUB + "allenai/allennlp/issues/5384",
        lambda: Layers(filters, convs=nn.ModuleList(nn.Conv1d(16, 32, k) for k in (2, 3, 4))),
        (1, 16, 3),
        "convs.2",
        "input-too-small",
        ("window of 4", "the length that comes is 3"),
        runs=((1, 16, 4),),
    ),
    "sentiment-21": Posted(
        GITHUB + "bentrevett/pytorch-sentiment-analysis/issues/21",
        lambda: nn.Sequential(nn.Conv2d(1, 100, (5, 128)), nn.ReLU(), nn.AdaptiveMaxPool2d(1)),
        (64, 1, 3, 128),
        "0",
        "input-too-small",
        ("window of 5", "the height that comes is 3"),
        runs=((64, 1, 5, 128),),
    ),
    "siamese-triplet-29": Posted(
        GITHUB + "adambielski/siamese-triplet/issues/29",
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 32, 5), nn.PReLU(), nn.MaxPool2d(2, stride=2)),
            *(nn.Conv2d(32, 64, 5), nn.PReLU(), nn.MaxPool2d(2, stride=2)),
            *(nn.Flatten(), nn.Linear(1024, 256)),
        ),
        (256, 1, 224, 224),
        "7",
        "input-size",
        ("1024 = 64·4·4", "179776 = 64·53·53", "28 to 31"),
        runs=((256, 1, 28, 28),),
        repair="pool",
    ),
    "ld-lsi-10": Posted(
        GITHUB + "fabvio/ld-lsi/issues/10",
        lambda: nn.Sequential(
            strided(3, 8, 8, 16, 16, 32, 32, 512), nn.Flatten(), nn.Linear(7680, 1024)
        ),
        (1, 3, 480, 640),
        "2",
        "input-size",
        ("7680 = 512·3·5", "10240 = 512·4·5", "height 257 to 384"),
        runs=((1, 3, 360, 640),),
        repair="pool",
    ),
    "face-17": Posted(
        GITHUB + "wujiyang/Face_Pytorch/issues/17",
        lambda: nn.Sequential(strided(3, 16, 32, 64, 512), nn.Flatten(), nn.Linear(25088, 512)),
        (1, 3, 120, 120),
        "2",
        "input-size",
        ("25088 = 512·7·7", "32768 = 512·8·8", "97 to 112"),
        runs=((1, 3, 112, 112),),
        repair="pool",
    ),
    "ser-fiq-3": Posted(
        GITHUB + "jankolf/ser-fiq-pytorch/issues/3",
        lambda: nn.Sequential(
            strided(3, 16, 32, 64, 512), nn.Dropout(), nn.Flatten(), nn.Linear(25088, 512)
        ),
        (10, 3, 512, 512),
        "3",
        "input-size",
        ("25088 = 512·7·7", "524288 = 512·32·32", "97 to 112"),
        repair="resize",
    ),
    "glint360k-6": Posted(
        GITHUB + "tamerthamoqa/facenet-pytorch-glint360k/issues/6",
        lambda: nn.Sequential(
            strided(3, 8, 16, 32, 32, 1536), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(1536, 256)
        ),
        (2, 3, 160, 160),
        "1",
        "input-too-small",
        ("window of 8", "that comes is 5"),
        repair="resize",
    ),
    "vision-644": Posted(
        GITHUB + "pytorch/vision/issues/644",
        lambda: nn.Sequential(
            *(nn.AvgPool2d(5, 3), nn.Conv2d(768, 128, 1), nn.Conv2d(128, 768, 5)),
            *(nn.Flatten(), nn.Linear(768, 1000)),
        ),
        (8, 768, 30, 30),
        "4",
        "missing-pool",
        ("768", "19200 = 768·5·5"),
        runs=((8, 768, 17, 17),),
        repair="pool",
    ),
    "pytorch-1190": Posted(
        GITHUB + "pytorch/pytorch/issues/1190",
        lambda: nn.Sequential(
            *(nn.AvgPool2d(5, 3), nn.Conv2d(768, 128, 1), nn.Conv2d(128, 768, 5)), nn.Flatten()
        ),
        (1, 768, 12, 12),
        "2",
        "input-too-small",
        ("window of 5", "that comes is 3"),
        runs=((1, 768, 17, 17),),
    ),
    "compact-transformers-74": Posted(
        GITHUB + "SHI-Labs/Compact-Transformers/issues/74",
        lambda: vit(32, 4),
        (2, 3, 224, 224),
        "",
        "input-size",
        ("65", "3137", "32"),
        runs=((2, 3, 32, 32),),
        repair="resize",
    ),
    "promptad-23": Posted(
        GITHUB + "FuNz-0/PromptAD/issues/23",
        lambda: vit(224, 16),
        (2, 3, 240, 240),
        "",
        "input-size",
        ("197", "226", "224"),
        runs=((2, 3, 224, 224),),
        repair="resize",
    ),
    "molo-7": Posted(
        GITHUB + "alibaba-mmai-research/MoLo/issues/7",
        lambda: nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        (4, 40, 3, 224, 224),
        "0",
        "wrong-dimensions",
        ("40 frames", "flatten(0, 1)"),
    ),
    "comfyui-8590": Posted(
        GITHUB + "Comfy-Org/ComfyUI/issues/8590",
        lambda: nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1)),
        (1, 16, 9, 64, 64),
        "0",
        "wrong-dimensions",
        ("(1, 16, 9, 64, 64)", "5"),
    ),
    "dwformer-21": Posted(
        GITHUB + "scutcsq/DWFormer/issues/21",
        lambda: nn.Sequential(nn.Conv1d(1, 1, 2)),
        (1, 1, 32, 324),
        "0",
        "wrong-dimensions",
        ("(1, 1, 32, 324)", "nn.Conv2d"),
    ),
    "pointnet2-75": Posted(
        GITHUB + "yanx27/Pointnet_Pointnet2_pytorch/issues/75",
        lambda: nn.Sequential(nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU()),
        (1, 1024),
        "1",
        "batch-too-small",
        ("(1, 512)", "2 or more"),
        runs=((2, 1024),),
        repair="eval",
        train=True,
    ),
    "faimed3d-68": Posted(
        GITHUB + "kbressem/faimed3d/issues/68",
        lambda: nn.Sequential(
            *(nn.Conv3d(1, 512, 3, 2, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten()),
            *(nn.BatchNorm1d(512), nn.Linear(512, 2)),
        ),
        (1, 1, 197, 233, 189),
        "3",
        "batch-too-small",
        ("(1, 512)", "2 or more"),
        repair="eval",
        train=True,
    ),
    "cvae-4": Posted(
        GITHUB + "imoken1122/Intrusion-Detection-CVAE/issues/4",
        lambda: nn.Sequential(nn.Linear(116, 500), nn.ReLU(), nn.Linear(500, 20)),
        (1, 117),
        "0",
        "wrong-in-features",
        ("wants 116", "gets 117", "from the input"),
        repair="fc",
    ),
    "wgan-gp-1": Posted(
        GITHUB + "Eric-is-good/VIT_wganGP/issues/1",
        lambda: nn.Sequential(strided(3, 32, 64, 128, 256), nn.Flatten(), nn.Linear(256, 100)),
        (57, 3, 464, 464),
        "2",
        "missing-pool",
        ("256", "215296 = 256·29·29"),
        repair="pool",
    ),
    "vaal-32": Posted(
        GITHUB + "sinhasam/vaal/issues/32",
        lambda: Layers(rolled, cnn=strided(3, 16, 32, 64, 1024), fc=nn.Linear(1024 * 2 * 2, 32)),
        (8, 3, 64, 64),
        None,
        "batch-mixed",
        ("8 images as 32 rows of 4096", "16384 = 1024·4·4"),
        repair="pool",
    ),
    "crnn-pytorch-71": Posted(
        GITHUB + "Holmeyoung/crnn-pytorch/issues/71",
        lambda: Layers(
            lambda net, x: net.rnn(net.cnn(x).squeeze(2).permute(2, 0, 1))[0],
            cnn=nn.Sequential(strided(3, 32, 64), nn.AdaptiveAvgPool2d((1, 24))),
            rnn=nn.LSTM(512, 256, bidirectional=True),
        ),
        (1, 3, 32, 100),
        "rnn",
        "wrong-in-features",
        ("wants 512 features and gets 64", "nn.LSTM(64, 256"),
    ),
    "deblurgan-86": Posted(
        GITHUB + "KupynOrest/DeblurGAN/issues/86",
        lambda: Layers(
            lambda net, x, h: net.conv_ih(x) + net.conv_hh(h),
            conv_ih=nn.Conv2d(64, 32, 3, 2, 1),
            conv_hh=nn.Conv2d(32, 32, 1),
        ),
        [(32, 64, 64, 64), (20, 32, 32, 32)],
        "",
        "batch-mixed",
        ("(32, 32, 32, 32)", "(20, 32, 32, 32)"),
    ),
    "hiddenlayer-14": Posted(
        GITHUB + "waleedka/hiddenlayer/issues/14",
        lambda: Layers(darknet, layers=nn.Sequential(strided(3, 8, 16, 32), nn.Conv2d(32, 255, 1))),
        (1, 3, 224, 224),
        "",
        "input-size",
        ("29·29", "28·28"),
        runs=((1, 3, 416, 416),),
    ),
    "gecco-2": Posted(
        GITHUB + "GECCOProject/GECCO/issues/2",
        lambda: Layers(lambda net, x: net.fc(x.view(x.size(0), 784)), fc=nn.Linear(784, 10)),
        (32, 3, 224, 224),
        "",
        "wrong-in-features",
        ("784", "150528 = 3·224·224"),
    ),
    "torch-pruning-446": Posted(
        GITHUB + "VainF/Torch-Pruning/issues/446",
        lambda: Layers(
            pruned_attention, patches=nn.Conv2d(3, 512, 16, 16), qkv=nn.Linear(512, 576)
        ),
        (2, 3, 224, 224),
        "",
        "wrong-in-features",
        ("576", "(3, 16, 32)", "1536"),
    ),
    "eegnet-8": Posted(
        GITHUB + "aliasvishnu/EEGNet/issues/8",
        lambda: nn.Sequential(nn.Conv2d(1, 16, (1, 64)), nn.BatchNorm2d(16)),
        (1, 1, 125, 16),
        "0",
        "input-too-small",
        ("window of 64", "the width that comes is 16"),
        runs=((1, 1, 120, 64),),
    ),
    "crnn-84": Posted(
        GITHUB + "meijieru/crnn.pytorch/issues/84",
        crnn_layers,
        (64, 1, 64, 600),
        "",
        "input-size",
        ("height of conv must be 1", "height 32"),
        runs=((64, 1, 32, 300),),
        repair="resize",
    ),
    "crnn-19": Posted(
        GITHUB + "bes-dev/crnn-pytorch/issues/19",
        crnn_layers,
        (1, 1, 64, 256),
        "",
        "input-size",
        ("height of conv must be 1",),
        runs=((1, 1, 32, 256),),
        repair="resize",
    ),
    "dividemix-14": Posted(
        GITHUB + "LiJunnan1992/DivideMix/issues/14",
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3), nn.MaxPool2d(3, 2), nn.Conv2d(8, 16, 3)),
            *(nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2)),
            *(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 50)),
        ),
        (1, 3, 227, 227),
        "7",
        "input-too-small",
        ("window of 8", "that comes is 5"),
        runs=((1, 3, 299, 299),),
        repair="resize",
    ),
    "fashion-mnist-subtracted": Posted(
        "https://blog.gitcode.com/e5c4ae63e30a9c32bc6f8b929671be78.html",
        lambda: Layers(
            lambda net, x: net.maps(x) - net.classifier(net.maps(x)),
            maps=convolutions(1, 10, 10),
            classifier=nn.Sequential(nn.Flatten(), nn.Linear(10 * 7 * 7, 10)),
        ),
        (32, 1, 28, 28),
        "",
        "wrong-dimensions",
        ("(32, 10, 7, 7) from maps", "(32, 10) from classifier", "one number of dimensions"),
    ),
    "zeta-406": Posted(
        GITHUB + "kyegomez/zeta/issues/406",
        lambda: Layers(
            lambda net, x: net.layers(x.transpose(1, 2)),
            layers=nn.Sequential(
                nn.Conv1d(40, 64, 3, 1, 1), nn.ReLU(), nn.Conv1d(64, 128, 3, 1, 1)
            ),
        ),
        (1, 40, 81),
        "layers.0",
        "channel-mismatch",
        ("wants 40 channels and gets 81", "come last", "x.movedim(-1, 1)"),
    ),
    "pytorch-122959": Posted(
        GITHUB + "pytorch/pytorch/issues/122959",
        lambda: Layers(
            lambda net, q, k, v: net.attention(q, k, v)[0],
            attention=nn.MultiheadAttention(1536, 4),
        ),
        [(1, 1, 1536), (1, 23, 1536), (1, 23, 1536)],
        "attention",
        "batch-mixed",
        ("a query of (1, 1, 1536), a key of (1, 23, 1536)", "with batch_first=True it takes"),
    ),
    "pytorch-64888": Posted(
        GITHUB + "pytorch/pytorch/issues/64888",
        lambda: Layers(
            lambda net, q, k, v: net.attention(q, k, v)[0],
            attention=nn.MultiheadAttention(640, 1, batch_first=True),
        ),
        [(1, 1, 640), (4, 196, 640), (4, 196, 640)],
        "attention",
        "batch-mixed",
        ("a query of (1, 1, 640), a key of (4, 196, 640)", "of one batch"),
    ),
    "keras-1005": Posted(
        GITHUB + "keras-team/keras/issues/1005",
        lambda: nn.Sequential(
            *(nn.Conv1d(100, 32, 5, padding=4), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(32, 32, 5), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(32, 64, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(64, 256)),
        ),
        (1, 100, 7),
        "5",
        "input-too-small",
        ("7 → 11 → 5 → 1", "that comes is 1"),
        runs=((1, 100, 32),),
    ),
    "pytorch-86576": Posted(
        GITHUB + "pytorch/pytorch/issues/86576",
        lambda: Layers(lambda net, x: net.lstm(x)[0], lstm=nn.LSTM(10, 20, batch_first=True)),
        (5, 100, 10, 10),
        "lstm",
        "wrong-dimensions",
        ("three axes at most, and got 4", "x.permute(0, 3, 1, 2).flatten(2)"),
    ),
    "avsegformer-9": Posted(
        GITHUB + "vvvb-github/AVSegFormer/issues/9",
        lambda: Layers(
            lambda net, maps, sound: torch.einsum(
                "bchw,bc->bchw", net.conv(maps), net.fc(sound).squeeze()
            ),
            conv=nn.Conv2d(8, 16, 1),
            fc=nn.Linear(128, 16),
        ),
        [(1, 8, 7, 7), (1, 1, 128)],
        "",
        "unbatched-input",
        ("a squeeze removed it", "a squeeze() must name its own"),
    ),
}
