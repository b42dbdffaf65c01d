"""Confidence bounds for fault campaigns: bounded means, proportions and sample sizes.

The sampling unit is the *fault*. One fault is tried on several images and yields one rate in
[0, 1]; its images are correlated, so they never count as samples of their own. A campaign's figure
is therefore the mean of bounded variables, not a binomial proportion, and because users look at it
while it grows its bounds have to hold at every sample size at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError, Mistake
from faults.plan import Estimate

Values = NDArray[np.float64]

BETS = 64
"""Constant bets in the mixture of :func:`mean_interval`."""

_EDGE = 1e-12
"""Distance from 0 and 1 at which a bound is taken as 0 or 1; also the root's tolerance."""


def mean_interval(values: Values, confidence: float) -> tuple[float, float]:
    """Anytime-valid confidence interval for the mean of variables in [0, 1].

    Hedged capital (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
    betting", JRSS-B 2023): were the true mean at most m, nobody could get rich by betting that
    values fall short of m, so every m at which such a gambler holds 2 / (1 - confidence) times the
    stake is too high (Ville's inequality); the mirror image gives the lower bound. The error is
    split evenly: each bound alone holds with probability 1 - (1 - confidence) / 2.

    The bet is the predictable one of a universal portfolio (Cover 1991; Orabona and Jun 2021): the
    stake is spread evenly over :data:`BETS` constant fractions f of the largest admissible bet
    1 / (1 - m), at the Chebyshev nodes of the arcsine prior, and never rebalanced. It adapts to
    rare events and to low variance alike, has no tuning, and the order of values is immaterial.

    The interval may be read after every value and the campaign stopped whenever one likes: the
    probability that it *ever* misses the true mean is at most 1 - confidence.

    ``values`` [n] in [0, 1]; no values give (0, 1). Returns (lower, upper), always around the
    sample mean. Raises AccelsimError F601 (values) and F602 (confidence).
    """
    found = np.asarray(values, dtype=np.float64)
    _require(_value_mistakes(found) + _confidence_mistakes(confidence))
    if found.size == 0:
        return 0.0, 1.0
    distinct, counts = np.unique(found, return_counts=True)
    log_target = math.log(2.0 / (1.0 - confidence))
    upper = _upper(distinct, counts, log_target)
    lower = 1.0 - _upper(1.0 - distinct, counts, log_target)
    return max(0.0, lower), min(1.0, upper)


def _fractions() -> Values:
    """The mixture's constant bets, as fractions of the largest one: Chebyshev nodes in (0, 1)."""
    nodes = (2.0 * np.arange(1, BETS + 1) - 1.0) * (np.pi / (4.0 * BETS))
    return np.asarray(np.sin(nodes) ** 2, dtype=np.float64)


def _upper(distinct: Values, counts: NDArray[np.int64], log_target: float) -> float:
    """Largest mean at which betting on smaller values has not reached exp(log_target) times the
    stake. Each factor 1 - f (x - m) / (1 - m) grows with m, so there is one crossing."""
    fractions = _fractions()[:, None]

    def excess(m: float) -> float:
        wealth = np.log1p(-fractions * ((distinct - m) / (1.0 - m))) @ counts
        top = float(wealth.max())
        return top + math.log(float(np.exp(wealth - top).mean())) - log_target

    return _crossing(excess, float(distinct @ counts / counts.sum()), 1.0 - _EDGE)


