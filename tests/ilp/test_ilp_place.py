"""Placement: published cases, optimal peaks by exhaustive search, alignment, refusals."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ilp
from accelsim.errors import AccelsimError
from ilp import Buffer
from ilp.packing import Block, Piece, pack


def buffers(*rows):
    return tuple(Buffer(str(i), *row) for i, row in enumerate(rows))


# Lifetimes and sizes of the person detection network and the small cases in the memory planner
# tests of TensorFlow Lite Micro (Apache-2.0): facts only.
PERSON = buffers(
    *[(0, 30, 9216), (28, 30, 3), (27, 29, 256), (26, 28, 2304), (25, 27, 2304), (24, 26, 2304)],
    *[(23, 25, 1152), (22, 24, 4608), (21, 23, 4608), (20, 22, 4608), (19, 21, 4608)],
    *[(18, 20, 4608), (17, 19, 4608), (16, 18, 4608), (15, 17, 4608), (14, 16, 4608)],
    *[(13, 15, 4608), (12, 14, 4608), (11, 13, 2304), (10, 12, 9216), (9, 11, 9216)],
    *[(8, 10, 9216), (7, 9, 4608), (6, 8, 18432), (5, 7, 18432), (4, 6, 18432), (3, 5, 9216)],
    *[(2, 4, 36864), (1, 3, 18432), (0, 2, 18432)],
)
# The small example that ships with MiniMalloc (Apache-2.0).
TWELVE = buffers((0, 3, 4), (3, 9, 4), (0, 9, 4), (9, 21, 4), (0, 21, 4))


@pytest.mark.parametrize(
    ("case", "peak"),
    [
        (buffers((0, 2, 10), (2, 4, 20)), 20),
        (buffers((0, 2, 10), (1, 3, 20), (2, 4, 30), (3, 5, 40), (0, 2, 50)), 80),
        (buffers((0, 2, 100), (2, 4, 50), (1, 3, 20)), 120),
        (PERSON, 64512),
        (TWELVE, 12),
    ],
)
def test_known_peaks(case, peak):
    result = ilp.place(case, peak)
    assert (result.status, result.peak, result.lower_bound) == ("optimal", peak, peak)
    refused = ilp.place(case, peak - 1)
    assert (refused.status, refused.offsets) == ("infeasible", {})


def least_peak(case):
    """The optimum over all orders of a bottom-left placement, which contains an optimal one."""
    best = None
    for order in permutations(case):
        placed = []
        for b in order:
            rivals = [(o, o + r.size) for r, o in placed if r.lower < b.upper and b.lower < r.upper]
            spots = [0, *(end for _, end in rivals)]
            free = (
                s for s in sorted(spots) if all(s + b.size <= lo or s >= hi for lo, hi in rivals)
            )
            placed.append((b, next(free)))
        peak = max(o + b.size for b, o in placed)
        best = peak if best is None else min(best, peak)
    return best


ROW = st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(0, 5))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=6))
def test_peak_is_the_exhaustive_optimum(rows):
    case = buffers(*((lower, lower + span, size) for lower, span, size in rows))
    result = ilp.place(case, 100)
    assert (result.status, result.peak) == ("optimal", least_peak(case))
    if result.peak:
        assert ilp.place(case, result.peak - 1).status == "infeasible"


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(ROW, min_size=10, max_size=40), st.sampled_from([1, 4, 16]))
def test_larger_placements_are_valid_and_never_below_the_bound(rows, alignment):
    case = buffers(*((lower, lower + span, size) for lower, span, size in rows))
    result = ilp.place(case, 10_000, alignment, effort=0.05)
    # place() has run the checker; nothing may lie below the live bytes.
    assert result.status in ("optimal", "feasible")
    assert result.lower_bound <= result.peak
    assert all(offset % alignment == 0 for offset in result.offsets.values())
    assert ilp.place(case, 10_000, alignment, effort=0.05) == result


def test_alignment_counts_against_the_capacity():
    case = buffers((0, 2, 5), (0, 2, 5))
    assert ilp.place(case, 31, 16).status == "infeasible"
    assert ilp.place(case, 32, 16).peak == 32


def test_nothing_to_place_and_empty_sizes():
    assert ilp.place((), 0).status == "optimal"
    result = ilp.place(buffers((0, 1, 0), (0, 1, 0)), 0)
    assert (result.status, result.peak) == ("optimal", 0)


def test_effort_that_runs_out_is_unknown_or_feasible_never_infeasible():
    # Forty buffers of different sizes, tight: too much for no effort at all.
    case = buffers(*((i % 13, i % 13 + 3 + i % 5, 7 + 5 * (i % 11)) for i in range(60)))
    floor = ilp.place(case, 10_000, effort=0.0).lower_bound
    tight = ilp.place(case, floor, effort=0.0)
    assert tight.status in ("optimal", "unknown")
    assert ilp.place(case, 10_000, effort=0.0).status in ("optimal", "feasible")


def test_a_block_of_two_pieces_keeps_them_together():
    blocks = [
        Block((Piece(0, 1, 0, 4),)),
        Block((Piece(0, 2, 0, 2), Piece(1, 2, 2, 4))),
        Block((Piece(1, 2, 0, 2),)),
    ]
    packing = pack(blocks, 8, 1.0)
    assert (packing.status, packing.peak) == ("optimal", 8)
    first, second, third = packing.addresses
    assert second >= first + 4 or second + 2 <= first
    assert third >= second + 6 or third + 2 <= second


def test_all_mistakes_at_once():
    bad = (Buffer("a", 3, 3, 1), Buffer("a", 0, 1, -1))
    with pytest.raises(AccelsimError) as caught:
        ilp.place(bad, -1, 0, effort=float("nan"))
    assert len(caught.value.mistakes) == 6
    assert {mistake.code for mistake in caught.value.mistakes} == {"S411"}
