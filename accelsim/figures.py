"""Schedule, plan and cost tables -> metrics, per-operator rows and chart data. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from accelsim.arch.parts import Accelerator
from accelsim.cost.area import AreaBreakdown
from accelsim.cost.energy import EnergyBreakdown
from accelsim.cost.kinds import CoreKind, kinds_bands, kinds_constants
from accelsim.cost.summary import energy_curves
from accelsim.execution import Execution
from accelsim.metrics import KNOWN, Metric
from accelsim.plan import MemoryPlan, Step
from accelsim.sim.exposure import Exposure, occupancy
from accelsim.sim.layers import WorkTotals, busiest, dataflows_of, work_totals
from accelsim.sim.summary import LayerRow
from accelsim.sim.trace import Trace
from accelsim.workload.graph import Role, Workload

STORED = (Role.WEIGHT, Role.BIAS)
"""Constants: they lie in DRAM before a run."""


@dataclass(frozen=True)
class Simulated:
    """One simulated design with everything that was derived from it."""

    workload: Workload
    accelerator: Accelerator
    """What all cores share of it (clock, backing memories) stands for the design; of several kinds
    of cores it is the one whose scratchpad is fullest, which ``plan`` tells the size of."""
    kinds: tuple[CoreKind, ...]
    """All cores, by kind."""
    plan: MemoryPlan
    schedule: Execution
    layers: tuple[LayerRow, ...]
    busy: Mapping[str, int]
    """Resource -> cycles for which it works."""
    exposures: tuple[Exposure, ...] | None
    """None for a schedule that is too large to be written out."""
    energy: EnergyBreakdown
    energy_by_step: Mapping[int, EnergyBreakdown]
    """Step of a row of ``layers`` -> its energy, without static and clock energy."""
    area: AreaBreakdown
    bounds_cycles: dict[str, int]
    """Lower bounds of the makespan by resource."""
    unprotected_cycles: int
    """Makespan of the same plan on the same machine without its protections."""
    batch: int = 1
    """Inferences that one run makes."""
    images: int = 1
    """Independent runs of the network among them, side by side on several cores."""
    speedup: float | None = None
    """Of several cores over the fastest one alone; None where that is not known."""

    @property
    def cycles(self) -> int:
        """Makespan in cycles."""
        return self.schedule.cycles

    @property
    def pes(self) -> int:
        """Processing elements of all cores."""
        return sum(kind.pes for kind in self.kinds)

    @property
    def several(self) -> bool:
        """Whether it ran as a system of cores (which may be one)."""
        return any(kind.joined for kind in self.kinds)

    @property
    def trace(self) -> Trace:
        """The schedule, one row per command; AccelsimError R504 where it is too large."""
        return self.schedule.trace


def metric(name: str, value: float | int | str, source: str) -> tuple[str, Metric]:
    """(name, exact metric) with the unit of the contract."""
    return name, Metric(value, KNOWN[name][0], source)


def simulation_metrics(done: Simulated) -> dict[str, Metric]:
    """Everything that is exact: no confidence bounds."""
    acc, plan, cycles = done.accelerator, done.plan, done.cycles
    did = work_totals(done.schedule.program)
    seconds = cycles / acc.clock_hz
    pes = done.pes
    macs = did.macs
    base_cycles = done.unprotected_cycles
    protection_area = sum(done.area.protection.values())
    return dict(
        [
            metric("latency.cycles", cycles, "sim"),
            metric("latency.seconds", seconds, "sim"),
            metric("throughput.inferences_per_s", done.batch / seconds, "sim"),
            metric("utilisation.mac", macs / (cycles * pes), "sim"),
            metric("bound.resource", busiest(done.busy), "sim"),
            *(
                metric(f"bound.{resource}_cycles", least, "sim")
                for resource, least in done.bounds_cycles.items()
            ),
            *([] if done.speedup is None else [metric("parallel.speedup", done.speedup, "sim")]),
            metric("macs.total", macs, "workload"),
            metric("energy.total_j", done.energy.total_j, "cost"),
            *_energy_metrics(done),
            metric("area.mm2", done.area.total_mm2, "cost"),
            metric("dram.read_bytes", did.dram_read, "sim"),
            metric("dram.write_bytes", did.dram_write, "sim"),
            *_level_metrics(acc, did),
            metric("sram.peak_bytes", plan.peak_bytes, "plan"),
            metric("sram.capacity_bytes", acc.scratchpad.bytes, "plan"),
            metric("sram.unallocated_bytes", acc.scratchpad.bytes - plan.peak_bytes, "plan"),
            metric("sram.lower_bound_bytes", plan.lower_bound_bytes, "plan"),
            *_weight_metrics(done),
            metric("plan.traffic_bytes", plan.traffic_bytes, "plan"),
            metric("plan.spill_bytes", plan.spill_bytes, "plan"),
            metric("plan.excess_bytes", excess_bytes(done.workload, plan, done.images), "plan"),
            metric("plan.proved", int(plan.proved), "plan"),
            metric(
                "protection.area_overhead",
                protection_area / (done.area.total_mm2 - protection_area),
                "cost",
            ),
            metric("protection.latency_overhead", cycles / base_cycles - 1, "sim"),
        ]
    )


def _weight_metrics(done: Simulated) -> list[tuple[str, Metric]]:
    """The weights' half of a split scratchpad."""
    own = done.accelerator.weight_sram
    if own is None:
        return []
    return [
        metric("sram.weight_peak_bytes", done.plan.weight_peak_bytes, "plan"),
        metric("sram.weight_capacity_bytes", own.bytes, "plan"),
    ]