def _crossing(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where the increasing function ``excess`` becomes positive in [low, high], rounded up."""
    from scipy.optimize import brentq

    if low >= high or excess(high) < 0.0:
        return 1.0
    if excess(low) >= 0.0:  # cannot be: nobody grows rich at the sample mean, but rounding may
        return low
    return float(brentq(excess, low, high, xtol=_EDGE)) + 2.0 * _EDGE


def stratified_mean(
    weights: Sequence[float], values: Sequence[Values], confidence: float
) -> Estimate:
    """Weighted mean over strata, with the error shared among them by Bonferroni.

    ``weights[h]`` (summing to 1) is stratum h's share of the population, ``values[h]`` [n_h] its
    rates in [0, 1]. Every stratum of positive weight gets an interval of error
    (1 - confidence) / H, H being their number; the bounds are the weighted sums of theirs, hence
    also anytime-valid. A stratum without values counts with its whole range [0, 1], and the mean is
    then that of the other strata. Raises AccelsimError F603 (weights, or no value at all), F601,
    F602.
    """
    _require(_strata_mistakes(weights, values) + _confidence_mistakes(confidence))
    used = [(w, np.asarray(v, dtype=np.float64)) for w, v in zip(weights, values, strict=True) if w]
    share = 1.0 - (1.0 - confidence) / len(used)
    intervals = [mean_interval(found, share) for _, found in used]
    seen = [(w, float(found.mean())) for w, found in used if found.size]
    mean = math.fsum(w * m for w, m in seen) / math.fsum(w for w, _ in seen)
    lower = math.fsum(w * low for (w, _), (low, _) in zip(used, intervals, strict=True))
    upper = math.fsum(w * high for (w, _), (_, high) in zip(used, intervals, strict=True))
    # Rounding of the two sums may push a bound past the mean or past 1 by an ulp.
    return Estimate(
        mean=mean,
        lower=max(0.0, min(lower, mean)),
        upper=min(1.0, max(upper, mean)),
        confidence=confidence,
        n=sum(found.size for _, found in used),
    )


def mean_estimate(values: Values, confidence: float) -> Estimate:
    """:func:`mean_interval` with the sample mean, as an Estimate. F603 when there is no value."""
    return stratified_mean((1.0,), (values,), confidence)


def clopper_pearson(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Exact two-sided interval for a proportion: k events in n independent trials.

    For a sample size fixed beforehand only: a design that sits at the limit passes far more often
    than 1 - confidence when one looks repeatedly. n = 0 gives (0, 1). Clopper and Pearson,
    Biometrika 1934. Raises AccelsimError F604, F602.
    """
    from scipy.stats import beta

    _require(_count_mistakes(k, n) + _confidence_mistakes(confidence))
    tail = (1.0 - confidence) / 2.0
    lower = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    upper = 1.0 if k == n else float(beta.ppf(1.0 - tail, k + 1, n - k))
    return lower, upper


def wilson(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval for a proportion: for display, since its coverage is only
    approximate. n = 0 gives (0, 1). Wilson, JASA 1927. Raises AccelsimError F604, F602."""
    _require(_count_mistakes(k, n) + _confidence_mistakes(confidence))
    if n == 0:
        return 0.0, 1.0
    z2 = normal_quantile(confidence) ** 2
    p = k / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) + z2 / (4 * n)) / n) / (1 + z2 / n)
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def rule_of_three(n: int, confidence: float) -> float:
    """One-sided upper bound of a probability after 0 events in n independent trials.

    Exactly 1 - (1 - confidence)^(1/n), at 95 % about 3 / n; 1 for n = 0. F604, F602.
    """
    _require(_count_mistakes(0, n) + _confidence_mistakes(confidence))
    return 1.0 if n == 0 else -math.expm1(math.log1p(-confidence) / n)


def clean_faults_needed(limit: float, confidence: float) -> int:
    """Least n for which 0 events in n trials show a probability below ``limit`` in (0, 1).

    Inverse of :func:`rule_of_three`: 1e-3 at 95 % needs 2,995. Raises AccelsimError F605, F602.
    """
    _require(_open_unit_mistakes("limit", limit) + _confidence_mistakes(confidence))
    return math.ceil(math.log1p(-confidence) / math.log1p(-limit))


def leveugle_sample_size(
    population: int | None, margin: float, confidence: float, p: float = 0.5
) -> int:
    """Faults to draw so that a proportion near ``p`` is known to +-``margin`` (absolute).

    n = N / (1 + e^2 (N - 1) / (t^2 p (1 - p))), Leveugle et al., DATE 2009; ``population`` None:
    unbounded, n = t^2 p (1 - p) / e^2. For planning: bounds are computed from the results.
    Raises AccelsimError F605, F602.
    """
    mistakes = _open_unit_mistakes("margin", margin) + _open_unit_mistakes("p", p)
    if population is not None and population < 1:
        mistakes += (Mistake("F605", f"population is {population}: it must be at least 1"),)
    _require(mistakes + _confidence_mistakes(confidence))
    unbounded = normal_quantile(confidence) ** 2 * p * (1.0 - p) / margin**2
    if population is None:
        return math.ceil(unbounded)
    return math.ceil(population / (1.0 + (population - 1) / unbounded))


def sample_size_for_half_width(half_width: float, deviation: float, confidence: float) -> int:
    """Faults to draw so that the mean of rates with standard deviation ``deviation`` (at most 0.5)
    has an interval of about +-``half_width``: (z deviation / half_width)^2, at least 1.

    A normal approximation, for planning; the anytime-valid interval of :func:`mean_interval` is
    wider by up to a factor of two (the price of looking at any time). Raises AccelsimError F605,
    F602.
    """
    mistakes = _open_unit_mistakes("half_width", half_width)
    if not 0.0 <= deviation <= 0.5:
        text = f"deviation is {deviation}: rates in [0, 1] have one between 0 and 0.5"
        mistakes += (Mistake("F605", text),)
    _require(mistakes + _confidence_mistakes(confidence))
    return max(1, math.ceil((normal_quantile(confidence) * deviation / half_width) ** 2))


def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the standard normal: 1.96 at 95 %. Raises AccelsimError F602."""
    from scipy.stats import norm

    _require(_confidence_mistakes(confidence))
    return float(norm.ppf(0.5 + confidence / 2.0))


def _require(mistakes: tuple[Mistake, ...]) -> None:
    if mistakes:
        raise AccelsimError(mistakes)


def _confidence_mistakes(confidence: float) -> tuple[Mistake, ...]:
    if 0.0 < confidence < 1.0:
        return ()
    hint = "95 % is written 0.95"
    return (Mistake("F602", f"confidence {confidence} is not between 0 and 1", hint),)


def _value_mistakes(values: Values) -> tuple[Mistake, ...]:
    if values.ndim != 1:
        return (Mistake("F601", f"rates must be one per fault, got shape {values.shape}"),)
    bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
    if bad.size == 0:
        return ()
    text = f"{bad.size} of {values.size} rates are outside [0, 1], first: {values[bad[0]]}"
    return (Mistake("F601", text, "a rate is the share of a fault's images"),)


def _strata_mistakes(weights: Sequence[float], values: Sequence[Values]) -> tuple[Mistake, ...]:
    if len(weights) != len(values):
        text = f"{len(weights)} stratum weights for {len(values)} strata"
        return (Mistake("F603", text),)
    found: tuple[Mistake, ...] = ()
    if not all(w >= 0.0 for w in weights) or not abs(math.fsum(weights) - 1.0) <= 1e-9:
        text = f"stratum weights {list(weights)} are not shares that sum to 1"
        found += (Mistake("F603", text),)
    elif not any(w and np.size(v) for w, v in zip(weights, values, strict=True)):
        found += (Mistake("F603", "no stratum has any value", "inject at least one fault"),)
    return found


def _count_mistakes(k: int, n: int) -> tuple[Mistake, ...]:
    if 0 <= k <= n:
        return ()
    return (Mistake("F604", f"{k} events in {n} trials", "needs 0 <= events <= trials"),)


def _open_unit_mistakes(name: str, value: float) -> tuple[Mistake, ...]:
    if 0.0 < value < 1.0:
        return ()
    return (Mistake("F605", f"{name} is {value}: it must lie between 0 and 1"),)
