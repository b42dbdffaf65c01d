"""N:M sparse weights: closed forms against stepped arrays, real zeros, refused masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_model import compress, run_sparse_os, run_sparse_ws

from accelsim.dataflow import gemm_cycles, sparse
from accelsim.errors import AccelsimError

patterns = st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (2, 2), (2, 3), (1, 1), (4, 8)])


def random_mask(k, n, sparsity, seed):
    """Non-zeros at random places, every block of a channel with 0 to N of them."""
    keep, block = sparsity
    rng = np.random.default_rng(seed)
    mask = np.zeros((k, n), bool)
    for start in range(0, k, block):
        size = min(block, k - start)
        for column in range(n):
            places = rng.permutation(size)[: rng.integers(0, min(keep, size) + 1)]
            mask[start + places, column] = True
    return mask


def matrices(m, n, k, sparsity, seed):
    rng = np.random.default_rng(seed)
    mask = random_mask(k, n, sparsity, seed)
    return rng.integers(1, 10**4, (m, k)), rng.integers(1, 10**4, (k, n)) * mask, mask


products = st.tuples(
    st.integers(1, 7), st.integers(1, 7), st.integers(1, 14), st.integers(1, 4), st.integers(1, 4),
    patterns, st.integers(0, 99),
)  # fmt: skip
"""m, n, k, rows, cols, sparsity, seed."""


@pytest.mark.parametrize("overlap", ["preload", "full", "column"])
@given(products)
@settings(max_examples=40, deadline=None)
def test_sparse_ws_is_correct_in_the_predicted_cycles(overlap, case):
    m, n, k, rows, cols, pattern, seed = case
    a, b, mask = matrices(m, n, k, pattern, seed)
    shape = (m, n, k, rows, cols)
    period = sparse.period_cycles(*shape, overlap, pattern)
    c, cycles, fed, useful = run_sparse_ws(a, b, *pattern, rows, cols, period, overlap)
    assert np.array_equal(c, a @ b)
    assert cycles == sparse.sparse_gemm_cycles(*shape, pattern, "ws", overlap, mask)
    assert fed == sparse.moves(*shape, pattern).a
    assert useful == sparse.useful_macs(m, n, k, pattern, mask) == m * mask.sum()
    assert sparse.utilisation(useful, cycles, rows, cols) <= 1


@given(products)
@settings(max_examples=40, deadline=None)
def test_sparse_os_is_correct_in_the_predicted_cycles(case):
    m, n, k, rows, cols, pattern, seed = case
    a, b, mask = matrices(m, n, k, pattern, seed)
    shape = (m, n, k, rows, cols)
    period = sparse.period_cycles(*shape, "full", pattern, "os")
    c, cycles, fed, useful = run_sparse_os(a, b, *pattern, rows, cols, period)
    assert np.array_equal(c, a @ b)
    assert cycles == sparse.sparse_gemm_cycles(*shape, pattern, "os", "full", mask)
    assert fed == sparse.moves(*shape, pattern, "os").a
    assert useful == sparse.useful_macs(m, n, k, pattern, mask)


@pytest.mark.parametrize("overlap", ["preload", "full", "column"])
def test_a_shorter_period_corrupts_the_result(overlap):
    """Full blocks, two folds over k: the next weights or indices arrive too early."""
    a, b, _ = matrices(3, 4, 8, (2, 4), 1)
    mask = np.zeros((8, 4), bool)
    mask[[0, 3, 5, 6]] = True
    b = np.where(mask, b + 7, 0)
    period = sparse.period_cycles(3, 4, 8, 2, 4, overlap, (2, 4))
    right, *_ = run_sparse_ws(a, b, 2, 4, 2, 4, period, overlap)
    wrong, *_ = run_sparse_ws(a, b, 2, 4, 2, 4, period - 1, overlap)
    assert np.array_equal(right, a @ b)
    assert not np.array_equal(wrong, a @ b)


def test_known_answers():
    """2:4 halves K: 64 x 32 x 128 on 16 x 16 is 4 x 2 folds in place of 8 x 2."""
    shape = (64, 32, 128, 16, 16)
    assert sparse.compressed_k(128, (2, 4)) == 64
    assert sparse.folds(*shape, (2, 4)) == 8
    assert sparse.sparse_gemm_cycles(*shape) == 8 * (64 + 32 + 16 - 1)
    assert sparse.speedup(*shape) == 2
    full = sparse.sparse_gemm_cycles(*shape, overlap="full")
    assert full == 7 * 64 + 111
    assert sparse.useful_macs(64, 32, 128, (2, 4)) == 64 * 32 * 64
    assert sparse.utilisation(64 * 32 * 64, full, 16, 16) == 64 * 32 * 64 / (full * 256)
    # os: the reduction streams, K + 2R + C - 2 per tile.
    assert sparse.sparse_gemm_cycles(*shape, dataflow="os") == 4 * 2 * (64 + 32 + 16 - 2)
    assert sparse.columns(64, 32, 128, (2, 4)) == 32
    assert sparse.column_repeats(64, 32, 128, 16, (2, 4)) == 4
    assert sparse.tile_cycles(*shape, (2, 4)) == 111


def test_storage_registers_and_operand_width():
    assert [sparse.index_bits(p) for p in [(1, 1), (1, 2), (2, 3), (2, 4), (4, 8)]] == [
        0,
        1,
        2,
        2,
        3,
    ]
    assert sparse.storage_bits(32, 128, (2, 4), 8) == (64 * 32 * 8, 64 * 32 * 2)
    # 4 operands of 8 bits, weight and index in use and in the shadow, a sum of 32 bits.
    assert sparse.register_bits(8, 8, 32, "full", (2, 4)) == 4 * 8 + 2 * (8 + 2) + 32
    assert sparse.register_bits(8, 8, 32, "none", (2, 4), "os") == 4 * 8 + (8 + 2) + 32
    assert sparse.operand_words((2, 4)) == 4


def test_the_last_block_may_be_short():
    """K = 10 in blocks of 4: 2 + 2 + 2 slots; K = 9: the last block has one weight."""
    assert [sparse.compressed_k(k, (2, 4)) for k in (8, 9, 10, 11)] == [4, 5, 6, 6]
    values, _, of_slot = compress(np.eye(9, dtype=np.int64), 2, 4)
    assert len(values) == 5
    assert of_slot.tolist() == [0, 0, 1, 1, 2]


@given(products)
def test_dense_patterns_are_the_dense_array(case):
    """N = M keeps every weight: same cycles and same weights as without sparsity."""
    m, n, k, rows, cols, (_, block), _ = case
    shape = (m, n, k, rows, cols)
    assert sparse.sparse_gemm_cycles(*shape, (block, block)) == gemm_cycles(*shape, "ws")
    assert sparse.sparse_gemm_cycles(*shape, (block, block), "os") == gemm_cycles(*shape, "os")
    for overlap in ("none", "full"):
        assert 1 <= sparse.speedup(*shape, (1, block), overlap=overlap) <= 2 * block


@given(st.integers(1, 60), st.integers(1, 9), patterns)
def test_activations_of_straddling_blocks_by_enumeration(k, rows, pattern):
    keep, block = pattern
    slots = sparse.compressed_k(k, pattern)
    read = 0
    for first in range(0, slots, rows):
        for at in {slot // keep for slot in range(first, min(first + rows, slots))}:
            read += min(block, k - at * block)
    assert sparse.moves(1, 1, k, rows, 1, pattern).a == read


@given(products)
def test_counts_per_block_say_the_same_as_the_mask(case):
    m, n, k, _, _, pattern, seed = case
    mask = random_mask(k, n, pattern, seed)
    counts = sparse.block_counts(mask, pattern)
    assert sparse.useful_macs(m, n, k, pattern, counts=counts) == m * mask.sum()


def test_a_mask_that_breaks_the_pattern_is_refused_with_its_place():
    mask = np.zeros((10, 3), bool)
    mask[[4, 5, 7], 2] = True
    with pytest.raises(AccelsimError, match="3 non-zeros in rows 4 to 7 of output channel 2") as e:
        sparse.sparse_gemm_cycles(4, 3, 10, sparsity=(2, 4), mask=mask)
    assert e.value.mistakes[0].code == "M331"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: sparse.sparse_gemm_cycles(4, 4, 4, sparsity=(5, 4)), "M330"),
        (lambda: sparse.sparse_gemm_cycles(4, 4, 4, sparsity=(0, 4)), "M330"),
        (lambda: sparse.sparse_gemm_cycles(4, 4, 4, dataflow="is"), "M311"),
        (lambda: sparse.sparse_gemm_cycles(4, 4, 0), "M310"),
        (lambda: sparse.sparse_gemm_cycles(4, 4, 4, overlap="x"), "M312"),
        (lambda: sparse.sparse_gemm_cycles(4, 4, 4, mask=np.zeros((4, 3), bool)), "M332"),
        (lambda: sparse.block_counts(np.zeros((4, 3)), (2, 4)), "M332"),
        (lambda: sparse.useful_macs(1, 2, 8, (2, 4), counts=np.zeros((2, 3), int)), "M332"),
        (lambda: sparse.useful_macs(1, 1, 5, (2, 4), counts=np.array([[2], [2]])), "M331"),
    ],
)
def test_bad_arguments(call, code):
    with pytest.raises(AccelsimError) as caught:
        call()
    assert caught.value.mistakes[0].code == code


def test_exact_at_ten_to_the_fifteen():
    shape = (10**6, 10**6, 10**6, 16, 16)
    assert sparse.sparse_gemm_cycles(*shape, overlap="full") == (31_250 * 62_500 - 1) * 10**6 + (
        10**6 + 47
    )
