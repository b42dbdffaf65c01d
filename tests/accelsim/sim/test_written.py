"""Reads find what was written, also in loops of any length."""

from __future__ import annotations

import pytest

from accelsim.program import Block, Buffer, Command, Node, Program, Repeat, Touch, Work
from accelsim.sim.check import TraceError
from accelsim.sim.written import check_written
from accelsim.taskgraph import TaskKind

TILE = Buffer("scratchpad", "activation", "t", "op", (0, 64))
WHOLE = Buffer("scratchpad", "activation", "x", "op", (128,), 100)


def write(size: int, buffer: int = 0, *, fresh: bool = False) -> Command:
    return Command(0, 1, Work(TaskKind.VECTOR, writes=(Touch(buffer, size, fresh=fresh),)))


def read(size: int, buffer: int = 0) -> Command:
    return Command(0, 1, Work(TaskKind.VECTOR, reads=(Touch(buffer, size),)))


def block(*body: Node, starts: tuple[int, ...] = ()) -> Block:
    return Block("op", 0, body, (TILE, WHOLE), starts)


def check(*blocks: Block) -> None:
    check_written(Program(("q",), (), blocks))


def test_a_loop_fills_a_value_piece_by_piece() -> None:
    pieces = Repeat(10**12, (write(2),))
    check(block(write(0, fresh=True), pieces, read(2 * 10**12)))
    with pytest.raises(TraceError, match="of which 2000000000000 have been written"):
        check(block(write(0, fresh=True), pieces, read(2 * 10**12 + 1)))


def test_nested_loops_add_up() -> None:
    nest = Repeat(7, (Repeat(5, (write(3),)), write(1)))
    check(block(write(0, fresh=True), nest, read(7 * 16)))
    with pytest.raises(TraceError):
        check(block(write(0, fresh=True), nest, read(7 * 16 + 1)))


def test_a_fresh_value_has_nothing_of_the_one_before() -> None:
    with pytest.raises(TraceError, match="reads 10 bytes of t, of which 4"):
        check(block(write(10, fresh=True), write(4, fresh=True), read(10)))


def test_what_only_the_second_iteration_lacks_is_found() -> None:
    """The first iteration reads what was there before the loop, the others what the loop wrote."""
    with pytest.raises(TraceError, match="of which 3"):
        check(block(write(9, fresh=True), Repeat(10**9, (read(9), write(3, fresh=True)))))


def test_a_resident_tensor_is_there_for_later_blocks_until_it_begins_anew() -> None:
    made = block(Repeat(10, (write(10, 1),)), starts=(1,))
    check(made, block(read(100, 1)), block(read(100, 1)))
    with pytest.raises(TraceError, match="reads 100 bytes of x, of which 0"):
        check(made, block(read(100, 1), starts=(1,)))
