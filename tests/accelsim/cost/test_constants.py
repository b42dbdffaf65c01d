"""One table per run: what it gives, what is filled in and scaled, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from cost_samples import machine, product_graph, with_registers
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import Dram, EnergyOptions, SystolicArray
from accelsim.cost.activity import Activity, graph_activity
from accelsim.cost.bands import LEAKAGE, constant_rows, energy_bands
from accelsim.cost.constants import constants
from accelsim.cost.energy import energy_notes, energy_of, interpolate, unit_energies
from accelsim.cost.scaling import logic_energy_factor, sram_energy_factor
from accelsim.cost.summary import energy_curves
from accelsim.cost.tables import DRAM, TABLES
from accelsim.errors import AccelsimError

ALADDIN = EnergyOptions(fill_from=("horowitz_45nm",), scale=True)


def codes(accelerator) -> list[str]:
    with pytest.raises(AccelsimError) as caught:
        constants(accelerator)
    return [mistake.code for mistake in caught.value.mistakes]


def test_a_multiplier_of_another_width_is_quadratic_and_an_adder_linear():
    """Accelergy derives 1.0025 and 3.38 pJ for 8 and 16-bit MACs from Aladdin's 32-bit units."""
    base = machine(ALADDIN, energy_table="aladdin_40nm", technology_nm=40)
    assert unit_energies(base).mac == pytest.approx(1.0025)
    wide = replace(base, array=SystolicArray(8, 8, operand_bits=16, weight_bits=16))
    assert unit_energies(wide).mac == pytest.approx(3.38)


def test_eyeriss_is_relative_to_a_stated_mac():
    mac = logic_energy_factor(45, 65) * (interpolate(TABLES["horowitz_45nm"].series("int_mult"), 16)
                                         + 0.1)  # fmt: skip
    entries = TABLES["eyeriss_65nm"].entries
    assert entries["mac_16"].value == pytest.approx(mac, rel=1e-3)
    assert entries["rf_bit"].value == pytest.approx(mac / 16, rel=2e-3)
    assert entries["sram_228973"].value == pytest.approx(6 * mac * 4, rel=1e-3)
    assert entries["wire_mm"].value == pytest.approx(2 * mac / 16 / 2**0.5, rel=1e-3)
    assert entries["mac_16"].high == pytest.approx(3.38 * logic_energy_factor(40, 65), rel=1e-3)
    array = SystolicArray(12, 14, operand_bits=16, weight_bits=16)
    units = unit_energies(machine(energy_table="eyeriss_65nm", technology_nm=65, array=array))
    assert units.mac == entries["mac_16"].value


def test_the_low_end_of_the_7_nm_table_is_the_45_nm_table_scaled():
    entries, at_45 = TABLES["jouppi_7nm"].entries, TABLES["horowitz_45nm"].entries
    for name in ("int_add_32", "int_mult_8", "int_mult_32"):
        scaled = at_45[name].value * logic_energy_factor(45, 7)
        assert entries[name].low == pytest.approx(scaled, rel=1e-3)


@pytest.mark.parametrize(("table", "node"), [("horowitz_45nm", 45), ("jouppi_7nm", 7)])
def test_the_spread_of_sram_is_eyeriss_scaled(table, node):
    entries, eyeriss = TABLES[table].entries, TABLES["eyeriss_65nm"]
    mac = eyeriss.entries["mac_16"]
    for size in (8192, 32768, 1 << 20):
        low = interpolate(eyeriss.series("sram"), size) * sram_energy_factor(size, 65, node)
        entry = entries[f"sram_{size}"]
        assert entry.low == pytest.approx(low, rel=2e-3)
        assert entry.high == pytest.approx(low * mac.high / mac.value, rel=2e-3)


def test_what_a_table_lacks_is_not_taken_from_elsewhere_unasked():
    base = machine(energy_table="aladdin_40nm", technology_nm=40)
    with pytest.raises(AccelsimError) as caught:
        constants(base)
    assert [m.code for m in caught.value.mistakes] == ["E805", "E805"]
    assert "scratchpad" in caught.value.mistakes[0].message
    hint = caught.value.mistakes[0].hint
    assert all(name in hint for name in ("horowitz_45nm", "jouppi_7nm", "eyeriss_65nm"))


def test_filling_in_is_reported_and_takes_only_what_is_missing():
    found = constants(machine(ALADDIN, energy_table="aladdin_40nm", technology_nm=40))
    assert (
        found.entries["int_mult_32"].source == TABLES["aladdin_40nm"].entries["int_mult_32"].source
    )
    assert "int_mult_8" not in found.entries
    assert "sram filled in from table horowitz_45nm" in found.notes[0]
    assert "scaled from 45 to 40 nm" in found.notes[1]
    assert "wires" in found.notes[2]


