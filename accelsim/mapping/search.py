"""Candidates of an operator: every way to run it that the scheduler may choose from.

For each choice of what is resident and what streams, a small Pareto set over buffer bytes, cycles
and DRAM traffic. Only candidates that fit the scratchpad together with the tensors they need
resident are offered.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.errors import AccelsimError, Infeasibility, InfeasibleError, Mistake, suggest
from accelsim.mapping.array import (
    nests,
    part_row_sizes,
    realise,
    row_sizes,
)
from accelsim.mapping.layout import Layout, align, array_workspace, vector_workspace
from accelsim.mapping.tiles import array_op
from accelsim.mapping.timing import Timing
from accelsim.mapping.vector import vector_candidates
from accelsim.plan import Candidate
from accelsim.workload.graph import Op, Workload

SLACKS: tuple[int | None, ...] = (100, 105, 150, None)
"""Kept per residency variant: the smallest candidate within so many percent of the best one's
merit (None: the smallest of all). Of those without weight prefetch, the first and the last."""

OBJECTIVES = ("latency", "energy", "traffic")


def candidates(
    op: Op, workload: Workload, accelerator: Accelerator, objective: str = "latency"
) -> tuple[Candidate, ...]:
    """Ways to run ``op``, at most six per residency variant, each with a distinct name.

    ``objective`` (``latency``, ``energy`` or ``traffic``; AccelsimError otherwise) decides which
    end of the Pareto set is kept for certain; energy goes by traffic, which dominates it. The
    candidate with the least buffer of each variant is always there. All fit the scratchpad
    together with the tensors they need resident, unless nothing does: then the smallest one is
    returned, and :func:`require_legal` says what is missing. Empty when the accumulators are too
    small for a single pixel.
    """
    if objective not in OBJECTIVES:
        raise AccelsimError(
            Mistake("M301", f"unknown objective {objective!r}", suggest(objective, OBJECTIVES))
        )
    capacity = accelerator.scratchpad.bytes
    alignment = accelerator.scratchpad.alignment_bytes
    pools: list[_Pool] = []
    for whole_rows in (True, False):
        pools.append(_pool(op, workload, accelerator, whole_rows=whole_rows))
        kept = _choose(op, workload, pools[-1], capacity, alignment, objective)
        if kept:
            return kept
    everything = [c for pool in pools for variant in pool for c in variant]
    return tuple(sorted(everything, key=lambda c: _demand(op, workload, c, alignment))[:1])


def require_legal(
    op: Op, found: Sequence[Candidate], workload: Workload, accelerator: Accelerator
) -> None:
    """Raise InfeasibleError unless one of the ``found`` candidates of ``op`` fits the scratchpad
    together with the tensors it needs resident.

    The error names the operator, the bytes of its smallest legal tile, their largest terms and
    what would fit. A too small accumulator SRAM is reported in the same way.
    """
    if not found:
        raise InfeasibleError(_accumulator_shortage(op, accelerator))
    capacity = accelerator.scratchpad.bytes
    alignment = accelerator.scratchpad.alignment_bytes
    smallest = min(found, key=lambda c: _demand(op, workload, c, alignment))
    demand = _demand(op, workload, smallest, alignment)
    if demand <= capacity:
        return
    terms = [
        (f"{buffer.role} buffer {buffer.slot}", align(buffer.bytes, alignment))
        for buffer in workspace(op, workload, accelerator, smallest).buffers
    ]
    terms += [
        (f"resident {name}", align(workload.tensors[name].bytes, alignment))
        for name in _resident(op, smallest)
    ]
    raise InfeasibleError(
        Infeasibility(
            statement=f"operator {op.name!r}: its smallest legal tile ({smallest.name}) does not "
            "fit the scratchpad",
            demand=demand,
            limit=capacity,
            unit="B",
            terms=tuple(sorted(terms, key=lambda term: (-term[1], term[0]))[:5]),
            levers=(f"a scratchpad of at least {demand} bytes", "narrower data types"),
        )
    )


def workspace(op: Op, workload: Workload, accelerator: Accelerator, candidate: Candidate) -> Layout:
    """The tile buffers of a candidate, with offsets from its buffer address."""
    alignment = accelerator.scratchpad.alignment_bytes
    if op.gemm is not None:
        operands = array_op(op, workload)
        return array_workspace(operands, candidate.tiling, candidate.streamed, alignment)
    return vector_workspace(op, workload, candidate.tiling.m, candidate.streamed, alignment)


def lower_bounds(workload: Workload, accelerator: Accelerator) -> dict[str, int]:
    """Cycles that no mapping can beat, by resource.

    ``compute``: MACs / PEs; ``vector``: element operations / lanes; ``dram``: bytes that must cross
    (every weight and graph input once, every graph output once) / bandwidth.
    """
    array, vector = accelerator.array, accelerator.vector
    used = {name for op in workload.ops for name in (op.weight, op.bias) if name is not None}
    moved = used | set(workload.inputs) | set(workload.outputs)
    total = sum(workload.tensors[name].bytes for name in moved)
    element_ops = sum(
        op.vector_ops * vector.cycles_per_op.get(op.kind.value, 1) for op in workload.ops
    )
    return {
        "compute": ceil_div(workload.macs, array.rows * array.cols),
        "vector": ceil_div(element_ops, vector.lanes),
        "dram": Timing(accelerator).transfer_bytes(total),
    }


def _variants(op: Op) -> tuple[tuple[str, frozenset[str]], ...]:
    """(name, streamed tensors): inputs all resident, all streamed, or one of two; times output."""
    inputs: list[tuple[str, tuple[str, ...]]] = [("", ())]
    if len(op.inputs) == 2:
        inputs += [("in0", op.inputs[:1]), ("in1", op.inputs[1:])]
    if op.inputs:
        inputs.append(("in", op.inputs))
    found = []
    for name, streamed in inputs:
        found.append((f"stream-{name}" if name else "resident", frozenset(streamed)))
        both = f"stream-{name}+out" if name else "stream-out"
        found.append((both, frozenset((*streamed, op.output))))
    return tuple(found)


_Pool = list[list[Candidate]]


def _pool(op: Op, workload: Workload, accelerator: Accelerator, *, whole_rows: bool) -> _Pool:
    """All candidates of each variant, unpruned. ``whole_rows=False``: tiles below one output row
    (array operators), the last resort when rows do not fit."""
    timing = Timing(accelerator)
    if op.gemm is None:
        return [
            list(vector_candidates(op, workload, streamed, name, accelerator, timing))
            for name, streamed in _variants(op)
        ]
    operands = array_op(op, workload)
    sizes = row_sizes(operands) if whole_rows else part_row_sizes(operands)
    found = list(nests(operands, accelerator, timing, sizes))
    before = _cycles_before(op, workload, accelerator, timing)
    return [
        [
            realise(nest, operands, streamed, name, accelerator, timing, hidden=hidden)
            for nest in found
            for hidden in ((before, None) if operands.constant else (None,))
        ]
        for name, streamed in _variants(op)
    ]


def _cycles_before(op: Op, workload: Workload, accelerator: Accelerator, timing: Timing) -> int:
    """Cycles of the operator before ``op`` in the file that a prefetch can hide behind: its least
    compute time less the transfer of its own constants (0 for the first operator). A guess where
    the order is free: the schedule may put another operator there."""
    index = workload.ops.index(op)
    if index == 0:
        return 0
    before = workload.ops[index - 1]
    array = accelerator.array
    busy = max(
        ceil_div(before.macs, array.rows * array.cols),
        ceil_div(before.vector_ops, accelerator.vector.lanes),
    )
    constants = (workload.tensors[name] for name in (before.weight, before.bias) if name)
    return max(0, busy - timing.transfer_bytes(sum(tensor.bytes for tensor in constants)))


def _choose(
    op: Op,
    workload: Workload,
    pool: _Pool,
    capacity: int,
    alignment: int,
    objective: str,
) -> tuple[Candidate, ...]:
    """Thin every variant of a pool; candidates that cannot fit are left out."""
    kept: list[Candidate] = []
    for variant in pool:
        fitting = [c for c in variant if _demand(op, workload, c, alignment) <= capacity]
        early = [c for c in fitting if c.prefetch_bytes > 0]
        plain = [c for c in fitting if c.prefetch_bytes == 0]
        kept += _thin(_pareto(early), SLACKS, objective)
        slacks = (SLACKS[0], SLACKS[-1]) if early else SLACKS
        kept += _thin(_pareto(plain), slacks, objective)
    return tuple(kept)


def _merit(candidate: Candidate, objective: str) -> tuple[int, int, int]:
    traffic = candidate.dram_read_bytes + candidate.dram_write_bytes
    if objective == "latency":
        return candidate.cycles, traffic, candidate.buffer_bytes
    return traffic, candidate.cycles, candidate.buffer_bytes


def _pareto(pool: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that no other beats or equals in buffer, cycles and traffic; smallest first."""
    front: list[tuple[int, int]] = []
    kept: list[Candidate] = []
    for c in sorted(pool, key=lambda c: (c.buffer_bytes, c.cycles, _traffic(c), c.name)):
        if not any(cycles <= c.cycles and traffic <= _traffic(c) for cycles, traffic in front):
            front.append((c.cycles, _traffic(c)))
            kept.append(c)
    return kept


