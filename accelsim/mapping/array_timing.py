"""One tile on the array, by kind of array: cycles and what crosses its edges.

Systolic arrays take the closed forms of their dataflow on the tile's product; sparse and packed
ones those of :mod:`accelsim.dataflow.sparse` and :mod:`accelsim.dataflow.packing`. Row-stationary
arrays and arrays of dot products must know the convolution that the product stands for: windows
over the image's border count as if padded, and rows of several images as rows of one unless the
tile holds whole images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from accelsim.arch.parts import Accelerator, DotUnits, PeSpads
from accelsim.dataflow import DATAFLOWS, gemm_cycles, packing, row_moves, sparse
from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.counts import Moves, ceil_div
from accelsim.dataflow.dot_product import DotArray, DotTile, conv_cycles, conv_moves
from accelsim.dataflow.row_mapping import map_convolution
from accelsim.dataflow.row_stationary import RowArray, RowStationary
from accelsim.dataflow.row_stationary import conv_cycles as row_cycles
from accelsim.mapping.tiles import TileShape, index_bits_of
from accelsim.workload.graph import Window


@dataclass(frozen=True)
class Passage:
    """A tile's time on the array and what crosses its edges."""

    cycles: int
    a_bytes: int
    """Read from the scratchpad; likewise below."""
    b_bytes: int
    sums_read: int
    """Sums from and to the accumulators."""
    sums_written: int


class ArrayTiming:
    """Tiles of one machine; remembers row-stationary mappings by shape."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._array = array = accelerator.array
        units = array.dot or DotUnits()
        self._input_buffer = units.input_buffer
        self._dot = units
        self._rows = _row_array(accelerator) if array.dataflow == "rs" else None
        self._mappings: dict[ConvShape, RowStationary] = {}

    def passage(self, shape: TileShape) -> Passage:
        """The products of one tile.

        A row-stationary array is set up anew for every shape of tile; InfeasibleError when it
        cannot hold one at all.
        """
        if self._rows is not None:
            return self._row_stationary(shape, self._rows)
        if self._array.dataflow == "dot":
            return self._dot_product(shape)
        return self._systolic(shape)

    def _systolic(self, shape: TileShape) -> Passage:
        array = self._array
        m, n, k, groups = shape.m, shape.n, shape.k, shape.groups
        rows, cols, flow = array.rows, array.cols, array.flow(shape.dataflow)
        if shape.sparsity is not None:
            cycles = sparse.sparse_gemm_cycles(
                m, n, k, rows, cols, shape.sparsity, flow, array.overlap,
                skip_idle=array.skip_idle, mac_input=array.mac_input, groups=groups,
            )  # fmt: skip
            moves = sparse.moves(m, n, k, rows, cols, shape.sparsity, flow)
        elif array.packing and groups > 1:
            cycles = packing.packed_cycles(
                m, n, k, groups, rows, cols, flow, array.overlap, skip_idle=array.skip_idle,
                mac_input=array.mac_input, microarchitecture=array.microarchitecture,
            )  # fmt: skip
            moves = DATAFLOWS[flow].moves(m, n, k, rows, cols)
        else:
            cycles = gemm_cycles(
                m, n, k, rows, cols, flow, array.overlap, skip_idle=array.skip_idle,
                mac_input=array.mac_input, groups=groups,
                microarchitecture=array.microarchitecture,
            )  # fmt: skip
            moves = DATAFLOWS[flow].moves(m, n, k, rows, cols)
        return _passage(cycles, moves, shape, groups)

    def _dot_product(self, shape: TileShape) -> Passage:
        units, array = self._dot, self._array
        height, width, taps = _extent(shape)
        across = units.positions
        if height == 1:  # a single row: all positions next to each other
            across = 1, across[0] * across[1]
        dot = DotArray(
            array.rows, array.cols, across, units.burst, units.set_cycles, units.depthwise
        )
        tile = DotTile(height, width, shape.n, ceil_div(shape.k, taps), taps, shape.groups)
        moves = conv_moves(tile, dot)
        if self._input_buffer:
            moves = replace(moves, a=_input_pixels(shape) * tile.channels * tile.groups)
        return _passage(conv_cycles(tile, dot), moves, shape, 1)

    def _row_stationary(self, shape: TileShape, array: RowArray) -> Passage:
        tile = _tile(shape)
        mapping = self._mappings.get(tile)
        if mapping is None:
            mapping = self._mappings[tile] = map_convolution(tile, array)
        skip = self._array.skip_idle
        words = row_moves.moves(tile, mapping, skip)
        moves = Moves(words.ifmap_words, words.filter_words, words.sums_written, words.sums_read)
        return _passage(row_cycles(tile, mapping, array, skip), moves, shape, 1)


def _passage(cycles: int, moves: Moves, shape: TileShape, times: int) -> Passage:
    bits = 8 * shape.b_element_bytes + index_bits_of(shape.sparsity)
    return Passage(
        cycles,
        moves.a * times * shape.a_element_bytes,
        ceil_div(moves.b * times * bits, 8),
        moves.sums_read * times,
        moves.sums_written * times,
    )


def _row_array(accelerator: Accelerator) -> RowArray:
    """The array with the on-chip memory for inputs and sums, in words of an operand."""
    array = accelerator.array
    spads = array.spads or PeSpads()
    on_chip = accelerator.scratchpad.bytes + accelerator.accumulators.bytes
    return RowArray(
        array.rows, array.cols, spads.filter_words, spads.ifmap_words, spads.psum_words,
        spads.filter_bus_words, spads.ifmap_bus_words, spads.psum_bus_words,
        max(1, on_chip // ceil_div(array.operand_bits, 8)),
    )  # fmt: skip


def _extent(shape: TileShape) -> tuple[int, int, int]:
    """Output rows and columns of a tile, and kernel positions; a plain product has one row."""
    window = shape.layer
    if not isinstance(window, Window):
        return 1, shape.m, 1
    taps = window.kernel_height * window.kernel_width
    if shape.m % window.out_width:
        return 1, shape.m, taps
    return shape.m // window.out_width, window.out_width, taps


def _input_pixels(shape: TileShape) -> int:
    """Input positions under the windows of a tile; strides beyond the kernel skip some."""
    window = shape.layer
    if not isinstance(window, Window):
        return shape.m
    height, width, _ = _extent(shape)
    return min(_reach(window, 0, height), window.batch * window.in_height) * min(
        _reach(window, 1, width), window.in_width
    )


def _reach(window: Window, axis: int, outputs: int) -> int:
    kernel = (window.kernel_height, window.kernel_width)[axis]
    return (outputs - 1) * window.stride[axis] + (kernel - 1) * window.dilation[axis] + 1


def _tile(shape: TileShape) -> ConvShape:
    """The tile as a convolution of its own, over the input under its windows."""
    window, groups = shape.layer, shape.groups
    if not isinstance(window, Window):
        return ConvShape.of_gemm(shape.m, shape.n, shape.k, groups)
    height, width, taps = _extent(shape)
    batch = 1
    if height % window.out_height == 0:
        batch, height = height // window.out_height, window.out_height
    return ConvShape(
        channels=ceil_div(shape.k, taps) * groups,
        filters=shape.n * groups,
        size=(_reach(window, 0, height), _reach(window, 1, width)),
        kernel=(window.kernel_height, window.kernel_width),
        stride=window.stride,
        dilation=window.dilation,
        groups=groups,
        batch=batch,
    )
