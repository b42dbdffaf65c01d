"""Safety inputs and targets: pydantic models, used at this boundary only."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from accelsim.config.fields import (
    Limit,
    OneOf,
    Part,
    Positive,
    Seconds,
    Share,
    Text,
    about,
    problem,
)
from accelsim.errors import suggest
from accelsim.metrics import KNOWN


class RatePart(Part):
    """A base failure rate with where it comes from."""

    value: Annotated[float, Field(ge=0, le=10**12), about("the rate in its unit")]
    unit: Annotated[
        str, about("FIT/Mbit (1 Mbit = 1e6 bit), FIT/mm2, FIT or 1, as the key demands")
    ]
    source: Annotated[Text, about("publication, data sheet or 'example'")]
    mark: Annotated[
        str,
        OneOf(("S", "R", "D", "E"), "mark"),
        about("S read in a public source, R recalled, D derived, E example value"),
    ]


def _in_unit(unit: str) -> AfterValidator:
    def validate(rate: RatePart) -> RatePart:
        if rate.unit != unit:
            raise problem("C006", f"unit is '{rate.unit}', must be '{unit}'", f"convert to {unit}")
        if unit == "1" and rate.value > 1:
            raise problem("C004", f"a share is at most 1, is {rate.value}")
        return rate

    return AfterValidator(validate)


PerMbit = Annotated[RatePart, _in_unit("FIT/Mbit")]
PerArea = Annotated[RatePart, _in_unit("FIT/mm2")]
Fit = Annotated[RatePart, _in_unit("FIT")]


class SafetyPart(Part):
    """Inputs of the FMEDA (a file of its own has ``schema: accelsim/safety/v1``)."""

    sram_soft: Annotated[PerMbit, about("soft errors of SRAM", unit="FIT/Mbit")]
    flipflop_soft: Annotated[PerMbit, about("soft errors of flip-flops", unit="FIT/Mbit")]
    dram_soft: Annotated[PerMbit, about("soft errors of DRAM, unprotected", unit="FIT/Mbit")]
    die_permanent: Annotated[
        PerArea, about("permanent faults of the die, per area in use", unit="FIT/mm2")
    ]
    dram_permanent: Annotated[Fit, about("permanent faults of the DRAM device", unit="FIT")]
    safe_fraction_unmeasured: Annotated[
        RatePart,
        _in_unit("1"),
        about("share of upsets in unmeasured logic taken as safe", unit="1"),
    ]
    description: Annotated[str, about("free text")] = ""
    mission_hours: Annotated[Positive, about("lifetime for dual-point terms", unit="h")] = 10_000.0
    inference_period_s: Annotated[
        Seconds | None, about("time between inferences; else back to back", unit="s")
    ] = None
    fault_tolerant_time_interval: Annotated[
        Seconds | None,
        about("from a fault to the hazard; required with protections such as self_test", unit="s"),
    ] = None
    self_test_interval: Annotated[
        Seconds | None,
        about("between two self-tests, at most the fault-tolerant time interval", unit="s"),
    ] = None


def _metric(name: str) -> str:
    base, at, rate = name.partition("@")
    if base not in KNOWN:
        raise problem("C005", f"unknown metric '{name}'", suggest(base, list(KNOWN)))
    if KNOWN[base][0] == "":
        raise problem("C005", f"metric '{base}' is a name, not a number", "choose a numeric metric")
    if not at:
        return name
    try:
        value = float(rate)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise problem("C005", f"'{rate}' in '{name}' is not a fault rate", "write e.g. sdc.p@1e-05")
    return f"{base}@{value:g}"


class TargetPart(Part):
    """A requirement: a metric with one of at_least, at_most, between; or an ASIL."""

    metric: Annotated[str | None, AfterValidator(lambda m: m and _metric(m))] = Field(
        None, description="name of a metric; at a fault rate: sdc.p@1e-05"
    )
    at_least: Annotated[Limit, about("lower limit (number, or quantity such as '20 ms')")] = None
    at_most: Annotated[Limit, about("upper limit (number, or quantity such as '128 KiB')")] = None
    between: Annotated[
        list[Limit] | None, Field(min_length=2, max_length=2), about("[lowest, highest]")
    ] = None
    variant: Annotated[str | None, about("variant that is judged; absent: the base run")] = None
    relative_to: Annotated[
        str | None,
        about("judge the ratio to this variant, to 'base', or to an earlier run's metrics.json"),
    ] = None
    asil: Annotated[
        Annotated[str, OneOf(("B", "C", "D"), "ASIL", "B, C or D (A and QM set no targets)")]
        | None,
        about("B, C or D: judge SPFM, LFM and PMHF"),
    ] = None
    budget_share: Annotated[
        Share | None, about("share of the item's PMHF budget, required with asil", unit="1")
    ] = None

    @model_validator(mode="after")
    def _one_requirement(self) -> TargetPart:
        limits = [k for k in ("at_least", "at_most", "between") if getattr(self, k) is not None]
        if (self.metric is None) == (self.asil is None):
            raise problem("C009", "a target needs either 'metric' or 'asil'")
        if self.metric is not None and len(limits) != 1:
            given = " and ".join(limits) or "none of them"
            hint = "give exactly one of at_least, at_most, between"
            raise problem("C009", f"target on {self.metric} has {given}", hint)
        if self.metric is not None and self.budget_share is not None:
            raise problem("C009", "budget_share belongs to an asil target", "remove it")
        if self.asil is not None and (limits or self.relative_to is not None):
            extra = ", ".join(limits + ["relative_to"] * (self.relative_to is not None))
            raise problem(
                "C009", f"an asil target takes no {extra}", "its limits are the standard's"
            )
        if self.asil is not None and self.budget_share is None:
            hint = "the share of the item's PMHF budget that this element may use, e.g. 0.1"
            raise problem("C002", "'budget_share' is missing", hint)
        return self
