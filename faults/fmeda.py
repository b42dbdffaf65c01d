"""Failure modes, effects and diagnostic analysis: ISO 26262-5 hardware metrics from rows of rates.

The formulas are those of the standard as quoted in public guides (the text itself is not public);
:func:`faults.budget.check_budget` recomputes every metric from the rows by other code and runs on
every result. All rates are in FIT (1e-9 per hour).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from accelsim.errors import AccelsimError, Mistake
from faults.budget import NEGLIGIBLE, NOTHING, check_budget
from faults.rows import PERMANENT, TRANSIENT, ClassifiedRow, Fmeda, FmedaRow

__all__ = [
    "METRIC_NAMES", "ROW_COLUMNS", "check_budget", "classify", "dangerous_fit", "dual_point_fit",
    "fmeda", "fmeda_csv", "fmeda_json",
]  # fmt: skip

EVIDENCE = ("measured", "assumed", "structural")
MARKS = ("S", "R", "D", "E")

LEAST_FIT = 1e-100
"""Smaller positive base rates would lose their digits in the arithmetic."""

_FIT = 1e-9
"""One FIT per hour."""


def fmeda(
    rows: Sequence[FmedaRow],
    *,
    mission_hours: float = 10_000.0,
    confidence: float | None = None,
    detection_hours: float = 0.0,
) -> Fmeda:
    """Classify every row and compute SPFM, LFM and PMHF.

    Per row, with K the coverages: dangerous = base x exposure x P(dangerous); single-point (no
    mechanism covers this class) or residual = dangerous (1 - K_RF); the rest of the dangerous rate
    needs a second fault: latent = dangerous K_RF (1 - K_latent) for permanent faults, detected
    otherwise. A ``latent_only`` row (a mechanism's own faults) is multiple-point with its whole
    exposed rate. Then (ISO 26262-5, annex C)
    SPFM = 1 - sum(SPF + RF) / sum(lambda), over all rows and per fault class, the mechanisms' own
    rows included: they are safety-related hardware;
    LFM = 1 - sum(latent) / sum(lambda - SPF - RF), over permanent rows: the latent metric is not
    applied to transients (ISO 26262-11); each is None when its denominator is zero;
    PMHF = sum(SPF + RF) + dual-point terms, see :func:`dual_point_fit`;
    availability = sum(base x exposure x K (1 - corrected)): a mechanism reports an upset of a value
    in use before anyone knows whether the answer would have changed.

    ``mission_hours`` is the vehicle's operating life; ``detection_hours`` the time within which a
    detected multiple-point fault is found and the system brought to a safe state; ``confidence``
    that of the bounds in measured rows. Raises AccelsimError F610 to F613 with all mistakes.
    """
    mistakes = _mistakes(rows, mission_hours, detection_hours, confidence)
    if mistakes:
        raise AccelsimError(mistakes)
    found = tuple(classify(row) for row in rows)
    dual, dual_example = _dual_point(found, mission_hours, detection_hours)
    pmhf = _violating(found) + dual
    measured = _violating(c for c in found if c.row.evidence == "measured")
    example = _violating(c for c in found if c.row.mark == "E") + dual_example
    shared = pmhf > NEGLIGIBLE * _base(found)
    functional = [c for c in found if not c.row.latent_only]
    result = Fmeda(
        rows=found,
        spfm=_spfm(found),
        spfm_transient=_spfm([c for c in found if c.row.fault_class == TRANSIENT]),
        spfm_permanent=_spfm([c for c in found if c.row.fault_class == PERMANENT]),
        lfm=_lfm(found),
        pmhf_fit=pmhf,
        pmhf_dual_point_fit=dual,
        raw_fit=math.fsum(row.base_fit for row in rows),
        dangerous_fit=math.fsum(dangerous_fit(c.row) for c in functional),
        detected_fit=math.fsum(c.latent_fit + c.detected_fit for c in functional),
        availability_fit=math.fsum(c.availability_fit for c in found),
        false_alarm_fit=math.fsum(c.false_alarm_fit for c in found),
        pmhf_measured_share=measured / pmhf if shared else None,
        pmhf_example_share=example / pmhf if shared else None,
        confidence=confidence if any(row.evidence == "measured" for row in rows) else None,
        mission_hours=mission_hours,
        detection_hours=detection_hours,
    )
    check_budget(result)
    return result


def dangerous_fit(row: FmedaRow) -> float:
    """Rate that would violate the safety goal without any mechanism: raw x E x P(SDC | live)."""
    return 0.0 if row.latent_only else row.base_fit * row.exposure * row.p_dangerous


def classify(row: FmedaRow) -> ClassifiedRow:
    """Split a row's base rate into safe, single-point, residual and multiple-point rates."""
    live, dangerous = row.base_fit * row.exposure, dangerous_fit(row)
    uncovered = dangerous * (1.0 - row.coverage)
    multiple = live if row.latent_only else dangerous * row.coverage
    latent = multiple * (1.0 - row.coverage_latent) if row.fault_class == PERMANENT else 0.0
    # A mechanism that covers nothing of this fault class leaves the fault a single-point fault.
    alone = row.coverage == 0.0
    of_mechanism = row.latent_only and row.fault_class == PERMANENT
    reported = row.coverage_latent if of_mechanism else row.coverage
    stops = (1.0 - row.corrected) * reported
    return ClassifiedRow(
        row=row,
        safe_fit=row.base_fit - (live if row.latent_only else dangerous),
        single_point_fit=uncovered if alone else 0.0,
        residual_fit=0.0 if alone else uncovered,
        latent_fit=latent,
        detected_fit=multiple - latent,
        availability_fit=live * stops,
        false_alarm_fit=(live - dangerous) * stops,
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
    return _dual_point(rows, mission_hours, detection_hours)[0]


def _dual_point(
    rows: Sequence[ClassifiedRow], mission_hours: float, detection_hours: float
) -> tuple[float, float]:
    """(dual-point rate, the part of it in which an example rate is a factor) in FIT."""
    terms, example = [], []
    for own in (c for c in rows if c.row.latent_only):
        mechanism = own.latent_fit + own.detected_fit
        for guarded in (c for c in rows if _guards(own.row, c.row)):
            block = guarded.latent_fit + guarded.detected_fit
            waits = own.latent_fit * block + guarded.latent_fit * mechanism
            brief = own.detected_fit * block + guarded.detected_fit * mechanism
            terms.append((0.5 * waits * mission_hours + brief * detection_hours) * _FIT)
            if "E" in (own.row.mark, guarded.row.mark):
                example.append(terms[-1])
    return math.fsum(terms), math.fsum(example)


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
    if rest <= NOTHING * _base(permanent):
        return None
    return 1.0 - math.fsum(c.latent_fit for c in permanent) / rest


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


SHARES = (
    "exposure", "p_dangerous", "p_point", "p_lower", "coverage", "corrected", "coverage_latent",
)  # fmt: skip
"""Fields of a row that lie in [0, 1]."""


def _row_mistakes(row: FmedaRow) -> list[Mistake]:
    name, found = _name(row), []
    for field in SHARES:
        value = getattr(row, field)
        if not 0.0 <= value <= 1.0:
            text = f"{name}: {field} is {value}, not a share between 0 and 1"
            found.append(Mistake("F610", text, "a percentage of 99 is written 0.99"))
    if not (math.isfinite(row.base_fit) and (row.base_fit == 0.0 or row.base_fit >= LEAST_FIT)):
        text = f"{name}: base_fit is {row.base_fit}: a rate in FIT, 0 or at least {LEAST_FIT:g}"
        found.append(Mistake("F611", text))
    if row.bits < 0:
        found.append(Mistake("F611", f"{name}: bits is {row.bits}"))
    if row.p_point > row.p_dangerous:
        text = f"{name}: p_point {row.p_point} exceeds its bound p_dangerous {row.p_dangerous}"
        found.append(Mistake("F610", text))
    if row.p_lower > row.p_point:
        text = f"{name}: p_lower {row.p_lower} exceeds the point estimate p_point {row.p_point}"
        found.append(Mistake("F610", text))
    if row.mark not in MARKS:
        text = f"{name}: unknown mark '{row.mark}' of its base rate"
        found.append(Mistake("F612", text, "known: " + ", ".join(MARKS)))
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
    "false_alarm_fit", "p_lower", "mark",
)  # fmt: skip
"""Columns of the exports. ``safe_fraction`` is 1 - exposure x P, at the bound and at the point."""

METRIC_NAMES = (
    "spfm", "spfm_transient", "spfm_permanent", "lfm", "pmhf_fit", "pmhf_dual_point_fit",
    "raw_fit", "dangerous_fit", "detected_fit", "availability_fit", "confidence", "mission_hours",
    "false_alarm_fit", "pmhf_measured_share", "pmhf_example_share", "detection_hours",
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
