"""Bars of a folded trace: nothing lost, nothing twice, nothing on top of something else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simprograms import pipeline, program, programs

from accelsim.program import Block, Command, Program, Repeat, Work
from accelsim.sim.layers import busy_of, work_totals
from accelsim.sim.slices import Amounts, slices
from accelsim.sim.steady import run_program
from accelsim.taskgraph import TaskKind


@given(programs(), st.sampled_from([1, 10, 60, 10**6]))
@settings(max_examples=120)
def test_slices_add_up_to_the_run_and_never_overlap(drawn: Program, cap: int) -> None:
    trace = run_program(drawn)
    found, _ = slices(trace, cap)
    names = (*drawn.queues, *drawn.ports)
    assert len(found) <= max(cap, len(names))
    busy: Counter[str] = Counter()
    for piece in found:
        busy[names[piece.resource]] += piece.busy
        assert piece.busy <= piece.end - piece.start
    assert {n: busy[n] for n in names} == busy_of(trace)
    for one, other in pairwise(found):
        assert one.resource < other.resource or one.end <= other.start
    commands = sum(s.did.commands for s in found if s.resource < len(drawn.queues))
    assert commands == drawn.commands


def test_what_slices_do_is_what_the_commands_do_even_if_turns_differ() -> None:
    """Two loops that are equal in time but not in what they move."""
    loops = []
    for moved in (3, 50):
        work = Work(TaskKind.LOAD_INPUT, dram_read_bytes=moved, sram_write_bytes=2 * moved)
        odd = replace(work, dram_read_bytes=moved + 1)
        body = (Repeat(40, (Command(0, 9, work, (), (0,)),)), Command(0, 9, odd, (), (0,)))
        loops.append(Block(f"op{moved}", 0, (Repeat(30, body),)))
    drawn = program(loops * 2, 1, 1)
    trace = run_program(drawn)
    for cap in (1, 20, 10**6):
        found, _ = slices(trace, cap)
        for resource in (0, 1):
            total = Amounts()
            for piece in found:
                if piece.resource == resource:
                    total = total.plus(piece.did)
            did = work_totals(drawn)
            assert total == Amounts(drawn.commands, did.dram_read, did.sram_write, 0)


def test_a_recurrence_is_its_first_turn_and_one_slice_for_all_others() -> None:
    trace = run_program(pipeline(10**12, 10, 37, 5))
    found, how = slices(trace, 1000)
    assert "but the first are one slice" in how
    assert len(found) < 60
    folded = [piece for piece in found if piece.turns > 1]
    assert {piece.resource for piece in folded} == {0, 1, 2}
    assert all(10**12 - 10 < piece.turns == piece.did.commands for piece in folded)


@pytest.mark.parametrize(("cap", "words"), [(40, "operator and kind"), (8, "equal operator are")])
def test_above_the_cap_neighbours_are_joined(cap: int, words: str) -> None:
    kinds = (Work(TaskKind.LOAD_WEIGHT), Work(TaskKind.LOAD_INPUT))
    blocks = [
        Block(f"op{n}", n, tuple(Command(0, 1 + n * 7 + i, kinds[i // 3]) for i in range(6)))
        for n in range(8)
    ]
    found, how = slices(run_program(program(blocks, 1, 0)), cap)
    assert words in how
    assert [piece.op for piece in found][:: len(found) // 8] == [f"op{n}" for n in range(8)]
