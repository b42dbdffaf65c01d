"""The committed RTL measurements against the closed forms; needs no Verilator.

``measured.csv`` was taken at the ports of the arrays in this folder by a bench that knows no
formula. ``rtl_expected`` holds what accelsim says, and by name what goes beyond it.
"""

from __future__ import annotations

from collections import Counter

import pytest
import rtl_expected
import rtl_table
from rtl_bench import SERIAL

from accelsim.dataflow import overlaps_of

ROWS = rtl_table.read()


def late_per_tile(case):
    """A literal wait for the last result pays the cycle of registered operands in every tile."""
    return case.mac_input == "registered" and case.microarchitecture == "generic"


def test_every_row_agrees_in_cycles_and_in_correctness():
    wrong = [(case, why) for case, seen in ROWS if (why := rtl_expected.disagreement(case, seen))]
    assert wrong == []


@pytest.mark.parametrize(("microarchitecture", "sizes"), [("generic", 10), ("gemmini", 6)])
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_every_overlap_is_measured_on_arrays_of_many_shapes(dataflow, microarchitecture, sizes):
    for overlap in overlaps_of(dataflow, microarchitecture):
        key = (microarchitecture, dataflow, overlap)
        of_it = [c for c, _ in ROWS if (c.microarchitecture, c.dataflow, c.array) == key]
        assert len({(case.rows, case.cols) for case in of_it}) >= sizes
        assert len({(case.m, case.n, case.k) for case in of_it}) >= 20
        assert {case.skip_idle for case in of_it} == {False, True}
        if microarchitecture == "generic":
            assert {case.mac_input for case in of_it} == {"arriving", "registered"}
    assert {case.width for case, _ in ROWS} == {4, 8, 16}


def test_correct_runs_at_the_stated_period_take_the_closed_form_exactly():
    """accelsim alone, without any of the exceptions that rtl_expected names."""
    runs = [
        (rtl_expected.closed_form(case), seen.cycles)
        for case, seen in ROWS
        if case.array != "preload-direct"
        and (
            case.period == rtl_expected.closed_period(case)
            or seen.tiles == 1
            or (case.period == SERIAL and not late_per_tile(case))
        )
        and rtl_expected.later_full_tile(case) == 0
    ]
    assert len(runs) >= 500
    assert all(measured == closed for closed, measured in runs)


def test_a_period_one_shorter_corrupts():
    """For every array but ``none``, whose period is a schedule and not what the array can bear."""
    shorter = [
        (case, seen)
        for case, seen in ROWS
        if seen.tiles > 1
        and case.array not in ("none", "preload-direct")
        and case.period == rtl_expected.closed_period(case) - 1
    ]
    survived = [case for case, seen in shorter if seen.correct]
    assert len(shorter) - len(survived) >= 200
    # Only rows that every tile leaves idle let a whole-column load come sooner.
    assert all(case.array == "column" and case.k < case.rows for case in survived)


def test_corrupted_runs_are_those_with_a_period_that_is_too_short():
    corrupted = [case for case, seen in ROWS if not seen.correct]
    assert all(SERIAL < case.period < rtl_expected.shortest_period(case) for case in corrupted)
    one_shorter = [c for c in corrupted if c.period == rtl_expected.shortest_period(c) - 1]
    assert len(one_shorter) >= 300


def test_each_product_is_correct_from_its_shortest_period_on():
    """The sweeps: all periods below corrupt, none above."""
    sweeps = Counter(
        (case.dataflow, case.array, case.mac_input)
        for case, _ in ROWS
        if (case.rows, case.cols) == (3, 5) and not case.skip_idle
    )
    assert sum(count >= 8 for count in sweeps.values()) >= 11


def test_what_the_array_without_a_drain_register_can_bear():
    """``none`` waits for the last result; the chain of accumulators is free after K + R - 1."""
    key = ("generic", "os", "none")
    runs = [(c, s) for c, s in ROWS if (c.microarchitecture, c.dataflow, c.array) == key]
    tight = [(c, s) for c, s in runs if s.tiles > 1 and c.period == c.k + c.rows - 1]
    assert tight
    assert all(seen.correct for _, seen in tight)
    tighter = [s for c, s in runs if s.tiles > 1 and 0 < c.period == c.k + c.rows - 2]
    assert tighter
    assert not any(seen.correct for seen in tighter)


def test_registered_operands_and_a_single_weight_register_need_a_register_on_the_weight_ports():
    """accelsim's period M + R - 1 holds with one; without it the load has to wait a cycle."""
    for array, extra in (("preload", 0), ("preload-direct", 1)):
        seen_at = {
            (case.period - rtl_expected.closed_period(case), seen.correct)
            for case, seen in ROWS
            if (case.array, case.mac_input) == (array, "registered")
            if case.period != SERIAL
        }
        assert {(extra, True), (extra - 1, False)} <= seen_at
        assert all(correct == (above >= extra) for above, correct in seen_at)


def test_a_narrow_last_tile_can_end_before_the_wide_one_ahead_of_it():
    """skip_idle with overlap: the last result is then not the last tile's."""
    later = [(c, s) for c, s in ROWS if s.correct and rtl_expected.later_full_tile(c) > 0]
    assert len({(case.dataflow, case.array) for case, _ in later}) >= 4
    for case, seen in later:
        assert seen.cycles > rtl_expected.closed_form(case)
