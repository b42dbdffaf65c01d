"""The chapter on energy: by component, level and layer, how sure it is, and where it comes from."""

from __future__ import annotations

import json
from typing import Any

from accelsim.record import VariantRecord
from accelsim.report.charts import performance as charts
from accelsim.report.page import performance
from accelsim.report.page.blocks import Charts, Table, charts_of

HOSTILE = "<b>dram</b>"
CURVES: dict[str, Any] = {
    "energy": {"dram": 4e-6, "registers": 2e-6, "weight_memory": 1e-6},
    "energy_levels": {"off-chip memory": 5e-6, "registers": 2e-6},
    "energy_leakage": {"array": 1e-7},
    "energy_bands": {
        "low": 6e-6, "value": 7e-6, "high": 12e-6,
        "ranking": [
            {"constant": HOSTILE, "low": 7e-6, "high": 11e-6, "share": 0.6},
            {"constant": "sram", "low": 7e-6, "high": 7e-6, "share": 0.4},
        ],
    },
    "energy_constants": [
        {"name": "dram_bit", "value": 4.0, "low": None, "high": 8.0, "unit": "pJ/bit",
         "node_nm": None, "confidence": "R", "source": HOSTILE, "spread": ""},
        {"name": "int_mult_8", "value": 0.2, "low": 0.2, "high": 0.8, "unit": "pJ",
         "node_nm": 45, "confidence": "S", "source": "a paper", "spread": "another paper"},
    ],
}  # fmt: skip


def energy_blocks(curves: dict[str, Any], layers: tuple[dict[str, Any], ...] = ()):
    record = VariantRecord(metrics={}, layers=layers, curves=curves)
    found = {s.id: s.blocks for s in performance.sections("v", record)}
    return found.get("v-sec-energy", ())


def test_everything_known_is_shown():
    blocks = energy_blocks(CURVES)
    ids = [chart.id for chart in charts_of(blocks)]
    assert ids == ["v-energy", "v-energy-levels", "v-leakage", "v-energy-bands"]
    tables = {block.title: block for block in blocks if isinstance(block, Table)}
    ranking = tables["Which constant matters most"]
    assert [row[1].shown for row in ranking.rows] == ["60 %", "40 %"]
    assert "6 µJ to 12 µJ" in ranking.caption
    dram, multiplier = tables["Energy constants and their sources"].rows
    assert [cell.shown for cell in multiplier][:6] == [
        "int_mult_8",
        "0.2",
        "0.2",
        "0.8",
        "pJ",
        "45 nm",
    ]
    assert (dram[2].shown, dram[5].shown) == ("–", "–")


def test_charts_sum_to_what_they_were_given():
    by_id = {chart.id: chart for chart in charts_of(energy_blocks(CURVES))}
    bars = by_id["v-energy"].figure["data"][0]
    assert dict(zip(bars["y"], bars["x"], strict=True)) == {
        "dram": 4.0, "registers": 2.0, "weight memory": 1.0,
    }  # fmt: skip
    bands = by_id["v-energy-bands"].figure["data"][0]
    # What has one published figure has no bar; everything together stands on its own.
    assert [round(x, 9) for x in bands["x"]] == [4.0, 6.0]
    assert bands["y"] == ["&lt;b&gt;dram&lt;/b&gt;", "all together"]
    assert HOSTILE not in json.dumps(by_id["v-energy-bands"].figure)


def test_a_record_without_the_newer_curves_is_drawn_as_before():
    ids = [chart.id for chart in charts_of(energy_blocks({"energy": {"dram": 1e-6}}))]
    assert ids == ["v-energy"]
    assert energy_blocks({}) == ()


def test_layers_have_the_components_that_their_table_has():
    layers = (
        {"op": "a", "energy_dram_j": 1e-6, "energy_registers_j": 2e-6},
        {"op": "b", "energy_dram_j": 3e-6, "energy_registers_j": 0.0},
    )
    assert charts.energy_keys(layers) == ("dram", "registers")
    stacked = charts.layer_energy("v", layers).figure["data"]
    assert [trace["y"] for trace in stacked] == [[1.0, 3.0], [2.0, 0.0]]


def test_pairs_of_charts_stand_side_by_side():
    blocks = [block for block in energy_blocks(CURVES) if isinstance(block, Charts)]
    assert [len(block.charts) for block in blocks] == [2, 1, 1]
