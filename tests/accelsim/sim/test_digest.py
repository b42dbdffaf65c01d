"""Consumers of folded traces: equal to the flat ones on the trace written out, at any size."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from simprograms import WORK, layer, pipeline, program, programs

from accelsim.program import Block, Command, Program, Repeat, commands_of
from accelsim.sim.expand import unfold
from accelsim.sim.idle import idle_gaps
from accelsim.sim.layers import busy_of, layer_rows_of, work_totals
from accelsim.sim.places import Places
from accelsim.sim.steady import run_program
from accelsim.sim.summary import busy_cycles, layer_rows


def named(drawn: Program) -> Program:
    """The same program with names by which the summary knows computation and memory."""
    queues = ("array", "vector", *drawn.queues[2:])[: len(drawn.queues)]
    return replace(drawn, queues=queues, ports=("dram", *drawn.ports[1:])[: len(drawn.ports)])


@given(programs())
@settings(max_examples=150)
def test_layer_rows_and_busy_cycles_are_those_of_the_trace_written_out(drawn: Program) -> None:
    folded = run_program(named(drawn))
    flat = unfold(folded)
    assert layer_rows_of(folded, pes=3) == layer_rows(flat, pes=3)
    assert busy_of(folded) == busy_cycles(flat)


@given(programs(), st.sets(st.integers(0, 5)), st.data())
@settings(max_examples=80)
def test_idle_cycles_are_those_in_which_nothing_runs(
    drawn: Program, queues: set[int], data: st.DataObject
) -> None:
    folded = run_program(drawn)
    gaps = idle_gaps(folded, queues)
    runs = sorted((e.start, e.end) for e in folded.events() if e.queue in queues)
    for cycle in (folded.cycles, data.draw(st.integers(0, folded.cycles))):
        busy, until = 0, 0
        for start, end in runs:
            start, end = max(start, until), min(end, cycle)
            busy, until = busy + max(0, end - start), max(until, end)
        assert gaps.before(cycle) == cycle - busy


@given(programs())
@settings(max_examples=40)
def test_a_command_is_found_by_its_number(drawn: Program) -> None:
    places, before = Places(drawn), [0] * len(drawn.queues)
    for number, block in enumerate(drawn.blocks):
        for command in commands_of(block.body):
            place = places.find(command.queue, before[command.queue])
            assert place.command == command
            assert drawn.blocks[place.block].body == block.body
            assert place.block == places.block(command.queue, before[command.queue]) == number
            assert place.before == tuple(before)
            before[command.queue] += 1


def test_a_pipeline_of_ten_to_the_twelve_tiles_stalls_while_it_fills_and_drains() -> None:
    count = 10**12
    tiles = pipeline(count, 10, 37, 5)
    folded = run_program(replace(tiles, queues=("dma.0", "array", "dma.1")))
    (row,) = layer_rows_of(folded, pes=1)
    assert row.cycles == 10 + 37 * count + 5
    assert row.stall_cycles == 15
    assert row.array_busy == 37 * count
    assert row.bound == "array"


def test_a_memory_bound_pipeline_stalls_in_every_tile() -> None:
    count = 10**12
    tiles = pipeline(count, 37, 10, 5)
    folded = run_program(replace(tiles, queues=("dma.0", "array", "dma.1")))
    gaps = idle_gaps(folded, [1])
    assert gaps.idle == folded.cycles - 10 * count
    assert gaps.before(37 * 10**9) == 37 * 10**9 - 10 * (10**9 - 1)


def test_a_loop_beside_a_very_long_computation_has_no_idle_cycle() -> None:
    tile = (Command(0, 3, WORK, ((1, 2),), (0,)), Command(1, 5, WORK, ((0, 1),)))
    blocks = [Block("long", 0, (Command(2, 10**9, WORK),)), Block("op", 1, (Repeat(10**9, tile),))]
    folded = run_program(program(blocks, 3, 1))
    assert idle_gaps(folded, [1, 2]).idle == 0
    assert idle_gaps(folded, [2]).idle == folded.cycles - 10**9


def test_work_is_counted_as_often_as_it_is_done() -> None:
    work = replace(WORK, macs=7, dram_read_bytes=2, dram_write_bytes=3)
    body = (Repeat(10**6, (Repeat(10**6, (Command(0, 1, work),)), Command(0, 1, work))),)
    did = work_totals(program([Block("op", 0, body)], 1, 0))
    assert did.macs == 7 * (10**12 + 10**6)
    assert (did.dram_read, did.dram_write) == (2 * did.macs // 7, 3 * did.macs // 7)


def test_the_rows_of_equal_layers_in_a_row_are_exact() -> None:
    part = [layer((11, 20, 13), (36, 12, 8)), layer((7, 9, 30), (50, 4, 6), step=1)]
    drawn = named(program([replace(b, step=n) for n, b in enumerate(part * 3)], 3, 1))
    folded = run_program(drawn)
    assert layer_rows_of(folded, pes=1) == layer_rows(unfold(folded), pes=1)
