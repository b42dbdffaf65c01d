"""A run record with every part filled, made without config, solver or network."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from accelsim.metrics import KNOWN, Metric
from accelsim.sim.engine import simulate
from accelsim.sim.exposure import exposures, occupancy
from accelsim.sim.rle import dump_trace
from accelsim.sim.summary import busy_cycles, layer_rows
from accelsim.sim.trace import Trace
from accelsim.store import RunRecord, VariantRecord
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value
from accelsim.verdict import Outcome, Verdict

KIB = 1024
PES = 256
CAPACITY = 128 * KIB


class _Graph:
    """Builds a chain of layers: weights in, tiles on the array, then on the vector unit."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.values: list[Value] = []

    def value(self, structure: str, kind: str, tensor: str, op: str, size: int, at: int) -> int:
        self.values.append(Value(len(self.values), structure, kind, tensor, op, size, at))
        return len(self.values) - 1

    def task(self, op: str, step: int, tile: int, kind: TaskKind, on: tuple[str, ...],
             cycles: int, deps: tuple[int, ...], **more: Any) -> int:  # fmt: skip
        self.tasks.append(
            Task(len(self.tasks), op, step, tile, kind, on, cycles, tuple(sorted(deps)), **more)
        )
        return len(self.tasks) - 1


def trace_of(names: list[str], tiles: int, rng: np.random.Generator) -> Trace:
    """A simulated chain; the weights of a layer load while the layer before it computes."""
    g = _Graph()
    act = g.value("scratchpad", "activation", "input", "input", 12 * KIB, 0)
    last = g.task(names[0], 0, 0, TaskKind.RELOAD, ("dma.0", "dram"), 2000, (),
                  writes=(Access(act, 12 * KIB),), dram_read_bytes=12 * KIB)  # fmt: skip
    before = last
    for step, op in enumerate(names):
        weights = int(rng.integers(2, 40)) * KIB // 2
        w = g.value("scratchpad", "weight", f"{op}.weight", op, weights, 90 * KIB)
        load = g.task(op, step, 0, TaskKind.LOAD_WEIGHT, ("dma.1", "dram"),
                      60 + weights * 10 // 64, (before,), writes=(Access(w, weights),),
                      dram_read_bytes=weights)  # fmt: skip
        size = int(rng.integers(4, 24)) * KIB
        out = g.value("scratchpad", "activation", f"{op}.output", op, size, 45 * KIB * (step % 2))
        before = last
        for tile in range(tiles):
            acc = g.value("accumulators", "accumulator", f"{op}.output", op, 4 * KIB, 0)
            cycles = int(rng.integers(150, 900))
            matrix = g.task(op, step, tile, TaskKind.ARRAY, ("array",), cycles, (load, last),
                            reads=(Access(w, weights), Access(act, 4 * KIB)),
                            writes=(Access(acc, 4 * KIB, True),), macs=cycles * 180)  # fmt: skip
            last = g.task(op, step, tile, TaskKind.VECTOR, ("vector",), cycles // 3, (matrix,),
                          reads=(Access(acc, 4 * KIB),), writes=(Access(out, size // tiles),),
                          vector_ops=cycles)  # fmt: skip
        act = out
    g.task(names[-1], len(names) - 1, 0, TaskKind.SPILL, ("dma.0", "dram"), 120, (last,),
           reads=(Access(act, 64),), dram_write_bytes=64)  # fmt: skip
    graph = TaskGraph(
        tuple(g.tasks), tuple(g.values), ("array", "vector", "dma.0", "dma.1", "dram"), tuple(names)
    )
    return simulate(graph)


def plan_of(names: list[str]) -> dict[str, Any]:
    """A plan in which every third tensor stays for a skip connection and one is reloaded."""
    steps = []
    for i, name in enumerate(names):
        resident = {f"{name}.output": {"address": 32 * KIB * (i % 2), "bytes": 24 * KIB}}
        if i:
            resident[f"{names[i - 1]}.output"] = {
                "address": 32 * KIB * ((i - 1) % 2),
                "bytes": 24 * KIB,
            }
        if i % 3 == 2:
            resident[f"{names[i - 2]}.output"] = {"address": 64 * KIB, "bytes": 16 * KIB}
        steps.append(
            {
                "op": name,
                "mapping": f"resident/m256n16k{9 * (i + 1)}",
                "cycles": 3000,
                "buffer_address": (82 + 20 * (i % 2)) * KIB,
                "buffer_bytes": 18 * KIB,
                "prefetch_bytes": 6 * KIB,
                "loads": [f"{names[i - 2]}.output"] if i == 8 else [],
                "stores": [f"{names[i - 2]}.output"] if i == 7 else [],
                "resident": resident,
            }
        )
    return {
        "steps": steps, "peak_bytes": 120 * KIB, "lower_bound_bytes": 112 * KIB,
        "capacity_bytes": CAPACITY, "traffic_bytes": 290_304, "spill_bytes": 32 * KIB,
        "proved": False, "status": "feasible", "solver": "cpsat", "objective": "latency",
        "cost": 81_200, "cost_lower_bound": 79_900, "notes": ["stopped at the effort limit"],
    }  # fmt: skip


def estimate(mean: float, half: float, n: int) -> dict[str, Any]:
    """An interval as the campaign writes it."""
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return {"mean": mean, "lower": low, "upper": high, "confidence": 0.95, "n": n}


def upset_campaign(names: list[str]) -> dict[str, Any]:
    """Single upsets in three structures."""
    structures = [
        ("scratchpad.weight", 0.41, 0.0132, 0.004),
        ("scratchpad.activation", 0.52, 0.0021, 0.0019),
        ("accumulators", 0.07, 0.061, 0.021),
    ]
    return {
        "model": "resnet20_cifar10_int8.onnx", "format": "int8", "images": 1000,
        "accuracy_fault_free": 0.917, "faults": 2000, "sdc": estimate(0.0107, 0.003, 2000),
        "accuracy": estimate(0.9104, 0.004, 2000), "accuracy_worst": 0.0938, "rates": [],
        "self_test": "int32 reference equals ONNX Runtime in 21 of 21 layers", "notes": [],
        "structures": [
            {
                "structure": name, "share": share, "masked": 0.61, "sdc": estimate(p, half, 700),
                "by_tensor": {f"{op}.output": [10 + i, p * i / 9] for i, op in enumerate(names)},
            }
            for name, share, p, half in structures
        ],
    }  # fmt: skip


def rate_campaign(clip: str, loss: float) -> dict[str, Any]:
    """Fault maps on a float network."""
    rates = []
    for k, rate in enumerate((1e-7, 1e-6, 1e-5, 1e-4)):
        mean = 0.1 + 0.82 * math.exp(-loss * 10 ** (k - 2))
        rates.append(
            {
                "rate": rate, "clip": clip, "accuracy": estimate(mean, 0.02 + 0.01 * k, 60),
                "accuracy_worst": max(0.08, mean - 0.15 - 0.1 * k),
                "sdc": estimate(0.92 - mean, 0.02, 60), "nonfinite": 0.01 * k * (clip == "none"),
            }
        )  # fmt: skip
    return {
        "model": "resnet20_cifar10.onnx", "format": "float32", "images": 1000,
        "accuracy_fault_free": 0.926, "faults": 240, "sdc": None,
        "accuracy": rates[-1]["accuracy"], "accuracy_worst": 0.08, "structures": [],
        "rates": rates, "self_test": "", "notes": [],
    }  # fmt: skip


def fmeda_of() -> dict[str, Any]:
    """A table with every kind of row."""
    kinds = [
        ("scratchpad.weight", "SRAM", "transient", 412_000, 412.0, 0.61, 0.0172, "secded", 0.99),
        ("scratchpad.activation", "SRAM", "transient", 520_000, 520.0, 0.4, 0.004, "secded", 0.99),
        ("accumulators", "SRAM", "transient", 131_072, 131.0, 0.09, 0.082, "parity", 0.6),
        ("array.partial_sum", "flip-flop", "transient", 8192, 0.9, 0.7, 0.5, "none", 0.0),
        ("control", "flip-flop", "transient", 5632, 0.6, 1.0, 0.5, "none", 0.0),
        ("die", "logic", "permanent", 0, 4.0, 1.0, 1.0, "self_test", 0.9),
        ("ecc of the scratchpad", "mechanism", "permanent", 0, 0.3, 1.0, 1.0, "self_test", 0.9),
    ]
    rows = []
    for block, element, kind, bits, base, exposure, p, mechanism, coverage in kinds:
        dangerous = base * exposure * p
        left = dangerous * (1 - coverage)
        rows.append(
            {
                "block": block, "element": element, "fault_class": kind, "bits": bits,
                "base_fit": base, "exposure": exposure, "p_dangerous": p, "p_point": p * 0.8,
                "evidence": "measured" if bits > 1e5 else "assumed", "mechanism": mechanism,
                "coverage": coverage, "safe_fit": base - dangerous,
                "single_point_fit": left if mechanism == "none" else 0.0,
                "residual_fit": 0.0 if mechanism == "none" else left,
                "latent_fit": 0.1 * (dangerous - left) if kind == "permanent" else 0.0,
                "detected_fit": (dangerous - left) * (0.9 if kind == "permanent" else 1.0),
                "availability_fit": 0.2, "source": "example rate [E]; coverage: annex D, high",
            }
        )  # fmt: skip
    return {
        "rows": rows,
        "metrics": {
            "spfm": 0.99871, "spfm_transient": 0.9991, "spfm_permanent": 0.9072, "lfm": None,
            "pmhf_fit": 1.372, "pmhf_dual_point_fit": 0.0002, "raw_fit": 1068.8,
            "dangerous_fit": 12.3, "detected_fit": 10.9, "availability_fit": 1.4,
            "confidence": 0.95, "mission_hours": 10_000.0,
        },
    }  # fmt: skip


def metrics_of(trace: Trace, plan: dict[str, Any]) -> dict[str, Metric]:
    """The contract's names with plausible figures."""
    exact: dict[str, float | int | str] = {
        "latency.cycles": trace.cycles, "latency.seconds": trace.cycles / 5e8,
        "throughput.inferences_per_s": 5e8 / trace.cycles, "utilisation.mac": 0.6312,
        "bound.resource": "array", "macs.total": sum(t.macs for t in trace.graph.tasks),
        "energy.total_j": 4.61e-5, "energy.dram_j": 1.9e-5, "energy.sram_j": 9e-6,
        "energy.compute_j": 1.5e-5, "energy.static_j": 3.1e-6, "area.mm2": 2.318,
        "dram.read_bytes": 290_240, "dram.write_bytes": 64, "sram.peak_bytes": plan["peak_bytes"],
        "sram.capacity_bytes": CAPACITY, "sram.lower_bound_bytes": plan["lower_bound_bytes"],
        "plan.traffic_bytes": plan["traffic_bytes"], "plan.spill_bytes": plan["spill_bytes"],
        "plan.proved": 0, "accuracy.fault_free": 0.917, "sdc.faults": 2000, "asil.spfm": 0.99902,
        "asil.spfm_transient": 0.9993, "asil.spfm_permanent": 0.9072, "fit.raw": 1068.8,
        "protection.area_overhead": 0.1893, "protection.latency_overhead": 0.0121,
    }  # fmt: skip
    found = {name: Metric(value, KNOWN[name][0], "sim") for name, value in exact.items()}
    found["sdc.p"] = Metric(0.0107, "1", "campaign", 0.0077, 0.0137, 0.95, 2000)
    found["accuracy.under_fault"] = Metric(0.9104, "1", "campaign", 0.9064, 0.9144, 0.95, 2000)
    found["asil.pmhf_fit"] = Metric(1.1, "FIT", "fmeda", None, 1.372, 0.95)
    return found


def variant_of(names: list[str], tiles: int = 6, seed: int = 7) -> VariantRecord:
    """A simulated and injected variant."""
    rng = np.random.default_rng(seed)
    trace, plan = trace_of(names, tiles, rng), plan_of(names)
    shares = ("dram", "scratchpad", "accumulators", "array", "vector")
    layers = tuple(
        {
            **asdict(row), "kind": "conv", "mapping": plan["steps"][i]["mapping"],
            **{f"energy_{key}_j": 1e-6 * float(rng.random()) for key in shares},
            "energy_static_j": 0.0,
        }
        for i, row in enumerate(layer_rows(trace, pes=PES))
    )  # fmt: skip
    points = [
        {
            "op": row["op"],
            "macs_per_byte": row["macs"] / row["dram_read_bytes"] if i else None,
            "macs_per_cycle": row["macs"] / row["cycles"],
            "bound": row["bound"],
        }
        for i, row in enumerate(layers)
    ]
    curves = {
        "occupancy": [list(point) for point in occupancy(trace, "scratchpad")],
        "roofline": {"peak_macs_per_cycle": PES, "dram_bytes_per_cycle": 6.4, "points": points},
        "busy": busy_cycles(trace),
        "energy": {"dram": 1.9e-5, "scratchpad": 7e-6, "accumulators": 2e-6, "array": 1.2e-5,
                   "vector": 3e-6, "static": 3.1e-6},
        "area": {"array": 0.71, "scratchpad": 1.02, "vector": 0.11, "dma": 0.05,
                 "scratchpad protection": 0.22},
        "bounds": {"array": trace.cycles // 2, "vector": trace.cycles // 6,
                   "dram": trace.cycles // 3},
        "rates": [],
    }  # fmt: skip
    return VariantRecord(
        metrics=metrics_of(trace, plan),
        layers=layers,
        plan=plan,
        trace=dump_trace(trace),
        exposure=tuple(asdict(e) for e in exposures(trace)),
        fmeda=fmeda_of(),
        campaign=upset_campaign(names),
        faults=(),
        curves=curves,
        info={
            "network": "resnet20", "model": "resnet20_cifar10_int8.onnx", "operators": len(names),
            "macs": 40_813_184, "weight_bytes": 274_000, "fallbacks": ["/softmax (Softmax)"],
            "simulated": True, "accelerator": "edge_npu_16x16",
            "array": "16 x 16 ws, overlap full", "clock_hz": 500_000_000,
            "energy_table": "horowitz_45nm", "seed": 0, "confidence": 0.95,
            "protection": {"scratchpad": "secded", "accumulators": "parity"}, "notes": [],
        },
    )  # fmt: skip


def faults_only(clip: str, loss: float) -> VariantRecord:
    """A variant that was not simulated."""
    campaign = rate_campaign(clip, loss)
    metrics = {
        "accuracy.fault_free": Metric(0.926, "1", "campaign", n=1000),
        "accuracy.worst": Metric(0.08, "1", "campaign"),
    }
    return VariantRecord(
        metrics=metrics, layers=(), plan=None, trace=None, exposure=(), fmeda=None,
        campaign=campaign, faults=(), curves={"rates": campaign["rates"]},
        info={
            "network": "resnet20", "model": "resnet20_cifar10.onnx", "operators": 31,
            "macs": 40_813_184, "weight_bytes": 1_096_000, "fallbacks": [], "simulated": False,
            "seed": 0, "confidence": 0.95,
            "notes": ["faults only: this network is not simulated on the accelerator"],
        },
    )  # fmt: skip


def verdicts_of() -> tuple[Verdict, ...]:
    """One of each outcome and relation."""
    at = "configs/runs/quickstart.yaml"
    return (
        Verdict("latency.seconds", "latency.seconds", "base", Outcome.PASS, 0.000231, 0.000231,
                "<=", 0.02, None, "s", "The simulated latency is exact.", f"{at}:31:5"),
        Verdict("ASIL B: asil.spfm", "asil.spfm", "base", Outcome.PASS, 0.99902, 0.99871, ">=",
                0.9, None, "1", "Lower bound at 95 % confidence.", f"{at}:40:5"),
        Verdict("ASIL B: asil.pmhf_fit", "asil.pmhf_fit", "base", Outcome.FAIL, 11.0, 13.72, "<",
                10.0, None, "FIT", "The whole interval is above the limit.", f"{at}:40:5"),
        Verdict("accuracy.under_fault", "accuracy.under_fault", "fp32_zero", Outcome.INCONCLUSIVE,
                0.9104, 0.8964, ">=", 0.9, None, "1",
                "The interval [89.64 %, 92.44 %] holds the limit; about 4,300 faults would decide.",
                f"{at}:36:5"),
        Verdict("latency.cycles", "latency.cycles", "wide", Outcome.PASS, 0.53, 0.53, "in", 0.4,
                0.6, "1", "Relative to base.", f"{at}:44:5"),
    )  # fmt: skip


def names_of(count: int) -> list[str]:
    """Names as exporters write them."""
    return [
        f"/layer{i // 6 + 1}/layer{i // 6 + 1}.{i % 6 // 2}/conv{i % 2 + 1}/Conv"
        for i in range(count)
    ]


def record_of(
    names: list[str] | None = None, tiles: int = 6, name: str = "quickstart"
) -> RunRecord:
    """A record with a simulated base, a simulated variant and three faults-only variants."""
    ops = names or names_of(19)
    return RunRecord(
        name=name,
        config=json.dumps({"name": name, "workload": {"model": "resnet20_cifar10_int8.onnx"}}),
        sha256="4be1c0ffee" + "0" * 54,
        variants={
            "base": variant_of(ops, tiles),
            "wide": variant_of(ops, tiles, seed=8),
            "fp32_none": faults_only("none", 0.9),
            "fp32_saturate": faults_only("saturate", 0.2),
            "fp32_zero": faults_only("zero", 0.05),
        },
        verdicts=verdicts_of(),
        provenance={"accelsim": "0.1.0", "python": "3.11.9", "numpy": "2.3.1",
                    "created": "2026-01-01T00:00:00+00:00"},
    )  # fmt: skip
