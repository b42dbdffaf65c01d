"""What the mapping search looked at, and why it chose what it chose: figures for people.

Nothing is decided here. For every operator: how many mappings there are to choose from, how many
were kept for the scheduler, the chosen one beside the fastest kept one, and the cycles that no
mapping can beat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accelsim.arch.parts import Accelerator
from accelsim.mapping.array import channel_sizes, loop_nest, nests, reduction_sizes, row_sizes
from accelsim.mapping.orders import ORDERS
from accelsim.mapping.search import hides, variants
from accelsim.mapping.tile_counts import block_tiles, pixel_tiles, reduction_tiles
from accelsim.mapping.tiles import array_op, reduction_unit
from accelsim.mapping.timing import Timing
from accelsim.mapping.vector import vector_tilings
from accelsim.plan import Candidate, MemoryPlan
from accelsim.workload.graph import Op, Workload


@dataclass(frozen=True)
class Space:
    """The mappings of one operator that the search compares."""

    pixels: int
    """Tile sizes of m; likewise below. Vector operators: element tiles."""
    channels: int
    reductions: int
    tilings: int
    """Loop nests (sizes, orders and dataflows) whose sums fit the accumulators."""
    residencies: int
    """Choices of what is resident and what streams."""
    dataflows: int
    """Assignments of loops to rows and columns of the array that each tiling is tried with."""
    mappings: int
    """Tilings x residencies, with and without early weights (where that is a choice)."""
    orders: Mapping[str, int] = field(default_factory=dict)
    """Loop order -> tilings with it; empty for vector operators."""


@dataclass(frozen=True)
class Choice:
    """One operator: its space, the chosen mapping, and what limits it."""

    op: str
    kind: str
    space: Space
    kept: int | None
    """Mappings that the scheduler chose from; None: no search (a rule)."""
    chosen: Candidate
    fastest: Candidate | None
    """Of the kept ones, the one with the fewest estimated cycles."""
    bounds: dict[str, int]
    """Cycles that no mapping can beat, by resource."""
    array_cycles: int = 0
    """Of all array tasks of the chosen mapping; 0 for a vector operator."""
    waiting: int = 0
    """Of these, cycles in which the array waits for operands from the scratchpad."""


def search_space(op: Op, workload: Workload, accelerator: Accelerator, timing: Timing) -> Space:
    """Count the mappings of an operator."""
    residencies = len(variants(op, accelerator))
    if op.gemm is None:
        tilings = list(vector_tilings(op, workload, accelerator.vector.lanes, wide=True))
        count = len(tilings)
        if accelerator.scratchpad.cacheless:
            return Space(count, 1, 1, count, residencies, 1, count * residencies)
        # With everything resident there is one tile.
        return Space(count, 1, 1, count, residencies, 1, 1 + count * (residencies - 1))
    operands = array_op(op, workload, accelerator.array)
    sizes = row_sizes(operands)
    found = Counter(n.tiling.order for n in nests(operands, accelerator, timing, sizes))
    count = found.total()
    early = len(hides(operands, accelerator, 0))
    return Space(
        len(sizes),
        len(channel_sizes(operands, accelerator.array.cols)),
        len(reduction_sizes(operands, reduction_unit(operands, accelerator.array))),
        count,
        residencies,
        len(accelerator.array.choices),
        count * residencies * early,
        {order: found[order] for order in ORDERS if found[order]},
    )


def op_bounds(
    op: Op, workload: Workload, accelerator: Accelerator, timing: Timing
) -> dict[str, int]:
    """Cycles that no mapping of the operator can beat: MACs / PEs, element operations / lanes, the
    bytes of its constants from their memory, its results through the scratchpad's port."""
    array, lanes = timing.least(op)
    constants = sum(workload.tensors[name].bytes for name in (op.weight, op.bias) if name)
    moved = timing.transfer(constants, constant=True)
    written = workload.tensors[op.output].bytes
    bounds = {
        "array": array,
        "vector": lanes,
        "scratchpad": timing.drained(written),
        moved.memory: moved.cycles if constants else 0,
    }
    return {name: cycles for name, cycles in bounds.items() if cycles}


def unhindered(accelerator: Accelerator) -> Accelerator:
    """The same machine with a scratchpad that never keeps anyone waiting."""
    fast = {"width_bytes": 2**40, "ports": 3, "bank_ports": None}
    weights = accelerator.weight_sram
    return replace(
        accelerator,
        scratchpad=replace(accelerator.scratchpad, **fast),  # type: ignore[arg-type]
        weight_sram=None if weights is None else replace(weights, **fast),  # type: ignore[arg-type]
    )


def array_cycles(
    op: Op, workload: Workload, accelerator: Accelerator, candidate: Candidate, timing: Timing
) -> int:
    """Cycles of all array tasks of an operator in this way."""
    if op.gemm is None:
        return 0
    tiling = candidate.tiling
    operands = array_op(op, workload, accelerator.array, tiling.dataflow)
    nest = loop_nest(
        operands,
        pixel_tiles(operands, tiling.m),
        block_tiles(operands, tiling.n),
        reduction_tiles(operands, tiling.k),
        tiling.order,
        timing,
    )
    return nest.work.array_cycles


def array_waits(workload: Workload, accelerator: Accelerator, plan: MemoryPlan) -> tuple[int, int]:
    """Cycles of all array tasks of a plan, and those of them in which the array waits for operands
    from the scratchpad: for its ports, or for banks that are busy."""
    timing, free = Timing(accelerator), Timing(unhindered(accelerator))
    ops = {op.name: op for op in workload.ops}
    known: dict[tuple[int, Candidate], tuple[int, int]] = {}
    cycles = waiting = 0
    for step in plan.steps:
        op, way = ops[step.op], replace(step.candidate, streamed=frozenset())
        key = workload.alike[op.name], way
        if key not in known:
            taken, alone = (array_cycles(op, workload, accelerator, way, t) for t in (timing, free))
            known[key] = taken, taken - alone
        cycles, waiting = cycles + known[key][0], waiting + known[key][1]
    return cycles, waiting


def choices(
    workload: Workload,
    accelerator: Accelerator,
    plan: MemoryPlan,
    kept: dict[str, dict[str, Candidate]] | None,
) -> tuple[Choice, ...]:
    """One entry per step of a plan. ``kept``: what the scheduler chose from, by operator."""
    timing, free = Timing(accelerator), Timing(unhindered(accelerator))
    ops = {op.name: op for op in workload.ops}
    spaces: dict[int, Space] = {}
    found = []
    for step in plan.steps:
        op = ops[step.op]
        alike = workload.alike[op.name]
        if alike not in spaces:
            spaces[alike] = search_space(op, workload, accelerator, timing)
        cycles, alone = (
            array_cycles(op, workload, accelerator, step.candidate, t) for t in (timing, free)
        )
        columns = list(kept[op.name].values()) if kept is not None else []
        found.append(
            Choice(
                op.name,
                op.kind.value,
                spaces[alike],
                len(columns) if kept is not None else None,
                step.candidate,
                min(columns, key=lambda c: (c.cycles, c.name)) if columns else None,
                op_bounds(op, workload, accelerator, timing),
                cycles,
                cycles - alone,
            )
        )
    return tuple(found)
