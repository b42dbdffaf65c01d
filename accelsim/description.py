"""What a reader of a run must know beside its figures: info.json."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelsim.arch.parts import Accelerator
from accelsim.config.types import RunConfig
from accelsim.cost.energy import energy_notes
from accelsim.execution import MOST_WRITTEN, Execution
from accelsim.figures import Simulated
from accelsim.workload.graph import Workload


def describe(config: RunConfig, workload: Workload, done: Simulated | None) -> dict[str, Any]:
    """What a reader must know beside the figures, the content of the named files included."""
    campaign = config.faults
    return {
        "network": workload.name,
        "model": Path(config.workload.model).name,
        "model_sha256": file_sha256(config.workload.model),
        "data_sha256": file_sha256(config.data.file) if config.data else None,
        "operators": len(workload.ops),
        "macs": workload.macs,
        "weight_bytes": workload.weight_bytes,
        "batch": config.workload.batch,
        "fallbacks": list(workload.fallbacks),
        "simulated": config.simulate,
        "seed": campaign.seed if campaign else None,
        "confidence": campaign.confidence if campaign else None,
        **(describe_machine(config, done) if done else NOT_SIMULATED),
    }


def large_notes(schedule: Execution) -> list[str]:
    """What is left out for a schedule that is too large to be written out."""
    if schedule.flat is not None:
        return []
    return [
        f"{schedule.program.commands} commands are above {MOST_WRITTEN}: exposures, the curve of "
        "live bytes and the check of addresses by the cycle, which look at every command, are left "
        "out"
    ]


NOT_SIMULATED: Mapping[str, Any] = {
    "accelerator": None,
    "protection": {},
    "notes": ["faults only: this network is not simulated on the accelerator"],
}


def describe_machine(config: RunConfig, done: Simulated) -> dict[str, Any]:
    """The simulated machine, and how much of its scratchpad counts for safety."""
    acc, used = done.accelerator, done.plan.peak_bytes
    idle = acc.scratchpad.bytes - used
    return {
        "accelerator": acc.name,
        "array": (f"{acc.cores} cores of " if acc.cores > 1 else "")
        + f"{acc.array.rows} x {acc.array.cols} {acc.array.dataflow}, "
        f"overlap {acc.array.overlap}",
        "clock_hz": acc.clock_hz,
        "energy_table": acc.energy_table,
        "protection": dict(acc.protection),
        "notes": [
            *energy_notes(acc),
            *(
                ["simulated as if quantised to int8: the file holds other number formats"]
                if config.workload.precision == "int8"
                else []
            ),
            *(_idle_note(idle, acc) if acc.cores == 1 else ()),
            *large_notes(done.schedule),
        ],
    }


def _idle_note(idle: int, accelerator: Accelerator) -> tuple[str]:
    return (
        f"{idle} of {accelerator.scratchpad.bytes} scratchpad bytes are never allocated: they are "
        "not safety-related and count in no failure rate",
    )


def file_sha256(path: str) -> str:
    """Content hash of an input file, so that a record says exactly what it ran."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
