"""The closed forms of the timing against arrays that are stepped register by register."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from register_model import run_os, run_ws

from accelsim.dataflow import gemm_cycles
from accelsim.dataflow import output_stationary as os_flow
from accelsim.dataflow import weight_stationary as ws_flow

small = st.integers(1, 5)


def _tiles(seed: int, count: int, left: tuple[int, int], right: tuple[int, int]):
    rng = np.random.default_rng(seed)
    a = [rng.integers(1, 10**6, left) for _ in range(count)]
    b = [rng.integers(1, 10**6, right) for _ in range(count)]
    return a, b


@pytest.mark.parametrize("overlap", ["full", "column"])
@given(
    rows=small, cols=small, k=st.integers(1, 9), tiles=st.integers(1, 3), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_os_sequence_is_correct_at_its_period_and_not_below(overlap, rows, cols, k, tiles, seed):
    a, b = _tiles(seed, tiles, (rows, k), (k, cols))
    period = os_flow.period_cycles(rows, cols, k, rows, cols, overlap)
    products = [x @ y for x, y in zip(a, b, strict=True)]
    out, cycles = run_os(a, b, period, overlap)
    assert all(np.array_equal(x, y) for x, y in zip(out, products, strict=True))
    assert cycles == gemm_cycles(rows * tiles, cols, k, rows, cols, "os", overlap)
    if tiles > 1 and period > 1:
        out, _ = run_os(a, b, period - 1, overlap)
        assert not all(np.array_equal(x, y) for x, y in zip(out, products, strict=True))


@pytest.mark.parametrize("overlap", ["preload", "full", "column"])
@given(
    rows=small, cols=small, m=st.integers(1, 9), tiles=st.integers(1, 3), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_ws_sequence_is_correct_at_its_period_and_not_below(overlap, rows, cols, m, tiles, seed):
    a, w = _tiles(seed, tiles, (m, rows), (rows, cols))
    period = ws_flow.period_cycles(m, cols, rows, rows, cols, overlap)
    products = [x @ y for x, y in zip(a, w, strict=True)]
    out, cycles = run_ws(a, w, period, overlap)
    assert all(np.array_equal(x, y) for x, y in zip(out, products, strict=True))
    assert cycles == gemm_cycles(m, cols * tiles, rows, rows, cols, "ws", overlap)
    if tiles > 1 and period > 1:
        out, _ = run_ws(a, w, period - 1, overlap)
        assert not all(np.array_equal(x, y) for x, y in zip(out, products, strict=True))


@given(
    rows=small, cols=small, k=st.integers(1, 9), tiles=st.integers(1, 3), seed=st.integers(0, 99)
)
@settings(max_examples=30, deadline=None)
def test_registered_operands_cost_one_cycle_per_sequence(rows, cols, k, tiles, seed):
    a, b = _tiles(seed, tiles, (rows, k), (k, cols))
    period = os_flow.period_cycles(rows, cols, k, rows, cols, "full")
    out, cycles = run_os(a, b, period, "full", registered=True)
    assert all(np.array_equal(o, x @ y) for o, x, y in zip(out, a, b, strict=True))
    shape = (rows * tiles, cols, k, rows, cols, "os", "full")
    assert cycles == gemm_cycles(*shape, mac_input="registered")
    x, w = _tiles(seed, tiles, (k, rows), (rows, cols))
    period = ws_flow.period_cycles(k, cols, rows, rows, cols, "full")
    out, cycles = run_ws(x, w, period, "full", registered=True)
    assert all(np.array_equal(o, p @ q) for o, p, q in zip(out, x, w, strict=True))
    shape = (k, cols * tiles, rows, rows, cols, "ws", "full")
    assert cycles == gemm_cycles(*shape, mac_input="registered")
