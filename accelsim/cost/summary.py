"""The energy of a run as JSON types, for curves.json: what the report draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.cost.bands import EnergyBands
from accelsim.cost.breakdown import EnergyBreakdown


def energy_curves(
    energy: EnergyBreakdown, bands: EnergyBands, constants: Sequence[Mapping[str, object]]
) -> dict[str, Any]:
    """Energy by component (``energy``), by level, leakage by block, the band of the total with
    every constant's part in it, and the constants themselves. Joules."""
    parts = energy.parts()
    leakage = {name: joules for name, joules in energy.static_by_block.items() if joules}
    return {
        "energy": {name: parts[name] for name in energy.shown()},
        "energy_levels": {name: joules for name, joules in energy.levels().items() if joules},
        "energy_leakage": leakage,
        "energy_bands": {
            "low": bands.low_j,
            "value": bands.value_j,
            "high": bands.high_j,
            "ranking": [
                {"constant": s.constant, "low": s.low_j, "high": s.high_j, "share": s.share}
                for s in bands.ranking
            ],
        },
        "energy_constants": [dict(row) for row in constants],
    }
