"""Lossless files of folded traces: gzip of JSON, schema ``accelsim/trace/v2``.

A program and what happened, both as they are: loops and recurrences stay what they are, equal
parts (works, commands, bodies, lists of buffers) are stored once and referred to by number. A list
refers only to what stands before it, so no file can hold a cycle. Size and time of writing and
reading grow with the distinct parts, not with the commands.

Same trace, same bytes. Reading checks everything that :mod:`accelsim.sim.expand` relies on, see
:mod:`accelsim.sim.trace_sound`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from accelsim.program import (
    Block,
    Buffer,
    Command,
    Dependency,
    Node,
    Program,
    Repeat,
    Touch,
    Work,
)
from accelsim.sim import rle
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.trace import Trace
from accelsim.sim.trace_sound import require_sound
from accelsim.sim.trace_text import bad, integers_of, items_of, names_of, packed, unpacked
from accelsim.taskgraph import TaskKind

SCHEMA = "accelsim/trace/v2"
DEEPEST = 64
"""Most loops or recurrences inside each other."""

MOST_NODES = 5_000_000
"""Most commands and loops of all blocks as written, those in equal bodies counted every time."""

_COUNTS = (
    "dram_read_bytes", "dram_write_bytes", "sram_read_bytes", "sram_write_bytes",
    "accumulator_read_bytes", "accumulator_write_bytes", "macs", "vector_ops",
)  # fmt: skip
_MORE_COUNTS = (*_COUNTS, "weight_read_bytes")
"""Where the last one is not 0: commands of a split scratchpad."""


def dump_folded(trace: FoldedTrace) -> bytes:
    """Encode ``trace`` whole: :func:`load_folded` gives back an equal one. AccelsimError R502 for
    one that no file holds."""
    program, tables = trace.program, _Tables()
    blocks = [
        [block.op, block.step, tables.body(block.body), tables.buffers(block.buffers), block.starts]
        for block in program.blocks
    ]
    document = {
        "schema": SCHEMA,
        "queues": program.queues,
        "ports": program.ports,
        "op_order": program.op_order,
        "cycles": trace.cycles,
        "steps": trace.steps,
        "works": tables.works.rows,
        "commands": tables.commands.rows,
        "bodies": tables.bodies.rows,
        "buffers": tables.buffer_lists.rows,
        "blocks": blocks,
        "items": _item_rows(trace.items),
    }
    return packed(document, f"a trace of {len(program.blocks)} blocks")


def load_folded(data: bytes) -> FoldedTrace:
    """Decode what :func:`dump_folded` wrote. Anything else raises AccelsimError (R501)."""
    return _folded(unpacked(data))


def read_trace(data: bytes) -> FoldedTrace | Trace:
    """A trace file of any version: folded, or (version 1) one row per task. AccelsimError R501."""
    document = unpacked(data)
    return rle.trace_of(document) if document.get("schema") == rle.SCHEMA else _folded(document)


# --- writing ----------------------------------------------------------------------------------


class _Table:
    """Rows, equal ones once."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._known: dict[Hashable, int] = {}

    def put(self, key: Hashable, row: Callable[[], Any]) -> int:
        """Number of the row for ``key``, made if it is new."""
        found = self._known.get(key)
        if found is None:
            made = row()  # may put other rows first
            found = self._known[key] = len(self.rows)
            self.rows.append(made)
        return found


