"""Totals of a folded program: every distinct command once, times how often it runs.

The folded twin of :func:`accelsim.cost.activity.graph_activity`.
"""

from __future__ import annotations

from collections.abc import Iterable

from accelsim.arch.parts import Accelerator
from accelsim.cost.activity import (
    SINGLE,
    Activity,
    activity_of,
    graph_activity,
    held_operands,
)
from accelsim.program import Block, Command, Node, Program, Repeat
from accelsim.taskgraph import Task, TaskGraph

Values = tuple[int, ...]
"""The figures of an :class:`Activity` in order."""


class ProgramActivity:
    """Activities of the blocks of programs for one machine; equal commands are worked out once."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._known: dict[object, Values] = {}
        self._columns = len(SINGLE) + 2 * len(accelerator.levels)

    def block(self, block: Block) -> Activity:
        """Totals of one block; ``cycles`` stays 0."""
        return Activity.of(self._total((block,)))

    def program(self, program: Program) -> Activity:
        """Totals of all blocks."""
        return Activity.of(self._total(program.blocks))

    def _total(self, blocks: Iterable[Block]) -> Values:
        alike: dict[int, list[Block]] = {}
        for block in blocks:
            alike.setdefault(id(block.timing), []).append(block)
        often: dict[Values, int] = {}
        for same in alike.values():
            for command, times in works_of(same[0].body):
                one = self._command(command, same[0])
                often[one] = often.get(one, 0) + times * len(same)
        return tuple(
            sum(one[column] * times for one, times in often.items())
            for column in range(self._columns)
        )

    def _command(self, command: Command, block: Block) -> Values:
        work = command.work
        reads = ((block.buffers[touch.buffer].kind, touch.bytes) for touch in work.reads)
        held = held_operands(reads, self._accelerator, work.dataflow) if work.macs else 0
        key = (
            work.kind, command.cycles, held, work.dram_read_bytes, work.dram_write_bytes,
            work.sram_read_bytes, work.sram_write_bytes, work.accumulator_read_bytes,
            work.accumulator_write_bytes, work.macs, work.vector_ops, work.weight_read_bytes,
            work.dataflow, work.level, work.level_read_bytes, work.level_write_bytes,
        )  # fmt: skip
        found = self._known.get(key)
        if found is None:
            one = activity_of(work, command.cycles, self._accelerator, stationary=held)
            found = self._known[key] = one.values
        return found


def works_of(body: tuple[Node, ...]) -> Iterable[tuple[Command, int]]:
    """A command for each work (of one object and duration) in a body, and how often it is executed:
    loops issue the same work with various dependencies."""
    found: dict[tuple[int, int], tuple[Command, int]] = {}
    _add_works(body, 1, found)
    return found.values()


def _add_works(
    body: tuple[Node, ...], times: int, found: dict[tuple[int, int], tuple[Command, int]]
) -> None:
    for node in body:
        if isinstance(node, Repeat):
            _add_works(node.body, times * node.count, found)
            continue
        key = id(node.work), node.cycles
        known = found.get(key)
        found[key] = (node, times) if known is None else (known[0], known[1] + times)


def activity_by_op(graph: TaskGraph | Program, accelerator: Accelerator) -> dict[str, Activity]:
    """Totals per operator in execution order; ``cycles`` stays 0."""
    if isinstance(graph, Program):
        folded, zero = ProgramActivity(accelerator), Activity()
        found = dict.fromkeys(graph.op_order, zero)
        for block in graph.blocks:
            found[block.op] = found.get(block.op, zero) + folded.block(block)
        return found
    tasks: dict[str, list[Task]] = {name: [] for name in graph.op_order}
    for task in graph.tasks:
        tasks.setdefault(task.op, []).append(task)
    return {op: graph_activity(graph, accelerator, mine) for op, mine in tasks.items()}
