"""The commands of one block put to use for another of the same shape."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.program import Buffer, Command, Node, Repeat, Work


def relabelled(nodes: Sequence[Node], buffers: Sequence[Buffer]) -> tuple[Node, ...]:
    """The same commands for a block with other ``buffers``, number for number: transfers name the
    tensor of the first buffer that they fill or empty, the rest carries no names."""
    return tuple(_Relabelling(buffers).nodes(nodes))


class _Relabelling:
    """What has been renamed so far, by identity."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._names = [buffer.tensor for buffer in buffers]
        self._made: dict[int, Command] = {}
        self._works: dict[int, Work] = {}

    def nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes renamed; those that carry no names are kept as they are."""
        found: list[Node] = []
        made = self._made
        for node in nodes:
            if isinstance(node, Repeat):
                found.append(Repeat(node.count, tuple(self.nodes(node.body))))
            elif node.work.region:
                found.append(made.get(id(node)) or self._command(node))
            else:
                found.append(node)
        return found

    def _command(self, command: Command) -> Command:
        work = self._works.get(id(command.work)) or self._work(command.work)
        made = Command(command.queue, command.cycles, work, command.deps, command.ports)
        self._made[id(command)] = made
        return made

    def _work(self, work: Work) -> Work:
        touched = (work.writes or work.reads)[0].buffer
        # Field by field: several times as fast as dataclasses.replace, and this is most of the cost
        # of lowering an operator that is known.
        made = self._works[id(work)] = Work(
            work.kind,
            work.reads,
            work.writes,
            work.dram_read_bytes,
            work.dram_write_bytes,
            work.sram_read_bytes,
            work.sram_write_bytes,
            work.accumulator_read_bytes,
            work.accumulator_write_bytes,
            work.macs,
            work.vector_ops,
            self._names[touched],
            work.weight_read_bytes,
            work.dataflow,
            work.level,
            work.level_read_bytes,
            work.level_write_bytes,
        )
        return made
