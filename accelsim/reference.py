"""An earlier run's metrics.json as the reference of a target: read once, with suspicion.

A gate that compares with a file is only as good as the file: what is not finite, has another unit
or lies outside of its own bounds would let anything pass, so it is refused (V602).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from accelsim.config.types import TargetConfig
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.metrics import KNOWN, SCHEMA, Metric, Metrics

MAX_REFERENCE_BYTES = 64 << 20

References = Mapping[tuple[str, str | None], Metrics]
"""(absolute path, variant or None for the base run) -> the metrics found there."""

SIGNED = ("protection.latency_overhead",)
"""Metrics that may be negative: a delay can shift the order of transfers for the better."""

ZERO_IS_GOOD = (
    "plan.spill_bytes", "plan.excess_bytes", "dram.write_bytes", "energy.dram_j",
    "energy.static_j", "protection.", "sram.unallocated_bytes", "sdc.p", "fit.", "asil.pmhf",
)  # fmt: skip
"""Metrics (or their families) of which a run can have none, so that "no more than that" is a
sensible requirement. Any other reference of 0 is a mistake in the file."""

_SLACK = 1e-9
"""Relative; point value and bounds of a derived metric are rounded on their own."""


def check_references(targets: Sequence[TargetConfig]) -> References:
    """Read and check every metrics.json that targets compare with.

    Call it before a long run and hand the result to the judge: what is found there holds even if
    the file changes meanwhile.

    Raises:
        AccelsimError: V602, a file or figure that cannot be used, V601, a metric that the file
            lacks; all of them at once, at their targets.
    """
    found: dict[tuple[str, str | None], Metrics] = {}
    mistakes: list[Mistake] = []
    for target in targets:
        if target.relative_to is None or not os.path.isabs(target.relative_to):
            continue
        key = (target.relative_to, target.variant)
        try:
            if key not in found:
                found[key] = earlier_metrics(target.relative_to, target)
            _check_metric(found[key], target)
        except AccelsimError as error:
            mistakes += [m for m in error.mistakes if m not in mistakes]
    if mistakes:
        raise AccelsimError(mistakes)
    return found


def earlier_metrics(path: str, target: TargetConfig) -> Metrics:
    """The metrics of the target's variant in an earlier run's metrics.json.

    Raises:
        AccelsimError: V602, unreadable, not metrics, or without the variant.
    """
    try:
        document = json.loads(_read(path), parse_constant=_no_number, parse_float=_finite)
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        run = document["variants"][target.variant] if target.variant else document
        return {str(name): _metric(str(name), value) for name, value in run["metrics"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _unusable(f"'{path}' is not the metrics.json of a run: {reason}", target) from None


def lookup(metrics: Metrics, name: str) -> Metric | None:
    """The metric by name; a fault rate in the name is compared as a number."""
    if name in metrics:
        return metrics[name]
    base, at, rate = name.partition("@")
    for other, metric in metrics.items():
        other_base, _, other_rate = other.partition("@")
        if at and other_base == base and other_rate and _close(other_rate, rate):
            return metric
    return None


def require_metric(metrics: Metrics, name: str, run: str, target: TargetConfig) -> Metric:
    """The numeric metric ``name`` of ``run``. Raises AccelsimError V601."""
    found, where = lookup(metrics, name), target.location
    if found is None:
        message = f"metric not produced: the run '{run}' has no {name}"
        raise AccelsimError(Mistake("V601", message, suggest(name, list(metrics)), where))
    if isinstance(found.value, str) or _float(found.value) is None:
        shown = f"'{found.value}'" if isinstance(found.value, str) else "beyond any number"
        message = f"metric not produced: {name} of the run '{run}' is {shown}"
        raise AccelsimError(Mistake("V601", message, "judge a numeric metric", where))
    return found


def _close(first: str, second: str) -> bool:
    try:
        return math.isclose(float(first), float(second), rel_tol=1e-5)
    except ValueError:
        return False


def _float(number: float) -> float | None:
    try:
        return float(number)
    except OverflowError:  # an integer of hundreds of digits
        return None


def _read(path: str) -> bytes:
    if not os.path.isfile(path):
        raise ValueError("it is no file" if os.path.exists(path) else "it does not exist")
    with open(path, "rb") as file:
        data = file.read(MAX_REFERENCE_BYTES + 1)
    if len(data) > MAX_REFERENCE_BYTES:
        raise ValueError(f"larger than {MAX_REFERENCE_BYTES} bytes")
    return data


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is beyond any number")
    return number


def _metric(name: str, value: Mapping[str, Any]) -> Metric:
    """A metric of a file, its types checked. null is what accelsim writes for no number."""
    metric = Metric.from_json(value)
    numbers = (metric.lower, metric.upper, metric.confidence)
    good = (
        (value["value"] is None or _is_number(metric.value) or isinstance(metric.value, str))
        and isinstance(metric.unit, str)
        and isinstance(metric.source, str)
        and all(number is None or _is_number(number) for number in numbers)
        and (metric.n is None or (type(metric.n) is int and metric.n >= 0))
        and (metric.confidence is None or 0.0 < metric.confidence < 1.0)
    )
    if not good:
        raise TypeError(f"the parts of {name} have the wrong types or values")
    if value["value"] is None:
        return Metric("not available", metric.unit, metric.source)
    return metric


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and _float(value) is not None  # type: ignore[arg-type]


def _check_metric(metrics: Metrics, target: TargetConfig) -> None:
    """The judged metric makes sense as a reference. AccelsimError V601, V602."""
    assert target.metric is not None, "only a metric is compared with a reference"
    path = str(target.relative_to)
    metric = require_metric(metrics, target.metric, path, target)
    wrong = next(_nonsense(target, metric), None)
    if wrong is not None:
        raise _unusable(f"{target.metric} in '{path}' {wrong}", target)


def _nonsense(target: TargetConfig, metric: Metric) -> Iterator[str]:
    assert target.metric is not None
    value = float(metric.value)
    low = value if metric.lower is None else float(metric.lower)
    high = value if metric.upper is None else float(metric.upper)
    family = target.metric.partition("@")[0]
    unit = KNOWN[family][0] if family in KNOWN else metric.unit
    if metric.unit != unit:
        yield f"is in '{metric.unit}', not in '{unit}'"
    slack = _SLACK * max(abs(value), abs(low), abs(high))
    if not low - slack <= value <= high + slack:
        yield f"has the value {value:g} outside of its bounds [{low:g}, {high:g}]"
    if family in SIGNED:
        return
    if min(value, low, high) < 0:
        yield f"is negative ({min(value, low, high):g}), which cannot be"
    if value == 0 and not (target.at_most is not None and family.startswith(ZERO_IS_GOOD)):
        yield "is 0, and nothing can be compared with that"


def _unusable(message: str, target: TargetConfig) -> AccelsimError:
    hint = "name a metrics.json that accelsim wrote"
    return AccelsimError(Mistake("V602", message, hint, target.location))
