"""Fault campaigns and functional safety on a terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from accelsim.metrics import Metric
from accelsim.record import RunRecord, VariantRecord
from accelsim.report.basis import LEGEND
from accelsim.report.console_parts import Show, interval, name, table, titled
from accelsim.report.tables import Row, number, percent

ABREAST = 3
"""Variants side by side in the safety table."""

SAFETY: tuple[tuple[str, str, Show], ...] = (
    ("SPFM, all faults", "asil.spfm", percent),
    ("SPFM, transient faults", "asil.spfm_transient", percent),
    ("SPFM, permanent faults", "asil.spfm_permanent", percent),
    ("LFM, permanent faults", "asil.lfm", percent),
    ("PMHF in FIT", "asil.pmhf_fit", number),
    ("raw failure rate in FIT", "fit.raw", number),
    ("dangerous before coverage in FIT", "fit.dangerous", number),
    ("detected or corrected in FIT", "fit.detected", number),
    ("stops the system in FIT", "fit.availability", number),
    ("of it false alarms in FIT", "fit.false_alarm", number),
    ("PMHF bound from measured rows", "asil.pmhf_measured_share", percent),
    ("PMHF bound from example rates", "asil.pmhf_example_share", percent),
)
HIGH_IS_GOOD = ("asil.spfm", "asil.spfm_transient", "asil.spfm_permanent", "asil.lfm")
"""Judged on the lower bound; all others on the upper one."""


def campaigns(record: RunRecord) -> list[RenderableType]:
    """Outcome of single upsets, structure by structure, for every variant that injected them."""
    found = [
        _upsets(title, variant.campaign, variant.metrics.get("sdc.p"))
        for title, variant in record.variants.items()
        if variant.campaign and variant.campaign.get("structures")
    ]
    if found:
        text = (
            "answers changed: images whose top-1 class differs from the fault-free run; "
            "masked: upsets after which every output bit is as it was"
        )
        found.append(Text(text, style="dim"))
    return found


def _upsets(variant: str, campaign: Row, overall: Metric | None) -> RenderableType:
    level = percent(campaign["structures"][0]["sdc"]["confidence"])
    lines = table(("structure",), ("bits x time", "faults", f"answers changed [{level}]", "masked"))
    for row in campaign["structures"]:
        lines.add_row(
            name(row["structure"], 32),
            percent(row["share"]),
            f"{row['sdc']['n']:,}",
            interval(row["sdc"]),
            percent(row["masked"]),
        )
    if overall is not None:
        bounds = {"mean": overall.value, "lower": overall.lower, "upper": overall.upper}
        faults = f"{campaign['faults']:,}"
        lines.add_row("all, by bits x time", percent(1.0), faults, interval(bounds), "")
    title = f"Single upsets of stored bits: {variant}, {campaign['format']} network"
    return titled(title, lines)


def fault_rates(record: RunRecord) -> list[RenderableType]:
    """Accuracy under random bit flips in all weights; one table per number format."""
    formats: dict[str, list[tuple[str, Row]]] = {}
    for variant, found in record.variants.items():
        campaign = found.campaign or {}
        for row in campaign.get("rates") or ():
            formats.setdefault(str(campaign["format"]), []).append((variant, row))
    return [_rate_table(kind, rows) for kind, rows in formats.items()]


def _rate_table(kind: str, rows: list[tuple[str, Row]]) -> RenderableType:
    level = percent(rows[0][1]["accuracy"]["confidence"])
    figures = ("rate", "maps", f"accuracy [{level}]", "worst", "changed", "NaN/Inf")
    lines = table(("variant", "clipping"), figures)
    for variant, row in sorted(rows, key=lambda pair: pair[1]["rate"]):
        lines.add_row(
            name(variant, 24),
            name(row["clip"], 8),
            f"{row['rate']:g}",
            f"{row['accuracy']['n']:,}",
            interval(row["accuracy"]),
            percent(row["accuracy_worst"]),
            percent(row["sdc"]["mean"]),
            percent(row["nonfinite"]),
        )
    text = (
        "rate: probability that a stored bit is flipped; maps: draws of all flips; worst: the map "
        "with the lowest accuracy; changed: images whose top-1 class is not the fault-free one"
    )
    title = f"Top-1 accuracy under random flips of weight bits: {kind} network"
    return titled(title, lines, Text(text, style="dim"))


def safety(record: RunRecord) -> list[RenderableType]:
    """Hardware metrics of ISO 26262-5 for every variant that has them."""
    assessed = [(n, v) for n, v in record.variants.items() if v.fmeda is not None]
    parts = [assessed[i : i + ABREAST] for i in range(0, len(assessed), ABREAST)]
    tables = [_safety_table(part) for part in parts]
    return [*tables, Text(f"marks of the base rates: {LEGEND}", style="dim")] if tables else []


def _safety_table(assessed: list[tuple[str, VariantRecord]]) -> RenderableType:
    lines = table(("metric",), tuple(variant[:20] for variant, _ in assessed))
    for title, key, show in SAFETY:
        if any(key in v.metrics for _, v in assessed) or key in HIGH_IS_GOOD:
            lines.add_row(title, *(_bounded(key, v.metrics.get(key), show) for _, v in assessed))
    title = "Functional safety: ISO 26262-5 metrics (and the confidence bound that is judged)"
    return titled(title, lines)


def _bounded(key: str, metric: Metric | None, show: Show) -> str:
    if metric is None or isinstance(metric.value, str):
        return "n/a"
    bound = metric.lower if key in HIGH_IS_GOOD else metric.upper
    if bound is None or bound == metric.value:
        return show(metric.value)
    return f"{show(metric.value)} ({'>=' if key in HIGH_IS_GOOD else '<='} {show(bound)})"