def _traffic(candidate: Candidate) -> int:
    return candidate.dram_read_bytes + candidate.dram_write_bytes


def _thin(
    front: list[Candidate], slack_percent: Sequence[int | None], objective: str
) -> list[Candidate]:
    """Of a Pareto set sorted by buffer: for each slack, the smallest candidate whose merit is at
    most that much above the best (None: any)."""
    merits = [_merit(candidate, objective)[0] for candidate in front]
    best = min(merits, default=0)
    chosen = {
        next(i for i, merit in enumerate(merits) if slack is None or merit * 100 <= best * slack)
        for slack in (slack_percent if front else ())
    }
    return [front[index] for index in sorted(chosen)]


def _resident(op: Op, candidate: Candidate) -> tuple[str, ...]:
    """Tensors that must be whole in the scratchpad."""
    return tuple(name for name in (*op.inputs, op.output) if name not in candidate.streamed)


def _demand(op: Op, workload: Workload, candidate: Candidate, alignment: int) -> int:
    """Scratchpad bytes of a candidate with the tensors it needs resident."""
    return candidate.buffer_bytes + sum(
        align(workload.tensors[name].bytes, alignment) for name in _resident(op, candidate)
    )


def _accumulator_shortage(op: Op, accelerator: Accelerator) -> Infeasibility:
    """Why not even one output pixel of the narrowest array tile fits half of the accumulators."""
    narrowest = min(op.gemm.n if op.gemm else 1, accelerator.array.cols)
    demand = 2 * narrowest * ceil_div(accelerator.array.accumulator_bits, 8)
    return Infeasibility(
        statement=f"operator {op.name!r}: one output pixel of the narrowest tile ({narrowest} "
        "channels) does not fit half of the accumulators",
        demand=demand,
        limit=accelerator.accumulators.bytes,
        unit="B",
        terms=(("double-buffered tile", demand),),
        levers=(f"accumulators of at least {demand} bytes", "fewer array columns"),
    )
