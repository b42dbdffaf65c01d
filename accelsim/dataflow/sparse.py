"""Structured N:M sparse weights on a systolic array: only the weights that may be non-zero are
stored, each with its place in its block of M, and a PE selects one of the M activations it sees.

Along the reduction, each output channel has at most N non-zeros in every M consecutive weights, so
K shrinks to ceil(K / M) blocks of N slots (a last block of K mod M weights has as many slots as it
can fill). Slots take the place of reduction rows: the array's timing is that of the dense dataflow
on the compressed product, while each operand wire is M activations wide.

- ``ws``: PE(i, j) holds slot k0 + i of channel n0 + j and its index; the M activations of the
  slot's block flow right past all columns.
- ``os``: PE(i, j) owns C[m0 + i, n0 + j]; slots and indices flow down, the activations of a block
  are presented once per slot.

A block with fewer than N non-zeros leaves slots that multiply by zero: cycles do not depend on
where the zeros are, useful MACs do. Proved against tests/accelsim/dataflow/sparse_model.py. The
format is that of Mishra et al., "Accelerating Sparse Deep Neural Networks", arXiv 2104.08378.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflow import gemm, output_stationary, weight_stationary
from accelsim.dataflow.counts import Moves, ceil_div, is_count
from accelsim.errors import AccelsimError, Mistake, suggest

Sparsity = tuple[int, int]
"""(N, M): at most N non-zeros in M consecutive elements of the reduction."""

DATAFLOWS: Mapping[str, gemm.Dataflow] = MappingProxyType(
    {"ws": weight_stationary, "os": output_stationary}
)
"""Dataflows that have a sparse form; with held inputs (is) there is no weight to index."""

LARGEST_BLOCK = 256


def compressed_k(k: int, sparsity: Sparsity) -> int:
    """Slots of a reduction of k."""
    keep, block = sparsity
    return k // block * keep + min(k % block, keep)


def index_bits(sparsity: Sparsity) -> int:
    """Bits that say which of M a stored weight is: log2(M), rounded up."""
    return (sparsity[1] - 1).bit_length()


def storage_bits(n: int, k: int, sparsity: Sparsity, weight: int) -> tuple[int, int]:
    """Bits of a compressed k x n matrix: its values of ``weight`` bits, and its indices. Slots
    without a non-zero are stored, too."""
    slots = n * compressed_k(k, sparsity)
    return slots * weight, slots * index_bits(sparsity)


def block_counts(mask: NDArray[np.bool_], sparsity: Sparsity) -> NDArray[np.int64]:
    """Non-zeros per block, blocks x N, of a mask K x N of the non-zero weights.

    Raises AccelsimError: M330 for a sparsity, M332 for a mask that is none, M331 with the first
    block (in the order of the reduction, then of the channels) that has too many.
    """
    _require_sparsity(sparsity)
    if mask.ndim != 2 or mask.dtype != np.bool_ or 0 in mask.shape:
        shape = f"{mask.dtype} of shape {mask.shape}"
        raise AccelsimError(Mistake("M332", f"a mask of weights is boolean, K x N, not {shape}"))
    keep, block = sparsity
    k = len(mask)
    starts = np.arange(0, k, block)
    counts = np.add.reduceat(mask, starts, axis=0, dtype=np.int64)
    over = np.argwhere(counts > keep)
    if len(over):
        at, column = (int(i) for i in over[0])
        last = min(k, (at + 1) * block) - 1
        found = int(counts[at, column])
        raise AccelsimError(Mistake(
            "M331",
            f"{found} non-zeros in rows {at * block} to {last} of output channel {column}, "
            f"{keep}:{block} sparsity allows {keep}",
            "prune the weights to the pattern first, or run them dense",
        ))  # fmt: skip
    return counts


def useful_macs(
    m: int,
    n: int,
    k: int,
    sparsity: Sparsity,
    mask: NDArray[np.bool_] | None = None,
    counts: NDArray[np.int64] | None = None,
) -> int:
    """MACs with a non-zero weight. Without a ``mask`` K x N or ``counts`` per block, every slot
    counts as filled.

    Raises AccelsimError as :func:`block_counts`; M332 also if shapes disagree with k and n.
    """
    _require_sparsity(sparsity)
    if mask is not None:
        if mask.shape != (k, n):
            raise _shape("mask", mask.shape, (k, n))
        counts = block_counts(mask, sparsity)
    if counts is None:
        return m * n * compressed_k(k, sparsity)
    _require_counts(counts, n, k, sparsity)
    return m * int(counts.sum())


def sparse_gemm_cycles(
    m: int,
    n: int,
    k: int,
    rows: int = 16,
    cols: int = 16,
    sparsity: Sparsity = (2, 4),
    dataflow: str = "ws",
    overlap: str = "none",
    mask: NDArray[np.bool_] | None = None,
    *,
    skip_idle: bool = False,
    mac_input: str = "arriving",
    groups: int = 1,
) -> int:
    """Array cycles of C[m, n] = A[m, k] B[k, n] with N:M sparse B.

    The cycles of :func:`accelsim.dataflow.gemm.gemm_cycles`, whose options these are, on the
    compressed product. A ``mask`` of the non-zeros, K x N, is checked against the pattern and
    changes nothing else: zeros beyond it leave slots idle (:func:`useful_macs`). Raises
    AccelsimError: M330 to M332 for sparsity and mask, M311 for a dataflow without a sparse form,
    and as ``gemm_cycles``.
    """
    _require_sparsity(sparsity)
    if dataflow not in tuple(DATAFLOWS):
        known = suggest(str(dataflow), tuple(DATAFLOWS))
        raise AccelsimError(Mistake("M311", f"no sparse form of dataflow {dataflow!r}", known))
    slots = compressed_k(int(k), sparsity) if is_count(k) else k  # gemm_cycles says it
    cycles = gemm.gemm_cycles(
        m, n, slots, rows, cols, dataflow, overlap,
        skip_idle=skip_idle, mac_input=mac_input, groups=groups,
    )  # fmt: skip
    if mask is not None:
        useful_macs(m, n, k, sparsity, mask)
    return cycles


def utilisation(macs: int, cycles: int, rows: int, cols: int) -> float:
    """Useful MACs (:func:`useful_macs`) / (cycles x PEs); at most 1, since no PE does more than
    one a cycle. What sparsity saves is in :func:`speedup`, not here."""
    return macs / (cycles * rows * cols)


def speedup(
    m: int,
    n: int,
    k: int,
    rows: int = 16,
    cols: int = 16,
    sparsity: Sparsity = (2, 4),
    dataflow: str = "ws",
    overlap: str = "none",
) -> float:
    """Cycles of the dense product on the same array / those of the sparse one: the effective gain,
    which approaches M / N as the reduction outgrows the array."""
    dense = gemm.gemm_cycles(m, n, k, rows, cols, dataflow, overlap)
    return dense / sparse_gemm_cycles(m, n, k, rows, cols, sparsity, dataflow, overlap)


def operand_words(sparsity: Sparsity) -> int:
    """Activations that one row of PEs takes in per cycle: a whole block, whichever is used."""
    return sparsity[1]


def folds(
    m: int, n: int, k: int, rows: int, cols: int, sparsity: Sparsity, dataflow: str = "ws"
) -> int:
    """Array-sized tiles of the compressed product."""
    return DATAFLOWS[dataflow].folds(m, n, compressed_k(k, sparsity), rows, cols)


def columns(m: int, n: int, k: int, sparsity: Sparsity, dataflow: str = "ws") -> int:
    """Extent laid over the array's columns."""
    return DATAFLOWS[dataflow].columns(m, n, compressed_k(k, sparsity))


