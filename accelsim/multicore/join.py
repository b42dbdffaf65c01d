"""Programs of single cores put side by side as one.

Every core has queues of its own (``core1.array``), and a queue ``core1.sync`` on which it waits for
what other cores make: at the beginning of a block that needs any of it there is one command there,
which waits for the last store of each of the producers and then takes the system's ``sync_cycles``;
every transfer of such a tensor waits for it. DRAM, a weight memory and the link are ports that all
share; a single DMA channel is a port of its core.

Over the link goes what one core makes and others need, first come first served, as long as the
shared buffer has room for all of it at once (space is not used twice). Network outputs stay in
DRAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from accelsim.arch.protection import protection_of
from accelsim.arch.system import System
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.slots import stream_share
from accelsim.multicore.assign import Assignment
from accelsim.multicore.parts import CoreNetwork, Value
from accelsim.parallel.regions import Region
from accelsim.program import (
    Block,
    Buffer,
    Command,
    Dependency,
    Node,
    Program,
    Repeat,
    Work,
    distinct,
)
from accelsim.taskgraph import TaskKind
from accelsim.workload.graph import Workload

SHARED = ("dram", "weights")
"""Ports of backing memories."""

_STORES = (TaskKind.STORE_OUTPUT, TaskKind.SPILL)


def core_name(core: int, name: str) -> str:
    """What a queue, port or structure of one core is called in the joined program."""
    return f"core{core}.{name}"


@dataclass(frozen=True)
class Joined:
    """One program for all cores, and what went where."""

    program: Program
    linked: tuple[Value, ...]
    """Tensors that travel over the link."""


def join(
    workload: Workload,
    system: System,
    assignment: Assignment,
    networks: Sequence[CoreNetwork],
    programs: Sequence[Program],
) -> Joined:
    """The programs of all cores as one. ``programs[c]`` has one block per part of core c."""
    linked = _linked(workload, system, assignment, networks)
    names = _ports(system, programs, linked)
    cores: list[_Core] = []
    queues: list[str] = []
    for number, network in enumerate(networks):
        cores.append(_Core(number, len(queues), names, network, programs[number], system, linked))
        queues += cores[-1].names
    blocks = _blocks(workload, assignment, cores, len(queues))
    order = tuple(op.name for op in workload.ops)
    return Joined(Program(tuple(queues), names, blocks, order), tuple(sorted(linked)))


def _linked(
    workload: Workload, system: System, assignment: Assignment, networks: Sequence[CoreNetwork]
) -> frozenset[Value]:
    """What fits the shared buffer, in the order in which it is made."""
    if system.link is None:
        return frozenset()
    crossing = {value for network in networks for value, _ in network.imports.values()}
    room, found = system.link.buffer_bytes, set()
    for part in assignment.parts:
        output = workload.ops[workload.position[part.op]].output
        value = output, part.image
        size = workload.tensors[output].bytes
        if value in crossing and value not in found and output not in workload.outputs:
            if size <= room:
                found.add(value)
                room -= size
            crossing.discard(value)
    return frozenset(found)


def _ports(
    system: System, programs: Sequence[Program], linked: frozenset[Value]
) -> tuple[str, ...]:
    """Ports by rank: those of cores, then the shared ones, as they are acquired."""
    own = [
        core_name(core, port)
        for core, program in enumerate(programs)
        for port in program.ports
        if port not in SHARED
    ]
    used = [name for name in SHARED if any(name in program.ports for program in programs)]
    return (*own, *used, *(("link",) if system.link is not None else ()))


class _Core:
    """One core's program, its commands renumbered; equal commands are made once."""

    def __init__(
        self,
        number: int,
        base: int,
        ports: tuple[str, ...],
        network: CoreNetwork,
        program: Program,
        system: System,
        linked: frozenset[Value],
    ) -> None:
        self.number, self.base, self.network = number, base, network
        self._program = program  # keeps alive what is known by identity
        self.blocks = iter(program.blocks)
        self.names = [core_name(number, name) for name in (*program.queues, "sync")]
        self.sync = base + len(program.queues)
        channels = [at for at, name in enumerate(program.queues) if name.startswith("dma")]
        self.store = base + channels[-1]
        self._ports = tuple(
            ports.index(port if port in SHARED else core_name(number, port))
            for port in program.ports
        )
        self.sync_cycles = system.sync_cycles
        self._system, self._linked = system, linked
        self._link = len(ports) - 1
        self._dram = ports.index("dram")
        self._pad = stream_share(system.cores[number].scratchpad)
        core = system.cores[number]
        checks = (protection_of(core, name).latency_cycles for name in ("scratchpad", "control"))
        self._setup = core.dma.setup_cycles + sum(checks)
        self._outputs = {op.name: op.output for op in network.workload.ops}
        self._made: dict[tuple[int, bool], Node] = {}
        self._buffers: dict[Buffer, Buffer] = {}

    def nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """Commands and loops of a block, in this core's queues of the joined program."""
        found: list[Node] = []
        for at, node in enumerate(nodes):
            after = nodes[at + 1] if at + 1 < len(nodes) else None
            ahead = self._announces(node, after)
            key = id(node), ahead
            made = self._made.get(key)
            if made is None:
                if isinstance(node, Repeat):
                    made = Repeat(node.count, tuple(self.nodes(node.body)))
                else:
                    made = self._command(node, ahead=ahead)
                self._made[key] = made
            found.append(made)
        return found

    def _announces(self, node: Node, after: Node | None) -> bool:
        """Whether a node is the set-up of a transfer over the link."""
        if not isinstance(node, Command) or not isinstance(after, Command):
            return False
        return node.work.kind is TaskKind.DMA_SETUP and self._over_link(after.work)

    def _over_link(self, work: Work) -> bool:
        return self.network.values.get(work.region) in self._linked if work.region else False

    def _command(self, command: Command, *, ahead: bool) -> Command:
        work, cycles = command.work, command.cycles
        deps = tuple((self.base + queue, back) for queue, back in command.deps)
        ports = tuple(sorted(self._ports[port] for port in command.ports))
        if work.region in self.network.imports and work.dram_read_bytes:
            deps = (*deps, (self.sync, 1))
        link = self._system.link
        if link is not None and ahead:
            cycles = max(1, self._setup + link.latency_cycles + self._pad.wait)
        elif link is not None and self._over_link(work):
            size = work.sram_read_bytes + work.sram_write_bytes
            rate = self._system.link_bytes_per_cycle
            cycles = max(_at(size, rate), _at(size, self._pad.rate))
            ports = tuple(sorted({*ports, self._link} - {self._dram}))
            work = replace(work, dram_read_bytes=0, dram_write_bytes=0)
        return Command(self.base + command.queue, cycles, work, deps, ports)

    def buffer(self, buffer: Buffer) -> Buffer:
        """A buffer in this core's memories."""
        found = self._buffers.get(buffer)
        if found is None:
            structure = core_name(self.number, buffer.structure)
            op = self.network.ops.get(buffer.op, buffer.op)
            found = self._buffers[buffer] = replace(buffer, structure=structure, op=op)
        return found

    def exports(self, block: Block) -> bool:
        """Whether a block writes its output to a shared memory, if anybody needs it there."""
        output = self._outputs[block.op]
        if output not in self.network.workload.outputs:
            return True
        works = (command.work for command, _ in distinct(block.body))
        return any(w.region == output and w.kind in _STORES for w in works)

    def imported(self, block: Block) -> set[str]:
        """What other cores make and this block brings in."""
        regions = {command.work.region for command, _ in distinct(block.body)}
        return regions & set(self.network.imports)


