"""Lossless trace files: gzip of JSON, schema ``accelsim/trace/v1``, with repetition coded once.

A trace is a list of records (tasks with their times, and values), each a *shape* (operator, kind,
resources, numbers of accesses) and a vector of whole numbers. Tile loops repeat blocks of records
whose numbers advance by a constant step: times by the period of the loop, tile and value numbers by
what one turn consumes. Such a repetition is stored as its first block, the step of every number and
a count; what does not repeat is stored as it is. References to other tasks are stored relative to
the task itself, so that they stay constant along a loop.

Same trace, same bytes. Loading checks the sizes that a file claims before taking memory for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accelsim.errors import AccelsimError, Mistake
from accelsim.sim.trace import Trace, TraceRow
from accelsim.sim.trace_text import bad, integers_of, items_of, names_of, packed, too_long, unpacked
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value

SCHEMA = "accelsim/trace/v1"
MAX_NUMBERS = 50_000_000
"""Limit of the numbers that all records together expand to."""
LONGEST_BLOCK = 96
"""Longest repeating block, in records, that the coder looks for."""

_FEWEST_TURNS = 3  # two records always differ by some constant step: three show a repetition
_COUNTS = (
    "dram_read_bytes", "dram_write_bytes", "sram_read_bytes", "sram_write_bytes",
    "accumulator_read_bytes", "accumulator_write_bytes", "macs", "vector_ops",
)  # fmt: skip
_FIXED = 3 + 3 + len(_COUNTS)  # step, tile, cycles; ready, start, end; counts

Record = tuple[int, tuple[int, ...]]
"""Index of a shape, and the numbers of that shape."""


def dump_trace(trace: Trace) -> bytes:
    """Encode ``trace`` whole: :func:`load_trace` gives back an equal one.

    Raises AccelsimError (R502) for a trace above the limits that loading accepts, or one of a
    machine with a split scratchpad or memory levels, AssertionError for one whose tasks, rows or
    values are not numbered by position.
    """
    shapes: dict[tuple[Any, ...], int] = {}
    tasks = [
        _task_record(position, task, row, shapes)
        for position, (task, row) in enumerate(zip(trace.graph.tasks, trace.rows, strict=True))
    ]
    what = f"a trace of {len(tasks)} tasks"
    if any(task.weight_read_bytes or task.level for task in trace.graph.tasks):
        message = f"{what} of a machine with a split scratchpad or memory levels, which this form "
        message += "does not know"
        raise AccelsimError(Mistake("R502", message, "the folded form (accelsim.sim.trace_file)"))
    owners: dict[tuple[Any, ...], int] = {}
    values = [_value_record(at, value, owners) for at, value in enumerate(trace.graph.values)]
    document = {
        "schema": SCHEMA,
        "resources": trace.graph.resources,
        "op_order": trace.graph.op_order,
        "shapes": list(shapes),
        "owners": list(owners),
        "tasks": list(_compress(tasks)),
        "values": list(_compress(values)),
    }
    if sum(len(r[1]) + 1 for r in tasks + values) > MAX_NUMBERS:
        raise too_long(what)
    return packed(document, what)


def load_trace(data: bytes) -> Trace:
    """Decode what :func:`dump_trace` wrote. Anything else raises AccelsimError (R501)."""
    return trace_of(unpacked(data))


def trace_of(document: dict[str, Any]) -> Trace:
    """The trace in an unpacked document. Anything else raises AccelsimError (R501)."""
    if document.get("schema") != SCHEMA:
        bad(f"its schema is not {SCHEMA}")
    keys = ("resources", "op_order", "shapes", "owners", "tasks", "values")
    resources, op_order, shapes, owners, tasks, values = (document.get(key) for key in keys)
    names = names_of(resources, "resources")
    if len(set(names)) != len(names):
        bad("the resources repeat")
    task_shapes = [_task_shape(shape, names) for shape in items_of(shapes, "shapes")]
    value_shapes = [_value_shape(owner) for owner in items_of(owners, "owners")]
    budget = _Budget()
    value_widths = [2] * len(value_shapes)
    task_widths = [_FIXED + deps + 3 * (r + w) for _, _, _, deps, r, w, _ in task_shapes]
    all_values = tuple(
        _value(position, value_shapes[shape], numbers)
        for position, (shape, numbers) in enumerate(_expand(values, value_widths, budget))
    )
    pairs = [
        _task(position, task_shapes[shape], numbers, len(all_values))
        for position, (shape, numbers) in enumerate(_expand(tasks, task_widths, budget))
    ]
    graph = TaskGraph(tuple(t for t, _ in pairs), all_values, names, names_of(op_order, "op_order"))
    return Trace(graph, tuple(row for _, row in pairs))


# --- records ----------------------------------------------------------------------------------


def _task_record(
    position: int, task: Task, row: TraceRow, shapes: dict[tuple[Any, ...], int]
) -> Record:
    if task.id != position or row.task != position:
        raise AssertionError(f"position {position} holds task {task.id} and row {row.task}")
    key = (task.op, task.kind.value, task.resources, len(task.deps), len(task.reads),
           len(task.writes), *([task.dataflow] if task.dataflow else ()))  # fmt: skip
    numbers = [task.step, task.tile, task.cycles, row.ready, row.start, row.end]
    numbers += [getattr(task, name) for name in _COUNTS]
    numbers += [position - dep for dep in task.deps]
    for access in task.reads + task.writes:
        numbers += [access.value, access.bytes, int(access.from_start)]
    return shapes.setdefault(key, len(shapes)), tuple(numbers)


def _task(
    position: int, shape: _TaskShape, numbers: tuple[int, ...], values: int
) -> tuple[Task, TraceRow]:
    op, kind, resources, deps, reads, _, dataflow = shape
    step, tile, cycles, ready, start, end, *rest = numbers
    counts, rest = rest[: len(_COUNTS)], rest[len(_COUNTS) :]
    back, rest = rest[:deps], rest[deps:]
    accesses = tuple(
        Access(rest[i], rest[i + 1], bool(rest[i + 2])) for i in range(0, len(rest), 3)
    )
    if any(not 0 < distance <= position for distance in back):
        bad(f"task {position} depends on a task that is not an earlier one")
    if any(not 0 <= access.value < values for access in accesses) or any(
        flag not in (0, 1) for flag in rest[2::3]
    ):
        bad(f"task {position} touches a value that is not there")
    task = Task(
        position, op, step, tile, kind, resources, cycles,
        tuple(position - distance for distance in back),
        accesses[:reads], accesses[reads:], **dict(zip(_COUNTS, counts, strict=True)),
        dataflow=dataflow, level="",
    )  # fmt: skip
    return task, TraceRow(position, ready, start, end)


def _value_record(position: int, value: Value, owners: dict[tuple[Any, ...], int]) -> Record:
    if value.id != position:
        raise AssertionError(f"position {position} holds value {value.id}")
    key = (value.structure, value.kind, value.tensor, value.op)
    return owners.setdefault(key, len(owners)), (value.bytes, value.address)


def _value(position: int, owner: tuple[str, str, str, str], numbers: tuple[int, ...]) -> Value:
    return Value(position, *owner, bytes=numbers[0], address=numbers[1])


# --- runs -------------------------------------------------------------------------------------


def _compress(records: list[Record]) -> Iterator[list[Any]]:
    """Runs ``[count, [[shape, numbers], ...], steps]``; ``steps`` only where count > 1."""
    literal: list[Any] = []
    at = 0
    while at < len(records):
        length, turns = _longest_repetition(records, at)
        if not turns:
            literal.append([records[at][0], records[at][1]])
            at += 1
            continue
        if literal:
            yield [1, literal]
            literal = []
        block, following = records[at : at + length], records[at + length : at + 2 * length]
        steps = [_difference(b[1], a[1]) for a, b in zip(block, following, strict=True)]
        yield [turns, [[shape, numbers] for shape, numbers in block], steps]
        at += length * turns
    if literal:
        yield [1, literal]


def _longest_repetition(records: list[Record], at: int) -> tuple[int, int]:
    """(block length, turns) of the repetition from ``at`` that covers most; (0, 0) if none.

    Among equal coverage the shortest block wins.
    """
    best_length = best_turns = 0
    shape = records[at][0]
    furthest = min(LONGEST_BLOCK, (len(records) - at) // _FEWEST_TURNS)
    for length in range(1, furthest + 1):
        if records[at + length][0] != shape:
            continue
        if best_turns and length % best_length == 0 and best_turns * best_length >= 2 * length:
            continue  # a multiple that breaks off where the shorter block does
        covered = _repeats(records, at, length)
        turns = covered // length
        if turns >= _FEWEST_TURNS and turns * length > best_turns * best_length:
            best_length, best_turns = length, turns
    return best_length, best_turns


def _repeats(records: list[Record], at: int, length: int) -> int:
    """Records from ``at`` on that continue the first two blocks of ``length`` with equal steps."""
    for i in range(at, at + length):
        if records[i][0] != records[i + length][0]:
            return 0
    i = at + 2 * length
    while i < len(records):
        before, last, this = records[i - 2 * length], records[i - length], records[i]
        if this[0] != last[0] or not _continues(before[1], last[1], this[1]):
            break
        i += 1
    return i - at


def _continues(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...]) -> bool:
    return all(x + z == 2 * y for x, y, z in zip(a, b, c, strict=True))


def _difference(later: tuple[int, ...], earlier: tuple[int, ...]) -> list[int]:
    return [b - a for a, b in zip(earlier, later, strict=True)]


class _Budget:
    """What is left of :data:`MAX_NUMBERS` while a file is expanded."""

    def __init__(self) -> None:
        self.left = MAX_NUMBERS

    def take(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            bad(f"it expands to more than {MAX_NUMBERS} numbers")


def _expand(runs: object, widths: list[int], budget: _Budget) -> Iterator[Record]:
    for run in items_of(runs, "runs"):
        if not isinstance(run, list) or len(run) not in (2, 3):
            bad("a run is malformed")
        count = run[0]
        if type(count) is not int or count < 1 or (count > 1) != (len(run) == 3):
            bad("a run has a wrong count")
        block = [_record(item, widths) for item in items_of(run[1], "block")]
        budget.take(count * sum(len(numbers) + 1 for _, numbers in block))
        steps = [integers_of(item) for item in items_of(run[2], "steps")] if count > 1 else None
        if steps is None:
            yield from block
            continue
        if [len(s) for s in steps] != [len(numbers) for _, numbers in block]:
            bad("the steps of a run do not match its block")
        for turn in range(count):
            for (shape, numbers), step in zip(block, steps, strict=True):
                yield shape, tuple(n + turn * s for n, s in zip(numbers, step, strict=True))


def _record(item: object, widths: list[int]) -> Record:
    if not isinstance(item, list) or len(item) != 2:
        bad("a record is malformed")
    shape, numbers = item[0], integers_of(item[1])
    if type(shape) is not int or not 0 <= shape < len(widths) or len(numbers) != widths[shape]:
        bad("a record does not match its shape")
    return shape, numbers


# --- reading with suspicion ---------------------------------------------------------------------

_TaskShape = tuple[str, TaskKind, tuple[str, ...], int, int, int, str]


def _task_shape(item: object, known: tuple[str, ...]) -> _TaskShape:
    if not isinstance(item, list) or len(item) not in (6, 7):
        bad("a task shape is malformed")
    op, kind, resources, *lengths = item[:6]
    dataflow = item[6] if len(item) == 7 else ""  # where the array has several
    if not isinstance(dataflow, str):
        bad("a task shape has a dataflow that is no text")
    if not isinstance(op, str) or not isinstance(kind, str) or kind not in set(TaskKind):
        bad("a task shape names no operator or an unknown kind")
    used = names_of(resources, "resources of a task")
    if not set(used) <= set(known):
        bad("a task uses an unknown resource")
    if any(type(length) is not int or length < 0 for length in lengths):
        bad("a task shape has a wrong number of accesses")
    return op, TaskKind(kind), used, *lengths, dataflow


def _value_shape(item: object) -> tuple[str, str, str, str]:
    if len(names_of(item, "owner of a value")) != 4:
        bad("an owner is malformed")
    structure, kind, tensor, op = names_of(item, "owner of a value")
    return structure, kind, tensor, op
