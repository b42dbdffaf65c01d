"""Writing programs and traces out, task by task."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from simprograms import WORK, program, programs

from accelsim.errors import AccelsimError
from accelsim.program import Block, Buffer, Command, Program, Repeat, Touch, Work, commands_of
from accelsim.sim.check import check_placement, check_trace
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.steady import run_program
from accelsim.taskgraph import TaskKind


@given(programs())
@settings(max_examples=60)
def test_every_task_is_its_command_and_waits_for_what_the_command_waits_for(drawn: Program) -> None:
    graph = expand(drawn)
    commands = [(b, c) for b in drawn.blocks for c in commands_of(b.body)]
    assert len(graph.tasks) == len(commands) == drawn.commands
    before: list[list[int]] = [[] for _ in drawn.queues]
    for task, (block, command) in zip(graph.tasks, commands, strict=True):
        names = (drawn.queues[command.queue], *(drawn.ports[port] for port in command.ports))
        assert (task.op, task.step, task.cycles) == (block.op, block.step, command.cycles)
        assert task.resources == names
        waits = {(command.queue, 1), *command.deps}
        assert set(task.deps) == {
            before[queue][-back] for queue, back in waits if back <= len(before[queue])
        }
        before[command.queue].append(task.id)


@given(programs())
@settings(max_examples=40)
def test_an_unfolded_trace_passes_the_conservation_checks(drawn: Program) -> None:
    check_trace(unfold(run_program(drawn)), pes=1, dram_bytes_per_cycle=Fraction(1))


def convolution(tiles: int) -> Program:
    """A resident input, weights through two slots, sums in one accumulator, a streamed output."""
    source = Buffer("scratchpad", "activation", "x", "input", (0,), resident_bytes=64)
    weights = Buffer("scratchpad", "weight", "w", "conv", (100, 200))
    sums = Buffer("accumulators", "accumulator", "y", "conv")
    output = Buffer("scratchpad", "activation", "y", "conv", (300, 400, 500))
    reload = Work(TaskKind.RELOAD, writes=(Touch(0, 64),), dram_read_bytes=64, sram_write_bytes=64)
    load = Work(TaskKind.LOAD_WEIGHT, writes=(Touch(0, 16, fresh=True),), dram_read_bytes=16)
    compute = Work(
        TaskKind.ARRAY,
        reads=(Touch(1, 64), Touch(0, 16)),
        writes=(Touch(2, 32, fresh=True, from_start=True), Touch(3, 8, fresh=True)),
        macs=512,
    )
    store = Work(TaskKind.STORE_OUTPUT, reads=(Touch(3, 8),), dram_write_bytes=8)
    tile = (
        Command(0, 8, load, ((2, 2),), (0,)),
        Command(2, 32, compute, ((0, 1), (1, 3))),
        Command(1, 4, store, ((2, 1),), (0,)),
    )
    fetch = Block("input", 0, (Command(0, 32, reload, (), (0,)),), (source,), (0,))
    conv = Block("conv", 1, (Repeat(tiles, tile),), (weights, source, sums, output))
    return Program(("dma.0", "dma.1", "array"), ("dram",), (fetch, conv, conv), ("input", "conv"))


def test_values_are_made_of_touches() -> None:
    graph = expand(convolution(3))
    assert graph.resources == ("dma.0", "dma.1", "array", "dram")
    assert graph.op_order == ("input", "conv")
    found = [(v.tensor, v.structure, v.kind, v.op, v.bytes, v.address) for v in graph.values]
    tile = [("w", "weight", 16), ("y", "accumulator", 32), ("y", "activation", 8)]
    places = [(100, 0, 300), (200, 0, 400), (100, 0, 500)]
    layer = [
        (tensor, "accumulators" if kind == "accumulator" else "scratchpad", kind, "conv", size, at)
        for slots in places
        for (tensor, kind, size), at in zip(tile, slots, strict=True)
    ]
    assert found == [("x", "scratchpad", "activation", "input", 64, 0), *layer, *layer]
    assert [value.id for value in graph.values] == list(range(len(graph.values)))
    second = graph.tasks[5]
    assert (second.kind, second.tile, second.step, second.macs) == (TaskKind.ARRAY, 1, 1, 512)
    assert [(a.value, a.bytes) for a in second.reads] == [(0, 64), (4, 16)]
    assert [(a.value, a.bytes, a.from_start) for a in second.writes] == [
        (5, 32, True),
        (6, 8, False),
    ]
    assert [(a.value, a.bytes) for a in graph.tasks[6].reads] == [(6, 8)]
    assert [task.tile for task in graph.tasks if task.kind == TaskKind.LOAD_WEIGHT] == [0, 1, 2] * 2


def test_a_double_buffered_layer_keeps_its_slots_apart_in_time() -> None:
    trace = unfold(run_program(convolution(42)))
    check_trace(trace, pes=16, dram_bytes_per_cycle=Fraction(2))
    check_placement(trace, capacity=600)


def test_a_resident_tensor_begins_anew_with_each_block_that_starts_it() -> None:
    buffer = Buffer("scratchpad", "activation", "x", "op", (8,), resident_bytes=4)
    block = Block("op", 0, (Command(0, 1, Work(TaskKind.RELOAD, (), (Touch(0, 4),))),), (buffer,))
    begins = Block("op", 0, block.body, (buffer,), (0,))
    graph = expand(program([begins, block, begins], 1, 0))
    assert [task.writes[0].value for task in graph.tasks] == [0, 0, 1]


def test_touching_what_never_began_is_refused() -> None:
    for resident in (0, 4):
        buffer = Buffer("scratchpad", "activation", "x", "op", (8,), resident_bytes=resident)
        reads = Work(TaskKind.ARRAY, (Touch(0, 4),))
        block = Block("op", 0, (Command(0, 1, reads),), (buffer,))
        with pytest.raises(AssertionError, match="x is"):
            expand(program([block], 1, 0))


def test_the_works_follow_the_tasks() -> None:
    drawn = convolution(3)
    assert [work.kind for work in expand_works(drawn)] == [t.kind for t in expand(drawn).tasks]


def test_what_is_too_long_is_refused_before_memory_is_taken() -> None:
    long = program([Block("op", 0, (Repeat(10**13, (Command(0, 1, WORK),)),))], 1, 0)
    with pytest.raises(AccelsimError, match="R503") as caught:
        expand(long)
    assert "larger tiles" in caught.value.mistakes[0].hint
    with pytest.raises(AccelsimError):
        unfold(run_program(long))
    assert len(expand(convolution(3), limit=19).tasks) == 19
