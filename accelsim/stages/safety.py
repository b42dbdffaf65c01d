"""Exposure, outcome rates and protections -> FMEDA rows -> SPFM, LFM, PMHF.

After ISO 26262-5 and -11, as public guides give them. The rows are made in
:mod:`accelsim.stages.failure_rows`.

The confidence of the bounds holds for all structures of one design at the same time (the campaign
shares its error among them), not for several targets or designs together: each target is judged at
its own confidence level, nothing is shared across targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import faults
from accelsim.config.types import RunConfig
from accelsim.cost.area import area
from accelsim.errors import AccelsimError, Mistake
from accelsim.figures import STORED, Simulated, accumulator_bytes_used, dram_tensors
from accelsim.stages.failure_rows import SafetyInputs, failure_rows, memory_rows
from accelsim.stages.pools import SHARED, campaign_of, pooled, rows_of

__all__ = ["Assessment", "SafetyInputs", "assess", "memory_rows", "safety_inputs"]


@dataclass(frozen=True)
class Assessment:
    """The FMEDA three times, with every measured probability at its point estimate, at its
    unfavourable (upper) and at its favourable (lower) confidence bound."""

    point: faults.Fmeda
    bound: faults.Fmeda
    favourable: faults.Fmeda


def safety_inputs(
    done: Simulated, config: RunConfig, campaign: faults.CampaignResult
) -> tuple[SafetyInputs, ...]:
    """Collect what the FMEDA needs from a simulated and injected variant, for every kind of core.

    Raises AccelsimError F614 when the inference period is shorter than one inference.
    """
    assert config.safety is not None
    assert config.faults is not None
    return tuple(
        SafetyInputs(
            accelerator=kind.machine,
            safety=config.safety,
            exposures=pooled(done.exposures or (), kind),
            campaign=campaign_of(campaign, kind),
            area=area(kind.machine),
            period_cycles=period_cycles(done, config),
            scratchpad_bytes=kind.scratchpad_bytes,
            accumulator_bytes=accumulator_bytes_used(done, kind),
            dram_bytes=dram_bytes(done),
            confidence=config.faults.confidence,
            kind=kind,
            weight_scratchpad_bytes=kind.weight_scratchpad_bytes,
            level_bytes={
                level.name: done.plan.level_peaks.get(level.name, 0)
                for level in kind.machine.levels
            },
        )
        for kind in done.kinds
    )


def dram_bytes(done: Simulated) -> int:
    """Bytes with a place in DRAM at any time; activations of every image have one of their own."""
    tensors = done.workload.tensors
    return sum(
        tensors[name].bytes * (1 if tensors[name].role in STORED else done.images)
        for name in dram_tensors(done.workload, done.plan)
    )


def period_cycles(done: Simulated, config: RunConfig) -> int:
    """Cycles between the starts of two inferences; the latency when they run back to back."""
    assert config.safety is not None
    latency, period = done.cycles, config.safety.inference_period_s
    if period is None:
        return latency
    clock = done.accelerator.clock_hz
    cycles = round(period * clock)
    if cycles < latency:
        message = (
            f"the inference period of {period:g} s is shorter than the simulated latency of "
            f"{latency / clock:g} s ({latency} cycles)"
        )
        hint = "lengthen inference_period_s, or leave it out: inferences then run back to back"
        at = config.locations.get("safety.inference_period_s")
        raise AccelsimError(Mistake("F614", message, hint, at))
    return cycles


def assess(*kinds: SafetyInputs) -> Assessment:
    """The FMEDA of a simulated and injected design, from what is known of each kind of its cores;
    the DRAM, which all share, counts once."""
    inputs = kinds[0]
    rows = [
        row
        for at, mine in enumerate(kinds)
        for row in rows_of(mine.kind, failure_rows(mine))
        if at == 0 or row.element != SHARED
    ]

    def found(rows: list[faults.FmedaRow], confidence: float | None) -> faults.Fmeda:
        return faults.fmeda(
            rows,
            mission_hours=inputs.safety.mission_hours,
            detection_hours=max(map(detection_hours, kinds)),
            confidence=confidence,
        )

    return Assessment(
        point=found([replace(r, p_dangerous=r.p_point) for r in rows], None),
        bound=found(rows, inputs.confidence),
        favourable=found(
            [replace(r, p_dangerous=r.p_lower, p_point=r.p_lower) for r in rows], inputs.confidence
        ),
    )


def detection_hours(inputs: SafetyInputs) -> float:
    """Time to find a detected fault: one inference, or the interval of the slowest test in use."""
    acc, interval = inputs.accelerator, inputs.safety.self_test_interval_s
    names = (*acc.protection, *(level.name for level in acc.levels))
    periodic = any(inputs.protection(name).periodic for name in names)
    seconds = inputs.period_cycles / acc.clock_hz
    return max(seconds, interval if periodic and interval is not None else 0.0) / 3600.0
