"""From plan to schedule: fast-forward by default, the reference engine on request, any size."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest

import accelsim
from accelsim.arch.parts import Accelerator, Dram, Scratchpad
from accelsim.config.load import load_study
from accelsim.config.types import FaultsConfig, RunConfig
from accelsim.errors import AccelsimError
from accelsim.execution import MOST_WRITTEN, executed, machine_rates
from accelsim.mapping.quick_plan import quick_plan
from accelsim.progress import silent
from accelsim.record import VariantRecord
from accelsim.sim.check import TraceError
from accelsim.sim.check_folded import check_folded
from accelsim.sim.expand import unfold
from accelsim.sim.folded import Event
from accelsim.sim.summary import busy_cycles, layer_rows
from accelsim.sim.trace_file import load_folded
from accelsim.stages.design import read_workload, simulate_design
from accelsim.stages.variant import run_variant, upset_exposures
from accelsim.workload.graph import Workload
from accelsim.workload.transformer import transformer

ROOT = Path(__file__).resolve().parents[2]
TRANSFORMER = """\
schema: accelsim/transformer/v1
layers: 2
d_model: 1024
heads: 8
d_ff: 2048
tokens: 256
"""
RUN = """\
schema: accelsim/run/v1
name: prefill
workload:
  model: block.yaml
accelerator: {accelerator}
mapping:
  rule: fold
"""


@pytest.fixture(scope="module")
def quickstart() -> RunConfig:
    """The base run of the quickstart, its design alone."""
    base = load_study(ROOT / "configs" / "runs" / "quickstart.yaml", {}, None).base
    return replace(base, faults=None, data=None, safety=None)


@pytest.fixture(scope="module")
def network(quickstart: RunConfig) -> Workload:
    return read_workload(quickstart)


def machine(config: RunConfig, **changes: object) -> Accelerator:
    assert config.accelerator is not None
    return replace(config.accelerator, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> accelsim.Run:
    """A run whose schedule is too large to be written out."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "block.yaml").write_text(TRANSFORMER)
    npu = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"
    (folder / "run.yaml").write_text(RUN.format(accelerator=npu))
    return accelsim.run(folder / "run.yaml")


def record(config: RunConfig, exact: bool) -> VariantRecord:
    return run_variant("base", config, 1, silent, exact_events=exact)[0]


def test_the_record_is_the_same_with_the_reference_engine(quickstart: RunConfig) -> None:
    folded, stepped = record(quickstart, False), record(quickstart, True)
    assert folded == stepped
    assert folded.trace is not None
    assert folded.layers
    assert folded.exposure


def test_so_it_is_with_a_banked_memory_which_costs_time(quickstart: RunConfig) -> None:
    assert quickstart.accelerator is not None
    dram = replace(quickstart.accelerator.dram, kind="LPDDR4", model="banked")
    banked = replace(quickstart, accelerator=machine(quickstart, dram=dram))
    folded, stepped = record(banked, False), record(banked, True)
    assert folded == stepped
    plain = record(quickstart, False)
    assert folded.metrics["latency.cycles"].value > plain.metrics["latency.cycles"].value


def test_weights_with_a_memory_of_their_own_pass_all_checks(
    quickstart: RunConfig, network: Workload
) -> None:
    flash = Dram("flash", 500_000_000, latency_cycles=64)
    acc = machine(quickstart, weight_memory=flash, weight_sram=Scratchpad(65536))
    plan = quick_plan(network, acc)
    schedule = executed(network, acc, plan, exact_events=True)
    assert "weights" in schedule.program.ports
    rates = machine_rates(acc)
    check_folded(schedule.folded, rates)
    halved = replace(rates, memories={**rates.memories, "weights": Fraction(1, 2)})
    with pytest.raises(TraceError, match="bytes through weights"):
        check_folded(schedule.folded, halved)


def test_figures_come_from_the_folded_trace_and_equal_those_written_out(
    quickstart: RunConfig, network: Workload
) -> None:
    done = simulate_design(quickstart, network)
    array = done.accelerator.array
    assert done.layers == layer_rows(done.trace, pes=array.rows * array.cols)
    assert done.busy == busy_cycles(done.trace)
    assert done.trace == unfold(done.schedule.folded)


def test_a_schedule_with_a_seeded_fault_is_refused(
    quickstart: RunConfig, network: Workload
) -> None:
    acc = machine(quickstart)
    schedule = executed(network, acc, quick_plan(network, acc))
    first = next(item for item in schedule.folded.items if isinstance(item, Event))
    items = tuple(
        replace(item, end=item.end + 1) if item is first else item for item in schedule.folded.items
    )
    with pytest.raises(TraceError, match="cycles instead of"):
        check_folded(replace(schedule.folded, items=items), machine_rates(acc))


