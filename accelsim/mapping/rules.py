"""Mappings that are given instead of searched: a rule for every operator, or a tiling by name.

A rule is a function from an operator and a machine to a tiling; a new rule is one function and one
entry of :data:`RULES`. What a user fixes is checked by :func:`objections` and never rounded to
something that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from accelsim.arch.parts import Accelerator
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.array import (
    Nest,
    accumulator_tile_elements,
    loop_nest,
    realise,
)
from accelsim.mapping.orders import ORDERS, inside_reduction, live_sums
from accelsim.mapping.tile_counts import block_tiles, pixel_tiles, reduction_tiles
from accelsim.mapping.tiles import (
    ArrayOp,
    Block,
    array_op,
    element_bytes,
    reduction_grain,
    reduction_unit,
)
from accelsim.mapping.timing import Timing
from accelsim.mapping.vector import vector_candidate, vector_tilings
from accelsim.mapping.vector_tiles import whole
from accelsim.plan import Candidate, Tiling
from accelsim.workload.graph import Gemm, Op, Workload

Rule = Callable[[ArrayOp, Accelerator], Tiling]


def fold(operands: ArrayOp, accelerator: Accelerator) -> Tiling:
    """One fold of the array per tile: what the array holds at once stays in it while the third
    dimension streams past, as far as half of the accumulators allows."""
    array, gemm = accelerator.array, operands.gemm
    rows, cols, flow = array.rows, array.cols, array.flow(operands.dataflow)
    if flow == "os":
        m, n, k = rows, min(cols, gemm.n), gemm.k
    elif flow == "is":
        m, n, k = cols, gemm.n, min(rows, gemm.k)
    elif flow == "rs":  # sums stay on the chip, and the array takes what it can
        m, n, k = gemm.m, gemm.n, gemm.k
    else:
        m, n, k = gemm.m, min(cols, gemm.n), min(reduction_unit(operands, array), gemm.k)
    sums = accumulator_tile_elements(accelerator)
    room = sums // min(m, gemm.m) if flow == "is" else sums
    n = max(1, min(n, room))
    return Tiling(whole_rows(operands, max(1, min(m, sums // n))), n, k, "nmk")


def layer(operands: ArrayOp, accelerator: Accelerator) -> Tiling:
    """The largest tile: the reduction whole, as many output channels (in whole array columns) as
    the accumulators hold for one output row and half of the scratchpad holds twice, then as many
    output rows as the accumulators hold and a quarter of the scratchpad holds twice as inputs, and
    as outputs. A reduction that is too long even for one column of channels is cut in array rows.
    Of a split scratchpad, one slot of the weights' half takes the place of half of the scratchpad
    over its slots.
    """
    gemm, array = operands.gemm, accelerator.array
    sums, slots = accumulator_tile_elements(accelerator), accelerator.scratchpad.buffering
    half = accelerator.scratchpad.bytes // 2 // slots
    room, more = weight_room(operands, accelerator, half)
    window, size = operands.op.window, element_bytes(operands.b)
    row = min(window.out_width if window else 1, gemm.m)
    k = gemm.k
    least = min(gemm.n, array.cols)
    unit = reduction_unit(operands, array)
    if least * (k * size + more) > room:
        k = min(k, max(1, max(0, room // least - more) // size // unit) * unit)
    widest = max(1, min(sums // row, room // (k * size + more)))
    n = gemm.n if gemm.n <= widest else max(1, widest // array.cols * array.cols or widest)
    if n == gemm.n and (array.dataflow == "dot" or array.packing):  # groups side by side
        n *= min(gemm.groups, max(1, widest // n))
    m = whole_rows(operands, max(1, min(gemm.m, sums // n)))
    block = Block(0, max(1, n // gemm.n), 0, min(n, gemm.n))
    while (
        m > row
        and max(operands.a_bytes((0, m), (0, k), block), operands.out_bytes((0, m), block))
        > half // 2
    ):
        m = whole_rows(operands, m // 2)
    return Tiling(m, n, k, "nmk")


def weight_room(operands: ArrayOp, accelerator: Accelerator, half: int) -> tuple[int, int]:
    """Bytes that one slot of weights may take under rule ``layer``, and what it holds per output
    channel besides them: ``half`` of the scratchpad by slots and nothing, or a weight scratchpad by
    its slots, whose biases lie beside the weights."""
    own = accelerator.weight_sram
    if own is None or not operands.constant:
        return half, 0
    bias = 0 if operands.bias is None else element_bytes(operands.bias)
    lost = (own.alignment_bytes - 1) * (2 if bias else 1)
    return max(1, own.bytes // own.buffering - lost), bias


RULES: Mapping[str, Rule] = MappingProxyType({"fold": fold, "layer": layer})
"""Name -> rule for array operators. Operators of the vector unit have one tile if they are
resident, else tiles of the largest size whose buffers fit half of the scratchpad."""


def whole_rows(operands: ArrayOp, m: int) -> int:
    """``m`` output pixels (at most) as a legal tile: whole output rows, or a part of one."""
    window = operands.op.window
    m = min(m, operands.gemm.m)
    if window is None or m <= window.out_width:
        return m
    return m // window.out_width * window.out_width


def ruled_candidate(
    rule: str,
    op: Op,
    workload: Workload,
    streamed: frozenset[str],
    accelerator: Accelerator,
    timing: Timing,
    *,
    hidden: int | None = None,
) -> Candidate:
    """The candidate that a rule of :data:`RULES` gives an operator."""
    if op.gemm is None:
        return ruled_vector(op, workload, streamed, accelerator, timing)
    operands = array_op(op, workload, accelerator.array)
    nest = ruled_nest(rule, operands, accelerator, timing)
    return realise(nest, operands, streamed, rule, accelerator, timing, hidden=hidden)


def ruled_vector(
    op: Op, workload: Workload, streamed: frozenset[str], accelerator: Accelerator, timing: Timing
) -> Candidate:
    """The candidate of an operator of the vector unit, see :data:`RULES`."""
    if not streamed:
        tiling = whole(op, workload.tensors[op.output])
        return vector_candidate(op, workload, tiling, streamed, "rule", accelerator, timing)
    room, own = accelerator.scratchpad.bytes // 2, accelerator.weight_sram
    found = None
    for wide in (True, False):
        for tiling in vector_tilings(op, workload, accelerator.vector.lanes, wide=wide):
            found = vector_candidate(op, workload, tiling, streamed, "rule", accelerator, timing)
            constants_fit = own is None or found.weight_buffer_bytes <= own.bytes
            if found.buffer_bytes <= room and constants_fit:
                return found
    assert found is not None, "an operator has at least one tiling"
    return found


def ruled_nest(rule: str, operands: ArrayOp, accelerator: Accelerator, timing: Timing) -> Nest:
    """The loop nest that a rule gives an array operator, whatever of it is resident. Of several
    dataflows that of the fewest cycles (estimated with all activations resident, where there is a
    cache) among those whose tile buffers fit with everything streaming; of equals the first."""
    found = [
        _nest(rule, replace(operands, dataflow=choice), accelerator, timing)
        for choice in accelerator.array.choices
    ]
    if len(found) == 1:
        return found[0]
    pad, own = accelerator.scratchpad, accelerator.weight_sram
    everything = frozenset((*operands.op.inputs, operands.op.output))

    def merit(nest: Nest) -> tuple[bool, int]:
        streaming, usual = (
            realise(nest, operands, moved, rule, accelerator, timing, hidden=None)
            for moved in (everything, everything if pad.cacheless else frozenset[str]())
        )
        too_much = own is not None and streaming.weight_buffer_bytes > own.bytes
        return too_much or streaming.buffer_bytes > pad.bytes, usual.cycles

    return min(found, key=merit)


def _nest(rule: str, operands: ArrayOp, accelerator: Accelerator, timing: Timing) -> Nest:
    tiling = RULES[rule](operands, accelerator)
    return loop_nest(
        operands,
        pixel_tiles(operands, tiling.m),
        block_tiles(operands, tiling.n),
        reduction_tiles(operands, tiling.k),
        tiling.order,
        timing,
    )


def objections(
    op: Op, workload: Workload, tiling: Tiling, streamed: frozenset[str], accelerator: Accelerator
) -> list[tuple[str, str]]:
    """(reason, remedy) of everything that keeps a mapping from being executed as written."""
    known = (*op.inputs, op.output)
    found = [
        (f"it streams '{name}', which the operator does not touch", "one of: " + ", ".join(known))
        for name in sorted(streamed)
        if name not in known
    ]
    if op.gemm is None:
        limits = whole(op, workload.tensors[op.output])
    else:
        gemm = op.gemm
        limits = Tiling(gemm.m, max(gemm.n, gemm.n * gemm.groups), gemm.k)
    for name in ("m", "n", "k"):
        value, limit = getattr(tiling, name), getattr(limits, name)
        if not 1 <= value <= limit:
            found.append((f"{name} must be between 1 and {limit}", f"{name}: {limit}"))
    if tiling.order not in ORDERS:
        found.append((f"no loop order '{tiling.order}'", "one of: " + ", ".join(ORDERS)))
    found += _wrong_dataflow(op, tiling.dataflow, accelerator)
    if op.gemm is None or found:
        return found
    operands = array_op(op, workload, accelerator.array)
    if op.gemm.groups > 1 and tiling.n > op.gemm.n and tiling.n % op.gemm.n:
        found.append((f"n cuts a group of {op.gemm.n} channels", f"a multiple of {op.gemm.n}"))
    grain = reduction_grain(operands, accelerator.array)
    if tiling.k < op.gemm.k and tiling.k % grain:
        what = "a kernel" if operands.sparsity is None else "a block of sparse weights"
        found.append((f"k cuts {what} of {grain}", f"a multiple of {grain}"))
    legal = whole_rows(operands, tiling.m)
    if legal != tiling.m:
        found.append(("m is neither whole output rows nor a part of one", f"m: {legal}"))
    return found + _excess_sums(op.gemm, tiling, accelerator)


def _excess_sums(gemm: Gemm, tiling: Tiling, accelerator: Accelerator) -> list[tuple[str, str]]:
    """What :func:`objections` has to say of the sums that are kept at once."""
    reductions = ceil_div(gemm.k, tiling.k)
    sums = live_sums(gemm, tiling.m, tiling.n, tiling.order, reductions)
    room = accumulator_tile_elements(accelerator)
    if sums <= room:
        return []
    size = ceil_div(accelerator.array.accumulator_bits, 8)
    why = f"{sums} sums of {size} bytes do not fit half of the accumulators ({room} sums)"
    if not inside_reduction(tiling.order, reductions):
        return [(why, "a smaller m or n, or larger accumulators")]
    why += f": '{tiling.order}' with k cut keeps those of every output tile inside k"
    return [(why, "nmk, a whole k, or larger accumulators")]


def _wrong_dataflow(op: Op, choice: str, accelerator: Accelerator) -> list[tuple[str, str]]:
    """As :func:`objections`, of a dataflow alone (empty: none is asked for)."""
    known = accelerator.array.dataflows
    if op.gemm is None and choice:
        return [("an operator of the vector unit has no dataflow", "leave 'dataflow' out")]
    if choice and choice not in known:
        return [(f"the array has no dataflow '{choice}'", "it has: " + ", ".join(known))]
    return []
