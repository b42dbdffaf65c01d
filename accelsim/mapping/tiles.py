"""The tiles of an operator on the array: index ranges, and the bytes each of them needs.

Pure geometry, shared by the mapping (which counts tiles in closed form) and the lowering (which
walks them). Feature maps are tiled in whole output rows of all channels, or in parts of one row;
the input region of a tile is the bounding box of what its windows cover inside the image (halo
included, padding not: nobody stores it).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from accelsim.arch.parts import SystolicArray
from accelsim.dataflow.counts import ceil_div
from accelsim.dataflow.sparse import compressed_k, index_bits
from accelsim.workload.graph import BITS, Gemm, Op, Tensor, Window, Workload

Range = tuple[int, int]
"""(start, count)."""


def split(total: int, size: int) -> tuple[Range, ...]:
    """[0, total) in ranges of ``size``, the last one shorter if need be."""
    return tuple((start, min(size, total - start)) for start in range(0, total, size))


def halvings(total: int, unit: int) -> tuple[int, ...]:
    """total, then total / 2, / 4, ... rounded up to ``unit``, down to one unit."""
    found = [total]
    parts = 2
    while found[-1] > unit:
        size = ceil_div(ceil_div(total, parts), unit) * unit
        if size < found[-1]:
            found.append(size)
        parts *= 2
    return tuple(found)


def element_bytes(tensor: Tensor) -> int:
    """Bytes of one element."""
    return ceil_div(BITS[tensor.dtype], 8)


def span(first: int, count: int, stride: int, pad: int, reach: int, size: int) -> int:
    """Input positions inside [0, size) that ``count`` outputs from ``first`` on look at."""
    low = max(0, first * stride - pad)
    high = min(size, (first + count - 1) * stride - pad + reach)
    return max(0, high - low)


def row_span(window: Window, row: int, rows: int) -> int:
    """Input rows of output rows [row, row + rows), counted over all images of the batch."""
    reach = (window.kernel_height - 1) * window.dilation[0] + 1
    total = 0
    while rows > 0:
        first = row % window.out_height
        count = min(rows, window.out_height - first)
        total += span(first, count, window.stride[0], window.pads[0], reach, window.in_height)
        row, rows = row + count, rows - count
    return total


def input_pixels(window: Window, start: int, count: int) -> int:
    """Input pixels of output pixels [start, start + count): whole rows or a part of one row."""
    row, column = divmod(start, window.out_width)
    if column == 0 and count % window.out_width == 0:
        return row_span(window, row, count // window.out_width) * window.in_width
    reach = (window.kernel_width - 1) * window.dilation[1] + 1
    columns = span(column, count, window.stride[1], window.pads[1], reach, window.in_width)
    return row_span(window, row, 1) * columns


def pixel_ranges(window: Window | None, total: int, size: int) -> tuple[Range, ...]:
    """Tiles over the ``total`` output pixels (rows of A) of at most ``size``.

    With a window: whole output rows, or, below one row, parts of each row.
    """
    if window is None:
        return split(total, size)
    width = window.out_width
    if size >= width:
        return split(total, size // width * width)
    return tuple(
        (row + start, count)
        for row in range(0, total, width)
        for start, count in split(width, size)
    )


@dataclass(frozen=True)
class Block:
    """Output channels of one tile: ``n`` channels from ``n0`` of each of ``groups`` groups."""

    group: int
    groups: int
    n0: int
    n: int

    @property
    def channels(self) -> int:
        """Output channels of the block."""
        return self.groups * self.n


def channel_blocks(gemm: Gemm, size: int) -> tuple[Block, ...]:
    """Tiles over the output channels, group by group.

    Up to ``gemm.n`` channels a tile stays within a group; above, it spans size // gemm.n whole
    groups (a depthwise convolution has one channel per group).
    """
    if size <= gemm.n:
        return tuple(
            Block(group, 1, start, count)
            for group in range(gemm.groups)
            for start, count in split(gemm.n, size)
        )
    return tuple(
        Block(group, groups, 0, gemm.n) for group, groups in split(gemm.groups, size // gemm.n)
    )


@dataclass(frozen=True)
class TileShape:
    """All that the duration and the SRAM bytes of one array task depend on."""

    m: int
    n: int
    k: int
    groups: int
    a_element_bytes: int
    b_element_bytes: int
    bias_bytes: int
    """Bias of the tile's channels (0 without one)."""
    first: bool
    """First reduction tile of its output: it starts from the bias, not from earlier sums."""
    constant: bool = True
    """B is a weight."""
    sparsity: tuple[int, int] | None = None
    """(N, M) of weights that are stored without their zeros."""
    dataflow: str = ""
    """Which of the array's dataflows runs it; empty: the only one it has."""
    layer: Window | Gemm | None = field(default=None, compare=False)
    """The operator that the tile is part of: row-stationary arrays and arrays of dot products look
    at it. Not compared, since nothing else depends on it."""


