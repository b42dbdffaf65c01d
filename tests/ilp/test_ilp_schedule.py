"""Schedules with known optima: the published unit cases, modes, streams, prefetch, traps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ilp_graphs import CHAIN, DIAMOND, EIGHT, SIAMESE, graph, resnet20

import ilp
from accelsim.errors import AccelsimError
from ilp import Mode, Op, Problem

SOLVERS = ("cpsat", "cbc", "highs")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("case", "capacity", "m_r", "peak", "optimum"),
    [
        (CHAIN, 8, 8, 8, 0),
        (DIAMOND, 10, 10, 12, 8),
        (DIAMOND, 11, 10, 12, 8),
        (DIAMOND, 12, 10, 12, 0),
        (SIAMESE, 11, 11, 21, 4),
        (SIAMESE, 12, 11, 21, 0),
        (EIGHT, 9, 9, 42, 0),
    ],
)
def test_unit_cases(case, capacity, m_r, peak, optimum, solver):
    result = ilp.schedule(graph(*case, capacity), solver=solver)
    assert (result.status, result.cost, result.lower_bound) == ("optimal", optimum, optimum)
    assert (result.m_r_bytes, result.default_peak_bytes) == (m_r, peak)
    assert result.traffic_bytes == optimum
    assert result.peak_bytes <= capacity


@pytest.mark.parametrize(("case", "m_r"), [(CHAIN, 8), (DIAMOND, 10), (SIAMESE, 11), (EIGHT, 9)])
def test_below_m_r_is_infeasible_and_says_why(case, m_r):
    result = ilp.schedule(graph(*case, m_r - 1))
    assert result.status == "infeasible"
    assert result.m_r_bytes == m_r
    reason = result.infeasibility
    assert (reason.demand, reason.limit, reason.gap) == (m_r, m_r - 1, 1)
    assert reason.levers[0] == f"a capacity of at least {m_r} bytes"
    assert sum(amount for _, amount in reason.terms) == m_r
    # The second lever names a capacity that is enough: it must be.
    enough = int(reason.levers[1].removeprefix("a capacity of ").split()[0])
    assert ilp.schedule(graph(*case, enough)).steps


@pytest.mark.parametrize("solver", SOLVERS)
def test_dropped_input_is_stored_and_reloaded_unless_clean(solver):
    stored = ilp.schedule(graph(*DIAMOND, 10), solver=solver)
    clean = ilp.schedule(graph(*DIAMOND, 10, inputs_clean=True), solver=solver)
    charged = graph(*DIAMOND, 10, inputs_clean=True, charge_inputs=True)
    assert (stored.cost, clean.cost) == (8, 4)
    assert [step.stores for step in stored.steps] == [("x",), (), ()]
    assert [step.loads for step in stored.steps] == [(), (), ("x",)]
    assert [step.stores for step in clean.steps] == [(), (), ()]
    assert ilp.schedule(charged, solver=solver).cost == 8


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_owed_graph_output_is_stored_or_streamed_and_paid_once(solver):
    case = graph({"x": 4, "y": 3}, [("x", "y")], "x", 7)
    assert ilp.schedule(case, solver=solver).cost == 0
    owed = replace(case, graph_outputs=("y",), charge_outputs=True)
    result = ilp.schedule(owed, solver=solver)
    assert (result.status, result.cost, result.steps[0].stores) == ("optimal", 3, ("y",))
    stream = Mode("stream", cost=2, streamed=frozenset("y"))
    streaming = replace(owed, ops=(replace(owed.ops[0], modes=(Mode(), stream)),))
    result = ilp.schedule(streaming, solver=solver)
    assert (result.cost, result.steps[0].mode, result.steps[0].stores) == (2, "stream", ())


def test_a_tensor_read_twice_by_one_operator_counts_once():
    twice = graph({"x": 4, "y": 2}, [("xx", "y")], "x", 6)
    result = ilp.schedule(twice)
    assert (result.status, result.m_r_bytes, result.max_live_bytes) == ("optimal", 6, 6)


def test_nothing_is_resident_before_it_is_made():
    # Without a base case at step 0, y could be kept from the start and x never be on chip.
    result = ilp.schedule(graph({"x": 8, "y": 1}, [("", "x"), ("x", "y")], "", 8))
    assert result.status == "infeasible"


def test_a_tensor_may_stay_across_operators_that_do_not_use_it():
    case = ({"x": 5, "a": 1, "b": 1, "y": 1}, [("x", "a"), ("a", "b"), ("bx", "y")], "x")
    assert ilp.schedule(graph(*case, 7)).cost == 0


def test_empty_and_sizeless_problems():
    assert ilp.schedule(graph({}, [], (), 0)).status == "optimal"
    result = ilp.schedule(graph({"a": 0, "b": 0}, [("", "a"), ("a", "b")], (), 0))
    assert (result.status, result.peak_bytes) == ("optimal", 0)


def test_alignment_rounds_what_a_tensor_occupies_but_not_what_it_costs():
    aligned = graph(*DIAMOND, 48, alignment=16)
    result = ilp.schedule(aligned)
    assert (result.m_r_bytes, result.max_live_bytes, result.cost) == (48, 48, 0)
    assert all(a % 16 == 0 for step in result.steps for a in step.resident.values())
    assert ilp.schedule(replace(aligned, capacity=47)).status == "infeasible"


def test_given_order_is_kept_and_can_cost_more():
    assert ilp.schedule(graph(*EIGHT, 9)).cost == 0
    given = ilp.schedule(graph(*EIGHT, 9, order="given"))
    assert given.order == tuple(range(16))
    # M1..M8, then F1..F8, in 9 bytes: M2 and F2 need all 9, and every tensor lives across one of
    # them, so all 42 bytes go out and come back.
    assert (given.status, given.cost) == ("optimal", 84)


def test_own_costs_replace_bytes():
    table = {"x": 3, "a": 9, "b": 9, "y": 9}
    dear = graph(*DIAMOND, 10, store_cost=table, load_cost={**table, "x": 5})
    result = ilp.schedule(dear)
    assert (result.cost, result.traffic_bytes) == (8, 8)
    assert ilp.schedule(replace(dear, load_cost=dict.fromkeys("xaby", 0))).cost == 3


def one_op(*modes, **settings):
    return Problem({"x": 4, "y": 4}, (Op("f", ("x",), ("y",), modes),), ("x",), ("y",), **settings)


def test_the_cheapest_mode_that_fits_is_taken():
    modes = (Mode("small", 2, 0, 9), Mode("large", 8, 0, 3))
    assert ilp.schedule(one_op(*modes, capacity=16)).steps[0].mode == "large"
    small = ilp.schedule(one_op(*modes, capacity=15))
    assert (small.steps[0].mode, small.cost, small.m_r_bytes) == ("small", 9, 10)
    # The prefetch of the first operator has no step before it.
    early = ilp.schedule(one_op(Mode("early", 8, 8, 1), capacity=16))
    assert early.status == "optimal"


def test_streamed_input_needs_a_copy_in_dram():
    mode = Mode("stream", 0, 0, 1, frozenset("x"))
    assert ilp.schedule(one_op(mode, capacity=4, inputs_clean=True)).cost == 1
    # Not clean: x would have to be stored before the only step there is.
    assert ilp.schedule(one_op(mode, capacity=64)).status == "infeasible"


@pytest.mark.parametrize("solver", SOLVERS)
def test_streamed_output_stays_off_chip_and_can_be_loaded_later(solver):
    ops = (
        Op(0, (), ("a",), (Mode("wide", 6, 0, 5, frozenset("a")), Mode("tight", 6, 0, 0))),
        Op(1, ("a",), ("b",)),
        Op(2, ("a", "b"), ("c",)),
    )
    problem = Problem({"a": 4, "b": 2, "c": 1}, ops, (), (), 9, order="given")
    result = ilp.schedule(problem, solver=solver)
    # "tight" needs 10 bytes, so a is streamed out (5) and loaded once (4) for both readers.
    assert (result.status, result.cost) == ("optimal", 9)
    assert [step.loads for step in result.steps] == [(), ("a",), ()]
    assert all(not step.stores for step in result.steps)
    assert "a" not in result.steps[0].resident


@pytest.mark.parametrize("solver", SOLVERS)
def test_streaming_a_spilled_tensor_pays_its_store(solver):
    read = (Mode("stream", 0, 0, 1, frozenset("x")), Mode("whole"))
    ops = (Op(0, ("x",), ("a",)), Op(1, ("a",), ("b",)), Op(2, ("b", "x"), ("y",), read))
    problem = Problem({"x": 4, "a": 4, "b": 4, "y": 4}, ops, ("x",), (), 8)
    result = ilp.schedule(problem, solver=solver)
    assert (result.status, result.cost) == ("optimal", 5)  # store of x 4, streaming mode 1
    assert result.steps[0].stores == ("x",)
    assert ilp.schedule(replace(problem, inputs_clean=True), solver=solver).cost == 1


def test_prefetch_takes_room_in_the_step_before():
    late, early = Mode("late", 4, 0, 7), Mode("early", 4, 4, 1)
    ops = (Op(0, (), ("a",), (Mode("w", 4),)), Op(1, ("a",), ("b",), (late, early)))
    problem = Problem({"a": 2, "b": 2}, ops, (), (), 10)
    assert ilp.schedule(problem).cost == 1  # a 2 + workspace 4 + prefetch 4 in the first step
    result = ilp.schedule(replace(problem, capacity=9))
    assert (result.cost, result.steps[1].mode) == (7, "late")
    only = (ops[0], replace(ops[1], modes=(early,)))
    refuted = ilp.schedule(replace(problem, ops=only, capacity=9))
    assert refuted.status == "infeasible"
    assert (refuted.m_r_bytes, refuted.infeasibility.demand) == (8, 10)
    assert "a capacity of 10 bytes is enough" in refuted.infeasibility.levers


def fragmented(*extra):
    """Live bytes never exceed 8, but the prefetched workspaces cannot be placed in 8.

    Step 0 is full with workspace 4, t0 and the prefetch of 3; step 1 with t0, t1, workspace 4
    around that prefetch, and 1 of step 2, whose 4 bytes then find no 4 free ones in a row.
    """
    ops = (
        Op(0, (), ("t0",), (Mode("p", 4, 0),)),
        Op(1, ("t0",), ("t1",), (Mode("p", 4, 3),)),
        Op(2, ("t0",), ("t2",), (Mode("p", 4, 1), *extra)),
    )
    return Problem({"t0": 1, "t1": 2, "t2": 2}, ops, (), (), 8, order="given")


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_cannot_be_placed_is_cut_off_with_a_proof(solver):
    refuted = ilp.schedule(fragmented(), solver=solver)
    assert refuted.status == "infeasible"
    assert any("cut off" in note for note in refuted.notes)
    result = ilp.schedule(fragmented(Mode("late", 4, 0, 5)), solver=solver)
    assert (result.status, result.cost) == ("optimal", 5)
    assert ilp.schedule(replace(fragmented(), capacity=9), solver=solver).status == "optimal"


@pytest.mark.parametrize("capacity", [131072, 32768, 24576])
def test_resnet20_with_modes_is_proved_optimal_and_reproducible(capacity):
    problem = resnet20(capacity)
    result = ilp.schedule(problem)
    assert result.status == "optimal"
    assert result.peak_bytes <= capacity
    assert ilp.schedule(problem) == result


def test_solvers_agree_on_a_small_network_with_modes():
    problem = resnet20(40000, variants=2)
    costs = {solver: ilp.schedule(problem, solver=solver) for solver in SOLVERS}
    assert {result.status for result in costs.values()} == {"optimal"}
    assert len({result.cost for result in costs.values()}) == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_running_out_of_effort_never_reads_as_infeasible(solver):
    problem = resnet20(24576, variants=2)
    result = ilp.schedule(problem, solver=solver, effort=1e-9)
    assert result.status in ("optimal", "feasible", "unknown")
    assert result.lower_bound >= 0


def test_a_problem_too_large_for_a_free_order_is_solved_along_one_order(monkeypatch):
    monkeypatch.setattr("ilp.scheduler._MAX_TERMS", 10)
    result = ilp.schedule(graph(*SIAMESE, 11))
    assert result.status == "feasible"
    assert (result.cost, result.lower_bound <= 4) == (4, True)
    assert any("one order" in note for note in result.notes)


@pytest.mark.parametrize(
    "settings", [{"solver": "gurobi"}, {"effort": 0.0}, {"effort": float("inf")}, {"seed": -1}]
)
def test_bad_settings_are_user_mistakes(settings):
    with pytest.raises(AccelsimError) as caught:
        ilp.schedule(graph(*CHAIN, 8), **settings)
    assert caught.value.mistakes[0].code == "S400"


def test_seed_zero_and_other_seeds_find_the_same_optimum():
    costs = {ilp.schedule(graph(*SIAMESE, 11), seed=seed).cost for seed in (0, 1, 7)}
    assert costs == {4}
