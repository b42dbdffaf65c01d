"""Bank conflicts of the array's operand fetch: closed form against a walk over every vector."""

from __future__ import annotations

import pytest
from bank_model import Conv, Map, rounds, vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad, SystolicArray
from accelsim.mapping.bank_conflicts import covers, gather_rounds
from accelsim.mapping.tiles import TileShape
from accelsim.workload.graph import Gemm, Window


def banked(banks: int, line: int, layout: str = "nhwc") -> Scratchpad:
    return Scratchpad(1 << 15, 64, line, banks=banks, bank_ports=2, layout=layout)


def window(channels: int, size: int, kernel: int, width: int | None = None) -> Window:
    width = size if width is None else width
    return Window(
        1, channels, size, width, 1, size - kernel + 1, width - kernel + 1, kernel, kernel
    )


def tile(layer: Window | Gemm, m: int, k: int, n: int = 1) -> TileShape:
    return TileShape(m, n, k, 1, 1, 1, 0, True, layer=layer)


@pytest.mark.parametrize(
    ("width", "banks", "per_row"),
    [
        (16, 4, 14 * 3),  # a row of the image is once around the banks: kernel rows collide
        (32, 4, 30 * 3),  # twice around
        # 5 lines to a row: neighbouring banks. The 12 bytes of a kernel row lie in two lines for
        # three pixels of four at worst, and the second is in the bank of the next row's first.
        (20, 4, 4 * (1 + 2 + 2 + 2) + 2 + 2),
        (12, 8, 10),  # 3 lines: rows are in banks 0, 3 and 6, their second lines in 1, 4 and 7
    ],
)
def test_row_pitch_decides_whether_kernel_rows_collide(
    width: int, banks: int, per_row: int
) -> None:
    """4 channels, 3 x 3, lines of 16 bytes, one vector per pixel."""
    layer = window(4, 8, 3, width)
    shape = tile(layer, 2 * layer.out_width, 36)
    assert gather_rounds(shape, SystolicArray(36, 4), banked(banks, 16)) == 2 * per_row


def test_products_want_their_operands_along_the_vector() -> None:
    """64 x 128: rows of A are once around four banks of 32-byte lines."""
    shape = tile(Gemm(64, 128, 40), 64, 128, 40)
    stationary, columns = SystolicArray(16, 16), SystolicArray(16, 16, "os")
    assert gather_rounds(shape, stationary, banked(4, 32)) == 3 * 8 * 64
    assert gather_rounds(shape, columns, banked(4, 32)) == 3 * 4 * 128 * 16
    assert gather_rounds(shape, columns, banked(4, 32, "nchw")) == 3 * 4 * 128
    # Planes may lie anywhere, so the channels of a vector all collide.
    assert gather_rounds(shape, stationary, banked(4, 32, "nchw")) == 3 * 8 * 64 * 16
    held = SystolicArray(16, 16, "is")
    assert gather_rounds(shape, held, banked(4, 32, "nchw")) == 4 * 128


def test_heads_may_lie_side_by_side() -> None:
    """24 bytes of a row lie in two lines of 16 for most alignments: of rows 24 bytes apart in turn,
    of rows 48 bytes apart always, if the first does."""
    one, two = Gemm(8, 24, 4), Gemm(8, 24, 4, groups=2)
    array = SystolicArray(24, 4)
    assert gather_rounds(tile(one, 8, 24), array, banked(1, 16)) == 8 * 2 + 4
    shape = TileShape(8, 4, 24, 2, 1, 1, 0, True, layer=two)
    assert gather_rounds(shape, array, banked(1, 16)) == 2 * 8 * 3


def test_a_vector_wider_than_all_banks_takes_turns() -> None:
    shape = tile(Gemm(10, 256, 1), 10, 256)
    # 256 bytes that begin within a line lie in 17: once around 4 banks four times, and one more.
    assert gather_rounds(shape, SystolicArray(256, 1), banked(4, 16)) == 10 * 5
    assert gather_rounds(shape, SystolicArray(256, 1), banked(32, 16)) == 10


def test_large_products_cost_no_more_to_count_and_stay_exact() -> None:
    m, k = 10**15, 10**9
    shape = tile(Gemm(m, k, 1), m, k)
    assert gather_rounds(shape, SystolicArray(16, 16), banked(4, 16)) == m * k // 16
    across = SystolicArray(16, 16, "os")
    assert gather_rounds(shape, across, banked(4, 16, "nchw")) == m // 16 * k


def test_maps_beyond_any_memory_are_counted_at_the_worst() -> None:
    layer = Window(1, 2**40, 2**40, 2**40, 1, 2**40 - 2, 2**40 - 2, 3, 3)
    shape = tile(layer, 2**40 - 2, 9 * 2**40)
    for flow in ("ws", "os"):
        array = SystolicArray(16, 16, flow)
        assert gather_rounds(shape, array, banked(4, 16)) == shape.m * shape.k