def column_repeats(
    m: int, n: int, k: int, rows: int, sparsity: Sparsity, dataflow: str = "ws"
) -> int:
    """Folds per column position."""
    return DATAFLOWS[dataflow].column_repeats(m, n, compressed_k(k, sparsity), rows)


def tile_cycles(
    m: int, n: int, k: int, rows: int, cols: int, sparsity: Sparsity, dataflow: str = "ws"
) -> int:
    """Cycles of one tile on its own."""
    return DATAFLOWS[dataflow].tile_cycles(m, n, compressed_k(k, sparsity), rows, cols)


def period_cycles(
    m: int, n: int, k: int, rows: int, cols: int, overlap: str, sparsity: Sparsity,
    dataflow: str = "ws",
) -> int:  # fmt: skip
    """Smallest distance between the starts of two tiles."""
    flow = DATAFLOWS[dataflow]
    return flow.period_cycles(m, n, compressed_k(k, sparsity), rows, cols, overlap)


def moves(
    m: int, n: int, k: int, rows: int, cols: int, sparsity: Sparsity, dataflow: str = "ws"
) -> Moves:
    """Elements at the array's edges for one product; b counts stored weights (each comes with
    :func:`index_bits`).

    Activations count once per fold for all slots of a block that are in it: the feeder hands one
    read to up to N rows (ws) or cycles (os). A block whose slots straddle two folds over k (ws) is
    read in both.
    """
    slots = compressed_k(k, sparsity)
    dense = DATAFLOWS[dataflow].moves(m, n, slots, rows, cols)
    read = k if dataflow == "os" else _fed(k, slots, rows, sparsity)
    a = m * read * ceil_div(n, cols)
    return Moves(a, dense.b, dense.sums_written, dense.sums_read)


