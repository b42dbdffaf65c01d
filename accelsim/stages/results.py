"""Campaign and FMEDA results -> metrics, tables and chart data. Pure functions."""

from __future__ import annotations

from dataclasses import asdict
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
    return _plain(summary), tuple(asdict(record) for record in found.records)


def _plain(value: Any) -> Any:
    """JSON types only: tuples become lists."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def fmeda_metrics(assessed: Assessment) -> dict[str, Metric]:
    """Point values, and the confidence bound on the unfavourable side; a metric that does not
    apply (empty denominator) is left out."""
    point, bound = assessed.point, assessed.bound
    metrics: dict[str, Metric] = {}
    for name in ("spfm", "spfm_transient", "spfm_permanent", "lfm"):
        value, low = getattr(point, name), getattr(bound, name)
        if value is not None and low is not None:
            metrics[f"asil.{name}"] = Metric(
                value, "1", "fmeda", lower=low, confidence=bound.confidence
            )
    above = {
        "asil.pmhf_fit": (point.pmhf_fit, bound.pmhf_fit),
        "fit.dangerous": (point.dangerous_fit, bound.dangerous_fit),
        "fit.detected": (point.detected_fit, bound.detected_fit),
        "fit.availability": (point.availability_fit, bound.availability_fit),
    }
    for name, (value, high) in above.items():
        metrics[name] = Metric(value, "FIT", "fmeda", upper=high, confidence=bound.confidence)
    metrics["fit.raw"] = Metric(bound.raw_fit, "FIT", "fmeda")
    return metrics


def fmeda_table(fmeda: faults.Fmeda) -> dict[str, Any]:
    """fmeda.json: rows with classified rates, and the metrics (at the confidence bound)."""
    table: dict[str, Any] = _plain(faults.fmeda_json(fmeda))
    return table