def test_kernels_too_large_to_look_at_collide_altogether() -> None:
    layer = window(2, 16, 12)
    assert gather_rounds(tile(layer, 25, 288), SystolicArray(16, 4), banked(4, 16)) == 25 * 288


def test_other_arrays_read_packed_lines() -> None:
    layer = window(4, 8, 3)
    shape = tile(layer, 36, 36)
    assert covers(shape, SystolicArray(16, 4))
    assert not covers(shape, SystolicArray(16, 4, "rs", "none"))
    assert not covers(
        TileShape(36, 4, 16, 1, 1, 1, 0, True, sparsity=(2, 4), layer=layer),
        SystolicArray(16, 4, sparsity=(2, 4)),
    )
    assert not covers(
        TileShape(36, 1, 9, 4, 1, 1, 0, True, layer=layer), SystolicArray(16, 4, packing=True)
    )


@st.composite
def tiles(draw: st.DrawFn) -> tuple[TileShape, SystolicArray, Scratchpad, int]:
    """A tile of a convolution somewhere in its feature map: tile, machine, values walked, most."""
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    out_width, out_rows = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    in_width = (out_width - 1) * stride + (kernel[1] - 1) * dilation + 1 + draw(st.integers(0, 3))
    in_height = (out_rows - 1) * stride + (kernel[0] - 1) * dilation + 1
    channels, taps = draw(st.integers(1, 6)), kernel[0] * kernel[1]
    element = draw(st.sampled_from([1, 2]))
    layer = Window(
        1, channels, in_height, in_width, 1, out_rows, out_width, *kernel, (stride, stride),
        (dilation, dilation),
    )  # fmt: skip
    if draw(st.booleans()):
        rows = draw(st.integers(1, out_rows))
        first, m = draw(st.integers(0, out_rows - rows)) * out_width, rows * out_width
    else:
        m = draw(st.integers(1, out_width))
        first = draw(st.integers(0, out_rows - 1)) * out_width + draw(st.integers(0, out_width - m))
    size = draw(st.integers(1, channels * taps))
    if size % taps == 0:  # then tiles before it are as large, or leave whole kernels
        k0 = draw(st.integers(0, channels - size // taps)) * taps
    else:
        k0 = draw(st.integers(0, channels * taps - size))
    array = SystolicArray(
        draw(st.integers(1, 12)),
        draw(st.integers(1, 12)),
        draw(st.sampled_from(["ws", "os", "is"])),
    )
    layout = draw(st.sampled_from(["nhwc", "nchw"]))
    line, banks = draw(st.sampled_from([2, 4, 8, 12])), draw(st.integers(1, 6))
    base = draw(st.integers(0, 30)) * element
    if draw(st.booleans()):
        where, skipped = Map(base, channels, in_height, in_width, layout, element), 0
    else:  # the tile's own buffer: its channels, its rows, and the columns under its windows
        skipped = k0 // taps
        own = -(-(k0 + size) // taps) - skipped
        across = in_width
        if m < out_width:
            across = (m - 1) * stride + (kernel[1] - 1) * dilation + 1
        where = Map(base, own, in_height, across, layout, element)
    walked = vectors(
        where, Conv(kernel, (stride, stride), (dilation, dilation), out_width),
        range(first, first + m), range(k0, k0 + size), skipped, array.dataflow,
        array.cols if array.dataflow == "is" else array.rows,
    )  # fmt: skip
    shape = TileShape(m, 1, size, 1, element, 1, 0, True, layer=layer)
    memory = Scratchpad(1 << 15, 64, line, banks=banks, bank_ports=2, layout=layout)
    return shape, array, memory, rounds(walked, element, line, banks)


@settings(max_examples=300)
@given(tiles())
def test_no_place_of_a_tile_is_worse_than_the_closed_form(
    drawn: tuple[TileShape, SystolicArray, Scratchpad, int],
) -> None:
    shape, array, memory, walked = drawn
    assert walked <= gather_rounds(shape, array, memory)


@settings(max_examples=100)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.integers(1, 5), st.integers(1, 6),
    st.sampled_from([2, 4, 8]),
)  # fmt: skip
def test_the_worst_place_of_a_row_is_met_exactly(
    kernel: int, channels: int, stride: int, out_width: int, banks: int, line: int
) -> None:
    """One row, one fold, the whole reduction: over all alignments the walk reaches the closed
    form."""
    in_width, k = (out_width - 1) * stride + kernel, channels * kernel * kernel
    layer = Window(1, channels, kernel, in_width, 1, 1, out_width, kernel, kernel, (stride, stride))
    array = SystolicArray(k, 1)
    walked = [
        rounds(
            vectors(
                Map(base, channels, kernel, in_width, "nhwc"),
                Conv((kernel, kernel), (stride, stride), (1, 1), out_width),
                range(out_width), range(k), 0, "ws", k,
            ),
            1, line, banks,
        )
        for base in range(line)
    ]  # fmt: skip
    assert max(walked) == gather_rounds(tile(layer, out_width, k), array, banked(banks, line))
