"""Whether an operator fits: what its candidates take of the scratchpads, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.errors import Infeasibility, InfeasibleError
from accelsim.mapping.layout import Layout, align, array_workspace, vector_workspace
from accelsim.mapping.tiles import array_op
from accelsim.mapping.weight_places import weights_fit
from accelsim.plan import Candidate
from accelsim.workload.graph import Op, Workload


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
    smallest = min(found, key=lambda c: scratchpad_demand(op, workload, c, alignment))
    demand = scratchpad_demand(op, workload, smallest, alignment)
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
    return weights, scratchpad_demand(op, workload, candidate, alignment)


def scratchpad_demand(op: Op, workload: Workload, candidate: Candidate, alignment: int) -> int:
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