def test_bank_conflicts_in_the_cycles_are_noted(quickstart: RunConfig) -> None:
    config = replace(quickstart, mapping=replace(quickstart.mapping, rule="layer"))
    halves = Scratchpad(1 << 17, 32, 32, banks=4, bank_ports=1)
    for weights in (None, halves):
        npu = machine(config, scratchpad=replace(halves, bank_ports=2), weight_sram=weights)
        notes = record(replace(config, accelerator=npu), exact=False).info["notes"]
        said = [note.partition(" are in")[0] for note in notes if "conflicts" in note]
        assert said == [
            "scratchpad: conflicts of its 4 banks (2 ports each, nhwc)",
            *(["weight scratchpad: conflicts of its 4 banks (1 port each)"] if weights else []),
        ]


# --- schedules too large to be written out ------------------------------------------------------


def test_a_large_run_has_all_figures_but_those_of_single_commands(large: accelsim.Run) -> None:
    base = large.record.base
    schedule = large.schedules["base"]
    assert schedule.program.commands > MOST_WRITTEN
    assert len(base.layers) == len(schedule.program.blocks)
    assert sum(row["cycles"] for row in base.layers) == large.metrics["latency.cycles"].value
    assert large.metrics["macs.total"].value == sum(row["macs"] for row in base.layers)
    parts = ("dram", "sram", "compute", "registers", "clock", "static")
    total = sum(large.metrics[f"energy.{part}_j"].value for part in parts)
    assert total == pytest.approx(large.metrics["energy.total_j"].value, rel=1e-12)
    assert not base.exposure
    assert "occupancy" not in base.curves
    assert any(f"commands are above {MOST_WRITTEN}" in note for note in base.info["notes"])
    with pytest.raises(AccelsimError) as caught:
        _ = large.trace
    assert [mistake.code for mistake in caught.value.mistakes] == ["R504"]


def test_a_large_run_folder_is_whole_and_loads_equal(large: accelsim.Run, tmp_path: Path) -> None:
    folder = large.save(tmp_path / "run")
    loaded = accelsim.load(folder)
    assert loaded.variants == large.record.variants
    trace = loaded.base.trace
    assert trace is not None
    assert load_folded(trace) == large.schedules["base"].folded
    assert len(trace) < 500_000
    assert (folder / "trace.perfetto.json").stat().st_size < 20_000_000
    assert "-timeline" in (folder / "report.html").read_text()


def test_upsets_are_not_drawn_from_a_schedule_that_is_not_written_out(
    quickstart: RunConfig, network: Workload
) -> None:
    done = simulate_design(quickstart, network)
    small = executed(network, done.accelerator, done.plan, most_written=10)
    large = replace(done, schedule=small, exposures=None)
    drawn = replace(quickstart, faults=FaultsConfig("exposure"))
    assert upset_exposures(drawn, done) == done.exposures
    with pytest.raises(AccelsimError) as caught:
        upset_exposures(drawn, large)
    assert [mistake.code for mistake in caught.value.mistakes] == ["R504"]
    assert upset_exposures(replace(quickstart, faults=FaultsConfig("rate")), large) == ()


def test_a_campaign_on_a_large_schedule_is_refused_before_it_is_simulated(
    quickstart: RunConfig, network: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("simulated before it was refused")

    monkeypatch.setattr("accelsim.execution.run_program", never)
    monkeypatch.setattr("accelsim.stages.design.executed", partial(executed, most_written=10))
    drawn = replace(quickstart, faults=FaultsConfig("exposure"))
    with pytest.raises(AccelsimError) as caught:
        simulate_design(drawn, network)
    assert [mistake.code for mistake in caught.value.mistakes] == ["R504"]
    for free in (quickstart, replace(quickstart, faults=FaultsConfig("rate"))):
        with pytest.raises(AssertionError, match="simulated"):
            simulate_design(free, network)


def test_the_reference_engine_refuses_what_it_cannot_step(quickstart: RunConfig) -> None:
    workload = transformer(
        "block", layers=1, d_model=4096, heads=32, kv_heads=32, d_ff=11008, tokens=512
    )
    acc = machine(quickstart)
    with pytest.raises(AccelsimError) as caught:
        executed(workload, acc, quick_plan(workload, acc, "fold"), exact_events=True)
    assert [mistake.code for mistake in caught.value.mistakes] == ["R503"]
