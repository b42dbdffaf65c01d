"""How figures read on the page: rounded, with a unit people use."""

from __future__ import annotations

import math

from accelsim import units
from accelsim.metrics import KNOWN, Metric

_DIMENSIONS = {"s": units.TIME, "J": units.ENERGY, "B": units.SIZE}
_SHARES = ("utilisation.", "accuracy.", "sdc.p", "asil.", "protection.", "fit.share")
NONE = "–"


def is_share(name: str) -> bool:
    """Whether a metric of unit 1 is a share that people read in per cent."""
    return name.startswith(_SHARES)


def number(value: float | int | str | None, unit: str = "", digits: int = 4) -> str:
    """``value`` in ``unit`` for reading: seconds, joules and bytes take a fitting prefix,
    ``%`` multiplies by 100, counts get thousands separators."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    if isinstance(value, str):
        return value
    if unit in _DIMENSIONS:
        return units.human(value, _DIMENSIONS[unit], digits).replace(" u", " µ")
    if unit == "%":
        return f"{_rounded(100 * value, digits)} %"
    shown = f"{value:,}" if isinstance(value, int) else _rounded(value, digits)
    return shown if unit in ("", "1") else f"{shown} {unit.replace('mm2', 'mm²')}"


def unit_of(name: str, unit: str) -> str:
    """The unit to print a metric in: ``%`` for shares."""
    return "%" if unit == "1" and is_share(name) else unit


def metric_value(name: str, metric: Metric, digits: int = 4) -> str:
    """A metric's value; ``plan.proved`` reads yes or no."""
    if name == "plan.proved":
        return "yes" if metric.value else "no"
    return number(metric.value, unit_of(name, metric.unit), digits)


def metric_interval(name: str, metric: Metric) -> str:
    """``[lower, upper] at 95 %, n = 2,000``, ``at most upper at 95 %`` where one side is bounded,
    or nothing for an exact figure."""
    if metric.lower is None and metric.upper is None:
        return ""
    unit = unit_of(name, metric.unit)
    digits = 5 if name.startswith("asil.") else 3
    low, high = number(metric.lower, unit, digits), number(metric.upper, unit, digits)
    at = f" at {100 * metric.confidence:g} %" if metric.confidence is not None else ""
    size = f", n = {metric.n:,}" if metric.n is not None else ""
    if metric.lower is None:
        return f"at most {high}{at}{size}"
    if metric.upper is None:
        return f"at least {low}{at}{size}"
    return f"[{low}, {high}]{at}{size}"


def meaning(name: str) -> str:
    """One line on a metric, from the metrics contract; empty for an unknown name."""
    known = KNOWN.get(name.split("@")[0])
    return known[1] if known else ""


def _rounded(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10**digits:
        return f"{value:,.0f}" if size < 1e12 else f"{value:.{digits}g}"
    if size < 1e-3:
        return f"{value:.{min(digits, 3)}g}"
    return f"{value:,.{digits}g}"
