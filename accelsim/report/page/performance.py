"""Sections on the simulated inference of one variant: time, memory, layers, energy, area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelsim.report.charts import memory, performance
from accelsim.report.charts.style import Chart
from accelsim.report.charts.timeline import timeline
from accelsim.report.page.blocks import (
    Block,
    Cell,
    Charts,
    Facts,
    Note,
    Section,
    Table,
    columns,
    num,
    word,
)
from accelsim.report.page.wording import number

if TYPE_CHECKING:
    from accelsim.record import VariantRecord

Row = Mapping[str, Any]

WEIGHTS = "weight scratchpad"
"""What charts call the weights' half of a split scratchpad."""

LEADS = {
    "timeline": "Who works when during one inference, from the simulated schedule.",
    "memory": "What the plan keeps on chip, where, and how full the scratchpad gets.",
    "time": "What limits the latency, overall and layer by layer.",
    "energy": "Where the joules of one inference and the square millimetres go.",
    "layers": "Figures of every operator; click a column to sort by it.",
}
TITLES = {
    "timeline": ("Timeline", "Timeline"),
    "memory": ("Memory", "Scratchpad"),
    "time": ("Cycles", "Where the cycles go"),
    "energy": ("Energy", "Where energy and area go"),
    "layers": ("Layers", "Layers"),
}


def sections(prefix: str, variant: VariantRecord) -> list[Section]:
    """The performance chapters of a variant; those without data are left out."""
    made: dict[str, list[Block]] = {
        "timeline": _timeline(prefix, variant),
        "memory": _memory(prefix, variant),
        "time": _time(prefix, variant),
        "energy": _energy(prefix, variant),
        "layers": [_layer_table(variant.layers)] if variant.layers else [],
    }
    return [
        Section(f"{prefix}-sec-{key}", *TITLES[key], LEADS[key], tuple(blocks))
        for key, blocks in made.items()
        if blocks
    ]


def makespan(variant: VariantRecord) -> int:
    """``latency.cycles`` of the variant; 0 when it was not simulated."""
    metric = variant.metrics.get("latency.cycles")
    return int(metric.value) if metric is not None else 0


def _timeline(prefix: str, variant: VariantRecord) -> list[Block]:
    if variant.trace is None:
        return []
    from accelsim.sim.trace_file import read_trace

    trace = read_trace(variant.trace)
    return [Charts((timeline(prefix, trace, variant.curves.get("busy") or {}),))]


def _memory(prefix: str, variant: VariantRecord) -> list[Block]:
    plan, curve = variant.plan, variant.curves.get("occupancy")
    blocks: list[Block] = []
    if plan and plan["steps"]:
        blocks += [_plan_facts(plan), Charts((memory.memory_map(prefix, plan),))]
    if curve:
        capacity = int(plan["capacity_bytes"]) if plan else None
        blocks.append(Charts((memory.occupancy(prefix, curve, capacity),)))
    blocks += _weight_memory(prefix, variant)
    if plan and plan["steps"]:
        blocks.append(_plan_table(plan["steps"]))
    return blocks


def _weight_memory(prefix: str, variant: VariantRecord) -> list[Block]:
    """Map and curve of the weights' half of a split scratchpad."""
    weights = memory.weights_of(variant.plan) if variant.plan else None
    if weights is None:
        return []
    blocks: list[Block] = []
    if weights["steps"]:
        blocks.append(Charts((memory.memory_map(prefix, weights, WEIGHTS),)))
    if curve := variant.curves.get("weight_occupancy"):
        capacity = int(weights["capacity_bytes"])
        blocks.append(Charts((memory.occupancy(prefix, curve, capacity, WEIGHTS),)))
    return blocks


def _plan_facts(plan: Mapping[str, Any]) -> Facts:
    proof = (
        "yes: no plan of the offered mappings is cheaper"
        if plan["proved"]
        else f"no: at least {number(plan['cost_lower_bound'])} is needed, "
        f"{number(plan['cost'])} was found"
    )
    facts = [
        ("Peak address", number(plan["peak_bytes"], "B")),
        ("Lower bound for this order", number(plan["lower_bound_bytes"], "B")),
        ("Capacity", number(plan["capacity_bytes"], "B")),
        *_weight_facts(plan),
        ("DRAM traffic of the plan", number(plan["traffic_bytes"], "B")),
        ("Minimised", str(plan["objective"])),
        ("Proved optimal", proof),
        ("Solver", f"{plan['solver']} ({plan['status']})"),
    ]
    facts += [("Note", str(note)) for note in plan.get("notes") or ()]
    return Facts("Memory plan", tuple(facts))