def _level_metrics(accelerator: Accelerator, did: WorkTotals) -> list[tuple[str, Metric]]:
    """Traffic of memory levels, on machines that have any."""
    if not accelerator.levels:
        return []
    moved = did.levels.values()
    return [
        metric("levels.read_bytes", sum(read for read, _ in moved), "sim"),
        metric("levels.write_bytes", sum(written for _, written in moved), "sim"),
    ]


def _energy_metrics(done: Simulated) -> list[tuple[str, Metric]]:
    """Energy by level (they sum to the total), and the band of the total."""
    energy, bands = done.energy, kinds_bands(done.kinds)
    return [
        metric("energy.dram_j", energy.dram_j + energy.weight_memory_j, "cost"),
        metric("energy.sram_j", energy.levels()["on-chip memory"], "cost"),
        metric("energy.compute_j", energy.array_j + energy.vector_j, "cost"),
        metric("energy.registers_j", energy.registers_j + energy.noc_j, "cost"),
        metric("energy.clock_j", energy.clock_j, "cost"),
        metric("energy.static_j", energy.static_j, "cost"),
        metric("energy.low_j", bands.low_j, "cost"),
        metric("energy.high_j", bands.high_j, "cost"),
    ]


def compulsory_bytes(workload: Workload, images: int = 1) -> int:
    """DRAM bytes that no plan avoids: every weight and bias read once (of a table only the rows
    that are picked), and for each of ``images`` independent runs every graph input read once and
    every graph output written once."""
    made = (name for name in dict.fromkeys(workload.outputs) if name in workload.producer)
    written = sum(workload.tensors[name].bytes for name in made)
    least, inputs = workload.least_read_bytes, set(workload.inputs)
    read = sum(size * (images if name in inputs else 1) for name, size in least.items())
    return read + images * written


def excess_bytes(workload: Workload, plan: MemoryPlan, images: int = 1) -> int:
    """DRAM bytes of a plan beyond the compulsory ones; 0 also where a plan needs fewer, because a
    strided operator skips parts of its input."""
    return max(0, plan.traffic_bytes - compulsory_bytes(workload, images))


