"""From records to a result: pure functions of plan and records, usable on merged shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faults.maps import stratum_name
from faults.plan import (
    CampaignResult,
    Estimate,
    FaultRecord,
    RatePlan,
    RateResult,
    StructureResult,
    UpsetPlan,
)
from faults.sites import strata

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Run:
    """What is known of a campaign besides its records."""

    model: str
    format: str
    images: int
    accuracy_fault_free: float
    self_test: str
    notes: tuple[str, ...] = ()


def summarise(
    plan: UpsetPlan | RatePlan, run: Run, records: Sequence[FaultRecord]
) -> CampaignResult:
    """Estimates over ``records`` (any subset of the plan's faults, in index order)."""
    ordered = tuple(sorted(records, key=lambda record: record.index))
    if isinstance(plan, UpsetPlan):
        return _upsets(plan, run, ordered)
    return _maps(plan, run, ordered)


def _upsets(plan: UpsetPlan, run: Run, records: tuple[FaultRecord, ...]) -> CampaignResult:
    from faults.stats import stratified_mean

    parts = strata(plan)
    total = sum(part.exposure for part in parts)
    grouped = {p.name: [r for r in records if r.stratum == p.name] for p in parts}
    structures = tuple(
        StructureResult(
            structure=part.name,
            share=part.exposure / total,
            sdc=_shared(_sdc(grouped[part.name]), plan.confidence, len(parts)),
            masked=float(np.mean([r.outcome == "masked" for r in grouped[part.name]])),
            by_tensor=_by_tensor(grouped[part.name]),
        )
        for part in parts
        if grouped[part.name]
    )
    weights = [part.exposure / total for part in parts]
    sdc = stratified_mean(weights, [_sdc(grouped[p.name]) for p in parts], plan.confidence)
    correct = stratified_mean(weights, [_correct(grouped[p.name]) for p in parts], plan.confidence)
    note = (
        f"intervals at {plan.confidence:g} over faults; the structures share the error "
        "(Bonferroni), so that all of their intervals hold together at that confidence"
    )
    return CampaignResult(
        model=run.model, format=run.format, images=run.images,
        accuracy_fault_free=run.accuracy_fault_free, faults=len(records),
        sdc=sdc, accuracy=correct, accuracy_worst=_worst(records),
        structures=structures, records=records, self_test=run.self_test,
        notes=(*run.notes, note),
    )  # fmt: skip


def _shared(values: NDArray[np.float64], confidence: float, strata: int) -> Estimate:
    """The estimate of one stratum among several whose intervals hold together at ``confidence``:
    an FMEDA that adds up their bounds is then right at that confidence (Bonferroni)."""
    from faults.stats import mean_estimate

    own = mean_estimate(values, 1.0 - (1.0 - confidence) / strata)
    return replace(own, confidence=confidence)


def _maps(plan: RatePlan, run: Run, records: tuple[FaultRecord, ...]) -> CampaignResult:
    from faults.stats import mean_estimate

    rates = []
    for rate in plan.rates:
        mine = [r for r in records if r.stratum == stratum_name(rate)]
        if mine:
            pairs = sum(r.images for r in mine)
            rates.append(
                RateResult(
                    rate=rate,
                    clip=plan.clip,
                    accuracy=mean_estimate(_correct(mine), plan.confidence),
                    accuracy_worst=float(_correct(mine).min()),
                    sdc=mean_estimate(_sdc(mine), plan.confidence),
                    nonfinite=sum(r.nonfinite for r in mine) / pairs,
                )
            )
    last = max(rates, key=lambda r: r.rate) if rates else None
    note = f"intervals at {plan.confidence:g} over fault maps, each rate by itself"
    return CampaignResult(
        model=run.model, format=run.format, images=run.images,
        accuracy_fault_free=run.accuracy_fault_free, faults=len(records),
        sdc=None, accuracy=last.accuracy if last else None,
        accuracy_worst=_worst(records), rates=tuple(rates), records=records,
        self_test=run.self_test,
        notes=(*run.notes, note, "an output with a NaN or infinite score is a wrong decision"),
    )  # fmt: skip


def _sdc(records: Sequence[FaultRecord]) -> NDArray[np.float64]:
    """Share of images with another top-1, per fault."""
    return np.array([r.sdc1 / r.images for r in records], np.float64)


def _correct(records: Sequence[FaultRecord]) -> NDArray[np.float64]:
    """Share of images classified correctly, per fault."""
    return np.array([r.correct / r.images for r in records], np.float64)


def _worst(records: Sequence[FaultRecord]) -> float | None:
    return float(_correct(records).min()) if records else None


def _by_tensor(records: Sequence[FaultRecord]) -> dict[str, tuple[int, float]]:
    """Tensor -> (faults, mean SDC-1 rate), by name."""
    names = sorted({r.tensor for r in records})
    rates = {name: _sdc([r for r in records if r.tensor == name]) for name in names}
    return {name: (len(rates[name]), float(rates[name].mean())) for name in names}
