"""The summary of a run on a terminal: what was run, how fast, what it costs, is it safe, verdicts.

Names from files are shown as plain text: they never act as markup, nor steer the terminal.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.metrics import Metrics
from accelsim.printable import printable, printable_tree
from accelsim.record import RunRecord, VariantRecord
from accelsim.report.basis import asil_basis, cautions, fault_assumptions
from accelsim.report.console_parts import Facts, Show, grid, name, table, titled
from accelsim.report.console_safety import campaigns, fault_rates, safety
from accelsim.report.tables import number, percent, si, size
from accelsim.verdict import Outcome, Verdict, tally

TOP_LAYERS = 8
STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "bold yellow"}


def summary(record: RunRecord) -> Group:
    """The whole summary as one rich renderable, readable from 80 columns on, made for 100."""
    record = _shown(record)
    base = record.base
    parts = [
        header(record),
        performance(base),
        layers(base),
        variants(record),
        *campaigns(record),
        *fault_rates(record),
        *safety(record),
        notes(record),
        assumed(record),
        verdicts(record),
    ]
    return Group(*(part for part in parts if part is not None))


def _shown(record: RunRecord) -> RunRecord:
    """The parts of a record that the summary tells, every text in them printable: the one place
    that all names from files pass on their way to the terminal."""
    variants = {
        printable(title): VariantRecord(
            metrics=printable_tree(variant.metrics),
            layers=printable_tree(variant.layers),
            plan=printable_tree(variant.plan),
            fmeda=printable_tree(variant.fmeda),
            campaign=printable_tree(variant.campaign),
            info=printable_tree(variant.info),
        )
        for title, variant in record.variants.items()
    }
    verdicts = printable_tree(record.verdicts)
    return RunRecord(printable(record.name), "", printable(record.sha256), variants, verdicts)


NETWORK: Facts = (
    ("operators", lambda v: f"{v:,} operators"),
    ("macs", lambda v: f"{v:,} MACs per inference"),
    ("weight_bytes", lambda v: f"{size(v)} of weights"),
)


def header(record: RunRecord) -> RenderableType:
    """Run, network, machine, and the hash that names the configuration."""
    info = record.base.info
    lines = grid()
    network = [str(info.get("network", ""))]
    network += [show(info[key]) for key, show in NETWORK if info.get(key) is not None]
    if (info.get("batch") or 1) > 1:
        words = f"per batch of {info['batch']}"
        network = [line.replace("per inference", words) for line in network]
    lines.add_row("network", Text(", ".join(network)))
    if info.get("accelerator"):
        machine = [str(info["accelerator"]), str(info.get("array") or "")]
        if info.get("clock_hz"):
            machine.append(si(info["clock_hz"], "Hz"))
        lines.add_row("accelerator", Text(", ".join(part for part in machine if part)))
        protections = [f"{k} {v}" for k, v in sorted((info.get("protection") or {}).items())]
        active = [item for item in protections if not item.endswith(" none")]
        lines.add_row("protections", Text(", ".join(active) or "none"))
    lines.add_row("config", Text(f"sha256 {record.sha256[:16]}"))
    return Group(Text(record.name, style="bold"), lines)


PERFORMANCE: tuple[tuple[str, Facts], ...] = (
    (
        "latency",
        (
            ("latency.seconds", lambda v: si(v, "s")),
            ("latency.cycles", lambda v: f"{v:,} cycles"),
            ("throughput.inferences_per_s", lambda v: f"{number(v)} inferences/s back to back"),
        ),
    ),
    (
        "at least",
        (
            ("bound.compute_cycles", lambda v: f"{v:,} cycles for the MACs"),
            ("bound.vector_cycles", lambda v: f"{v:,} for element operations"),
            ("bound.dram_cycles", lambda v: f"{v:,} for DRAM traffic"),
            ("bound.weights_cycles", lambda v: f"{v:,} for the weights"),
        ),
    ),
    (
        "array",
        (
            ("utilisation.mac", lambda v: f"{percent(v)} of its peak MAC rate"),
            ("bound.resource", lambda v: f"busy longest: {v}"),
        ),
    ),
    (
        "cores",
        (
            ("parallel.speedup", lambda v: f"{number(v)} times as fast as the fastest one alone"),
            ("parallel.ideal_cycles", lambda v: f"{v:,} cycles without any loss"),
            ("parallel.fraction", lambda v: f"parallel fraction {percent(v)}"),
        ),
    ),
    (
        "energy",
        (
            ("energy.total_j", lambda v: f"{si(v, 'J')} in all"),
            ("energy.dram_j", lambda v: f"DRAM {si(v, 'J')}"),
            ("energy.sram_j", lambda v: f"on-chip memory {si(v, 'J')}"),
            ("energy.compute_j", lambda v: f"arithmetic {si(v, 'J')}"),
            ("energy.registers_j", lambda v: f"registers {si(v, 'J')}" if v else ""),
            ("energy.clock_j", lambda v: f"clock {si(v, 'J')}" if v else ""),
            ("energy.static_j", lambda v: f"leakage {si(v, 'J')}"),
        ),
    ),
    (
        "energy band",
        (
            ("energy.low_j", lambda v: f"{si(v, 'J')} with all constants at their lowest"),
            ("energy.high_j", lambda v: f"{si(v, 'J')} at their highest published figures"),
        ),
    ),
    (
        "area",
        (
            ("area.mm2", lambda v: f"{number(v)} mm²"),
            ("protection.area_overhead", lambda v: f"protections add {percent(v)} area"),
            ("protection.latency_overhead", lambda v: f"{percent(v)} cycles"),
        ),
    ),
    (
        "DRAM",
        (
            ("dram.read_bytes", lambda v: f"{size(v)} read"),
            ("dram.write_bytes", lambda v: f"{size(v)} written"),
        ),
    ),
    (
        "memory levels",
        (
            ("levels.read_bytes", lambda v: f"{size(v)} read"),
            ("levels.write_bytes", lambda v: f"{size(v)} written"),
        ),
    ),
    (
        "scratchpad",
        (
            ("sram.peak_bytes", lambda v: f"highest address in use {size(v)}"),
            ("sram.capacity_bytes", lambda v: f"capacity {size(v)}"),
            ("sram.lower_bound_bytes", lambda v: f"live at once at most {size(v)}"),
        ),
    ),
    (
        "weight scratchpad",
        (
            ("sram.weight_peak_bytes", lambda v: f"highest address in use {size(v)}"),
            ("sram.weight_capacity_bytes", lambda v: f"capacity {size(v)}"),
        ),
    ),
    (
        "memory plan",
        (
            (
                "plan.proved",
                lambda v: (
                    "proved optimal in estimated cost" if v else "feasible, not proved optimal"
                ),
            ),
            ("plan.traffic_bytes", lambda v: f"moves {size(v)} to and from DRAM"),
        ),
    ),
)
"""Line -> the metrics it tells, and how."""


def performance(variant: VariantRecord) -> RenderableType | None:
    """Speed, energy, memory and plan of the base run."""
    found = variant.metrics
    if "latency.cycles" not in found:
        return None
    lines = grid()
    for title, facts in PERFORMANCE:
        shown = [text for key, show in facts if key in found and (text := show(found[key].value))]
        shown += _excess(found) if title == "DRAM" else []
        if shown:
            lines.add_row(title, Text(", ".join(shown)))
    batch = variant.info.get("batch") or 1
    what = "one inference" if batch == 1 else f"one run of the network: a batch of {batch}"
    return titled(f"Performance of {what}", lines)


def _excess(metrics: Metrics) -> list[str]:
    """DRAM bytes that a better plan or a larger scratchpad could save."""
    if "plan.excess_bytes" not in metrics:
        return []
    excess = int(metrics["plan.excess_bytes"].value)
    least = int(metrics["plan.traffic_bytes"].value) - excess
    return [f"{size(excess)} beyond the compulsory {size(least)}"]


def layers(variant: VariantRecord) -> RenderableType | None:
    """The operators that hold up the inference longest."""
    if not variant.layers:
        return None
    total = sum(row.get("advance_cycles", 0) for row in variant.layers)
    top = sorted(variant.layers, key=lambda row: -row.get("advance_cycles", 0))[:TOP_LAYERS]
    flows = ("dataflow",) if any("dataflow" in row for row in top) else ()
    words = ("operator", "kind", *flows, "busiest")
    lines = table(words, ("cycles", "of latency", "MAC rate", "DRAM"))
    for row in top:
        advance = row.get("advance_cycles", 0)
        moved = row.get("dram_read_bytes", 0) + row.get("dram_write_bytes", 0)
        lines.add_row(
            name(row.get("op", ""), 36),
            name(row.get("kind", ""), 14),
            *(name(row.get(key, ""), 10) for key in flows),
            name(row.get("bound", ""), 10),
            f"{advance:,}",
            percent(advance / total) if total else "",
            percent(row["utilisation"]) if row.get("macs") else "-",
            size(moved),
        )
    return titled(f"Where the time goes: {len(top)} of {len(variant.layers)} operators", lines)


def variants(record: RunRecord) -> RenderableType | None:
    """Side by side what differs between simulated variants."""
    simulated = {n: v.metrics for n, v in record.variants.items() if "latency.cycles" in v.metrics}
    if len(simulated) < 2:
        return None
    columns: tuple[tuple[str, str, Show], ...] = (
        ("latency", "latency.seconds", lambda v: si(v, "s")),
        ("energy", "energy.total_j", lambda v: si(v, "J")),
        ("area mm²", "area.mm2", number),
        ("scratchpad", "sram.peak_bytes", size),
        ("SDC", "sdc.p", percent),
        ("SPFM", "asil.spfm", percent),
        ("LFM", "asil.lfm", percent),
        ("PMHF FIT", "asil.pmhf_fit", number),
    )
    used = [c for c in columns if any(c[1] in m for m in simulated.values())]
    lines = table(("variant",), [column[0] for column in used])
    for variant, metrics in simulated.items():
        cells = [show(metrics[key].value) if key in metrics else "-" for _, key, show in used]
        lines.add_row(name(variant, 24), *cells)
    return titled("Simulated variants", lines)


def notes(record: RunRecord) -> RenderableType | None:
    """What limits the figures: fallbacks, plans that were not proved, variants not simulated."""
    lines: dict[str, list[str]] = {}
    for title, variant in record.variants.items():
        fallbacks = variant.info.get("fallbacks") or ()
        said = [f"costed as element-wise work: {op}" for op in fallbacks]
        for part in (variant.info, variant.plan or {}, variant.campaign or {}):
            said += part.get("notes") or ()
        for line in said:
            lines.setdefault(str(line), []).append(title)
    if not lines:
        return None
    texts = [Text(f"{', '.join(names)}: {line}") for line, names in lines.items()]
    return titled("Notes", *texts)


def assumed(record: RunRecord) -> RenderableType | None:
    """What the figures on faults and the verdicts take for granted."""
    lines = grid()
    for sentence in fault_assumptions(record):
        lines.add_row("-", Text(sentence))
    return titled("Assumptions", lines) if lines.row_count else None


def verdicts(record: RunRecord) -> RenderableType:
    """Every target with what was judged, and what it rests on; those not met say why."""
    found = record.verdicts
    if not found:
        return titled("Targets", Text("none were set: nothing is judged"))
    lines = table(("", "target", "variant"), ("value", "judged on", "required"))
    reasons = []
    for v in found:
        lines.add_row(
            Text(v.outcome.upper(), style=STYLES[v.outcome])
            if v.applicable
            else Text("PASS (n/a)"),
            name(v.name, 40),
            name(v.variant, 14),
            _figure(v.value, v),
            "" if v.bound is None else _figure(v.bound, v),
            _limit(v),
        )
        if not v.met and v.detail:
            reasons.append(Text(f"{v.name} ({v.variant}): {v.detail}"))
    basis = [Text(line) for line in asil_basis(record)]
    basis += [Text(line, style="yellow") for line in cautions(record)]
    passed = all(v.outcome == Outcome.PASS for v in found)
    total = Text(tally(found), style="bold green" if passed else "bold red")
    return titled("Targets", lines, *reasons, *basis, total)


def _figure(value: float | None, verdict: Verdict) -> str:
    if value is None:
        return "not finite" if verdict.applicable else "n/a"
    if verdict.unit in ("s", "J"):
        return si(value, verdict.unit)
    if verdict.unit == "B":
        return size(value)
    unit = f" {verdict.unit}" if verdict.unit not in ("", "1") else ""
    whole = float(value).is_integer() and abs(value) < 1e15
    return f"{int(value):,}{unit}" if whole else f"{value:.4g}{unit}"


def _limit(verdict: Verdict) -> str:
    if verdict.limit_high is not None:
        return f"in [{_figure(verdict.limit, verdict)}, {_figure(verdict.limit_high, verdict)}]"
    return f"{verdict.relation} {_figure(verdict.limit, verdict)}"
