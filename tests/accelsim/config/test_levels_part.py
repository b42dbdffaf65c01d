"""Memory levels in a config: what they change, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import accelsim
from accelsim.arch.parts import Level
from accelsim.cost.area import area
from accelsim.cost.energy import unit_energies
from accelsim.errors import AccelsimError
from accelsim.mapping.timing import Timing

ROOT = Path(__file__).resolve().parents[3]
MACHINE = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"
L2 = {"name": "l2", "size": "64 KiB"}


def load(*levels: dict[str, object], **more: object) -> accelsim.Accelerator:
    overrides: dict[str, object] = {"levels": list(levels), **more}
    return accelsim.load_accelerator(MACHINE, overrides)


def test_a_level_from_its_keys_and_defaults():
    full = {
        "name": "l3", "size": "1 MiB", "width": "64 B", "bandwidth": "5 GB/s", "banks": 8,
        "latency_cycles": 30, "alignment": "64 B", "pj_per_byte": 2.5, "protection": "secded",
    }  # fmt: skip
    machine = load(L2, full)
    assert machine.levels == (
        Level("l2", 65536, 32 * 500_000_000),
        Level("l3", 1 << 20, 5 * 10**9, 30, 64, 64, 8, Fraction(5, 2), "secded"),
    )


def test_every_key_has_an_effect():
    base = load(L2)

    def transfer(machine: accelsim.Accelerator) -> tuple[int, int]:
        moved = Timing(machine).transfer(640, level="l2")
        return moved.fixed, moved.cycles

    fixed, cycles = transfer(base)
    assert transfer(load({**L2, "latency_cycles": 7})) == (fixed + 7, cycles)
    assert transfer(load({**L2, "bandwidth": "500 MB/s"})) == (fixed, 640)
    assert transfer(load({**L2, "protection": "secded"})) == (fixed + 1, cycles)

    def costs(machine: accelsim.Accelerator) -> tuple[float, float]:
        whole = area(machine)
        mm2 = whole.blocks["l2"] + whole.protection["l2"]
        return unit_energies(machine).memories["l2"].read, mm2

    energy, mm2 = costs(base)
    assert costs(load({**L2, "pj_per_byte": 3})) == (3.0, mm2)
    larger = costs(load({**L2, "size": "256 KiB"}))
    assert larger[0] > energy
    assert larger[1] > 3 * mm2
    banked = costs(load({**L2, "banks": 4}))
    assert banked != (energy, mm2)
    assert costs(load({**L2, "width": "256 B", "banks": 16}))[1] > 1.1 * banked[1]
    guarded = costs(load({**L2, "protection": "secded"}))
    assert guarded == pytest.approx((energy * (72 / 64 + 0.05), mm2 * 72 / 64))


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ([{**L2, "name": "dram"}], "another part of the machine is called 'dram'"),
        ([{**L2, "name": "core0"}], "another part of the machine is called 'core0'"),
        ([{**L2, "name": "L 2"}], "'L 2' is no name of a level"),
        ([L2, L2], "two levels are called 'l2'"),
        ([{**L2, "size": 0}], "size"),
        ([{**L2, "bandwidth": 0}], "bandwidth"),
        ([{**L2, "banks": 3}], "65536 bytes do not divide into 3 banks"),
        ([{**L2, "alignment": 24}], "must be a power of two, is 24"),
        ([{**L2, "protection": "tmr"}], "protection 'tmr' does not apply"),
        ([{**L2, "protection": "secdet"}], "unknown protection 'secdet'"),
        ([{**L2, "latency": 3}], "latency"),
        ([{"name": "l2"}], "size"),
        ([{**L2, "name": f"l{i}"} for i in range(9)], "levels"),
    ],
)
def test_bad_levels_are_refused_where_they_stand(levels, wanted):
    with pytest.raises(AccelsimError) as caught:
        load(*levels)
    assert wanted in str(caught.value)
    assert all(mistake.location is not None for mistake in caught.value.mistakes)


def test_levels_belong_to_one_core():
    with pytest.raises(AccelsimError, match="memory levels belong to one core, there are 2"):
        load(L2, cores=2)