def layer_table(done: Simulated) -> tuple[dict[str, Any], ...]:
    """One row per operator in order of execution: times, traffic, energy, mapping, and the dataflow
    where the array has several. Static and clock energy belong to the makespan; every operator
    bears the part of its ``advance_cycles``."""
    ops = {op.name: op for op in done.workload.ops}
    steps = {step.op: step for step in done.plan.steps}
    arrays = {core: kind.machine.array for kind in done.kinds for core in kind.members}
    several = any(array.alternatives for array in arrays.values())
    flows = dataflows_of(done.schedule.program, arrays) if several else {}
    near = _level_columns(done)
    rows = []
    for row in done.layers:
        share = row.advance_cycles / done.cycles if done.cycles else 0.0
        energy = done.energy_by_step[row.step].with_share_of(done.energy, share)
        parts = energy.parts()
        rows.append(
            {
                **asdict(row),
                "kind": str(ops[row.op].kind),
                "mapping": steps[row.op].candidate.name,
                **({"dataflow": flows.get(row.op, "none")} if several else {}),
                **near.get(row.op, {}),
                **{f"energy_{name}_j": parts[name] for name in done.energy.shown()},
            }
        )
    return tuple(rows)


def _level_columns(done: Simulated) -> dict[str, dict[str, int]]:
    """Operator -> columns of its traffic with memory levels, on machines that have any."""
    found: dict[str, dict[str, int]] = {}
    if not done.accelerator.levels:
        return found
    for block in done.schedule.program.blocks:
        did = WorkTotals()
        did.add(block)
        for level in done.accelerator.levels:
            read, written = did.levels.get(level.name, (0, 0))
            mine = found.setdefault(block.op, {})
            mine[f"{level.name}_read_bytes"] = read
            mine[f"{level.name}_write_bytes"] = written
    return found


def plan_table(done: Simulated) -> dict[str, Any]:
    """The memory plan as JSON: order, residency, loads, stores, addresses."""
    plan, tensors = done.plan, done.workload.tensors
    steps = [
        {
            "op": step.op,
            "mapping": step.candidate.name,
            "cycles": step.candidate.cycles,
            "buffer_address": step.buffer_address,
            "buffer_bytes": step.candidate.buffer_bytes,
            "prefetch_bytes": step.candidate.prefetch_bytes,
            **(_weights_of(step) if done.accelerator.weight_sram else {}),
            "streamed": sorted(step.candidate.streamed),
            "loads": list(step.loads),
            "stores": list(step.stores),
            "resident": {
                name: {"address": address, "bytes": tensors[name].bytes}
                for name, address in (step.addresses or {}).items()
            },
        }
        for step in (() if done.several else plan.steps)  # addresses of one core
    ]
    return {
        "schema": "accelsim/plan/v1",
        "steps": steps,
        "capacity_bytes": done.accelerator.scratchpad.bytes,
        "peak_bytes": plan.peak_bytes,
        **_weight_totals(done),
        "lower_bound_bytes": plan.lower_bound_bytes,
        "traffic_bytes": plan.traffic_bytes,
        "spill_bytes": plan.spill_bytes,
        "cost": plan.cost,
        "cost_lower_bound": plan.cost_lower_bound,
        "objective": plan.objective,
        "proved": plan.proved,
        "status": plan.status,
        "solver": plan.solver,
        "notes": list(plan.notes),
        **({"homes": [asdict(home) for home in plan.homes]} if done.accelerator.levels else {}),
    }


def _weights_of(step: Step) -> dict[str, int]:
    """A step's buffers in the weight scratchpad; where its first weights may lie one step early."""
    candidate, low = step.candidate, step.weight_buffer_address
    early = candidate.weight_prefetch_bytes
    return {
        "weight_buffer_address": low,
        "weight_buffer_bytes": candidate.weight_buffer_bytes,
        "weight_prefetch_address": low + candidate.weight_buffer_bytes - early
        if step.weights_downward
        else low,
        "weight_prefetch_bytes": early,
    }