def _fed(k: int, slots: int, rows: int, sparsity: Sparsity) -> int:
    """Activations per pixel that all folds over k of a ws array read."""
    keep, block = sparsity
    twice = 0
    for first in range(rows, min(slots, rows * keep) + 1, rows):
        if first % keep and first < slots:  # this fold begins inside a block
            later = range(first, slots, rows * keep)  # as do those a whole cycle of folds on
            twice += len(later) * block
            last = later[-1] // keep
            if (last + 1) * block > k:
                twice -= (last + 1) * block - k  # the last block may be short
    return k + twice


def register_bits(
    operand: int, weight: int, accumulator: int, overlap: str, sparsity: Sparsity,
    dataflow: str = "ws",
) -> int:  # fmt: skip
    """Flip-flops of one PE: M operands pass through it, and weights come with their index."""
    indexed = weight + index_bits(sparsity)
    wide = operand * sparsity[1]
    return DATAFLOWS[dataflow].register_bits(wide, indexed, accumulator, overlap)


def _require_sparsity(sparsity: Sparsity) -> None:
    pair = isinstance(sparsity, tuple | list) and len(sparsity) == 2
    if (
        not pair
        or not all(map(is_count, sparsity))
        or not sparsity[0] <= sparsity[1] <= LARGEST_BLOCK
    ):
        limits = f"whole numbers 1 <= N <= M <= {LARGEST_BLOCK}"
        raise AccelsimError(Mistake("M330", f"sparsity N:M is {sparsity!r}, not {limits}"))


def _require_counts(counts: NDArray[np.int64], n: int, k: int, sparsity: Sparsity) -> None:
    """Raise AccelsimError (M332, M331) unless counts are blocks x n, each within the pattern."""
    keep, block = sparsity
    expected = (ceil_div(k, block), n)
    if counts.shape != expected or counts.dtype.kind not in "iu":
        raise _shape("counts per block", counts.shape, expected)
    limits = np.minimum(keep, np.minimum(block, k - block * np.arange(expected[0])))[:, None]
    wrong = np.argwhere((counts < 0) | (counts > limits))
    if len(wrong):
        at, column = (int(i) for i in wrong[0])
        found, limit = int(counts[at, column]), int(limits[at, 0])
        message = f"{found} non-zeros in block {at} of output channel {column}, not 0 to {limit}"
        raise AccelsimError(Mistake("M331", message))


def _shape(what: str, found: tuple[int, ...], expected: tuple[int, int]) -> AccelsimError:
    return AccelsimError(Mistake("M332", f"{what} of shape {found}, not {expected}"))
