"""The first sections: verdicts and key figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelsim import units
from accelsim.metrics import KNOWN, Metric
from accelsim.report.basis import LEGEND, asil_basis, cautions
from accelsim.report.page.blocks import (
    Block,
    Card,
    Cards,
    Facts,
    Note,
    Section,
    Table,
    Tile,
    Tiles,
    columns,
    num,
    word,
)
from accelsim.report.page.wording import (
    meaning,
    metric_interval,
    metric_value,
    number,
    unit_of,
)

if TYPE_CHECKING:
    from accelsim.record import RunRecord, VariantRecord
    from accelsim.verdict import Verdict

WORDS = {"pass": "met", "fail": "missed", "inconclusive": "undecided"}
SIGNS = {">=": "≥", "<=": "≤", "<": "<", ">": ">"}


def verdict_section(record: RunRecord) -> Section:
    """The verdict cards, failures first, below what a reader must know before trusting them; a
    sentence when the config states no targets."""
    verdicts, found = record.verdicts, cautions(record)
    blocks: list[Block] = []
    if found:
        legend = f"Marks of the base rates: {LEGEND}."
        blocks.append(Note("Not data of a product", (*found, legend), "banner"))
    if not verdicts:
        note = Note("No targets", ("The configuration states no targets: nothing was judged.",))
        return Section("sec-verdicts", "Verdicts", "Verdicts", blocks=(*blocks, note))
    rank = {"fail": 0, "inconclusive": 1, "pass": 2}
    order = sorted(verdicts, key=lambda v: (rank[v.outcome.value], not v.applicable))
    blocks.append(Cards(tuple(_card(v) for v in order)))
    basis = asil_basis(record)
    if basis:
        blocks.append(Note("What the ASIL verdicts rest on", basis))
    return Section(
        "sec-verdicts",
        "Verdicts",
        "Verdicts",
        "Each target judged on the unfavourable end of its confidence interval, at the confidence"
        " of its own metric; nothing is shared across targets.",
        tuple(blocks),
    )


def headline(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """(outcome, sentence) for the top of the page."""
    if not verdicts:
        return "none", "no targets stated"
    counts = {name: sum(v.outcome.value == name for v in verdicts) for name in WORDS}
    worst = next(name for name in ("fail", "inconclusive", "pass") if counts[name])
    parts = [f"{counts[name]} {WORDS[name]}" for name in ("fail", "inconclusive") if counts[name]]
    void = sum(not v.applicable for v in verdicts)
    if worst == "pass" and not void:
        return "pass", f"all {len(verdicts)} targets met"
    parts += [f"{void} not applicable"] if void else []
    met = sum(v.met for v in verdicts)
    return worst, f"{met} of {len(verdicts)} targets met, {', '.join(parts)}"


def _card(v: Verdict) -> Card:
    unit = unit_of(v.metric, v.unit) if v.quantity == v.metric else v.unit  # a ratio is no share
    limit = (
        f"{number(v.limit, unit, 6)} to {number(v.limit_high, unit, 6)}"
        if v.relation == "in"
        else f"{SIGNS.get(v.relation, v.relation)} {number(v.limit, unit, 6)}"
    )
    numbers = [("Value", number(v.value, unit, 6) if v.applicable else "n/a")]
    if v.bound != v.value:
        bound = "none stated" if v.bound is None else number(v.bound, unit, 6)
        numbers.append(("Judged bound", bound))
    numbers.append(("Required", limit))
    title = v.name if v.metric in v.name else f"{v.name}: {v.metric}"
    detail = _sentence(v.detail)
    return Card(v.outcome.value, title, v.variant, tuple(numbers), detail, v.location, v.applicable)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def key_figures(variant: VariantRecord) -> Section | None:
    """The figures most readers look for, the design they belong to, then all metrics."""
    metrics = variant.metrics
    if not metrics:
        return None
    found = [tile for tile in (make(metrics) for make in _TILES) if tile is not None]
    blocks: list[Block] = [Tiles(tuple(found))] if found else []
    blocks += [_design(variant.info), metric_table(metrics)]
    batch = variant.info.get("batch") or 1
    lead = "Of the base run, for one inference."
    if batch > 1:
        lead = f"Of the base run. Latency and energy are those of a whole batch of {batch}."
    return Section("sec-figures", "Key figures", "Key figures", lead, tuple(blocks))


def configuration_line(variant: VariantRecord) -> str:
    """Network and machine in a line."""
    info = variant.info
    clock = info.get("clock_hz")
    capacity = variant.metrics.get("sram.capacity_bytes")
    parts = [
        str(info.get("model") or ""),
        str(info.get("accelerator") or ""),
        str(info.get("array") or ""),
        units.human(clock, units.FREQUENCY) if clock else "",
        f"{number(capacity.value, 'B')} scratchpad" if capacity else "",
    ]
    return " · ".join(part for part in parts if part)


def _design(info: Mapping[str, Any]) -> Facts:
    guarded = sorted((info.get("protection") or {}).items())
    facts = [
        ("Network", f"{info.get('network')} ({info.get('model')})"),
        ("Operators", number(info.get("operators"))),
        ("Multiply-accumulates", number(info.get("macs"))),
        ("Weights and biases", number(info.get("weight_bytes"), "B")),
    ]
    if info.get("accelerator"):
        clock = info.get("clock_hz")
        facts += [
            ("Accelerator", str(info["accelerator"])),
            ("Array", str(info.get("array") or "–")),
            ("Clock", units.human(clock, units.FREQUENCY) if clock else "–"),
            ("Energy figures", str(info.get("energy_table") or "–")),
            ("Protection", ", ".join(f"{k}: {v}" for k, v in guarded) or "none"),
        ]
    return Facts("The design", tuple(facts))


def metric_table(metrics: Mapping[str, Metric]) -> Table:
    """Every metric of a variant with its interval, origin and meaning."""
    head = columns("Metric", "#Value", "Confidence interval", "From", "Meaning")
    rank = {name: i for i, name in enumerate(KNOWN)}
    order = sorted(metrics, key=lambda name: (rank.get(name.split("@")[0], len(rank)), name))
    rows = tuple(
        (
            word(name),
            num(metrics[name].value, metric_value(name, metrics[name], 6)),
            word(metric_interval(name, metrics[name])),
            word(metrics[name].source),
            word(meaning(name)),
        )
        for name in order
    )
    return Table(f"All {len(metrics)} metrics", head, rows, open=False)


def _shown(metrics: Mapping[str, Metric], name: str, digits: int = 4) -> str:
    return metric_value(name, metrics[name], digits)


def _latency(m: Mapping[str, Metric]) -> Tile | None:
    if "latency.seconds" not in m:
        return None
    sub = _shown(m, "latency.cycles") if "latency.cycles" in m else ""
    return Tile("Latency", _shown(m, "latency.seconds"), sub)


def _throughput(m: Mapping[str, Metric]) -> Tile | None:
    if "throughput.inferences_per_s" not in m:
        return None
    figure = number(m["throughput.inferences_per_s"].value)
    return Tile("Throughput", f"{figure} /s", "inferences, back to back")


def _utilisation(m: Mapping[str, Metric]) -> Tile | None:
    if "utilisation.mac" not in m:
        return None
    value = m["utilisation.mac"].value
    sub = f"{_shown(m, 'bound.resource')} is busy longest" if "bound.resource" in m else ""
    return Tile("Array utilisation", _shown(m, "utilisation.mac", 3), sub, _unit_interval(value))


def _energy(m: Mapping[str, Metric]) -> Tile | None:
    if "energy.total_j" not in m:
        return None
    sub = f"{_shown(m, 'energy.dram_j')} of it off-chip" if "energy.dram_j" in m else ""
    return Tile("Energy", _shown(m, "energy.total_j"), sub)


def _area(m: Mapping[str, Metric]) -> Tile | None:
    if "area.mm2" not in m:
        return None
    sub = ""
    if "protection.area_overhead" in m:
        sub = f"{_shown(m, 'protection.area_overhead', 3)} on top for protection"
    return Tile("Area", _shown(m, "area.mm2"), sub)


def _traffic(m: Mapping[str, Metric]) -> Tile | None:
    if "plan.traffic_bytes" not in m:
        return None
    sub = ""
    if "dram.read_bytes" in m and "dram.write_bytes" in m:
        sub = f"{_shown(m, 'dram.read_bytes')} read, {_shown(m, 'dram.write_bytes')} written"
    if "plan.excess_bytes" in m:
        excess = int(m["plan.excess_bytes"].value)
        least = int(m["plan.traffic_bytes"].value) - excess
        words = f"{number(excess, 'B')} beyond the compulsory {number(least, 'B')}"
        sub = f"{sub}; {words}" if sub else words
    return Tile("DRAM traffic", _shown(m, "plan.traffic_bytes"), sub)


def _scratchpad(m: Mapping[str, Metric]) -> Tile | None:
    if "sram.peak_bytes" not in m:
        return None
    sub, meter, mark = "", None, None
    if "sram.capacity_bytes" in m:
        capacity = float(m["sram.capacity_bytes"].value)
        sub = f"of {_shown(m, 'sram.capacity_bytes')}"
        meter = _unit_interval(float(m["sram.peak_bytes"].value) / capacity if capacity else 0)
        if "sram.lower_bound_bytes" in m and capacity:
            mark = _unit_interval(float(m["sram.lower_bound_bytes"].value) / capacity)
            sub += f"; at least {_shown(m, 'sram.lower_bound_bytes')} (tick)"
    return Tile("Scratchpad peak", _shown(m, "sram.peak_bytes"), sub, meter, mark)


def _weight_scratchpad(m: Mapping[str, Metric]) -> Tile | None:
    if "sram.weight_peak_bytes" not in m or "sram.weight_capacity_bytes" not in m:
        return None
    peak, capacity = (float(m[f"sram.weight_{name}_bytes"].value) for name in ("peak", "capacity"))
    sub = f"of {_shown(m, 'sram.weight_capacity_bytes')}"
    meter = _unit_interval(peak / capacity if capacity else 0)
    return Tile("Weight scratchpad peak", _shown(m, "sram.weight_peak_bytes"), sub, meter)


def _proved(m: Mapping[str, Metric]) -> Tile | None:
    if "plan.proved" not in m:
        return None
    if m["plan.proved"].value:
        return Tile("Memory plan", "optimal", "proved by the solver, in estimated cost")
    return Tile("Memory plan", "feasible", "not proved optimal")


def _accuracy(m: Mapping[str, Metric]) -> Tile | None:
    if "accuracy.fault_free" not in m:
        return None
    sub = ""
    if "accuracy.under_fault" in m:
        sub = f"{_shown(m, 'accuracy.under_fault')} under fault"
    return Tile("Accuracy", _shown(m, "accuracy.fault_free"), sub)


def _sdc(m: Mapping[str, Metric]) -> Tile | None:
    if "sdc.p" not in m:
        return None
    return Tile(
        "Upsets that change the answer", _shown(m, "sdc.p", 3), metric_interval("sdc.p", m["sdc.p"])
    )


def _pmhf(m: Mapping[str, Metric]) -> Tile | None:
    if "asil.pmhf_fit" not in m:
        return None
    sub = metric_interval("asil.pmhf_fit", m["asil.pmhf_fit"])
    return Tile("Undetected failures (PMHF)", _shown(m, "asil.pmhf_fit"), sub)


def _spfm(m: Mapping[str, Metric]) -> Tile | None:
    if "asil.spfm" not in m:
        return None
    sub = metric_interval("asil.spfm", m["asil.spfm"])
    return Tile("Faults covered or harmless (SPFM)", _shown(m, "asil.spfm", 5), sub)


_TILES = (
    _latency, _throughput, _utilisation, _energy, _area, _traffic, _scratchpad, _weight_scratchpad,
    _proved, _accuracy, _sdc, _pmhf, _spfm,
)  # fmt: skip


def _unit_interval(value: float | int | str) -> float:
    return min(1.0, max(0.0, float(value)))
