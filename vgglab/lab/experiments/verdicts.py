"""What a handful of runs allows one to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import fmean, stdev

from vgglab.arguments import needs

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class ConfidenceInterval:
    """The mean of `n` samples, with its confidence interval from `low` to `high`."""

    mean: float
    low: float
    high: float
    n: int

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Difference(ConfidenceInterval):
    """The mean difference of pairs.

    Attributes
    ----------
    minimum_detectable_effect
        The size of a true difference that such an interval would have kept apart from 0 in four
        of five repetitions of the experiment.
    """

    minimum_detectable_effect: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return 0 not in self

    def verdict(self, more: str, less: str, unit: str = "", scale: float = 1.0) -> str:
        """Say it in words.

        Parameters
        ----------
        more, less
            What a difference above and below 0 means: ``"GAP is better"``.
        unit
            Of the numbers shown, which are multiplied by `scale` first.
        """
        shown = [f"{scale * value:+.2g}" for value in (self.mean, self.low, self.high)]
        unit = f" {unit}" if unit else ""
        numbers = f"{shown[0]}{unit}, {CONFIDENCE:.0%} interval {shown[1]} to {shown[2]}"
        if self.significant:
            return f"{more if self.mean > 0 else less} ({numbers}, n = {self.n})"
        return (
            f"no difference seen ({numbers}, n = {self.n}; one of "
            f"{scale * self.minimum_detectable_effect:.2g}{unit} would have been seen in four of "
            "five such experiments)"
        )


def interval(samples: Sequence[float]) -> ConfidenceInterval:
    """Return the mean with its interval by Student's t.

    Parameters
    ----------
    samples
        One number a seed, at least two.

    Returns
    -------
    ConfidenceInterval
        At the level `CONFIDENCE`.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    error = _standard_error(samples)
    mean, half = fmean(samples), _t(1 - (1 - CONFIDENCE) / 2, len(samples)) * error
    return ConfidenceInterval(mean, mean - half, mean + half, len(samples))


def difference(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """Return ``ours - others``, paired: the two numbers at a place have the seed in common.

    Parameters
    ----------
    ours, others
        One number a seed, in the same order of seeds, at least two.

    Returns
    -------
    Difference
        The mean of ``ours - others``, with its interval by Student's t.

    Raises
    ------
    ValueError
        If the numbers are not in pairs, or fewer than two pairs.

    Notes
    -----
    The least difference that would have been seen is the multiple of the standard error of
    H. S. Bloom, "Minimum Detectable Effects", Evaluation Review 19(5), 1995: the quantiles of t at
    0.975 and at the power, 0.8, added.
    """
    if len(ours) != len(others):
        raise ValueError(
            f"others must be as many as ours, for they are pairs; got {len(others)} and {len(ours)}"
        )
    pairs = [a - b for a, b in zip(ours, others, strict=True)]
    found = interval(pairs)
    multiple = _t(1 - (1 - CONFIDENCE) / 2, found.n) + _t(POWER, found.n)
    return Difference(found.mean, found.low, found.high, found.n, multiple * _standard_error(pairs))


def _standard_error(samples: Sequence[float]) -> float:
    if len(samples) < 2:
        raise ValueError(f"samples must be at least 2 for an interval; got {len(samples)}")
    return stdev(samples) / sqrt(len(samples))


@cache
def _t(quantile: float, n: int) -> float:
    with needs("train"):
        from scipy.stats import t

    return float(t.ppf(quantile, df=n - 1))