class _Tables:
    def __init__(self) -> None:
        self.works, self.commands = _Table(), _Table()
        self.bodies, self.buffer_lists = _Table(), _Table()

    def body(self, body: tuple[Node, ...]) -> int:
        """Nodes: a command by its number, a loop as (count, body)."""
        return self.bodies.put(
            body,
            lambda: [
                self._command(node)
                if isinstance(node, Command)
                else [node.count, self.body(node.body)]
                for node in body
            ],
        )

    def buffers(self, buffers: tuple[Buffer, ...]) -> int:
        return self.buffer_lists.put(
            buffers,
            lambda: [
                [b.structure, b.kind, b.tensor, b.op, b.addresses, b.resident_bytes]
                for b in buffers
            ],
        )

    def _command(self, command: Command) -> int:
        return self.commands.put(
            command,
            lambda: [
                command.queue, command.cycles, self._work(command.work), command.deps,
                command.ports,
            ],
        )  # fmt: skip

    def _work(self, work: Work) -> int:
        return self.works.put(
            work,
            lambda: [
                work.kind.value,
                [_touch_row(touch) for touch in work.reads],
                [_touch_row(touch) for touch in work.writes],
                [
                    getattr(work, name)
                    for name in (_MORE_COUNTS if work.weight_read_bytes else _COUNTS)
                ],
                work.region,
                # Only the array has dataflows, only transfers have levels.
                *([work.dataflow] if work.dataflow else ()),
                *_level_row(work),
            ],
        )


def _level_row(work: Work) -> list[Any]:
    if not work.level:
        return []
    return [[work.level, work.level_read_bytes, work.level_write_bytes]]


def _touch_row(touch: Touch) -> list[int]:
    return [touch.buffer, touch.bytes, int(touch.fresh), int(touch.from_start)]


def _item_rows(items: tuple[Item, ...]) -> list[Any]:
    """Events as five numbers, recurrences as four entries."""
    return [
        [item.queue, item.index, item.ready, item.start, item.end]
        if isinstance(item, Event)
        else [item.count, item.cycles, item.advance, _item_rows(item.items)]
        for item in items
    ]


# --- reading ----------------------------------------------------------------------------------


def _folded(document: dict[str, Any]) -> FoldedTrace:
    if document.get("schema") != SCHEMA:
        bad(f"its schema is not {SCHEMA}")
    queues = names_of(document.get("queues"), "queues")
    ports = names_of(document.get("ports"), "ports")
    cycles, steps = _numbers([document.get("cycles"), document.get("steps")], 2)
    program = Program(
        queues, ports, _blocks(document), names_of(document.get("op_order"), "op_order")
    )
    items = _items(document.get("items"), 0)
    trace = FoldedTrace(program, items, cycles, steps)
    require_sound(trace)
    return trace


def _blocks(document: dict[str, Any]) -> tuple[Block, ...]:
    works = [_work(row) for row in items_of(document.get("works"), "works")]
    commands = [_command(row, works) for row in items_of(document.get("commands"), "commands")]
    bodies: list[tuple[Node, ...]] = []
    depths: list[int] = []
    sizes: list[int] = []
    for row in items_of(document.get("bodies"), "bodies"):
        depth = size = 0
        nodes: list[Node] = []
        for entry in items_of(row, "body"):
            if type(entry) is int:
                nodes.append(commands[_place(entry, commands)])
                continue
            count, at = _numbers(entry, 2)
            if count < 1:
                bad("a loop has a wrong count")
            depth = max(depth, 1 + depths[_place(at, bodies)])
            size += sizes[at]
            nodes.append(Repeat(count, bodies[at]))
        if depth > DEEPEST:
            bad("its loops are nested too deep")
        bodies.append(tuple(nodes))
        depths.append(depth)
        sizes.append(size + len(nodes))
    lists = [
        tuple(_buffer(entry) for entry in items_of(row, "buffers"))
        for row in items_of(document.get("buffers"), "buffers")
    ]
    rows = items_of(document.get("blocks"), "blocks")
    blocks = tuple(_block(row, bodies, lists) for row in rows)
    size_of = {id(body): size for body, size in zip(bodies, sizes, strict=True)}
    if sum(size_of[id(block.body)] for block in blocks) > MOST_NODES:
        bad(f"its program has more than {MOST_NODES} commands and loops")
    return blocks


