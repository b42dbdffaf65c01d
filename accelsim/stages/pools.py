"""Upsets in the structures of equal cores: one pool of bits per structure and kind of core.

Equal cores run the same network under the same protection, so an upset of a live bit is drawn over
all of them; a tensor that lies in several cores is exposed in each. Structures of different kinds
of cores stay apart: their names begin with the kind's label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import faults
from accelsim.cost.kinds import CoreKind
from accelsim.sim.exposure import Exposure
from accelsim.stages.campaign import upset_targets


def pooled(exposures: Sequence[Exposure], kind: CoreKind) -> tuple[Exposure, ...]:
    """The exposures of a kind's cores, structures named as those of a single core."""
    if not kind.joined:
        return tuple(exposures)
    prefixes = {f"core{number}" for number in kind.members}
    found = []
    for exposure in exposures:
        core, _, structure = exposure.structure.partition(".")
        if core in prefixes:
            found.append(replace(exposure, structure=structure))
    return tuple(found)


def pooled_targets(
    exposures: Sequence[Exposure], kinds: Sequence[CoreKind]
) -> tuple[faults.Target, ...]:
    """What single upsets are drawn from, kind by kind."""
    return tuple(
        replace(target, structure=labelled(kind, target.structure))
        for kind in kinds
        for target in upset_targets(pooled(exposures, kind))
    )


def labelled(kind: CoreKind, structure: str) -> str:
    """The name of a kind's structure among those of all kinds."""
    return f"{kind.label}.{structure}" if kind.label else structure


def campaign_of(campaign: faults.CampaignResult, kind: CoreKind) -> faults.CampaignResult:
    """A campaign's results on the structures of a kind, named as those of a single core."""
    if not kind.label:
        return campaign
    start = f"{kind.label}."
    return replace(
        campaign,
        structures=tuple(
            replace(found, structure=found.structure.removeprefix(start))
            for found in campaign.structures
            if found.structure.startswith(start)
        ),
    )


def rows_of(kind: CoreKind | None, rows: Sequence[faults.FmedaRow]) -> list[faults.FmedaRow]:
    """FMEDA rows of a kind under its own names; those of the shared DRAM keep theirs."""
    if kind is None or not kind.label:
        return list(rows)
    return [
        row
        if row.element == SHARED
        else replace(
            row,
            block=labelled(kind, row.block),
            partner=row.partner and labelled(kind, row.partner),
        )
        for row in rows
    ]


SHARED = "DRAM"
"""Element of the rows that all kinds share."""
