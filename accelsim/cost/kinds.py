"""Cores of several kinds: what each kind did, and the energy and area of all of them together.

Every kind is counted as a machine of its own, over the makespan of the whole; what belongs to a
shared memory is counted with the core that moved the bytes. One kind gives to the bit what its
machine alone gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from accelsim.arch.parts import Accelerator
from accelsim.cost.activity import Activity
from accelsim.cost.area import AreaBreakdown, area
from accelsim.cost.bands import EnergyBands, Sensitivity, constant_rows, energy_bands
from accelsim.cost.breakdown import EnergyBreakdown
from accelsim.cost.constants import constants
from accelsim.cost.energy import energy_of
from accelsim.plan import MemoryPlan

BY_NAME = ("levels_j", "static_by_block")
"""Fields of an energy breakdown that are a figure per name."""


@dataclass(frozen=True)
class CoreKind:
    """Equal cores of a design."""

    machine: Accelerator
    """``cores`` says how many there are."""
    activity: Activity
    """What all of them did, with the makespan of the design in ``cycles``."""
    members: tuple[int, ...] = (0,)
    """Their numbers."""
    label: str = ""
    """Tells their structures from those of other kinds; empty where there is one kind."""
    plans: tuple[MemoryPlan, ...] = ()
    """What each of them keeps where."""
    joined: bool = False
    """Their structures carry their numbers (``core1.scratchpad``)."""

    @property
    def scratchpad_bytes(self) -> int:
        """Scratchpad bytes that the plans ever allocate, in all of them."""
        return sum(plan.peak_bytes for plan in self.plans)

    @property
    def weight_scratchpad_bytes(self) -> int:
        """The same of the weight scratchpads of split ones."""
        return sum(plan.weight_peak_bytes for plan in self.plans)

    def structures(self, name: str) -> tuple[str, ...]:
        """What one structure of theirs is called in the trace, core by core."""
        return tuple(f"core{n}.{name}" for n in self.members) if self.joined else (name,)

    @property
    def pes(self) -> int:
        """Processing elements of all of them."""
        return self.machine.array.rows * self.machine.array.cols * self.machine.cores


def kinds_energy(kinds: Sequence[CoreKind]) -> EnergyBreakdown:
    """Energy of all kinds."""
    return summed_energy([energy_of(kind.activity, kind.machine) for kind in kinds])


def summed_energy(parts: Sequence[EnergyBreakdown]) -> EnergyBreakdown:
    """Component by component; at least one part."""
    if len(parts) == 1:
        return parts[0]
    values: dict[str, Any] = {
        field.name: math.fsum(getattr(part, field.name) for part in parts)
        for field in fields(EnergyBreakdown)
        if field.name not in BY_NAME
    }
    values |= {name: _summed([getattr(part, name) for part in parts]) for name in BY_NAME}
    return EnergyBreakdown(**values)


def kinds_area(kinds: Sequence[CoreKind]) -> AreaBreakdown:
    """Area of all kinds, block by block."""
    areas = [area(kind.machine) for kind in kinds]
    if len(areas) == 1:
        return areas[0]
    blocks = dict.fromkeys(name for found in areas for name in found.blocks)
    return AreaBreakdown(
        _summed([found.blocks for found in areas]),
        _summed([found.protection for found in areas]),
        {name: _summed([found.mechanisms.get(name, {}) for found in areas]) for name in blocks},
    )


def kinds_bands(kinds: Sequence[CoreKind]) -> EnergyBands:
    """Band of the whole: a constant moves to its end in all kinds at once."""
    found = [energy_bands(kind.activity, kind.machine) for kind in kinds]
    if len(found) == 1:
        return found[0]
    names = dict.fromkeys(s.constant for bands in found for s in bands.ranking)
    value = math.fsum(bands.value_j for bands in found)
    ranking = [_sensitivity(name, found, value) for name in names]
    ranking.sort(key=lambda s: (-s.swing_j, -s.share, s.constant))
    return EnergyBands(
        low_j=math.fsum(bands.low_j for bands in found),
        value_j=value,
        high_j=math.fsum(bands.high_j for bands in found),
        ranking=tuple(ranking),
    )


def _sensitivity(name: str, found: Sequence[EnergyBands], value: float) -> Sensitivity:
    low = high = through = 0.0
    for bands in found:
        mine = next((s for s in bands.ranking if s.constant == name), None)
        low += bands.value_j if mine is None else mine.low_j
        high += bands.value_j if mine is None else mine.high_j
        through += 0.0 if mine is None else mine.share * bands.value_j
    return Sensitivity(name, low, high, through / value if value else 0.0)


def kinds_constants(kinds: Sequence[CoreKind]) -> tuple[dict[str, object], ...]:
    """The constants of all kinds by name; those of one name are the same, all kinds having one
    table and one node."""
    rows = {str(row["name"]): row for kind in kinds for row in constant_rows(kind.machine)}
    return tuple(rows[name] for name in sorted(rows))


def kinds_notes(kinds: Sequence[CoreKind]) -> tuple[str, ...]:
    """What a reader of the energies must know, each once."""
    return tuple(dict.fromkeys(note for kind in kinds for note in constants(kind.machine).notes))


def _summed(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: math.fsum(part.get(name, 0.0) for part in parts) for name in names}
