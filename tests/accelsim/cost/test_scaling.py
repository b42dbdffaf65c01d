"""Technology scaling: the published factors, identity, order, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cost_samples import machine
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import EnergyOptions
from accelsim.cost.area import area
from accelsim.cost.energy import unit_energies
from accelsim.cost.scaling import (
    AREA_SCALE,
    LOGIC_ENERGY,
    logic_area_factor,
    logic_energy_factor,
    power_law,
    scaling_mark,
    sram_cell_um2,
    sram_energy_factor,
)
from accelsim.errors import AccelsimError

NODES = st.integers(5, 130)
SCALE = EnergyOptions(scale=True)


@pytest.mark.parametrize(
    ("node", "ratio"),
    [(130, 3.0681), (90, 1.8973), (65, 1.2407), (45, 1.0), (32, 0.6593), (20, 0.2211),
     (16, 0.1735), (14, 0.1388), (10, 0.1178), (7, 0.0943)],
)  # fmt: skip
def test_logic_energy_at_the_same_voltage_is_as_published(node, ratio):
    assert logic_energy_factor(45, node) == pytest.approx(ratio, abs=6e-5)


def test_a_supply_voltage_scales_by_the_polynomial():
    at_09 = 1.103 * 0.81 - 0.362 * 0.9 + 0.2767
    at_07 = 0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447
    assert logic_energy_factor(45, 7, 0.9, 0.7) == pytest.approx(at_07 / at_09)


@given(node=NODES)
def test_the_same_node_is_the_identity(node):
    assert logic_energy_factor(node, node) == 1.0
    assert sram_energy_factor(50_000, node, node) == 1.0


@given(a=NODES, b=NODES, c=NODES)
def test_factors_compose(a, b, c):
    through = logic_energy_factor(a, b) * logic_energy_factor(b, c)
    assert through == pytest.approx(logic_energy_factor(a, c))
    way = sram_energy_factor(9000, a, b) * sram_energy_factor(9000, b, c)
    assert way == pytest.approx(sram_energy_factor(9000, a, c))


@given(node=st.integers(5, 129))
def test_a_smaller_node_costs_less_energy_and_area(node):
    assert logic_energy_factor(130, node) < logic_energy_factor(130, node + 1)
    assert logic_area_factor(node, extrapolate=True) < logic_area_factor(node + 1, extrapolate=True)
    assert sram_cell_um2(node) < sram_cell_um2(node + 1)
    for size in (1024, 32768, 1 << 24):
        assert sram_energy_factor(size, 130, node) < sram_energy_factor(size, 130, node + 1)


@pytest.mark.parametrize(("size", "ratio"), [(8192, 0.75), (32768, 0.425), (1 << 20, 0.14)])
def test_sram_energy_from_45_to_7_nm_is_that_of_one_published_table(size, ratio):
    assert sram_energy_factor(size, 45, 7) == pytest.approx(ratio)
    assert sram_energy_factor(size, 7, 45) == pytest.approx(1 / ratio)


def test_sram_shrinks_less_than_logic():
    assert sram_energy_factor(8192, 45, 7) > 5 * logic_energy_factor(45, 7)
    found = area(machine(technology_nm=7))
    bare = area(machine())
    assert found.blocks["array"] == pytest.approx(bare.blocks["array"] * 0.059)
    assert found.blocks["scratchpad"] == pytest.approx(bare.blocks["scratchpad"] * 0.027 / 0.346)


def test_marks_say_how_a_factor_came_about():
    assert [scaling_mark(45, node) for node in (7, 28, 5)] == ["S", "D", "R"]


def test_horowitz_scaled_to_7_nm_has_the_sram_of_the_7_nm_table():
    scaled = unit_energies(machine(SCALE, technology_nm=7))
    published = unit_energies(machine(technology_nm=7, energy_table="jouppi_7nm"))
    assert scaled.scratchpad_byte == pytest.approx(published.scratchpad_byte)
    assert scaled.mac == pytest.approx(0.3 * 0.09431, rel=1e-4)


def test_vdd_scales_logic_and_not_memories():
    plain, low = machine(SCALE), machine(replace(SCALE, vdd=0.6))
    before, after = unit_energies(plain), unit_energies(low)
    assert after.mac / before.mac == pytest.approx(logic_energy_factor(45, 45, 0.9, 0.6))
    assert after.scratchpad_byte == before.scratchpad_byte
    assert after.dram_byte == before.dram_byte


@given(x=st.floats(0.1, 1e9))
def test_a_power_law_goes_through_its_points_and_never_leaves_their_order(x):
    points = [(1.0, 2.0), (10.0, 3.0), (1e6, 900.0)]
    assert [power_law(points, at) for at, _ in points] == [2.0, 3.0, 900.0]
    assert power_law(points, x) <= power_law(points, x * 1.01)


def test_a_power_law_is_continuous_at_its_points():
    points = [(float(node), factor) for node, factor in sorted(AREA_SCALE.items())]
    for at, value in points:
        assert power_law(points, at * (1 + 1e-9)) == pytest.approx(value, rel=1e-6)
        assert power_law(points, at * (1 - 1e-9)) == pytest.approx(value, rel=1e-6)


def test_energy_polynomials_are_positive_where_they_may_be_used():
    for a, b, c in LOGIC_ENERGY.values():
        assert all(a * v * v + b * v + c > 0 for v in (0.5, 0.6, 0.8, 1.0, 1.2))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: logic_energy_factor(45, 3), "E806"),
        (lambda: logic_energy_factor(180, 45), "E806"),
        (lambda: logic_energy_factor(45, 7, 0.9, 0.2), "E806"),
        (lambda: sram_energy_factor(1024, 45, 250), "E806"),
        (lambda: sram_cell_um2(4), "E806"),
        (lambda: logic_area_factor(5), "E804"),
        (lambda: logic_area_factor(4, extrapolate=True), "E804"),
    ],
)
def test_what_the_model_does_not_cover_is_refused(call, code):
    with pytest.raises(AccelsimError) as caught:
        call()
    assert caught.value.mistakes[0].code == code
