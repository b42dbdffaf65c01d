"""Skeletons: the same commands in the same order, written shorter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from simprograms import WORK, layer, program, programs

from accelsim.program import Block, Command, Program, Repeat, Work, commands_of
from accelsim.sim.steady_fold import Loop, Part, Skeletons, Step
from accelsim.taskgraph import TaskKind


def unrolled(part: Part) -> Iterator[Step]:
    for node in part:
        if isinstance(node, Step):
            yield node
        else:
            for _ in range(node.count):
                yield from unrolled(node.body)


def written(part: Part) -> int:
    return sum(1 if isinstance(node, Step) else 1 + written(node.body) for node in part)


@given(programs())
def test_a_skeleton_unrolls_to_the_commands_of_the_program(drawn: Program) -> None:
    commands = [c for block in drawn.blocks for c in commands_of(block.body)]
    steps = list(unrolled(Skeletons().of(drawn)))
    assert [(s.queue, s.cycles, s.deps, s.ports) for s in steps] == [
        (c.queue, c.cycles, c.deps, c.ports) for c in commands
    ]


@given(st.lists(st.integers(0, 3), max_size=40))
def test_folding_keeps_every_sequence(symbols: list[int]) -> None:
    drawn = program([Block("op", 0, (Command(0, s, WORK),)) for s in symbols], 1, 0)
    part = Skeletons().of(drawn)
    assert [step.cycles for step in unrolled(part)] == symbols
    assert written(part) <= max(len(symbols), 1)


def test_names_and_steps_of_layers_make_no_difference_but_times_do() -> None:
    layers = [replace(layer((11, 20, 13), (36, 12, 8)), op=f"op{n}", step=n) for n in range(32)]
    (loop,) = Skeletons().of(program(layers, 3, 1))
    assert isinstance(loop, Loop)
    slow = layer((12, 20, 13), (36, 12, 8))
    assert len(Skeletons().of(program([layers[0], slow, layers[1]], 3, 1))) == 3


def test_repeated_blocks_of_repeated_layers_become_nested_loops() -> None:
    a, b, c = (Block("op", 0, (Command(0, cycles, WORK),)) for cycles in (1, 2, 3))
    part = Skeletons().of(program([c, *[a, a, a, b] * 5, c], 1, 0))
    first, loop, last = part
    assert first is last
    assert isinstance(loop, Loop)
    assert loop.count == 5
    inner = loop.body[0]
    assert isinstance(inner, Loop)
    assert inner.count == 3


def test_loops_around_a_loop_alone_multiply() -> None:
    body = Repeat(3, (Repeat(5, (Repeat(1, (Command(0, 1, WORK),)),)),))
    (loop,) = Skeletons().of(program([Block("op", 0, (body,))] * 2, 1, 0))
    assert isinstance(loop, Loop)
    assert loop.count == 30
    assert isinstance(loop.body[0], Step)


def test_behind_a_device_commands_of_other_content_are_not_equal() -> None:
    works = [Work(TaskKind.LOAD_INPUT, dram_read_bytes=n) for n in (1, 2)]
    blocks = [Block("op", 0, (Command(0, 1, work),)) for work in works]
    assert len(Skeletons().of(program(blocks, 1, 0))) == 1
    assert len(Skeletons(lambda work: work.dram_read_bytes).of(program(blocks, 1, 0))) == 2


def test_thousands_of_different_layers_fold_in_linear_time() -> None:
    blocks = [Block("op", 0, (Command(0, n, WORK),)) for n in range(20_000)]
    assert len(Skeletons().of(program(blocks, 1, 0))) == 20_000
