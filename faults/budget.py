"""Independent check of an FMEDA: every rate and metric again from the rows, by other code.

Shares nothing with :mod:`faults.fmeda` but the row type. Where that module adds up what violates
the safety goal, this one adds up what does not; it splits a row into its failure fractions first
and multiplies by the base rate last; dual-point terms are summed from the blocks' side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from accelsim.errors import AccelsimError, Mistake
from faults.rows import PERMANENT, TRANSIENT, ClassifiedRow, Fmeda, FmedaRow

NOTHING = 1e-6
"""Of the permanent rate: a smaller denominator of the latent fault metric is zero but for rounding,
and the metric does not apply."""

NEGLIGIBLE = 1e-15
"""Of the raw rate: a smaller PMHF is zero but for rounding, and has no shares."""

_RELATIVE = 1e-9
_ABSOLUTE = 1e-12
"""Of the scale of what is compared."""

_Rates = dict[str, float]


def check_budget(result: Fmeda) -> None:
    """Nothing lost, nothing counted twice, every metric what its rows give.

    Every row's classified rates equal those recomputed from its inputs, are non-negative and sum to
    its base rate; all metrics equal those recomputed from the rows. Raises AccelsimError F620 with
    every discrepancy.
    """
    again = [_rates(c.row) for c in result.rows]
    rows = list(zip(result.rows, again, strict=True))
    mistakes = [m for c, expected in rows for m in _row_discrepancies(c, expected)]
    scale = math.fsum(row["base"] for row in again)
    for name, expected, unit in _metrics(result, again):
        got = getattr(result, name)
        if not _close(got, expected, unit or scale):
            mistakes.append(Mistake("F620", f"{name} is {got}, the rows give {expected}"))
    if mistakes:
        raise AccelsimError(mistakes)


def _rates(row: FmedaRow) -> _Rates:
    """Rates of a row by fate, as fractions of its base rate times the base rate."""
    harmful = row.exposure * (1.0 if row.latent_only else row.p_dangerous)
    caught = harmful if row.latent_only else harmful * row.coverage
    missed = 0.0 if row.latent_only else harmful * (1.0 - row.coverage)
    unseen = 1.0 - row.coverage_latent if row.fault_class == PERMANENT else 0.0
    said = row.coverage
    if row.latent_only and row.fault_class == PERMANENT:
        said = row.coverage_latent
    stopping = said * (1.0 - row.corrected)
    needless = row.exposure if row.latent_only else row.exposure * (1.0 - row.p_dangerous)
    single = missed if row.coverage == 0.0 else 0.0
    fractions = {
        "safe_fit": 1.0 - harmful,
        "single_point_fit": single,
        "residual_fit": missed - single,
        "latent_fit": caught * unseen,
        "detected_fit": caught * (1.0 - unseen),
        "availability_fit": row.exposure * stopping,
        "false_alarm_fit": needless * stopping,
        "base": 1.0,
    }
    return {name: fraction * row.base_fit for name, fraction in fractions.items()}


_FATES = ("safe_fit", "single_point_fit", "residual_fit", "latent_fit", "detected_fit")
_HARMLESS = ("safe_fit", "latent_fit", "detected_fit")


def _row_discrepancies(classified: ClassifiedRow, expected: _Rates) -> list[Mistake]:
    base = expected["base"]
    name = f"FMEDA row '{classified.row.block}' ({classified.row.fault_class})"
    total = math.fsum(getattr(classified, fate) for fate in _FATES)
    found = []
    if not _close(total, base, base):
        text = f"{name}: its rates sum to {total} FIT, its base rate is {base} FIT"
        found.append(Mistake("F620", text))
    for rate in (*_FATES, "availability_fit", "false_alarm_fit"):
        got = getattr(classified, rate)
        if not _close(got, expected[rate], base):
            text = f"{name}: {rate} is {got} FIT, its inputs give {expected[rate]} FIT"
            found.append(Mistake("F620", text))
        if got < -_RELATIVE * base:
            found.append(Mistake("F620", f"{name}: a rate is negative: {rate} is {got} FIT"))
    return found


def _metrics(
    result: Fmeda, again: Sequence[_Rates]
) -> Iterable[tuple[str, float | None, float | None]]:
    """(field of the result, its value from the rows, scale; None: that of the raw rate)."""
    rows = [c.row for c in result.rows]
    pairs = list(zip(rows, again, strict=True))
    for name, classes in (
        ("spfm", (TRANSIENT, PERMANENT)),
        ("spfm_transient", (TRANSIENT,)),
        ("spfm_permanent", (PERMANENT,)),
    ):
        part = [rates for row, rates in pairs if row.fault_class in classes]
        yield name, _share(_sum(part, *_HARMLESS), _sum(part, "base")), 1.0
    lasting = [rates for row, rates in pairs if row.fault_class == PERMANENT]
    seen = _sum(lasting, "safe_fit", "detected_fit")
    whole = seen + _sum(lasting, "latent_fit")
    applies = whole > NOTHING * _sum(lasting, "base")
    yield "lfm", seen / whole if applies else None, 1.0
    pair_terms = _pair_terms(pairs, result.mission_hours, result.detection_hours)
    dual = math.fsum(term for term, _ in pair_terms)
    pmhf = _sum(again, "base") - _sum(again, *_HARMLESS) + dual
    hours = result.mission_hours / 2 + result.detection_hours
    yield "pmhf_dual_point_fit", dual, _sum(again, "base") ** 2 * hours / 1e9
    yield "pmhf_fit", pmhf, None
    yield "raw_fit", _sum(again, "base"), None
    own = [rates for row, rates in pairs if not row.latent_only]
    yield "dangerous_fit", _sum(own, "base") - _sum(own, "safe_fit"), None
    yield "detected_fit", _sum(own, "latent_fit", "detected_fit"), None
    yield "availability_fit", _sum(again, "availability_fit"), None
    yield "false_alarm_fit", _sum(again, "false_alarm_fit"), None
    violating = ("single_point_fit", "residual_fit")
    measured = _sum([r for row, r in pairs if row.evidence == "measured"], *violating)
    example = _sum([r for row, r in pairs if row.mark == "E"], *violating)
    example += math.fsum(term for term, marks in pair_terms if "E" in marks)
    whole = _sum(again, *violating) + dual
    applies = whole > NEGLIGIBLE * _sum(again, "base")
    yield "pmhf_measured_share", measured / whole if applies else None, 1.0
    yield "pmhf_example_share", example / whole if applies else None, 1.0


def _pair_terms(
    pairs: Sequence[tuple[FmedaRow, _Rates]], mission: float, detection: float
) -> list[tuple[float, str]]:
    """(rate, marks of both) for every block's row and every mechanism that guards it: the fault
    that comes first waits half the mission if latent, the detection time if not."""
    terms = []
    for row, block in pairs:
        for mechanism, own in pairs:
            inside = f"{row.block}.".startswith(f"{mechanism.partner}.")
            if row.latent_only or not mechanism.latent_only or not inside:
                continue
            second = {"block": 0.0, "own": 0.0}
            for name, rates in (("block", block), ("own", own)):
                second[name] = rates["latent_fit"] + rates["detected_fit"]
            hours = 0.0
            for first, other in ((own, second["block"]), (block, second["own"])):
                wait = first["latent_fit"] * mission / 2 + first["detected_fit"] * detection
                hours += wait * other
            terms.append((hours / 1e9, row.mark + mechanism.mark))
    return terms


def _sum(rows: Iterable[_Rates], *names: str) -> float:
    return math.fsum(rates[name] for rates in rows for name in names)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0.0 else None


def _close(a: float | None, b: float | None, scale: float) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE * scale)
