"""Candidates of an operator: every way to run it that the scheduler may choose from.

For each choice of what is resident and what streams, a small Pareto set over buffer bytes, cycles
and DRAM traffic. Only candidates that fit the scratchpad together with the tensors they need
resident are offered.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.arch.parts import Accelerator
from accelsim.mapping.array import (
    nests,
    part_row_sizes,
    realise,
    row_sizes,
)
from accelsim.mapping.array_search import choose, columns, fits_int64
from accelsim.mapping.layout import align
from accelsim.mapping.legality import needs, scratchpad_demand
from accelsim.mapping.objective import Objective
from accelsim.mapping.thinning import LEVELS, SHARES, thin
from accelsim.mapping.tiles import ArrayOp, array_op
from accelsim.mapping.timing import NO_HOMES, Homes, Timing
from accelsim.mapping.vector import vector_candidates
from accelsim.mapping.weight_places import weights_fit
from accelsim.plan import Candidate
from accelsim.workload.graph import Op, Workload


def candidates(
    op: Op,
    workload: Workload,
    accelerator: Accelerator,
    objective: str = "latency",
    homes: Homes = NO_HOMES,
) -> tuple[Candidate, ...]:
    """Ways to run ``op``, at most eight per residency variant, each with a distinct name.

    ``objective`` (``latency``, ``energy`` or ``traffic``; AccelsimError otherwise) says what is
    cheap: see :class:`Objective`. ``homes``: activation -> memory level that it is kept in. The
    best candidate and the one with the least buffer of each variant are always there. All fit the
    scratchpad together with the tensors they need resident, and the weight scratchpad of a split
    one, unless nothing does: then the smallest one is returned, and ``legality.require_legal`` says
    what is missing. Empty when the accumulators are too small for a single pixel.
    """
    goal = Objective(accelerator, objective)
    if op.gemm is not None:
        for wide in (True, False):
            kept = _array_candidates(op, workload, accelerator, goal, homes, wide=wide)
            if kept:
                return kept
    return exhaustive(op, workload, accelerator, goal, homes)


class Search:
    """:func:`candidates` of all operators of a network; equal operators are searched once."""

    def __init__(
        self, workload: Workload, accelerator: Accelerator, objective: str, homes: Homes = NO_HOMES
    ) -> None:
        self._workload, self._accelerator, self._objective = workload, accelerator, objective
        self._homes = homes
        self._timing = Timing(accelerator)
        self._found: dict[object, tuple[tuple[str, ...], tuple[Candidate, ...]]] = {}

    def candidates(self, op: Op) -> tuple[Candidate, ...]:
        """Ways to run ``op``."""
        names = (*op.inputs, op.output)
        key = self._key(op)
        if key not in self._found:
            found = candidates(op, self._workload, self._accelerator, self._objective, self._homes)
            self._found[key] = names, found
            return found
        known, found = self._found[key]
        if known == names:
            return found
        renamed = dict(zip(known, names, strict=True))
        return tuple(
            replace(c, streamed=frozenset(renamed[name] for name in c.streamed)) for c in found
        )

    def _key(self, op: Op) -> object:
        """All that the candidates of an operator depend on, apart from names."""
        before = array_pool_cycles(op, self._workload, self._timing) if op.gemm is not None else 0
        homes = tuple(self._homes.get(name, "") for name in (*op.inputs, op.output))
        return self._workload.alike[op.name], before, homes


def exhaustive(
    op: Op, workload: Workload, accelerator: Accelerator, goal: Objective, homes: Homes = NO_HOMES
) -> tuple[Candidate, ...]:
    """As :func:`candidates`, every candidate built and compared one by one."""
    pools: list[_Pool] = []
    for wide in (True, False):
        pools.append(_pool(op, workload, accelerator, homes, wide=wide))
        pool = [[c for c in variant if weights_fit(c, accelerator)] for variant in pools[-1]]
        kept = _choose(op, workload, pool, accelerator, goal)
        if kept:
            return kept
    everything = [c for pool in pools for variant in pool for c in variant]
    return tuple(sorted(everything, key=lambda c: needs(op, workload, accelerator, c))[:1])


def variants(op: Op, accelerator: Accelerator) -> tuple[tuple[str, frozenset[str]], ...]:
    """Residency variants of an operator as (name, streamed tensors): the inputs all resident, all
    streamed or one of two, each with the output resident or streamed. Without a cache: all
    streamed."""
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
    return tuple(found[-1:] if accelerator.scratchpad.cacheless else found)


def _array_candidates(
    op: Op,
    workload: Workload,
    accelerator: Accelerator,
    goal: Objective,
    homes: Homes,
    *,
    wide: bool,
) -> tuple[Candidate, ...]:
    """What :func:`exhaustive` keeps of one pool of an array operator, found over all loop nests at
    once; empty where that has to look closer."""
    timing = Timing(accelerator, homes)
    operands = array_op(op, workload, accelerator.array)
    sizes = row_sizes(operands) if wide else part_row_sizes(operands)
    found = list(nests(operands, accelerator, timing, sizes))
    if not found or not fits_int64(found, accelerator):
        return ()
    table = columns(found, operands)
    before = array_pool_cycles(op, workload, timing)
    alignment = accelerator.scratchpad.alignment_bytes
    kept: list[Candidate] = []
    for name, streamed in variants(op, accelerator):
        resident = [t for t in (*op.inputs, op.output) if t not in streamed]
        demand = sum(align(workload.tensors[t].bytes, alignment) for t in resident)
        kept += choose(
            table, operands, streamed, name, accelerator, timing, goal,
            before=before, demand=demand, levels=LEVELS, shares=SHARES,
        )  # fmt: skip
    return tuple(kept)


_Pool = list[list[Candidate]]


def _pool(
    op: Op, workload: Workload, accelerator: Accelerator, homes: Homes, *, wide: bool
) -> _Pool:
    """All candidates of each variant, unpruned. ``wide=False``: the last resort when nothing else
    fits, tiles below one output row, or narrower than the lanes of the vector unit."""
    timing = Timing(accelerator, homes)
    if op.gemm is None:
        return [
            list(vector_candidates(op, workload, streamed, name, accelerator, timing, wide=wide))
            for name, streamed in variants(op, accelerator)
        ]
    operands = array_op(op, workload, accelerator.array)
    sizes = row_sizes(operands) if wide else part_row_sizes(operands)
    found = list(nests(operands, accelerator, timing, sizes))
    before = array_pool_cycles(op, workload, timing)
    return [
        [
            realise(nest, operands, streamed, name, accelerator, timing, hidden=hidden)
            for nest in found
            for hidden in hides(operands, accelerator, before)
        ]
        for name, streamed in variants(op, accelerator)
    ]


def hides(operands: ArrayOp, accelerator: Accelerator, before: int) -> tuple[int | None, ...]:
    """What the first weights may hide behind, of the ``before`` cycles of the step before: all or
    nothing (None: they are not early). Early ones in a weight scratchpad take no room from anything
    that the scheduler knows of, so that is decided later."""
    if not operands.constant:
        return (None,)
    return (before, None) if accelerator.weight_sram is None else (before,)


def array_pool_cycles(op: Op, workload: Workload, timing: Timing) -> int:
    """Cycles of the operator before ``op`` in the file that a prefetch can hide behind: its least
    compute time less the transfer of its own constants (0 for the first operator). A guess where
    the order is free: the schedule may put another operator there."""
    index = workload.position[op.name]
    if index == 0:
        return 0
    before = workload.ops[index - 1]
    constants = (workload.tensors[name] for name in (before.weight, before.bias) if name)
    moved = timing.transfer_bytes(sum(tensor.bytes for tensor in constants))
    return max(0, max(timing.least(before)) - moved)


def _choose(
    op: Op,
    workload: Workload,
    pool: _Pool,
    accelerator: Accelerator,
    goal: Objective,
) -> tuple[Candidate, ...]:
    """Thin every variant of a pool; candidates that cannot fit are left out."""
    capacity = accelerator.scratchpad.bytes
    alignment = accelerator.scratchpad.alignment_bytes
    kept: list[Candidate] = []
    for variant in pool:
        fitting = [c for c in variant if scratchpad_demand(op, workload, c, alignment) <= capacity]
        kept += thin(fitting, goal, accelerator)
    return tuple(kept)
