"""Addresses step by step: tile buffers, residents and what outlives a block."""

from __future__ import annotations

import pytest

from accelsim.program import Block, Buffer, Command, Program, Repeat, Touch, Work
from accelsim.sim.addresses import check_addresses
from accelsim.sim.check import TraceError
from accelsim.taskgraph import TaskKind


def tiles(op: str, *addresses: int, size: int = 32) -> Block:
    """A block with one buffer of tiles."""
    load = Work(TaskKind.LOAD_WEIGHT, writes=(Touch(0, size, fresh=True),))
    buffer = Buffer("scratchpad", "weight", f"w.{op}", op, addresses)
    return Block(op, 0, (Repeat(10**9, (Command(0, 1, load),)),), (buffer,))


def holding(op: str, address: int, *, starts: bool) -> Block:
    """A block that touches the resident tensor ``x`` of 64 bytes, which it may begin."""
    buffer = Buffer("scratchpad", "activation", "x", "a", (address,), 64)
    touch = Work(TaskKind.VECTOR, reads=(Touch(0, 64),))
    return Block(op, 0, (Command(0, 1, touch),), (buffer,), (0,) if starts else ())


def check(*blocks: Block, capacity: int = 128) -> None:
    check_addresses(Program(("q",), (), blocks), {"scratchpad": capacity})


def test_disjoint_places_are_accepted() -> None:
    check(tiles("a", 0, 32), holding("b", 64, starts=True), tiles("c", 0, 32))
    check(holding("a", 0, starts=True), tiles("b", 64, 96), holding("c", 0, starts=False))


def test_slots_of_a_buffer_that_overlap_are_found() -> None:
    with pytest.raises(TraceError, match="overlap in scratchpad"):
        check(tiles("a", 0, 31))


@pytest.mark.parametrize("address", [97, -1])
def test_a_slot_outside_of_the_structure_is_found(address: int) -> None:
    with pytest.raises(TraceError, match="outside of scratchpad, which has 128"):
        check(tiles("a", address))


def test_a_tensor_that_outlives_blocks_keeps_its_bytes_until_its_last_use() -> None:
    first, last = holding("a", 0, starts=True), holding("c", 0, starts=False)
    with pytest.raises(TraceError, match="b: "):
        check(first, tiles("b", 63), last)
    check(first, last, tiles("b", 63))


def test_a_tensor_that_is_dropped_and_loaded_again_gives_its_bytes_back_in_between() -> None:
    check(holding("a", 0, starts=True), tiles("b", 0, 32), holding("c", 64, starts=True))
    with pytest.raises(TraceError, match="d: "):
        check(
            holding("a", 0, starts=True), holding("c", 64, starts=True), tiles("d", 64),
            holding("e", 64, starts=False),
        )  # fmt: skip


def test_structures_without_a_capacity_are_not_looked_at() -> None:
    check_addresses(Program(("q",), (), (tiles("a", 0, 1),)), {"accumulators": 10})


# --- before the block ahead has ended -----------------------------------------------------------

DMA, VECTOR = 0, 1


def fetching(op: str, address: int, *deps: tuple[int, int]) -> Block:
    """A block that loads 32 bytes after ``deps``, and computes with them after that."""
    buffer = Buffer("weight_scratchpad", "weight", f"w.{op}", op, (address,))
    load = Work(TaskKind.LOAD_WEIGHT, writes=(Touch(0, 32, fresh=True),))
    compute = Work(TaskKind.VECTOR, reads=(Touch(0, 32),))
    body = Command(DMA, 1, load, deps), Command(VECTOR, 1, compute, ((DMA, 1),))
    return Block(op, 0, body, (buffer,))


def check_queues(*blocks: Block) -> None:
    check_addresses(Program(("dma.0", "vector"), (), blocks), {"weight_scratchpad": 128})


def test_a_load_that_waits_for_the_block_ahead_may_take_its_bytes() -> None:
    waits = ((VECTOR, 1),)
    check_queues(fetching("a", 0), fetching("b", 0, *waits), fetching("c", 0, *waits))


def test_a_load_that_comes_early_needs_bytes_of_its_own() -> None:
    last_but_one = (VECTOR, 2)
    check_queues(fetching("a", 0), fetching("b", 32), fetching("c", 0, last_but_one))
    with pytest.raises(TraceError, match=r"b: w\.b at bytes \[31, 63\) may overwrite w\.a"):
        check_queues(fetching("a", 0), fetching("b", 31))


def test_a_load_that_waits_for_nothing_is_too_early_for_two_blocks() -> None:
    with pytest.raises(TraceError, match="before the end of the step before the previous one"):
        check_queues(fetching("a", 0), fetching("b", 32), fetching("c", 64))
    # The queue of its load has waited for the first block already.
    check_queues(fetching("a", 0), fetching("b", 32, (VECTOR, 1)), fetching("c", 64))


def test_waiting_for_something_that_waited_is_waiting() -> None:
    """The second load of a block waits through the first one, on the same queue."""
    block = fetching("b", 64, (VECTOR, 1))
    own = Buffer("weight_scratchpad", "weight", "more", "b", (0,))
    more = Work(TaskKind.LOAD_WEIGHT, writes=(Touch(1, 32, fresh=True),))
    body = block.body[0], Command(DMA, 1, more), block.body[1]
    check_queues(fetching("a", 0), Block("b", 1, body, (*block.buffers, own)))
