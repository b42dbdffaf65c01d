"""The transfers of a loop nest on the array, once it is known what streams and where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.flow import Flow, LevelFlow, by_level
from accelsim.mapping.timing import Timing

if TYPE_CHECKING:
    from accelsim.mapping.array import Nest
    from accelsim.mapping.tiles import ArrayOp


def array_flow(
    nest: Nest, operands: ArrayOp, streamed: frozenset[str], timing: Timing, hidden: int
) -> Flow:
    """``hidden``: cycles of the step before that the first weights may hide behind."""
    fills, sizes = nest.fills, nest.sizes
    stream_a, stream_out = operands.a.name in streamed, operands.output.name in streamed
    stream_b = operands.constant or operands.b.name in streamed
    homes = (timing.home(t.name) for t in (operands.a, operands.b, operands.output))
    home_a, home_b, home_out = homes
    # Constants that are kept in a level: copied there at the beginning of the step, not before.
    kept = operands.constant and bool(home_b)
    constants = nest.bias_bytes + (nest.b_bytes if operands.constant else 0)
    read, loads = constants, 0
    if stream_b:
        loads += fills.weights
        read += 0 if operands.constant else nest.b_bytes
    if operands.bias is not None and not operands.constant:
        loads += fills.biases
    if stream_a:
        loads += fills.inputs
        read += nest.a_bytes
    stores, written = (fills.outputs, operands.output.bytes) if stream_out else (0, 0)
    first = sizes.bias + (sizes.b if stream_b else 0)
    if operands.constant and not kept:
        first_cycles = timing.constant(first)
    else:
        first_cycles = timing.dma(first, home_b) if first else 0
    first_a = timing.dma(nest.first_a, home_a) if stream_a and nest.first_a else 0
    levels = by_level(
        LevelFlow(home, *moved)
        for home, used, moved in (
            (home_a, stream_a, (fills.inputs, nest.a_bytes)),
            (home_b, stream_b, (fills.weights, constants if kept else nest.b_bytes)),
            (home_out, stream_out, (0, 0, stores, written)),
        )
        if used
    )
    return Flow(
        loads,
        read,
        stores,
        written,
        first=first_cycles + first_a,
        last=_last_stores(nest, written, timing, home_out) if stream_out else 0,
        hidden=0 if kept else min(hidden, first_cycles),
        constants=0 if kept else constants,
        levels=levels,
    )


def _last_stores(nest: Nest, written: int, timing: Timing, home: str) -> int:
    """Cycles of stores after the last drain: that of the last output, or those of all outputs that
    are completed together, as far as they do not go on beside the last pass over these."""
    each = timing.fixed(home) + ceil_div(timing.transfer_bytes(written, home), nest.fills.outputs)
    return max(timing.dma(nest.sizes.out, home), nest.kept * each - nest.final)
