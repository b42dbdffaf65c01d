"""What a campaign injects and what it found: frozen values, no execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("weight", "bias", "activation", "accumulator")


@dataclass(frozen=True)
class Target:
    """A population of stored bits in which single upsets strike uniformly.

    ``kind`` says how an upset acts:
    ``weight`` / ``bias``: one bit of one element of the initializer ``tensor`` for the
    whole inference;
    ``activation``: one bit of one element of the tensor ``tensor`` as all its readers see it;
    ``accumulator``: one bit of the 32-bit sum (bias included, before requantisation) of one
    element of the convolution or matrix product whose output is ``tensor``.
    """

    structure: str
    """Stratum and FMEDA block, e.g. ``scratchpad.weight``."""
    kind: str
    tensor: str
    exposure: int
    """Bit-cycles of residency: the sampling weight."""


@dataclass(frozen=True)
class UpsetPlan:
    """Single upsets drawn in proportion to exposure, with a floor per structure."""

    targets: tuple[Target, ...]
    faults: int
    images_per_fault: int
    seed: int = 0
    confidence: float = 0.95
    floor: int = 200
    """Least number of faults in a structure with any exposure (weights correct for it)."""


@dataclass(frozen=True)
class RatePlan:
    """Fault maps: every stored weight and bias bit flips with probability ``rate``."""

    rates: tuple[float, ...]
    maps: int
    images_per_map: int
    clip: str = "none"
    bounds: Mapping[str, float] | None = None
    """ReLU output tensor -> profiled maximum; None: profile on the evaluation images."""
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class Estimate:
    """Mean of a [0, 1] quantity over faults, with a confidence interval valid for bounded means."""

    mean: float
    lower: float
    upper: float
    confidence: float
    n: int


@dataclass(frozen=True)
class FaultRecord:
    """One upset, or one fault map, and what it did."""

    index: int
    stratum: str
    """Structure, or ``rate=1e-05``."""
    kind: str
    tensor: str
    element: int
    """Flat index into the tensor (activations and accumulators: of one image); -1 for maps."""
    bit: int
    flips: int
    images: int
    sdc1: int
    """Images whose top-1 differs from the fault-free run."""
    correct: int
    """Images classified correctly under the fault."""
    nonfinite: int
    """Images with a NaN or Inf output."""
    outcome: str
    """``masked`` (all output bits equal), ``benign`` (top-1 all equal) or ``sdc``."""


@dataclass(frozen=True)
class StructureResult:
    """Outcome of the upsets in one structure."""

    structure: str
    share: float
    """Of all exposure."""
    sdc: Estimate
    """Its interval and those of the other structures hold together (Bonferroni)."""
    masked: float
    """Share of upsets with no visible effect on any image."""
    by_tensor: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Tensor -> (faults, mean SDC-1 rate)."""


@dataclass(frozen=True)
class RateResult:
    """Outcome of the fault maps at one rate."""

    rate: float
    clip: str
    accuracy: Estimate
    accuracy_worst: float
    sdc: Estimate
    nonfinite: float
    """Share of (map, image) pairs with NaN or Inf outputs."""


@dataclass(frozen=True)
class CampaignResult:
    """Everything a campaign found."""

    model: str
    format: str
    """``int8`` or ``float32``: results never mix formats."""
    images: int
    """Size of the evaluation set in use."""
    accuracy_fault_free: float
    faults: int
    sdc: Estimate | None
    """Over all structures, weighted by exposure (upset campaigns)."""
    accuracy: Estimate | None
    """Mean top-1 under fault (upsets: exposure-weighted; maps: at the highest rate)."""
    accuracy_worst: float | None
    structures: tuple[StructureResult, ...] = ()
    rates: tuple[RateResult, ...] = ()
    records: tuple[FaultRecord, ...] = ()
    self_test: str = ""
    """Which arithmetic was checked against the integer reference, and the result."""
    notes: tuple[str, ...] = ()
