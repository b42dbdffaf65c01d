"""Runs whose cores take tiles while time passes, from the config file to the record."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import accelsim
from accelsim.config.cores import POLICIES
from accelsim.errors import AccelsimError
from accelsim.parallel.policies import PolicyName
from accelsim.pipeline import explain_config
from accelsim.report.console import summary
from accelsim.report.html import html_report

ROOT = Path(__file__).resolve().parents[3]
EDGE = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"
RATES = ROOT / "configs" / "safety" / "example_rates.yaml"

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
workload: {{model: net.yaml}}
accelerator: {EDGE}
parallel:
  strategy: dynamic
  dynamic: {{tiles: 12, jitter: 0.3, barrier_cycles: 100}}
variants:
  big_little:
    accelerator: null
    system: {{name: pair, cores: [{EDGE}, {{accelerator: {EDGE}, overrides: {{array.rows: 8}}}}]}}
targets:
  - {{metric: parallel.fraction, at_least: 0.5}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    path = tmp_path / "run.yaml"
    (tmp_path / "four.yaml").write_text(
        f"schema: accelsim/accelerator/v1\nextends: {EDGE}\ncores: 4\n"
    )
    path.write_text(RUN.replace(f"\naccelerator: {EDGE}", "\naccelerator: four.yaml"))
    return path


def test_the_area_chart_sums_to_the_area(config: Path) -> None:
    record = accelsim.run(config, overrides={"variants": {}}).record.base
    area = record.curves["area"]
    assert sum(area.values()) == pytest.approx(float(record.metrics["area.mm2"].value))
    assert any("protection" in part for part in area)


def test_the_time_of_the_dram_is_that_of_all_images(config: Path) -> None:
    """16 x 24 x 24 B in and 32 B out for every image, at ten cycles per byte; weights once."""
    needs = []
    for images in (1, 3):
        changes = {"accelerator.dram.bandwidth": "50 MB/s", "parallel.images": images}
        record = accelsim.run(config, overrides={**changes, "variants": {}}).record.base
        (note,) = [note for note in record.info["notes"] if "the DRAM alone" in note]
        needs.append(int(note.split()[4]))
    assert needs[1] - needs[0] == 2 * (16 * 24 * 24 + 32) * 10


def test_the_run_has_the_usual_folder(config: Path, tmp_path: Path) -> None:
    run = accelsim.run(config)
    assert run.exit_code == 0
    four, pair = run.record.base, run.record.variants["big_little"]
    cycles = int(four.metrics["latency.cycles"].value)
    assert cycles == run.trace.cycles
    assert cycles >= int(four.metrics["parallel.ideal_cycles"].value)
    assert 1 < float(four.metrics["parallel.speedup"].value) <= 4
    assert 1 < float(pair.metrics["parallel.speedup"].value) <= 2
    fraction, serial = (
        float(four.metrics[f"parallel.{name}"].value) for name in ("fraction", "karp_flatt")
    )
    assert fraction == pytest.approx(1 - serial)
    assert sum(row["macs"] for row in four.layers) == four.metrics["macs.total"].value
    assert sum(row["cycles"] for row in four.layers) == cycles
    assert not any(name.startswith(("energy.", "dram.", "plan.")) for name in four.metrics)
    assert any("compute cycles only" in note for note in four.info["notes"])
    folder = run.save(tmp_path / "out")
    again = accelsim.load(folder)
    assert again.base.metrics == four.metrics
    assert "compute cycles only" in html_report(again)
    shown = Console(width=100, file=StringIO(), record=True)
    shown.print(summary(again))
    text = " ".join(shown.export_text().split())
    assert "times as fast as the fastest one alone" in text
    assert "parallel fraction" in text
    trace = (folder / "trace.perfetto.json").read_text()
    for core in range(4):
        assert f'"core{core}.array"' in trace
        assert f'"core{core}.vector"' in trace


def test_explain_sets_the_policies_side_by_side(config: Path) -> None:
    text = explain_config(config)
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert {"static", "dynamic", "tiles"} <= set(lines)
    assert text.count("<- chosen") == 1
    assert "c1: " in text
    assert sum(map(int, text.partition("c1: ")[2].splitlines()[0].split(", "))) == 12


def test_the_reference_engine_agrees_and_images_are_independent(config: Path) -> None:
    fast, stepped = (accelsim.run(config, exact_events=exact) for exact in (False, True))
    assert fast.record.base == stepped.record.base
    four = accelsim.run(config, overrides={"parallel.images": 4})
    assert four.metrics["macs.total"].value == 4 * int(fast.metrics["macs.total"].value)
    latency = float(four.metrics["latency.seconds"].value)
    assert four.metrics["throughput.inferences_per_s"].value == pytest.approx(4 / latency)


def test_seed_and_jitter_are_heard(config: Path) -> None:
    def cycles(**dynamic: object) -> int:
        overrides = {f"parallel.dynamic.{key}": value for key, value in dynamic.items()}
        return int(accelsim.run(config, overrides=overrides).metrics["latency.cycles"].value)

    plain = cycles()
    assert cycles(seed=1) != plain
    assert cycles(jitter=0) != plain
    assert cycles(node_cycles=50) > plain
    assert cycles(policy="static") > plain
    assert cycles(policy="static", barrier_cycles=500) > cycles(policy="static")
    assert cycles(locality=0.4) < plain
    assert cycles(tiles=3) > plain


def test_names_of_policies_are_those_that_exist() -> None:
    assert tuple(PolicyName) == POLICIES


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        ({"parallel.dynamic.policy": "greedy"}, "C005", "unknown policy 'greedy'"),
        ({"parallel.dynamic.tiles": 0}, "C004", "at least 1"),
        ({"parallel.dynamic.jitter": 3}, "C004", "at most 2"),
        ({"parallel.dynamic.locality": 1}, "C004", "less than 1"),
        ({"parallel.strategy": "rows"}, "C009", "takes no tiles dynamically"),
        ({"accelerator.cores": 0}, "C004", "at least 1"),
        ({"mapping.rule": "layer"}, "M362", r"mapping\.rule has no effect"),
        ({"mapping.objective": "energy"}, "M362", r"mapping\.objective has no effect"),
        ({"mapping.layers": {"c1": {"m": 24}}}, "M362", r"mapping\.layers has no effect"),
        ({"safety": str(RATES)}, "M362", "no safety metrics"),
        ({"targets": [{"metric": "energy.total_j", "at_most": 1}]}, "C014", "moves data"),
        ({"parallel.images": 4096, "parallel.dynamic.tiles": 64}, "M350", "more than 100000 tiles"),
    ],
)
def test_what_has_no_effect_is_refused_at_its_place(
    config: Path, overrides: dict[str, object], code: str, words: str
) -> None:
    config.write_text(config.read_text().partition("variants")[0])
    with pytest.raises(AccelsimError, match=words) as error:
        accelsim.run(config, overrides=overrides)
    assert code in {mistake.code for mistake in error.value.mistakes}
    assert all(mistake.location is not None for mistake in error.value.mistakes)
