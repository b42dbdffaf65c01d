"""The checkers accept good plans and catch every kind of corruption."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ilp_graphs import DIAMOND, SIAMESE, graph

import ilp
from ilp import Buffer, Mode, Op, PlanError, Problem

PROBLEM = graph(*DIAMOND, 10)
GOOD = ilp.schedule(PROBLEM)


def with_step(schedule, number, **changes):
    steps = list(schedule.steps)
    steps[number] = replace(steps[number], **changes)
    return replace(schedule, steps=tuple(steps))


def resident(number, **changes):
    table = {**GOOD.steps[number].resident, **changes}
    return {name: address for name, address in table.items() if address is not None}


CORRUPTIONS = {
    "stores 'x', which is not resident": with_step(GOOD, 1, stores=("x",)),
    "stores 'x' a second time": with_step(GOOD, 2, stores=("x",)),
    "loads 'x', which has no DRAM copy": with_step(GOOD, 0, stores=()),
    "resident without having been made or loaded": with_step(GOOD, 2, loads=()),
    "is loaded twice": with_step(GOOD, 2, loads=("x", "x")),
    "loads 'b', which is resident already": with_step(GOOD, 2, loads=("x", "b")),
    "pays for the first use of graph input 'x'": with_step(GOOD, 0, loads=("x",)),
    "loads 'y', but it is not resident": with_step(GOOD, 1, loads=("y",)),
    "'b' is resident without": with_step(GOOD, 0, resident=resident(0, b=8)),
    "input 'x' is not resident": with_step(GOOD, 0, resident=resident(0, x=None)),
    "output 'y' is not resident": with_step(GOOD, 2, resident=resident(2, y=None)),
    "'b' moves from": with_step(GOOD, 2, resident=resident(2, b=6)),
    "overlaps": with_step(GOOD, 0, resident=resident(0, x=3, a=0)),
    "leaves the capacity of 10": with_step(GOOD, 0, resident=resident(0, x=7)),
    "keeps unknown tensor 'q'": with_step(GOOD, 0, resident=resident(0, q=9)),
    "runs 0 times": replace(GOOD, steps=GOOD.steps[:2]),
    "reads 'a' before it is produced": replace(GOOD, steps=(*GOOD.steps[1:], GOOD.steps[0])),
    "is not in the problem": with_step(GOOD, 0, op=99),
    "no mode 'fast'": with_step(GOOD, 0, mode="fast"),
    "the replay costs 8": replace(GOOD, cost=7, lower_bound=7),
    "the replay moves 8": replace(GOOD, traffic_bytes=0),
    "the highest address in use": replace(GOOD, peak_bytes=9),
    "max_live_bytes is 9": replace(GOOD, max_live_bytes=9),
    "m_r_bytes is 0": replace(GOOD, m_r_bytes=0),
    "optimal, but cost 8 is not the bound 3": replace(GOOD, lower_bound=3),
    "lower bound 9 above the cost": replace(GOOD, status="feasible", lower_bound=9),
    "unknown status 'done'": replace(GOOD, status="done"),
    "status unknown with steps": replace(GOOD, status="unknown"),
    "does not agree with the reason": replace(GOOD, status="infeasible", steps=()),
    "a schedule without steps": replace(GOOD, steps=()),
}


def test_the_good_plan_passes():
    ilp.check_schedule(PROBLEM, GOOD)


@pytest.mark.parametrize("message", CORRUPTIONS)
def test_corrupted_schedules_are_caught(message):
    with pytest.raises(PlanError) as caught:
        ilp.check_schedule(PROBLEM, CORRUPTIONS[message])
    assert any(message in violation for violation in caught.value.violations)


def test_given_order_is_checked():
    problem = graph(*SIAMESE, 12)
    free = ilp.schedule(problem)
    assert free.order != tuple(range(5))
    with pytest.raises(PlanError, match="given order"):
        ilp.check_schedule(replace(problem, order="given"), free)


def streaming():
    mode = Mode("s", 8, 4, 1, frozenset("a"))
    ops = (Op(0, (), ("a",), (mode,)), Op(1, ("a",), ("b",), (mode,)))
    return Problem({"a": 4, "b": 4}, ops, (), (), 16)


def test_streams_and_workspaces_are_checked():
    problem = streaming()
    good = ilp.schedule(problem)
    assert good.cost == 2
    first, second = good.steps
    # The workspace of step 1 begins with 4 bytes that already live in step 0.
    clash = with_step(good, 1, workspace_address=first.workspace_address)
    with pytest.raises(PlanError, match="next prefetch"):
        ilp.check_schedule(problem, clash)
    over_b = with_step(good, 1, workspace_address=second.resident["b"])
    with pytest.raises(PlanError, match="overlaps"):
        ilp.check_schedule(problem, over_b)
    ghost = with_step(good, 1, resident={**second.resident, "a": 12})
    with pytest.raises(PlanError, match="'a' is resident without"):
        ilp.check_schedule(problem, ghost)
    resident_only = replace(problem, ops=(Op(0, (), ("a",), (Mode("s"),)), problem.ops[1]))
    with pytest.raises(PlanError, match="streams 'a', which has no DRAM copy"):
        ilp.check_schedule(resident_only, good)


def test_alignment_of_addresses_is_checked():
    problem = graph(*DIAMOND, 48, alignment=16)
    good = ilp.schedule(problem)
    table = {name: address + 1 for name, address in good.steps[0].resident.items()}
    with pytest.raises(PlanError, match="not aligned to 16"):
        ilp.check_schedule(problem, with_step(good, 0, resident=table))


BUFFERS = (Buffer("a", 0, 2, 4), Buffer("b", 1, 3, 4), Buffer("c", 2, 4, 4))
PLACED = ilp.place(BUFFERS, 8)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("overlap", {"offsets": {"a": 0, "b": 2, "c": 0}, "peak": 6}),
        ("leaves the capacity", {"offsets": {"a": 0, "b": 5, "c": 0}, "peak": 9}),
        ("leaves the capacity", {"offsets": {"a": -4, "b": 4, "c": 0}}),
        ("has no offset", {"offsets": {"a": 0, "b": 4}}),
        ("unknown buffer 'z'", {"offsets": {"a": 0, "b": 4, "c": 0, "z": 0}}),
        ("peak is 7", {"peak": 7}),
        ("lower_bound 4 is not 8", {"lower_bound": 4}),
        ("unknown status", {"status": "fine"}),
        ("with offsets", {"status": "infeasible"}),
    ],
)
def test_corrupted_placements_are_caught(message, changes):
    ilp.check_placement(BUFFERS, PLACED, 8)
    with pytest.raises(PlanError, match=message):
        ilp.check_placement(BUFFERS, replace(PLACED, **changes), 8)


def test_a_long_buffer_over_several_short_ones_is_caught():
    buffers = (Buffer("long", 0, 9, 9), Buffer("s", 0, 1, 1), Buffer("t", 5, 6, 1))
    bad = replace(ilp.place(buffers, 10), offsets={"long": 0, "s": 9, "t": 4}, peak=10)
    with pytest.raises(PlanError, match="'long' and 't' overlap"):
        ilp.check_placement(buffers, bad, 10)
