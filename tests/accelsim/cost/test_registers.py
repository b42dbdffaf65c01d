"""Register activity against an array whose every register write is counted."""

from __future__ import annotations

import pytest
from cost_samples import machine, with_registers
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import PeSpads, SystolicArray
from accelsim.cost.energy import unit_energies
from accelsim.cost.registers import clocked_bits, pe_register_bits, register_activity
from accelsim.dataflow import DATAFLOWS

SIDE = st.integers(1, 6)
EXTENT = st.integers(1, 14)


def _pieces(extent: int, step: int) -> list[int]:
    return [min(step, extent - start) for start in range(0, extent, step)]


def counted(array: SystolicArray, m: int, n: int, k: int) -> tuple[int, int]:
    """(bits written, bits from a neighbour or the edge), walking every word through every PE."""
    a, w, c = array.operand_bits, array.weight_bits, array.accumulator_bits
    if array.dataflow == "is":
        swapped = SystolicArray(
            array.rows, array.cols, "ws", array.overlap, operand_bits=w, weight_bits=a,
            accumulator_bits=c,
        )  # fmt: skip
        return counted(swapped, n, m, k)
    written = hopped = 0
    if array.dataflow == "ws":
        shadow = array.overlap in ("full", "column")
        for used_rows in _pieces(k, array.rows):
            for used_cols in _pieces(n, array.cols):
                for _col in range(used_cols):
                    if array.overlap == "column":
                        hopped += array.rows * array.rows * w
                    else:
                        hopped += sum((row + 1) * w for row in range(used_rows))
                    written += used_rows * w * shadow
                    hopped += m * array.rows * c
                hopped += m * used_rows * used_cols * a
        return written + hopped, hopped
    drains = array.overlap in ("full", "column")
    for used_rows in _pieces(m, array.rows):
        for used_cols in _pieces(n, array.cols):
            hopped += k * used_rows * used_cols * (a + w)
            written += k * used_rows * used_cols * c
            for row in range(used_rows):
                shifts = array.rows - 1 - row if array.overlap != "column" else array.rows - 1
                hopped += used_cols * shifts * c
                written += used_cols * c * drains
    return written + hopped, hopped


def activity(array: SystolicArray, m: int, n: int, k: int) -> tuple[int, int]:
    moves = DATAFLOWS[array.dataflow].moves(m, n, k, array.rows, array.cols)
    held = {"ws": moves.b, "is": moves.a, "os": 0}[array.dataflow]
    found = register_activity(array, macs=m * n * k, sums=moves.sums_written, stationary=held)
    return found.written_bits, found.hop_bits


OVERLAPS = [
    (name, overlap) for name, flow in DATAFLOWS.items() if name in ("os", "ws", "is")
    for overlap in flow.OVERLAPS
]  # fmt: skip


@pytest.mark.parametrize(("dataflow", "overlap"), OVERLAPS)
@given(rows=SIDE, cols=SIDE, folds=st.integers(1, 3), n=EXTENT, other=EXTENT)
def test_whole_folds_are_counted_exactly(dataflow, overlap, rows, cols, folds, n, other):
    array = SystolicArray(rows, cols, dataflow, overlap, operand_bits=8, weight_bits=4)
    deep = folds * rows
    m, k = (deep, other) if dataflow == "os" else (other, deep)
    assert activity(array, m, n, k) == counted(array, m, n, k)


@given(rows=SIDE, cols=SIDE, m=EXTENT, n=EXTENT, k=EXTENT)
def test_partial_folds_of_ws_differ_in_the_load_only(rows, cols, m, n, k):
    array = SystolicArray(rows, cols, "ws", "full")
    exact, _ = counted(array, m, n, k)
    found, _ = activity(array, m, n, k)
    assert found - 8 <= exact <= found + k * n * rows * 8


@given(rows=SIDE, cols=SIDE, m=EXTENT, n=EXTENT)
def test_a_single_partial_fold_is_exact(rows, cols, m, n):
    k = max(1, rows - 1)
    array = SystolicArray(rows, cols, "ws", "full")
    written, exact = activity(array, m, n, k)[0], counted(array, m, n, k)[0]
    assert written == exact


def test_dataflows_move_different_registers():
    """A long product on 8 x 8, per MAC: ws the operand and the partial sum, os both operands and
    the sum; what is loaded or drained once hardly counts."""
    m = n = k = 1024
    per_mac = {
        name: activity(SystolicArray(8, 8, name, "full"), m, n, k)[0] / (m * n * k)
        for name in ("os", "ws", "is")
    }
    assert per_mac["ws"] == pytest.approx(8 + 32, rel=0.01)
    assert per_mac["is"] == pytest.approx(8 + 32, rel=0.01)
    assert per_mac["os"] == pytest.approx(8 + 8 + 32, rel=0.01)


def test_row_stationary_and_dot_product_arrays():
    rs = SystolicArray(12, 14, "rs", "none", operand_bits=16, weight_bits=16, accumulator_bits=16,
                       spads=PeSpads(12, 224, 24))  # fmt: skip
    assert register_activity(rs, macs=100, sums=10).written_bits == 100 * 4 * 16
    assert pe_register_bits(rs) == (12 + 224 + 24) * 16
    assert clocked_bits(rs) == 48
    dot = SystolicArray(8, 4, "dot", "full")
    assert register_activity(dot, macs=80, sums=10).written_bits == 80 * 16 + 10 * 32


def test_energy_per_bit_comes_from_the_table():
    units = unit_energies(machine(with_registers(), technology_nm=40))
    assert units.register_bit == pytest.approx(0.009)
    assert units.clock["array"] == pytest.approx(0.00794)
    guarded = machine(with_registers(), technology_nm=40, protection={"array": "dmr"})
    assert unit_energies(guarded).register_bit == pytest.approx(0.009 * 2.05)
    assert unit_energies(guarded).lane_register_bit == pytest.approx(0.009)