def _weight_facts(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    if plan.get("weight_capacity_bytes") is None:
        return []
    return [
        ("Peak address of the weight scratchpad", number(plan.get("weight_peak_bytes") or 0, "B")),
        ("Its capacity", number(plan["weight_capacity_bytes"], "B")),
    ]


def _plan_table(steps: Sequence[Row]) -> Table:
    split = any(step.get("weight_buffer_bytes") is not None for step in steps)
    head = columns(
        "Operator", "#Step", ("Mapping", "tiling chosen for the operator"), "#Tile buffers",
        "#Prefetched", *(("#Weight buffers", "#Weights early") if split else ()), "Brought in",
        "Written out", "Resident at address",
    )  # fmt: skip
    rows = tuple(
        (
            word(step["op"]),
            num(i, str(i)),
            word(step["mapping"]),
            num(step["buffer_bytes"], number(step["buffer_bytes"], "B")),
            num(step["prefetch_bytes"], number(step["prefetch_bytes"], "B")),
            *(_weight_cells(step) if split else ()),
            word(", ".join(step.get("loads") or ())),
            word(", ".join(step.get("stores") or ())),
            word(_residents(step.get("resident") or {})),
        )
        for i, step in enumerate(steps)
    )
    return Table("The plan, step by step", head, rows, open=False)


def _weight_cells(step: Row) -> list[Cell]:
    found = [step.get(f"weight_{name}") or 0 for name in ("buffer_bytes", "prefetch_bytes")]
    return [num(size, number(size, "B")) for size in found]


def _residents(resident: Mapping[str, Row]) -> str:
    order = sorted(resident.items(), key=lambda item: (item[1]["address"], item[0]))
    return ", ".join(f"{name} @{slot['address']:,}" for name, slot in order)


def _time(prefix: str, variant: VariantRecord) -> list[Block]:
    curves, cycles = variant.curves, makespan(variant)
    overall: list[Chart] = []
    if curves.get("bounds"):
        overall.append(performance.limits(prefix, curves["bounds"], cycles))
    if curves.get("busy"):
        overall.append(performance.busy(prefix, curves["busy"], cycles))
    blocks: list[Block] = [Charts(tuple(overall))] if overall else []
    if variant.layers:
        blocks.append(Charts((performance.layer_cycles(prefix, variant.layers),)))
    roof = curves.get("roofline")
    if roof and roof["points"]:
        blocks.append(Charts((performance.roofline(prefix, roof),)))
    return blocks


def _energy(prefix: str, variant: VariantRecord) -> list[Block]:
    curves = variant.curves
    charts = [
        _joules(prefix, "energy", "Energy by component", curves.get("energy"),
                "Energy of one run; array and vector are arithmetic, static is leakage over the "
                "latency.", performance.ENERGY_COLOURS),
        _joules(prefix, "energy-levels", "Energy by level", curves.get("energy_levels"),
                "The same total by level of the machine, from off-chip memory to leakage.",
                performance.LEVEL_COLOURS),
        _joules(prefix, "leakage", "Leakage by block", curves.get("energy_leakage"),
                "Static energy by block: its area times its leakage per area."),
    ]  # fmt: skip
    if area := curves.get("area"):
        caption = "Silicon by block, protections included; DRAM is another chip."
        charts.append(performance.shares(prefix, "area", "Area by block", area, "mm²", caption))
    shown = [chart for chart in charts if chart is not None]
    blocks: list[Block] = [Charts(tuple(shown[i : i + 2])) for i in range(0, len(shown), 2)]
    if any("energy_dram_j" in row for row in variant.layers):
        blocks.append(Charts((performance.layer_energy(prefix, variant.layers),)))
    if bands := curves.get("energy_bands"):
        blocks += [Charts((performance.bands(prefix, bands),)), _ranking(bands)]
    if constants := curves.get("energy_constants"):
        blocks.append(_constants(constants))
    return blocks


def _joules(
    prefix: str,
    id: str,
    title: str,
    parts: Mapping[str, float] | None,
    caption: str,
    colours: Mapping[str, str] | None = None,
) -> Chart | None:
    """A breakdown in microjoules; None when there is nothing to break down."""
    if not parts:
        return None
    micro = {name: 1e6 * joules for name, joules in parts.items()}
    return performance.shares(prefix, id, title, micro, "µJ", caption, colours)


def _ranking(bands: Row) -> Table:
    head = columns(
        "Constant", ("#Share", "part of the total energy that is proportional to it"),
        ("#Lowest", "total energy with this constant at its lowest published figure"),
        ("#Highest", "total energy with this constant at its highest published figure"),
    )  # fmt: skip
    rows = tuple(
        (
            word(row["constant"]),
            num(row["share"], number(row["share"], "%", 3)),
            num(row["low"], number(row["low"], "J")),
            num(row["high"], number(row["high"], "J")),
        )
        for row in bands["ranking"]
    )
    caption = (
        f"All constants together: {number(bands['low'], 'J')} to {number(bands['high'], 'J')};"
        " equal ends mean that only one public figure was found."
    )
    return Table("Which constant matters most", head, rows, caption, open=False)


def _constants(found: Sequence[Row]) -> Table:
    head = columns(
        "Constant", "#Value", "#Lowest", "#Highest", "Unit", "#Node",
        ("Mark", "S read in a public source, R recalled, D derived, E assumed"),
        "Source", "Of the spread",
    )  # fmt: skip
    rows = tuple(
        (
            word(row["name"]),
            *(_figure(row[key]) for key in ("value", "low", "high")),
            word(row["unit"]),
            num(row["node_nm"], f"{row['node_nm']} nm" if row["node_nm"] else ""),
            word(row["confidence"]),
            word(row["source"]),
            word(row["spread"]),
        )
        for row in found
    )
    return Table("Energy constants and their sources", head, rows, open=False)


def _figure(value: float | None) -> Cell:
    return num(value, "" if value is None else f"{value:.4g}")


def _layer_table(rows: Sequence[Row]) -> Table:
    flows = [("Dataflow", "chosen for the operator")] if _several_dataflows(rows) else []
    head = columns(
        "Operator", "#Step", "Kind", ("Mapping", "tiling chosen for the operator"), *flows,
        ("#Cycles", "how far the layer moves the end of the run; sums to the latency"),
        ("#Stalled", "of these cycles: neither array nor vector unit works"),
        ("#Span", "first to last task, prefetching included"),
        ("Bound by", "the resource that the layer keeps busy longest"),
        ("#Utilisation", "MACs / (span x processing elements)"),
        "#MACs", "#DRAM in", "#DRAM out",
        ("#Energy", "all components; leakage and clock by the cycles of the layer"),
    )  # fmt: skip
    cells = tuple(_layer_row(row, with_dataflow=bool(flows)) for row in rows)
    return Table("Operators in order of execution", head, cells, open=True)


def _several_dataflows(rows: Sequence[Row]) -> bool:
    """Whether the array had a choice: only then do the rows say what it was."""
    return any("dataflow" in row for row in rows)


def _layer_row(row: Row, *, with_dataflow: bool) -> tuple[Any, ...]:
    parts = [row.get(f"energy_{key}_j") for key in performance.energy_keys((row,))]
    known = [part for part in parts if part is not None]
    energy = sum(known) if known else None
    return (
        word(row["op"]),
        num(row["step"], str(row["step"])),
        word(row.get("kind")),
        word(row.get("mapping")),
        *([word(row.get("dataflow"))] if with_dataflow else []),
        num(row["advance_cycles"], number(row["advance_cycles"])),
        num(row["stall_cycles"], number(row["stall_cycles"])),
        num(row["cycles"], number(row["cycles"])),
        word(row["bound"]),
        num(row["utilisation"], number(row["utilisation"], "%", 3)),
        num(row["macs"], number(row["macs"])),
        num(row["dram_read_bytes"], number(row["dram_read_bytes"], "B")),
        num(row["dram_write_bytes"], number(row["dram_write_bytes"], "B")),
        num(energy, number(energy, "J")),
    )


def missing(variant: VariantRecord) -> Note | None:
    """A sentence in place of the chapters that a run without a simulation lacks."""
    if variant.layers or variant.plan or variant.trace is not None:
        return None
    line = (
        "The base run was not simulated (simulate: false): it has no timeline, memory plan, energy"
        " or failure-rate analysis. See the variants for those that were."
    )
    return Note("Not simulated", (line,))
