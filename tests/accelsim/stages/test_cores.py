"""A run on several cores, from the config file to the record."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.errors import AccelsimError
from accelsim.pipeline import explain_config
from accelsim.report.html import html_report
from accelsim.report.perfetto import perfetto_json

ROOT = Path(__file__).resolve().parents[3]
EDGE = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 24, 24]}
layers:
  - {name: c1, kind: conv, filters: 64, kernel: 3, pad: same}
  - {name: dw, kind: depthwise, kernel: 3, pad: same}
  - {name: c2, kind: conv, filters: 32, kernel: 1}
  - {name: pool, kind: global_average_pool}
"""

RUN = f"""\
schema: accelsim/run/v1
name: cores
workload: {{model: net.yaml}}
accelerator: {EDGE}
variants:
  two: {{accelerator.cores: 2}}
  batch: {{accelerator.cores: 4, workload.batch: 4}}
targets:
  - {{metric: latency.cycles, variant: two, relative_to: base, at_most: 1.0}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


def test_two_cores_share_the_work_of_one(config: Path) -> None:
    run = accelsim.run(config)
    base, two = (run.record.variants[name] for name in ("base", "two"))
    assert run.exit_code == 0
    one_core, cycles = (int(v.metrics["latency.cycles"].value) for v in (base, two))
    assert one_core / 2 <= cycles <= one_core
    assert two.metrics["macs.total"] == base.metrics["macs.total"]
    assert two.metrics["area.mm2"].value == pytest.approx(2 * float(base.metrics["area.mm2"].value))
    assert 0 < float(two.metrics["utilisation.mac"].value) <= 1
    assert cycles >= int(two.metrics["bound.compute_cycles"].value)
    assert sum(row["cycles"] for row in two.layers) == cycles
    for row in two.layers:
        assert row["mapping"].startswith("core ")
        assert 0 <= row["utilisation"] <= 1
        assert row["array_busy"] <= row["span_cycles"]
        assert 0 <= row["stall_cycles"] <= row["cycles"]
    assert two.plan is not None
    assert any("assigned to 2 cores by strategy" in note for note in two.plan["notes"])
    assert two.info["array"].startswith("2 cores of 16 x 16")
    energy = sum(row[key] for row in two.layers for key in row if key.startswith("energy_"))
    assert energy == pytest.approx(float(two.metrics["energy.total_j"].value))


def test_images_of_a_batch_go_to_different_cores(config: Path) -> None:
    batch = accelsim.run(config).record.variants["batch"]
    assert batch.plan is not None
    assert "'rows'" in batch.plan["notes"][0] or "'mixed'" in batch.plan["notes"][0]
    text = explain_config(config, {"accelerator.cores": 2})
    assert text.startswith("2 cores, 1 image")
    assert "c1: core 0 " in text


def test_the_reference_engine_gives_the_same_to_the_byte(config: Path) -> None:
    fast, stepped = (
        accelsim.run(config, overrides={"accelerator.cores": 2}, exact_events=exact)
        for exact in (False, True)
    )
    assert fast.record.base.metrics == stepped.record.base.metrics
    assert fast.record.base.trace == stepped.record.base.trace
    assert fast.record.base.layers == stepped.record.base.layers


def test_reports_can_draw_several_cores(config: Path, tmp_path: Path) -> None:
    run = accelsim.run(config, overrides={"accelerator.cores": 2})
    folder = run.save(tmp_path / "out")
    again = accelsim.load(folder)
    assert again.base.metrics == run.record.base.metrics
    assert "2 cores of 16 x 16" in html_report(again)
    assert "core1.array" in perfetto_json(run.trace, 500_000_000)


def test_fixed_mappings_hold_for_every_part(config: Path) -> None:
    """Tile sizes, order and what streams, by the names of the network."""
    layers = {"c1": {"n": 16, "order": "mnk", "stream": ["image"]}, "c2": {"n": 8}}
    overrides = {"mapping.layers": layers, "accelerator.cores": 2, "schedule.effort": 1}
    config.write_text(RUN.partition("variants")[0])
    run = accelsim.run(config, overrides={**overrides, "parallel.strategy": "channels"})
    rows = {row["op"]: row["mapping"] for row in run.record.base.layers}
    parts = rows["c1"].split("; ")
    assert len(parts) == 2
    assert all("fixed/" in part and "n16k" in part and "-mnk" in part for part in parts)
    assert rows["c2"].count("n8k64") == 2
    text = explain_config(config, overrides)
    assert "refused" not in text


def test_a_strategy_that_cannot_obey_is_refused(config: Path) -> None:
    """Tiles of 14 of the 24 rows: half of the rows are no such tile."""
    overrides = {"mapping.layers": {"c2": {"m": 336, "n": 8}}, "accelerator.cores": 2}
    config.write_text(RUN.partition("variants")[0])
    text = explain_config(config, overrides)
    (line,) = [line for line in text.splitlines() if "rows" in line and "refused" in line]
    assert "M340 operator 'c2': m must be between 1 and" in line
    run = accelsim.run(config, overrides=overrides)
    (row,) = [row for row in run.record.base.layers if row["op"] == "c2"]
    assert all("m336n8" in part for part in row["mapping"].split("; "))
    assert run.record.base.plan is not None
    assert any("'rows' could not be executed" in note for note in run.record.base.plan["notes"])
    with pytest.raises(AccelsimError, match="a part of it, by strategy 'rows'") as error:
        accelsim.run(config, overrides={**overrides, "parallel.strategy": "rows"})
    assert {mistake.code for mistake in error.value.mistakes} == {"M340"}
    assert all(mistake.location is not None for mistake in error.value.mistakes)


@pytest.mark.parametrize("layers", [{"c9": {"m": 24}}, {"c1": {"m": 577}}])
def test_what_no_core_can_obey_is_found_before_any_work(
    config: Path, layers: dict[str, object]
) -> None:
    with pytest.raises(AccelsimError, match=r"M34[01]"):
        accelsim.validate(config, {"mapping.layers": layers, "accelerator.cores": 2})
