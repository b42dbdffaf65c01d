"""Where the tile buffers of an operator lie inside its workspace.

Order: first constants (their first slots come first, so that they can be prefetched into a
contiguous beginning), then streamed inputs, then the streamed output. Every buffer starts on the
scratchpad's alignment. A buffer that is filled more than once has as many slots as the machine
buffers (two unless stated: one is filled or drained by DMA while the other is in use), at most one
per fill. With a split scratchpad the constants have a workspace of their own, in the weight
scratchpad and by its alignment and number of slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelsim.arch.parts import Scratchpad
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.orders import Fills, count_fills
from accelsim.mapping.tiles import (
    ArrayOp,
    channel_blocks,
    pixel_ranges,
    split,
)
from accelsim.mapping.vector_tiles import largest, tile_kinds
from accelsim.plan import Tiling
from accelsim.workload.graph import Op, Tensor, Workload


@dataclass(frozen=True)
class Buffer:
    """One slot. ``role``: ``b``, ``bias``, ``a``, ``out``, or, for vector operators,
    ``in:<tensor>`` and ``const:<tensor>``."""

    role: str
    slot: int
    offset: int
    bytes: int
    """Largest tile it has to hold (its footprint is aligned)."""
    weights: bool = False
    """Part of the workspace in the weight scratchpad; ``offset`` counts from the beginning of
    that."""


@dataclass(frozen=True)
class Layout:
    """The workspace of one operator run."""

    buffers: tuple[Buffer, ...]
    bytes: int
    prefetchable: int
    """Bytes of the beginning that hold the first constants (in which memory they lie)."""
    weight_bytes: int = 0
    """Of the workspace in the weight scratchpad."""

    def slots(self, role: str) -> tuple[Buffer, ...]:
        """Slots of one role (none if that operand has no tile buffer)."""
        return tuple(buffer for buffer in self.buffers if buffer.role == role)

    def reversed_weights(self, alignment: int) -> Layout:
        """The same with the workspace in the weight scratchpad in reverse order: its beginning at
        the top."""
        turned = (
            replace(b, offset=self.weight_bytes - b.offset - align(b.bytes, alignment))
            if b.weights
            else b
            for b in self.buffers
        )
        return replace(self, buffers=tuple(turned))


def align(size: int, alignment: int) -> int:
    """``size`` rounded up to a multiple of ``alignment``."""
    return ceil_div(size, alignment) * alignment


def first_fit(taken: Sequence[tuple[int, int]], size: int, capacity: int) -> int | None:
    """Lowest address of a gap of ``size`` bytes between ``taken`` ranges (first address, bytes)
    below ``capacity``; None without one."""
    address = 0
    for start, length in sorted(taken):
        if start - address >= size:
            break
        address = max(address, start + length)
    return address if address + size <= capacity else None


def stack(wanted: Sequence[tuple[str, int, int]], alignment: int, prefetch: int) -> Layout:
    """Buffers one above the other from (role, slot, bytes); the first ``prefetch`` entries are
    the prefetchable beginning."""
    buffers: list[Buffer] = []
    offset = beginning = 0
    for index, (role, slot, size) in enumerate(wanted):
        if size > 0:
            buffers.append(Buffer(role, slot, offset, size))
            offset += align(size, alignment)
        if index < prefetch:
            beginning = offset
    return Layout(tuple(buffers), offset, beginning)


Wanted = Sequence[tuple[str, int, int]]
"""(role, slot, bytes)."""


def stack_apart(
    constants: Wanted, others: Wanted, alignment: int, prefetch: int, weights: Scratchpad
) -> Layout:
    """Constants in a workspace of the weight scratchpad, the rest in one of the scratchpad."""
    mine = stack(constants, weights.alignment_bytes, prefetch)
    rest = stack(others, alignment, 0)
    kept = tuple(replace(buffer, weights=True) for buffer in mine.buffers)
    return Layout((*kept, *rest.buffers), rest.bytes, mine.prefetchable, mine.bytes)


@dataclass(frozen=True)
class TileSizes:
    """Largest tile of each operand of an array operator, bytes."""

    a: int
    b: int
    bias: int
    out: int


def array_layout(
    sizes: TileSizes,
    fills: Fills,
    alignment: int,
    *,
    stream_a: bool,
    stream_b: bool,
    stream_out: bool,
    constant: bool,
    buffering: int = 2,
    weights: Scratchpad | None = None,
) -> Layout:
    """Workspace of an array operator. ``constant``: B is a weight (always streamed, and its first
    tile can be prefetched). ``weights``: the weight scratchpad, if there is one."""
    depth = buffering if weights is None else weights.buffering
    b_slots = min(fills.weights, depth if constant else buffering) if constant or stream_b else 0
    bias_slots = min(fills.biases, depth)
    first: list[tuple[str, int, int]] = []
    for slot in range(max(b_slots, bias_slots)):
        if slot < b_slots:
            first.append(("b", slot, sizes.b))
        if slot < bias_slots:
            first.append(("bias", slot, sizes.bias))
    prefetch = 2 if constant else 0
    moved: list[tuple[str, int, int]] = []
    for role, used, count, size in (
        ("a", stream_a, fills.inputs, sizes.a),
        ("out", stream_out, fills.outputs, sizes.out),
    ):
        if used:
            moved += [(role, slot, size) for slot in range(min(count, buffering))]
    if weights is None:
        return stack([*first, *moved], alignment, prefetch)
    constants = [entry for entry in first if constant or entry[0] == "bias"]
    others = [entry for entry in first if entry not in constants]
    return stack_apart(constants, [*others, *moved], alignment, prefetch, weights)


def array_workspace(
    operands: ArrayOp,
    tiling: Tiling,
    streamed: frozenset[str],
    alignment: int,
    buffering: int = 2,
    weights: Scratchpad | None = None,
    *,
    reuse: bool = True,
) -> Layout:
    """Workspace of an array operator from its tiling alone."""
    op, gemm = operands.op, operands.gemm
    blocks = channel_blocks(gemm, tiling.n)
    pixels = pixel_ranges(op.window, gemm.m, tiling.m)
    reductions = split(gemm.k, tiling.k)
    runs = len({block.group for block in blocks})
    wide = max(blocks, key=lambda block: block.channels)
    sizes = TileSizes(
        a=max(operands.a_bytes(m, k, wide) for m in pixels for k in reductions),
        b=max(operands.b_bytes(k, wide) for k in reductions),
        bias=operands.bias_bytes(wide),
        out=max(operands.out_bytes(m, wide) for m in pixels),
    )
    return array_layout(
        sizes,
        count_fills(len(blocks), runs, len(pixels), len(reductions), tiling.order, reuse=reuse),
        alignment,
        stream_a=operands.a.name in streamed,
        stream_b=operands.b.name in streamed,
        stream_out=operands.output.name in streamed,
        constant=operands.constant,
        buffering=buffering,
        weights=weights,
    )


def constants_of(op: Op, workload: Workload) -> tuple[tuple[Tensor, bool], ...]:
    """Constant operands of a vector operator; True: as large as the output (or larger, and only
    picked from), hence tiled with it (smaller ones are loaded whole, once)."""
    output = workload.tensors[op.output]
    names = [name for name in (op.weight, op.bias) if name is not None]
    found = [workload.tensors[name] for name in names]
    return tuple(
        (t, t.elements == output.elements or (op.picks and t.elements > output.elements))
        for t in found
    )


def vector_workspace(
    op: Op,
    workload: Workload,
    tiling: Tiling,
    streamed: frozenset[str],
    alignment: int,
    buffering: int = 2,
    weights: Scratchpad | None = None,
    *,
    reuse: bool = True,
) -> Layout:
    """Workspace of a vector operator from its tiling alone. ``reuse``: constants that are not
    tiled are loaded once; else with every tile."""
    output = workload.tensors[op.output]
    kinds = tile_kinds(op, workload, tiling)
    slots = range(min(kinds.tiles, buffering))
    depth = range(min(kinds.tiles, buffering if weights is None else weights.buffering))
    constants: list[tuple[str, int, int]] = []
    for tensor, tiled in constants_of(op, workload):
        size = largest(op, tensor, output, kinds) if tiled else tensor.bytes
        used = depth if tiled or not reuse else (0,)
        constants += [(f"const:{tensor.name}", slot, size) for slot in used]
    wanted: list[tuple[str, int, int]] = []
    for name in op.inputs:
        if name in streamed:
            size = largest(op, workload.tensors[name], output, kinds)
            wanted += [(f"in:{name}", slot, size) for slot in slots]
    if op.output in streamed:
        size = largest(op, output, output, kinds)
        wanted += [("out", slot, size) for slot in slots]
    if weights is None:
        return stack([*constants, *wanted], alignment, 0)
    return stack_apart(constants, wanted, alignment, 0, weights)
