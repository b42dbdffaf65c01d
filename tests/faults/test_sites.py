"""Draws: known properties, distribution tests with fixed seeds, and bad plans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from accelsim.errors import AccelsimError
from faults.plan import Target, UpsetPlan
from faults.sites import Population, Stream, allocate, draw, plan_mistakes, strata

TARGETS = (
    Target("mem", "weight", "a", 300),
    Target("mem", "weight", "b", 100),
    Target("acc", "accumulator", "c", 50),
    Target("idle", "activation", "d", 0),
)
SPACE = {
    ("weight", "a"): Population(10, 8),
    ("weight", "b"): Population(1000, 8),
    ("accumulator", "c"): Population(7, 32),
}
PLAN = UpsetPlan(TARGETS, 600, 3, seed=0, floor=50)


def test_streams_are_reproducible_and_independent_of_each_other() -> None:
    first = Stream(0, "s", 5).words(4).tolist()
    assert first == Stream(0, "s", 5).words(4).tolist()
    others = [Stream(1, "s", 5), Stream(0, "t", 5), Stream(0, "s", 6), Stream(0, "s", 4)]
    words = {tuple(o.words(4).tolist()) for o in others}
    assert len(words | {tuple(first)}) == 5
    # Fixed for ever: results of earlier versions must stay reproducible.
    assert Stream(0, "rate=1e-05", 0).below(10**6, 10**6) == [739100, 818463]


def test_consecutive_reads_continue_the_stream() -> None:
    stream = Stream(3, "x", 1)
    parts = [*stream.words(3).tolist(), *stream.words(5).tolist()]
    assert parts == Stream(3, "x", 1).words(8).tolist()


@given(st.integers(1, 40), st.integers(0, 60), st.integers(0, 1000))
def test_distinct_is_a_sorted_subset(count: int, more: int, index: int) -> None:
    found = Stream(0, "d", index).distinct(count, count + more).tolist()
    assert found == sorted(set(found))
    assert len(found) == count
    assert found[0] >= 0
    assert found[-1] < count + more


def test_distinct_takes_all_subsets_equally() -> None:
    seen: dict[tuple[int, ...], int] = {}
    for i in range(6000):
        key = tuple(Stream(7, "subsets", i).distinct(2, 5).tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 10
    assert stats.chisquare(list(seen.values())).pvalue > 1e-3


def test_hits_are_binomial_and_uniform() -> None:
    bits, rate = 5000, 0.002
    counts, places = [], []
    for i in range(3000):
        hits = Stream(11, "hits", i).hits(bits, rate)
        assert (np.diff(hits) > 0).all()
        counts.append(len(hits))
        places.extend(hits.tolist())
    expected = stats.binom(bits, rate)
    assert np.mean(counts) == pytest.approx(expected.mean(), abs=4 * expected.std() / 3000**0.5)
    assert np.var(counts) == pytest.approx(expected.var(), rel=0.1)
    histogram = np.histogram(places, 25, (0, bits))[0]
    assert stats.chisquare(histogram).pvalue > 1e-3
    assert min(places) < 50
    assert max(places) >= bits - 50


def test_hits_at_the_ends_of_the_range() -> None:
    stream = Stream(0, "ends", 0)
    assert not len(stream.hits(1000, 0.0))
    assert stream.hits(10, 1.0).tolist() == list(range(10))
    assert stream.hits(1000, 0.999).max() < 1000
    assert len(Stream(0, "tiny", 0).hits(10**6, 1e-300)) == 0


def test_allocation_known_answers() -> None:
    assert allocate({"a": 900, "b": 100}, 1000, 0) == {"a": 900, "b": 100}
    assert allocate({"a": 990, "b": 10, "c": 0}, 1000, 200) == {"a": 800, "b": 200}
    # The floor of b takes from the rest; c falls below the floor only then.
    assert allocate({"a": 700, "b": 10, "c": 290}, 100, 30) == {"a": 40, "b": 30, "c": 30}
    assert allocate({"a": 1, "b": 1, "c": 1}, 5, 200) == {"a": 2, "b": 2, "c": 1}


@given(
    st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 10**30), min_size=1, max_size=6),
    st.integers(6, 5000),
    st.integers(0, 300),
)
def test_allocation_is_complete_and_keeps_the_floor(
    exposures: dict[str, int], faults: int, floor: int
) -> None:
    if not any(exposures.values()):
        return
    found = allocate(exposures, faults, floor)
    assert sum(found.values()) == faults
    assert set(found) == {n for n, e in exposures.items() if e > 0}
    assert min(found.values()) >= min(floor, faults // len(found))
    total = sum(exposures.values())
    above = [n for n in found if found[n] > floor + 1]
    for name in above:  # nobody above the floor gets more than its share
        assert found[name] <= exposures[name] * faults // total + 1


def test_draws_follow_exposure() -> None:
    drawn = list(draw(PLAN, SPACE, 20))
    assert [u.index for u in drawn] == list(range(600))
    by = [u.target.tensor for u in drawn]
    assert (by.count("c"), by.count("d")) == (67, 0)
    heavy, light = by.count("a"), by.count("b")
    assert stats.binomtest(heavy, heavy + light, 0.75).pvalue > 1e-3
    bits = np.bincount([u.bit for u in drawn if u.target.tensor != "c"], minlength=8)
    assert stats.chisquare(bits).pvalue > 1e-3
    elements = np.bincount([u.element for u in drawn if u.target.tensor == "a"], minlength=10)
    assert stats.chisquare(elements).pvalue > 1e-3
    assert all(len(u.images) == 3 and u.images.max() < 20 for u in drawn)


def test_a_stratums_draws_do_not_depend_on_the_other_strata() -> None:
    alone = replace(PLAN, targets=TARGETS[:2], faults=533)
    ours = [u for u in draw(PLAN, SPACE, 20) if u.target.structure == "mem"]
    theirs = list(draw(alone, SPACE, 20))
    assert [(u.target, u.element, u.bit) for u in ours] == [
        (u.target, u.element, u.bit) for u in theirs
    ]
    more = list(draw(replace(alone, faults=700), SPACE, 20))
    assert [(u.element, u.bit) for u in more[:533]] == [(u.element, u.bit) for u in theirs]


def test_doubling_one_exposure_doubles_its_share() -> None:
    def share(exposure: int) -> float:
        targets = (replace(TARGETS[0], exposure=exposure), Target("mem", "weight", "b", 10_000))
        drawn = draw(UpsetPlan(targets, 6000, 1, floor=0), SPACE, 1)
        return sum(u.target.tensor == "a" for u in drawn) / 6000

    assert share(2000) / share(1000) == pytest.approx((2 / 12) / (1 / 11), rel=0.1)


def test_seed_zero_is_a_seed() -> None:
    zero = [u.element for u in draw(PLAN, SPACE, 20)]
    assert zero == [u.element for u in draw(PLAN, SPACE, 20)]
    assert zero != [u.element for u in draw(replace(PLAN, seed=1), SPACE, 20)]


def test_bad_plans_name_everything() -> None:
    bad = UpsetPlan((Target("m", "wieght", "a", 1), Target("m", "bias", "b", -1)), 0, 0,
                    confidence=1.0, floor=-1)  # fmt: skip
    assert len(plan_mistakes(bad)) == 6
    with pytest.raises(AccelsimError) as error:
        strata(UpsetPlan((), 10, 1))
    assert error.value.mistakes[0].code == "F501"
    with pytest.raises(AccelsimError):
        strata(replace(PLAN, faults=1))
