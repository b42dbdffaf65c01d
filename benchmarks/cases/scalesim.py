"""Compute cycles and CPU time of AlexNet on a 128 x 128 array beside SCALE-Sim v3."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import SCALESIM, Absent, Installed
from benchmarks.peer import Answers, answers
from benchmarks.process import finished
from benchmarks.rows import ROOT, Measured, PeerRecord, Row, Settings, machine
from benchmarks.sample import Sample, best

TITLE = "AlexNet beside SCALE-Sim 3.0.0"
ABOUT = """The five convolutions of SCALE-Sim's own `alexnet.csv` on a 128 x 128 array, output
stationary, as products without padding (SCALE-Sim has none), interface bandwidth `CALC` (no
stalls), no traces written, one process per layer. SCALE-Sim writes down the address of every
operand of every cycle; ours is the closed form whose cycles are the same, hence the ratio.
Calculation: the call alone, imports done. Whole process: interpreter start and imports included
on both sides."""

TOPOLOGY = ROOT / "benchmarks" / "data" / "alexnet.csv"
DRIVER = ROOT / "benchmarks" / "drivers" / "scalesim_layers.py"
ARRAY = 128
DATAFLOW = "os"
CONFIG = f"""[general]
run_name = alexnet
[architecture_presets]
ArrayHeight: {ARRAY}
ArrayWidth: {ARRAY}
IfmapSramSzkB: 1024
FilterSramSzkB: 1024
OfmapSramSzkB: 1024
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: 10
Dataflow: {DATAFLOW}
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
"""Settings of the peer's example configuration ``a128_ws_calc.cfg`` with the dataflow changed."""
LAYOUT_COLUMNS = 17


@dataclass(frozen=True)
class Layer:
    """One convolution without padding, as SCALE-Sim reads it."""

    name: str
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    channels: int
    filters: int
    stride: int

    @property
    def product(self) -> tuple[int, int, int]:
        """(m, n, k): output positions, filters, and the length of each dot product."""
        # SCALE-Sim rounds the output's size up: the last window may hang over the edge.
        down = -(-(self.height - self.kernel_height + self.stride) // self.stride)
        across = -(-(self.width - self.kernel_width + self.stride) // self.stride)
        return down * across, self.filters, self.kernel_height * self.kernel_width * self.channels


def layers(path: Path = TOPOLOGY) -> list[Layer]:
    """The layers of a convolution topology."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) >= 8 and cells[0]:
            found.append(Layer(cells[0], *map(int, cells[1:8])))
    return found


def simulated(tool: Installed, layer: Layer, cpu_limit_s: int) -> dict[str, Any]:
    """One layer in SCALE-Sim: cycles and cost, or why it gave none."""
    header, *lines = TOPOLOGY.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.split(",")[0].strip() == layer.name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "array.cfg").write_text(CONFIG, encoding="utf-8")
        (folder / "layer.csv").write_text(f"{header}\n{line}\n", encoding="utf-8")
        ones = ",".join(["1"] * LAYOUT_COLUMNS)
        (folder / "layout.csv").write_text(f"header,\n{layer.name},{ones},\n", encoding="utf-8")
        inputs = [str(folder / name) for name in ("array.cfg", "layer.csv", "layout.csv")]
        done = finished(
            [str(tool.python), str(DRIVER), *inputs, str(folder)], cpu_limit_s=cpu_limit_s
        )
    if done.failure:
        return {"failed": done.failure}
    answer = json.loads(done.stdout.splitlines()[-1])
    (report,) = answer["layers"]
    return {
        "cycles": int(float(report["Total Cycles"])),
        "stall_cycles": int(float(report["Stall Cycles"])),
        "calculation_cpu_s": round(answer["cpu_s"], 3),
        "process_cpu_s": round(done.cpu_s, 3),
        "peak_rss_bytes": done.peak_rss_bytes,
    }


def record(tool: Installed, cpu_limit_s: int) -> PeerRecord | Absent:
    """SCALE-Sim's answers for every layer."""
    found = {layer.name: simulated(tool, layer, cpu_limit_s) for layer in layers()}
    failures = [answer["failed"] for answer in found.values() if "failed" in answer]
    if len(failures) == len(found):
        return Absent(failures[0])
    command = f"scalesim on alexnet.csv, one layer per process, {ARRAY} x {ARRAY}, {DATAFLOW}, CALC"
    return PeerRecord("scalesim", SCALESIM.version, command, machine(), {"layers": found})


def prepare(case: str) -> Callable[[], object]:
    """Our side: the cycles of each layer in SCALE-Sim's convention."""
    import accelsim

    products = {layer.name: layer.product for layer in layers()}
    cycles = accelsim.gemm_cycles

    def call() -> dict[str, int]:
        return {
            name: cycles(*product, rows=ARRAY, cols=ARRAY, dataflow=DATAFLOW, convention="scalesim")
            for name, product in products.items()
        }

    return call


def measure(settings: Settings) -> Measured:
    """Cycles layer by layer, then CPU time and its ratio."""
    found = answers(SCALESIM, settings, lambda tool: record(tool, settings.cpu_limit_s))
    if isinstance(found, Absent):
        return Measured((Row("SCALE-Sim", "CPU time", None, "CPU s", note=found.reason),))
    peer, ours = found.record, best(__name__, "all", settings.samples)
    return Measured((*cycle_rows(peer, ours.answer), *cost_rows(found, ours)), found.to_keep)


def cycle_rows(peer: PeerRecord, ours: dict[str, int]) -> list[Row]:
    """Our cycles minus SCALE-Sim's compute cycles, per layer: zero is the goal."""
    found = []
    for name, theirs in peer.results["layers"].items():
        quantity, note = "cycles, ours minus SCALE-Sim's", theirs.get("failed", "")
        if note:
            found.append(Row(name, quantity, None, "cycles", at_least=0, at_most=0, note=note))
            continue
        computed = theirs["cycles"] - theirs["stall_cycles"]
        note = f"both {computed:,}" if ours[name] == computed else f"SCALE-Sim {computed:,}"
        gap = ours[name] - computed
        found.append(Row(name, quantity, gap, "cycles", at_least=0, at_most=0, note=note))
    return found


def cost_rows(found: Answers, ours: Sample) -> list[Row]:
    """CPU seconds of both and their ratio, over the layers that SCALE-Sim finished."""
    peer = found.record
    done = [row for row in peer.results["layers"].values() if "failed" not in row]
    subject = f"AlexNet, {len(done)} of {len(peer.results['layers'])} layers"
    theirs = sum(row["calculation_cpu_s"] for row in done)
    whole = sum(row["process_cpu_s"] for row in done)
    rss = max(row["peak_rss_bytes"] for row in done)
    return [
        Row(subject, "SCALE-Sim, calculation", theirs, "CPU s", note=found.origin),
        Row(subject, "accelsim, calculation", ours.cpu_s, "CPU s"),
        Row(subject, "ratio, calculation", theirs / ours.cpu_s, "x", at_least=10_000),
        Row(subject, "ratio, whole process", whole / ours.process_cpu_s, "x"),
        Row(subject, "SCALE-Sim, peak memory", rss / 2**20, "MiB"),
        Row(subject, "accelsim, peak memory", ours.peak_rss_bytes / 2**20, "MiB"),
    ]
