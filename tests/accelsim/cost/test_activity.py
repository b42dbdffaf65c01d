"""Totals of a run, and an independent recount of their energy."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, isclose

import pytest
from cost_samples import machine, product_graph, with_registers
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import Dram, Scratchpad
from accelsim.cost.activity import Activity, activity_of, graph_activity
from accelsim.cost.area import area
from accelsim.cost.energy import energy, energy_by_op, energy_of
from accelsim.cost.scaling import logic_energy_factor
from accelsim.taskgraph import Task, TaskGraph, TaskKind

EXTENT = st.integers(1, 40)
FACTOR = logic_energy_factor(40, 45)


def recounted(graph: TaskGraph, cycles: int, m: int, n: int, k: int, gated: float) -> dict:
    """Picojoules by component of :func:`product_graph`, task by task and register by register,
    from the published figures alone."""
    pj = dict.fromkeys(("dram", "scratchpad", "accumulators", "array", "vector"), 0.0)
    for task in graph.tasks:
        pj["dram"] += 8 * 4.0 * (task.dram_read_bytes + task.dram_write_bytes)
        for size in (task.sram_read_bytes, task.sram_write_bytes):
            pj["scratchpad"] += ceil(size / 32) * 32 * 20 / 8
        pj["accumulators"] += 10 / 8 * (task.accumulator_read_bytes + task.accumulator_write_bytes)
        pj["array"] += 0.3 * task.macs
        pj["vector"] += 3.2 * task.vector_ops
    folds = ceil(k / 8)
    shifts = ceil(Fraction(k * n) * (Fraction(k, folds) + 1) / 2)
    bits = 8 * m * n * k + 32 * 8 * m * n * folds + 8 * shifts + 8 * k * n
    lane_bits = 64 * m * n
    pj["registers"] = 0.009 * FACTOR * (bits + lane_bits)
    held = 0.0
    for flipflops, written, busy in (
        (64 * 56, bits, m * folds * ceil(n / 8) + 30),
        (4 * 64, lane_bits, ceil(m * n / 4)),
    ):
        held += max(0, flipflops * busy - written) + gated * flipflops * (cycles - busy)
    pj["clock"] = 0.00794 * FACTOR * (held + 1000 * cycles)
    return pj


@given(m=EXTENT, n=EXTENT, k=EXTENT, spare=st.integers(0, 500), saved=st.integers(0, 4))
def test_energy_is_the_sum_over_all_events(m, n, k, spare, saved):
    gating = Fraction(saved, 4)
    accelerator = machine(with_registers(clock_gating=gating))
    graph = product_graph(m, n, k)
    cycles = sum(task.cycles for task in graph.tasks) + spare
    found = energy(graph, cycles, accelerator)
    want = recounted(graph, cycles, m, n, k, 1 - float(gating))
    for name, pj in want.items():
        assert isclose(found.parts()[name], pj * 1e-12, rel_tol=1e-9), name
    leaked = 10e-3 * area(accelerator).total_mm2 * cycles * 2e-9
    assert isclose(found.static_j, leaked, rel_tol=1e-9)
    assert isclose(sum(found.static_by_block.values()), leaked, rel_tol=1e-9)
    assert isclose(found.total_j, 1e-12 * sum(want.values()) + leaked, rel_tol=1e-9)


@given(m=EXTENT, n=EXTENT, k=EXTENT)
def test_a_breakdown_has_one_total_however_it_is_cut(m, n, k):
    found = energy(product_graph(m, n, k), 1000, machine(with_registers()))
    assert isclose(sum(found.parts().values()), found.total_j, rel_tol=1e-12)
    assert isclose(sum(found.levels().values()), found.total_j, rel_tol=1e-12)


@given(count=st.integers(0, 10**15), m=EXTENT)
def test_a_folded_run_is_one_activity_times_its_count(count, m):
    accelerator = machine(with_registers())
    one = graph_activity(product_graph(m, 8, 8), accelerator)
    many = one.times(count)
    assert many + one == one.times(count + 1)
    assert many.macs == count * m * 64
    single, folded = energy_of(one, accelerator), energy_of(many, accelerator)
    assert isclose(folded.total_j, count * single.total_j, rel_tol=1e-12)


def test_tasks_and_their_sum_agree():
    accelerator = machine(with_registers())
    graph = product_graph(13, 9, 20)
    stationary = {TaskKind.ARRAY: 9 * 20}
    total = Activity()
    for task in graph.tasks:
        held = stationary.get(task.kind, 0)
        total += activity_of(task, task.cycles, accelerator, stationary=held)
    assert total == graph_activity(graph, accelerator)
    assert total.array_busy == 13 * 3 * 2 + 30
    assert total.scratchpad_bytes % 32 == 0
    assert (total.dram_bytes, total.accumulator_bytes) == (180 + 260, 4 * 117 * (3 + 2 + 1))


def test_parts_of_a_run_bear_their_share_of_leakage_and_clock():
    accelerator = machine(with_registers())
    graph = product_graph(16, 16, 16)
    whole = energy(graph, 1000, accelerator)
    part = energy_by_op(graph, accelerator)["op"]
    assert (part.static_j, part.clock_j, part.static_by_block) == (0.0, 0.0, {})
    assert isclose(part.with_share_of(whole, 1.0).total_j, whole.total_j, rel_tol=1e-12)
    half = part.with_share_of(whole, 0.5)
    assert half.clock_j == whole.clock_j / 2
    assert half.static_by_block["array"] == whole.static_by_block["array"] / 2


def test_clock_gating_saves_what_idle_units_would_burn():
    graph, long = product_graph(16, 16, 16), 10**6
    clocks = [
        energy(graph, long, machine(with_registers(clock_gating=share))).clock_j
        for share in (Fraction(0), Fraction(1, 2), Fraction(1))
    ]
    assert clocks[0] > clocks[1] > clocks[2] > 0.0
    assert clocks[0] - clocks[1] == pytest.approx(clocks[1] - clocks[2])
    # Control is never gated, and a working unit keeps its clock.
    busy = 94 * 64 * 56 + 64 * 256
    written = 8 * 4096 + 32 * 8 * 256 * 2 + 8 * 1152 + 8 * 256 + 64 * 256
    pj = 0.00794 * FACTOR * (1000 * long + busy - written)
    assert clocks[2] == pytest.approx(pj * 1e-12)


def test_output_stationary_costs_more_registers_and_fewer_accumulator_accesses():
    """What the choice of a dataflow is about, in one table."""
    base = machine(with_registers())
    macs, written = 64 * 4096, 4 * 4096
    totals = {
        "ws": Activity(macs=macs, accumulator_write_bytes=8 * written, register_bits=40 * macs),
        "os": Activity(macs=macs, accumulator_write_bytes=written, register_bits=48 * macs),
    }
    ws, os = (energy_of(totals[name], base) for name in ("ws", "os"))
    assert os.registers_j > ws.registers_j
    assert os.accumulators_j < ws.accumulators_j
    assert os.array_j == ws.array_j


def test_weights_of_their_own_memories():
    accelerator = machine(
        weight_memory=Dram("flash", 10**9), weight_sram=Scratchpad(8192, width_bytes=8)
    )
    load = Task(0, "op", 0, 0, TaskKind.LOAD_WEIGHT, (), 1, dram_read_bytes=100,
                sram_write_bytes=100)  # fmt: skip
    did = activity_of(load, 1, accelerator)
    assert (did.dram_read_bytes, did.weight_memory_bytes) == (0, 100)
    assert (did.scratchpad_write_bytes, did.weight_sram_write_bytes) == (0, 104)
    found = energy_of(did, accelerator)
    assert found.weight_memory_j == pytest.approx(100 * 8 * 50e-12)
    assert found.weight_sram_j == pytest.approx(104 * 10 / 8 * 1e-12)
    multiply = Task(0, "op", 0, 0, TaskKind.ARRAY, (), 1, macs=64, sram_read_bytes=72,
                    accumulator_write_bytes=32, weight_read_bytes=64)  # fmt: skip
    read = activity_of(multiply, 1, accelerator, stationary=64)
    assert (read.weight_sram_read_bytes, read.scratchpad_read_bytes) == (64, 32)
    assert "weight_scratchpad" in area(accelerator).blocks
    assert "weight_memory" in found.shown()


def test_cores_multiply_silicon_and_idle_clocks():
    one, four = machine(with_registers()), machine(with_registers(), cores=4)
    assert area(four).total_mm2 == pytest.approx(4 * area(one).total_mm2)
    idle = Activity(cycles=1000)
    single, several = energy_of(idle, one), energy_of(idle, four)
    assert several.clock_j == pytest.approx(4 * single.clock_j)
    assert several.static_j == pytest.approx(4 * single.static_j)


def test_leakage_by_block():
    options = replace(with_registers(), leakage_mw_per_mm2={"scratchpad": Fraction(40)})
    plain, leaky = machine(with_registers()), machine(options)
    idle = Activity(cycles=1000)
    before, after = (energy_of(idle, m).static_by_block for m in (plain, leaky))
    assert after["scratchpad"] == pytest.approx(4 * before["scratchpad"])
    assert after["array"] == before["array"]
    assert energy_of(idle, leaky).static_j == pytest.approx(sum(after.values()))


def test_wires_go_over_the_side_of_a_processing_element():
    base = machine(energy_table="eyeriss_65nm", technology_nm=65)
    found = energy_of(Activity(hop_bits=1000), base)
    side_mm = (area(base).blocks["array"] / 64) ** 0.5
    assert found.noc_j == pytest.approx(1000 * 0.0973e-12 * side_mm)
