"""Addresses of a program, checked step by step at any size.

:func:`accelsim.sim.check.check_placement` judges addresses by simulated time and looks at every
command. This is its coarse sibling for programs of any size: within one block, and over the blocks
that a resident tensor outlives, no two values share bytes, nor does what one block may write before
the block ahead of it has ended with anything of that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from accelsim.program import Block, Program, distinct
from accelsim.sim.check import TraceError
from accelsim.sim.overtaking import Early, Overtaking

Place = tuple[int, int, str]
"""First address, past the last one, tensor."""


def check_addresses(program: Program, capacities: Mapping[str, int]) -> None:
    """Raise :class:`TraceError` where two values of one structure share bytes in one block, or one
    lies outside of [0, ``capacities[structure]``) bytes. Structures without a capacity are not
    looked at."""
    found = list(_violations(program, capacities))
    if found:
        raise TraceError(tuple(found))


def _violations(program: Program, capacities: Mapping[str, int]) -> Iterator[str]:
    begun: dict[tuple[str, str], Place] = {}
    endings = _endings(program)
    overtaking = Overtaking(program)
    before: dict[str, list[Place]] = {}
    for number, block in enumerate(program.blocks):
        for early in overtaking.block(number):
            if early.structure in capacities:
                yield from _overwrites(block, early, before.get(early.structure, []))
        for at in block.starts:
            buffer = block.buffers[at]
            low = buffer.addresses[0]
            begun[buffer.structure, buffer.tensor] = low, low + buffer.resident_bytes, buffer.tensor
        for structure, capacity in capacities.items():
            places = [place for (where, _), place in begun.items() if where == structure]
            places += _tiles(block, structure)
            yield from _in_block(block, structure, capacity, places)
            before[structure] = places
        for key in endings.get(number, ()):
            begun.pop(key, None)


def _overwrites(block: Block, early: Early, before: list[Place]) -> Iterator[str]:
    """What may be written too early, over values of the block ahead."""
    name = f"{block.op}: {early.tensor} at bytes [{early.address}, {early.address + early.bytes})"
    if early.behind > 1:
        yield f"{name} may be written before the end of the step before the previous one"
    for low, high, tensor in before:
        if low < early.address + early.bytes and early.address < high:
            yield (
                f"{name} may overwrite {tensor} at [{low}, {high}) of the step before in "
                f"{early.structure}"
            )


def _endings(program: Program) -> dict[int, list[tuple[str, str]]]:
    """Block -> (structure, tensor) of the residencies that no later block touches, before a block
    begins the tensor anew."""
    last: dict[tuple[str, str], int] = {}
    found: dict[int, list[tuple[str, str]]] = {}
    for number, block in enumerate(program.blocks):
        for at in block.starts:
            key = block.buffers[at].structure, block.buffers[at].tensor
            if key in last:
                found.setdefault(last[key], []).append(key)
        for buffer in block.buffers:
            if buffer.resident_bytes:
                last[buffer.structure, buffer.tensor] = number
    for key, number in last.items():
        found.setdefault(number, []).append(key)
    return found


def _tiles(block: Block, structure: str) -> list[Place]:
    """Slots of the tile buffers, as large as the largest value in them."""
    sizes: dict[int, int] = {}
    for command, _ in distinct(block.body):
        for touch in command.work.writes:
            if touch.fresh:
                sizes[touch.buffer] = max(sizes.get(touch.buffer, 0), touch.bytes)
    return [
        (address, address + size, block.buffers[at].tensor)
        for at, size in sizes.items()
        if block.buffers[at].structure == structure
        for address in block.buffers[at].addresses
    ]


def _in_block(block: Block, structure: str, capacity: int, places: list[Place]) -> Iterator[str]:
    taken = sorted(place for place in places if place[0] < place[1])
    for low, high, tensor in taken:
        if low < 0 or high > capacity:
            yield (
                f"{block.op}: {tensor} at bytes [{low}, {high}) is outside of {structure}, which "
                f"has {capacity}"
            )
    for one, other in pairwise(taken):
        if other[0] < one[1]:
            yield (
                f"{block.op}: {one[2]} at bytes [{one[0]}, {one[1]}) and {other[2]} at "
                f"[{other[0]}, {other[1]}) overlap in {structure}"
            )
