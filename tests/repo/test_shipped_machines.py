"""Every machine of configs/accelerators: read, run on small networks, and what it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.arch.parts import Accelerator
from accelsim.config.load import load_study
from accelsim.cost.energy import energy_notes
from accelsim.design_point import evaluate
from accelsim.workload.graph import Workload

CONFIGS = Path(__file__).parents[2] / "configs"
MACHINES = sorted((CONFIGS / "accelerators").glob("*.yaml"))
NETWORKS = {
    "resnet20": CONFIGS / "models" / "resnet20_cifar10_int8.onnx",
    "transformer_block": CONFIGS / "workloads" / "transformer_block.yaml",
}


def _machine(name: str) -> Accelerator:
    return accelsim.load_accelerator(CONFIGS / "accelerators" / f"{name}.yaml")


@pytest.fixture(scope="module")
def networks() -> dict[str, Workload]:
    return {name: accelsim.read_network(path) for name, path in NETWORKS.items()}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_plan_simulation_and_cost(path: Path, network: str, networks: dict[str, Workload]) -> None:
    machine = accelsim.load_accelerator(path)
    assert machine.name == path.stem
    done = evaluate(networks[network], machine)
    assert 0 < done.utilisation <= 1
    assert max(done.bounds_cycles.values()) <= done.cycles
    assert done.energy.total_j > 0
    assert done.area_mm2 > 0
    assert all("missing" not in note for note in energy_notes(machine))


def test_one_run_config_names_them_all() -> None:
    study = load_study(CONFIGS / "runs" / "npus.yaml")
    named = {study.base.accelerator.name} | {
        run.accelerator.name for run in study.variants.values()
    }
    assert named == {path.stem for path in MACHINES}


@pytest.mark.parametrize("macs", [32, 64, 128, 256])
def test_ethos_u55_has_the_peak_that_it_is_called_by(macs: int) -> None:
    for suffix in ("", "_sram_only"):
        machine = _machine(f"ethos_u55_{macs}{suffix}")
        assert machine.array.rows * machine.array.cols == macs
        assert machine.clock_hz == 500_000_000
        assert machine.dram_bytes_per_cycle == machine.scratchpad.width_bytes == 8
        assert (machine.weight_memory is None) == bool(suffix)


def test_tpu_v1_has_its_published_peak() -> None:
    machine = _machine("tpu_v1")
    assert 2 * machine.array.rows * machine.array.cols * machine.clock_hz == pytest.approx(
        92e12, rel=0.005
    )  # Jouppi et al., ISCA 2017, table 2: 92 TOPS


def test_tpu_v1_has_four_tiles_of_weights_apart_from_its_unified_buffer() -> None:
    """Section 2 of the paper; a tile is 256 x 256 weights."""
    machine = _machine("tpu_v1")
    own, array = machine.weight_sram, machine.array
    assert own is not None
    tile, sums = array.rows * array.cols, 4 * array.cols
    assert own.bytes == own.buffering * (tile + sums) == 4 * (65_536 + 1_024)
    assert tile / own.width_bytes == 256  # cycles to shift one in
    assert machine.scratchpad.bytes == 24 * 2**20


def test_ethos_u55_is_faster_the_more_multipliers_it_has(networks: dict[str, Workload]) -> None:
    for network in networks.values():
        cycles = [
            evaluate(network, _machine(f"ethos_u55_{macs}")).cycles for macs in (32, 64, 128, 256)
        ]
        assert cycles == sorted(cycles, reverse=True)


def test_sparse_weights_save_cycles_and_traffic(networks: dict[str, Workload]) -> None:
    dense, sparse = _machine("edge_npu_16x16"), _machine("sparse_2to4_16x16")
    for network in networks.values():
        one, two = evaluate(network, dense), evaluate(network, sparse)
        assert two.cycles < one.cycles
        assert two.dram_bytes < one.dram_bytes
