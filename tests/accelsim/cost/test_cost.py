"""Energy and area: every published figure, and sums by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from math import isclose
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Dram, EnergyOptions, Scratchpad, SystolicArray
from accelsim.cost.activity import graph_activity
from accelsim.cost.area import area
from accelsim.cost.energy import (
    TABLES,
    dram_pj_per_byte,
    energy,
    energy_by_op,
    interpolate,
    static_pj_per_cycle,
    unit_energies,
)
from accelsim.cost.program_activity import ProgramActivity, activity_by_op
from accelsim.cost.tables import AREA, AREA_SCALE, DRAM
from accelsim.errors import AccelsimError
from accelsim.lower import lower
from accelsim.sim.expand import expand
from accelsim.taskgraph import Task, TaskGraph, TaskKind

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import edge_npu, random_network, random_plan

PUBLISHED = {
    "horowitz_45nm": {
        "int_add_8": 0.03, "int_add_16": 0.05, "int_add_32": 0.1, "int_mult_8": 0.2,
        "int_mult_32": 3.1, "sram_8192": 10, "sram_32768": 20, "sram_1048576": 100,
    },
    "jouppi_7nm": {
        "int_add_8": 0.007, "int_add_32": 0.03, "int_mult_8": 0.07, "int_mult_32": 1.48,
        "sram_8192": 7.5, "sram_32768": 8.5, "sram_1048576": 14,
    },
    "aladdin_40nm": {
        "int_add_32": 0.21, "int_mult_32": 12.68, "register_bit": 0.009,
        "register_idle_bit": 0.00794,
    },
    "eyeriss_65nm": {
        "mac_16": 1.101, "rf_bit": 0.0688, "sram_724": 4.404, "sram_228973": 26.42,
        "wire_mm": 0.0973,
    },
}  # fmt: skip


def test_tables_are_as_published():
    assert {n: {k: e.value for k, e in t.entries.items()} for n, t in TABLES.items()} == PUBLISHED
    for table in TABLES.values():
        assert {entry.node_nm for entry in table.entries.values()} == {table.node_nm}
    entries = [
        *DRAM.values(),
        *AREA.values(),
        *(e for t in TABLES.values() for e in t.entries.values()),
    ]
    assert all(entry.source and entry.unit and entry.confidence in "SRD" for entry in entries)
    assert all(e.low is None or 0 < e.low <= e.value <= (e.high or 0.0) for e in entries)
    assert all(e.spread for e in entries if e.low is not None)
    assert {kind: entry.value for kind, entry in DRAM.items()} == {
        "LPDDR4": 4.0, "LPDDR5": 3.0, "DDR4": 15.0, "GDDR5": 7.0, "GDDR6": 7.0, "HBM2": 3.9,
        "HBM3": 3.59, "FLASH": 50.0,
    }  # fmt: skip
    assert (AREA_SCALE[45], AREA_SCALE[7], AREA_SCALE[130]) == (1.0, 0.059, 6.4)


def test_units_of_a_machine_at_table_points():
    machine = edge_npu(scratchpad=Scratchpad(32768), accumulators=AccumulatorSram(8192))
    units = unit_energies(machine)
    assert units.mac == pytest.approx(0.2 + 0.1)
    assert units.scratchpad_byte == 20 / 8
    assert units.accumulator_byte == 10 / 8
    assert units.vector_op == pytest.approx(3.1 + 0.1)
    assert units.dram_byte == 32.0
    assert unit_energies(replace(machine, dram=Dram("hbm3", 1))).dram_byte == pytest.approx(28.72)


def test_interpolation():
    points = TABLES["horowitz_45nm"].series("sram")
    assert [interpolate(points, size) for size, _ in points] == [10, 20, 100]
    # Halfway between 8 and 32 KiB on a logarithmic scale; half of 8 KiB on the same line.
    assert interpolate(points, 16384) == pytest.approx(10 * 2**0.5)
    assert interpolate(points, 4096) == pytest.approx(10 / 2**0.5)
    assert interpolate(points, 4 << 20) == pytest.approx(100 * 5 ** (2 / 5))


@given(size=st.integers(16, 1 << 24), more=st.integers(1, 1 << 20))
def test_larger_memories_cost_more_per_access(size, more):
    points = TABLES["horowitz_45nm"].series("sram")
    assert interpolate(points, size) < interpolate(points, size + more)


def _graph(*tasks: Task) -> TaskGraph:
    return TaskGraph(tasks, (), ("array",), ("a", "b"))


def test_energy_by_hand():
    machine = edge_npu(scratchpad=Scratchpad(32768), accumulators=AccumulatorSram(8192))
    graph = _graph(
        Task(0, "a", 0, 0, TaskKind.LOAD_INPUT, (), 1, dram_read_bytes=100, sram_write_bytes=100),
        Task(1, "b", 1, 0, TaskKind.ARRAY, (), 1, macs=1000, sram_read_bytes=33,
             accumulator_write_bytes=64),
        Task(2, "b", 1, 0, TaskKind.VECTOR, (), 1, vector_ops=10, accumulator_read_bytes=64),
    )  # fmt: skip
    found = energy(graph, 1000, machine)
    assert found.dram_j == pytest.approx(100 * 32e-12)
    assert found.scratchpad_j == pytest.approx((128 + 64) * 2.5e-12)  # whole 32-byte accesses
    assert found.accumulators_j == pytest.approx(128 * 1.25e-12)
    assert found.array_j == pytest.approx(1000 * 0.3e-12)
    assert found.vector_j == pytest.approx(10 * 3.2e-12)
    # 10 mW per mm2 for 1000 cycles of 2 ns.
    assert found.static_j == pytest.approx(10e-3 * area(machine).total_mm2 * 2e-6)
    by_op = energy_by_op(graph, machine)
    assert list(by_op) == ["a", "b"]
    assert by_op["a"].total_j == pytest.approx(100 * 32e-12 + 128 * 2.5e-12)
    assert by_op["b"].static_j == 0.0


@given(seed=st.integers(0, 20))
def test_operators_add_up_to_the_network(seed):
    workload, machine = random_network(seed % 3), edge_npu()
    program = lower(workload, machine, random_plan(workload, machine, seed))
    whole, parts = energy(program, 0, machine), energy_by_op(program, machine)
    assert isclose(whole.total_j, sum(part.total_j for part in parts.values()), rel_tol=1e-12)


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
@given(seed=st.integers(0, 10))
def test_a_program_costs_what_its_unrolled_graph_costs(dataflow, seed):
    options = EnergyOptions(fill_from=("aladdin_40nm",), scale=True)
    machine = edge_npu(array=SystolicArray(16, 16, dataflow), energy_options=options)
    workload = random_network(seed % 3)
    program = lower(workload, machine, random_plan(workload, machine, seed))
    graph = expand(program)
    assert ProgramActivity(machine).program(program) == graph_activity(graph, machine)
    assert activity_by_op(program, machine) == activity_by_op(graph, machine)
    assert energy(program, 9, machine) == energy(graph, 9, machine)


def test_protections_multiply_their_structure_only():
    graph = _graph(
        Task(0, "a", 0, 0, TaskKind.ARRAY, (), 1, macs=1000, sram_read_bytes=320,
             accumulator_write_bytes=64, dram_read_bytes=10)
    )  # fmt: skip
    plain = energy(graph, 0, edge_npu())
    names = {"scratchpad": "secded", "array": "tmr", "dram": "secded"}
    safe = energy(graph, 0, edge_npu(protection=names))
    assert safe.scratchpad_j == pytest.approx(plain.scratchpad_j * 1.175)
    assert safe.array_j == pytest.approx(plain.array_j * 3.1)
    assert safe.dram_j == pytest.approx(plain.dram_j * 1.175)
    assert safe.accumulators_j == plain.accumulators_j


def test_area_by_hand():
    machine = edge_npu()
    found = area(machine)
    pe = 282 + 137 + (8 + 8 + 8 + 32) * 7.57
    assert found.blocks["array"] == pytest.approx(256 * pe * 1e-6)
    assert found.blocks["scratchpad"] == pytest.approx(131072 * 8 * 0.346 / 0.5 * 1e-6)
    assert found.blocks["control"] == pytest.approx(5632 * 7.57 * 2 * 1e-6)
    assert found.total_mm2 == found.base_mm2
    assert found.overhead == 0.0
    assert static_pj_per_cycle(machine) == pytest.approx(found.total_mm2 * 10e-3 * 2e-9 * 1e12)


def test_area_of_protections_and_dataflows():
    names = {"scratchpad": "secded", "array": "hardened", "control": "hardened+self_test"}
    found = area(edge_npu(protection=names))
    assert found.protection["scratchpad"] == pytest.approx(found.blocks["scratchpad"] / 8)
    assert found.protection["array"] == pytest.approx(256 * 56 * 7.57e-6)
    flipflops = 5632 * 7.57e-6
    assert found.protection["control"] == pytest.approx(3 * flipflops * 1.05 - 2 * flipflops)
    assert found.protection["accumulators"] == 0.0
    # The growth of hardened flip-flops is no mechanism's hardware; the self-test covers both.
    assert found.mechanisms["array"] == {}
    assert found.mechanisms["control"] == {"self_test": pytest.approx(3 * flipflops * 0.05)}
    assert found.total_mm2 == pytest.approx(found.base_mm2 * (1 + found.overhead))
    serial = area(edge_npu(array=SystolicArray(16, 16, "ws", "none")))
    assert found.blocks["array"] - serial.blocks["array"] == pytest.approx(256 * 8 * 7.57e-6)
    drain = area(edge_npu(array=SystolicArray(16, 16, "os", "full")))
    assert drain.blocks["array"] == pytest.approx(256 * (419 + 80 * 7.57) * 1e-6)
    small = area(edge_npu(technology_nm=7))
    for block, mm2 in found.blocks.items():
        memory = block in ("scratchpad", "accumulators")
        assert small.blocks[block] == pytest.approx(mm2 * (0.027 / 0.346 if memory else 0.059))


def test_the_vector_unit_is_protected_by_itself():
    plain, array = edge_npu(), edge_npu(protection={"array": "dmr"})
    vector = edge_npu(protection={"vector": "hardened+dmr"})
    assert area(array).protection["vector"] == 0.0
    assert unit_energies(array).vector_op == unit_energies(plain).vector_op
    lanes, flipflops = area(plain).blocks["vector"], 16 * 64 * 7.57e-6
    assert lanes == pytest.approx(16 * (3495 + 137) * 1e-6 + flipflops)
    assert area(vector).protection["vector"] == pytest.approx((lanes + flipflops) * 2.05 - lanes)
    assert area(vector).mechanisms["vector"]["dmr"] == pytest.approx((lanes + flipflops) * 1.05)
    assert unit_energies(vector).vector_op == pytest.approx(3.2 * 1.2 * 2.05)
    assert unit_energies(vector).mac == unit_energies(plain).mac
    # One pipeline stage more for every task of the vector unit, and for these only.
    workload = random_network(0)
    plan = random_plan(workload, plain, 0)
    bare, guarded = (expand(lower(workload, m, plan)).tasks for m in (plain, vector))
    extra = [b.cycles - a.cycles for a, b in zip(bare, guarded, strict=True)]
    assert extra == [int(task.kind is TaskKind.VECTOR) for task in bare]
    assert any(extra)


@given(
    names=st.tuples(*[st.sampled_from(["none", "hardened", "dmr", "hardened+dmr+self_test"])] * 3)
)
def test_mechanisms_and_hardening_make_up_the_price_of_a_protection(names):
    found = area(edge_npu(protection=dict(zip(("array", "vector", "control"), names, strict=True))))
    hardened = {"array": 256 * 56, "vector": 16 * 64, "control": 5632}
    for block, name in zip(hardened, names, strict=True):
        growth = hardened[block] * 7.57e-6 if "hardened" in name else 0.0
        own = sum(found.mechanisms[block].values())
        assert found.protection[block] == pytest.approx(own + growth)


def test_leakage_of_zero_is_zero():
    assert static_pj_per_cycle(edge_npu(leakage_mw_per_mm2=Fraction(0))) == 0.0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"energy_table": "horowitz"}, "E802"),
        ({"energy_table": "jouppi_7nm"}, "E803"),
        ({"dram": Dram("SDRAM", 1)}, "E801"),
        ({"technology_nm": 5}, "E803"),
    ],
)
def test_what_no_table_covers_is_refused(changes, code):
    with pytest.raises(AccelsimError) as caught:
        energy(_graph(), 1, edge_npu(**changes))
    assert caught.value.mistakes[0].code == code


def test_unknown_node_has_no_area():
    with pytest.raises(AccelsimError, match="E804"):
        area(edge_npu(technology_nm=5))


def test_dram_protection_counts_its_check_bits():
    assert dram_pj_per_byte(edge_npu(protection={"dram": "secded"})) == pytest.approx(32 * 1.175)
