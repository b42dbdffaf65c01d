"""Every transfer goes to where its tensor is kept: checked on a program, at any size.

What lies where in a level, and that a read finds what was written, is checked as for the scratchpad
(:mod:`~accelsim.sim.addresses`, :mod:`~accelsim.sim.written`, by the cycle
:func:`~accelsim.sim.check.check_placement`): a level is one more structure with values in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from accelsim.plan import Home
from accelsim.program import Program, Work, distinct
from accelsim.sim.check import TraceError
from accelsim.taskgraph import TaskKind


def check_homes(program: Program, homes: Sequence[Home]) -> None:
    """Raise :class:`TraceError` where

    - a tensor with a home moves between scratchpad and another memory, or outside of its life;
    - a tensor without one moves to or from a level;
    - a copy happens that no home asks for, or at another time, or does not happen;
    - the bytes in and out of a tensor's home are not those that the plan counted.
    """
    found = list(_violations(program, {home.tensor: home for home in homes}))
    if found:
        raise TraceError(tuple(found))


def _violations(program: Program, homes: Mapping[str, Home]) -> Iterator[str]:
    moved = dict.fromkeys({home.level for home in homes.values()}, (0, 0))
    copies: dict[str, int] = {}
    for block in program.blocks:
        for command, times in distinct(block.body):
            work = command.work
            home = homes.get(work.region)
            name = f"{block.op}, {work.kind.value} of {work.region}"
            if work.level:
                read, written = moved.get(work.level, (0, 0))
                moved[work.level] = (
                    read + times * work.level_read_bytes,
                    written + times * work.level_write_bytes,
                )
            if work.kind is TaskKind.COPY:
                copies[work.region] = copies.get(work.region, 0) + times
                if home is None or block.step != home.first or not _asked(work, home):
                    yield f"{name}: no home asks for it"
            elif home is None:
                if work.level:
                    yield f"{name} uses level {work.level}, but that is no home of it"
            elif work.level != home.level or work.dram_read_bytes or work.dram_write_bytes:
                yield f"{name} does not use its home, level {home.level}"
            elif not home.first <= block.step <= home.last:
                yield f"{name} in step {block.step}, outside of its life in {home.level}"
    for home in homes.values():
        wanted = int(home.copied_in) + int(home.copied_out)
        if copies.get(home.tensor, 0) != wanted:
            yield f"{home.tensor} is copied {copies.get(home.tensor, 0)} times, not {wanted}"
    yield from _totals(moved, homes)


def _asked(work: Work, home: Home) -> bool:
    inward = work.dram_read_bytes == work.level_write_bytes == home.bytes and home.copied_in
    outward = work.dram_write_bytes == work.level_read_bytes == home.bytes and home.copied_out
    return work.level == home.level and (inward or outward)


def _totals(moved: Mapping[str, tuple[int, int]], homes: Mapping[str, Home]) -> Iterator[str]:
    for level, (read, written) in moved.items():
        mine = [home for home in homes.values() if home.level == level]
        planned = sum(h.level_read_bytes for h in mine), sum(h.level_written_bytes for h in mine)
        if (read, written) != planned:
            yield (
                f"{level}: {read} B read and {written} B written, planned {planned[0]} B and "
                f"{planned[1]} B"
            )
