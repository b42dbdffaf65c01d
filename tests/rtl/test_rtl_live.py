"""Builds small arrays and measures their rows of the table again; skipped without Verilator."""

from __future__ import annotations

import pytest
import rtl_bench
import rtl_expected
import rtl_table

pytestmark = pytest.mark.skipif(
    rtl_bench.verilator_version() is None,
    reason="Verilator, make or a C++ compiler is missing (Debian packages verilator, make, g++)",
)


@pytest.mark.parametrize("kind", ["os", "ws", "mesh"])
def test_measurements_repeat(kind, tmp_path):
    """Every row of one small array: cycles of correct runs, and which runs are corrupted."""
    design = rtl_bench.Design(kind, 3, 5)
    rows = [row for row in rtl_table.read() if row[0].design == design]
    cases = [case for case, _ in rows]
    measured = rtl_bench.measure(rtl_bench.build(design, tmp_path), cases)
    assert len(rows) > 40
    for (case, recorded), seen in zip(rows, measured, strict=True):
        assert (seen.tiles, seen.correct) == (recorded.tiles, recorded.correct), case
        assert not seen.correct or seen.cycles == recorded.cycles, case
        assert rtl_expected.disagreement(case, seen) is None, case
