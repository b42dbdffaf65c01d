"""Protections: known figures, joined names, mistakes."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest

from accelsim.arch.protection import (
    PROTECTIONS,
    STRUCTURES,
    combine,
    mechanisms,
    own_coverage,
    protection_of,
    resolve,
)
from accelsim.errors import AccelsimError

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import edge_npu


def test_every_entry_is_sane():
    for name, protection in PROTECTIONS.items():
        assert protection.name == name
        assert protection.applies_to <= set(STRUCTURES)
        assert protection.applies_to
        assert protection.source
        assert protection.mark in "SRDE"
        for share in (
            protection.coverage_transient, protection.coverage_permanent,
            protection.coverage_latent, protection.coverage_own,
        ):  # fmt: skip
            # Nobody claims more than the highest ceiling of the standard's annex.
            assert 0.0 <= share <= 0.99
        for share in (protection.corrected_transient, protection.corrected_permanent):
            assert 0.0 <= share <= 1.0
        assert 0.0 < protection.rate_factor <= 1.0
        # Hardware of its own is tested only where something is said to test it.
        assert protection.coverage_own == 0.0 or protection.copies
        assert min(protection.area_factor, protection.energy_factor) >= 1.0
        assert protection.register_area_factor >= 1.0
        assert protection.latency_cycles >= 0


def test_ceilings_and_storage_overheads():
    assert PROTECTIONS["parity"].coverage_transient == 0.60
    assert PROTECTIONS["secded"].coverage_permanent == 0.99
    assert PROTECTIONS["self_test"].coverage_permanent == 0.90
    assert PROTECTIONS["self_test"].coverage_transient == 0.0
    assert PROTECTIONS["secded"].area_factor == 1.125
    assert PROTECTIONS["parity"].area_factor == 1.03125
    assert PROTECTIONS["none"].latency_cycles == 0


def test_joined_names():
    both = resolve("hardened+self_test")
    assert both.coverage_transient == 0.0  # hardening prevents upsets, it does not detect them
    assert both.rate_factor == 0.1
    assert both.coverage_permanent == 0.90
    assert (both.corrected_transient, both.corrected_permanent) == (0.0, 0.0)
    assert both.coverage_latent == 0.99
    assert both.periodic
    assert both.area_factor == 1.05
    assert both.register_area_factor == 2.0
    assert both.applies_to == {"array", "vector", "control"}
    ecc = resolve("secded+self_test")
    assert (ecc.corrected_transient, ecc.latency_cycles) == (0.98, 1)
    # Of two equally good mechanisms, the one that corrects less decides.
    assert resolve("tmr+dmr").corrected_transient == 0.0
    assert resolve("tmr+dmr").copies == 3
    assert resolve("none+secded").coverage_transient == 0.99


def test_what_tests_a_mechanism():
    ecc, test, dmr = (PROTECTIONS[name] for name in ("secded", "self_test", "dmr"))
    assert own_coverage(ecc, "secded") == 0.0
    assert own_coverage(ecc, "secded+self_test") == 0.90
    assert own_coverage(test, "secded+self_test") == 0.0, "nothing tests the test"
    assert own_coverage(dmr, "dmr") == pytest.approx(0.99 / 1.05)
    assert [p.name for p in mechanisms("secded+self_test")] == ["secded", "self_test"]


def test_combination_is_never_worse_than_its_parts():
    for a, b in product(PROTECTIONS.values(), repeat=2):
        both = combine(a, b)
        assert both.coverage_transient == max(a.coverage_transient, b.coverage_transient)
        assert both.coverage_permanent == max(a.coverage_permanent, b.coverage_permanent)
        assert both.area_factor >= max(a.area_factor, b.area_factor)
        assert both.latency_cycles == a.latency_cycles + b.latency_cycles


@pytest.mark.parametrize(
    ("name", "code"),
    [("seced", "A701"), ("", "A701"), ("secded+x", "A701"), ("secded+secded", "A702"),
     ("secded+hardened", "A702")],
)  # fmt: skip
def test_bad_names(name, code):
    with pytest.raises(AccelsimError) as caught:
        resolve(name)
    assert caught.value.mistakes[0].code == code
    assert caught.value.mistakes[0].hint


def test_of_an_accelerator():
    machine = edge_npu(protection={"array": "tmr"})
    assert protection_of(machine, "array").name == "tmr"
    assert protection_of(machine, "scratchpad").name == "none"
