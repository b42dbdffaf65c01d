"""Candidates of an operator: every way to run it that the scheduler may choose from.

For each choice of what is resident and what streams, a small Pareto set over buffer bytes, cycles
and DRAM traffic. Only candidates that fit the scratchpad together with the tensors they need
resident are offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import le

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.errors import Infeasibility, InfeasibleError
from accelsim.mapping.array import (
    nests,
    part_row_sizes,
    realise,
    row_sizes,
)
from accelsim.mapping.array_search import choose, columns, fits_int64
from accelsim.mapping.layout import Layout, align, array_workspace, vector_workspace
from accelsim.mapping.objective import Objective
from accelsim.mapping.tiles import ArrayOp, Block, array_op
from accelsim.mapping.timing import NO_HOMES, Homes, Timing
from accelsim.mapping.vector import vector_candidates
from accelsim.mapping.weight_places import weights_fit
from accelsim.plan import Candidate
from accelsim.workload.graph import Op, Role, Workload

CONSTANTS = (Role.WEIGHT, Role.BIAS)

Level = tuple[int | None, int | None]
"""Percent of the best candidate's cost, and of its cycles, that are still good enough (None: any
amount)."""

LEVELS: tuple[Level, ...] = ((100, 150), (105, 150), (150, None), (None, None))
"""Kept per residency variant besides the best candidate: the smallest one on each level. Of those
without weight prefetch, where there are some with it, the best and the smallest."""

SHARES = (2, 4, 8)
"""With a weight scratchpad weights are early wherever they fit beside those of the operator before
(``weight_places``), which those of half its size always do: of the ways whose weights take one part
in so many at most, the best is kept as well."""


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
    one, unless nothing does: then the smallest one is returned, and :func:`require_legal` says what
    is missing. Empty when the accumulators are too small for a single pixel.
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


def require_legal(
    op: Op, found: Sequence[Candidate], workload: Workload, accelerator: Accelerator
) -> None:
    """Raise InfeasibleError unless one of the ``found`` candidates of ``op`` fits the scratchpad
    together with the tensors it needs resident (and the weight scratchpad).

    The error names the operator, the bytes of its smallest legal tile, their largest terms and
    what would fit. A too small accumulator SRAM is reported in the same way.
    """
    if not found:
        raise InfeasibleError(_accumulator_shortage(op, accelerator))
    found = require_weights_fit(op, found, workload, accelerator)
    capacity = accelerator.scratchpad.bytes
    alignment = accelerator.scratchpad.alignment_bytes
    smallest = min(found, key=lambda c: _demand(op, workload, c, alignment))
    demand = _demand(op, workload, smallest, alignment)
    if demand <= capacity:
        return
    terms = [
        (f"{buffer.role} buffer {buffer.slot}", align(buffer.bytes, alignment))
        for buffer in workspace(op, workload, accelerator, smallest).buffers
        if not buffer.weights
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


def require_weights_fit(
    op: Op, found: Sequence[Candidate], workload: Workload, accelerator: Accelerator
) -> list[Candidate]:
    """Those of the candidates of ``op`` whose weights and biases fit the weight scratchpad (all,
    without one). InfeasibleError when there are some, but none that fits."""
    fitting = [c for c in found if weights_fit(c, accelerator)]
    own = accelerator.weight_sram
    if own is None or fitting or not found:
        return fitting
    smallest = min(found, key=lambda c: c.weight_buffer_bytes)
    buffers = [b for b in workspace(op, workload, accelerator, smallest).buffers if b.weights]
    terms = [(f"{b.role} buffer {b.slot}", align(b.bytes, own.alignment_bytes)) for b in buffers]
    demand = smallest.weight_buffer_bytes
    levers = [f"a weight scratchpad of at least {demand} bytes", "narrower data types"]
    if any(buffer.slot for buffer in buffers):
        levers.insert(1, f"fewer than {own.buffering} slots per buffer in the weight scratchpad")
    raise InfeasibleError(
        Infeasibility(
            statement=f"operator {op.name!r}: its smallest legal tile of weights and biases "
            f"({smallest.name}) does not fit the weight scratchpad",
            demand=demand,
            limit=own.bytes,
            unit="B",
            terms=tuple(sorted(terms, key=lambda term: (-term[1], term[0]))[:5]),
            levers=tuple(levers),
        )
    )


def workspace(op: Op, workload: Workload, accelerator: Accelerator, candidate: Candidate) -> Layout:
    """The tile buffers of a candidate, with offsets from its buffer address."""
    pad, tiling = accelerator.scratchpad, candidate.tiling
    how = tiling, candidate.streamed, pad.alignment_bytes, pad.buffering, accelerator.weight_sram
    if op.gemm is not None:
        operands = array_op(op, workload, accelerator.array)
        return array_workspace(operands, *how, reuse=not pad.cacheless)
    return vector_workspace(op, workload, *how, reuse=not pad.cacheless)


def lower_bounds(workload: Workload, accelerator: Accelerator) -> dict[str, int]:
    """Cycles that no mapping can beat, by resource.

    ``compute``: MACs / PEs; ``vector``: element operations / lanes; ``dram``: bytes that must cross
    (every weight and graph input once, of a table what is picked, every graph output once) /
    bandwidth; ``weights``: weights and biases alone, where they have a memory of their own. Both
    count weights as they are stored.
    """
    timing = Timing(accelerator)
    read = stored_bytes(workload, accelerator, timing)
    constants = sum(size for name, size in read.items() if workload.tensors[name].role in CONSTANTS)
    made = set(workload.outputs) & set(workload.producer)
    total = sum(read.values()) + sum(workload.tensors[name].bytes for name in made)
    least = [timing.least(op) for op in workload.ops]
    bounds = {
        "compute": sum(array for array, _ in least),
        "vector": sum(vector for _, vector in least),
        "dram": timing.transfer_bytes(total),
    }
    if timing.split:  # constants go through another port of the chip
        at_port = timing.constant_bytes(constants)
        bounds["dram"] = timing.transfer_bytes(total - constants) + at_port
    if accelerator.weight_memory is not None:
        bounds["dram"] = timing.transfer_bytes(total - constants)
        bounds["weights"] = timing.constant_bytes(constants)
    return bounds


def stored_bytes(workload: Workload, accelerator: Accelerator, timing: Timing) -> dict[str, int]:
    """Constant or graph input -> bytes that every plan reads of it, without what sparse storage and
    compression spare."""
    found = dict(workload.least_read_bytes)
    if accelerator.array.sparsity is not None:
        for op in workload.ops:
            if op.gemm is not None and op.weight in found:
                operands, gemm = array_op(op, workload, accelerator.array), op.gemm
                whole = operands.b_bytes((0, gemm.k), Block(0, gemm.groups, 0, gemm.n))
                found[op.weight] = min(found[op.weight], whole)
    return {
        name: timing.stored(size) if workload.tensors[name].role in CONSTANTS else size
        for name, size in found.items()
    }


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
        fitting = [c for c in variant if _demand(op, workload, c, alignment) <= capacity]
        kept += thin(fitting, goal, accelerator)
    return tuple(kept)


def thin(
    variant: Sequence[Candidate], goal: Objective, accelerator: Accelerator
) -> list[Candidate]:
    """What is kept of one residency variant, with and without prefetch: see :data:`LEVELS` and
    :data:`SHARES`."""
    early = [c for c in variant if c.early]
    plain = [c for c in variant if not c.early]
    kept = _thin(early, LEVELS, goal)
    own = accelerator.weight_sram
    for most in () if own is None else [own.bytes // share for share in SHARES]:
        small = [c for c in early if c.weight_buffer_bytes <= most]
        kept += [c for c in _thin(small, (), goal, weights=True) if c not in kept]
    return kept + _thin(plain, LEVELS[-1:] if early else LEVELS, goal)


def _thin(
    pool: Sequence[Candidate], levels: Sequence[Level], goal: Objective, *, weights: bool = False
) -> list[Candidate]:
    """The best candidate of a pool and the smallest on each level, smallest first. ``weights``:
    small are those with small buffers in the weight scratchpad."""
    if not pool:
        return []
    rated = [(c, goal.merit(c)) for c in pool]
    if weights:
        rated = [(c, (*merit[:3], c.weight_buffer_bytes)) for c, merit in rated]
    front = _pareto(rated)
    best, merit = min(front, key=lambda pair: pair[1])
    chosen = {best.name: best}
    for level in levels:
        # The best one is on every level, so there always is a smallest.
        c = next(c for c, found in front if _within(found[:2], merit[:2], level))
        chosen[c.name] = c
    return [c for c, _ in front if c.name in chosen]


def _within(figures: Sequence[int], best: Sequence[int], level: Level) -> bool:
    return all(
        slack is None or figure * 100 <= least * slack
        for figure, least, slack in zip(figures, best, level, strict=True)
    )


_Rated = tuple[Candidate, tuple[int, int, int, int]]
"""A candidate and its merit: cost, cycles, traffic, buffer."""


def _pareto(pool: Sequence[_Rated]) -> list[_Rated]:
    """Those that no other beats or equals in buffer, cost, cycles and traffic; smallest first."""
    kept: list[_Rated] = []
    for c, merit in sorted(pool, key=lambda rated: (rated[1][3], rated[1], rated[0].name)):
        if not any(all(map(le, found[:3], merit[:3])) for _, found in kept):
            kept.append((c, merit))
    return kept


def _resident(op: Op, candidate: Candidate) -> tuple[str, ...]:
    """Tensors that must be whole in the scratchpad."""
    return tuple(name for name in (*op.inputs, op.output) if name not in candidate.streamed)


def needs(
    op: Op, workload: Workload, accelerator: Accelerator, candidate: Candidate
) -> tuple[int, int]:
    """Bytes of tile buffers for weights that do not fit their own scratchpad (0: they fit, or have
    none), and the scratchpad bytes of a candidate with the tensors it needs resident."""
    weights = 0 if weights_fit(candidate, accelerator) else candidate.weight_buffer_bytes
    alignment = accelerator.scratchpad.alignment_bytes
    return weights, _demand(op, workload, candidate, alignment)


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
