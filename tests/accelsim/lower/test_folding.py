"""Loops kept as loops: the same commands as written out, at a cost that tiles do not raise."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import (
    Accelerator,
    AccumulatorSram,
    Compression,
    Dma,
    Dram,
    Scratchpad,
    SystolicArray,
)
from accelsim.lower import lower, plan_traffic
from accelsim.lower.builder import CLEAR, FRESH, ProgramBuilder, Recipe
from accelsim.lower.lowering import _Lowering
from accelsim.lower.streams import Stream
from accelsim.mapping.orders import ORDERS
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.program import Command, Node, Program, Repeat, Work, commands_of, distinct
from accelsim.sim.check import check_placement
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Workload

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import (
    REGION,
    candidate_of,
    conv_op,
    edge_npu,
    image,
    one_conv,
    random_network,
    random_plan,
    workload_of,
)
from loop_nest import commands

TRANSFERS = (TaskKind.LOAD_WEIGHT, TaskKind.LOAD_INPUT, TaskKind.RELOAD)
STORES = (TaskKind.STORE_OUTPUT, TaskKind.SPILL)


def _machine(seed: int) -> Accelerator:
    return edge_npu(
        array=SystolicArray(8, 4, *[("ws", "full"), ("os", "none"), ("is", "preload")][seed % 3]),
        accumulators=AccumulatorSram([1 << 10, 1 << 14][seed % 2]),
        scratchpad=Scratchpad([1 << 20, 6000][seed % 2], buffering=1 + seed % 4),
        dma=Dma(1 + seed % 5, [16, 0][seed // 2 % 2]),
        dram=Dram("LPDDR4", 3_200_000_000, [50, 0][seed // 2 % 2]),
        weight_memory=Dram("flash", 500_000_000, 9) if seed // 3 % 2 else None,
        compression=Compression(Fraction(5, 8), 4) if seed // 4 % 2 else None,
    )


def _plan(*steps: Step) -> MemoryPlan:
    return MemoryPlan(steps, 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")


def _flat(program: Program) -> list[Command]:
    return [command for block in program.blocks for command in commands_of(block.body)]


def _conv_plan(
    workload: Workload, machine: Accelerator, tiling: Tiling, streamed: frozenset[str]
) -> MemoryPlan:
    chosen = candidate_of(workload.ops[0], workload, machine, tiling, streamed)
    loads = () if "x" in streamed else ("x",)
    return _plan(Step("conv", chosen, loads, (), {"x": REGION, "y": 2 * REGION}, 0))


@given(seed=st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_loops_stand_for_the_commands_written_out(seed):
    """Any number of channels and slots, with set-up commands or without, any memory."""
    workload, machine = random_network(seed % 11), _machine(seed)
    plan = random_plan(workload, machine, seed)
    folded, flat = (lower(workload, machine, plan, fold=fold) for fold in (True, False))
    assert all(isinstance(n, Command) for block in flat.blocks for n in block.body)
    for short, long in zip(folded.blocks, flat.blocks, strict=True):
        assert list(commands_of(short.body)) == list(long.body)
        assert replace(short, body=()) == replace(long, body=())
    assert (folded.queues, folded.ports) == (flat.queues, flat.ports)
    _check_form(folded)


def _check_form(program: Program) -> None:
    """What the definition of a program asks of commands, and what they name."""
    for block in program.blocks:
        for command, _ in distinct(block.body):
            queues = [queue for queue, _ in command.deps]
            assert queues == sorted(set(queues))
            assert command.queue not in queues
            assert all(back >= 1 for _, back in command.deps)
            assert list(command.ports) == sorted(set(command.ports))
            touched = command.work.writes if command.work.writes else command.work.reads
            moves = command.work.kind in (*TRANSFERS, *STORES)
            expected = block.buffers[touched[0].buffer].tensor if moves else ""
            assert command.work.region == expected


@given(seed=st.integers(0, 100_000))
@settings(max_examples=40, deadline=None)
def test_equal_operators_reuse_commands_without_a_difference(seed):
    """Blocks of two networks in one, side by side: half of the blocks can be taken from others."""
    machine, width = _machine(seed), 6 + seed % 3
    parts = [
        conv_op(f"c{i}", "x" if i == 0 else f"t{i - 1}", f"t{i}", width, 9, width) for i in range(6)
    ]
    workload = workload_of("chain", image(width, 9), parts)
    plan = random_plan(workload, machine, seed)
    reused = lower(workload, machine, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Lowering, "_once", lambda self, key, emit, buffers: emit())
        assert lower(workload, machine, plan) == reused


@given(seed=st.integers(0, 100_000))
@settings(max_examples=30, deadline=None)
def test_memory_is_safe_whatever_the_slots_and_traffic_is_what_was_planned(seed):
    workload, machine = random_network(seed % 11), _machine(seed)
    plan = random_plan(workload, machine, seed)
    program = lower(workload, machine, plan)
    works = [command.work for command in _flat(program)]
    read, written = plan_traffic(workload, plan)
    assert sum(work.dram_read_bytes for work in works) == read
    assert sum(work.dram_write_bytes for work in works) == written
    assert sum(work.macs for work in works) == workload.macs
    assert sum(work.vector_ops for work in works) == sum(op.vector_ops for op in workload.ops)
    trace = simulate(expand(program))
    check_placement(trace, capacity=REGION * (3 + len(workload.tensors)))
    check_placement(trace, structure="accumulators", capacity=machine.accumulators.bytes)


@given(
    channels=st.integers(1, 5), size=st.integers(3, 9), filters=st.integers(1, 9),
    kernel=st.integers(1, 3), stride=st.integers(1, 2), grouped=st.booleans(),
    pad=st.integers(0, 4), m=st.integers(1, 90), n=st.integers(1, 12), k=st.integers(1, 60),
    order=st.sampled_from(ORDERS), stream=st.tuples(st.booleans(), st.booleans()),
    slots=st.integers(1, 4),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_buffers_are_filled_whenever_their_tile_changes(
    channels, size, filters, kernel, stride, grouped, pad, m, n, k, order, stream, slots
):
    """Against the loop nest walked tile by tile."""
    groups = channels if grouped else 1
    workload = one_conv(
        c_in=channels, size=size, c_out=groups * filters, kernel=kernel, stride=stride,
        groups=groups, pad=pad,
    )  # fmt: skip
    machine = edge_npu(
        array=SystolicArray(4, 4), accumulators=AccumulatorSram(1 << 17),
        scratchpad=Scratchpad(1 << 20, buffering=slots), dma=Dma(1 + slots, 16),
    )  # fmt: skip
    streamed = frozenset(name for name, moved in zip(("x", "y"), stream, strict=True) if moved)
    plan = _conv_plan(workload, machine, Tiling(m, n, k, order), streamed)
    found = [
        (work.kind, work.sram_write_bytes * (work.kind in TRANSFERS)
         + work.sram_read_bytes * (work.kind in STORES), work.macs)
        for work in (command.work for command in _flat(lower(workload, machine, plan)))
        if work.kind not in (TaskKind.DMA_SETUP, TaskKind.RELOAD)
    ]  # fmt: skip
    assert found == list(commands(workload.ops[0], workload, plan.steps[0]))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("streamed", [frozenset(), frozenset(("x", "y"))])
def test_size_does_not_grow_with_the_number_of_tiles(channels, streamed):
    """10, 1,000 and 100,000 times the tiles: the same program but for the counts."""
    sizes, totals = [], []
    for many in (1, 100, 10_000):
        workload = one_conv(c_in=16 * 10 * many, size=8, c_out=16 * 10, kernel=1)
        machine = edge_npu(accumulators=AccumulatorSram(1 << 17), dma=Dma(channels, 16))
        plan = _conv_plan(workload, machine, Tiling(64, 16, 16), streamed)
        program = lower(workload, machine, plan)
        sizes.append(sum(1 for block in program.blocks for _ in distinct(block.body)))
        totals.append(program.commands)
        macs = sum(c.work.macs * n for b in program.blocks for c, n in distinct(b.body))
        assert macs == workload.macs
    assert sizes[0] == sizes[1] == sizes[2] < 260
    assert totals[2] > 99 * totals[1] > 9_000 * totals[0]


def test_a_resident_reduction_loop_by_hand():
    """64 pixels, 40 channels in tiles of 8, 4 filters: after the first two weight tiles, which
    find unused slots, three times the same set-up, load and array command."""
    workload = one_conv(c_in=40, size=8, c_out=4, kernel=1)
    machine = edge_npu(array=SystolicArray(8, 4), accumulators=AccumulatorSram(1 << 14))
    program = lower(workload, machine, _conv_plan(workload, machine, Tiling(64, 4, 8), frozenset()))
    (block,) = program.blocks
    assert program.queues == ("dma.0", "dma.1", "array", "vector")
    assert program.ports == ("dram",)
    kinds = [_kinds(node) for node in block.body]
    load = ["dma_setup", "load_weight", "array"]
    assert kinds == ["dma_setup", "reload", *load, *load, (3, load), "vector"]
    loop = block.body[-2]
    assert isinstance(loop, Repeat)
    setup, weights, array = loop.body
    assert isinstance(setup, Command)
    assert isinstance(weights, Command)
    assert isinstance(array, Command)
    assert setup.deps == ((2, 2),)  # the array command before the last one had this slot
    assert weights.deps == ()
    assert weights.ports == (0,)
    assert array.deps == ((0, 1),)
    assert [b.structure for b in block.buffers] == ["scratchpad"] * 4 + ["accumulators"]
    weight = block.buffers[0]
    assert weight.kind == "weight"
    assert len(weight.addresses) == 2
    assert [block.buffers[i].tensor for i in block.starts] == ["y", "x"]


def _kinds(node: Node) -> object:
    if isinstance(node, Command):
        return node.work.kind.value
    return (node.count, [_kinds(inner) for inner in node.body])


def test_prefetched_weights_wait_for_the_step_before_the_previous_one():
    parts = [conv_op(f"c{i}", f"t{i}" if i else "x", f"t{i + 1}", 8, 8, 8, 1) for i in range(3)]
    workload, machine = workload_of("three", image(8, 8), parts), edge_npu()
    places = {name: REGION * (2 + i) for i, name in enumerate(workload.tensors)}
    steps = [
        Step(
            op.name, candidate_of(op, workload, machine, Tiling(64, 8, 8)),
            ("x",) if op.name == "c0" else (), (op.output,), places,
        )
        for op in workload.ops
    ]  # fmt: skip
    program = lower(workload, machine, _plan(*steps))
    firsts = [next(iter(block.body)) for block in program.blocks]
    assert all(isinstance(command, Command) for command in firsts)
    store, vector = 1, 3
    # Each step has one spill (set-up and bytes) and one vector command.
    assert [command.deps for command in firsts if isinstance(command, Command)] == [
        (), (), ((store, 3), (vector, 2)),
    ]  # fmt: skip


# The loop machinery itself


def _builder(channels: int = 2) -> ProgramBuilder:
    builder = ProgramBuilder(edge_npu(dma=Dma(channels, 0), dram=Dram("x", 1, 0)))
    builder.begin()
    return builder


def test_loops_of_one_recurring_iteration_fold():
    builder = _builder()
    tile = Recipe(5, Work(TaskKind.ARRAY))
    builder.repeat(1000, lambda: builder.issue(tile, builder.array_queue, ()) and None)
    (loop,) = builder.nodes
    assert isinstance(loop, Repeat)
    assert (loop.count, len(loop.body)) == (1000, 1)
    assert builder.counts[builder.array_queue] == 1000


@pytest.mark.parametrize("count", range(1, 12))
def test_loaders_that_take_turns_make_longer_periods(count):
    """Three loaders, two loads per iteration: the fourth iteration is as the first."""
    builder, flat = _builder(4), _builder(4)
    flat._fold = False
    for one in (builder, flat):
        load = one.loading(TaskKind.LOAD_INPUT, (), "x")

        def body(one=one, load=load):
            one.load(load, fresh=False)
            one.load(load, fresh=False)

        one.repeat(count, body)
    assert list(commands_of(tuple(builder.nodes))) == flat.nodes
    assert builder.counts == flat.counts
    assert builder.cells == flat.cells
    if count >= 8:
        assert any(isinstance(node, Repeat) for node in builder.nodes)


def test_a_position_that_is_read_does_not_fold_before_it_has_settled():
    """A user from before the loop is further away in every iteration until its slot is reused."""
    builder = _builder()
    stream = Stream(builder, 3, builder.array_queue)
    tile = Recipe(1, Work(TaskKind.ARRAY))
    seen: list[int] = []

    def body() -> None:
        seen.append(stream.advance())
        stream.used_by(builder.issue(tile, builder.array_queue, ()))

    builder.repeat(10, body)
    assert seen == [FRESH, FRESH, FRESH, 1]  # from the fourth on: three commands before
    assert builder.counts[builder.array_queue] == 10
    assert [stream.advance() for _ in range(3)] == [8, 9, 10]


def test_positions_that_a_loop_leaves_alone_stay():
    builder = _builder()
    tile = Recipe(1, Work(TaskKind.ARRAY))
    other = Stream(builder, 1, builder.array_queue)
    other.advance()
    other.used_by(builder.issue(tile, builder.array_queue, ()))
    builder.repeat(100, lambda: builder.issue(tile, builder.array_queue, ()) and None)
    assert other.advance() == 1
    assert other.advance() == CLEAR


def test_distances_that_still_change_do_not_fold():
    """A loop of one command per tile, then one of two: slots are further away from the second of
    its iterations on, and as far as ever from the third on."""
    builder, flat = _builder(), _builder()
    flat._fold = False
    for one in (builder, flat):
        load, tile = one.loading(TaskKind.LOAD_INPUT, (), "x"), Recipe(1, Work(TaskKind.ARRAY))
        stream = Stream(one, 2, one.array_queue)

        def body(many, one=one, load=load, tile=tile, stream=stream):
            one.load(load, fresh=False, array=max(0, stream.advance()))
            for _ in range(many):
                stream.used_by(one.array(tile))

        one.repeat(9, lambda body=body: body(1))
        one.repeat(9, lambda body=body: body(2))
    assert list(commands_of(tuple(builder.nodes))) == flat.nodes
    assert builder.cells == flat.cells
    loads = [node for node in flat.nodes if isinstance(node, Command) and node.queue == 0]
    backs = [command.deps[0][1] if command.deps else 0 for command in loads]
    assert backs == [0, 0, *[2] * 8, 3, *[3] * 7]


def test_an_output_tile_waits_for_the_drain_of_the_one_before_the_last():
    """64 pixels in four tiles: two halves of the accumulators take turns."""
    workload = one_conv(c_in=8, size=8, c_out=4, kernel=1)
    machine = edge_npu(array=SystolicArray(8, 4))
    program = lower(workload, machine, _conv_plan(workload, machine, Tiling(16, 4, 8), frozenset()))
    arrays = [c.deps for c in _flat(program) if c.work.kind is TaskKind.ARRAY]
    drains = [c.deps for c in _flat(program) if c.work.kind is TaskKind.VECTOR]
    # The first waits for the reload and the weights, which came on one queue.
    assert arrays == [((0, 1),), (), ((3, 2),), ((3, 2),)]
    assert drains == [((2, 1),)] * 4
