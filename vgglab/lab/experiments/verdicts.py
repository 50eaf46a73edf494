"""What a handful of runs allows one to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import fmean, stdev

from vgglab.arguments import check_integer, needs

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
    claims
        How many differences are judged together: see `difference`.
    """

    minimum_detectable_effect: float
    claims: int = 1

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return 0 not in self

    @property
    def only_just(self) -> bool:
        """Whether 0 is within a tenth of the interval's width of the nearer bound."""
        return min(abs(self.low), abs(self.high)) < (self.high - self.low) / 10

    def in_words(self, more: str, less: str) -> str:
        """Return `more`, `less` or that no difference is seen."""
        if not self.significant:
            return "no difference seen"
        return f"{more if self.mean > 0 else less}{', but only just' if self.only_just else ''}"

    def verdict(self, more: str, less: str, unit: str = "", scale: float = 1.0) -> str:
        """Say it in words, the interval first.

        Parameters
        ----------
        more, less
            What a difference above and below 0 means: ``"GAP is better"``. Where `less` is said,
            the numbers are turned around, so that they are those of what is said.
        unit
            Of the numbers shown, which are multiplied by `scale` first.
        """
        bounds = [self.mean, self.low, self.high]
        if self.significant and self.mean < 0:
            bounds = [-self.mean, -self.high, -self.low]
        mean, low, high = (f"{scale * value:+.2g}" for value in bounds)
        unit = f" {unit}" if unit else ""
        together = f", {self.claims} claims together" if self.claims > 1 else ""
        numbers = f"{mean}{unit} [{low}, {high}], n = {self.n}{together}"
        said = f"{numbers}: {self.in_words(more, less)}"
        if self.significant:
            return said
        return (
            f"{said}; one of "
            f"{scale * self.minimum_detectable_effect:.2g}{unit} would have been seen in four of "
            "five such experiments"
        )


def interval(samples: Sequence[float], claims: int = 1) -> ConfidenceInterval:
    """Return the mean with its interval by Student's t.

    Parameters
    ----------
    samples
        One number a seed, at least two.
    claims
        How many intervals are to be right together.

    Returns
    -------
    ConfidenceInterval
        At the level `CONFIDENCE`; of several claims the error is divided by their number
        (Bonferroni), so that all intervals hold at this level together.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    check_integer("claims", claims, minimum=1)
    error = _standard_error(samples)
    mean, half = fmean(samples), _t(1 - (1 - CONFIDENCE) / 2 / claims, len(samples)) * error
    return ConfidenceInterval(mean, mean - half, mean + half, len(samples))


def difference(ours: Sequence[float], others: Sequence[float], claims: int = 1) -> Difference:
    """Return ``ours - others``, paired: the two numbers at a place have the seed in common.

    Parameters
    ----------
    ours, others
        One number a seed, in the same order of seeds, at least two.
    claims
        How many differences are judged together, as in `interval`.

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
    0.975 (for one claim) and at the power, 0.8, added.
    """
    if len(ours) != len(others):
        raise ValueError(
            f"others must be as many as ours, for they are pairs; got {len(others)} and {len(ours)}"
        )
    pairs = [a - b for a, b in zip(ours, others, strict=True)]
    found = interval(pairs, claims)
    multiple = _t(1 - (1 - CONFIDENCE) / 2 / claims, found.n) + _t(POWER, found.n)
    effect = multiple * _standard_error(pairs)
    return Difference(found.mean, found.low, found.high, found.n, effect, claims)


def _standard_error(samples: Sequence[float]) -> float:
    if len(samples) < 2:
        raise ValueError(f"samples must be at least 2 for an interval; got {len(samples)}")
    return stdev(samples) / sqrt(len(samples))


@cache
def _t(quantile: float, n: int) -> float:
    with needs("train"):
        from scipy.stats import t

    return float(t.ppf(quantile, df=n - 1))