def _weight_totals(done: Simulated) -> dict[str, int]:
    own = done.accelerator.weight_sram
    if own is None:
        return {}
    return {
        "weight_capacity_bytes": own.bytes,
        "weight_peak_bytes": done.plan.weight_peak_bytes,
    }


def roofline(done: Simulated) -> dict[str, Any]:
    """Array operators as points (MACs per DRAM byte, MACs per cycle) under the machine's roof."""
    peak = done.pes
    points = []
    for row in done.layers:
        moved = row.dram_read_bytes + row.dram_write_bytes
        if row.macs and row.cycles:
            points.append(
                {
                    "op": row.op,
                    "macs_per_byte": row.macs / moved if moved else None,
                    "macs_per_cycle": row.utilisation * peak,
                    "bound": row.bound,
                }
            )
    return {
        "peak_macs_per_cycle": peak,
        "dram_bytes_per_cycle": float(done.accelerator.dram_bytes_per_cycle),
        "points": points,
    }


def chart_data(done: Simulated) -> dict[str, Any]:
    """curves.json: what the report draws besides the tables."""
    return {
        **live_bytes(done),
        "roofline": roofline(done),
        "busy": dict(done.busy),
        **energy_curves(done.energy, kinds_bands(done.kinds), kinds_constants(done.kinds)),
        "area": area_parts(done.area),
        "bounds": dict(done.bounds_cycles),
    }


def area_parts(area: AreaBreakdown) -> dict[str, float]:
    """mm2 of every block, and of what protects it; they sum to the total."""
    protections = {f"{name} protection": mm2 for name, mm2 in area.protection.items() if mm2}
    return {**area.blocks, **protections}


def live_bytes(done: Simulated) -> dict[str, Any]:
    """The curve of live scratchpad bytes (of both halves of a split one; of several cores, the
    fullest one's), where the schedule is written out."""
    flat, core = done.schedule.flat, _fullest(done)
    if flat is None:
        return {}
    found = {"occupancy": [list(point) for point in occupancy(flat, f"{core}scratchpad")]}
    weights = occupancy(flat, f"{core}weight_scratchpad")
    if weights:
        found["weight_occupancy"] = [list(point) for point in weights]
    return found


def _fullest(done: Simulated) -> str:
    """What the structures of the core that ``plan`` tells the size of begin with."""
    return next(
        (
            f"core{number}."
            for kind in done.kinds
            if kind.joined and kind.machine == done.accelerator
            for number, plan in zip(kind.members, kind.plans, strict=True)
            if plan.peak_bytes == done.plan.peak_bytes
        ),
        "",
    )


def exposure_table(exposures: tuple[Exposure, ...]) -> tuple[dict[str, Any], ...]:
    """exposure.csv: one row per tensor and structure."""
    return tuple(asdict(e) for e in exposures)


def accumulator_bytes_used(done: Simulated, kind: CoreKind) -> int:
    """Allocated part of the accumulator SRAM of all cores of a kind: in each the highest address of
    any accumulator tile."""
    highest = dict.fromkeys(kind.structures("accumulators"), 0)
    for value in done.trace.graph.values:
        if value.structure in highest:
            highest[value.structure] = max(highest[value.structure], value.address + value.bytes)
    return sum(highest.values())


def dram_tensors(workload: Workload, plan: MemoryPlan) -> tuple[str, ...]:
    """Tensors with a place in DRAM at any time, each once: weights and biases, graph inputs and
    outputs, and every activation that the plan streams, stores or loads and keeps in no level."""
    moved = {
        name
        for step in plan.steps
        for name in (*step.candidate.streamed, *step.loads, *step.stores)
    }
    moved -= {home.tensor for home in plan.homes}
    moved |= {*workload.inputs, *workload.outputs}
    return tuple(
        name for name, tensor in workload.tensors.items() if name in moved or tensor.role in STORED
    )
