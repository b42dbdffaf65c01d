"""Runs on systems of unequal cores, from the config file to the record."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.errors import AccelsimError, InfeasibleError
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
workload: {{model: net.yaml}}
mapping: {{rule: layer}}
system:
  name: pair
  cores:
    - {EDGE}
    - {{accelerator: {EDGE}, overrides: {{name: small, array.rows: 8, scratchpad.size: 64 KiB}}}}
"""

BIG = {"system": None, "accelerator": str(EDGE)}
"""The large core alone."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    path = tmp_path / "pair.yaml"
    path.write_text(RUN)
    return path


def small(size: str) -> dict[str, object]:
    overrides = {"name": "small", "scratchpad.size": size}
    return {"accelerator": str(EDGE), "overrides": overrides}


def test_bytes_over_the_link_are_no_dram_traffic(config: Path) -> None:
    link = {"bandwidth": "8 GB/s", "buffer": "64 KiB"}
    rows = {"parallel": {"strategy": "rows"}}
    found = [
        accelsim.run(config, overrides=rows | {"system.link": x}).record.base for x in (link, None)
    ]
    linked, plain = ({n: m.value for n, m in record.metrics.items()} for record in found)
    for of in (linked, plain):
        assert of["plan.traffic_bytes"] == of["dram.read_bytes"] + of["dram.write_bytes"]
    assert linked["plan.traffic_bytes"] < plain["plan.traffic_bytes"]


def test_the_cores_share_the_work_and_every_core_counts(config: Path) -> None:
    pair, big = (accelsim.run(config, overrides=o).record.base for o in ({}, BIG))
    cycles = int(pair.metrics["latency.cycles"].value)
    assert cycles <= int(big.metrics["latency.cycles"].value)
    assert pair.metrics["macs.total"] == big.metrics["macs.total"]
    peak = 16 * 16 + 8 * 16
    assert pair.metrics["utilisation.mac"].value == pytest.approx(
        int(pair.metrics["macs.total"].value) / (cycles * peak)
    )
    assert float(pair.metrics["area.mm2"].value) > float(big.metrics["area.mm2"].value)
    total = float(pair.metrics["energy.total_j"].value)
    rows = sum(row[key] for row in pair.layers for key in row if key.startswith("energy_"))
    assert rows == pytest.approx(total)
    assert pair.curves["energy_bands"]["value"] == pytest.approx(total)
    live = max(size for _, size in pair.curves["occupancy"])
    assert 0 < live <= int(pair.metrics["sram.peak_bytes"].value)
    low, high = (float(pair.metrics[f"energy.{end}_j"].value) for end in ("low", "high"))
    assert low < total < high
    assert pair.info["accelerator"] == "pair"
    assert "small: 1 core of 8 x 16 ws" in pair.info["array"]


def test_a_system_of_equal_cores_is_an_accelerator_with_cores(config: Path) -> None:
    two = {**BIG, "accelerator.cores": 2}
    listed = {"system.cores": [{"accelerator": str(EDGE), "count": 2}]}
    one, other = (accelsim.run(config, overrides=o).record.base for o in (two, listed))
    assert one.metrics == other.metrics
    assert one.trace == other.trace


def test_the_objective_chooses_the_assignment(config: Path) -> None:
    for objective, metric in (
        ("latency", "latency.cycles"), ("energy", "energy.total_j"), ("traffic", None),
    ):  # fmt: skip
        overrides: dict[str, object] = {
            "mapping.rule": None, "mapping.objective": objective, "schedule.effort": 1,
        }  # fmt: skip
        text = explain_config(config, overrides)
        assert f"compared for {objective} [" in text
        if metric is not None:
            found = accelsim.run(config, overrides=overrides).record.base
            best = float(found.metrics[metric].value)
            others = (
                accelsim.run(config, overrides={**overrides, "parallel.strategy": name})
                for name in ("single", "rows", "layers")
            )
            assert all(best <= float(run.metrics[metric].value) * (1 + 1e-9) for run in others)


def test_independent_images_go_through_a_pipeline(config: Path) -> None:
    overrides = {"parallel": {"strategy": "pipeline", "images": 4}}
    run = accelsim.run(config, overrides=overrides)
    one = accelsim.run(config, overrides={"parallel.strategy": "single"})
    figures, single = run.metrics, one.metrics
    assert figures["macs.total"].value == 4 * int(single["macs.total"].value)
    seconds = float(figures["latency.seconds"].value)
    assert figures["throughput.inferences_per_s"].value == pytest.approx(4 / seconds)
    assert run.record.base.info["batch"] == 4
    rows = run.record.base.layers
    assert len(rows) == 4 * len(one.record.base.layers)
    energy = sum(row[key] for row in rows for key in row if key.startswith("energy_"))
    assert energy == pytest.approx(float(figures["energy.total_j"].value))


def test_reports_have_a_track_per_core(config: Path, tmp_path: Path) -> None:
    run = accelsim.run(config, overrides={"parallel.strategy": "rows"})
    folder = run.save(tmp_path / "out")
    record = accelsim.load(folder)
    assert "pair" in html_report(record)
    text = perfetto_json(run.trace, 500_000_000)
    for track in ("core0.array", "core1.array", "core1.dma.0", "dram"):
        assert f'"{track}"' in text


def test_a_core_that_is_too_small_gets_no_work(config: Path) -> None:
    """Its tiles fit no more; the strategies leave it out, and say what they could not do."""
    run = accelsim.run(config, overrides={"system.cores": [str(EDGE), small("128 B")]})
    base = run.record.base
    alone = accelsim.run(config, overrides=BIG)
    assert base.metrics["latency.cycles"] == alone.metrics["latency.cycles"]
    assert all("core 1" not in row["mapping"] for row in base.layers)


def test_no_core_can_run_the_network(config: Path) -> None:
    tiny = {"system.cores": [small("1 KiB"), small("512 B")]}
    with pytest.raises(InfeasibleError):
        accelsim.run(config, overrides={**tiny, "parallel.strategy": "single"})


@pytest.mark.parametrize("name", ["big_little", "dynamic_tiles"])
def test_shipped_examples_meet_their_targets(name: str) -> None:
    run = accelsim.run(ROOT / "configs" / "runs" / f"{name}.yaml")
    assert run.exit_code == 0, run.verdicts


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        ({"parallel.strategy": "images"}, "M360", "'images' does not apply to net with 1 images"),
        (
            {"system.cores": [str(EDGE), {**small("64 KiB"), "overrides": {
                "name": "x", "energy.leakage_by_block": {"array": 1}}}]},
            "M362",
            "energy of core 1 differs",
        ),
        (
            {"system.cores": [str(EDGE), {**small("64 KiB"), "overrides": {
                "name": "x", "protection.dram": "none"}}]},
            "M362",
            r"protection\.dram of core 1 differs",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_at_its_place(
    config: Path, overrides: dict[str, object], code: str, words: str
) -> None:
    with pytest.raises(AccelsimError, match=words) as error:
        accelsim.run(config, overrides=overrides)
    assert {mistake.code for mistake in error.value.mistakes} == {code}
    assert all(mistake.location is not None for mistake in error.value.mistakes)
