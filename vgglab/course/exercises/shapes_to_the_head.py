"""The pack "shapes to the head": eight questions, from the layers to the first linear layer.

Their numbers are drawn. Each wrong option is computed by the mistake that leads to it; who makes
which is in `misconceptions.toml`.
"""

from collections.abc import Callable
from itertools import product
from random import Random

from vgglab.course.quizzes import RIGHT, Answers, Quiz, drawn, options_of
from vgglab.models.configs import CONFIGS, FC_SIDE, HIDDEN_FEATURES, NUM_CLASSES
from vgglab.shapes import Window, feature_map_sizes, input_sizes

CHANNELS = CONFIGS["D"].convs()[-1].out_channels
HALVING = Window(kernel_size=2, stride=2)
SIDES = range(4, 25)


def _square(side: int) -> str:
    return f"{side}×{side}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _count(number: int) -> str:
    return f"{number:,}"


def _map(draw: Random | None = None) -> Quiz:
    def answers(size: int, kernel: int, padding: int) -> Answers:
        windows = [Window(kernel, 1, padding), HALVING, Window(3, 2, 1), HALVING]

        def side(changed: list[Window]) -> int:
            return feature_map_sizes(size, changed)[-1]

        return {
            RIGHT: side(windows),
            "padding-forgotten": side([window._replace(padding=0) for window in windows]),
            "rounds-up": side([window._replace(ceil_mode=True) for window in windows]),
            "stride-is-one-unless-written": side([windows[0], Window(2), windows[2], Window(2)]),
            "convolutions-keep-the-size": side([HALVING, HALVING]),
        }

    others = product(range(60, 200), (5, 7), (1, 2))
    size, kernel, padding = drawn(draw, (107, 7, 1), others, answers)
    return Quiz(
        id="shapes-1",
        question=(
            f"An image of {size}×{size} px goes through nn.Conv2d(3, 16, {kernel}, "
            f"padding={padding}), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, stride=2, padding=1) and "
            "nn.MaxPool2d(2). How large is the map that comes out?"
        ),
        options=options_of(
            answers(size, kernel, padding),
            _square,
            {
                RIGHT: "At each layer floor((side + 2·padding − kernel) / stride) + 1, one after "
                "the other.",
                "padding-forgotten": "That is the map without padding, which is added at both ends "
                "of each side.",
                "rounds-up": "A window that does not fit is dropped: each layer rounds down.",
                "stride-is-one-unless-written": "A pooling moves by its own kernel unless another "
                "stride is given; it is a convolution that moves by 1.",
                "convolutions-keep-the-size": "Poolings are not all that changes a map. A "
                "convolution keeps it only with stride 1 and the padding that fits its kernel.",
            },
        ),
        difficulty=2,
    )


