"""A split scratchpad from the config file to metrics, FMEDA and report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import accelsim
import faults
from accelsim.arch.parts import Accelerator, Scratchpad
from accelsim.config.load import load_study
from accelsim.config.types import Rate, SafetyConfig
from accelsim.cost.area import area
from accelsim.cost.energy import energy, unit_energies
from accelsim.errors import AccelsimError, InfeasibleError
from accelsim.mapping import Timing
from accelsim.pipeline import explain_config
from accelsim.report.html import html_report
from accelsim.report.perfetto import perfetto_json
from accelsim.stages.design import read_workload, simulate_design
from accelsim.stages.failure_rows import SafetyInputs, failure_rows

ROOT = Path(__file__).resolve().parents[3]
EDGE = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 16, 16]}
layers:
  - {name: c1, kind: conv, filters: 48, kernel: 3, pad: same, bias: true}
  - {name: dw, kind: depthwise, kernel: 3, pad: same}
  - {name: c2, kind: conv, filters: 32, kernel: 1}
  - {name: pool, kind: global_average_pool}
"""

RUN = f"""\
schema: accelsim/run/v1
name: split
workload: {{model: net.yaml}}
accelerator: {EDGE}
variants:
  split:
    accelerator.scratchpad.size: 96 KiB
    accelerator.weight_scratchpad: {{size: 32 KiB, width: 16 B}}
  cores:
    accelerator.cores: 2
    accelerator.weight_scratchpad: {{size: 16 KiB}}
  rule:
    mapping.rule: layer
    accelerator.weight_scratchpad: {{size: 8 KiB}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    (folder / "net.yaml").write_text(NETWORK)
    path = folder / "run.yaml"
    path.write_text(RUN)
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> accelsim.Run:
    return accelsim.run(config)


def test_both_halves_are_planned_and_reported(run: accelsim.Run) -> None:
    base, split = (run.record.variants[name] for name in ("base", "split"))
    assert "sram.weight_peak_bytes" not in base.metrics
    assert split.metrics["sram.weight_capacity_bytes"].value == 32 * 1024
    peak = int(split.metrics["sram.weight_peak_bytes"].value)
    assert split.plan is not None
    assert peak == split.plan["weight_peak_bytes"]
    tops = [s["weight_buffer_address"] + s["weight_buffer_bytes"] for s in split.plan["steps"]]
    assert max(tops) == peak <= 32 * 1024
    assert int(split.metrics["sram.peak_bytes"].value) < int(base.metrics["sram.peak_bytes"].value)
    assert any("weight scratchpad bytes are never" in note for note in split.info["notes"])


def test_contents_of_each_half_are_exposed_in_it(run: accelsim.Run) -> None:
    rows = run.record.variants["split"].exposure
    where = {(row["structure"], row["kind"]) for row in rows}
    assert where == {
        ("scratchpad", "activation"), ("weight_scratchpad", "weight"),
        ("weight_scratchpad", "bias"), ("accumulators", "accumulator"),
    }  # fmt: skip
    curve = run.record.variants["split"].curves["weight_occupancy"]
    bits = sum(r["bit_cycles"] for r in rows if r["structure"] == "weight_scratchpad")
    ends = [point[0] for point in curve[1:]]
    assert bits == 8 * sum(
        size * (end - start) for (start, size), end in zip(curve, ends, strict=False)
    )


def test_energy_and_area_of_the_weights_half_are_its_own(run: accelsim.Run) -> None:
    base, split = (run.record.variants[name] for name in ("base", "split"))
    assert "weight_scratchpad" in split.curves["area"]
    assert "weight_scratchpad" not in base.curves["area"]
    joules = split.curves["energy"]["weight_scratchpad"]
    assert sum(row["energy_weight_scratchpad_j"] for row in split.layers) == pytest.approx(joules)
    assert 0 < joules < float(split.metrics["energy.sram_j"].value)


def test_cores_and_rules_work_with_it(run: accelsim.Run) -> None:
    for name in ("cores", "rule"):
        found = run.record.variants[name].metrics
        assert 0 < int(found["sram.weight_peak_bytes"].value) <= 16 * 1024
    one, two = (int(run.record.variants[n].metrics["latency.cycles"].value)
                for n in ("split", "cores"))  # fmt: skip
    assert two < one
    names = {b.structure for block in run.schedules["cores"].program.blocks for b in block.buffers}
    assert {"core0.weight_scratchpad", "core1.weight_scratchpad"} <= names


def test_the_report_draws_both_halves(run: accelsim.Run, tmp_path: Path) -> None:
    loaded = accelsim.load(run.save(tmp_path / "run"))
    assert loaded.variants["split"].plan == run.record.variants["split"].plan
    page = html_report(loaded)
    for words in ("Weight scratchpad map", "Live bytes of the weight scratchpad over time",
                  "Weight buffers"):  # fmt: skip
        assert words in page
    text = perfetto_json(run.schedules["split"].folded, 500_000_000)
    assert "weight_scratchpad live bytes" in text
    assert "weight_scratchpad" not in perfetto_json(run.schedules["base"].folded, 500_000_000)


def test_the_summary_has_a_tile_for_it(config: Path) -> None:
    own = {"accelerator.weight_scratchpad": {"size": "32 KiB"}, "variants": {}}
    page = html_report(accelsim.run(config, overrides=own).record)
    assert "Weight scratchpad peak" in page


def test_folded_and_written_out_energies_agree(config: Path) -> None:
    study = load_study(config)
    done = simulate_design(study.variants["split"], read_workload(study.base), exact_events=True)
    flat = energy(done.trace.graph, done.cycles, done.accelerator)
    assert flat == done.energy


def test_explain_says_what_lies_where(config: Path) -> None:
    text = explain_config(config, {"accelerator.weight_scratchpad": {"size": "32 KiB"}})
    assert "B of weights" in text
    assert "of them early)" in text
    assert "B of weights" not in explain_config(config)


# --- every key has its effect -------------------------------------------------------------------


def machine(**keys: object) -> Accelerator:
    given = {"size": 65_536, **keys}
    return accelsim.load_accelerator(EDGE, {"weight_scratchpad": given})


def test_each_key_reaches_what_it_is_about() -> None:
    own = machine(alignment=64, width=8, ports=2, buffering=4, banks=2).weight_sram
    assert own == Scratchpad(65_536, 64, 8, ports=2, buffering=4, banks=2)
    plain = machine()
    assert plain.weight_sram == Scratchpad(65_536)
    one, two = (area(m).blocks["weight_scratchpad"] for m in (plain, machine(banks=8)))
    assert one != two
    wide, narrow, shared = (
        Timing(m).transfer(4096, constant=True).cycles
        for m in (plain, machine(width=1), machine(width=1, ports=1))
    )
    assert wide < narrow < shared
    costs = [unit_energies(m).weight_scratchpad_byte for m in (plain, machine(size=4096))]
    assert costs[1] < costs[0]


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ({"protection.weight_scratchpad": "secded"}, "there is no weight_scratchpad to protect"),
        ({"weight_scratchpad": {"size": 1000, "banks": 3}}, "do not divide into 3 banks"),
        ({"weight_scratchpad": {"size": 0}}, "weight_scratchpad.size must be greater than 0"),
        ({"weight_scratchpad": {"size": 64, "cacheless": True}}, "unknown key 'cacheless'"),
        ({"weight_scratchpad": {"size": 64}, "protection.weight_scratchpad": "dmr"},
         "'dmr' does not apply to weight_scratchpad"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_is_written(
    overrides: dict[str, object], wanted: str
) -> None:
    with pytest.raises(AccelsimError) as caught:
        accelsim.load_accelerator(EDGE, overrides)
    assert wanted in str(caught.value)
    assert all(mistake.location is not None for mistake in caught.value.mistakes)


def test_a_weight_scratchpad_that_is_too_small_is_pointed_at(config: Path) -> None:
    folder = config.parent
    text = EDGE.read_text().replace("dram:\n", "weight_scratchpad:\n  size: 96 B\n\ndram:\n", 1)
    (folder / "tiny.yaml").write_text(text)
    with pytest.raises(InfeasibleError, match="does not fit the weight scratchpad") as caught:
        accelsim.run(config, overrides={"accelerator": "tiny.yaml", "variants": {}})
    location = caught.value.location
    assert location is not None
    line = text.splitlines()[(location.line or 0) - 1]
    assert line.strip() == "size: 96 B"


def test_a_protection_of_the_weights_half_costs_what_it_says() -> None:
    plain = replace(machine(), protection={})
    guarded = replace(plain, protection={"weight_scratchpad": "secded"})
    own = area(guarded)
    assert own.protection["weight_scratchpad"] == pytest.approx(
        area(plain).blocks["weight_scratchpad"] / 8
    )
    assert own.protection["scratchpad"] == 0
    before, after = unit_energies(plain), unit_energies(guarded)
    assert after.weight_scratchpad_byte == pytest.approx(1.175 * before.weight_scratchpad_byte)
    assert after.scratchpad_byte == before.scratchpad_byte
    times = [Timing(m) for m in (plain, guarded)]
    fixed = [(t.transfer(64, constant=True).fixed, t.transfer(64).fixed) for t in times]
    assert fixed[1] == (fixed[0][0] + 1, fixed[0][1])


# --- failure rates ------------------------------------------------------------------------------

RATES = SafetyConfig(
    sram_soft=Rate(1000.0, "FIT/Mbit", "s", "D"),
    flipflop_soft=Rate(0.0, "FIT/Mbit", "f", "E"),
    dram_soft=Rate(0.0, "FIT/Mbit", "d", "S"),
    die_permanent=Rate(2.0, "FIT/mm2", "p", "E"),
    dram_permanent=Rate(0.0, "FIT", "q", "S"),
    safe_fraction_unmeasured=Rate(0.5, "1", "half", "S"),
    fault_tolerant_time_interval_s=0.1,
)


def test_failure_rows_of_the_weights_half_by_hand(config: Path) -> None:
    study = load_study(config)
    done = simulate_design(study.variants["split"], read_workload(study.base))
    guarded = replace(done.accelerator, protection={"weight_scratchpad": "secded"})
    assert done.exposures is not None
    rows = failure_rows(
        SafetyInputs(
            accelerator=guarded, safety=RATES, exposures=done.exposures,
            campaign=faults.CampaignResult("net", "int8", 1, 1.0, 1, None, None, None),
            area=area(guarded), period_cycles=done.cycles, scratchpad_bytes=done.plan.peak_bytes,
            accumulator_bytes=1024, dram_bytes=0, confidence=0.9,
            weight_scratchpad_bytes=done.plan.weight_peak_bytes,
        )
    )  # fmt: skip
    soft = {r.block: r for r in rows if r.fault_class == faults.TRANSIENT}
    held = [soft[f"weight_scratchpad.{kind}"] for kind in ("weight", "bias")]
    assert sum(r.base_fit for r in held) == pytest.approx(8e-3 * done.plan.weight_peak_bytes)
    assert {r.mechanism for r in held} == {"secded"}
    assert soft["scratchpad.activation"].mechanism == "none"
    assert "scratchpad.weight" not in soft
    hard = {r.block: r for r in rows if r.fault_class == faults.PERMANENT}
    used = done.plan.weight_peak_bytes / (32 * 1024)
    assert hard["weight_scratchpad"].base_fit == pytest.approx(
        2.0 * used * area(guarded).blocks["weight_scratchpad"]
    )
    assert hard["weight_scratchpad.secded"].base_fit == pytest.approx(
        2.0 * used * area(guarded).protection["weight_scratchpad"]
    )