def test_registers_are_optional_and_their_absence_is_reported():
    assert energy_notes(machine()) == (
        "energy: table horowitz_45nm has no figures for registers of the array and the vector "
        "unit, clock power of flip-flops, wires between processing elements: not counted",
    )
    did = Activity(macs=10, register_bits=400, hop_bits=320, array_busy=5, cycles=10)
    bare, full = (energy_of(did, m) for m in (machine(), machine(with_registers())))
    assert (bare.registers_j, bare.clock_j, bare.noc_j) == (0.0, 0.0, 0.0)
    assert min(full.registers_j, full.clock_j) > 0.0
    assert full.array_j == bare.array_j


@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [
        (machine(energy_table="horowitz"), ["E802"]),
        (machine(EnergyOptions(fill_from=("nowhere",))), ["E802"]),
        (machine(technology_nm=7), ["E803"]),
        (machine(technology_nm=7, dram=Dram("SDRAM", 1)), ["E803", "E801"]),
        (machine(EnergyOptions(fill_from=("aladdin_40nm",))), ["E803"]),
        (machine(EnergyOptions(scale=True), technology_nm=3), ["E806"]),
        (machine(EnergyOptions(scale=True, vdd=0.8), energy_table="jouppi_7nm"), ["E806"]),
    ],
)
def test_what_does_not_fit_is_refused(accelerator, expected):
    assert codes(accelerator) == expected


def test_a_scaled_figure_keeps_its_source_and_gets_the_weaker_mark():
    rows = {row["name"]: row for row in constant_rows(machine(with_registers(), technology_nm=28))}
    assert rows["register_bit"]["node_nm"] == 28
    assert rows["register_bit"]["confidence"] == "D"
    assert "Aladdin" in rows["register_bit"]["source"]
    assert rows["dram_bit"]["node_nm"] is None
    assert all(row["source"] and row["unit"] for row in rows.values())


RUN = graph_activity(product_graph(64, 32, 24), machine())
TABLE = st.sampled_from(sorted(TABLES))


@given(table=TABLE, kind=st.sampled_from(sorted(DRAM)), cycles=st.integers(0, 10**6),
       bits=st.sampled_from([4, 8, 12, 16, 32]), node=st.integers(5, 130))  # fmt: skip
def test_bands_contain_the_value(table, kind, cycles, bits, node):
    options = EnergyOptions(("horowitz_45nm", "aladdin_40nm"), scale=True)
    array = SystolicArray(8, 8, operand_bits=bits, weight_bits=bits, accumulator_bits=64)
    accelerator = machine(
        options, energy_table=table, dram=Dram(kind, 1), technology_nm=node, array=array
    )
    bands = energy_bands(replace(RUN, cycles=cycles), accelerator)
    assert bands.low_j <= bands.value_j <= bands.high_j
    for one in bands.ranking:
        slack = 1e-9 * bands.value_j
        assert bands.low_j - slack <= one.low_j <= bands.value_j + slack
        assert bands.value_j - slack <= one.high_j <= bands.high_j + slack
    assert sum(one.share for one in bands.ranking) == pytest.approx(1.0)
    swings = [one.swing_j for one in bands.ranking]
    assert swings == sorted(swings, reverse=True)


def test_bands_by_hand():
    accelerator = machine(leakage_mw_per_mm2=Fraction(0))
    bands = energy_bands(Activity(dram_read_bytes=1000, macs=1000), accelerator)
    assert bands.value_j == pytest.approx(1000 * 32e-12 + 1000 * 0.3e-12)
    assert bands.low_j == bands.value_j
    assert bands.high_j == pytest.approx(1000 * 64e-12 + 1000 * (0.7925 + 0.21) * 1e-12)
    assert [one.constant for one in bands.ranking] == ["dram", "int_mult", "int_add"]
    assert bands.ranking[0].share == pytest.approx(32 / 32.3)
    assert bands.ranking[1].high_j - bands.value_j == pytest.approx(1000 * 0.5925e-12)


def test_leakage_has_a_share_and_no_spread():
    bands = energy_bands(replace(RUN, cycles=10**6), machine())
    last = next(one for one in bands.ranking if one.constant == LEAKAGE)
    assert last.swing_j == 0.0
    assert 0.0 < last.share < 1.0


def test_curves_are_plain_and_add_up():
    accelerator = machine(with_registers())
    run = replace(RUN, cycles=500)
    whole = energy_of(run, accelerator)
    curves = energy_curves(whole, energy_bands(run, accelerator), constant_rows(accelerator))
    for key in ("energy", "energy_levels"):
        assert sum(curves[key].values()) == pytest.approx(whole.total_j)
    assert sum(curves["energy_leakage"].values()) == pytest.approx(whole.static_j)
    assert curves["energy_bands"]["value"] == whole.total_j
    assert {"dram", "sram", "register"} <= {
        r["constant"] for r in curves["energy_bands"]["ranking"]
    }
    bare = machine()
    plain = energy_curves(energy_of(run, bare), energy_bands(run, bare), constant_rows(bare))
    assert list(plain["energy"]) == [
        "dram", "scratchpad", "accumulators", "array", "vector", "static",
    ]  # fmt: skip
