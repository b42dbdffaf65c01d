"""Protections of on-chip structures: what they catch and what they cost.

Coverages start from the ceilings of ISO 26262-5 annex D as public guides quote them (low 60 %,
medium 90 %, high 99 %); a ceiling is a claim, and measured coverage may stand in for it later.
Costs are example values unless their source says otherwise. Marks: ``S`` read in a public source,
``R`` recalled, ``D`` derived, ``E`` example value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accelsim.arch.parts import Accelerator
from accelsim.errors import AccelsimError, Mistake, suggest

STRUCTURES = ("scratchpad", "accumulators", "array", "control", "dram")
"""What a protection can be applied to: the keys of ``Accelerator.protection``."""

LOW, MEDIUM, HIGH = 0.60, 0.90, 0.99
_ALL = frozenset(STRUCTURES)
_MEMORIES = frozenset({"scratchpad", "accumulators", "dram"})
_SRAMS = frozenset({"scratchpad", "accumulators"})
_LOGIC = frozenset({"array", "control"})


@dataclass(frozen=True)
class Protection:
    """One mechanism. Coverages are shares in [0, 1] of the dangerous rate of a fault class."""

    name: str
    applies_to: frozenset[str]
    """Subset of :data:`STRUCTURES`."""
    coverage_transient: float
    coverage_permanent: float
    corrected: float
    """Share of the covered rate that is corrected; the rest is detected and stops the system."""
    coverage_latent: float
    """Share of the covered permanent faults that is reported before a second fault."""
    area_factor: float
    """Area of the protected structure over its area without."""
    energy_factor: float
    """Dynamic energy of the protected structure over its energy without."""
    latency_cycles: int
    """Added to every task that touches the structure (one pipeline stage = 1)."""
    source: str
    mark: str
    register_area_factor: float = 1.0
    """On top of ``area_factor``: area of the structure's flip-flops over their area without."""


_KNOWN = (
    Protection(
        "none", _ALL, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0,
        "no mechanism", "D",
    ),
    Protection(
        "parity", _SRAMS, LOW, LOW, 0.0, 1.0, 33 / 32, 33 / 32 + 0.02, 0,
        "coverage: RAM parity, low (26262-5 annex D, S); 1 bit per 32-bit word (D); "
        "2 % energy for the parity trees, check beside the read (E)", "E",
    ),
    Protection(
        "secded", _MEMORIES, HIGH, HIGH, 0.98, 0.99, 72 / 64, 72 / 64 + 0.05, 1,
        "coverage: RAM ECC, high (26262-5 annex D, S); 8 check bits per 64-bit word = 12.5 % (D); "
        "5 % energy for encoder and decoder, 1 pipeline stage, 2 % of upsets hit two bits of a "
        "word and are detected only, errors are counted and reported (E)", "E",
    ),
    Protection(
        "hardened", _LOGIC, MEDIUM, 0.0, 1.0, 0.0, 1.0, 1.2, 0,
        "flip-flops with a tenth of the upset rate at twice the area of a flip-flop (E)", "E",
        register_area_factor=2.0,
    ),
    Protection(
        "self_test", _SRAMS | _LOGIC, 0.0, MEDIUM, 0.0, 1.0, 1.05, 1.0, 0,
        "coverage: self-test, medium (26262-5 annex D, S); permanent faults only, run outside "
        "the inference within the fault-tolerant time interval, 5 % area (E)", "E",
    ),
    Protection(
        "dmr", _LOGIC | {"accumulators"}, HIGH, HIGH, 0.0, 1.0, 2.05, 2.05, 1,
        "coverage: duplication with comparison, high (26262-5 annex D, S); a second copy (D) and "
        "5 % for comparators, 1 pipeline stage (E)", "E",
    ),
    Protection(
        "tmr", _LOGIC | {"accumulators"}, HIGH, HIGH, 0.99, 0.99, 3.1, 3.1, 1,
        "coverage: replication, high (26262-5 annex D, S); two more copies (D) and 10 % for "
        "voters, 1 pipeline stage, disagreements are reported (E)", "E",
    ),
    Protection(
        "lockstep", _LOGIC, HIGH, HIGH, 0.0, 1.0, 2.1, 2.1, 2,
        "coverage: lockstep, high (26262-5 annex D, S); a second copy (D), 10 % for delay and "
        "comparison, 2 cycles of delay (E)", "E",
    ),
)  # fmt: skip

PROTECTIONS: Mapping[str, Protection] = MappingProxyType({p.name: p for p in _KNOWN})
"""Single mechanisms by name. :func:`resolve` also reads joined names: ``secded+self_test``."""


def combine(first: Protection, second: Protection) -> Protection:
    """Both mechanisms on one structure.

    Coverage per fault class is that of the better one (no credit for independence), factors
    multiply and latencies add. The correction share is the lower one of the mechanisms that lead
    in some class; latent coverage is that of the one that leads on permanent faults.
    """
    by_permanent = max(first, second, key=lambda p: p.coverage_permanent)
    by_transient = max(first, second, key=lambda p: p.coverage_transient)
    leading = [p for p in (by_transient, by_permanent)
               if max(p.coverage_transient, p.coverage_permanent) > 0.0]  # fmt: skip
    return Protection(
        name=f"{first.name}+{second.name}",
        applies_to=first.applies_to & second.applies_to,
        coverage_transient=by_transient.coverage_transient,
        coverage_permanent=by_permanent.coverage_permanent,
        corrected=min((p.corrected for p in leading), default=0.0),
        coverage_latent=by_permanent.coverage_latent,
        area_factor=first.area_factor * second.area_factor,
        energy_factor=first.energy_factor * second.energy_factor,
        latency_cycles=first.latency_cycles + second.latency_cycles,
        source=f"{first.source}; and {second.source}",
        mark=max(first.mark, second.mark, key="SRDE".index),
        register_area_factor=first.register_area_factor * second.register_area_factor,
    )


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


def protection_of(accelerator: Accelerator, structure: str) -> Protection:
    """The protection of one structure; ``none`` where the accelerator names none."""
    return resolve(accelerator.protection.get(structure, "none"))
