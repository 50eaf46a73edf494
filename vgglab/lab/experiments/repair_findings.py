"""What the record of the repairs says: how often each is right, and the answer in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from vgglab.lab.experiments.reading import NOT_MEASURED, Recorded
from vgglab.lab.experiments.tables import ResultTable
from vgglab.lab.experiments.verdicts import CONFIDENCE, Difference, difference, interval
from vgglab.lab.repairs import REPAIRS, RepairsTable
from vgglab.report import mebibytes

SCENE_NAMES = {
    "enlarged": "the objects grow with the image",
    "larger": "the objects keep their size in a larger scene",
}
"""What the two kinds of scenes mean for somebody who has images."""


def repair_accuracies(record: Recorded, when: str, side: int, scene: str) -> dict[str, list[float]]:
    """Return how often each repair is right, one number a seed, for those that apply.

    Parameters
    ----------
    record
        Of the experiment ``"repairs"``.
    when
        ``"before"`` or ``"after"`` the short training.
    side
        Of the images, one of those that were held.
    scene
        ``"enlarged"`` or ``"larger"``.
    """
    found = {}
    for repair in record.definition["vary"]["repair"]:
        shares = [seed[str(side)] for seed in record.samples(when, scene=scene, repair=repair)]
        if None not in shares:
            found[repair] = shares
    return found


def leader(found: Mapping[str, Sequence[float]]) -> tuple[str, dict[str, Difference]]:
    """Return the repair with the highest mean, and how far each other one is behind it.

    The intervals hold for all of them together.
    """
    best = max(found, key=lambda name: fmean(found[name]))
    others = [name for name in found if name != best]
    return best, {name: difference(found[best], found[name], len(others)) for name in others}


def answer_sentences(record: Recorded) -> list[str]:
    """Return the answer to "which repair?" in five sentences, each with its numbers."""
    sides, fresh = record.definition["held"]["sides"], _fresh()
    side = max(sides)
    kept = {name for name in record.definition["vary"]["repair"] if name not in fresh}
    sentences = [_leads(record, scene, side) for scene in SCENE_NAMES]
    gaps = []
    for scene, name in SCENE_NAMES.items():
        found = repair_accuracies(record, "before", side, scene)
        gap = difference(found["pool"], found["resize"], len(found) - 1)
        gaps.append(f"{_ahead(gap, '`resize`')} where {name}")
    sentences.append(
        "Adaptive pooling (`pool`), the usual advice, keeps every weight, and is "
        f"{', and '.join(gaps)}."
    )
    sentences.append(_fresh_layers(record, side, fresh, kept))
    sentences.append(_least_loss(record, side))
    return sentences


def _leads(record: Recorded, scene: str, side: int) -> str:
    found = repair_accuracies(record, "before", side, scene)
    best, behind = leader(found)
    level = [name for name, gap in behind.items() if not gap.significant]
    apart = {name: gap for name, gap in behind.items() if gap.significant}
    said = (
        f"Where {SCENE_NAMES[scene]}, `{best}` is right most often at {side} px: "
        f"{_percent(found[best])} without any training"
    )
    if level:
        said += f", not told apart from {_names(level)}"
    if apart:
        near = min(apart, key=lambda name: apart[name].mean)
        said += f", and {_ahead(apart[near], f'`{near}`')}"
    return f"{said}."


def _fresh_layers(record: Recorded, side: int, fresh: set[str], kept: set[str]) -> str:
    scene = "enlarged"
    before, after = (repair_accuracies(record, w, side, scene) for w in ("before", "after"))
    first = max((name for name in before if name in fresh), key=lambda n: fmean(before[n]))
    best = max((name for name in after if name in fresh), key=lambda n: fmean(after[n]))
    rival = max((name for name in after if name in kept), key=lambda n: fmean(after[n]))
    gap = _ahead(
        difference(after[rival], after[best], len(after) - 1), f"the best of them, `{best}`,"
    )
    return (
        f"Fresh layers guess until they are trained ({_percent(before[first])} at best); after a "
        f"short training `{rival}`, which kept its weights, is {gap} where {SCENE_NAMES[scene]}."
    )


def _least_loss(record: Recorded, side: int) -> str:
    parts = []
    for scene, name in SCENE_NAMES.items():
        found = repair_accuracies(record, "after", side, scene)
        best, _ = leader(found)
        trained = record.samples("as_trained", scene=scene, repair=best)
        change = difference(found[best], trained, len(SCENE_NAMES))
        parts.append(f"{_points(change)} where {name} (`{best}`)")
    return (
        "“It runs” is not “it works”: against the network at the size of its training, the best "
        f"repair after a short training stands at {' and at '.join(parts)}."
    )


def facts_table(table: RepairsTable, costs: Recorded, network: str) -> ResultTable:
    """Return what each repair keeps, costs and takes: computed, and measured as recorded.

    Parameters
    ----------
    table
        Of the repaired network.
    costs
        Of the experiment ``"repairs-cost"``, which times the same network.
    network
        Its name there.
    """
    (precision,) = costs.definition["vary"]["precision"]
    settings = {"precision": precision, "network": network}
    (result, *_) = costs.samples(**settings)
    first = next(iter(result["seconds"]))
    rows = []
    for row in table.rows:
        ratio = costs.time_ratio(row.name, first, **settings)
        times = f"{ratio.mean:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        files = {seed.get(row.name) or NOT_MEASURED for seed in costs.samples("onnx", **settings)}
        rows.append(
            {
                "repair": row.name,
                "weights kept": f"{row.kept_share:.1%}" + (", rest fresh" if row.fresh else ""),
                "the same at the trained size": _SAME[row.same_function],
                "ONNX": " or ".join(sorted(files)),
                "weights": f"{row.parameters:,}",
                "M mult-adds": f"{row.mult_adds / 1e6:,.1f}",
                "kept for training, MiB": mebibytes(row.saved_bytes),
                "peak of a forward, MiB": mebibytes(result["peak_bytes"][row.name]),
                f"times as long as {first}": "1" if row.name == first else times,
                "takes": row.sizes,
            }
        )
    batch = costs.definition["held"]["batch_size"]
    said = [
        "What can be counted is for one image; the peak and the time are of "
        f"{batch} images, the time on one thread beside {first}, in brackets the "
        f"{CONFIDENCE:.0%} interval. ONNX: free is right at the size of the training too, fixed "
        "only where it was exported.",
        "; ".join(str(costs).splitlines()),
    ]
    return ResultTable(table._title(), rows, said)


_SAME = {None: "does not run there", True: "yes", False: "no"}


def at_highest_rate(record: Recorded) -> Iterator[dict[str, str]]:
    """Yield where the largest learning rate that was tried did best, and what that may cost.

    The last figure is how far its accuracy on the validation images is above that of the rate next
    to it: what a step further along the grid brought last. Below the least rate there is always the
    network that was not trained.
    """
    *_, beside, highest = sorted(record.definition["held"]["lr"])
    for scene in record.definition["vary"]["scene"]:
        for repair in record.definition["vary"]["repair"]:
            valid = record.samples("valid", scene=scene, repair=repair)
            for side in record.definition["held"]["sides"]:
                runs = [seed[str(side)] for seed in valid]
                if None in runs:
                    continue
                shares = {rate: fmean(run[rate] for run in runs) for rate in runs[0]}
                if max(shares, key=lambda rate: shares[rate]) == str(highest):
                    gain = 100 * (shares[str(highest)] - shares[str(beside)])
                    yield {
                        "repair": repair,
                        "scene": scene,
                        "side": f"{side} px",
                        "points over the rate next to it": f"{gain:+.1f}",
                    }


def _fresh() -> set[str]:
    return {name for name, repair in REPAIRS.items() if repair.fresh}


def _percent(shares: Sequence[float]) -> str:
    found = interval([100 * share for share in shares])
    return f"{found.mean:.1f} % [{found.low:.1f}, {found.high:.1f}]"


def _points(found: Difference) -> str:
    mean, low, high = (100 * value for value in (found.mean, found.low, found.high))
    return f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _ahead(found: Difference, other: str) -> str:
    """Say whether it is ahead or behind, by how much, or that this is not known."""
    if not found.significant:
        return f"not told apart from {other} ({_points(found)})"
    bounds = sorted(abs(100 * value) for value in (found.low, found.high))
    word = "ahead of" if found.mean > 0 else "behind"
    return f"{abs(100 * found.mean):.1f} points [{bounds[0]:.1f}, {bounds[1]:.1f}] {word} {other}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def source(record: Recorded) -> str:
    """Return what the sentences rest on, in one."""
    held = record.definition["held"]
    return (
        f"{record.definition['seeds']} seeds; for each {held['train_images']} pictures to train on "
        f"for {held['epochs']} epochs, {held['valid_images']} to choose a rate by, "
        f"{held['test_images']} to test with. In brackets {CONFIDENCE:.0%} intervals, of "
        "differences judged together."
    )
