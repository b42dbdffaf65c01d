"""A run as frozen values: what a config file means once it is read, checked and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System
from accelsim.errors import Location


@dataclass(frozen=True)
class WorkloadConfig:
    """Which network, and what to do with operators the simulator does not know."""

    model: str
    """Absolute path of the network's file."""
    batch: int = 1
    unsupported: str = "refuse"
    """``refuse`` or ``fallback`` (costed as element-wise work and listed in the report)."""
    precision: str = "file"
    """``file``, or ``int8``: simulated as if the network were quantised."""
    recurrent: str = "batched"
    """``batched`` or ``stepwise``: how the inputs of recurrent layers meet their weights."""


@dataclass(frozen=True)
class LayerMapping:
    """A fixed mapping of the operators whose name matches ``pattern``; None: left open."""

    pattern: str
    m: int | None = None
    n: int | None = None
    k: int | None = None
    order: str | None = None
    stream: tuple[str, ...] | None = None
    dataflow: str | None = None


@dataclass(frozen=True)
class MappingConfig:
    """What the mapping search minimises."""

    objective: str = "latency"
    """``latency``, ``energy``, ``traffic`` or ``edp``: what the plan minimises."""
    rule: str | None = None
    """A rule of ``accelsim.mapping.rules`` in place of search and solver."""
    layers: tuple[LayerMapping, ...] = ()
    """Fixed mappings, later ones override earlier ones."""


@dataclass(frozen=True)
class DynamicConfig:
    """Tiles that cores take while time passes (:mod:`accelsim.sim.dynamic`)."""

    policy: str = "auto"
    """A policy, or ``auto``: the fastest of ``static``, ``dynamic`` and ``tiles``."""
    tiles: int = 64
    """Of an operator's output, at most."""
    jitter: float = 0.0
    seed: int = 0
    node_cycles: int = 0
    barrier_cycles: int = 0
    locality: Fraction = Fraction(0)


@dataclass(frozen=True)
class ParallelConfig:
    """How a network is spread over several cores."""

    strategy: str = "auto"
    """A name of ``accelsim.multicore.strategies.STRATEGIES``, ``auto``, or ``dynamic``."""
    images: int = 1
    """Independent inferences that one run makes."""
    dynamic: DynamicConfig | None = None
    """How tiles are taken, with strategy ``dynamic``; None: by the defaults."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How order, residency and addresses are solved."""

    order: str = "free"
    """``free`` or ``given``."""
    solver: str = "cpsat"
    """``cpsat``, ``cbc`` or ``highs``."""
    effort: float = 20.0
    """Deterministic solver time (CP-SAT's unit, about a second): the same plan on any machine."""


@dataclass(frozen=True)
class DataConfig:
    """Labelled evaluation images: (x / divide_by - mean) / std per channel, NCHW."""

    file: str
    """Absolute path of an npz with ``images`` (uint8 or float [n, c, h, w]) and ``labels`` [n]."""
    divide_by: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    limit: int | None = None
    """Use only the first so many images."""


@dataclass(frozen=True)
class FaultsConfig:
    """A fault campaign."""

    mode: str
    """``exposure``: single upsets drawn by bits x resident time of the simulated plan;
    ``rate``: Binomial bit flips over all stored weights at a rate per bit."""
    count: int = 2000
    """exposure: number of upsets."""
    images_per_fault: int = 32
    rates: tuple[float, ...] = ()
    """rate: probabilities per bit."""
    maps: int = 60
    """rate: fault maps per rate."""
    clip: str = "none"
    """rate: ``none``, ``saturate`` or ``zero`` at profiled maxima."""
    bounds: str | None = None
    """Absolute path of a JSON {activation: maximum}; None: profiled on the evaluation images."""
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True)
class Rate:
    """A base failure rate with where it comes from."""

    value: float
    unit: str
    """``FIT/Mbit`` (1 Mbit = 1e6 bit), ``FIT/mm2``, ``FIT`` or ``1``."""
    source: str
    mark: str
    """``S`` read in a public source, ``R`` recalled, ``D`` derived, ``E`` example value."""


@dataclass(frozen=True)
class SafetyConfig:
    """Inputs of the FMEDA that no simulation can give."""

    sram_soft: Rate
    """Soft errors of SRAM, FIT/Mbit."""
    flipflop_soft: Rate
    """Soft errors of flip-flops, FIT/Mbit."""
    dram_soft: Rate
    """Soft errors of DRAM cells before the memory's own protection, FIT/Mbit."""
    die_permanent: Rate
    """Permanent faults of the die, FIT/mm2 of area in use."""
    dram_permanent: Rate
    """Permanent faults of the DRAM device, FIT."""
    safe_fraction_unmeasured: Rate
    """Share of upsets in unmeasured logic taken as safe (1 = all), unit '1'."""
    mission_hours: float = 10_000.0
    inference_period_s: float | None = None
    """None: back to back."""
    fault_tolerant_time_interval_s: float | None = None
    """From a fault to the hazard; needed for protections that test only now and then."""
    self_test_interval_s: float | None = None
    """Between two runs of the self-tests, at most the fault-tolerant time interval."""


@dataclass(frozen=True)
class TargetConfig:
    """A requirement. Exactly one of (at_least, at_most, between) or ``asil``."""

    location: Location
    metric: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    between: tuple[float, float] | None = None
    variant: str | None = None
    relative_to: str | None = None
    """Name of a variant (``base`` for the base run) or absolute path of a metrics.json."""
    asil: str | None = None
    budget_share: float | None = None


@dataclass(frozen=True)
class RunConfig:
    """One resolved run (the base, or one variant with its overrides applied)."""

    name: str
    workload: WorkloadConfig
    simulate: bool
    """False: faults only; no cycles, no energy, no FMEDA."""
    accelerator: Accelerator | None
    """None when ``simulate`` is false, or with a system of cores."""
    system: System | None
    """Unequal cores (or a link between equal ones) in place of the accelerator."""
    parallel: ParallelConfig | None
    """None: by the defaults."""
    mapping: MappingConfig
    schedule: ScheduleConfig
    data: DataConfig | None
    faults: FaultsConfig | None
    safety: SafetyConfig | None
    locations: Mapping[str, Location]
    """Dotted key -> where it was written, for later stages' messages (e.g. ``workload.model``)."""

    @property
    def machines(self) -> tuple[Accelerator, ...]:
        """The different cores that a run is simulated on; none with ``simulate: false``."""
        if self.system is not None:
            cores = self.system.cores
            return tuple(core for at, core in enumerate(cores) if core not in cores[:at])
        return () if self.accelerator is None else (self.accelerator,)

    @property
    def draws_exposures(self) -> bool:
        """Whether upsets are drawn from what the simulated schedule exposes."""
        return self.simulate and self.faults is not None and self.faults.mode == "exposure"

    @property
    def several(self) -> bool:
        """Whether the run is simulated as a system of cores."""
        many = self.accelerator is not None and self.accelerator.cores > 1
        return self.simulate and (self.system is not None or many)

    @property
    def dynamic(self) -> bool:
        """Whether cores take tiles while time passes."""
        return self.several and self.parallel is not None and self.parallel.strategy == "dynamic"


@dataclass(frozen=True)
class Study:
    """A config file: the base run, its variants and the targets on all of them."""

    name: str
    path: str
    base: RunConfig
    variants: Mapping[str, RunConfig]
    targets: tuple[TargetConfig, ...]
    sha256: str
    """Of the canonical JSON of the resolved configuration, paths made relative to the file."""
    canonical: str
    """That JSON."""
