"""Failure modes, effects and diagnostic analysis: ISO 26262-5 hardware metrics from rows of rates.

The formulas are those of the standard as quoted in public guides (the text itself is not public);
:func:`check_budget` re-derives the sums on another path and runs on every result. All rates are in
FIT (1e-9 per hour).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from accelsim.errors import AccelsimError, Mistake
from faults.rows import PERMANENT, TRANSIENT, ClassifiedRow, Fmeda, FmedaRow

EVIDENCE = ("measured", "assumed", "structural")

_FIT = 1e-9
"""One FIT per hour."""

_TOLERANCE = 1e-9
"""Relative tolerance of the budget check."""


def fmeda(
    rows: Sequence[FmedaRow],
    *,
    mission_hours: float = 10_000.0,
    confidence: float | None = None,
    detection_hours: float = 0.0,
) -> Fmeda:
    """Classify every row and compute SPFM, LFM and PMHF.

    Per row, with K the coverages: dangerous = base x exposure x P(dangerous); single-point
    (without mechanism) or residual = dangerous (1 - K_RF); the rest of the dangerous rate needs a
    second fault: latent = (dangerous - residual)(1 - K_latent) for permanent faults, detected
    otherwise. A ``latent_only`` row (a mechanism's own faults) is multiple-point with its whole
    rate. Then (ISO 26262-5, annex C)
    SPFM = 1 - sum(SPF + RF) / sum(lambda), over all rows and per fault class;
    LFM = 1 - sum(latent) / sum(lambda - SPF - RF), over permanent rows: the latent metric is not
    applied to transients (ISO 26262-11); each is None when its denominator is zero;
    PMHF = sum(SPF + RF) + dual-point terms, see :func:`dual_point_fit`.

    ``mission_hours`` is the vehicle's operating life; ``detection_hours`` the time within which a
    detected multiple-point fault is found and the system brought to a safe state; ``confidence``
    that of the bounds in measured rows. Raises AccelsimError F610 to F613 with all mistakes.
    """
    mistakes = _mistakes(rows, mission_hours, detection_hours, confidence)
    if mistakes:
        raise AccelsimError(mistakes)
    found = tuple(classify(row) for row in rows)
    violating = _violating(found)
    dual = dual_point_fit(found, mission_hours, detection_hours)
    functional = [c for c in found if not c.row.latent_only]
    dangerous = math.fsum(dangerous_fit(c.row) for c in functional)
    result = Fmeda(
        rows=found,
        spfm=_spfm(found),
        spfm_transient=_spfm([c for c in found if c.row.fault_class == TRANSIENT]),
        spfm_permanent=_spfm([c for c in found if c.row.fault_class == PERMANENT]),
        lfm=_lfm(found),
        pmhf_fit=violating + dual,
        pmhf_dual_point_fit=dual,
        raw_fit=math.fsum(row.base_fit for row in rows),
        dangerous_fit=dangerous,
        detected_fit=math.fsum(c.latent_fit + c.detected_fit for c in functional),
        availability_fit=math.fsum(c.availability_fit for c in found),
        confidence=confidence if any(row.evidence == "measured" for row in rows) else None,
        mission_hours=mission_hours,
    )
    check_budget(result)
    return result


def dangerous_fit(row: FmedaRow) -> float:
    """Rate that would violate the safety goal without any mechanism: raw x E x P(SDC | live)."""
    return 0.0 if row.latent_only else row.base_fit * row.exposure * row.p_dangerous


def classify(row: FmedaRow) -> ClassifiedRow:
    """Split a row's base rate into safe, single-point, residual and multiple-point rates."""
    dangerous = dangerous_fit(row)
    uncovered = dangerous * (1.0 - row.coverage)
    multiple = row.base_fit if row.latent_only else dangerous - uncovered
    latent = multiple * (1.0 - row.coverage_latent) if row.fault_class == PERMANENT else 0.0
    detected = multiple - latent
    alone = row.mechanism == "none"
    return ClassifiedRow(
        row=row,
        safe_fit=0.0 if row.latent_only else row.base_fit - dangerous,
        single_point_fit=uncovered if alone else 0.0,
        residual_fit=0.0 if alone else uncovered,
        latent_fit=latent,
        detected_fit=detected,
        availability_fit=detected * (1.0 - row.corrected),
    )


def dual_point_fit(
    rows: Sequence[ClassifiedRow], mission_hours: float, detection_hours: float
) -> float:
    """Rate at which a mechanism and the block it guards fail together, both orders, in FIT.

    For a mechanism's own rates SM and the multiple-point rates IF of its partner block (and of the
    parts of that block: partner ``ram`` guards ``ram.weights`` too), a first
    fault that stays latent waits half the mission on average, a detected one at most the detection
    time:
    mechanism first: SM_latent IF T_life / 2 + SM_detected IF T_detect;
    block first: IF_latent SM T_life / 2 + IF_detected SM T_detect.
    (ISO 26262-10, recalled, not re-read.) 100 FIT latent in the mechanism and 100 FIT in the block
    over 10,000 h: 0.05 FIT.
    """
    terms = []
    for own in (c for c in rows if c.row.latent_only):
        mechanism = own.latent_fit + own.detected_fit
        for guarded in (c for c in rows if _guards(own.row, c.row)):
            block = guarded.latent_fit + guarded.detected_fit
            waits = own.latent_fit * block + guarded.latent_fit * mechanism
            brief = own.detected_fit * block + guarded.detected_fit * mechanism
            terms.append((0.5 * waits * mission_hours + brief * detection_hours) * _FIT)
    return math.fsum(terms)


def _guards(own: FmedaRow, other: FmedaRow) -> bool:
    inside = other.block == own.partner or other.block.startswith(own.partner + ".")
    return bool(own.partner) and inside and not other.latent_only


def _violating(rows: Iterable[ClassifiedRow]) -> float:
    return math.fsum(c.single_point_fit + c.residual_fit for c in rows)


def _base(rows: Iterable[ClassifiedRow]) -> float:
    return math.fsum(c.row.base_fit for c in rows)


def _spfm(rows: Sequence[ClassifiedRow]) -> float | None:
    total = _base(rows)
    return 1.0 - _violating(rows) / total if total > 0.0 else None


def _lfm(rows: Sequence[ClassifiedRow]) -> float | None:
    permanent = [c for c in rows if c.row.fault_class == PERMANENT]
    rest = math.fsum(c.safe_fit + c.latent_fit + c.detected_fit for c in permanent)
    return 1.0 - math.fsum(c.latent_fit for c in permanent) / rest if rest > 0.0 else None


def check_budget(result: Fmeda) -> None:
    """Independent check of an FMEDA: nothing lost, nothing counted twice.

    Every row's rates are non-negative and sum to its base rate; the totals are the rows' sums; the
    metrics agree with their complementary form (share of the rate that does *not* violate the
    goal). Raises AccelsimError F620 with every discrepancy.
    """
    mistakes = [m for c in result.rows for m in _row_discrepancies(c)]
    pairs: list[tuple[str, float | None, float | None]] = [
        ("raw rate", result.raw_fit, _base(result.rows)),
        ("PMHF", result.pmhf_fit, _violating(result.rows) + result.pmhf_dual_point_fit),
        ("SPFM", result.spfm, _harmless_share(result.rows)),
    ]
    for kind, value in (
        (TRANSIENT, result.spfm_transient),
        (PERMANENT, result.spfm_permanent),
    ):
        part = [c for c in result.rows if c.row.fault_class == kind]
        pairs.append((f"SPFM of {kind} faults", value, _harmless_share(part)))
    mistakes += [
        Mistake("F620", f"{name} is {got}, the rows give {expected}")
        for name, got, expected in pairs
        if not _close(got, expected)
    ]
    if mistakes:
        raise AccelsimError(mistakes)


def _row_discrepancies(classified: ClassifiedRow) -> list[Mistake]:
    rates = (
        classified.safe_fit,
        classified.single_point_fit,
        classified.residual_fit,
        classified.latent_fit,
        classified.detected_fit,
    )
    base, name = classified.row.base_fit, _name(classified.row)
    found = []
    if not _close(math.fsum(rates), base):
        text = f"{name}: its rates sum to {math.fsum(rates)} FIT, its base rate is {base} FIT"
        found.append(Mistake("F620", text))
    if min(rates) < -_TOLERANCE * base:
        found.append(Mistake("F620", f"{name}: a rate is negative: {min(rates)} FIT"))
    return found


def _harmless_share(rows: Sequence[ClassifiedRow]) -> float | None:
    total = _base(rows)
    if total <= 0.0:
        return None
    return math.fsum(c.safe_fit + c.latent_fit + c.detected_fit for c in rows) / total


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _name(row: FmedaRow) -> str:
    return f"FMEDA row '{row.block}' ({row.fault_class})"


def _mistakes(
    rows: Sequence[FmedaRow], mission: float, detection: float, confidence: float | None
) -> list[Mistake]:
    found = [m for row in rows for m in _row_mistakes(row)]
    if not rows:
        found.append(Mistake("F613", "an FMEDA needs at least one row", "no rows is not 0 FIT"))
    if not (math.isfinite(mission) and mission > 0.0):
        found.append(Mistake("F613", f"mission_hours is {mission}: it must be positive"))
    if not (math.isfinite(detection) and detection >= 0.0):
        found.append(Mistake("F613", f"detection_hours is {detection}: it must not be negative"))
    if confidence is not None and not 0.0 < confidence < 1.0:
        found.append(Mistake("F613", f"confidence {confidence} is not between 0 and 1"))
    for row in rows:
        if row.latent_only and not any(_guards(row, other) for other in rows):
            text = f"{_name(row)} guards '{row.partner}', which has no row of its own"
            found.append(Mistake("F612", text, "partner names the block whose faults it covers"))
    return found


def _row_mistakes(row: FmedaRow) -> list[Mistake]:
    name, found = _name(row), []
    for field in ("exposure", "p_dangerous", "p_point", "coverage", "corrected", "coverage_latent"):
        value = getattr(row, field)
        if not 0.0 <= value <= 1.0:
            text = f"{name}: {field} is {value}, not a share between 0 and 1"
            found.append(Mistake("F610", text, "a percentage of 99 is written 0.99"))
    if not (math.isfinite(row.base_fit) and row.base_fit >= 0.0):
        found.append(Mistake("F611", f"{name}: base_fit is {row.base_fit}: a rate in FIT, >= 0"))
    if row.bits < 0:
        found.append(Mistake("F611", f"{name}: bits is {row.bits}"))
    if row.p_point > row.p_dangerous:
        text = f"{name}: p_point {row.p_point} exceeds its bound p_dangerous {row.p_dangerous}"
        found.append(Mistake("F610", text))
    if row.fault_class not in (TRANSIENT, PERMANENT):
        text = f"{name}: unknown fault class '{row.fault_class}'"
        found.append(Mistake("F612", text, f"known: {PERMANENT}, {TRANSIENT}"))
    if row.evidence not in EVIDENCE:
        text = f"{name}: unknown evidence '{row.evidence}'"
        found.append(Mistake("F612", text, "known: " + ", ".join(EVIDENCE)))
    if row.mechanism == "none" and row.coverage > 0.0:
        text = f"{name}: coverage {row.coverage} without a mechanism"
        found.append(Mistake("F612", text, "name the mechanism or set coverage to 0"))
    return found


ROW_COLUMNS = (
    "block", "element", "fault_class", "bits", "base_fit", "exposure", "p_dangerous", "p_point",
    "safe_fraction", "safe_fraction_point", "mechanism", "coverage", "corrected",
    "coverage_latent", "safe_fit", "single_point_fit", "residual_fit", "latent_fit",
    "detected_fit", "availability_fit", "evidence", "latent_only", "partner", "source",
)  # fmt: skip
"""Columns of the exports. ``safe_fraction`` is 1 - exposure x P, at the bound and at the point."""

METRIC_NAMES = (
    "spfm", "spfm_transient", "spfm_permanent", "lfm", "pmhf_fit", "pmhf_dual_point_fit",
    "raw_fit", "dangerous_fit", "detected_fit", "availability_fit", "confidence", "mission_hours",
)  # fmt: skip


def _cells(classified: ClassifiedRow) -> dict[str, Any]:
    row = classified.row
    safe = {
        "safe_fraction": 1.0 - row.exposure * row.p_dangerous,
        "safe_fraction_point": 1.0 - row.exposure * row.p_point,
    }
    return {
        name: safe[name] if name in safe else getattr(classified, name, getattr(row, name, None))
        for name in ROW_COLUMNS
    }


def fmeda_json(result: Fmeda) -> dict[str, Any]:
    """Plain JSON-able form: ``rows`` (objects with :data:`ROW_COLUMNS`) and ``metrics``."""
    return {
        "rows": [_cells(c) for c in result.rows],
        "metrics": {name: getattr(result, name) for name in METRIC_NAMES},
    }


def fmeda_csv(result: Fmeda) -> str:
    """The rows as CSV with :data:`ROW_COLUMNS`; text that a spreadsheet would take for a formula
    is marked as text by a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ROW_COLUMNS)
    for classified in result.rows:
        writer.writerow([_csv_cell(value) for value in _cells(classified).values()])
    return out.getvalue()


def _csv_cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else value
    return repr(value)
