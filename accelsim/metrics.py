"""The metrics contract: named values with unit, source and, where estimated, bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = "accelsim/metrics/v1"

KNOWN: dict[str, tuple[str, str]] = {
    "latency.cycles": ("cycles", "makespan of one run of the network: the whole batch"),
    "latency.seconds": ("s", "makespan of the whole batch over the clock"),
    "throughput.inferences_per_s": ("1/s", "runs back to back: workload.batch / latency.seconds"),
    "utilisation.mac": ("1", "MACs / (cycles x PEs)"),
    "bound.resource": ("", "the resource that is busy longest"),
    "bound.compute_cycles": ("cycles", "MACs / processing elements: no mapping is faster"),
    "bound.vector_cycles": ("cycles", "element operations / lanes: no mapping is faster"),
    "bound.dram_cycles": ("cycles", "compulsory DRAM bytes / bandwidth: no mapping is faster"),
    "bound.weights_cycles": ("cycles", "weights / bandwidth of their own memory"),
    "parallel.speedup": (
        "1",
        "latency on the fastest core alone / latency on all cores, both mapped in the same way",
    ),
    "parallel.ideal_cycles": (
        "cycles",
        "strategy dynamic: all tiles spread over the cores' speeds without any loss",
    ),
    "parallel.critical_path_cycles": (
        "cycles",
        "strategy dynamic: the longest chain of tiles on the fastest core",
    ),
    "parallel.karp_flatt": (
        "1",
        "strategy dynamic: serial fraction found by experiment, (1/S - 1/p) / (1 - 1/p)",
    ),
    "parallel.fraction": ("1", "strategy dynamic: 1 - parallel.karp_flatt"),
    "macs.total": ("MAC", "multiply-accumulates of the whole batch"),
    "energy.total_j": ("J", "sum of the energy components, for the whole batch"),
    "energy.dram_j": ("J", "off-chip transfers"),
    "energy.sram_j": ("J", "scratchpad, accumulator SRAM and memory levels"),
    "energy.compute_j": ("J", "arithmetic of array and vector unit"),
    "energy.registers_j": ("J", "registers and wires of the array, registers of the vector unit"),
    "energy.clock_j": ("J", "flip-flops that are clocked and keep their value"),
    "energy.static_j": ("J", "leakage over the makespan"),
    "energy.low_j": ("J", "energy.total_j with every constant at its lowest published figure"),
    "energy.high_j": ("J", "energy.total_j with every constant at its highest published figure"),
    "area.mm2": ("mm2", "logic and SRAM, protections included"),
    "dram.read_bytes": ("B", "bytes read from DRAM"),
    "dram.write_bytes": ("B", "bytes written to DRAM"),
    "levels.read_bytes": ("B", "bytes read from memory levels, copies to DRAM among them"),
    "levels.write_bytes": ("B", "bytes written to memory levels, copies from DRAM among them"),
    "sram.peak_bytes": ("B", "highest scratchpad address used"),
    "sram.capacity_bytes": ("B", "scratchpad size"),
    "sram.lower_bound_bytes": ("B", "largest sum of live bytes at any step"),
    "sram.unallocated_bytes": ("B", "scratchpad bytes that the plan never allocates"),
    "sram.weight_peak_bytes": ("B", "highest address used in the weight scratchpad of a split one"),
    "sram.weight_capacity_bytes": ("B", "weight scratchpad size"),
    "plan.traffic_bytes": ("B", "DRAM bytes that the memory plan implies"),
    "plan.spill_bytes": ("B", "spills and reloads among them"),
    "plan.excess_bytes": (
        "B",
        "DRAM bytes beyond every weight, input and output once: spills, reloads, streamed "
        "activations, refetches",
    ),
    "plan.proved": ("1", "1 when the solver proved the plan optimal"),
    "accuracy.fault_free": ("1", "top-1 of the network without faults on the evaluation set"),
    "accuracy.under_fault": ("1", "mean top-1 under the campaign's faults (highest rate)"),
    "accuracy.worst": ("1", "lowest top-1 of any fault or fault map"),
    "sdc.p": ("1", "probability that an upset of a live bit changes the top-1 of an image"),
    "sdc.faults": ("1", "faults injected"),
    "fit.raw": ("FIT", "raw upset rate of all safety-related structures"),
    "fit.dangerous": ("FIT", "dangerous rate before any mechanism"),
    "fit.detected": ("FIT", "dangerous rate that a mechanism detects or corrects"),
    "fit.availability": ("FIT", "faults reported but not corrected: the system stops"),
    "fit.false_alarm": ("FIT", "part of fit.availability that endangered nothing"),
    "asil.spfm": ("1", "single-point fault metric, transient and permanent"),
    "asil.spfm_transient": ("1", "single-point fault metric of transient faults"),
    "asil.spfm_permanent": ("1", "single-point fault metric of permanent faults"),
    "asil.lfm": ("1", "latent fault metric (permanent faults)"),
    "asil.pmhf_fit": ("FIT", "probabilistic metric for random hardware failures"),
    "asil.pmhf_measured_share": ("1", "share of the PMHF bound from injected (measured) rows"),
    "asil.pmhf_example_share": ("1", "share of the PMHF bound from example base rates (mark E)"),
    "protection.area_overhead": ("1", "area added by the protections / area without"),
    "protection.latency_overhead": ("1", "cycles added by the protections / cycles without"),
}
"""Metric name -> (unit, meaning). At a fault rate a name may carry a suffix: ``sdc.p@1e-05``."""


@dataclass(frozen=True)
class Metric:
    """One figure. ``lower`` and ``upper`` are confidence bounds where the value is an estimate."""

    value: float | int | str
    unit: str
    source: str
    """Stage that made it: ``sim``, ``plan``, ``cost``, ``campaign``, ``fmeda``, ``workload``."""
    lower: float | None = None
    upper: float | None = None
    confidence: float | None = None
    n: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the contract; absent bounds are left out."""
        extra = {
            key: getattr(self, key)
            for key in ("lower", "upper", "confidence", "n")
            if getattr(self, key) is not None
        }
        return {"value": self.value, "unit": self.unit, "source": self.source, **extra}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metric:
        """Inverse of :meth:`to_json`."""
        return cls(
            data["value"], data["unit"], data["source"],
            data.get("lower"), data.get("upper"), data.get("confidence"), data.get("n"),
        )  # fmt: skip


Metrics = Mapping[str, Metric]
