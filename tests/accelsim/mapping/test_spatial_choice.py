"""An array that chooses its dataflow per operator: two of the three extents of a product lie over
rows and columns, and the search says which two."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hardware_samples import candidate_of, edge_npu, random_network, workload_of
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.arch.parts import Accelerator, EnergyOptions, Scratchpad, SystolicArray
from accelsim.arch.system import System, system_of
from accelsim.design_point import evaluate
from accelsim.errors import AccelsimError, Location
from accelsim.mapping import Objective, Timing, candidates
from accelsim.mapping.fixed import FixedMapping, fixed_candidates
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.rules import ruled_candidate
from accelsim.mapping.search import exhaustive
from accelsim.mapping.space import search_space
from accelsim.multicore.run import run_system
from accelsim.parallel.tile_dag import tile_dag
from accelsim.plan import Tiling
from accelsim.sim.layers import dataflows_of
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Workload

FLOWS = st.sampled_from(
    [("ws", "os"), ("os", "ws"), ("ws", "is"), ("is", "os"), ("os", "is", "ws")]
)
OVERLAPS = st.sampled_from(["none", "full", "column"])


def several(*flows: str, rows: int = 16, cols: int = 16, overlap: str = "none") -> SystolicArray:
    return SystolicArray(rows, cols, flows[0], overlap, alternatives=flows[1:])


def products(*sizes: tuple[int, int, int]) -> Workload:
    """Products (m, n, k) with constant weights, each of an input of its own."""
    parts, inputs = [], []
    for i, (m, n, k) in enumerate(sizes):
        inputs.append(Tensor(f"x{i}", (m, k), "int8", Role.INPUT))
        made = [
            Tensor(f"p{i}.w", (n, k), "int8", Role.WEIGHT),
            Tensor(f"y{i}", (m, n), "int8", Role.OUTPUT),
        ]
        gemm = Gemm(m, k, n)
        op = Op(f"p{i}", OpKind.MATMUL, (f"x{i}",), f"y{i}", f"p{i}.w", gemm=gemm, vector_ops=m * n)
        parts.append((op, made))
    network = workload_of("products", inputs[0], parts)
    tensors = {tensor.name: tensor for tensor in inputs} | dict(network.tensors)
    outputs = tuple(op.output for op in network.ops)
    return replace(network, tensors=tensors, inputs=tuple(t.name for t in inputs), outputs=outputs)


LONG_M, LONG_N, LONG_K = (1024, 16, 16), (16, 1024, 16), (16, 16, 1024)
"""(m, n, k): what the third extent is decides which dataflow needs a single fold."""


@pytest.mark.parametrize(("size", "best"), [(LONG_M, "ws"), (LONG_N, "is"), (LONG_K, "os")])
def test_the_dataflow_that_streams_the_long_extent_wins(size, best):
    """Without overlap one fold of 1,024 cycles and a fill beats 64 folds of 16 and a fill."""
    workload = products(size)
    machine = edge_npu(array=several("ws", "os", "is"))
    op = workload.ops[0]
    found = min(candidates(op, workload, machine), key=lambda c: c.cycles)
    assert found.tiling.dataflow == best
    assert found.name.endswith(f"-{best}")
    m, n, k = size
    by_hand = {"ws": 1024 + 47, "is": 1024 + 47, "os": 1024 + 46}[best]
    array = {
        flow: accelsim.gemm_cycles(m, n, k, 16, 16, flow, "none") for flow in ("ws", "os", "is")
    }
    assert array[best] == by_hand < 2000 < min(array[flow] for flow in array if flow != best)
    whole = candidate_of(op, workload, machine, Tiling(m, n, k, dataflow=best))
    drain = -(-m * n // 16) + 8
    assert whole.compute_cycles == max(by_hand, drain) + min(by_hand, drain)


@pytest.mark.parametrize("rule", [None, "fold", "layer"])
def test_a_network_gets_for_each_operator_its_own(rule):
    workload = products(LONG_M, LONG_K)
    machine = edge_npu(array=several("os", "ws"))
    if rule is None:
        chosen = [
            min(candidates(op, workload, machine), key=lambda c: c.cycles) for op in workload.ops
        ]
    else:
        chosen = [step.candidate for step in quick_plan(workload, machine, rule).steps]
    assert [c.tiling.dataflow for c in chosen] == ["ws", "os"]


def _estimates(workload: Workload, machine: Accelerator, rule: str | None) -> list[int]:
    """Least estimated cycles per array operator, everything resident for a rule."""
    found = []
    for op in workload.ops:
        if op.gemm is not None and rule is None:
            found.append(min(c.cycles for c in candidates(op, workload, machine)))
        elif op.gemm is not None and rule is not None:
            timing, moved = Timing(machine), frozenset[str]()
            found.append(ruled_candidate(rule, op, workload, moved, machine, timing).cycles)
    return found


@given(
    st.integers(0, 200), FLOWS, OVERLAPS, st.sampled_from([(16, 16), (8, 32), (4, 6)]),
    st.sampled_from([None, "fold", "layer"]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_choice_is_never_slower_than_any_of_its_dataflows(seed, flows, overlap, sides, rule):
    workload = random_network(seed)
    rows, cols = sides

    def estimates(*chosen: str) -> list[int]:
        array = several(*chosen, rows=rows, cols=cols, overlap=overlap)
        return _estimates(workload, edge_npu(array=array), rule)

    alone = [estimates(flow) for flow in flows]
    assert estimates(*flows) == [min(found) for found in zip(*alone, strict=True)]


@given(
    st.integers(0, 200), FLOWS, OVERLAPS, st.sampled_from(["latency", "energy", "traffic"]),
    st.sampled_from([
        Scratchpad(128 * 1024), Scratchpad(9_000, ports=1, buffering=1),
        Scratchpad(60_000, width_bytes=4, banks=4, bank_ports=1),
    ]),
    st.sampled_from([None, Scratchpad(20_000)]),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_same_choice_as_the_exhaustive_search(seed, flows, overlap, objective, pad, weights):
    """With an energy table that has registers, so that they take part."""
    workload = random_network(seed)
    machine = edge_npu(
        array=several(*flows, rows=8, overlap=overlap), scratchpad=pad, weight_sram=weights,
        energy_options=EnergyOptions(fill_from=("aladdin_40nm",), scale=True),
    )  # fmt: skip
    goal = Objective(machine, objective)
    for op in workload.ops:
        if op.gemm is not None:
            assert candidates(op, workload, machine, objective) == exhaustive(
                op, workload, machine, goal
            )


def test_energy_chooses_with_the_registers_of_each_dataflow():
    """One fold of 16 x 16 x 16: os writes 16 + 32 bits per MAC and shifts every sum out, ws writes
    8 and passes every sum through 16 rows."""
    workload = products((16, 16, 16))
    machine = edge_npu(array=several("ws", "os", overlap="full"))
    op, whole = workload.ops[0], Tiling(16, 16, 16)
    found = {
        flow: candidate_of(op, workload, machine, replace(whole, dataflow=flow))
        for flow in ("ws", "os")
    }
    macs, sums, weights = 16**3, 16 * 16, 16 * 16
    # ws: streamed operand, 16 rows per sum, (16 + 1) / 2 shifts and a copy per weight.
    hops = macs * 8 + sums * 16 * 32 + weights * 17 // 2 * 8
    assert (found["ws"].register_bits, found["ws"].hop_bits) == (hops + weights * 8, hops)
    # os: both operands and the sum per MAC, (16 + 1) / 2 shifts per sum, one of them no hop.
    drained = sums * 17 // 2 * 32
    bits = macs * 16 + drained
    assert (found["os"].register_bits, found["os"].hop_bits) == (bits + macs * 32, bits - sums * 32)
    plain = candidate_of(op, workload, edge_npu(), whole)
    assert (plain.register_bits, plain.hop_bits) == (0, 0)


HERE = Location("run.yaml", 7, 3)


def test_a_fixed_dataflow_is_obeyed_even_where_it_is_slow():
    workload = products(LONG_K)
    op, machine = workload.ops[0], edge_npu(array=several("ws", "os"))
    fixed = FixedMapping(op.name, dataflow="ws")
    found = fixed_candidates(op, fixed, workload, machine, "latency")
    assert {c.tiling.dataflow for c in found} == {"ws"}
    best = min(candidates(op, workload, machine), key=lambda c: c.cycles)
    assert best.tiling.dataflow == "os"
    assert min(c.cycles for c in found) > best.cycles
    alone = fixed_candidates(op, fixed, workload, edge_npu(), "latency")
    assert alone == fixed_candidates(op, FixedMapping(op.name), workload, edge_npu(), "latency")


def test_a_dataflow_that_the_array_does_not_have_is_refused():
    workload = random_network(3)
    machine = edge_npu(array=several("ws", "os"))
    convolution, pool = workload.ops[0], next(op for op in workload.ops if op.gemm is None)
    for op, flow, why in (
        (convolution, "is", "the array has no dataflow 'is'"),
        (pool, "ws", "an operator of the vector unit has no dataflow"),
    ):
        fixed = FixedMapping(op.name, dataflow=flow, location=HERE)
        with pytest.raises(AccelsimError) as caught:
            fixed_candidates(op, fixed, workload, machine, "latency")
        (mistake,) = caught.value.mistakes
        assert (mistake.code, mistake.location) == ("M340", HERE)
        assert why in mistake.message


def test_no_part_may_take_the_first_of_several_dataflows_for_the_only_one():
    array = several("ws", "os")
    assert array.choices == ("ws", "os")
    assert array.running("os") == SystolicArray(16, 16, "os", "none")
    for unclear in ("", "is"):
        with pytest.raises(AssertionError):
            array.flow(unclear)
    alone = SystolicArray(16, 16, "os")
    assert alone.choices == ("",)
    assert alone.flow("") == alone.flow("os") == "os"


def test_the_space_counts_every_tiling_once_per_dataflow():
    workload = products(LONG_M)
    op, one, two = workload.ops[0], edge_npu(), edge_npu(array=several("ws", "os", overlap="full"))
    alone = search_space(op, workload, one, Timing(one))
    both = search_space(op, workload, two, Timing(two))
    assert (alone.dataflows, both.dataflows) == (1, 2)
    assert (both.tilings, both.mappings) == (2 * alone.tilings, 2 * alone.mappings)


def test_dynamic_tiles_take_the_faster_dataflow():
    workload = products(LONG_M, LONG_K)

    def cycles(*flows: str) -> list[int]:
        made = tile_dag(workload, edge_npu(array=several(*flows)), tiles=1)
        return [tile.work for tile in made.tiles]

    assert cycles("ws", "os") == [
        min(both) for both in zip(cycles("ws"), cycles("os"), strict=True)
    ]


def test_a_design_point_gains_by_rule():
    workload = products(LONG_M, LONG_K)

    def cycles(*flows: str) -> int:
        return evaluate(workload, edge_npu(array=several(*flows)), rule="layer").cycles

    assert cycles("ws", "os") < min(cycles("ws"), cycles("os"))


def test_every_core_chooses_for_its_own_parts():
    workload = products(LONG_M, LONG_K)
    system = system_of(edge_npu(array=several("os", "ws"), cores=2))
    program = run_system(workload, system, rule="layer").program
    arrays = dict(enumerate(core.array for core in system.cores))
    assert dataflows_of(program, arrays) == {"p0": "ws", "p1": "os"}


def test_unequal_cores_may_have_a_choice_or_none():
    """What runs on the core without one is shown as what that core does."""
    workload = products(LONG_M, LONG_K, LONG_M, LONG_K)
    cores = (edge_npu(array=several("os", "ws")), edge_npu(array=several("is")))
    run = run_system(workload, System("two", cores), rule="layer")
    shown = dataflows_of(run.program, dict(enumerate(core.array for core in cores)))
    used = {name for names in shown.values() for name in names.split(", ")}
    assert shown.keys() == {op.name for op in workload.ops}
    assert used <= {"ws", "os", "is"}
    busy = {part.core for part in run.assignment.parts}
    assert ("is" in used) == (1 in busy)


def test_a_rule_takes_a_slower_dataflow_where_the_faster_one_does_not_fit():
    """os holds all of k for its rows and columns, ws a fold of it: 4,096 values of each operand in
    two slots are too much for 64 KiB."""
    workload = products((16, 16, 4096))
    small = edge_npu(array=several("os", "ws"), scratchpad=Scratchpad(64 * 1024))
    (step,) = quick_plan(workload, small, "fold").steps
    assert step.candidate.tiling == Tiling(16, 16, 16, dataflow="ws")
    roomy = edge_npu(array=several("os", "ws"), scratchpad=Scratchpad(512 * 1024))
    assert quick_plan(workload, roomy, "fold").steps[0].candidate.tiling.dataflow == "os"
