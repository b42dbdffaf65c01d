"""A run on an array that chooses between dataflows: what a user sees of it, faults included."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import accelsim
from accelsim.config.init import write_init
from accelsim.config.load import load_study
from accelsim.errors import AccelsimError
from accelsim.report.files import write_run_folder
from accelsim.stages.mapping_text import explain_mapping

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 8, 8, 8]}
layers:
  - {name: c1, kind: conv, filters: 16, kernel: 3, pad: same}
  - {name: pool, kind: global_average_pool}
  - {name: fc, kind: matmul, columns: 512}
"""
RUN = """\
schema: accelsim/run/v1
name: choice
workload: {model: net.yaml}
accelerator:
  name: machine
  clock: 500 MHz
  technology: 45 nm
  array: {rows: 16, cols: 16, dataflow: [ws, os, is], overlap: none}
  vector: {lanes: 16}
  scratchpad: {size: 128 KiB}
  accumulators: {size: 32 KiB}
  dram: {kind: LPDDR4, bandwidth: 3.2 GB/s}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    (tmp_path / "run.yaml").write_text(RUN)
    return tmp_path / "run.yaml"


def test_explain_counts_the_splits_and_names_the_chosen_one(config: Path) -> None:
    base = load_study(config).base
    network = accelsim.read_network(config.parent / "net.yaml")
    text = explain_mapping(base, network)
    assert (
        "spatial: k x n (ws) or m x n (os) or k x m (is) on 16 x 16, chosen for every operator"
    ) in text
    assert "sizes x 3 spatial -> " in text
    run = accelsim.run(config)
    flows = {row["op"]: row["dataflow"] for row in run.record.base.layers}
    extents = {"ws": "k x n (ws)", "os": "m x n (os)", "is": "k x m (is)"}
    for op in ("c1", "fc"):
        said = text.partition(f"\n{op} (")[2].partition("cycles ")[0]
        assert f"{extents[flows[op]]} on 16 x 16" in said
    single = load_study(config, {"accelerator.array.dataflow": "os"}).base
    alone = explain_mapping(single, network)
    assert "spatial: m x n (os) on 16 x 16\n" in alone
    assert "x 3 spatial" not in alone


def test_tables_and_reports_show_the_dataflow_of_every_layer(config: Path) -> None:
    run = accelsim.run(config)
    flows = {row["op"]: row["dataflow"] for row in run.record.base.layers}
    assert flows["c1"] in ("ws", "os", "is")
    assert flows["pool"] == "none"
    assert run.record.base.info["array"] == "16 x 16 ws/os/is, overlap none"
    folder = write_run_folder(run.record, config.parent / "out")
    with (folder / "layers.csv").open() as file:
        written = {row["op"]: row["dataflow"] for row in csv.DictReader(file)}
    assert written == flows
    assert ">Dataflow<" in (folder / "report.html").read_text()
    single = accelsim.run(config, overrides={"accelerator.array.dataflow": "ws"})
    assert all("dataflow" not in row for row in single.record.base.layers)


def test_a_choice_is_no_slower_and_stepping_agrees(config: Path) -> None:
    def cycles(flow: object, **more: object) -> int:
        run = accelsim.run(config, overrides={"accelerator.array.dataflow": flow}, **more)
        return int(run.metrics["latency.cycles"].value)

    chosen = cycles(["ws", "os", "is"])
    assert chosen == cycles(["ws", "os", "is"], exact_events=True)
    assert chosen < min(cycles(flow) for flow in ("ws", "os", "is"))


def test_a_layer_can_be_given_its_dataflow(config: Path) -> None:
    for flow in ("ws", "os", "is"):
        run = accelsim.run(config, overrides={"mapping.layers": {"c*": {"dataflow": flow}}})
        assert next(r for r in run.record.base.layers if r["op"] == "c1")["dataflow"] == flow
    with pytest.raises(AccelsimError) as caught:
        accelsim.run(
            config,
            overrides={
                "mapping.layers": {"c1": {"dataflow": "is"}},
                "accelerator.array.dataflow": ["ws", "os"],
            },
        )
    (mistake,) = caught.value.mistakes
    assert mistake.code == "M340"
    assert "the array has no dataflow 'is'" in mistake.message


def test_a_fault_campaign_and_an_fmeda_on_a_mixed_machine(tmp_path: Path) -> None:
    """Exposure follows the schedule that was chosen; flip-flops are those of all dataflows."""
    write_init(tmp_path)
    run = accelsim.run(
        tmp_path / "run.yaml", overrides={"accelerator.array.dataflow": ["ws", "os"]}, workers=1
    )
    base = run.record.base
    assert base.faults is not None
    assert {row["dataflow"] for row in base.layers} <= {"ws", "os", "none"}
    machine = load_study(tmp_path / "run.yaml").base.accelerator
    assert machine is not None
    pes = machine.array.rows * machine.array.cols
    assert base.fmeda is not None
    rows = {
        row["block"]: row["bits"] for row in base.fmeda["rows"] if row["fault_class"] == "transient"
    }
    assert rows["array.registers"] == pes * (8 + 8 + 32 + 8 + 32)
