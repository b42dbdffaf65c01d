"""Small products on the block diagonal, placed on the stepped arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from register_model import Ports, run_os, run_ws

from accelsim.dataflow import DATAFLOWS, gemm_cycles, overlaps_of
from accelsim.dataflow.counts import Moves
from accelsim.dataflow.packing import (
    packed_cycles,
    packed_groups,
    packed_moves,
    packed_product,
    packed_tiles,
    packed_utilisation,
)
from accelsim.errors import AccelsimError

sizes = st.tuples(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 7), st.integers(1, 8),
    st.integers(1, 8), st.integers(0, 99),
)  # fmt: skip
"""m, n, k, groups, rows, cols, seed."""


def _products(m, n, k, groups, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 999, (groups, m, k)), rng.integers(1, 999, (groups, k, n))


def _batches(groups, together):
    return [range(i, min(i + together, groups)) for i in range(0, groups, together)]


def _stepped_ws(a, b, together, rows, cols, period, overlap):
    """Products of a tile next to each other on the rows (k) and columns (n); the rest is zero."""
    (groups, m, k), n = a.shape, b.shape[2]
    left, right = [], []
    for batch in _batches(groups, together):
        tile_a, tile_b = np.zeros((m, rows), np.int64), np.zeros((rows, cols), np.int64)
        for place, g in enumerate(batch):
            tile_a[:, place * k : (place + 1) * k] = a[g]
            tile_b[place * k : (place + 1) * k, place * n : (place + 1) * n] = b[g]
        left.append(tile_a)
        right.append(tile_b)
    out, cycles = run_ws(left, right, period, overlap)
    return [out[g // together][:, g % together * n :][:, :n] for g in range(groups)], cycles


def _stepped_os(a, b, together, rows, cols, period, overlap):
    """Products next to each other on the rows (m) and columns (n); blocks off the diagonal hold
    products of one group's A with another's B and are not read."""
    (groups, m, k), n = a.shape, b.shape[2]
    left, right = [], []
    for batch in _batches(groups, together):
        tile_a, tile_b = np.zeros((rows, k), np.int64), np.zeros((k, cols), np.int64)
        for place, g in enumerate(batch):
            tile_a[place * m : (place + 1) * m] = a[g]
            tile_b[:, place * n : (place + 1) * n] = b[g]
        left.append(tile_a)
        right.append(tile_b)
    out, cycles = run_os(left, right, period, overlap)
    found = []
    for g in range(groups):
        place = g % together
        found.append(out[g // together][place * m : (place + 1) * m, place * n : (place + 1) * n])
    return found, cycles


@given(sizes, st.sampled_from(["full", "column"]))
@settings(max_examples=60, deadline=None)
def test_packed_products_are_right_in_the_predicted_cycles(case, overlap):
    m, n, k, groups, rows, cols, seed = case
    a, b = _products(m, n, k, groups, seed)
    for dataflow, step in (("ws", _stepped_ws), ("os", _stepped_os)):
        together = packed_groups(m, n, k, rows, cols, dataflow)
        if DATAFLOWS[dataflow].folds(m, n, k, rows, cols) > 1:
            assert together == 1
            continue
        shape = packed_product(m, n, k, together, dataflow)
        period = DATAFLOWS[dataflow].period_cycles(*shape, rows, cols, overlap)
        out, cycles = step(a, b, together, rows, cols, period, overlap)
        assert all(np.array_equal(c, x @ y) for c, x, y in zip(out, a, b, strict=True))
        assert cycles == packed_cycles(m, n, k, groups, rows, cols, dataflow, overlap)
        assert cycles <= gemm_cycles(m, n, k, rows, cols, dataflow, overlap, groups=groups)
        assert packed_tiles(m, n, k, groups, rows, cols, dataflow) == -(-groups // together)
        assert packed_utilisation(m, n, k, groups, cycles, rows, cols) <= 1


@given(sizes)
@settings(max_examples=40, deadline=None)
def test_held_inputs_pack_as_held_weights(case):
    m, n, k, groups, rows, cols, _ = case
    assert packed_groups(m, n, k, rows, cols, "is") == packed_groups(n, m, k, rows, cols, "ws")
    for overlap in overlaps_of("is"):
        held = packed_cycles(m, n, k, groups, rows, cols, "is", overlap, skip_idle=True)
        assert held == packed_cycles(n, m, k, groups, rows, cols, "ws", overlap, skip_idle=True)


@pytest.mark.parametrize("shared", ["row", "column"])
def test_products_that_share_a_row_or_a_column_are_wrong(shared):
    """Why only the diagonal: 2 x 2 products at the same rows, or the same columns, of 4 x 4."""
    a, b = _products(3, 2, 2, 2, 5)
    tile_a, tile_b = np.zeros((3, 4), np.int64), np.zeros((4, 4), np.int64)
    rows, cols = {"row": (0, 2), "column": (2, 0)}[shared]
    tile_a[:, :2] = a[0]
    tile_b[:2, :2] = b[0]
    tile_a[:, rows : rows + 2] += a[1]
    tile_b[rows : rows + 2, cols : cols + 2] = b[1]
    (out,), _ = run_ws([tile_a], [tile_b], 15, "full")
    assert not np.array_equal(out[:, cols : cols + 2], a[1] @ b[1])


def test_depthwise_three_by_three_on_128_by_128():
    """k = 9, n = 1: 14 channels at a time, limited by the rows; 512 channels in 37 tiles."""
    assert packed_groups(196, 1, 9, 128, 128, "ws") == 14
    assert packed_tiles(196, 1, 9, 512, 128, 128, "ws") == 37
    cycles = packed_cycles(196, 1, 9, 512, 128, 128, "ws", "full")
    assert cycles == 36 * 196 + 196 + 2 * 128 + 128 - 1
    assert gemm_cycles(196, 1, 9, 128, 128, "ws", "full", groups=512) == 511 * 196 + 579
    # On os the pixels fill the rows: nothing to pack. A 16 x 16 array has room for one only.
    assert packed_groups(196, 1, 9, 128, 128, "os") == 1
    assert packed_groups(196, 1, 9, 16, 16, "ws") == 1


def test_the_last_tile_holds_what_is_left():
    """5 products of 2 columns, two by two, on 4 x 4: with skip_idle the last is 2 columns wide."""
    full = packed_cycles(6, 2, 2, 5, 4, 4, "ws", "none")
    assert full == 3 * (6 + 8 + 4 - 1)
    assert packed_cycles(6, 2, 2, 5, 4, 4, "ws", "none", skip_idle=True) == full - 2
    assert packed_cycles(6, 2, 2, 5, 4, 4, "ws", "full") == 2 * 6 + 17
    assert packed_cycles(6, 2, 2, 5, 4, 4, "ws", "full", skip_idle=True) == 2 * 6 + 15
    assert packed_cycles(6, 2, 2, 1, 4, 4, "ws", "full") == 17
    assert packed_cycles(6, 2, 2, 5, 4, 4, "ws", mac_input="registered") == full + 1
    assert packed_cycles(6, 2, 2, 5, 4, 4, "ws", microarchitecture="gemmini") == 3 * (6 + 8 + 4)


def test_moves_are_those_of_the_products():
    """Counted at the ports: elements that are not padding, products read out on the diagonal."""
    a, b = _products(3, 2, 2, 4, 1)
    ports: Ports = []
    left, right = np.zeros((2, 3, 4), np.int64), np.zeros((2, 4, 4), np.int64)
    for g in range(4):
        place = 2 * (g % 2)
        left[g // 2][:, place : place + 2] = a[g]
        right[g // 2][place : place + 2, place : place + 2] = b[g]
    run_ws(list(left), list(right), 4, "full", ports=ports)
    counted = {"a": 0, "b": 0, "out": 0}
    for port, tile, row, column in ports:
        real = {"a": left[tile], "b": right[tile]}.get(port)
        counted[port] += real is None or real[row, column] != 0
    expected = packed_moves(3, 2, 2, 4, 4, 4, "ws")
    assert expected == Moves(counted["a"], counted["b"], counted["out"], 0) == Moves(24, 16, 24, 0)


def test_bad_arguments():
    with pytest.raises(AccelsimError, match="no packing for dataflow 'rs'"):
        packed_groups(1, 1, 1, 4, 4, "rs")
    with pytest.raises(AccelsimError) as caught:
        packed_cycles(0, 1, 1, 0, 4, 4)
    assert [m.code for m in caught.value.mistakes] == ["M310", "M310"]