@dataclass(frozen=True)
class ArrayOp:
    """An array operator with its operands resolved."""

    op: Op
    gemm: Gemm
    a: Tensor
    """Pixels: activations."""
    b: Tensor
    """Channels: a constant weight, or the second activation."""
    bias: Tensor | None
    output: Tensor
    sparsity: tuple[int, int] | None = None
    """(N, M) if the weights are stored without their zeros."""
    dataflow: str = ""
    """Which of the array's dataflows runs it; empty: the only one it has."""

    @property
    def constant(self) -> bool:
        """True when B is a weight."""
        return self.op.weight is not None

    def slots(self, k: int) -> int:
        """Multiplications for each output of a tile of k reductions: sparse weights skip some."""
        return k if self.sparsity is None else compressed_k(k, self.sparsity)

    @property
    def macs(self) -> int:
        """Multiply-accumulates that the array carries out."""
        return self.gemm.m * self.gemm.n * self.gemm.groups * self.slots(self.gemm.k)

    def shape(self, m: int, block: Block, k: int, *, first: bool) -> TileShape:
        """Shape of the tile of ``m`` pixels, the channels of ``block`` and ``k`` reductions."""
        return TileShape(
            m, block.n, k, block.groups, element_bytes(self.a), element_bytes(self.b),
            self.bias_bytes(block), first, self.constant, self.sparsity, self.dataflow,
            self.op.window or self.gemm,
        )  # fmt: skip

    def a_channels(self, k: Range) -> int:
        """Channels of one group of A that the reduction range touches."""
        window = self.op.window
        if window is None:
            return k[1]
        taps = window.kernel_height * window.kernel_width
        return ceil_div(k[0] + k[1], taps) - k[0] // taps

    def a_pixels(self, m: Range) -> int:
        """Pixels of A (rows of A without a window) that the output range needs."""
        window = self.op.window
        return m[1] if window is None else input_pixels(window, *m)

    def a_bytes(self, m: Range, k: Range, block: Block) -> int:
        """Bytes of A in one tile."""
        per_pixel = self.a_channels(k) * block.groups * element_bytes(self.a)
        return self.a_pixels(m) * per_pixel

    def b_bytes(self, k: Range, block: Block) -> int:
        """Bytes of B in one tile; sparse weights with their indices (a tile begins with a block of
        M, :func:`reduction_unit`)."""
        if self.sparsity is None:
            return k[1] * block.channels * element_bytes(self.b)
        bits = 8 * element_bytes(self.b) + index_bits_of(self.sparsity)
        return ceil_div(self.slots(k[1]) * block.channels * bits, 8)

    def bias_bytes(self, block: Block) -> int:
        """Bytes of the bias of a block (0 without a bias)."""
        return 0 if self.bias is None else block.channels * element_bytes(self.bias)

    def out_bytes(self, m: Range, block: Block) -> int:
        """Bytes of the output in one tile."""
        return m[1] * block.channels * element_bytes(self.output)


def array_op(
    op: Op, workload: Workload, array: SystolicArray | None = None, dataflow: str = ""
) -> ArrayOp:
    """Resolve the operands of an operator with a :class:`Gemm`. ``array``: the one that runs it
    (in ``dataflow``, one of its ``choices``); only constant weights are sparse."""
    assert op.gemm is not None, f"{op.name} is not an array operator"
    tensors = workload.tensors
    b = op.weight if op.weight is not None else op.inputs[-1]
    bias = tensors[op.bias] if op.bias is not None else None
    sparsity = array.sparsity if array is not None and op.weight is not None else None
    return ArrayOp(
        op, op.gemm, tensors[op.inputs[0]], tensors[b], bias, tensors[op.output], sparsity, dataflow
    )


def executed_macs(workload: Workload, array: SystolicArray) -> int:
    """Multiply-accumulates that an array carries out for a network: those of sparse weights that
    are stored, all others."""
    if array.sparsity is None:
        return workload.macs
    return sum(array_op(op, workload, array).macs for op in workload.ops if op.gemm is not None)


def reduction_unit(operands: ArrayOp, array: SystolicArray) -> int:
    """Reductions that a tile of k holds a multiple of (unless it holds all): what fills the array's
    rows once; whole kernels where the array works on channels, whole blocks of sparse weights."""
    if operands.sparsity is not None:
        keep, block = operands.sparsity
        return block * max(1, array.rows // keep)
    if array.dataflow not in ("rs", "dot"):
        return array.rows
    window = operands.op.window
    taps = 1 if window is None else window.kernel_height * window.kernel_width
    burst = array.dot.burst if array.dot is not None else 1
    return taps * (array.rows * burst if array.dataflow == "dot" else 1)


def reduction_grain(operands: ArrayOp, array: SystolicArray) -> int:
    """Reductions that no tile of k may cut: a kernel of ``rs`` and ``dot``, a block of sparse
    weights."""
    if operands.sparsity is not None:
        return operands.sparsity[1]
    window = operands.op.window
    if array.dataflow not in ("rs", "dot") or window is None:
        return 1
    return window.kernel_height * window.kernel_width


def index_bits_of(sparsity: tuple[int, int] | None) -> int:
    """Bits of the index that comes with every stored weight."""
    return 0 if sparsity is None else index_bits(sparsity)


def share(amount: int, start: int, count: int, total: int) -> int:
    """Whole-number share of ``amount`` for [start, start + count) of ``total``; shares of a
    partition sum to ``amount``."""
    if total == 0:
        return 0
    return amount * (start + count) // total - amount * start // total
