"""Lowering: what a task graph must conserve, whatever the plan."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Dma, Scratchpad, SystolicArray
from accelsim.lower import lower, plan_traffic
from accelsim.mapping import candidates, workspace
from accelsim.mapping.orders import ORDERS
from accelsim.mapping.tiles import array_op
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.sim.check import check_placement, check_trace
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand
from accelsim.taskgraph import TaskGraph, TaskKind
from accelsim.workload.graph import Workload

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import (
    REGION,
    add_op,
    candidate_of,
    conv_op,
    edge_npu,
    image,
    one_conv,
    random_network,
    random_plan,
    resnet20,
    workload_of,
)
from loop_nest import array_tiles

FLOWS = [("ws", "full"), ("os", "none"), ("is", "preload")]


def _total(graph: TaskGraph, field: str) -> int:
    return sum(getattr(task, field) for task in graph.tasks)


def _plan(workload: Workload, *steps: Step) -> MemoryPlan:
    plan = MemoryPlan(steps, 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")
    return replace(plan, traffic_bytes=sum(plan_traffic(workload, plan)))


def _machine(seed: int, flow: int):
    dataflow, overlap = FLOWS[flow]
    return edge_npu(
        array=SystolicArray(8, 4, dataflow, overlap),
        accumulators=AccumulatorSram([1 << 10, 1 << 14][seed % 2], [None, 8][seed // 2 % 2]),
        scratchpad=Scratchpad([1 << 20, 6000][seed % 2], width_bytes=[32, 2][seed // 4 % 2]),
        dma=Dma(1 + seed % 3, 16),
        protection={"scratchpad": "secded"} if seed % 2 else {},
    )


@given(seed=st.integers(0, 10_000), flow=st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_any_plan_conserves_work_traffic_and_memory(seed, flow):
    """MACs, vector operations, bytes, value sizes, and no two values in one place at one time."""
    workload, machine = random_network(seed % 7), _machine(seed, flow)
    plan = random_plan(workload, machine, seed)
    graph = expand(lower(workload, machine, plan))
    read, written = plan_traffic(workload, plan)
    assert _total(graph, "macs") == workload.macs
    assert _total(graph, "vector_ops") == sum(op.vector_ops for op in workload.ops)
    assert (_total(graph, "dram_read_bytes"), _total(graph, "dram_write_bytes")) == (read, written)
    _check_workspaces(workload, machine, plan, graph)
    trace = simulate(graph)
    pes = machine.array.rows * machine.array.cols
    check_trace(
        trace,
        pes=pes,
        dram_bytes_per_cycle=machine.dram_bytes_per_cycle,
        lanes=machine.vector.lanes,
        scratchpad_bytes_per_cycle=machine.scratchpad.width_bytes,
        accumulator_bytes_per_cycle=machine.accumulator_port_bytes,
    )
    check_placement(trace, capacity=REGION * (3 + len(workload.tensors)))
    check_placement(trace, structure="accumulators", capacity=machine.accumulators.bytes)
    for task in graph.tasks:
        if task.kind is TaskKind.ARRAY:
            assert task.cycles * pes >= task.macs
        assert len(task.deps) < 16  # linear: no edges between all tiles of two operators


def _check_workspaces(workload, machine, plan, graph):
    """Every value is either a whole resident tensor at its address or inside the workspace."""
    steps = {step.op: step for step in plan.steps}
    for task in graph.tasks:
        step = steps[task.op]
        for access in task.reads + task.writes:
            value = graph.values[access.value]
            if value.structure != "scratchpad":
                continue
            if value.address >= 2 * REGION:
                assert value.address == (step.addresses or {})[value.tensor]
                assert value.bytes == workload.tensors[value.tensor].bytes
            else:
                offset = value.address - step.buffer_address
                assert offset >= 0
                assert offset + value.bytes <= step.candidate.buffer_bytes


@given(
    channels=st.integers(1, 6), size=st.integers(3, 9), filters=st.integers(1, 9),
    kernel=st.integers(1, 3), stride=st.integers(1, 3), grouped=st.booleans(),
    m=st.integers(1, 90), n=st.integers(1, 12), k=st.integers(1, 60),
    order=st.sampled_from(ORDERS),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_tiles_cover_every_multiplication_once(
    channels, size, filters, kernel, stride, grouped, m, n, k, order
):
    groups = channels if grouped else 1
    workload = one_conv(
        c_in=channels, size=size, c_out=groups * filters, kernel=kernel, stride=stride,
        groups=groups,
    )  # fmt: skip
    op = workload.ops[0]
    assert op.gemm is not None
    done: Counter[tuple[int, int, int]] = Counter()
    outputs: dict[int, set[tuple[int, int]]] = {}
    for tile in array_tiles(op, workload, Tiling(m, n, k, order)):
        block = tile.block
        names = [
            group * op.gemm.n + channel
            for group in range(block.group, block.group + block.groups)
            for channel in range(block.n0, block.n0 + block.n)
        ]
        where = {(p, c) for p in range(tile.m[0], sum(tile.m)) for c in names}
        outputs.setdefault(tile.output, set()).update(where)
        done.update((p, c, r) for p, c in where for r in range(tile.k[0], sum(tile.k)))
    assert len(done) == op.macs
    assert set(done.values()) == {1}
    assert sum(len(where) for where in outputs.values()) == op.gemm.m * op.gemm.n * groups


@given(
    size=st.integers(3, 10), kernel=st.integers(1, 4), stride=st.integers(1, 3),
    dilation=st.integers(1, 2), pad=st.integers(0, 4), batch=st.integers(1, 2),
    m=st.integers(1, 40),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_input_regions_are_the_bounding_boxes_of_what_windows_touch(
    size, kernel, stride, dilation, pad, batch, m
):
    if size + 2 * pad < dilation * (kernel - 1) + 1:
        return
    workload = one_conv(
        c_in=2, size=size, c_out=3, kernel=kernel, stride=stride, dilation=dilation, pad=pad,
        batch=batch,
    )  # fmt: skip
    op = workload.ops[0]
    operands, window = array_op(op, workload), op.window
    assert window is not None
    for tile in array_tiles(op, workload, Tiling(m, 3, 2 * kernel * kernel)):
        pixels = 0
        whole_rows = tile.m[0] % window.out_width == 0 and tile.m[1] % window.out_width == 0
        for picture in range(batch):
            rows: set[int] = set()
            columns: set[int] = set()
            for pixel in range(tile.m[0], sum(tile.m)):
                if pixel // (window.out_height * window.out_width) != picture:
                    continue
                y, x = divmod(pixel % (window.out_height * window.out_width), window.out_width)
                rows |= {y * stride - pad + t * dilation for t in range(kernel)}
                columns |= {x * stride - pad + t * dilation for t in range(kernel)}
            rows &= set(range(size))
            columns &= set(range(size))
            # Windows without any row inside still span a (possibly empty) box between the others.
            high = max(rows, default=-1) - min(rows, default=0) + 1
            wide = max(columns, default=-1) - min(columns, default=0) + 1
            if rows:
                pixels += high * (size if whole_rows else wide)
        assert operands.a_pixels(tile.m) >= pixels
        if dilation == 1 and kernel >= stride and pad < kernel:
            assert operands.a_pixels(tile.m) == pixels


@given(
    channels=st.integers(1, 5), size=st.integers(3, 9), filters=st.integers(1, 9),
    kernel=st.integers(1, 3), stride=st.integers(1, 2), grouped=st.booleans(),
    pad=st.integers(0, 4), m=st.integers(1, 90), n=st.integers(1, 12), k=st.integers(1, 60),
    order=st.sampled_from(ORDERS), stream=st.tuples(st.booleans(), st.booleans()),
    early=st.booleans(),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_closed_form_traffic_and_time_equal_the_unrolled_loop(
    channels, size, filters, kernel, stride, grouped, pad, m, n, k, order, stream, early
):
    groups = channels if grouped else 1
    workload = one_conv(
        c_in=channels, size=size, c_out=groups * filters, kernel=kernel, stride=stride,
        groups=groups, pad=pad,
    )  # fmt: skip
    machine, op = (
        edge_npu(array=SystolicArray(4, 4), accumulators=AccumulatorSram(1 << 17)),
        workload.ops[0],
    )
    streamed = frozenset(name for name, moved in zip(("x", "y"), stream, strict=True) if moved)
    tiling = Tiling(m, n, k, order)
    chosen = candidate_of(op, workload, machine, tiling, streamed, 0 if early else None)
    loads = () if "x" in streamed else ("x",)
    places = {"x": REGION, "y": 2 * REGION}
    plan = _plan(workload, Step("conv", chosen, loads, (), places, 0))
    graph = expand(lower(workload, machine, plan))
    moved = _total(graph, "dram_read_bytes"), _total(graph, "dram_write_bytes")
    assert moved == plan_traffic(workload, plan)
    assert _total(graph, "macs") == op.macs
    trace = simulate(graph)
    check_placement(trace, capacity=4 * REGION)
    array, vector = (
        sum(task.cycles for task in graph.tasks if task.kind is kind)
        for kind in (TaskKind.ARRAY, TaskKind.VECTOR)
    )
    outputs = sum(task.kind is TaskKind.VECTOR for task in graph.tasks)
    least = max(array, vector) + -(-min(array, vector) // outputs)
    sets = {access.value for task in graph.tasks for access in task.writes if access.from_start}
    if len(sets) == outputs:
        assert chosen.compute_cycles == least
    else:  # the drains of a set come together
        assert least <= chosen.compute_cycles <= array + vector


def test_one_resident_convolution_by_hand():
    """12 x 12 x 8 -> 24 channels on a 16 x 16 ws array: two channel tiles of 16 and 8."""
    workload, machine = one_conv(), edge_npu(accumulators=AccumulatorSram(144 * 16 * 8))
    op = workload.ops[0]
    chosen = candidate_of(op, workload, machine, Tiling(144, 16, 72))
    step = Step("conv", chosen, ("x",), ("y",), {"x": 8192, "y": 16384}, 0)
    plan = _plan(workload, step)
    graph = expand(lower(workload, machine, plan))
    setup = TaskKind.DMA_SETUP
    assert [task.kind for task in graph.tasks] == [
        setup, TaskKind.RELOAD, setup, TaskKind.LOAD_WEIGHT, TaskKind.ARRAY, TaskKind.VECTOR,
        setup, TaskKind.LOAD_WEIGHT, TaskKind.ARRAY, TaskKind.VECTOR, setup, TaskKind.SPILL,
    ]  # fmt: skip
    before, reload, _, load, first, drain = graph.tasks[:6]
    assert before.cycles == 16 + 50  # set-up and latency
    assert reload.cycles == 180  # 1152 B / 6.4 B per cycle
    assert load.dram_read_bytes == 72 * 16 + 16 * 4
    # Five K-folds of 144 pixels behind one fill: 4 x 144 + 144 + 2 x 16 + 16 - 1.
    assert first.cycles == 4 * 144 + 144 + 47
    assert first.sram_read_bytes == 144 * 72 + 72 * 16 + 64
    assert first.accumulator_write_bytes == 5 * 144 * 16 * 4
    assert first.accumulator_read_bytes == 4 * 144 * 16 * 4
    assert drain.cycles == 8 + 144
    assert drain.accumulator_read_bytes == 144 * 16 * 4
    assert graph.resources == ("dma.0", "dma.1", "array", "vector", "dram")
    assert plan.traffic_bytes == 1152 + 24 * 72 + 24 * 4 + 144 * 24
    trace = simulate(graph)
    assert trace.rows[first.id].start == 246 + 66 + 190  # after both transfers, one after the other


def test_weight_prefetch_starts_one_step_early_and_reuse_waits():
    parts = [conv_op("a", "x", "t", 8, 12, 8), conv_op("b", "t", "y", 8, 12, 8)]
    workload, machine = workload_of("two", image(8, 12), parts), edge_npu()
    tiling = Tiling(144, 8, 72)
    picked = {
        (op.name, early): candidate_of(op, workload, machine, tiling, hidden=0 if early else None)
        for op in workload.ops
        for early in (True, False)
    }
    places = {"x": 16384, "t": 32768, "y": 65536}
    starts = {}
    for early in (True, False):
        plan = _plan(
            workload,
            Step("a", picked["a", True], ("x",), (), places, 0),
            Step("b", picked["b", early], (), ("y",), places, 4096),
        )
        trace = simulate(expand(lower(workload, machine, plan)))
        load = next(t for t in trace.graph.tasks if t.op == "b")
        assert load.kind is TaskKind.DMA_SETUP
        starts[early] = trace.rows[load.id].start
        end_a = max(trace.rows[t.id].end for t in trace.graph.tasks if t.op == "a")
    assert starts[True] < end_a == starts[False]


def test_streamed_addition_overlaps_its_transfers():
    shape = (1, 8, 16, 16)
    first = conv_op("c", "x", "t", 8, 16, 8)
    workload = workload_of("add", image(8, 16), [first, add_op("a", "x", "t", "y", shape)])
    machine = edge_npu()
    conv = next(c for c in candidates(workload.ops[0], workload, machine) if not c.streamed)
    add = max(
        (
            c
            for c in candidates(workload.ops[1], workload, machine, "energy")
            if len(c.streamed) == 3
        ),
        key=lambda c: -c.tiling.m,
    )
    step = Step("c", conv, ("x",), ("t",), {"x": REGION, "t": 2 * REGION}, 0)
    plan = _plan(workload, step, Step("a", add, (), (), {}, 8192))
    graph = expand(lower(workload, machine, plan))
    tiles = 2048 // add.tiling.m
    mine = Counter(task.kind for task in graph.tasks if task.op == "a")
    assert mine[TaskKind.VECTOR] == mine[TaskKind.STORE_OUTPUT] == tiles
    assert mine[TaskKind.LOAD_INPUT] == 2 * tiles
    trace = simulate(graph)
    check_trace(trace, pes=256, dram_bytes_per_cycle=Fraction(32, 5))


@pytest.mark.parametrize(("structure", "extra"), [("scratchpad", "secded"), ("array", "dmr")])
def test_protection_latency_is_charged_to_tasks_that_touch_the_structure(structure, extra):
    workload, machine = one_conv(), edge_npu()
    plan = random_plan(workload, machine, 3)
    plain = expand(lower(workload, machine, plan))
    slow = expand(lower(workload, replace(machine, protection={structure: extra}), plan))
    for before, after in zip(plain.tasks, slow.tasks, strict=True):
        compute = before.kind in (TaskKind.ARRAY, TaskKind.VECTOR)
        # A transfer and its set-up are one: the set-up carries the latency.
        pad = compute or before.kind is TaskKind.DMA_SETUP
        touched = pad if structure == "scratchpad" else before.kind is TaskKind.ARRAY
        assert after.cycles - before.cycles == (1 if touched else 0)


def test_resnet20_candidates_lower_to_exactly_their_buffers():
    workload, machine = resnet20(), edge_npu()
    for op in workload.ops:
        for candidate in candidates(op, workload, machine):
            layout = workspace(op, workload, machine, candidate)
            assert layout.bytes == candidate.buffer_bytes
            assert candidate.prefetch_bytes in (0, layout.prefetchable)
