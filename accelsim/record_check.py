"""The shape of a run record: which types every part must have before anything draws it.

A content hash says that a folder is as it was written, not that accelsim wrote it. So the one place
that loads records checks every key that the reports read; they then need no guards of their own.
Keys that are not listed may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from accelsim.metrics import KNOWN, Metric
from accelsim.record import BASE, RunRecord, VariantRecord
from accelsim.report.tables import parse_json
from accelsim.verdict import Verdict

Check = Callable[[Any, str], Iterator[str]]
"""Takes a value and its path in the record; yields what is wrong with it."""

LARGEST = 1e100
"""Largest magnitude of a number: far beyond any quantity, and sums and products stay finite."""
MOST_FINDINGS = 8


def findings(record: RunRecord) -> list[str]:
    """What is wrong with the types in a record, the first few; empty when it is sound."""
    return list(islice(_record(record), MOST_FINDINGS))


def _record(record: RunRecord) -> Iterator[str]:
    yield from text(record.name, "name")
    yield from text(record.sha256, "config_sha256")
    yield from mapping(text)(record.provenance, "provenance")
    try:
        yield from fields({})(parse_json(record.config), "config")
    except ValueError as error:
        yield f"config is not JSON: {error}"
    if BASE not in record.variants:
        yield f"there is no variant '{BASE}'"
    for verdict in record.verdicts:
        yield from _verdict(verdict, "verdicts")
    for name, variant in record.variants.items():
        yield from _variant(variant, name)


def _variant(variant: VariantRecord, name: str) -> Iterator[str]:
    for key, metric in variant.metrics.items():
        yield from _metric(key, metric, f"{name}: metrics.{key}")
    yield from listing(LAYER)(list(variant.layers), f"{name}: layers")
    yield from listing(EXPOSURE)(list(variant.exposure), f"{name}: exposure")
    for key, check in PARTS.items():
        part = getattr(variant, key)
        if part is not None:
            yield from check(part, f"{name}: {key}")
    if variant.trace is not None and not variant.info.get("clock_hz"):
        yield f"{name}: info.clock_hz is missing, without which a trace has no times"


def _verdict(verdict: Verdict, at: str) -> Iterator[str]:
    for key in ("name", "metric", "variant", "unit", "detail", "location"):
        yield from text(getattr(verdict, key), f"{at}.{key}")
    for key in ("value", "bound", "limit_high"):
        yield from optional(number)(getattr(verdict, key), f"{at}.{key}")
    yield from number(verdict.limit, f"{at}.limit")
    yield from flag(verdict.applicable, f"{at}.applicable")
    if verdict.relation not in (">=", "<=", "<", "in"):
        yield f"{at}.relation is none that accelsim knows"
    if (verdict.relation == "in") != (verdict.limit_high is not None):
        yield f"{at}.limit_high does not fit the relation"


ESTIMATED = ("accuracy.", "sdc.p", "asil.", "fit.")
"""Families of metrics whose value may be no number: nothing was measured, or not applicable."""


def _metric(name: str, metric: Metric, at: str) -> Iterator[str]:
    yield from text(metric.unit, f"{at}.unit")
    yield from text(metric.source, f"{at}.source")
    for key in ("lower", "upper", "confidence"):
        yield from optional(number)(getattr(metric, key), f"{at}.{key}")
    yield from optional(whole)(metric.n, f"{at}.n")
    family = name.partition("@")[0]
    words = family not in KNOWN or not KNOWN[family][0]
    if isinstance(metric.value, str) and words:
        return
    nothing = metric.value is None or (isinstance(metric.value, float) and math.isnan(metric.value))
    if nothing and (family not in KNOWN or family.startswith(ESTIMATED)):
        return
    check = whole if family in KNOWN and KNOWN[family][0] in ("cycles", "B") else number
    yield from check(metric.value, f"{at}.value")


# --- shapes -----------------------------------------------------------------------------------


def text(value: Any, at: str) -> Iterator[str]:
    """Any text."""
    if not isinstance(value, str):
        yield f"{at} is not text"


def flag(value: Any, at: str) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield f"{at} is not true or false"


def number(value: Any, at: str) -> Iterator[str]:
    """A finite number that is no giant."""
    if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
        yield f"{at} is not a number"


def positive(value: Any, at: str) -> Iterator[str]:
    """A number above 0, for logarithms and divisors."""
    if type(value) not in (int, float) or not 1 / LARGEST <= value <= LARGEST:
        yield f"{at} is not a positive number"


def whole(value: Any, at: str) -> Iterator[str]:
    """A whole number."""
    if type(value) is not int or not -LARGEST <= value <= LARGEST:
        yield f"{at} is not a whole number"


def optional(check: Check) -> Check:
    """null, or what ``check`` takes."""

    def run(value: Any, at: str) -> Iterator[str]:
        if value is not None:
            yield from check(value, at)

    return run


def listing(check: Check) -> Check:
    """A list of what ``check`` takes."""

    def run(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list | tuple):
            yield f"{at} is not a list"
            return
        for index, item in enumerate(value):
            yield from check(item, f"{at}[{index}]")

    return run


def mapping(check: Check) -> Check:
    """An object whose values ``check`` takes."""

    def run(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"{at} is not an object"
            return
        for key, item in value.items():
            yield from check(item, f"{at}.{key}")

    return run


def pair(*checks: Check) -> Check:
    """A list of fixed length."""

    def run(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list | tuple) or len(value) != len(checks):
            yield f"{at} is not a list of {len(checks)}"
            return
        for index, (check, item) in enumerate(zip(checks, value, strict=True)):
            yield from check(item, f"{at}[{index}]")

    return run


def fields(required: Mapping[str, Check], **more: Check) -> Check:
    """An object with the keys ``required``; ``more`` are checked where present and not null."""

    def run(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"{at} is not an object"
            return
        for key, check in required.items():
            if key not in value:
                yield f"{at}.{key} is missing"
            else:
                yield from check(value[key], f"{at}.{key}")
        for key, check in more.items():
            if value.get(key) is not None:
                yield from check(value[key], f"{at}.{key}")

    return run


def all_of(check: Check, *keys: str) -> dict[str, Check]:
    """Keys that take the same."""
    return dict.fromkeys(keys, check)


LAYER = fields(
    {
        **all_of(text, "op", "bound"),
        **all_of(
            whole, "step", "start", "end", "cycles", "advance_cycles", "stall_cycles", "macs",
            "dram_read_bytes", "dram_write_bytes",
        ),
        "utilisation": number,
    },
    **all_of(text, "kind", "mapping", "dataflow"),
    **all_of(whole, "array_busy", "vector_busy", "dram_busy"),
    **all_of(number, *(f"energy_{part}_j" for part in (
        "dram", "scratchpad", "accumulators", "array", "vector", "static"))),
)  # fmt: skip
EXPOSURE = fields(
    {**all_of(text, "structure", "kind", "tensor", "op"), **all_of(whole, "bits", "bit_cycles")}
)
STEP = fields(
    {
        **all_of(text, "op", "mapping"),
        **all_of(whole, "buffer_address", "buffer_bytes", "prefetch_bytes"),
    },
    **all_of(
        whole,
        "weight_buffer_address",
        "weight_buffer_bytes",
        "weight_prefetch_address",
        "weight_prefetch_bytes",
    ),
    loads=listing(text),
    stores=listing(text),
    resident=mapping(fields(all_of(whole, "address", "bytes"))),
)
PLAN = fields(
    {
        "steps": listing(STEP),
        **all_of(whole, "capacity_bytes", "peak_bytes", "lower_bound_bytes", "traffic_bytes"),
        **all_of(number, "cost", "cost_lower_bound"),
        **all_of(text, "objective", "solver", "status"),
        "proved": flag,
    },
    **all_of(whole, "weight_capacity_bytes", "weight_peak_bytes"),
    notes=listing(text),
)
FMEDA = fields(
    {
        "rows": listing(
            fields(
                {
                    **all_of(
                        text, "block", "element", "fault_class", "evidence", "mechanism", "source"
                    ),
                    **all_of(
                        number, "bits", "base_fit", "exposure", "p_dangerous", "p_point",
                        "coverage", "safe_fit", "single_point_fit", "residual_fit", "latent_fit",
                        "detected_fit",
                    ),
                },
                **all_of(text, "partner", "mark"),
                **all_of(number, "availability_fit", "false_alarm_fit"),
            )
        ),
        "metrics": mapping(optional(number)),
    }
)  # fmt: skip
ESTIMATE = fields({**all_of(number, "mean", "lower", "upper", "confidence"), "n": whole})
CAMPAIGN = fields(
    {
        **all_of(text, "model", "format"),
        **all_of(number, "images", "accuracy_fault_free", "faults"),
    },
    **all_of(ESTIMATE, "sdc", "accuracy"),
    accuracy_worst=number,
    self_test=text,
    notes=listing(text),
    structures=listing(
        fields(
            {"structure": text, **all_of(number, "share", "masked"), "sdc": ESTIMATE},
            by_tensor=mapping(pair(whole, number)),
        )
    ),
    rates=listing(
        fields(
            {
                "rate": positive,
                "clip": text,
                **all_of(ESTIMATE, "accuracy", "sdc"),
                **all_of(number, "accuracy_worst", "nonfinite"),
            }
        )
    ),
)
CURVES = fields(
    {},
    **all_of(listing(pair(number, number)), "occupancy", "weight_occupancy"),
    roofline=fields(
        {
            **all_of(positive, "peak_macs_per_cycle", "dram_bytes_per_cycle"),
            "points": listing(
                fields(
                    {**all_of(text, "op", "bound"), "macs_per_cycle": positive},
                    macs_per_byte=positive,
                )
            ),
        }
    ),
    **all_of(mapping(number), "busy", "energy", "area", "bounds"),
)
INFO = fields(
    {},
    **all_of(text, "network", "model", "accelerator", "array", "energy_table"),
    **all_of(whole, "operators", "macs", "weight_bytes", "seed"),
    **all_of(positive, "clock_hz", "batch"),
    **all_of(listing(text), "fallbacks", "notes", "assumptions"),
    confidence=number,
    simulated=flag,
    protection=mapping(text),
)
PARTS: Mapping[str, Check] = {
    "plan": PLAN, "fmeda": FMEDA, "campaign": CAMPAIGN, "curves": CURVES, "info": INFO,
}  # fmt: skip
