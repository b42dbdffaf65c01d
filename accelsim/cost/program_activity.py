"""Totals of a folded program: every distinct command once, times how often it runs.

The folded twin of :func:`accelsim.cost.activity.graph_activity`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from accelsim.arch.parts import Accelerator
from accelsim.cost.activity import Activity, activity_of
from accelsim.dataflow.counts import ceil_div
from accelsim.program import Block, Command, Program, Work, distinct

Values = tuple[int, ...]
"""The fields of an :class:`Activity` in order."""


class ProgramActivity:
    """Activities of the blocks of programs for one machine; equal commands are worked out once."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._known: dict[object, Values] = {}

    def block(self, block: Block) -> Activity:
        """Totals of one block; ``cycles`` stays 0."""
        return Activity(*self._total((block,)))

    def program(self, program: Program) -> Activity:
        """Totals of all blocks."""
        return Activity(*self._total(program.blocks))

    def _total(self, blocks: Iterable[Block]) -> Values:
        often: dict[Values, int] = {}
        for block in blocks:
            for command, times in distinct(block.body):
                one = self._command(command, block)
                often[one] = often.get(one, 0) + times
        return tuple(
            sum(one[column] * times for one, times in often.items())
            for column in range(len(fields(Activity)))
        )

    def _command(self, command: Command, block: Block) -> Values:
        work = command.work
        held = self._stationary(work, block) if work.macs else 0
        key = (
            work.kind, command.cycles, held, work.dram_read_bytes, work.dram_write_bytes,
            work.sram_read_bytes, work.sram_write_bytes, work.accumulator_read_bytes,
            work.accumulator_write_bytes, work.macs, work.vector_ops,
        )  # fmt: skip
        found = self._known.get(key)
        if found is None:
            one = activity_of(work, command.cycles, self._accelerator, stationary=held)
            found = self._known[key] = tuple(getattr(one, field.name) for field in fields(one))
        return found

    def _stationary(self, work: Work, block: Block) -> int:
        """Elements of the operand that stays in the PEs, see ``graph_activity``."""
        array = self._accelerator.array
        if array.dataflow not in ("ws", "is"):
            return 0
        operands = [
            touch.bytes
            for touch in work.reads
            if block.buffers[touch.buffer].kind in ("weight", "activation")
        ]
        if not operands or (array.dataflow == "is" and len(operands) < 2):
            return 0
        size = operands[-1] if array.dataflow == "ws" else operands[0]
        bits = array.weight_bits if array.dataflow == "ws" else array.operand_bits
        return size // ceil_div(bits, 8)
