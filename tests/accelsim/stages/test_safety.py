"""From a simulated, injected design to the FMEDA: a small accelerator by hand, and properties."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import faults
from accelsim.arch.parts import (
    Accelerator,
    AccumulatorSram,
    Dma,
    Dram,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.arch.protection import PROTECTIONS
from accelsim.config.load import load_study
from accelsim.config.types import Rate, SafetyConfig
from accelsim.cost.area import area
from accelsim.errors import AccelsimError
from accelsim.figures import dram_tensors
from accelsim.plan import Candidate, MemoryPlan, Step, Tiling
from accelsim.sim.exposure import Exposure
from accelsim.stages.design import read_workload, simulate_design
from accelsim.stages.failure_rows import (
    SafetyInputs,
    copy_rows,
    dram_rows,
    failure_rows,
    flipflop_rows,
    flipflops,
    mechanism_rows,
    memory_rows,
    permanent_rows,
)
from accelsim.stages.results import fmeda_metrics
from accelsim.stages.safety import assess, detection_hours, period_cycles

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import one_conv

RATES = SafetyConfig(
    sram_soft=Rate(1000.0, "FIT/Mbit", "s", "D"),
    flipflop_soft=Rate(2000.0, "FIT/Mbit", "f", "E"),
    dram_soft=Rate(50.0, "FIT/Mbit", "d", "S"),
    die_permanent=Rate(2.0, "FIT/mm2", "p", "E"),
    dram_permanent=Rate(10.0, "FIT", "q", "S"),
    safe_fraction_unmeasured=Rate(0.5, "1", "half", "S"),
    fault_tolerant_time_interval_s=0.1,
    self_test_interval_s=0.072,
)

EXPOSURES = (
    Exposure("scratchpad", "weight", "w", "a", 4000, 1_000_000),
    Exposure("scratchpad", "activation", "x", "a", 4000, 3_000_000),
    Exposure("scratchpad", "activation", "dead", "a", 0, 0),
    Exposure("accumulators", "accumulator", "x", "a", 2000, 1_000_000),
)


def machine(pad_bytes: int = 2000, /, **protection: str) -> Accelerator:
    return Accelerator(
        name="small",
        clock_hz=1_000_000,
        technology_nm=45,
        array=SystolicArray(2, 3, "ws", "full"),
        vector=VectorUnit(5),
        scratchpad=Scratchpad(pad_bytes),
        accumulators=AccumulatorSram(1000),
        dram=Dram("LPDDR4", 1_000_000),
        dma=Dma(),
        leakage_mw_per_mm2=Fraction(0),
        control_flipflops={"array": 10, "dma": 0, "core": 30},
        protection=protection,
    )


def measured(**sdc: tuple[float, float, float]) -> faults.CampaignResult:
    structures = tuple(
        faults.StructureResult(
            name.replace("_", "."), 0.5, faults.Estimate(mean, low, high, 0.9, 100), 0.0
        )
        for name, (low, mean, high) in sdc.items()
    )
    return faults.CampaignResult(
        "net", "int8", 10, 1.0, 100, None, None, None, structures=structures
    )


CAMPAIGN = measured(
    scratchpad_weight=(0.01, 0.02, 0.03),
    scratchpad_activation=(0.1, 0.2, 0.4),
    accumulators=(0.0, 0.1, 0.2),
)


def inputs(acc: Accelerator, **changes: Any) -> SafetyInputs:
    made = SafetyInputs(
        accelerator=acc,
        safety=RATES,
        exposures=EXPOSURES,
        campaign=CAMPAIGN,
        area=area(acc),
        period_cycles=1000,
        scratchpad_bytes=1000,
        accumulator_bytes=250,
        dram_bytes=2500,
        confidence=0.9,
    )
    return replace(made, **changes)


def by_block(rows: list[faults.FmedaRow]) -> dict[str, faults.FmedaRow]:
    assert len({(r.block, r.fault_class) for r in rows}) == len(rows)
    return {r.block: r for r in rows}


# --- each kind of row by hand ---------------------------------------------------------------


def test_memory_rows_by_hand() -> None:
    found = by_block(memory_rows(inputs(machine(scratchpad="secded"))))
    assert list(found) == ["scratchpad.weight", "scratchpad.activation", "accumulators"]
    weight, activation = found["scratchpad.weight"], found["scratchpad.activation"]
    # 8000 allocated bits hold 1 : 3; 4,000,000 of their 8,000,000 bit-cycles are live.
    assert (weight.bits, activation.bits) == (2000, 6000)
    assert (weight.base_fit, activation.base_fit) == (pytest.approx(2.0), pytest.approx(6.0))
    assert weight.exposure == activation.exposure == 0.5
    assert (activation.p_lower, activation.p_point, activation.p_dangerous) == (0.1, 0.2, 0.4)
    assert (weight.coverage, weight.corrected, weight.mark) == (0.99, 0.98, "D")
    sums = found["accumulators"]
    assert (sums.bits, sums.exposure, sums.mechanism) == (2000, 0.5, "none")
    assert sums.base_fit == pytest.approx(2.0)


def test_contents_without_injection_count_as_dangerous() -> None:
    found = by_block(memory_rows(inputs(machine(), campaign=measured())))
    assert len(found) == 3
    assert {(r.p_dangerous, r.p_lower, r.evidence) for r in found.values()} == {
        (1.0, 1.0, "assumed")
    }


@pytest.mark.parametrize(
    ("dataflow", "overlap", "per_pe"),
    [("ws", "full", 8 + 8 + 32 + 8), ("ws", "none", 48), ("os", "full", 8 + 8 + 32 + 32),
     ("is", "full", 56)],
)  # fmt: skip
def test_flipflops_of_a_dataflow(dataflow: str, overlap: str, per_pe: int) -> None:
    acc = replace(machine(), array=SystolicArray(2, 3, dataflow, overlap))
    assert flipflops(inputs(acc))["array"] == {"array.registers": 6 * per_pe}


def test_flipflop_rows_by_hand() -> None:
    found = by_block(flipflop_rows(inputs(machine(vector="dmr", control="hardened+self_test"))))
    assert list(found) == ["array.registers", "vector.registers", "control.array", "control.core"]
    array, vector, core = (
        found[n] for n in ("array.registers", "vector.registers", "control.core")
    )
    assert (array.bits, array.base_fit) == (336, pytest.approx(0.672))
    # Derated once: by the safe fraction, not by the array's busy share as well.
    assert (array.exposure, array.p_dangerous, array.p_lower) == (1.0, 0.5, 0.5)
    assert (vector.bits, vector.coverage) == (320, 0.99)
    # Hardening is a lower rate, not coverage: nothing is detected, so nothing stops the system.
    assert core.base_fit == pytest.approx(0.1 * 2000 * 30 / 1e6)
    assert (core.coverage, core.corrected) == (0.0, 0.0)
    assert "x 0.1" in core.source
    assert faults.fmeda([core]).availability_fit == 0.0
    assert faults.fmeda([core]).rows[0].single_point_fit == pytest.approx(core.base_fit / 2)


def test_protecting_the_array_does_not_protect_the_vector_unit() -> None:
    found = failure_rows(inputs(machine(array="dmr")))
    assert {r.mechanism for r in found if r.block.startswith("vector")} == {"none"}
    assert {r.mechanism for r in found if r.block in ("array", "array.registers")} == {"dmr"}


def test_dram_rows_by_hand() -> None:
    soft, hard = dram_rows(inputs(machine(dram="secded")))
    assert (soft.bits, soft.base_fit) == (20_000, pytest.approx(1.0))
    assert (soft.exposure, soft.p_dangerous, soft.evidence) == (1.0, 1.0, "assumed")
    assert (soft.coverage, soft.corrected) == (0.99, 0.98)
    assert (hard.base_fit, hard.coverage, hard.coverage_latent) == (10.0, 0.99, 0.99)
    assert hard.corrected == 0.0


def test_permanent_rows_by_hand() -> None:
    acc = machine(scratchpad="secded", array="hardened+self_test", vector="dmr")
    cells = 8 * 0.346 / 0.5 * 1e-6
    found = by_block(permanent_rows(inputs(acc)))
    assert list(found) == ["array", "vector", "scratchpad", "accumulators", "control"]
    # Half of the scratchpad and a quarter of the accumulators are ever allocated.
    assert found["scratchpad"].base_fit == pytest.approx(2.0 * 1000 * cells)
    assert found["accumulators"].base_fit == pytest.approx(2.0 * 250 * cells)
    # Hardened flip-flops are twice as large, and part of the array.
    pe = 282 + 137 + 2 * 56 * 7.57
    assert found["array"].base_fit == pytest.approx(2.0 * 6 * pe * 1e-6)
    assert (found["array"].coverage, found["array"].coverage_latent) == (0.90, 0.99)
    lane = 3495 + 137 + 64 * 7.57
    assert found["vector"].base_fit == pytest.approx(2.0 * 5 * lane * 1e-6)
    assert (found["vector"].coverage, found["control"].coverage) == (0.99, 0.0)


def test_mechanism_rows_by_hand() -> None:
    acc = machine(scratchpad="secded+self_test", array="hardened", vector="dmr")
    cells = 8 * 0.346 / 0.5 * 1e-6
    found = by_block(mechanism_rows(inputs(acc)))
    assert list(found) == ["vector.dmr", "scratchpad.secded", "scratchpad.self_test"]
    ecc, test, dmr = (found[f"{n}"] for n in
                      ("scratchpad.secded", "scratchpad.self_test", "vector.dmr"))  # fmt: skip
    assert ecc.base_fit == pytest.approx(2.0 * 1000 * cells / 8)
    assert test.base_fit == pytest.approx(2.0 * 1000 * cells * 1.125 * 0.05)
    # The self-test finds faults of the ECC; nothing finds those of the self-test.
    assert (ecc.coverage_latent, test.coverage_latent) == (0.90, 0.0)
    assert dmr.coverage_latent == pytest.approx(0.99 / 1.05)
    assert all(r.latent_only for r in found.values())
    alone = by_block(mechanism_rows(inputs(machine(scratchpad="secded"))))
    assert alone["scratchpad.secded"].coverage_latent == 0.0


def test_copy_rows_by_hand() -> None:
    acc = machine(array="tmr", vector="hardened+dmr", control="lockstep", accumulators="dmr")
    found = by_block(copy_rows(inputs(acc)))
    assert {n: r.bits for n, r in found.items()} == {
        "array.tmr": 672, "vector.dmr": 320, "control.lockstep": 40, "accumulators.dmr": 2000,
    }  # fmt: skip
    assert found["vector.dmr"].base_fit == pytest.approx(0.1 * 2000 * 320 / 1e6)
    assert (found["array.tmr"].corrected, found["array.tmr"].coverage) == (0.99, 0.99)
    assert found["accumulators.dmr"].exposure == 0.5
    result = faults.fmeda([*flipflop_rows(inputs(acc)), *memory_rows(inputs(acc)), *found.values()])
    by_name = {c.row.block: c for c in result.rows}
    lockstep = by_name["control.lockstep"]
    assert lockstep.availability_fit == lockstep.false_alarm_fit == pytest.approx(0.99 * 0.08)
    assert (lockstep.residual_fit, lockstep.single_point_fit) == (0.0, 0.0)


def test_the_whole_fmeda_by_hand() -> None:
    """Everything unprotected but the scratchpad (parity): each term written out."""
    acc = machine(scratchpad="parity")
    found = assess(inputs(acc))
    die = {n: 2.0 * mm2 for n, mm2 in area(acc).blocks.items()}
    die["scratchpad"] /= 2
    die["accumulators"] /= 4
    parity = die["scratchpad"] / 32
    transient = 2.0 + 6.0 + 2.0 + 2000 * (336 + 320 + 40) / 1e6 + 1.0
    permanent = 10.0 + sum(die.values()) + parity
    violating_t = 0.4 * (2 * 0.5 * 0.03 + 6 * 0.5 * 0.4) + 2 * 0.5 * 0.2 + 0.696 + 1.0
    violating_p = permanent - parity - 0.6 * die["scratchpad"]
    bound = found.bound
    assert bound.raw_fit == pytest.approx(transient + permanent)
    assert bound.spfm_transient == pytest.approx(1 - violating_t / transient)
    assert bound.spfm_permanent == pytest.approx(1 - violating_p / permanent)
    covered = 0.6 * die["scratchpad"]
    assert bound.lfm == pytest.approx(1 - (0.01 * covered + parity) / (covered + parity))
    assert bound.pmhf_fit == pytest.approx(violating_t + violating_p, rel=1e-6)
    # 8 FIT of scratchpad, half of the time live: parity reports 60 % of that and of stuck cells.
    assert bound.availability_fit == pytest.approx(0.6 * (8 * 0.5 + die["scratchpad"]))
    dangerous = 2 * 0.5 * 0.03 + 6 * 0.5 * 0.4 + die["scratchpad"]
    assert bound.detected_fit == pytest.approx(0.6 * dangerous)
    assert bound.false_alarm_fit == pytest.approx(bound.availability_fit - 0.6 * dangerous)
    measured_part = 0.4 * (2 * 0.5 * 0.03 + 6 * 0.5 * 0.4) + 2 * 0.5 * 0.2
    assert bound.pmhf_measured_share == pytest.approx(measured_part / bound.pmhf_fit, rel=1e-6)
    example = 0.696 + violating_p - 10.0
    assert bound.pmhf_example_share == pytest.approx(example / bound.pmhf_fit, rel=1e-6)


# --- metrics --------------------------------------------------------------------------------


def test_metrics_carry_both_bounds_where_something_was_measured() -> None:
    found = assess(inputs(machine(scratchpad="secded", array="dmr")))
    metrics = fmeda_metrics(found)
    for name in ("asil.spfm", "asil.spfm_transient", "asil.pmhf_fit", "fit.dangerous",
                 "fit.detected", "fit.false_alarm"):  # fmt: skip
        m = metrics[name]
        assert m.lower is not None
        assert m.upper is not None
        assert m.lower < m.value < m.upper, name  # type: ignore[operator]
        assert m.confidence == 0.9
    assert metrics["asil.spfm"].lower == found.bound.spfm
    assert metrics["asil.spfm"].upper == found.favourable.spfm
    assert metrics["asil.pmhf_fit"].lower == found.favourable.pmhf_fit
    for name in ("asil.spfm_permanent", "asil.lfm", "fit.availability", "fit.raw",
                 "asil.pmhf_measured_share", "asil.pmhf_example_share"):  # fmt: skip
        m = metrics[name]
        assert (m.lower, m.upper, m.confidence) == (None, None, None), name


def test_nothing_measured_no_confidence() -> None:
    metrics = fmeda_metrics(assess(inputs(machine(), campaign=measured())))
    assert all(m.confidence is None and m.lower is None for m in metrics.values())
    assert metrics["asil.pmhf_measured_share"].value == 0.0


def test_detection_time_reaches_the_dual_point_terms() -> None:
    tested = inputs(machine(array="self_test"))
    assert detection_hours(tested) == pytest.approx(0.072 / 3600)
    assert detection_hours(inputs(machine())) == pytest.approx(0.001 / 3600)
    assert assess(tested).bound.detection_hours == detection_hours(tested)


# --- properties -----------------------------------------------------------------------------

LOGIC = [n for n, p in PROTECTIONS.items() if "array" in p.applies_to]
SRAM = [n for n, p in PROTECTIONS.items() if "scratchpad" in p.applies_to] + ["secded+self_test"]
BETTER_WHEN_HIGHER = ("spfm", "spfm_transient", "spfm_permanent", "lfm")
BETTER_WHEN_LOWER = ("pmhf_fit", "dangerous_fit", "availability_fit", "false_alarm_fit")


@given(
    pad=st.sampled_from(SRAM),
    array=st.sampled_from(LOGIC),
    vector=st.sampled_from(LOGIC),
    larger=st.integers(2001, 1 << 24),
)
@settings(max_examples=60, deadline=None)
def test_an_empty_larger_scratchpad_improves_nothing(
    pad: str, array: str, vector: str, larger: int
) -> None:
    names = {"scratchpad": pad, "array": array, "vector": vector}
    small, large = (assess(inputs(machine(n, **names))) for n in (2000, larger))
    for one, other in ((small.point, large.point), (small.bound, large.bound)):
        for name in BETTER_WHEN_HIGHER:
            before, after = getattr(one, name), getattr(other, name)
            assert (before is None) == (after is None)
            assert before is None or after <= before + 1e-12
        for name in BETTER_WHEN_LOWER:
            assert getattr(other, name) >= getattr(one, name) * (1 - 1e-12)


@given(array=st.sampled_from(LOGIC), pad=st.sampled_from(SRAM))
@settings(max_examples=30, deadline=None)
def test_protecting_one_block_leaves_the_rates_of_the_others_alone(array: str, pad: str) -> None:
    plain = {(r.block, r.fault_class): r for r in failure_rows(inputs(machine()))}
    guarded = failure_rows(inputs(machine(array=array, scratchpad=pad)))
    for row in guarded:
        if not row.block.startswith(("array", "scratchpad")):
            assert row == plain[row.block, row.fault_class]


@given(
    sizes=st.lists(st.integers(1, 400_000), min_size=2, max_size=5),
    kinds=st.lists(st.sampled_from(["weight", "activation", "bias"]), min_size=5, max_size=5),
    pick=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_doubling_one_residency_doubles_its_rate_among_others(
    sizes: list[int], kinds: list[str], pick: int
) -> None:
    pick %= len(sizes)
    everything = measured(
        scratchpad_weight=(0.1, 0.2, 0.3), scratchpad_activation=(0.1, 0.2, 0.3),
        scratchpad_bias=(0.1, 0.2, 0.3),
    )  # fmt: skip

    def dangerous(cycles: list[int]) -> dict[str, float]:
        exposures = tuple(
            Exposure("scratchpad", kind, f"t{i}", "a", 1, n)
            for i, (n, kind) in enumerate(zip(cycles, kinds, strict=False))
        )
        rows = memory_rows(inputs(machine(), exposures=exposures, campaign=everything))
        return {r.block: r.base_fit * r.exposure * r.p_dangerous for r in rows}

    doubled = [2 * n if i == pick else n for i, n in enumerate(sizes)]
    before, after = dangerous(sizes), dangerous(doubled)
    mine = f"scratchpad.{kinds[pick]}"
    own = 1000 / 1e6 * sizes[pick] / 1000 * 0.3
    assert after[mine] - before[mine] == pytest.approx(own, rel=1e-9)
    for name, rate in before.items():
        assert name == mine or after[name] == pytest.approx(rate, rel=1e-12)


# --- DRAM contents --------------------------------------------------------------------------


def test_dram_holds_whatever_the_plan_ever_puts_there() -> None:
    workload = one_conv()

    def held(**changes: Any) -> tuple[str, ...]:
        streamed = changes.pop("streamed", frozenset())
        column = Candidate("c", Tiling(1, 1, 1), streamed, 0, 0, 0, 0, 0, 0)
        plan = MemoryPlan((Step("conv", column, **changes),), 0, 0, 0, 0, 0, 0, "latency", True,
                          "optimal", "given")  # fmt: skip
        return dram_tensors(replace(workload, outputs=()), plan)

    assert held() == ("x", "conv.w", "conv.b")
    assert held(stores=("y",)) == held(loads=("y",)) == held(streamed=frozenset({"y"}))
    assert set(held(stores=("y",))) == {"x", "conv.w", "conv.b", "y"}


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from accelsim.config.init import write_init

    folder = tmp_path_factory.mktemp("starter")
    write_init(folder)
    return folder / "run.yaml"


def test_dram_contents_follow_the_simulated_transfers(starter: Path) -> None:
    """Whatever a plan moves to make do with less scratchpad is exposed in DRAM; a plan that moves
    more tensors never counts fewer."""
    moved, held = [], []
    for kib in (64, 8, 6, 4, 3):
        study = load_study(starter, {"accelerator.scratchpad.size": f"{kib} KiB"}, None)
        workload = read_workload(study.base)
        done = simulate_design(study.base, workload)
        graph = done.trace.graph
        always = {n for n, t in workload.tensors.items() if t.role in ("weight", "bias")}
        always |= {*workload.inputs, *workload.outputs}
        transferred = {
            graph.values[access.value].tensor
            for task in graph.tasks
            if task.dram_read_bytes or task.dram_write_bytes
            for access in (*task.reads, *task.writes)
        }
        names = set(dram_tensors(workload, done.plan))
        assert names == always | transferred, kib
        moved.append(names)
        held.append(sum(workload.tensors[n].bytes for n in names))
    assert all(
        held[j] >= held[i]
        for i in range(len(moved))
        for j in range(len(moved))
        if moved[i] <= moved[j]
    )
    assert moved[0] < moved[-1], "the smallest scratchpad cannot keep everything"
    assert held[0] < held[-1]


def test_a_period_shorter_than_the_latency_is_a_mistake(starter: Path) -> None:
    study = load_study(starter, {"safety.inference_period_s": "1 us"}, None)
    done = simulate_design(study.base, read_workload(study.base))
    with pytest.raises(AccelsimError, match="F614") as caught:
        period_cycles(done, study.base)
    message = caught.value.mistakes[0].message
    assert "1e-06 s" in message
    assert f"{done.trace.cycles} cycles" in message
    assert caught.value.mistakes[0].location is not None
    fine = load_study(starter, {"safety.inference_period_s": "1 s"}, None)
    assert period_cycles(done, fine.base) == done.accelerator.clock_hz
    exact = f"{done.trace.cycles * 1_000_000_000 // done.accelerator.clock_hz} ns"
    equal = load_study(starter, {"safety.inference_period_s": exact}, None)
    assert period_cycles(done, equal.base) == done.trace.cycles
