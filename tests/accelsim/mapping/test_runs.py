"""Tiles in runs: unrolled they are the tiles one by one, and their number is that of the shapes."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.mapping.runs import (
    Run,
    block_runs,
    even_split,
    leaves,
    pixel_runs,
    recurring,
    reduction_runs,
    run_lengths,
    tile_count,
    unrolled,
    without_last,
)
from accelsim.mapping.tiles import (
    array_op,
    channel_blocks,
    input_pixels,
    pixel_ranges,
    share,
    split,
)
from accelsim.mapping.vector_runs import vector_runs
from accelsim.mapping.vector_tiles import vector_input_bytes, vector_tiles
from accelsim.plan import Tiling
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Window

sys.path.insert(0, str(Path(__file__).parent))
from hardware_samples import one_conv


def _window(
    size: int, kernel: int, stride: int, dilation: int, pad: int, batch: int
) -> Window | None:
    reach = dilation * (kernel - 1) + 1
    if size + 2 * pad < reach:
        return None
    out = (size + 2 * pad - reach) // stride + 1
    return Window(
        batch, 3, size, size, 3, out, out, kernel, kernel, (stride, stride), (dilation, dilation),
        (pad,) * 4,
    )  # fmt: skip


@given(
    size=st.integers(1, 24), kernel=st.integers(1, 5), stride=st.integers(1, 4),
    dilation=st.integers(1, 3), pad=st.integers(0, 6), batch=st.integers(1, 7),
    m=st.integers(1, 400),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_pixel_runs_unroll_to_the_ranges_and_regions_of_tiles(
    size, kernel, stride, dilation, pad, batch, m
):
    window = _window(size, kernel, stride, dilation, pad, batch)
    if window is None:
        return
    total = batch * window.out_height * window.out_width
    expected = [(r[1], input_pixels(window, *r)) for r in pixel_ranges(window, total, m)]
    runs = pixel_runs(window, total, m)
    assert list(unrolled(runs)) == expected
    assert tile_count(runs) == len(expected)


@given(
    channels=st.integers(1, 40), kernel=st.integers(1, 5), size=st.integers(1, 200),
    filters=st.integers(1, 9), groups=st.integers(1, 6), n=st.integers(1, 40),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_reduction_and_block_runs_unroll_to_the_tiles(channels, kernel, size, filters, groups, n):
    workload = one_conv(
        c_in=channels * groups, c_out=filters * groups, kernel=kernel, size=5, groups=groups
    )
    operands = array_op(workload.ops[0], workload)
    gemm = operands.gemm
    ranges = split(gemm.k, size)
    assert list(unrolled(reduction_runs(operands, size))) == [
        (k[1], operands.a_channels(k)) for k in ranges
    ]
    blocks = [b for many, runs in block_runs(gemm, n) for _ in range(many) for b in unrolled(runs)]
    assert blocks == [(b.groups, b.n) for b in channel_blocks(gemm, n)]


@given(
    outputs=st.integers(1, 300), source=st.integers(1, 700), ops=st.integers(0, 900),
    m=st.integers(1, 60),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_vector_runs_unroll_to_the_shares_of_tiles(outputs, source, ops, m):
    x = Tensor("x", (source,), "int8", Role.INPUT)
    y = Tensor("y", (outputs,), "int16", Role.OUTPUT)
    op = Op("op", OpKind.CONCAT, ("x",), "y", vector_ops=ops)
    tiling = Tiling(m, 1, 1)
    found = [(s.operands, s.out, s.ops) for s in unrolled(vector_runs(op, [x], y, tiling))]
    assert found == [
        (
            (vector_input_bytes(op, x, y, tile),),
            share(y.bytes, tile.start, tile.count, outputs),
            share(ops, tile.start, tile.count, outputs),
        )
        for tile in vector_tiles(op, y, tiling)
    ]


@given(
    size=st.integers(2, 12), kernel=st.integers(1, 3), channels=st.integers(1, 9),
    batch=st.integers(1, 3), m=st.integers(1, 90), n=st.integers(1, 10), extra=st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_pool_runs_unroll_to_the_tiles(size, kernel, channels, batch, m, n, extra):
    if kernel > size:
        return
    out = size - kernel + 1
    window = Window(batch, channels, size, size, channels, out, out, kernel, kernel)
    x = Tensor("x", (batch, channels, size, size), "int8", Role.INPUT)
    y = Tensor("y", (batch, channels, out, out), "int8", Role.OUTPUT)
    op = Op(
        "op", OpKind.MAX_POOL, ("x",), "y", window=window,
        vector_ops=y.elements * kernel * kernel + extra,
    )  # fmt: skip
    tiling = Tiling(m, n, 1)
    found = list(unrolled(vector_runs(op, [x], y, tiling)))
    tiles = list(vector_tiles(op, y, tiling))
    assert [s.operands for s in found] == [(vector_input_bytes(op, x, y, t),) for t in tiles]
    assert [s.out for s in found] == [t.count for t in tiles]
    assert sum(s.ops for s in found) == op.vector_ops


def test_the_number_of_runs_does_not_grow_with_the_image():
    """Border rows apart, all rows of an image are equal; all images of a batch are, too."""
    number = []
    for size, batch in ((100, 2), (10_000, 20), (1_000_000, 3_000)):
        window = Window(batch, 1, size, size, 1, size, size, 3, 3, pads=(1, 1, 1, 1))
        rows = pixel_runs(window, batch * size * size, 4 * size)
        parts = pixel_runs(window, batch * size * size, size // 4)
        assert tile_count(rows) == batch * size // 4
        assert tile_count(parts) == batch * size * 4
        number.append((len(list(leaves(rows))), len(list(leaves(parts)))))
    assert len(set(number)) == 1


def test_known_runs():
    """6 x 6 pixels, 3 x 3 windows with padding, two rows per tile: borders see three input rows."""
    window = Window(1, 1, 6, 6, 1, 6, 6, 3, 3, pads=(1, 1, 1, 1))
    assert pixel_runs(window, 36, 12) == (Run(1, (12, 18)), Run(1, (12, 24)), Run(1, (12, 18)))
    assert even_split(10, 4) == ((2, 4), (1, 2))
    assert block_runs(Gemm(1, 1, 10, 3), 4) == ((3, (Run(2, (1, 4)), Run(1, (1, 2)))),)
    assert block_runs(Gemm(1, 1, 2, 7), 6) == ((2, (Run(1, (3, 2)),)), (1, (Run(1, (1, 2)),)))
    assert run_lengths("aab") == (Run(2, "a"), Run(1, "b"))


@given(st.text("ab", min_size=1, max_size=6), st.integers(0, 40))
def test_recurring_sequences(letters, total):
    runs = recurring(
        lambda n: run_lengths((letters * (n // len(letters) + 1))[:n]), len(letters), total
    )
    assert "".join(unrolled(runs)) == (letters * total)[:total]


@given(st.text("ab", min_size=1, max_size=4), st.integers(1, 12))
def test_all_tiles_but_the_last_one(letters, total):
    def first(count: int):
        return run_lengths((letters * (count // len(letters) + 1))[:count])

    runs = recurring(first, len(letters), total)
    before, last = without_last(runs)
    assert [*unrolled(before), last] == list(unrolled(runs))
    assert all(run.count > 0 for run in before)
