"""How sure an energy is: all constants at the ends of their published spreads, and one at a time.

A constant is a group of a table (all SRAM points together, say). Where only one public figure was
found, low and high are that figure; the share of the total that goes through a constant says how
much would change if it were wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from accelsim.arch.parts import Accelerator
from accelsim.cost.activity import Activity
from accelsim.cost.constants import Constants, constants
from accelsim.cost.energy import energy_of
from accelsim.cost.tables import Entry, group_of

LEAKAGE = "leakage"
"""The constant that stands for all leakage: an input of the accelerator, without a spread."""


@dataclass(frozen=True)
class Sensitivity:
    """One constant alone at its ends, everything else as it is."""

    constant: str
    low_j: float
    """Total energy with it at its low end; likewise high."""
    high_j: float
    share: float
    """Part of the total energy that is proportional to it, in [0, 1]."""

    @property
    def swing_j(self) -> float:
        """How far it alone moves the total."""
        return self.high_j - self.low_j


@dataclass(frozen=True)
class EnergyBands:
    """Total energy in joules with its band."""

    low_j: float
    value_j: float
    high_j: float
    ranking: tuple[Sensitivity, ...]
    """Every constant that takes part: largest swing first, then largest share."""


def energy_bands(activity: Activity, accelerator: Accelerator) -> EnergyBands:
    """Band of a run's total energy: everything low, everything high, and each constant alone.

    Raises AccelsimError for what :func:`accelsim.cost.constants.constants` refuses.
    """
    figures = constants(accelerator)

    def total(ends: Mapping[str, str]) -> float:
        return energy_of(activity, accelerator, figures.at(ends)).total_j

    found = energy_of(activity, accelerator, figures)
    whole = found.total_j
    ranking = []
    for group in figures.groups:
        share = _share(activity, accelerator, figures, group)
        if share > 0.0:
            low, high = total({group: "low"}), total({group: "high"})
            ranking.append(Sensitivity(group, low, high, share))
    leaking = found.static_j / whole if whole else 0.0
    if leaking > 0.0 and not any(group.endswith(".leak") for group in figures.groups):
        ranking.append(Sensitivity(LEAKAGE, whole, whole, leaking))
    ranking.sort(key=lambda s: (-s.swing_j, -s.share, s.constant))
    return EnergyBands(
        low_j=total(dict.fromkeys(figures.groups, "low")),
        value_j=whole,
        high_j=total(dict.fromkeys(figures.groups, "high")),
        ranking=tuple(ranking),
    )


def _share(activity: Activity, accelerator: Accelerator, figures: Constants, group: str) -> float:
    """Part of the energy that doubles with a group: energies are linear in each of them."""
    doubled = {
        name: replace(entry, value=2 * entry.value) if group_of(name) == group else entry
        for name, entry in figures.entries.items()
    }
    before = energy_of(activity, accelerator, figures).total_j
    after = energy_of(activity, accelerator, replace(figures, entries=doubled)).total_j
    return (after - before) / before if before else 0.0


def constant_rows(accelerator: Accelerator) -> tuple[dict[str, object], ...]:
    """Every energy constant of a run with value, spread, source, node and confidence, by name."""
    found = constants(accelerator).entries
    return tuple(_row(name, found[name]) for name in sorted(found))


def _row(name: str, entry: Entry) -> dict[str, object]:
    return {
        "name": name,
        "value": entry.value,
        "low": entry.low,
        "high": entry.high,
        "unit": entry.unit,
        "node_nm": entry.node_nm or None,
        "confidence": entry.confidence,
        "source": entry.source,
        "spread": entry.spread,
    }
