"""A run on a machine with a memory level, from the config to the report and the failure rates."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import accelsim
from accelsim.pipeline import Run, explain_config

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """\
schema: accelsim/run/v1
name: leveled
workload: {{model: {root}/configs/models/resnet20_cifar10_int8.onnx}}
accelerator: machine.yaml
data:
  file: {root}/configs/data/cifar10_eval_1000.npz
  divide_by: 255
  mean: [0.4914, 0.4822, 0.4465]
  std: [0.2023, 0.1994, 0.2010]
  limit: 8
faults: {{mode: exposure, count: 24, images_per_fault: 2}}
safety: {root}/configs/safety/example_rates.yaml
mapping: {{rule: layer}}
variants:
  guarded:
    accelerator.levels: [{{name: l2, size: 64 KiB, latency_cycles: 8, protection: secded}}]
"""
LEVEL = "levels: [{name: l2, size: 64 KiB, latency_cycles: 8}]\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's machine with a small scratchpad and a level behind it."""
    folder = tmp_path_factory.mktemp("levels")
    machine = (ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml").read_text("utf-8")
    (folder / "machine.yaml").write_text(machine.replace("size: 128 KiB", "size: 12 KiB") + LEVEL)
    path = folder / "run.yaml"
    path.write_text(CONFIG.format(root=ROOT))
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> Run:
    return accelsim.run(config, exact_events=True)


def test_metrics_and_plan_agree_on_what_the_level_moves(run: Run):
    record = run.record.variants["base"]
    homes = record.plan["homes"]
    assert {home["level"] for home in homes} == {"l2"}
    read = sum(home["read_bytes"] for home in homes)
    written = sum(home["written_bytes"] for home in homes)
    copied = sum(home["bytes"] for home in homes if home["copied_in"])
    assert run.metrics["levels.read_bytes"].value == read
    assert run.metrics["levels.write_bytes"].value == written + copied
    moved = run.metrics["dram.read_bytes"].value + run.metrics["dram.write_bytes"].value
    assert run.metrics["plan.traffic_bytes"].value == moved
    rows = record.layers
    assert sum(row["l2_read_bytes"] for row in rows) == read
    assert sum(row["l2_write_bytes"] for row in rows) == written + copied


def test_energy_of_the_level_is_its_bytes_times_what_one_costs(run: Run):
    record = run.record.variants["base"]
    moved = run.metrics["levels.read_bytes"].value + run.metrics["levels.write_bytes"].value
    # 64 KiB between Horowitz' 32 KiB (20 pJ per 64 bits) and 1 MiB (100 pJ): a power law.
    each = 20 * (100 / 20) ** (1 / 5) / 8
    assert record.curves["energy"]["l2"] == pytest.approx(moved * each * 1e-12, rel=1e-3)
    by_layer = sum(row["energy_l2_j"] for row in record.layers)
    assert by_layer == pytest.approx(record.curves["energy"]["l2"])
    assert record.curves["area"]["l2"] > 0
    assert record.curves["busy"]["l2"] > 0
    assert any("level l2: " in note for note in record.info["notes"])
    shown = {name: v.info["protection"]["l2"] for name, v in run.record.variants.items()}
    assert shown == {"base": "none", "guarded": "secded"}


def test_what_lies_in_the_level_can_fail_and_be_protected(run: Run):
    rates = {}
    for name in ("base", "guarded"):
        record = run.record.variants[name]
        assert {row["structure"] for row in record.exposure} >= {"l2", "scratchpad"}
        rows = [row for row in record.fmeda["rows"] if row["block"].startswith("l2")]
        assert {row["block"] for row in rows} >= {"l2.activation", "l2"}
        rates[name] = sum(row["residual_fit"] + row["single_point_fit"] for row in rows)
    assert rates["guarded"] < rates["base"]
    slower = run.record.variants["guarded"].metrics["latency.cycles"].value
    assert slower > run.metrics["latency.cycles"].value


def test_the_run_folder_and_the_explanation_show_it(run: Run, config: Path, tmp_path: Path):
    folder = run.save(tmp_path / "out")
    with open(folder / "layers.csv", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert {"l2_read_bytes", "l2_write_bytes", "energy_l2_j"} <= set(header)
    assert "l2" in (folder / "report.html").read_text(encoding="utf-8")
    tracks = json.loads((folder / "trace.perfetto.json").read_text(encoding="utf-8"))
    names = {e["args"]["name"] for e in tracks["traceEvents"] if e.get("name") == "thread_name"}
    assert any("l2" in name for name in names)
    text = explain_config(config)
    assert "level l2: " in text
    assert " B read, " in text
