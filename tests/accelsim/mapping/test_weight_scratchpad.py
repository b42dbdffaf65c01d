"""A split scratchpad: weights and biases in a memory with addresses and capacity of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad, SystolicArray
from accelsim.config.types import ScheduleConfig
from accelsim.errors import InfeasibleError
from accelsim.execution import capacities, executed
from accelsim.lower import lower
from accelsim.mapping import Objective, Timing, candidates, require_legal, workspace
from accelsim.mapping.layout import TileSizes, array_layout
from accelsim.mapping.orders import Fills
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.search import exhaustive
from accelsim.mapping.tiles import TileShape
from accelsim.mapping.weight_places import arriving_late, fitting_weights, place_weights
from accelsim.plan import Candidate, MemoryPlan, Step, Tiling
from accelsim.sim.addresses import check_addresses
from accelsim.sim.check import TraceError, check_placement
from accelsim.sim.exposure import exposures
from accelsim.sim.overtaking import Overtaking
from accelsim.sim.trace_file import dump_folded, load_folded
from accelsim.stages.memory import plan_memory

sys.path.insert(0, str(Path(__file__).parent))
from hardware_samples import edge_npu, one_conv, random_network, resnet20

GIVEN = ScheduleConfig(order="given", effort=2)
CONSTANT = ("weight", "bias")


def split_npu(size: int = 24_000, **changes: object):
    own = Scratchpad(size, alignment_bytes=64, width_bytes=16, buffering=2)
    return edge_npu(weight_sram=own, **changes)


# --- layout -------------------------------------------------------------------------------------


def test_constants_have_a_workspace_of_their_own() -> None:
    """Alignment and slots are those of the memory that a buffer lies in."""
    sizes, fills = TileSizes(a=100, b=70, bias=8, out=40), Fills(9, 9, 9, 9, 1, 1, 1)
    own = Scratchpad(4096, alignment_bytes=64, buffering=3)
    how = {"stream_a": True, "stream_b": False, "stream_out": True}
    found = array_layout(sizes, fills, 16, **how, constant=True, weights=own)
    places = [(b.role, b.slot, b.offset) for b in found.buffers if b.weights]
    assert places == [
        ("b", 0, 0), ("bias", 0, 128), ("b", 1, 192), ("bias", 1, 320),
        ("b", 2, 384), ("bias", 2, 512),
    ]  # fmt: skip
    assert (found.weight_bytes, found.prefetchable) == (576, 192)
    rest = [(b.role, b.slot, b.offset) for b in found.buffers if not b.weights]
    assert rest == [("a", 0, 0), ("a", 1, 112), ("out", 0, 224), ("out", 1, 272)]
    assert found.bytes == 320
    turned = found.reversed_weights(64)
    assert [b.offset for b in turned.buffers if b.weights] == [448, 384, 256, 192, 64, 0]
    assert [b.offset for b in turned.buffers if not b.weights] == [0, 112, 224, 272]


def test_a_second_activation_is_no_weight_but_its_bias_is() -> None:
    sizes, fills = TileSizes(a=100, b=70, bias=8, out=40), Fills(9, 9, 9, 9, 1, 1, 1)
    how = {"stream_a": False, "stream_b": True, "stream_out": False}
    found = array_layout(sizes, fills, 16, **how, constant=False, weights=Scratchpad(4096))
    assert {(b.role, b.weights) for b in found.buffers} == {("b", False), ("bias", True)}
    assert found.prefetchable == 0


def test_each_half_has_a_port_of_its_own() -> None:
    """16 x 16 outputs over 64 reductions, output stationary: 1,024 bytes of each operand and 64 of
    bias. Through 8 and 2 bytes per cycle that takes 128 cycles and (1,024 + 64) / 2."""
    shape = TileShape(16, 16, 64, 1, 1, 1, 64, True)
    array = SystolicArray(16, 16, "os", "none")
    pad, own = Scratchpad(1 << 16, width_bytes=8), Scratchpad(1 << 16, width_bytes=2)
    work = Timing(edge_npu(array=array, scratchpad=pad, weight_sram=own)).array(shape)
    assert (work.cycles, work.sram_read_bytes, work.weight_read_bytes) == (544, 2_112, 1_088)
    # A second operand that is an activation comes through the scratchpad's.
    both = Timing(edge_npu(array=array, scratchpad=pad, weight_sram=own)).array(
        replace(shape, constant=False)
    )
    assert (both.cycles, both.weight_read_bytes) == (256, 64)
    one = Timing(edge_npu(array=array, scratchpad=pad)).array(shape)
    assert (one.cycles, one.weight_read_bytes) == (264, 0)


# --- places over the steps ----------------------------------------------------------------------


def held(size: int, early: int, cycles: int = 10) -> Step:
    candidate = Candidate(
        "c", Tiling(1, 1, 1), frozenset(), 0, 0, 0, 0, cycles, 0, weight_buffer_bytes=size,
        weight_prefetch_bytes=early, late_cycles=cycles + 5 if early else 0,
    )  # fmt: skip
    return Step("op", candidate)


def test_steps_take_turns_from_below_and_from_above() -> None:
    found = place_weights([held(60, 20), held(50, 30), held(70, 10), held(0, 0)], Scratchpad(100))
    assert found.peak_bytes == 90  # 60 and the 30 that come early
    assert [(s.weight_buffer_address, s.weights_downward) for s in found.steps] == [
        (0, False), (40, True), (0, False), (90, True),
    ]  # fmt: skip
    assert found.notes == ()


def test_weights_that_do_not_fit_beside_those_before_come_late_and_it_is_said() -> None:
    found = place_weights([held(80, 20), held(50, 30), held(60, 50)], Scratchpad(100))
    assert [s.candidate.weight_prefetch_bytes for s in found.steps] == [20, 0, 50]
    late = found.steps[1].candidate
    assert late == arriving_late(held(50, 30).candidate)
    assert (late.name, late.cycles, late.early) == ("c-noprefetch", 15, False)
    assert found.peak_bytes == 100
    assert len(found.notes) == 1
    assert "first weights of one operator do not fit" in found.notes[0]


@given(
    st.lists(st.integers(0, 40).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, w)))),
    st.integers(40, 80),
)
def test_no_placement_is_lower_and_nothing_overlaps(sizes, capacity) -> None:
    found = place_weights([held(w, p) for w, p in sizes], Scratchpad(capacity))
    demands, last = [0], (0, 0)
    for step, (size, early) in zip(found.steps, sizes, strict=True):
        low, high = step.weight_buffer_address, step.weight_buffer_address + size
        assert 0 <= low <= high <= found.peak_bytes <= capacity
        kept = step.candidate.weight_prefetch_bytes
        assert kept == (early if last[1] - last[0] + early <= capacity else 0)
        first = (high - kept, high) if step.weights_downward else (low, low + kept)
        assert not kept or first[1] <= last[0] or last[1] <= first[0]
        demands += [size, last[1] - last[0] + kept]
        last = low, high
    assert found.peak_bytes == max(demands)


def test_a_smaller_tile_that_lets_the_next_one_be_early_is_preferred() -> None:
    """Beside 80 of 100 bytes the next 30 have to wait for 5 cycles; for 2 cycles more there is a
    way with 60."""
    large, small = held(80, 20, 10).candidate, held(60, 20, 12).candidate
    after = held(50, 30, 7).candidate
    columns = {"op": {"large": large, "small": small}, "next": {"after": after}}
    steps = [Step("op", large), Step("next", after)]

    def chosen(slower: int) -> list[Candidate]:
        columns["op"]["small"] = replace(small, cycles=10 + slower)
        found = fitting_weights(steps, columns, Scratchpad(100), lambda c: (c.cycles,))
        return [step.candidate for step in found]

    assert chosen(2) == [replace(small, cycles=12), after]
    assert chosen(6) == [large, after]


WAYS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9)),
    min_size=1, max_size=4,
)  # fmt: skip


@given(st.lists(WAYS, max_size=5), st.integers(50, 90))
def test_the_ways_of_all_steps_are_the_best_of_all_combinations(drawn, capacity) -> None:
    columns = {
        f"op{at}": {
            str(i): replace(
                held(size, min(size, early), cycles).candidate, late_cycles=cycles + more
            )
            for i, (size, early, cycles, more) in enumerate(ways)
        }
        for at, ways in enumerate(drawn)
    }
    steps = [Step(op, next(iter(ways.values()))) for op, ways in columns.items()]
    memory = Scratchpad(capacity)

    def cycles(ways: Sequence[Candidate]) -> int:
        placed = place_weights([Step("op", way) for way in ways], memory)
        return sum(step.candidate.cycles for step in placed.steps)

    found = fitting_weights(steps, columns, memory, lambda c: (c.cycles,))
    assert [step.op for step in found] == list(columns)
    every = product(*(ways.values() for ways in columns.values()))
    assert cycles([step.candidate for step in found]) == min(map(cycles, every))


# --- search -------------------------------------------------------------------------------------


@given(st.integers(0, 200), st.sampled_from([600, 2_000, 9_000, 60_000]))
@settings(max_examples=25, deadline=None)
def test_what_is_offered_fits_both_memories_and_is_laid_out_as_it_says(seed, size) -> None:
    workload, machine = random_network(seed), split_npu(size)
    for op in workload.ops:
        found = candidates(op, workload, machine)
        if found[0].weight_buffer_bytes > size:  # the smallest one, to be refused
            with pytest.raises(InfeasibleError, match="weight scratchpad"):
                require_legal(op, found, workload, machine)
            assert found == exhaustive(op, workload, machine, Objective(machine, "latency"))
            continue
        for c in found:
            layout = workspace(op, workload, machine, c)
            assert (layout.bytes, layout.weight_bytes) == (c.buffer_bytes, c.weight_buffer_bytes)
            assert c.buffer_bytes <= machine.scratchpad.bytes
            assert c.weight_buffer_bytes <= size
            assert c.prefetch_bytes == 0
            assert c.early == (layout.prefetchable > 0 and "noprefetch" not in c.name)
            assert not c.early or c.late_cycles >= c.cycles


def test_what_fits_no_weight_scratchpad_says_which_memory_is_too_small() -> None:
    workload, machine = one_conv(), split_npu(256)
    op = workload.ops[0]
    with pytest.raises(InfeasibleError) as caught:
        require_legal(op, candidates(op, workload, machine), workload, machine)
    found = caught.value.infeasibility
    assert "does not fit the weight scratchpad" in found.statement
    assert found.limit == 256 < found.demand
    assert found.demand <= sum(size for _, size in found.terms)
    assert f"a weight scratchpad of at least {found.demand} bytes" in found.levers
    enough = split_npu(found.demand)
    require_legal(op, candidates(op, workload, enough), workload, enough)
    with pytest.raises(InfeasibleError, match=r"rule 'fold'.*do not fit the weight scratchpad"):
        quick_plan(workload, machine, "fold")


# --- plans, executed and checked ----------------------------------------------------------------


@given(st.integers(0, 200), st.sampled_from([2_600, 4_000, 60_000]), st.sampled_from(["ws", "os"]))
@settings(max_examples=12, deadline=None)
def test_plans_pass_every_check_and_keep_weights_apart(seed, size, dataflow) -> None:
    workload = random_network(seed)
    machine = split_npu(size, array=SystolicArray(8, 8, dataflow, "none"))
    least = max(
        min(c.weight_buffer_bytes for c in candidates(op, workload, machine)) for op in workload.ops
    )
    if least > size:
        with pytest.raises(InfeasibleError, match="weight scratchpad"):
            plan_memory(workload, machine, objective="latency", schedule=GIVEN)
        return
    plan = plan_memory(workload, machine, objective="latency", schedule=GIVEN)
    done = executed(workload, machine, plan, exact_events=True)
    where = {(v.structure, v.kind) for v in done.trace.graph.values}
    assert {s for s, kind in where if kind in CONSTANT} == {"weight_scratchpad"}
    assert {kind for s, kind in where if s == "scratchpad"} == {"activation"}
    tops = [v.address + v.bytes for v in done.trace.graph.values if v.kind in CONSTANT]
    aligned = plan.weight_peak_bytes
    assert aligned - 64 < max(tops) <= aligned <= size
    assert load_folded(dump_folded(done.folded)) == done.folded


@pytest.fixture(scope="module")
def planned() -> tuple[MemoryPlan, object]:
    machine = split_npu(9_000)
    return plan_memory(resnet20(), machine, objective="latency", schedule=GIVEN), machine


def test_first_weights_arrive_while_the_operator_before_computes(planned) -> None:
    """And without that, the same plan is slower."""
    plan, machine = planned
    workload = resnet20()
    early = [step for step in plan.steps if step.candidate.early]
    assert len(early) > 15
    late = replace(
        plan,
        steps=tuple(
            replace(s, candidate=arriving_late(s.candidate) if s.candidate.early else s.candidate)
            for s in plan.steps
        ),
    )
    cycles = [executed(workload, machine, one).cycles for one in (plan, late)]
    assert cycles[0] < cycles[1]
    program = lower(workload, machine, plan)
    watch = Overtaking(program)
    found = [value for number in range(len(program.blocks)) for value in watch.block(number)]
    assert {value.structure for value in found} == {"weight_scratchpad"}
    assert {value.behind for value in found} == {1}


def test_early_weights_in_the_way_of_those_before_are_found_by_both_checks(planned) -> None:
    """By step at any size, and by the cycle."""
    plan, machine = planned
    low = [replace(s, weight_buffer_address=0, weights_downward=False) for s in plan.steps]
    wrong = replace(plan, steps=tuple(low))
    with pytest.raises(TraceError, match=r"may overwrite .* of the step before"):
        check_addresses(lower(resnet20(), machine, wrong), capacities(machine))
    flat = _unchecked(wrong, machine)
    with pytest.raises(TraceError, match="overlap at cycle"):
        check_placement(flat, structure="weight_scratchpad", capacity=9_000)


def test_weights_beyond_the_end_of_their_memory_are_found(planned) -> None:
    plan, machine = planned
    high = [replace(s, weight_buffer_address=8_900) for s in plan.steps]
    wrong = replace(plan, steps=tuple(high))
    with pytest.raises(TraceError, match="outside of weight_scratchpad"):
        check_addresses(lower(resnet20(), machine, wrong), capacities(machine))


def _unchecked(plan: MemoryPlan, machine):
    from accelsim.sim.expand import unfold
    from accelsim.sim.steady import run_program

    return unfold(run_program(lower(resnet20(), machine, plan)))


def test_a_plan_by_rule_keeps_to_the_slots_of_both_memories() -> None:
    workload = resnet20()
    for size in (4_000, 20_000, 100_000):
        machine = split_npu(size)
        plan = quick_plan(workload, machine)
        done = executed(workload, machine, plan)
        assert plan.weight_peak_bytes <= size
        assert {e.structure for e in exposures(done.trace) if e.kind in CONSTANT} == {
            "weight_scratchpad"
        }
