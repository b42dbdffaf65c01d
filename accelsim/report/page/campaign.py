"""Sections on fault injection: one campaign, and accuracy against fault rate over all variants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelsim.report.charts import campaign as charts
from accelsim.report.page.blocks import (
    Block,
    Charts,
    Facts,
    Note,
    Section,
    Table,
    columns,
    num,
    word,
)
from accelsim.report.page.variants import everyone
from accelsim.report.page.wording import number

if TYPE_CHECKING:
    from accelsim.record import RunRecord

Row = Mapping[str, Any]


def section(prefix: str, campaign: Row | None) -> Section | None:
    """What one campaign found; None without one."""
    if not campaign:
        return None
    blocks: list[Block] = [_campaign_facts(campaign)]
    structures = campaign.get("structures") or ()
    if structures:
        blocks.append(Charts((charts.outcomes(prefix, structures),)))
        blocks.append(_structure_table(structures))
        blocks.append(_tensor_table(structures))
    if campaign.get("rates"):
        blocks.append(rate_table(campaign["rates"]))
    if campaign.get("notes"):
        blocks.append(Note("Notes of the campaign", tuple(str(n) for n in campaign["notes"])))
    return Section(
        f"{prefix}-sec-campaign",
        "Campaign",
        "What upsets do: fault injection",
        "Faults injected into the network as it runs, drawn from the exposure above."
        if structures
        else "Faults injected into the stored weights of the network.",
        tuple(blocks),
    )


def _campaign_facts(campaign: Row) -> Facts:
    facts = [
        ("Network", re.split(r"[/\\]", str(campaign["model"]))[-1]),
        ("Number format", str(campaign["format"])),
        ("Evaluation images", number(campaign["images"])),
        ("Accuracy without faults", number(campaign["accuracy_fault_free"], "%")),
        ("Faults injected", number(campaign["faults"])),
    ]
    if campaign.get("sdc"):
        facts.append(("Silent data corruption", estimate(campaign["sdc"])))
    if campaign.get("accuracy"):
        facts.append(("Accuracy under fault", estimate(campaign["accuracy"])))
    if campaign.get("accuracy_worst") is not None:
        facts.append(
            ("Worst of the faults tried (no bound)", number(campaign["accuracy_worst"], "%"))
        )
    if campaign.get("self_test"):
        facts.append(("Arithmetic check", str(campaign["self_test"])))
    return Facts("Campaign", tuple(facts))


def estimate(value: Row) -> str:
    """``0.83 % [0.71 %, 0.97 %] at 95 %, n = 4,000``."""
    at = f" at {100 * value['confidence']:g} %" if value.get("confidence") is not None else ""
    size = f", n = {value['n']:,}" if value.get("n") is not None else ""
    low, high = number(value["lower"], "%", 3), number(value["upper"], "%", 3)
    return f"{number(value['mean'], '%')} [{low}, {high}]{at}{size}"


def _structure_table(structures: Sequence[Row]) -> Table:
    head = columns(
        "Structure", ("#Share of exposure", "how often a random upset strikes here"), "#Faults",
        ("#Changes the answer", "top-1 differs from the fault-free run (SDC)"),
        ("#Lower bound", "of the confidence interval"),
        ("#Upper bound", "of the confidence interval; used for the failure rates"),
        ("#No effect at all", "all outputs equal to the bit"),
    )  # fmt: skip
    rows = tuple(
        (
            word(s["structure"]),
            num(s["share"], number(s["share"], "%")),
            num(s["sdc"]["n"], number(s["sdc"]["n"])),
            num(s["sdc"]["mean"], number(s["sdc"]["mean"], "%")),
            num(s["sdc"]["lower"], number(s["sdc"]["lower"], "%")),
            num(s["sdc"]["upper"], number(s["sdc"]["upper"], "%")),
            num(s["masked"], number(s["masked"], "%")),
        )
        for s in sorted(structures, key=lambda s: (-s["share"], s["structure"]))
    )
    return Table("Outcome by structure", head, rows)


def _tensor_table(structures: Sequence[Row]) -> Table:
    head = columns("Structure", "Tensor", "#Faults", "#Changes the answer")
    found = [
        (str(s["structure"]), str(name), int(pair[0]), float(pair[1]))
        for s in structures
        for name, pair in (s.get("by_tensor") or {}).items()
    ]
    rows = tuple(
        (word(s), word(name), num(count, number(count)), num(mean, number(mean, "%")))
        for s, name, count, mean in sorted(found, key=lambda r: (-r[3] * r[2], r[0], r[1]))
    )
    return Table(
        "Outcome by tensor",
        head,
        rows,
        caption="Most harm first. Few faults per tensor: read as a hint, not as a measurement.",
        open=False,
    )


def rate_table(rates: Sequence[Row]) -> Table:
    """Outcome of the fault maps at every rate."""
    head = columns(
        "#Rate per bit", "Clip", "#Mean accuracy", "#Lower bound", "#Upper bound", "#Worst map",
        ("#Changes the answer", "top-1 differs from the fault-free run"),
        ("#NaN or Inf", "share of (map, image) pairs with a non-finite output"), "#Maps",
    )  # fmt: skip
    rows = tuple(
        (
            num(r["rate"], f"{r['rate']:g}"),
            word(r["clip"]),
            num(r["accuracy"]["mean"], number(r["accuracy"]["mean"], "%")),
            num(r["accuracy"]["lower"], number(r["accuracy"]["lower"], "%")),
            num(r["accuracy"]["upper"], number(r["accuracy"]["upper"], "%")),
            num(r["accuracy_worst"], number(r["accuracy_worst"], "%")),
            num(r["sdc"]["mean"], number(r["sdc"]["mean"], "%")),
            num(r["nonfinite"], number(r["nonfinite"], "%")),
            num(r["accuracy"]["n"], number(r["accuracy"]["n"])),
        )
        for r in rates
    )
    return Table("Outcome by fault rate", head, rows)


def rates_section(record: RunRecord) -> Section | None:
    """Accuracy against fault rate over all variants, one chart per number format."""
    groups: dict[str, list[tuple[str, Row]]] = {}
    for name, variant in everyone(record):
        if variant.campaign and variant.campaign.get("rates"):
            groups.setdefault(str(variant.campaign["format"]), []).append((name, variant.campaign))
    if not groups:
        return None
    blocks: list[Block] = []
    for fmt, runs in sorted(groups.items()):
        blocks.append(Charts((charts.accuracy_curves("all", fmt, runs),)))
        blocks.append(_comparison(fmt, runs))
    return Section(
        "sec-rates",
        "Fault rates",
        "Accuracy against fault rate",
        "How accuracy falls when every stored weight bit may flip, and what clipping saves.",
        tuple(blocks),
    )


def _comparison(fmt: str, runs: Sequence[tuple[str, Row]]) -> Table:
    head = columns(
        "Variant", "Clip", "#Rate per bit", "#Mean accuracy", "#Lower bound", "#Upper bound",
        "#Worst map", ("#NaN or Inf", "share of (map, image) pairs"), "#Maps",
    )  # fmt: skip
    rows = tuple(
        (
            word(name),
            word(r["clip"]),
            num(r["rate"], f"{r['rate']:g}"),
            num(r["accuracy"]["mean"], number(r["accuracy"]["mean"], "%")),
            num(r["accuracy"]["lower"], number(r["accuracy"]["lower"], "%")),
            num(r["accuracy"]["upper"], number(r["accuracy"]["upper"], "%")),
            num(r["accuracy_worst"], number(r["accuracy_worst"], "%")),
            num(r["nonfinite"], number(r["nonfinite"], "%")),
            num(r["accuracy"]["n"], number(r["accuracy"]["n"])),
        )
        for name, campaign in runs
        for r in campaign["rates"]
    )
    return Table(f"Accuracy under fault maps, {fmt}", head, rows)
