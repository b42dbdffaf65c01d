"""Protections of on-chip structures: what they catch and what they cost.

Coverages start from the ceilings of ISO 26262-5 annex D as public guides quote them (low 60 %,
medium 90 %, high 99 %); a ceiling is a claim, and measured coverage may stand in for it later.
Costs are example values unless their source says otherwise. Marks: ``S`` read in a public source,
``R`` recalled, ``D`` derived, ``E`` example value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from accelsim.arch.parts import Accelerator
from accelsim.errors import AccelsimError, Mistake, suggest

STRUCTURES = (
    "scratchpad", "weight_scratchpad", "accumulators", "array", "vector", "control", "dram",
)  # fmt: skip
"""What a protection can be applied to: the keys of ``Accelerator.protection``."""

LOW, MEDIUM, HIGH = 0.60, 0.90, 0.99
_ALL = frozenset(STRUCTURES)
_SRAMS = frozenset({"scratchpad", "weight_scratchpad", "accumulators"})
_MEMORIES = _SRAMS | {"dram"}
_LOGIC = frozenset({"array", "vector", "control"})


@dataclass(frozen=True)
class Protection:
    """One mechanism. Coverages are shares in [0, 1] of the rate of a fault class."""

    name: str
    applies_to: frozenset[str]
    """Subset of :data:`STRUCTURES`."""
    source: str
    mark: str
    coverage_transient: float = 0.0
    coverage_permanent: float = 0.0
    corrected_transient: float = 0.0
    """Share of the covered upsets that is corrected; the rest is detected and stops the system."""
    corrected_permanent: float = 0.0
    """The same for permanent faults."""
    coverage_latent: float = 0.0
    """Share of the covered permanent faults that is reported before a second fault."""
    coverage_own: float = 0.0
    """Share of the permanent faults of the mechanism's own hardware that is reported before a
    second fault: 0 unless something tests it."""
    rate_factor: float = 1.0
    """Upset rate of the structure over its rate without. Prevention, no diagnostic coverage: what
    does not happen is neither detected nor corrected."""
    copies: int = 0
    """Further copies of the structure. Their upsets endanger nothing alone, but the comparison sees
    them: false alarms."""
    periodic: bool = False
    """Finds faults only when its test runs, so that a detection time must be stated."""
    area_factor: float = 1.0
    """Area of the protected structure over its area without, hardened flip-flops not included."""
    register_area_factor: float = 1.0
    """On top of ``area_factor``: area of the structure's flip-flops over their area without. This
    area is part of the structure, not of a mechanism."""
    energy_factor: float = 1.0
    """Dynamic energy of the protected structure over its energy without."""
    latency_cycles: int = 0
    """Added to every task that touches the structure (one pipeline stage = 1)."""


_KNOWN = (
    Protection("none", _ALL, "no mechanism", "D"),
    Protection(
        "parity", _SRAMS,
        "coverage: RAM parity, low (26262-5 annex D, S); 1 bit per 32-bit word (D); "
        "2 % energy for the parity trees, check beside the read; nothing tests the trees (E)", "E",
        coverage_transient=LOW, coverage_permanent=LOW, coverage_latent=HIGH,
        area_factor=33 / 32, energy_factor=33 / 32 + 0.02,
    ),
    Protection(
        "secded", _MEMORIES,
        "coverage: RAM ECC, high (26262-5 annex D, S); 8 check bits per 64-bit word = 12.5 % (D); "
        "5 % energy for encoder and decoder, 1 pipeline stage, 2 % of upsets hit two bits of a "
        "word and are detected only, permanent faults are reported and stop the system, nothing "
        "tests encoder and decoder (E)", "E",
        coverage_transient=HIGH, coverage_permanent=HIGH, corrected_transient=0.98,
        coverage_latent=HIGH, area_factor=72 / 64, energy_factor=72 / 64 + 0.05, latency_cycles=1,
    ),
    Protection(
        "hardened", _LOGIC,
        "flip-flops with a tenth of the upset rate at twice the area of a flip-flop (E)", "E",
        rate_factor=0.1, register_area_factor=2.0, energy_factor=1.2,
    ),
    Protection(
        "self_test", _SRAMS | _LOGIC,
        "coverage: self-test, medium (26262-5 annex D, S), of the structure and of its other "
        "mechanisms; permanent faults only, run outside the inference every self_test_interval; "
        "5 % area, which nothing tests (E)", "E",
        coverage_permanent=MEDIUM, coverage_latent=HIGH, periodic=True, area_factor=1.05,
    ),
    Protection(
        "dmr", _LOGIC | {"accumulators"},
        "coverage: duplication with comparison, high (26262-5 annex D, S); a second copy (D) and "
        "5 % for comparators, 1 pipeline stage (E); the comparison finds faults of the copy, "
        "nothing those of the comparators: 0.99 x 1 / 1.05 (D)", "E",
        coverage_transient=HIGH, coverage_permanent=HIGH, coverage_latent=HIGH,
        coverage_own=HIGH * 1 / 1.05, copies=1,
        area_factor=2.05, energy_factor=2.05, latency_cycles=1,
    ),
    Protection(
        "tmr", _LOGIC | {"accumulators"},
        "coverage: replication, high (26262-5 annex D, S); two more copies (D) and 10 % for "
        "voters, 1 pipeline stage, disagreements are reported (E); nothing tests the voters: "
        "0.99 x 2 / 2.1 (D)", "E",
        coverage_transient=HIGH, coverage_permanent=HIGH, corrected_transient=0.99,
        corrected_permanent=0.99, coverage_latent=HIGH, coverage_own=HIGH * 2 / 2.1, copies=2,
        area_factor=3.1, energy_factor=3.1, latency_cycles=1,
    ),
    Protection(
        "lockstep", _LOGIC,
        "coverage: lockstep, high (26262-5 annex D, S); a second copy (D), 10 % for delay and "
        "comparison, 2 cycles of delay (E); nothing tests the comparison: 0.99 x 1 / 1.1 (D)", "E",
        coverage_transient=HIGH, coverage_permanent=HIGH, coverage_latent=HIGH,
        coverage_own=HIGH * 1 / 1.1, copies=1,
        area_factor=2.1, energy_factor=2.1, latency_cycles=2,
    ),
)  # fmt: skip

PROTECTIONS: Mapping[str, Protection] = MappingProxyType({p.name: p for p in _KNOWN})
"""Single mechanisms by name. :func:`resolve` also reads joined names: ``secded+self_test``."""


def combine(first: Protection, second: Protection) -> Protection:
    """Both mechanisms on one structure.

    Coverage per fault class is that of the better one (no credit for independence), and so is the
    share that is corrected (the lower one where both are equally good); latent coverage is that of
    the one that leads on permanent faults. Factors multiply, latencies and copies add. What tests
    the mechanisms' own hardware is in :func:`own_coverage`, mechanism by mechanism.
    """
    by_permanent = max(first, second, key=lambda p: p.coverage_permanent)
    transient = max(first.coverage_transient, second.coverage_transient)
    permanent = max(first.coverage_permanent, second.coverage_permanent)
    both = (first, second)
    return Protection(
        name=f"{first.name}+{second.name}",
        applies_to=first.applies_to & second.applies_to,
        source=f"{first.source}; and {second.source}",
        mark=max(first.mark, second.mark, key="SRDE".index),
        coverage_transient=transient,
        coverage_permanent=permanent,
        corrected_transient=min(
            p.corrected_transient for p in both if p.coverage_transient == transient
        ),
        corrected_permanent=min(
            p.corrected_permanent for p in both if p.coverage_permanent == permanent
        ),
        coverage_latent=by_permanent.coverage_latent,
        coverage_own=min(first.coverage_own, second.coverage_own),
        rate_factor=first.rate_factor * second.rate_factor,
        copies=first.copies + second.copies,
        periodic=first.periodic or second.periodic,
        area_factor=first.area_factor * second.area_factor,
        register_area_factor=first.register_area_factor * second.register_area_factor,
        energy_factor=first.energy_factor * second.energy_factor,
        latency_cycles=first.latency_cycles + second.latency_cycles,
    )


def mechanisms(name: str) -> tuple[Protection, ...]:
    """The single mechanisms that a (known) protection joins, in the order of its name."""
    return tuple(PROTECTIONS[word.strip()] for word in name.split("+"))


def own_coverage(mechanism: Protection, name: str) -> float:
    """Latent coverage of one mechanism's own hardware within the protection ``name``: what it
    states itself, or that of another, periodic one that tests it too."""
    others = [
        p.coverage_permanent for p in mechanisms(name) if p.periodic and p.name != mechanism.name
    ]
    return max((mechanism.coverage_own, *others))


def resolve(name: str) -> Protection:
    """The protection called ``name``, which may join several with ``+``.

    Raises AccelsimError (A701) for unknown names and (A702) for a combination that no structure
    can carry or that repeats a mechanism.
    """
    words = [word.strip() for word in name.split("+")]
    unknown = [word for word in words if word not in PROTECTIONS]
    if unknown:
        raise AccelsimError(
            Mistake("A701", f"unknown protection {word!r}", suggest(word, tuple(PROTECTIONS)))
            for word in unknown
        )
    found = PROTECTIONS[words[0]]
    for word in words[1:]:
        found = combine(found, PROTECTIONS[word])
    if len(set(words)) < len(words) or not found.applies_to:
        hint = "; ".join(f"{word}: {', '.join(sorted(PROTECTIONS[word].applies_to))}"
                         for word in dict.fromkeys(words))  # fmt: skip
        raise AccelsimError(Mistake("A702", f"no structure can carry {name!r}", hint))
    return found


def without_protections(accelerator: Accelerator) -> Accelerator:
    """The same machine without any protection."""
    levels = tuple(replace(level, protection="none") for level in accelerator.levels)
    return replace(accelerator, protection={}, levels=levels)


def protection_of(accelerator: Accelerator, structure: str) -> Protection:
    """The protection of one structure, or of a memory level by its name; ``none`` where the
    accelerator names none."""
    for level in accelerator.levels:
        if level.name == structure:
            return resolve(level.protection)
    return resolve(accelerator.protection.get(structure, "none"))