Made = dict[Value, list[tuple[int, int, Region]]]
"""Value -> (store queue, position of the last store, region) of each of its parts so far."""


def _blocks(
    workload: Workload, assignment: Assignment, cores: Sequence[_Core], queues: int
) -> tuple[Block, ...]:
    """All blocks in the order of the assignment, with the waits for other cores."""
    counts = [0] * queues
    made: Made = {}
    found: list[Block] = []
    steps: dict[tuple[str, int], int] = {}
    for part in assignment.parts:
        core = cores[part.core]
        block = next(core.blocks)
        body = core.nodes(block.body)
        imported = core.imported(block)
        if imported:
            wanted = [core.network.imports[name] for name in sorted(imported)]
            body.insert(0, _wait(core, wanted, made, counts))
        step = steps.setdefault((part.op, part.image), len(steps))
        buffers = tuple(map(core.buffer, block.buffers))
        found.append(Block(part.op, step, tuple(body), buffers, block.starts))
        for queue, count in found[-1].counts.items():
            counts[queue] += count
        output = workload.ops[workload.position[part.op]].output
        assert core.exports(block), f"core {core.number}: '{block.op}' keeps what others need"
        entry = core.store, counts[core.store], part.region
        made.setdefault((output, part.image), []).append(entry)
    return tuple(found)


def _wait(
    core: _Core, wanted: Sequence[tuple[Value, Region]], made: Made, counts: Sequence[int]
) -> Command:
    """The command that waits for all that a block imports. A core's own stores it waits for anyway:
    whoever loads waits for the stores of the core's steps before."""
    last: dict[int, int] = {}
    for value, region in wanted:
        for queue, position, piece in made[value]:
            if queue != core.store and piece.overlaps(region):
                last[queue] = max(last.get(queue, 0), position)
    deps: tuple[Dependency, ...] = tuple(
        (queue, counts[queue] - last[queue] + 1) for queue in sorted(last)
    )
    return Command(core.sync, core.sync_cycles, Work(TaskKind.DMA_SETUP), deps)


def _at(size: int, rate: Fraction) -> int:
    """Cycles that ``size`` bytes take at ``rate`` bytes per cycle."""
    return ceil_div(size * rate.denominator, rate.numerator)
