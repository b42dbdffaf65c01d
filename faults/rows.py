"""FMEDA rows and metrics as frozen values. Rates in FIT (1e-9 per hour)."""

from __future__ import annotations

from dataclasses import dataclass

TRANSIENT, PERMANENT = "transient", "permanent"


@dataclass(frozen=True)
class FmedaRow:
    """One failure class of one block, before classification."""

    block: str
    """E.g. ``scratchpad.weight``."""
    element: str
    """Element type: ``SRAM``, ``flip-flop``, ``logic``, ``DRAM``, ``mechanism``."""
    fault_class: str
    """``transient`` or ``permanent``."""
    bits: int
    base_fit: float
    """Raw rate of the block for this class."""
    exposure: float
    """Fraction of bit-time in which the bit holds a value that will still be used, in [0, 1]."""
    p_dangerous: float
    """P(SDC | live) used for the metrics: the upper confidence bound where measured."""
    p_point: float
    """Its point estimate."""
    evidence: str
    """``measured`` (injection, bound), ``assumed`` (stated default) or ``structural``."""
    mechanism: str = "none"
    coverage: float = 0.0
    """Diagnostic coverage K_RF of the mechanism for this row's failure modes, in [0, 1]. Of a
    ``latent_only`` transient row: the share of its upsets that the mechanism itself reports."""
    corrected: float = 0.0
    """Share of the covered rate that is corrected; the rest is detected only (the system stops)."""
    coverage_latent: float = 0.0
    """K_latent: share of the multiple-point rate that is found before a second fault."""
    source: str = ""
    """Where base rate and coverage come from."""
    latent_only: bool = False
    """A mechanism's own fault: it endangers nothing alone, only together with a second fault."""
    partner: str = ""
    """For ``latent_only`` rows: the block whose faults this mechanism guards (dual-point terms)."""
    p_lower: float = 0.0
    """Lower confidence bound of P(SDC | live); equals ``p_point`` where nothing was measured."""
    mark: str = "E"
    """Of the base rate: ``S`` read in a public source, ``R`` recalled, ``D`` derived, ``E`` example
    value."""


@dataclass(frozen=True)
class ClassifiedRow:
    """A row with its rates: they sum to ``row.base_fit``."""

    row: FmedaRow
    safe_fit: float
    single_point_fit: float
    residual_fit: float
    latent_fit: float
    detected_fit: float
    """Multiple-point, detected or perceived."""
    availability_fit: float
    """Base x exposure x K x (1 - corrected): everything that the mechanism reports stops the
    system, whether or not it would have changed an answer. A mechanism's own faults: what is
    reported of them."""
    false_alarm_fit: float
    """Part of ``availability_fit`` that endangered nothing."""


@dataclass(frozen=True)
class Fmeda:
    """Metrics of a design. ``None`` where a denominator is zero (not applicable)."""

    rows: tuple[ClassifiedRow, ...]
    spfm: float | None
    spfm_transient: float | None
    spfm_permanent: float | None
    lfm: float | None
    pmhf_fit: float
    pmhf_dual_point_fit: float
    raw_fit: float
    dangerous_fit: float
    detected_fit: float
    availability_fit: float
    """Rate at which the system stops: detected and not corrected, false alarms included."""
    false_alarm_fit: float
    """Part of ``availability_fit`` that would not have violated the safety goal."""
    pmhf_measured_share: float | None
    """Share of ``pmhf_fit`` from rows whose probability was measured; None when PMHF is 0."""
    pmhf_example_share: float | None
    """Share of ``pmhf_fit`` from rows whose base rate is an example value (mark ``E``)."""
    confidence: float | None
    """Of the bounds that the metrics use; None when every row is assumed."""
    mission_hours: float
    detection_hours: float
    """Time within which a detected multiple-point fault is found and handled."""
