"""The loop nest of an array operator: tiles counted in runs, workspace, buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accelsim.arch.parts import Accelerator
from accelsim.lower.buffers import At, Buffers, Slots, as_planned, offsets
from accelsim.mapping.layout import Layout, TileSizes, array_layout
from accelsim.mapping.orders import count_fills
from accelsim.mapping.runs import (
    Extent,
    Run,
    Runs,
    block_runs,
    leaves,
    pixel_runs,
    reduction_runs,
    tile_count,
)
from accelsim.mapping.tiles import ArrayOp, Block, element_bytes
from accelsim.plan import Step, Tiling

HALVES = 2
"""Parts of the accumulator SRAM that take turns."""


@dataclass(frozen=True)
class Nest:
    """The loops of one operator, equal tiles counted together."""

    groups: tuple[tuple[int, Runs[Extent]], ...]
    """How many groups (or sets of groups) have which channel blocks (groups, channels of each)."""
    pixels: Runs[Extent]
    """(output pixels, input pixels)."""
    reductions: Runs[Extent]
    """(reductions, channels touched)."""
    pixel_tiles: int
    reduction_tiles: int


def array_nest(operands: ArrayOp, tiling: Tiling) -> Nest:
    """The loop nest that a tiling means."""
    pixels = pixel_runs(operands.op.window, operands.gemm.m, tiling.m)
    reductions = reduction_runs(operands, tiling.k)
    counts = tile_count(pixels), tile_count(reductions)
    return Nest(block_runs(operands.gemm, tiling.n), pixels, reductions, *counts)


def array_slots(operands: ArrayOp, nest: Nest, step: Step, accelerator: Accelerator) -> Layout:
    """Workspace of an array operator, as the mapping lays it out."""
    pad = accelerator.scratchpad
    streamed = step.candidate.streamed
    groups, channels = max(
        (block for _, blocks in nest.groups for block, _ in leaves(blocks)),
        key=lambda block: block[0] * block[1],
    )
    wide = Block(0, groups, 0, channels)
    blocks = [(many, many * tile_count(inner)) for many, inner in nest.groups]
    m, pixels = _largest(nest.pixels)
    k, touched = _largest(nest.reductions)
    return array_layout(
        TileSizes(
            a=pixels * touched * groups * element_bytes(operands.a),
            b=operands.b_bytes((0, k), wide),
            bias=operands.bias_bytes(wide),
            out=operands.out_bytes((0, m), wide),
        ),
        count_fills(
            sum(number for _, number in blocks), sum(many for many, _ in blocks),
            nest.pixel_tiles, nest.reduction_tiles, step.candidate.tiling.order,
            reuse=not pad.cacheless,
        ),
        pad.alignment_bytes,
        stream_a=operands.a.name in streamed,
        stream_b=operands.b.name in streamed,
        stream_out=operands.output.name in streamed,
        constant=operands.constant,
        buffering=pad.buffering,
        weights=accelerator.weight_sram,
    )  # fmt: skip


def _largest(runs: Runs[Extent]) -> Extent:
    """The largest of each component."""
    found = [extent for extent, _ in leaves(runs)]
    return max(first for first, _ in found), max(second for _, second in found)


def _alike(reductions: Runs[Extent]) -> Runs[Extent]:
    """Reduction tiles that differ only in the channels they touch, as if each touched the most: how
    much of a resident input a tile looks at decides about no transfer, and equal tiles fold."""
    channels = max(touched for (_, touched), _ in leaves(reductions))
    sizes: dict[int, int] = {}
    for (k, _), many in leaves(reductions):
        sizes[k] = sizes.get(k, 0) + many
    # Only the last tile can be smaller than the others.
    return tuple(Run(many, (k, channels)) for k, many in sorted(sizes.items(), reverse=True))


@dataclass(frozen=True)
class ArrayShape:
    """What operators of equal sizes, tiling and residency share."""

    nest: Nest
    b: Slots
    """Tile buffers; likewise below."""
    bias: Slots
    a: Slots
    out: Slots


def array_shape(operands: ArrayOp, step: Step, accelerator: Accelerator) -> ArrayShape:
    """Loops and tile buffers of an operator. The latter must be what the plan reckoned with."""
    candidate = step.candidate
    nest = array_nest(operands, candidate.tiling)
    held = accelerator.array.flow(operands.dataflow) == "is"
    if operands.a.name not in candidate.streamed and not held:
        nest = replace(nest, reductions=_alike(nest.reductions))
    layout = as_planned(array_slots(operands, nest, step, accelerator), step, accelerator)
    b, bias, a, out = (offsets(layout, role) for role in ("b", "bias", "a", "out"))
    return ArrayShape(nest, b, bias, a, out)


@dataclass(frozen=True)
class Roles:
    """Numbers of the buffers in their block."""

    b: int
    bias: int
    """-1: no bias."""
    a: int
    out: int
    sums: int
    homes: Mapping[str, At | None] = field(default_factory=dict)
    """``b``, ``bias``, ``a``, ``out`` -> where it is kept, if in a memory level."""


def array_roles(operands: ArrayOp, shape: ArrayShape, buffers: Buffers, half: int) -> Roles:
    """The buffers of a block, in a fixed order. ``half``: bytes of half the accumulators."""
    output, bias = operands.output.name, operands.bias
    kind = "weight" if operands.constant else "activation"
    homes = {
        "b": buffers.home(operands.b.name),
        "bias": None if bias is None else buffers.home(bias.name),
        "a": buffers.home(operands.a.name),
        "out": buffers.home(output),
    }
    return Roles(
        b=buffers.tiles(shape.b, kind, operands.b.name),
        bias=-1 if bias is None else buffers.tiles(shape.bias, "bias", bias.name),
        a=buffers.tiles(shape.a, "activation", operands.a.name),
        out=buffers.output(shape.out, output),
        sums=buffers.accumulators(output, tuple(part * half for part in range(HALVES))),
        homes=homes,
    )
