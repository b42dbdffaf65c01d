"""How often operands and sums are moved, counted at the edge ports of stepped arrays.

Products are cut into array-sized folds, padded with zeros; what passes a port counts if it is an
element of the matrix and not padding. M, N and K all exceed the array, with edge tiles.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from register_model import Ports, run_os, run_ws

from accelsim.dataflow import DATAFLOWS
from accelsim.dataflow.counts import Moves


def _padded(matrix, row, column, rows, cols):
    tile = np.zeros((rows, cols), np.int64)
    part = matrix[row : row + rows, column : column + cols]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


def _matrices(m, n, k):
    rng = np.random.default_rng(m * 10_000 + n * 100 + k)
    return rng.integers(1, 99, (m, k)), rng.integers(1, 99, (k, n))


def _stepped_os(m, n, k, rows, cols):
    """Folds over m and n; every sum leaves its PE once."""
    a, b = _matrices(m, n, k)
    folds = [(i, j) for i in range(0, m, rows) for j in range(0, n, cols)]
    left = [_padded(a, i, 0, rows, k) for i, _ in folds]
    right = [_padded(b, 0, j, k, cols) for _, j in folds]
    ports: Ports = []
    out, _ = run_os(left, right, max(k, rows), "full", ports=ports)
    counts: Counter[str] = Counter()
    for port, tile, row, column in ports:
        i, j = folds[tile]
        inside = {"a": i + row < m, "b": j + column < n, "out": i + row < m and j + column < n}
        counts[port] += inside[port]
    whole = np.zeros((m, n), np.int64)
    for (i, j), part in zip(folds, out, strict=True):
        whole[i : i + rows, j : j + cols] = part[: m - i, : n - j]
    assert np.array_equal(whole, a @ b)
    return Moves(counts["a"], counts["b"], counts["out"], 0)


def _stepped_ws(m, n, k, rows, cols):
    """Folds over k and n; sums of all but the first k-fold are added to what was written."""
    a, b = _matrices(m, n, k)
    folds = [(i, j) for j in range(0, n, cols) for i in range(0, k, rows)]
    left = [_padded(a, 0, i, m, rows) for i, _ in folds]
    right = [_padded(b, i, j, rows, cols) for i, j in folds]
    ports: Ports = []
    out, _ = run_ws(left, right, max(m, rows), "full", ports=ports)
    counts: Counter[str] = Counter()
    for port, tile, row, column in ports:
        i, j = folds[tile]
        inside = {"a": i + column < k, "b": i + row < k and j + column < n, "out": j + column < n}
        counts[port] += inside[port]
        counts["read"] += port == "out" and i > 0 and j + column < n
    whole = np.zeros((m, n), np.int64)
    for (_, j), part in zip(folds, out, strict=True):
        whole[:, j : j + cols] += part[:, : n - j]
    assert np.array_equal(whole, a @ b)
    return Moves(counts["a"], counts["b"], counts["out"], counts["read"])


def _stepped_is(m, n, k, rows, cols):
    """Weight stationary on the transposed product: the held operand is A."""
    swapped = _stepped_ws(n, m, k, rows, cols)
    return Moves(swapped.b, swapped.a, swapped.sums_written, swapped.sums_read)


STEPPED = {"os": _stepped_os, "ws": _stepped_ws, "is": _stepped_is}


@pytest.mark.parametrize("dataflow", STEPPED)
@given(
    m=st.integers(1, 9), n=st.integers(1, 9), k=st.integers(1, 9), rows=st.integers(1, 4),
    cols=st.integers(1, 4),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_moves_equal_what_passes_the_ports(dataflow, m, n, k, rows, cols):
    expected = STEPPED[dataflow](m, n, k, rows, cols)
    assert DATAFLOWS[dataflow].moves(m, n, k, rows, cols) == expected


def test_all_extents_above_the_array_by_hand():
    """7 x 8 x 10 on 3 x 4: 3 row folds of m, 2 column folds of n or m, 4 folds of k."""
    shape = (7, 8, 10, 3, 4)
    assert DATAFLOWS["os"].moves(*shape) == Moves(70 * 2, 80 * 3, 56, 0) == _stepped_os(*shape)
    ws = Moves(70 * 2, 80, 56 * 4, 56 * 3)
    assert DATAFLOWS["ws"].moves(*shape) == ws == _stepped_ws(*shape)
    held = Moves(70, 80 * 2, 56 * 4, 56 * 3)
    assert DATAFLOWS["is"].moves(*shape) == held == _stepped_is(*shape)
