"""Whole-network cycles of small int8 networks on the Ethos-U55 beside Arm's compiler, Vela."""

from __future__ import annotations

import csv
import statistics
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.environments import VELA, Absent, Installed
from benchmarks.peer import answers
from benchmarks.process import finished
from benchmarks.rows import ROOT, Measured, PeerRecord, Row, Settings, data_folder, machine
from benchmarks.sample import best

TITLE = "Ethos-U55 beside Vela 5.2.0"
ABOUT = """Vela's own estimate of the compiled network. Its total is the length of the schedule in
cycles of the NPU clock (500 MHz), the sum over its operators, which run one after the other. Its
figures per resource (NPU, SRAM, flash) are busy cycles; they overlap and do not add up to the
total. An operator costs the largest of its resources, or more where they cannot overlap. System
configuration `Ethos_U55_High_End_Embedded` (SRAM 4 GB/s, flash 0.5 GB/s; also what Vela assumes
when none is given), both memory modes. Compared with the default core `regor`; `legacy` is the
older core of the same version. Networks: the int8 and uint8 TFLite files of `models/`, ours with
`workload.recurrent: stepwise`, because the machine has no sequences: as for Vela, an LSTM meets its
input weights anew at every step."""

ACCELERATORS = ("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256")
SYSTEM = "Ethos_U55_High_End_Embedded"
MEMORY_MODES = ("Shared_Sram", "Sram_Only")
CORES = {"regor": (), "legacy": ("--debug-force-legacy-core",)}
SUMMARY = {
    "total": "cycles_total",
    "npu": "cycles_npu",
    "sram": "cycles_sram_access",
    "flash_on": "cycles_on_chip_flash_access",
    "flash_off": "cycles_off_chip_flash_access",
    "macs": "nn_macs",
    "sram_kib": "sram_memory_used",
    "flash_off_kib": "off_chip_flash_memory_used",
    "weights": "total_original_weights",
    "weights_encoded": "total_npu_encoded_weights",
    "sram_bytes": "sram_total_bytes",
    "flash_off_bytes": "off_chip_flash_total_bytes",
}
OPERATOR_COLUMNS = ("operator", "parts", "cycles", "npu", "sram", "flash_on", "flash_off", "macs")
FIGURES = ("Op Cycles", "NPU", "SRAM AC", "OnFlash AC", "OffFlash AC", "MAC Count")
LOWERED = ("softmax", "lstm")
"""Source operators that Vela carries out as many primitives; their rows are added up."""
MACHINES = ROOT / "configs" / "accelerators"
RUN = """schema: accelsim/run/v1
name: ethos_u55
workload:
  model: "{model}"
  recurrent: stepwise
accelerator: "{machine}"
"""
NO_NETWORKS = "no networks: set ACCELSIM_DATA to the folder that holds models/"
LEVEL = 0.02
"""Relative change from one size to the next that counts as none."""
DETAILED = "regor"
"""The core whose operators are kept."""


def command(core: str, accelerator: str, memory_mode: str) -> list[str]:
    """Vela's arguments, less the network and the output folder."""
    return [
        *CORES[core],
        *("--accelerator-config", accelerator, "--config", "Arm/vela.ini"),
        *("--system-config", SYSTEM, "--memory-mode", memory_mode, "--verbose-performance"),
    ]


def compiled(tool: Installed, network: Path, core: str, arguments: list[str]) -> dict[str, Any]:
    """One network compiled: its summary and operators, or why Vela refused it."""
    with tempfile.TemporaryDirectory() as folder:
        done = finished(
            [str(tool.script("vela")), *arguments, "--output-dir", folder, str(network)]
        )
        summaries = sorted(Path(folder).glob("*_summary_*.csv"))
        if done.failure or not summaries:
            return {"refused": done.failure or "no summary written"}
        (summary,) = table(summaries[0])
        layers = [row for path in Path(folder).glob("*_per-layer.csv") for row in table(path)]
    found: dict[str, Any] = {key: number(summary[name]) for key, name in SUMMARY.items()}
    if not found["total"]:
        return {"refused": "no operator runs on the NPU (float tensors)"}
    found["cpu_operators"] = sum(row.get("Target", "NPU") == "CPU" for row in layers)
    found["cpu_s"] = done.cpu_s
    if core == DETAILED:
        found["operators"] = operators(layers)
    return found