def _block(row: object, bodies: list[tuple[Node, ...]], lists: list[tuple[Buffer, ...]]) -> Block:
    op, step, body, buffers, starts = _fields(row, 5)
    _numbers([step, body, buffers], 3)
    return Block(
        _text(op), step, bodies[_place(body, bodies)], lists[_place(buffers, lists)],
        integers_of(starts),
    )  # fmt: skip


def _work(row: object) -> Work:
    entries = items_of(row, "a record")
    kind, reads, writes, counts, region = _fields(entries[:5], 5)
    more = _fields(entries[5:], 1)[0] if entries[5:] else ""
    # A dataflow, where the array has several, or what is moved to and from a memory level.
    flow, level, near = ("", *_level(more)) if isinstance(more, list) else (_text(more), "", (0, 0))
    if not isinstance(kind, str) or kind not in set(TaskKind):
        bad("a command does something unknown")
    split = isinstance(counts, list) and len(counts) == len(_MORE_COUNTS)
    names = _MORE_COUNTS if split else _COUNTS
    numbers = _numbers(counts, len(names))
    if min(*numbers, *near) < 0:
        bad("a command moves or computes less than nothing")
    pairs = [*zip(names, numbers, strict=True)]
    return Work(
        TaskKind(kind), _touches(reads), _touches(writes), **dict(pairs), region=_text(region),
        dataflow=flow, level=level, level_read_bytes=near[0], level_write_bytes=near[1],
    )  # fmt: skip


def _level(row: list[Any]) -> tuple[str, tuple[int, ...]]:
    """Name of the memory level that a command uses, and bytes read and written there."""
    name, *counts = _fields(row, 3)
    return _text(name), _numbers(counts, 2)


def _touches(rows: object) -> tuple[Touch, ...]:
    found = []
    for row in items_of(rows, "touches"):
        buffer, size, fresh, early = _numbers(row, 4)
        if fresh not in (0, 1) or early not in (0, 1):
            bad("a flag is neither 0 nor 1")
        found.append(Touch(buffer, size, bool(fresh), bool(early)))
    return tuple(found)


def _command(row: object, works: list[Work]) -> Command:
    queue, cycles, work, deps, ports = _fields(row, 5)
    queue, cycles, work = _numbers([queue, cycles, work], 3)
    pairs: list[Dependency] = []
    for dep in items_of(deps, "dependencies"):
        other, back = _numbers(dep, 2)
        pairs.append((other, back))
    return Command(queue, cycles, works[_place(work, works)], tuple(pairs), integers_of(ports))


def _buffer(row: object) -> Buffer:
    *names, addresses, resident = _fields(row, 6)
    (size,) = _numbers([resident], 1)
    structure, kind, tensor, op = (_text(name) for name in names)
    return Buffer(structure, kind, tensor, op, integers_of(addresses), size)


def _items(rows: object, depth: int) -> tuple[Item, ...]:
    if depth > DEEPEST:
        bad("its recurrences are nested too deep")
    found: list[Item] = []
    for row in items_of(rows, "items"):
        if isinstance(row, list) and len(row) == 5:
            queue, index, ready, start, end = integers_of(row)
            found.append(Event(queue, index, ready, start, end))
            continue
        count, cycles, advance, inner = _fields(row, 4)
        _numbers([count, cycles], 2)
        found.append(Recurrence(count, cycles, integers_of(advance), _items(inner, depth + 1)))
    return tuple(found)


def _fields(row: object, width: int) -> list[Any]:
    fields = items_of(row, "a record")
    if len(fields) != width:
        bad("a record has a wrong number of entries")
    return fields


def _numbers(row: object, width: int) -> tuple[int, ...]:
    numbers = integers_of(row)
    if len(numbers) != width:
        bad("a record has a wrong number of numbers")
    return numbers


def _place(at: object, table: list[Any]) -> int:
    """A reference to a row that stands in ``table`` already."""
    if type(at) is not int or not 0 <= at < len(table):
        bad("a reference leads nowhere")
    return at


def _text(name: object) -> str:
    if not isinstance(name, str):
        bad("a name is no text")
    return name
