"""Campaign and FMEDA results -> metrics, tables and chart data. Pure functions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import faults
from accelsim.metrics import KNOWN, Metric
from accelsim.stages.safety import Assessment


def _estimate(estimate: faults.Estimate, source: str = "campaign") -> Metric:
    return Metric(
        estimate.mean,
        "1",
        source,
        estimate.lower,
        estimate.upper,
        estimate.confidence,
        estimate.n,
    )


def rate_suffix(rate: float) -> str:
    """Suffix of a metric at a fault rate, e.g. ``@1e-05``."""
    return f"@{rate:g}"


def campaign_metrics(found: faults.CampaignResult) -> dict[str, Metric]:
    """Metrics of a campaign; with several rates each has its suffix, the highest none as well."""
    metrics = {
        "accuracy.fault_free": Metric(found.accuracy_fault_free, "1", "campaign", n=found.images),
        "sdc.faults": Metric(found.faults, KNOWN["sdc.faults"][0], "campaign"),
    }
    if found.sdc is not None:
        metrics["sdc.p"] = _estimate(found.sdc)
    if found.accuracy is not None:
        metrics["accuracy.under_fault"] = _estimate(found.accuracy)
    if found.accuracy_worst is not None:
        metrics["accuracy.worst"] = Metric(found.accuracy_worst, "1", "campaign", n=found.faults)
    for result in found.rates:
        at = rate_suffix(result.rate)
        metrics[f"accuracy.under_fault{at}"] = _estimate(result.accuracy)
        metrics[f"accuracy.worst{at}"] = Metric(result.accuracy_worst, "1", "campaign")
        metrics[f"sdc.p{at}"] = _estimate(result.sdc)
    return metrics


def rate_curves(found: faults.CampaignResult) -> list[dict[str, Any]]:
    """Chart data of a rate campaign, one point per rate."""
    return [
        {
            "rate": result.rate,
            "clip": result.clip,
            "format": found.format,
            "accuracy": asdict(result.accuracy),
            "worst": result.accuracy_worst,
            "sdc": asdict(result.sdc),
            "nonfinite": result.nonfinite,
            "n": result.accuracy.n,
        }
        for result in found.rates
    ]


def campaign_tables(
    found: faults.CampaignResult,
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """(summary without the single faults, one row per fault)."""
    summary = asdict(found)
    summary.pop("records")
    summary["model"] = Path(found.model).name  # a record does not depend on where it was made
    return _plain(summary), tuple(asdict(record) for record in found.records)


def _plain(value: Any) -> Any:
    """JSON types only: tuples become lists."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


_OF_P: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("asil.spfm", "spfm", "1", (faults.TRANSIENT, faults.PERMANENT)),
    ("asil.spfm_transient", "spfm_transient", "1", (faults.TRANSIENT,)),
    ("asil.spfm_permanent", "spfm_permanent", "1", (faults.PERMANENT,)),
    ("asil.lfm", "lfm", "1", (faults.PERMANENT,)),
    ("asil.pmhf_fit", "pmhf_fit", "FIT", (faults.TRANSIENT, faults.PERMANENT)),
    ("fit.dangerous", "dangerous_fit", "FIT", (faults.TRANSIENT, faults.PERMANENT)),
    ("fit.detected", "detected_fit", "FIT", (faults.TRANSIENT, faults.PERMANENT)),
    ("fit.false_alarm", "false_alarm_fit", "FIT", (faults.TRANSIENT, faults.PERMANENT)),
)
"""Metric, field of the FMEDA, unit, and the fault classes whose probabilities it depends on."""

_EXACT = (
    ("fit.raw", "raw_fit", "FIT"),
    ("fit.availability", "availability_fit", "FIT"),
    ("asil.pmhf_measured_share", "pmhf_measured_share", "1"),
    ("asil.pmhf_example_share", "pmhf_example_share", "1"),
)
"""Metrics that do not depend on a measured probability, or describe the bound itself."""


def fmeda_metrics(assessed: Assessment) -> dict[str, Metric]:
    """Point values with both confidence bounds; a metric in which nothing was measured has neither
    bounds nor a confidence, and one that does not apply (empty denominator) is left out."""
    metrics: dict[str, Metric] = {}
    for name, field, unit, classes in _OF_P:
        value = getattr(assessed.point, field)
        ends = [getattr(assessed.favourable, field), getattr(assessed.bound, field)]
        if value is None or None in ends:
            continue
        if _measured(assessed.bound, classes):
            metrics[name] = Metric(
                value, unit, "fmeda", min(ends), max(ends), assessed.bound.confidence
            )
        else:
            metrics[name] = Metric(value, unit, "fmeda")
    for name, field, unit in _EXACT:
        value = getattr(assessed.bound, field)
        if value is not None:
            metrics[name] = Metric(value, unit, "fmeda")
    return metrics


def _measured(fmeda: faults.Fmeda, classes: tuple[str, ...]) -> bool:
    """Whether any row of these fault classes has a measured probability."""
    return any(c.row.evidence == "measured" and c.row.fault_class in classes for c in fmeda.rows)


def fmeda_table(fmeda: faults.Fmeda) -> dict[str, Any]:
    """fmeda.json: rows with classified rates, and the metrics (at the confidence bound)."""
    table: dict[str, Any] = _plain(faults.fmeda_json(fmeda))
    return table
