"""The section on failure rates: ISO 26262 metrics and the table they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.metrics import Metric
from accelsim.report.basis import LEGEND, mark_of
from accelsim.report.charts import fmeda as charts
from accelsim.report.page.blocks import (
    Block,
    Cell,
    Charts,
    Note,
    Section,
    Table,
    columns,
    num,
    word,
)
from accelsim.report.page.wording import number
from accelsim.verdict import ASIL_LIMITS

Row = Mapping[str, Any]

ASIL_ROWS = (
    ("spfm", "asil.spfm", "SPFM, all faults", "%"),
    ("spfm_transient", "asil.spfm_transient", "SPFM, transient faults", "%"),
    ("spfm_permanent", "asil.spfm_permanent", "SPFM, permanent faults", "%"),
    ("lfm", "asil.lfm", "LFM (permanent faults)", "%"),
    ("pmhf_fit", "asil.pmhf_fit", "PMHF", "FIT"),
    ("pmhf_dual_point_fit", "", "of it: two faults together", "FIT"),
    ("pmhf_measured_share", "asil.pmhf_measured_share", "of its bound: measured rows", "%"),
    ("pmhf_example_share", "asil.pmhf_example_share", "of its bound: example rates (E)", "%"),
    ("raw_fit", "fit.raw", "Raw rate of all safety-related hardware", "FIT"),
    ("dangerous_fit", "fit.dangerous", "Dangerous before any mechanism", "FIT"),
    ("detected_fit", "fit.detected", "Dangerous, but detected or corrected", "FIT"),
    ("availability_fit", "fit.availability", "Reported, not corrected: the system stops", "FIT"),
    ("false_alarm_fit", "fit.false_alarm", "of it: false alarms", "FIT"),
)
"""Key in the FMEDA, metric, label and unit."""


def limits(key: str) -> tuple[str, ...]:
    """The limits on a metric for every ASIL, in the order of :data:`ASIL_LIMITS`; empty texts for
    a metric that has none."""
    place = {"spfm": 0, "spfm_transient": 0, "spfm_permanent": 0, "lfm": 1, "pmhf_fit": 2}.get(key)
    if place is None:
        return ("",) * len(ASIL_LIMITS)
    sign, unit = ("<", "FIT") if place == 2 else ("≥", "%")
    return tuple(f"{sign} {number(row[place], unit)}" for row in ASIL_LIMITS.values())


def section(prefix: str, fmeda: Row | None, figures: Mapping[str, Metric]) -> Section | None:
    """Metrics, charts and table of the FMEDA; None without one.

    ``figures``: the variant's metrics, for the point estimates beside the bounds.
    """
    if not fmeda:
        return None
    rows, metrics = fmeda["rows"], fmeda["metrics"]
    drawn = [
        charts.dangerous_rates(prefix, rows),
        charts.failure_rates(prefix, rows),
    ]
    blocks: list[Block] = [_asil_table(metrics, figures)]
    blocks += [Charts((chart,)) for chart in drawn if chart is not None]
    sources = tuple(dict.fromkeys(str(r["source"]) for r in rows))
    blocks += [_fmeda_table(rows, sources), Note("Sources", sources, numbered=True)]
    blocks.append(Note("Marks of the base rates", (f"{LEGEND}.",)))
    return Section(
        f"{prefix}-sec-fmeda",
        "FMEDA",
        "Failure rates and ISO 26262 metrics",
        "Every block's raw rate, split into safe, undetected and covered; and what they sum to.",
        tuple(blocks),
    )


def _asil_table(metrics: Row, figures: Mapping[str, Metric]) -> Table:
    head = columns(
        "Metric", ("#Point estimate", "every probability at its most likely value"),
        ("#At the bound", "every measured probability at its unfavourable confidence bound; "
         "this is what the verdicts use"),
        ("#Other bound", "every measured probability at its favourable confidence bound"),
        *(f"ASIL {level}" for level in ASIL_LIMITS),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for key, name, label, unit in ASIL_ROWS:
        point = figures.get(name)
        if point is None and key not in metrics:
            continue
        value = point.value if point is not None else None
        other = (point.upper if unit == "%" else point.lower) if point is not None else None
        rows.append(
            (
                word(label),
                num(value, number(value, unit, 5)),
                _bound(metrics[key], unit) if key in metrics else word(None),
                num(other, number(other, unit, 5)),
                *(Cell(limit) for limit in limits(key)),
            )
        )
    confidence = metrics.get("confidence")
    bound = (
        f"Measured probabilities enter the bound with their limit at {100 * confidence:g} %."
        if confidence
        else "No probability here was measured: all are stated assumptions."
    )
    caption = (
        f"{bound} The limits are those of the whole item (ISO 26262-5, recalled: the standard is"
        " not public); an accelerator gets a share of the PMHF budget, which the verdicts apply."
    )
    return Table("ISO 26262 metrics", head, tuple(rows), caption)


def _bound(value: float | None, unit: str) -> Cell:
    return word("not applicable") if value is None else num(value, number(value, unit, 5))


def _fmeda_table(rows: Sequence[Row], sources: tuple[str, ...]) -> Table:
    alarms = any("false_alarm_fit" in r for r in rows)
    head = columns(
        "Block", "Element", "Class", "#Bits", ("#Base FIT", "raw rate"),
        ("#Exposure", "share of bit-time that matters"),
        ("#P dangerous", "upper confidence bound where measured"),
        ("#P point", "its point estimate"), "Evidence",
        ("Mark", f"of the base rate: {LEGEND}"), "Mechanism",
        ("Guards", "for a mechanism's own faults: the block it protects"), "#Coverage",
        "#Safe", "#Single point", "#Residual", "#Latent", "#Detected", "#Stops the system",
        *([("#False alarms", "part of it that endangered nothing")] if alarms else []),
        ("Source", "number in the list below the table"),
    )  # fmt: skip
    fits = (
        "safe_fit", "single_point_fit", "residual_fit", "latent_fit", "detected_fit",
        "availability_fit", *(["false_alarm_fit"] if alarms else []),
    )  # fmt: skip
    body = tuple(
        (
            word(r["block"]),
            word(r["element"]),
            word(r["fault_class"]),
            num(r["bits"], number(r["bits"])),
            num(r["base_fit"], number(r["base_fit"])),
            num(r["exposure"], number(r["exposure"], "%")),
            num(r["p_dangerous"], number(r["p_dangerous"], "%")),
            num(r["p_point"], number(r["p_point"], "%")),
            word(r["evidence"]),
            word(mark_of(r)),
            word(r["mechanism"]),
            Cell(str(r.get("partner") or "")),
            num(r["coverage"], number(r["coverage"], "%")),
            *(num(r.get(key), number(r.get(key))) for key in fits),
            word(f"[{sources.index(str(r['source'])) + 1}]"),
        )
        for r in rows
    )
    return Table("FMEDA (rates in FIT)", head, body, open=True)
