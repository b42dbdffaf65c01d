"""Grouped, depthwise, dilated, transposed, batched convolutions and attention as products.

Each is stated as a known answer by hand and carried out on the stepped arrays: what gemm_cycles
charges is what computes the right result.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from register_model import run_os, run_ws
from row_model import convolution

from accelsim.dataflow import gemm_cycles
from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.output_stationary import period_cycles as os_period
from accelsim.dataflow.weight_stationary import period_cycles as ws_period

ROWS, COLS = 4, 3


def _tile(matrix, row, column, rows, cols):
    part = matrix[row : row + rows, column : column + cols]
    return np.pad(part, ((0, rows - part.shape[0]), (0, cols - part.shape[1])))


def products_on_array(lefts, rights, dataflow):
    """All products as one sequence of tiles on a 4 x 3 array: results and cycles."""
    (m, k), n = lefts[0].shape, rights[0].shape[1]
    groups = range(len(lefts))
    out = [np.zeros((m, n), np.int64) for _ in groups]
    if dataflow == "ws":
        folds = [(g, i, j) for g in groups for i in range(0, k, ROWS) for j in range(0, n, COLS)]
        a = [_tile(lefts[g], 0, i, m, ROWS) for g, i, _ in folds]
        b = [_tile(rights[g], i, j, ROWS, COLS) for g, i, j in folds]
        tiles, cycles = run_ws(a, b, ws_period(m, n, k, ROWS, COLS, "full"), "full")
        for (g, _, j), part in zip(folds, tiles, strict=True):
            out[g][:, j : j + COLS] += part[:, : n - j]
    else:
        folds = [(g, i, j) for g in groups for i in range(0, m, ROWS) for j in range(0, n, COLS)]
        a = [_tile(lefts[g], i, 0, ROWS, k) for g, i, _ in folds]
        b = [_tile(rights[g], 0, j, k, COLS) for g, _, j in folds]
        tiles, cycles = run_os(a, b, os_period(m, n, k, ROWS, COLS, "full"), "full")
        for (g, i, j), part in zip(folds, tiles, strict=True):
            out[g][i : i + ROWS, j : j + COLS] = part[: m - i, : n - j]
    return out, cycles


def im2col(shape, x, group):
    """Rows: batch x output pixels; columns: channels of the group x taps."""
    top, left, bottom, right = shape.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    of_group = shape.group_channels
    columns = []
    for c in range(group * of_group, (group + 1) * of_group):
        for i in range(shape.kernel[0]):
            for j in range(shape.kernel[1]):
                y, z = i * shape.dilation[0], j * shape.dilation[1]
                seen = padded[:, c, y :: shape.stride[0], z :: shape.stride[1]]
                columns.append(seen[:, : shape.out_height, : shape.out_width].reshape(-1))
    return np.stack(columns, axis=1)


def convolution_on_array(shape, x, w, dataflow):
    """One product per group, m = batch x pixels, k = group channels x taps, n = group filters."""
    per = shape.group_filters
    lefts = [im2col(shape, x, g) for g in range(shape.groups)]
    rights = [w[g * per : (g + 1) * per].reshape(per, -1).T for g in range(shape.groups)]
    parts, cycles = products_on_array(lefts, rights, dataflow)
    whole = np.concatenate(parts, axis=1)  # pixels x filters
    pixels = (shape.batch, shape.out_height, shape.out_width, shape.filters)
    return whole.reshape(pixels).transpose(0, 3, 1, 2), cycles


def operands(shape):
    rng = np.random.default_rng(7)
    x = rng.integers(-50, 50, (shape.batch, shape.channels, *shape.size))
    return x, rng.integers(-50, 50, (shape.filters, shape.group_channels, *shape.kernel))


CONVOLUTIONS = {
    # name: (shape, groups, m, n, k)
    "plain": (ConvShape(2, 4, (5, 4), (3, 3), pads=(1, 1, 1, 1)), 1, 20, 4, 18),
    "stride": (ConvShape(2, 4, (7, 6), (3, 2), (2, 3)), 1, 6, 4, 12),
    "grouped": (ConvShape(4, 6, (4, 4), (3, 3), groups=2), 2, 4, 3, 18),
    "depthwise": (ConvShape(3, 3, (4, 4), (3, 3), pads=(1,) * 4, groups=3), 3, 16, 1, 9),
    "depthwise, multiplier 2": (ConvShape(2, 4, (4, 4), (2, 2), groups=2), 2, 9, 2, 4),
    "dilated": (ConvShape(2, 3, (7, 7), (3, 3), dilation=(2, 3), pads=(0, 1, 0, 1)), 1, 9, 3, 18),
    "batched": (ConvShape(2, 3, (3, 3), (2, 2), batch=3), 1, 12, 3, 8),
    "fully connected": (ConvShape(10, 5, (1, 1), batch=4), 1, 4, 5, 10),
}


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_convolutions_are_these_products(name, dataflow):
    shape, groups, m, n, k = CONVOLUTIONS[name]
    assert shape.macs == groups * m * n * k
    x, w = operands(shape)
    out, cycles = convolution_on_array(shape, x, w, dataflow)
    assert np.array_equal(out, convolution(shape, x, w))
    assert cycles == gemm_cycles(m, n, k, ROWS, COLS, dataflow, "full", groups=groups)


def test_known_cycles_on_16_by_16():
    """Serial tiles: ws M + 2R + C - 1 = M + 47, os K + 2R + C - 2 = K + 46."""

    def ws(m, n, k, groups=1):
        return gemm_cycles(m, n, k, 16, 16, "ws", groups=groups)

    # 3 x 3, 32 -> 64 channels at 14 x 14: 18 folds over k, 4 over n.
    assert ws(196, 64, 288) == 72 * (196 + 47)
    assert gemm_cycles(196, 64, 288, 16, 16, "os") == 13 * 4 * (288 + 46)
    # In 4 groups: k and n shrink by 4, 4 products: 5 folds over k, 1 over n.
    assert ws(196, 16, 72, groups=4) == 4 * 5 * (196 + 47)
    # Depthwise: 32 products of k = 9, n = 1, each a whole tile.
    assert ws(196, 1, 9, groups=32) == 32 * (196 + 47)
    # A batch of 3 makes m three times as long, not three times as many tiles.
    assert ws(3 * 196, 64, 288) == 72 * (588 + 47)
    # Dilation moves taps; the product is the same.
    dilated = ConvShape(32, 64, (14, 14), (3, 3), dilation=(2, 2), pads=(2,) * 4)
    assert (dilated.out_height, dilated.macs) == (14, 196 * 64 * 288)


def test_attention_products():
    """4 heads of 32 over 64 positions: Q K^T is 64 x 64 x 32, P V is 64 x 32 x 64, per head."""
    scores = gemm_cycles(64, 64, 32, 16, 16, "ws", "full", groups=4)
    assert scores == (4 * 2 * 4 - 1) * 64 + (64 + 47)
    values = gemm_cycles(64, 32, 64, 16, 16, "ws", "full", groups=4)
    assert values == (4 * 4 * 2 - 1) * 64 + (64 + 47)
    assert gemm_cycles(64, 64, 32, 16, 16, "os", groups=4) == 4 * 16 * (32 + 46)
    # One new token against 100 cached: m = 1, so ws waits for its weights, R cycles a fold.
    assert gemm_cycles(1, 100, 32, 16, 16, "ws", "full", groups=4) == (4 * 2 * 7 - 1) * 16 + 48
    # Two query heads that share keys stack their rows: half the products, no longer tiles.
    assert gemm_cycles(2, 100, 32, 16, 16, "ws", "full", groups=2) == (2 * 2 * 7 - 1) * 16 + 49


@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_attention_on_the_stepped_array(dataflow):
    """Both operands are activations: the held one is loaded like a weight."""
    rng = np.random.default_rng(3)
    q, key, value = rng.integers(-9, 9, (3, 2, 5, 6))  # 2 heads, 5 positions, 6 wide
    scores, cycles = products_on_array(list(q), [head.T for head in key], dataflow)
    assert all(np.array_equal(s, a @ b.T) for s, a, b in zip(scores, q, key, strict=True))
    assert cycles == gemm_cycles(5, 5, 6, ROWS, COLS, dataflow, "full", groups=2)
    mixed, cycles = products_on_array(scores, list(value), dataflow)
    assert all(np.array_equal(o, s @ v) for o, s, v in zip(mixed, scores, value, strict=True))
    assert cycles == gemm_cycles(5, 6, 5, ROWS, COLS, dataflow, "full", groups=2)


def transposed(x, w, stride):
    """Reference: every input pixel adds its kernel, scaled, to the output (filters x channels)."""
    (_, height, width), (filters, _, kh, kw) = x.shape, w.shape
    out = np.zeros((filters, (height - 1) * stride + kh, (width - 1) * stride + kw), np.int64)
    for y in range(height):
        for z in range(width):
            at = np.s_[:, y * stride : y * stride + kh, z * stride : z * stride + kw]
            out[at] += np.einsum("c,fcij->fij", x[:, y, z], w)
    return out


@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3), channels=st.integers(1, 2), filters=st.integers(1, 2),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_transposed_convolution_is_one_dense_convolution_per_output_phase(
    size, kernel, stride, channels, filters
):
    """Stride s: s^2 phases with the taps i = a, j = b modulo s, flipped; together all taps."""
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 9, (channels, *size))
    w = rng.integers(-9, 9, (filters, channels, *kernel))
    expected = transposed(x, w, stride)
    found = np.zeros_like(expected)
    macs = 0
    for a in range(min(stride, kernel[0])):
        for b in range(min(stride, kernel[1])):
            taps = w[:, :, a::stride, b::stride][:, :, ::-1, ::-1]
            down, across = taps.shape[2] - 1, taps.shape[3] - 1
            dense = ConvShape(
                channels, filters, size, taps.shape[2:], pads=(down, across, down, across)
            )
            out, cycles = convolution_on_array(dense, x[None], taps, "ws")
            found[:, a::stride, b::stride] = out[0]
            m, k = dense.out_height * dense.out_width, channels * taps[0, 0].size
            assert cycles == gemm_cycles(m, filters, k, ROWS, COLS, "ws", "full")
            macs += dense.macs
    assert np.array_equal(found, expected)
    # Every input pixel meets every tap; the rest are taps that look at the border.
    assert macs >= size[0] * size[1] * w.size


def test_known_transposed_convolutions():
    """4 x 4 kernel, stride 2: four phases of 2 x 2 taps. 3 x 3: phases of 4, 2, 2 and 1 taps."""

    def taps(kernel, stride):
        return sorted(
            len(range(a, kernel, stride)) * len(range(b, kernel, stride))
            for a in range(stride) for b in range(stride)
        )  # fmt: skip

    assert taps(4, 2) == [4, 4, 4, 4]
    assert taps(3, 2) == [1, 2, 2, 4]
    # 64 -> 32 channels, 8 x 8 -> 16 x 16 (kernel 4, crop 1), 16 x 16 array, ws, serial: four
    # products of m = 64, k = 256, n = 32 in place of one of m = 256, k = 1,024 with its zeros.
    phases = gemm_cycles(64, 32, 256, 16, 16, "ws", groups=4)
    assert phases == 4 * 16 * 2 * (64 + 47)
    assert gemm_cycles(256, 32, 1024, 16, 16, "ws") == 64 * 2 * (256 + 47)
