"""CPU time of evaluating ResNet-18 beside ZigZag."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cases.tiles import product
from benchmarks.environments import ZIGZAG, Absent, Installed
from benchmarks.peer import Answers, answers
from benchmarks.process import finished
from benchmarks.rows import ROOT, Measured, PeerRecord, Row, Settings, machine
from benchmarks.sample import Sample, best

if TYPE_CHECKING:
    from accelsim.arch.parts import Accelerator
    from accelsim.workload.graph import Workload

TITLE = "ResNet-18 beside ZigZag 3.9.1"
ABOUT = """Both read the ResNet-18 ONNX file that ZigZag ships, search mappings for latency on a
32 x 32 weight-stationary array with 2 MiB of SRAM (256 bytes per cycle) and a DRAM port of 8 bytes
per cycle, and evaluate latency and energy. ZigZag: its own `tpu_like` hardware and mapping, LOMA,
its defaults, layer by layer through DRAM. accelsim: candidates of every operator, one schedule of
the whole network that keeps activations on chip where that pays, tile-exact simulation; 256 KiB of
accumulators stand for ZigZag's output registers. The file names its weights without holding them;
ours reads zeros in their place. The latencies belong to different mappings: no comparison."""

DRIVER = ROOT / "benchmarks" / "drivers" / "zigzag_network.py"
MODEL = ROOT / "benchmarks" / "data" / "resnet18.onnx"
NETWORK, HARDWARE = "resnet18", "tpu_like"


def record(tool: Installed, cpu_limit_s: int) -> PeerRecord | Absent:
    """ZigZag's totals and cost, or how it failed."""
    with tempfile.TemporaryDirectory() as folder:
        done = finished(
            [str(tool.python), str(DRIVER), NETWORK, HARDWARE, folder],
            cwd=Path(folder),  # it writes where it stands
            cpu_limit_s=cpu_limit_s,
        )
    if done.failure:
        return Absent(done.failure)
    answer = json.loads(done.stdout.splitlines()[-1])
    results = {
        "calculation_cpu_s": round(answer["cpu_s"], 3),
        "process_cpu_s": round(done.cpu_s, 3),
        "peak_rss_bytes": done.peak_rss_bytes,
        "latency_cycles": int(answer["latency_cycles"]),
        "energy_pj": answer["energy_pj"],
        "layers": answer["layers"],
    }
    command = (
        f"get_hardware_performance_zigzag({NETWORK}.onnx, {HARDWARE}, {HARDWARE}, opt=latency)"
    )
    return PeerRecord("zigzag", ZIGZAG.version, command, machine(), results)


def tpu_like() -> Accelerator:
    """ZigZag's ``tpu_like`` hardware in our terms, at 1 GHz."""
    from accelsim.arch.parts import (
        Accelerator,
        AccumulatorSram,
        Dma,
        Dram,
        Scratchpad,
        SystolicArray,
        VectorUnit,
    )

    return Accelerator(
        name=HARDWARE,
        clock_hz=10**9,
        technology_nm=45,
        array=SystolicArray(32, 32),
        vector=VectorUnit(lanes=32),
        scratchpad=Scratchpad(2 << 20, width_bytes=256),
        accumulators=AccumulatorSram(256 << 10),
        dram=Dram("LPDDR4", 8 * 10**9),
        dma=Dma(channels=2),
    )


def with_zeros(folder: Path) -> Path:
    """The network in ``folder`` with zeros for the weights that it only names."""
    import onnx

    model = onnx.load(MODEL, load_external_data=False)
    ends: dict[str, int] = {}
    for tensor in model.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if place:
            end = int(place.get("offset", 0)) + int(place["length"])
            ends[place["location"]] = max(end, ends.get(place["location"], 0))
    for name, size in ends.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
    path = folder / MODEL.name
    path.write_bytes(MODEL.read_bytes())
    return path


def latency(workload: Workload, machine: Accelerator) -> int:
    """Mapping search and schedule of the whole network, every tile simulated, energy: cycles."""
    from accelsim.config.types import ScheduleConfig
    from accelsim.cost.energy import energy_of
    from accelsim.cost.program_activity import ProgramActivity
    from accelsim.design_point import memory_device
    from accelsim.lower import lower
    from accelsim.sim.steady import run_program
    from accelsim.stages.memory import plan_memory

    plan = plan_memory(workload, machine, objective="latency", schedule=ScheduleConfig())
    program = lower(workload, machine, plan)
    cycles = run_program(program, device=memory_device(workload, machine)).cycles
    energy_of(replace(ProgramActivity(machine).program(program), cycles=cycles), machine)
    return cycles


def prepare(case: str) -> Callable[[], object]:
    """Our side: from the file to the latency."""
    from accelsim.workload.onnx_reader import read_onnx
    from accelsim.workload.precision import as_int8

    folder = tempfile.TemporaryDirectory()
    path, machine = with_zeros(Path(folder.name)), tpu_like()
    latency(product(1), machine)  # imports what a first call imports

    def call() -> int:
        with folder:
            return latency(as_int8(read_onnx(path)), machine)

    return call


def measure(settings: Settings) -> Measured:
    """CPU seconds of both and their ratio."""
    found = answers(ZIGZAG, settings, lambda tool: record(tool, settings.cpu_limit_s))
    if isinstance(found, Absent):
        return Measured((Row("ZigZag", "CPU time", None, "CPU s", note=found.reason),))
    ours = best(__name__, NETWORK, settings.samples)
    return Measured(tuple(rows(found, ours)), found.to_keep)


def rows(found: Answers, ours: Sample) -> list[Row]:
    """The table."""
    subject, theirs = "ResNet-18", found.record.results
    cpu_s = theirs["calculation_cpu_s"]
    ratio = cpu_s / ours.cpu_s
    whole = theirs["process_cpu_s"] / ours.process_cpu_s
    return [
        Row(subject, "ZigZag, calculation", cpu_s, "CPU s", note=found.origin),
        Row(subject, "accelsim, calculation", ours.cpu_s, "CPU s"),
        Row(subject, "ratio, calculation", ratio, "x", at_least=50),
        Row(subject, "ratio, whole process", whole, "x"),
        Row(subject, "ZigZag, peak memory", theirs["peak_rss_bytes"] / 2**20, "MiB"),
        Row(subject, "accelsim, peak memory", ours.peak_rss_bytes / 2**20, "MiB"),
        Row(subject, "ZigZag, latency", theirs["latency_cycles"], "cycles"),
        Row(subject, "accelsim, latency", ours.answer, "cycles"),
    ]
