"""Bounds: known answers, calibration by simulation, agreement with a step-by-step gambler."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from accelsim.errors import AccelsimError
from faults import stats

RATES = st.lists(st.integers(0, 32).map(lambda k: k / 32), min_size=1, max_size=80)


def test_published_sample_sizes():
    assert stats.leveugle_sample_size(None, 0.01, 0.95) == 9_604
    assert stats.leveugle_sample_size(None, 0.01, 0.99) == 16_588
    assert stats.leveugle_sample_size(10**12, 0.01, 0.95) == 9_604
    assert stats.leveugle_sample_size(1_000, 0.01, 0.95) == 906
    assert stats.leveugle_sample_size(None, 1e-4, 0.95, p=1e-3) == pytest.approx(384_000, rel=0.01)


def test_rule_of_three():
    assert stats.rule_of_three(2_995, 0.95) <= 1e-3 < stats.rule_of_three(2_994, 0.95)
    assert stats.clean_faults_needed(1e-3, 0.95) == 2_995
    assert stats.rule_of_three(0, 0.95) == 1.0


def test_clopper_pearson_and_wilson_known_answers():
    # 7 of 20 at 95 %: the worked example of most textbooks.
    assert stats.clopper_pearson(7, 20, 0.95) == pytest.approx((0.15391, 0.59219), abs=1e-5)
    assert stats.wilson(7, 20, 0.95) == pytest.approx((0.18119, 0.56715), abs=1e-5)
    assert stats.clopper_pearson(0, 10, 0.95) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert stats.clopper_pearson(0, 0, 0.95) == (0.0, 1.0) == stats.wilson(0, 0, 0.95)
    assert stats.clopper_pearson(5, 5, 0.95)[1] == 1.0 == stats.wilson(5, 5, 0.95)[1]
    assert stats.wilson(0, 9, 0.95)[0] == 0.0


@given(n=st.integers(1, 60), k=st.integers(0, 60), confidence=st.floats(0.5, 0.999))
@settings(max_examples=60, deadline=None)
def test_clopper_pearson_bounds_are_the_binomial_tails(n, k, confidence):
    k = min(k, n)
    lower, upper = stats.clopper_pearson(k, n, confidence)
    tail = (1 - confidence) / 2
    if k < n:
        assert binom.cdf(k, n, upper) == pytest.approx(tail, abs=1e-9)
    if k > 0:
        assert binom.sf(k - 1, n, lower) == pytest.approx(tail, abs=1e-9)


def test_half_width_sample_size():
    assert stats.sample_size_for_half_width(0.01, 0.5, 0.95) == 9_604
    assert stats.sample_size_for_half_width(0.01, 0.0, 0.95) == 1


def test_no_values_say_nothing():
    assert stats.mean_interval(np.zeros(0), 0.95) == (0.0, 1.0)


def test_all_zeros_bound_is_near_the_rule_of_three():
    for n in (60, 200, 2_000, 20_000):
        lower, upper = stats.mean_interval(np.zeros(n), 0.95)
        assert lower == 0.0
        assert stats.rule_of_three(n, 0.95) < upper < 2.0 * stats.rule_of_three(n, 0.95)
    assert stats.mean_interval(np.ones(50), 0.95)[1] == 1.0


@given(values=RATES, confidence=st.floats(0.5, 0.999))
@settings(max_examples=100, deadline=None)
def test_interval_properties(values, confidence):
    found = np.array(values)
    lower, upper = stats.mean_interval(found, confidence)
    assert 0.0 <= lower <= found.mean() + 1e-12
    assert found.mean() - 1e-12 <= upper <= 1.0
    mirrored = stats.mean_interval(1.0 - found, confidence)
    assert mirrored == pytest.approx((1.0 - upper, 1.0 - lower), abs=1e-9)
    wider = stats.mean_interval(found, (1.0 + confidence) / 2.0)
    assert wider[0] <= lower + 1e-9
    assert upper <= wider[1] + 1e-9
    assert stats.mean_interval(found[::-1], confidence) == (lower, upper)


def wealth_path(values, m, fractions):
    """The gambler played step by step: her wealth after each value, betting that values stay
    below m, with the bet a universal portfolio holds at that moment (independent of stats)."""
    holdings = np.full(fractions.size, 1.0 / fractions.size)
    path = []
    for x in values:
        total = holdings.sum()
        bet = (holdings @ fractions) / total / (1.0 - m)
        path.append(total * (1.0 - bet * (x - m)))
        holdings = holdings * (1.0 - fractions / (1.0 - m) * (x - m))
    return np.array(path)


@given(values=RATES, m=st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_upper_bound_is_where_a_step_by_step_gambler_gets_rich(values, m):
    found = np.array(values)
    rich = wealth_path(found, m, stats._fractions())[-1] >= 2.0 / 0.05
    upper = stats.mean_interval(found, 0.95)[1]
    if abs(upper - m) > 1e-9:
        assert rich == (m > upper)


def bernoulli(p):
    return lambda rng, shape: (rng.random(shape) < p).astype(float)


def clustered(p):
    """Most faults do nothing; the others fail a uniform share of 32 images. Mean p."""
    return lambda rng, shape: (rng.random(shape) < 2 * p) * rng.integers(0, 33, shape) / 32


@pytest.mark.parametrize(
    ("draw", "mean"),
    [(bernoulli(0.01), 0.01), (bernoulli(0.3), 0.3), (clustered(0.02), 0.02), (bernoulli(0.0), 0)],
)
def test_coverage_at_a_fixed_size(draw, mean):
    rng = np.random.default_rng(1)
    trials = 300
    hits = 0
    for row in draw(rng, (trials, 400)):
        lower, upper = stats.mean_interval(row, 0.9)
        hits += lower <= mean <= upper
    # 0.9 less three standard errors of the simulation.
    assert hits / trials >= 0.9 - 3 * math.sqrt(0.09 / trials)


@pytest.mark.parametrize("draw", [bernoulli(0.02), clustered(0.02)])
def test_looking_at_every_fault_does_not_break_the_bound(draw):
    """A design exactly at the limit, watched after each of 2,000 faults, must pass in at most
    5 % of campaigns; a Clopper-Pearson bound watched the same way passes several times as many."""
    limit, trials, n = 0.02, 400, 2_000
    rng = np.random.default_rng(2)
    fractions = stats._fractions()
    passes = 0
    for values in draw(rng, (trials, n)):
        log_wealth = np.cumsum(
            np.log1p(-fractions[:, None] / (1 - limit) * (values - limit)), axis=1
        )
        passes += bool((np.exp(log_wealth).mean(axis=0) >= 2.0 / 0.05).any())
    assert passes / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert passes / trials <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / trials)


def test_a_fixed_size_bound_does_break_when_watched():
    """Why this module exists: the same experiment with one-sided exact binomial bounds."""
    limit, trials, n = 0.02, 400, 2_000
    draws = bernoulli(limit)(np.random.default_rng(2), (trials, n))
    sizes = np.arange(1, n + 1)
    watched = binom.cdf(np.cumsum(draws, axis=1), sizes, limit) <= 0.05
    assert watched.any(axis=1).mean() > 0.12


def test_fast_enough_for_twenty_thousand_distinct_values():
    values = np.random.default_rng(0).random(20_000)
    start = time.process_time()
    lower, upper = stats.mean_interval(values, 0.95)
    assert time.process_time() - start < 5.0
    assert lower < 0.5 < upper < lower + 0.02


def test_one_stratum_is_the_plain_interval():
    values = np.array([0.0, 0.5, 0.25, 0.0])
    estimate = stats.stratified_mean([1.0], [values], 0.95)
    assert (estimate.lower, estimate.upper) == stats.mean_interval(values, 0.95)
    assert (estimate.mean, estimate.n, estimate.confidence) == (values.mean(), 4, 0.95)
    assert stats.mean_estimate(values, 0.95) == estimate


def test_strata_share_the_error():
    a, b = np.zeros(500), np.full(300, 0.5)
    estimate = stats.stratified_mean([0.75, 0.25], [a, b], 0.95)
    parts = [stats.mean_interval(v, 0.975) for v in (a, b)]
    assert estimate.mean == 0.125
    assert estimate.upper == pytest.approx(0.75 * parts[0][1] + 0.25 * parts[1][1])
    assert estimate.lower == pytest.approx(0.75 * parts[0][0] + 0.25 * parts[1][0])
    assert estimate.n == 800


def test_weightless_strata_are_ignored_and_empty_ones_count_whole():
    values = np.zeros(100)
    plain = stats.stratified_mean([1.0], [values], 0.9)
    assert stats.stratified_mean([1.0, 0.0], [values, np.ones(3)], 0.9) == plain
    unknown = stats.stratified_mean([0.8, 0.2], [values, np.zeros(0)], 0.9)
    assert unknown.mean == 0.0
    assert 0.2 < unknown.upper < 0.3


def test_stratified_coverage():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        parts = [bernoulli(p)(rng, 200) for p in (0.01, 0.2, 0.05)]
        estimate = stats.stratified_mean([0.5, 0.3, 0.2], parts, 0.9)
        hits += estimate.lower <= 0.075 <= estimate.upper
    assert hits >= 180 - 3 * math.sqrt(18)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: stats.mean_interval(np.array([0.5, 1.5]), 0.95), "F601"),
        (lambda: stats.mean_interval(np.array([math.nan]), 0.95), "F601"),
        (lambda: stats.mean_interval(np.zeros((2, 2)), 0.95), "F601"),
        (lambda: stats.mean_interval(np.zeros(2), 95.0), "F602"),
        (lambda: stats.mean_interval(np.zeros(2), math.nan), "F602"),
        (lambda: stats.stratified_mean([0.5], [np.zeros(2)], 0.95), "F603"),
        (lambda: stats.stratified_mean([1.0], [], 0.95), "F603"),
        (lambda: stats.stratified_mean([1.0], [np.zeros(0)], 0.95), "F603"),
        (lambda: stats.stratified_mean([math.nan], [np.zeros(2)], 0.95), "F603"),
        (lambda: stats.clopper_pearson(3, 2, 0.95), "F604"),
        (lambda: stats.wilson(-1, 2, 0.95), "F604"),
        (lambda: stats.rule_of_three(-1, 0.95), "F604"),
        (lambda: stats.leveugle_sample_size(0, 0.01, 0.95), "F605"),
        (lambda: stats.leveugle_sample_size(None, 0.0, 0.95), "F605"),
        (lambda: stats.sample_size_for_half_width(0.1, 0.7, 0.95), "F605"),
        (lambda: stats.clean_faults_needed(0.0, 0.95), "F605"),
    ],
)
def test_mistakes_are_named(call, code):
    with pytest.raises(AccelsimError) as caught:
        call()
    assert [m.code for m in caught.value.mistakes] == [code]