def _message(draw: Random | None = None) -> Quiz:
    def answers(channels: int, usual: int, side: int) -> Answers:
        cells = side**2
        return {
            RIGHT: (channels, side, side),
            "channels-grow-with-the-image": (channels * cells // usual**2, usual, usual),
            "one-side-counts": (channels, usual, cells // usual),
            "channels-of-another-layer": (channels // 4, 2 * side, 2 * side),
        }

    # Nothing is left over: each option has the product that stands in the message.
    others = (
        (channels, usual, side)
        for channels, usual, side in product((64, 128, 256, 512), (4, 5, 6, 7, 8), SIDES)
        if usual < side and side**2 % usual == 0 and channels * side**2 % usual**2 == 0
    )
    channels, usual, side = drawn(draw, (CHANNELS, FC_SIDE, 2 * FC_SIDE), others, answers)
    return Quiz(
        id="shapes-2",
        question=(
            "A network stops at a square image: mat1 and mat2 shapes cannot be multiplied "
            f"(1x{channels * side**2} and {channels * usual**2}x{HIDDEN_FEATURES}). Its last "
            f"convolution is nn.Conv2d({channels}, {channels}, 3, padding=1). Which map (channels, "
            "height, width) was flattened?"
        ),
        options=options_of(
            answers(channels, usual, side),
            _shape,
            {
                RIGHT: "The channels are those of the last convolution, whatever the image. What "
                f"is left over is {side}·{side}, where the layer was made for {usual}·{usual}.",
                "channels-grow-with-the-image": "How many channels there are is written in the "
                "convolution. A larger image makes a larger map of each.",
                "one-side-counts": "A square image makes a square map: height and width both grow.",
                "channels-of-another-layer": "The product is right, but the last convolution makes "
                f"{channels} channels.",
            },
        ),
        difficulty=2,
    )


def _new_layer(draw: Random | None = None) -> Quiz:
    def answers(channels: int, usual: int, side: int, hidden: int) -> Answers:
        old, new = channels * usual**2, channels * side**2
        first = (new + 1) * hidden
        return {
            RIGHT: first,
            "in-features-is-a-setting": 0,
            "what-fits-is-kept": (new - old) * hidden,
            "another-size-needs-a-new-head": first + (hidden + 1) * (hidden + NUM_CLASSES),
        }

    others = (
        (channels, usual, side, hidden)
        for channels, usual, side, hidden in product(
            (128, 256, 512), (4, 5, 6, 7), SIDES, (512, 1024, 2048, 4096)
        )
        if usual < side
    )
    standing = (CHANNELS, FC_SIDE, 12, HIDDEN_FEATURES)
    channels, usual, side, hidden = drawn(draw, standing, others, answers)
    old, new = channels * usual**2, channels * side**2
    return Quiz(
        id="shapes-3",
        question=(
            f"The head of a trained network is Linear({old}, {hidden}), Linear({hidden}, {hidden}) "
            f"and Linear({hidden}, {NUM_CLASSES}), with biases. Larger images bring {new} features,"
            f" so somebody replaces the first by nn.Linear({new}, {hidden}), and it runs. How many "
            "of the head's parameters are untrained now?"
        ),
        options=options_of(
            answers(channels, usual, side, hidden),
            _count,
            {
                RIGHT: f"All weights and biases of the new layer, {new}·{hidden} + {hidden}: they "
                "are drawn at random. What the old one had learnt is gone.",
                "in-features-is-a-setting": "in_features says how many columns the matrix of "
                "weights has. A layer with another number is another matrix.",
                "what-fits-is-kept": "The new layer has so many weights more than the old one, but "
                "none of the old ones is copied into it.",
                "another-size-needs-a-new-head": "The other two layers get what they always got. "
                "They keep their weights.",
            },
        ),
        difficulty=2,
    )


def _adaptive(draw: Random | None = None) -> Quiz:
    def answers(channels: int, side: int, size: int) -> Answers:
        return {
            RIGHT: channels * size**2,
            "adaptive-pool-keeps-the-map": channels * side**2,
            "adaptive-pool-takes-a-kernel": channels * Window(size, size).output_size(side) ** 2,
            "one-number-for-all-channels": size**2,
            "one-side-counts": channels * size,
        }

    others = (
        (channels, side, size)
        for channels, side, size in product((64, 128, 256, 512), SIDES, range(2, 8))
        if size < side
    )
    channels, side, size = drawn(draw, (CHANNELS, 12, FC_SIDE), others, answers)
    return Quiz(
        id="shapes-4",
        question=(
            f"The last map of an image has the shape ({channels}, {side}, {side}). After "
            f"nn.AdaptiveAvgPool2d({size}) and a flatten, how many features does the image have?"
        ),
        options=options_of(
            answers(channels, side, size),
            _count,
            {
                RIGHT: f"{size}×{size} means for each of {channels} channels, whatever the size "
                "of the map.",
                "adaptive-pool-keeps-the-map": f"The argument is the size that comes out: "
                f"{size}×{size}, not {side}×{side}.",
                "adaptive-pool-takes-a-kernel": "The argument is the size that comes out, not "
                "that of the windows: those adapt.",
                "one-number-for-all-channels": "A pooling never mixes channels: each has means of "
                "its own.",
                "one-side-counts": f"{size} is the length of a side, and there are two.",
            },
        ),
        difficulty=1,
    )


def _view(draw: Random | None = None) -> Quiz:
    def answers(batch: int, channels: int, usual: int, side: int) -> Answers:
        features = channels * usual**2
        return {
            RIGHT: (batch * side**2 // usual**2, features),
            "view-keeps-the-batch": (batch, features),
            "minus-one-takes-all": (1, batch * channels * side**2),
            "every-mismatch-is-an-error": (),
        }

    others = (
        (batch, channels, usual, side)
        for batch, channels, usual, side in product(
            (8, 9, 16, 18, 25, 32, 36, 49, 64), (32, 64, 128, 256, 512), (4, 5, 6, 7, 8), SIDES
        )
        if usual != side and batch * side**2 % usual**2 == 0
    )
    # The network of https://github.com/TianshuoY/HKU-DASC7606-A1/issues/7
    batch, channels, usual, side = drawn(draw, (16, 128, 8, 4), others, answers)
    features = channels * usual**2

    def text(shape: tuple[int, ...]) -> str:
        if not shape:
            return f"None: an error, for an image has {channels * side**2} features, not {features}"
        return _shape(shape)

    return Quiz(
        id="shapes-5",
        question=(
            f"A batch of {batch} images leaves the features as a map of shape ({batch}, "
            f"{channels}, {side}, {side}). The next line is x = x.view(-1, {channels} * {usual} * "
            f"{usual}). Which shape has x?"
        ),
        options=options_of(
            answers(batch, channels, usual, side),
            text,
            {
                RIGHT: "view counts numbers and knows of no images: rows are cut or glued until "
                "they are as long as was asked for.",
                "view-keeps-the-batch": "The −1 is where the batch stood, and is computed from "
                "what is left over. Write x.flatten(1), which keeps the batch.",
                "minus-one-takes-all": "It takes what the other sizes leave over. All in one row "
                "would be view(1, -1).",
                "every-mismatch-is-an-error": "There is one only if the number of all features "
                "cannot be divided. Here it can, and the error comes at the loss, or not at all.",
            },
        ),
        difficulty=3,
    )


def _no_flatten(draw: Random | None = None) -> Quiz:
    def answers(batch: int, channels: int, side: int, out: int) -> Answers:
        features = channels * side**2

        def stops(rows: int, columns: int) -> tuple[str, str]:
            return "It stops", f": ({rows}x{columns} and {features}x{out}) cannot be multiplied"

        return {
            RIGHT: stops(batch * channels * side, side),
            "linear-flattens": ("It runs", f", and gives the shape ({batch}, {out})"),
            "features-are-channels": stops(batch * side**2, channels),
        }

    others = product((4, 8, 10, 16, 32), (10, 16, 20, 32, 50), range(3, 9), (10, 50, 84, 120))
    # As in https://blackberry.8miu.com/read-34393.html
    batch, channels, side, out = drawn(draw, (10, 20, 4, 50), others, answers)
    features = channels * side**2
    return Quiz(
        id="shapes-6",
        question=(
            f"A map of shape ({batch}, {channels}, {side}, {side}) goes into nn.Linear({features}, "
            f"{out}), and the flatten between them is missing. What happens?"
        ),
        options=options_of(
            answers(batch, channels, side, out),
            "".join,
            {
                RIGHT: "Linear works on the last dimension and takes all others as rows. So in the "
                f"message the second number is a side of the map, {side}.",
                "linear-flattens": "Some libraries' layers do. That of torch multiplies the last "
                "dimension and leaves the others as they are.",
                "features-are-channels": "A convolution works on the second dimension, Linear on "
                "the last one.",
            },
        ),
        difficulty=2,
    )


def _sizes(draw: Random | None = None) -> Quiz:
    def answers(kernel: int, side: int) -> Answers:
        windows = [Window(kernel), HALVING, Window(kernel), HALVING]

        def ends(of_side: int, changed: list[Window]) -> tuple[float, float]:
            sizes = input_sizes(of_side, changed)
            return sizes[0], sizes[-1]

        up = [window._replace(ceil_mode=True) for window in windows]
        first, _ = ends(side, windows)
        return {
            RIGHT: ends(side, windows),
            "only-the-training-size": (first, first),
            "rounds-up": ends(side, up),
            "convolutions-keep-the-size": ends(side, [HALVING, HALVING]),
            "convolutions-take-any-size": (ends(1, windows)[0], float("inf")),
        }

    kernel, side = drawn(draw, (5, 5), product((3, 5, 7), range(3, 16)), answers)
    first, _ = answers(kernel, side)[RIGHT]

    def text(sizes: tuple[float, float]) -> str:
        lowest, highest = sizes
        if lowest == highest:
            return f"{lowest} px alone"
        return f"{lowest} px and more" if highest == float("inf") else f"{lowest} to {highest} px"

    return Quiz(
        id="shapes-7",
        question=(
            f"A network for square images of {first} px is nn.Conv2d(3, 6, {kernel}), "
            f"nn.MaxPool2d(2), nn.Conv2d(6, 16, {kernel}), nn.MaxPool2d(2), nn.Flatten() and "
            f"nn.Linear({16 * side**2}, 10). Which sizes does it take as it is?"
        ),
        options=options_of(
            answers(kernel, side),
            text,
            {
                RIGHT: f"Each of them ends at {side}×{side}: a pooling drops what does not fill a "
                "window.",
                "only-the-training-size": "It was made for that size. A few more end at the same "
                "map.",
                "rounds-up": "That would be right if the layers rounded up (ceil_mode=True).",
                "convolutions-keep-the-size": "Without padding each convolution takes "
                f"{kernel - 1} px away.",
                "convolutions-take-any-size": "The convolutions do. The linear layer has a weight "
                "for each cell of the map.",
            },
        ),
        difficulty=3,
    )


def _scores(draw: Random | None = None) -> Quiz:
    def answers(kernel: int, side: int) -> Answers:
        return {
            RIGHT: Window(kernel).output_size(side) ** 2,
            "kernel-covers-the-map": 1,
            "last-place-forgotten": (side - kernel) ** 2,
            "windows-do-not-overlap": Window(kernel, stride=kernel).output_size(side) ** 2,
            "a-score-in-each-cell": side**2,
        }

    others = ((kernel, side) for kernel, side in product(range(3, 9), SIDES) if kernel < side)
    kernel, side = drawn(draw, (FC_SIDE, 15), others, answers)
    return Quiz(
        id="shapes-8",
        question=(
            f"A network's first linear layer read a map of {kernel}×{kernel}. It has become a "
            f"convolution with the same weights, a kernel of {kernel}×{kernel}, and the linear "
            f"layers after it are 1×1. Now an image makes a map of {side}×{side}, and a mean at "
            "the end leaves one score for each class. Over how many scores is it taken?"
        ),
        options=options_of(
            answers(kernel, side),
            _count,
            {
                RIGHT: f"The kernel has {side} − {kernel} + 1 places along each side, and gives "
                "a score at each.",
                "kernel-covers-the-map": f"So it is at the usual size. On {side}×{side} the "
                "kernel has several places.",
                "last-place-forgotten": "Along a side the kernel can stand at the first place and "
                f"at {side - kernel} more.",
                "windows-do-not-overlap": "The kernel moves by one cell, not by its own size.",
                "a-score-in-each-cell": f"There is no padding: a kernel of {kernel}×{kernel} does "
                "not fit around a cell at the border.",
            },
        ),
        difficulty=2,
    )


QUIZZES: dict[str, Callable[..., Quiz]] = {
    "shapes-1": _map,
    "shapes-2": _message,
    "shapes-3": _new_layer,
    "shapes-4": _adaptive,
    "shapes-5": _view,
    "shapes-6": _no_flatten,
    "shapes-7": _sizes,
    "shapes-8": _scores,
}
