"""An SRAM by size, port width and banks: by hand, at the points, and in order."""

from __future__ import annotations

from math import log2

import pytest
from cost_samples import machine
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad
from accelsim.cost.area import area
from accelsim.cost.energy import static_pj_per_cycle, unit_energies
from accelsim.cost.sram import macro_um2


def byte_energy(**pad: int) -> float:
    return unit_energies(machine(scratchpad=Scratchpad(**pad))).scratchpad_byte


def test_one_bank_costs_what_the_table_says():
    for size, pj in ((8192, 10), (32768, 20), (1 << 20, 100)):
        assert byte_energy(bytes=size) == pj / 8


def test_an_access_opens_one_bank_and_pays_the_way_to_it():
    assert byte_energy(bytes=32768, banks=4) == pytest.approx(10 / 8 * 1.2)
    assert byte_energy(bytes=1 << 20, banks=32) == pytest.approx(20 / 8 * 1.5)


@given(size=st.integers(64, 1 << 26), banks=st.sampled_from([1, 2, 8, 64]))
def test_energy_and_area_grow_with_the_size(size, banks):
    assert byte_energy(bytes=size, banks=banks) < byte_energy(bytes=2 * size, banks=banks)
    assert macro_um2(size, 32, banks, 45) < macro_um2(2 * size, 32, banks, 45)


@given(size=st.integers(4096, 1 << 26), power=st.integers(0, 8))
def test_at_45_nm_banks_save_energy_and_cost_area(size, power):
    banks = 2**power
    assert byte_energy(bytes=size, banks=2 * banks) < byte_energy(bytes=size, banks=banks)
    assert macro_um2(size, 8, 2 * banks, 45) > macro_um2(size, 8, banks, 45)


def test_area_by_hand():
    bits = 8 * 32768
    # With 32 rows it has 1024 bytes in a row: a port of 2048 leaves 16 rows, twice as many columns
    # for the same cells, and half of the periphery belongs to columns.
    assert macro_um2(32768, 1024, 1, 45) == pytest.approx(bits * 0.346 * 2)
    assert macro_um2(32768, 2048, 1, 45) == pytest.approx(bits * 0.346 * 2.5)
    # Four banks have rows of 256 bytes each.
    four = 1 + 0.05 * log2(4)
    assert macro_um2(32768, 256, 4, 45) == pytest.approx(bits * 0.346 * 2 * four)
    assert macro_um2(32768, 1024, 4, 45) == pytest.approx(bits * 0.346 * (1 + 0.5 + 0.5 * 4) * four)
    assert macro_um2(32768, 64, 1, 7) == pytest.approx(bits * 0.027 * 2)


@given(width=st.integers(1, 5000))
def test_a_wider_port_never_makes_a_smaller_macro(width):
    assert macro_um2(32768, width, 2, 45) <= macro_um2(32768, width + 1, 2, 45)


def test_leakage_follows_the_area():
    narrow, wide = (machine(scratchpad=Scratchpad(32768, 16, width)) for width in (32, 4096))
    grown = area(wide).total_mm2 / area(narrow).total_mm2
    assert grown > 1
    assert static_pj_per_cycle(wide) / static_pj_per_cycle(narrow) == pytest.approx(grown)
