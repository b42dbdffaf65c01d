"""Mistakes in a scheduling problem or a list of buffers, all found at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from accelsim.errors import AccelsimError, Location, Mistake, suggest
from ilp.problem import Buffer, Mode, Op, Problem

MAX_BYTES = 1 << 44
"""Largest size, capacity or cost accepted: sums of a million of them still fit in 64 bits."""

MAX_EFFORT = 1_000_000
"""Largest effort accepted, in deterministic seconds."""


def require_valid(problem: Problem, location: Location | None = None) -> None:
    """Raise :class:`AccelsimError` with every mistake of ``problem`` (codes ``S401``-``S409``)."""
    mistakes = problem_mistakes(problem, location)
    if mistakes:
        raise AccelsimError(mistakes)


def problem_mistakes(problem: Problem, location: Location | None = None) -> tuple[Mistake, ...]:
    """Every mistake of ``problem``, in a fixed order; empty when it can be scheduled."""
    found = [
        *_setting_mistakes(problem),
        *_number_mistakes(problem),
        *_name_mistakes(problem),
        *_producer_mistakes(problem),
        *_mode_mistakes(problem),
    ]
    if not found:
        found = list(_order_mistakes(problem))
    return tuple(Mistake(code, message, hint, location) for code, message, hint in found)


_Found = tuple[str, str, str]


def _setting_mistakes(problem: Problem) -> Iterator[_Found]:
    if not 0 <= problem.capacity <= MAX_BYTES:
        yield "S401", f"capacity {problem.capacity} is out of range", f"use 0 to {MAX_BYTES} bytes"
    if not 1 <= problem.alignment <= MAX_BYTES:
        yield "S401", f"alignment {problem.alignment} is out of range", "use 1 byte or more"
    if problem.order not in ("free", "given"):
        yield "S401", f"unknown order {problem.order!r}", suggest(problem.order, ("free", "given"))


def _number_mistakes(problem: Problem) -> Iterator[_Found]:
    tables = [("size", problem.sizes)]
    for label, table in (("store cost", problem.store_cost), ("load cost", problem.load_cost)):
        if table is not None:
            tables.append((label, table))
            for name in problem.sizes:
                if name not in table:
                    yield "S402", f"tensor {name!r} has no {label}", "give one for every tensor"
    for label, table in tables:
        for name, value in table.items():
            if not 0 <= value <= MAX_BYTES:
                message = f"{label} {value} of tensor {name!r} is out of range"
                yield "S402", message, f"use 0 to {MAX_BYTES}"


def _name_mistakes(problem: Problem) -> Iterator[_Found]:
    seen: set[int | str] = set()
    for op in problem.ops:
        if op.id in seen:
            yield "S403", f"operator id {op.id!r} occurs twice", "give every operator its own id"
        seen.add(op.id)
    known = tuple(problem.sizes)
    users = [(f"operator {op.id!r}", (*op.inputs, *op.outputs)) for op in problem.ops]
    users += [("graph_inputs", problem.graph_inputs), ("graph_outputs", problem.graph_outputs)]
    for user, names in users:
        for name in dict.fromkeys(names):
            if name not in problem.sizes:
                hint = suggest(name, known) if known else "declare it with its bytes"
                yield "S404", f"{user} names tensor {name!r}, which has no size", hint


def _producer_mistakes(problem: Problem) -> Iterator[_Found]:
    made = {name: f"graph input {name!r}" for name in problem.graph_inputs}
    for op in problem.ops:
        for name in op.outputs:
            if name in made:
                message = f"tensor {name!r} is produced by operator {op.id!r} and by {made[name]}"
                yield "S405", message, "every tensor has one producer"
            made.setdefault(name, f"operator {op.id!r}")
    readers = [(f"operator {op.id!r}", op.inputs) for op in problem.ops]
    for reader, names in (*readers, ("graph_outputs", problem.graph_outputs)):
        for name in dict.fromkeys(names):
            if name not in made and name in problem.sizes:
                message = f"{reader} reads tensor {name!r}, which nothing produces"
                yield "S406", message, f"add {name!r} to graph_inputs, or an operator that makes it"


def _mode_mistakes(problem: Problem) -> Iterator[_Found]:
    for op in problem.ops:
        if not op.modes:
            yield "S407", f"operator {op.id!r} has no mode", "give at least one, e.g. Mode()"
        names = [mode.name for mode in op.modes]
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            yield "S407", f"operator {op.id!r} has two modes {name!r}", "mode names are unique"
        for mode in op.modes:
            yield from _one_mode_mistakes(op, mode)


def _one_mode_mistakes(op: Op, mode: Mode) -> Iterator[_Found]:
    where = f"mode {mode.name!r} of operator {op.id!r}"
    if not 0 <= mode.prefetch_bytes <= mode.workspace_bytes <= MAX_BYTES:
        message = f"{where}: prefetch {mode.prefetch_bytes} and workspace {mode.workspace_bytes}"
        yield "S408", message, "0 <= prefetch <= workspace"
    if not 0 <= mode.cost <= MAX_BYTES:
        yield "S408", f"{where}: cost {mode.cost} is out of range", f"use 0 to {MAX_BYTES}"
    own = (*op.inputs, *op.outputs)
    for name in sorted(mode.streamed):
        if name not in own:
            yield "S408", f"{where} streams {name!r}, which the operator does not touch", ""


def _order_mistakes(problem: Problem) -> Iterator[_Found]:
    ready = set(problem.graph_inputs)
    for op in problem.ops:
        for name in dict.fromkeys(op.inputs):
            if name not in ready:
                message = f"operator {op.id!r} reads {name!r} before it is produced"
                yield "S409", message, "list operators in a topological order; cycles cannot run"
        ready.update(op.outputs)


def require_valid_buffers(
    buffers: Sequence[Buffer],
    capacity: int,
    alignment: int,
    effort: float = 0.0,
    location: Location | None = None,
) -> None:
    """Raise :class:`AccelsimError` with every mistake of a placement request (code ``S411``)."""
    found: list[tuple[str, str]] = []
    if not 0 <= capacity <= MAX_BYTES:
        found.append((f"capacity {capacity} is out of range", f"use 0 to {MAX_BYTES} bytes"))
    if not 1 <= alignment <= MAX_BYTES:
        found.append((f"alignment {alignment} is out of range", "use 1 byte or more"))
    if not 0 <= effort <= MAX_EFFORT:
        found.append((f"effort {effort} is out of range", f"use 0 to {MAX_EFFORT}"))
    seen: set[str] = set()
    for buffer in buffers:
        if buffer.id in seen:
            found.append((f"buffer id {buffer.id!r} occurs twice", "give every buffer its own id"))
        seen.add(buffer.id)
        if buffer.lower >= buffer.upper:
            span = f"[{buffer.lower}, {buffer.upper})"
            found.append((f"buffer {buffer.id!r} has an empty lifetime {span}", "lower < upper"))
        if max(abs(buffer.lower), abs(buffer.upper)) > MAX_BYTES:
            found.append((f"buffer {buffer.id!r} lives out of range", f"stay below {MAX_BYTES}"))
        if not 0 <= buffer.size <= MAX_BYTES:
            message = f"buffer {buffer.id!r} has size {buffer.size}"
            found.append((message, f"use 0 to {MAX_BYTES} bytes"))
    if found:
        raise AccelsimError(Mistake("S411", text, hint, location) for text, hint in found)