def table(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows by column name."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def operators(layers: list[dict[str, str]]) -> list[list[Any]]:
    """One row per source operator with :data:`OPERATOR_COLUMNS`, in the order of execution.

    An operator fused into its predecessor is listed by Vela with zeros and left out here.
    """
    found: list[list[Any]] = []
    for row in layers:
        name = row["Original Operator"]
        figures = [number(row[column]) for column in FIGURES]
        if found and found[-1][0] == name and name.lower().endswith(LOWERED):
            old = found[-1]
            found[-1] = [name, old[1] + 1, *map(sum, zip(old[2:], figures, strict=True))]
        elif figures[0]:
            found.append([name, 1, *figures])
    return found


def number(text: str) -> int | float:
    """A CSV figure: an int where it is whole."""
    value = float(text)
    return int(value) if value.is_integer() else round(value, 3)


def record(tool: Installed, data: Path | None) -> PeerRecord | Absent:
    """Everything Vela says of every TFLite network in ``data/models``."""
    networks = sorted((data / "models").glob("*.tflite")) if data else []
    if not networks:
        return Absent(NO_NETWORKS)
    results: dict[str, Any] = {"operator_columns": list(OPERATOR_COLUMNS), "networks": {}}
    cpu_s = 0.0
    for network in networks:
        found: dict[str, Any] = {}
        for core in CORES:
            for mode in MEMORY_MODES:
                for accelerator in ACCELERATORS:
                    answer = compiled(tool, network, core, command(core, accelerator, mode))
                    cpu_s += answer.pop("cpu_s", 0.0)
                    found[f"{core}/{mode}/{accelerator}"] = answer
        results["networks"][network.stem] = found
    results["cpu_s"] = round(cpu_s, 1)
    shown = (
        "vela " + " ".join(command("regor", "<accelerator>", "<memory mode>")) + " NETWORK.tflite"
    )
    return PeerRecord("vela", VELA.version, shown, machine(), results)


def machine_file(size: str, mode: str) -> Path:
    """Our config of an Ethos-U55 size in a memory mode."""
    suffix = "" if mode == "Shared_Sram" else f"_{mode.lower()}"
    return MACHINES / f"{size.replace('-', '_')}{suffix}.yaml"


def prepare(case: str) -> Callable[[], object]:
    """``case`` is a memory mode: cycles of every network on every size."""
    import accelsim

    folder = data_folder()
    networks = sorted((folder / "models").glob("*.tflite")) if folder else []

    def cycles(network: Path, size: str) -> int:
        with tempfile.TemporaryDirectory() as name:
            config = Path(name) / "run.yaml"
            machine = machine_file(size, case)
            config.write_text(RUN.format(model=network, machine=machine), encoding="utf-8")
            return int(accelsim.run(config).metrics["latency.cycles"].value)

    def call() -> dict[str, dict[str, int]]:
        return {
            network.stem: {size: cycles(network, size) for size in ACCELERATORS}
            for network in networks
            if not network.stem.endswith("fp32")
        }

    return call


def measure(settings: Settings) -> Measured:
    """Our cycles beside Vela's default core; and Vela's two cores beside each other."""
    models = data_folder()
    told = answers(VELA, settings, lambda tool: record(tool, models))
    if isinstance(told, Absent):
        return Measured((Row("Vela", "cycles", None, "cycles", note=told.reason),))
    totals = vela_totals(told.record)
    found = refused_rows(told.record) + core_rows(totals)
    for mode in MEMORY_MODES:
        missing = [s for s in ACCELERATORS if not machine_file(s, mode).is_file()]
        if models is None or missing:
            note = NO_NETWORKS if models is None else f"no config of {', '.join(missing)}"
            found.append(Row(f"accelsim, {mode}", "cycles", None, "cycles", note=note))
            continue
        found += our_rows(mode, totals, best(__name__, mode, samples=1, cpu_limit_s=1800).answer)
    return Measured(tuple(found), told.to_keep)


Totals = dict[str, dict[str, float]]
"""Network -> ``core/memory mode/accelerator`` -> cycles."""


def vela_totals(peer: PeerRecord) -> Totals:
    """Whole-network cycles of every network that Vela accepts."""
    return {
        name: {key: answer["total"] for key, answer in found.items()}
        for name, found in peer.results["networks"].items()
        if not any("refused" in answer for answer in found.values())
    }


def refused_rows(peer: PeerRecord) -> list[Row]:
    """Networks that Vela does not take, with its reason."""
    found = []
    for name, told in peer.results["networks"].items():
        reasons = sorted({answer["refused"] for answer in told.values() if "refused" in answer})
        if reasons:
            found.append(Row(name, "cycles", None, "", note="Vela: " + "; ".join(reasons)))
    return found


def core_rows(totals: Totals) -> list[Row]:
    """How far Vela's older core is from its default one: nothing closer than this is meaningful."""
    found = []
    for mode in MEMORY_MODES:
        gaps = [
            cycles[f"legacy/{mode}/{size}"] / cycles[f"regor/{mode}/{size}"] - 1
            for cycles in totals.values()
            for size in ACCELERATORS
        ]
        note = f"from {100 * min(gaps):+.1f} % to {100 * max(gaps):+.1f} %, {len(gaps)} cases"
        median = 100 * statistics.median(map(abs, gaps))
        found.append(
            Row(f"Vela legacy to regor, {mode}", "median deviation", median, "%", note=note)
        )
    return found


def our_rows(mode: str, totals: Totals, ours: dict[str, dict[str, int]]) -> list[Row]:
    """Deviation from Vela's default core over all networks, per size and overall."""
    theirs = {
        name: [totals[name][f"regor/{mode}/{size}"] for size in ACCELERATORS] for name in ours
    }
    ratios = {
        name: [cycles[size] / other for size, other in zip(ACCELERATORS, theirs[name], strict=True)]
        for name, cycles in ours.items()
    }
    found = []
    for place, size in enumerate(ACCELERATORS):
        gaps = [abs(row[place] - 1) for row in ratios.values()]
        median = 100 * statistics.median(gaps)
        found.append(Row(f"{size}, {mode}", "median deviation from Vela", median, "%", at_most=20))
    for name, row in ratios.items():
        worst = max(max(ratio, 1 / ratio) for ratio in row)
        note = "ours / Vela " + ", ".join(f"{ratio:.2f}" for ratio in row) + " (32, 64, 128, 256)"
        found.append(Row(f"{name}, {mode}", "largest factor", worst, "x", at_most=2, note=note))
    broken = sum(not same_trend(list(ours[name].values()), theirs[name]) for name in ours)
    found.append(
        Row(f"all networks, {mode}", "trend with MACs differs", broken, "networks", at_most=0)
    )
    return found


def same_trend(ours: list[int], theirs: list[float]) -> bool:
    """Whether both fall from size to size; a step below 2 % counts as level and fits either way."""
    for (a, b), (c, d) in zip(pairwise(ours), pairwise(theirs), strict=True):
        if (b / a - 1) * (d / c - 1) < 0 and abs(b / a - 1) > LEVEL and abs(d / c - 1) > LEVEL:
            return False
    return True
