"""What a reader of a run must know beside its figures: info.json."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.config.types import RunConfig
from accelsim.cost.kinds import CoreKind, kinds_notes
from accelsim.execution import MOST_WRITTEN, Execution
from accelsim.figures import Simulated
from accelsim.mapping.space import array_waits
from accelsim.workload.graph import Workload


def describe(config: RunConfig, workload: Workload, done: Simulated | None) -> dict[str, Any]:
    """What a reader must know beside the figures, the content of the named files included."""
    machine = describe_machine(config, done) if done else NOT_SIMULATED
    return describe_run(config, workload, machine, done.images if done else 1)


def describe_run(
    config: RunConfig, workload: Workload, machine: Mapping[str, Any], images: int
) -> dict[str, Any]:
    """The same, with what is said of the machine, and how many independent runs of the network the
    figures are of."""
    campaign = config.faults
    return {
        "network": workload.name,
        "model": Path(config.workload.model).name,
        "model_sha256": file_sha256(config.workload.model),
        "data_sha256": file_sha256(config.data.file) if config.data else None,
        "operators": len(workload.ops),
        "macs": workload.macs * images,
        "weight_bytes": workload.weight_bytes,
        "batch": config.workload.batch * images,
        "fallbacks": list(workload.fallbacks),
        "simulated": config.simulate,
        "seed": campaign.seed if campaign else None,
        "confidence": campaign.confidence if campaign else None,
        **machine,
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
    notes = [*kinds_notes(done.kinds), *_precision_note(config), *_bank_notes(done)]
    notes += [
        *_waiting_note(done),
        *_idle_notes(done),
        *_link_note(config),
        *_images_note(done.images),
        *level_notes(done),
        *large_notes(done.schedule),
    ]
    return _described_machine(config, done.kinds, notes)


def describe_tiles(
    config: RunConfig, kinds: Sequence[CoreKind], images: int, notes: Sequence[str]
) -> dict[str, Any]:
    """The machine of a run whose cores take tiles while time passes, ``notes`` of which are known:
    nothing is said of memories and energy."""
    said = [*_precision_note(config), *_images_note(images), *notes]
    return _described_machine(config, kinds, said)


def _described_machine(
    config: RunConfig, kinds: Sequence[CoreKind], notes: Sequence[str]
) -> dict[str, Any]:
    acc = kinds[0].machine
    return {
        "accelerator": config.system.name if config.system is not None else acc.name,
        "array": "; ".join(map(_array, kinds)),
        "clock_hz": acc.clock_hz,
        "energy_table": acc.energy_table,
        "protection": _protection(kinds),
        "notes": list(notes),
    }


def _bank_notes(done: Simulated) -> list[str]:
    """Scratchpads whose bank conflicts are in the cycles; of both halves of a split one."""
    memories = {
        (name, memory.banks, memory.bank_ports, memory.layout if name == "scratchpad" else "")
        for kind in done.kinds
        for name, memory in (
            ("scratchpad", kind.machine.scratchpad),
            ("weight scratchpad", kind.machine.weight_sram),
        )
        if memory is not None and memory.bank_ports is not None
    }
    return [
        f"{name}: conflicts of its {banks} banks ({ports} port{'s' if ports == 2 else ''} each"
        f"{', ' if layout else ''}{layout}) are in the cycles, for the worst place of every tile"
        for name, banks, ports, layout in sorted(memories)
    ]


def _waiting_note(done: Simulated) -> list[str]:
    """How long the array is held up by the scratchpad, where it is."""
    if done.several:
        return []
    cycles, waiting = array_waits(done.workload, done.accelerator, done.plan)
    if not waiting:
        return []
    return [
        f"{waiting:,} of the array's {cycles:,} cycles are waits for operands from the scratchpad "
        "(its width, ports or banks); `accelsim explain CONFIG` tells them by operator"
    ]


def _protection(kinds: Sequence[CoreKind]) -> dict[str, str]:
    """Structure -> protection; by kind of core only where kinds differ in it."""
    protected = [
        {**kind.machine.protection, **{lv.name: lv.protection for lv in kind.machine.levels}}
        for kind in kinds
    ]
    if all(each == protected[0] for each in protected):
        return protected[0]
    return {
        f"{kind.label} {structure}": name
        for kind, each in zip(kinds, protected, strict=True)
        for structure, name in each.items()
    }


def _array(kind: CoreKind) -> str:
    """The cores of a kind and their array."""
    acc, count = kind.machine, kind.machine.cores
    array = acc.array
    cores = f"{count} cores of " if count > 1 else "1 core of " if kind.label else ""
    name = f"{kind.label}: " if kind.label else ""
    flows = "/".join(array.dataflows)
    return f"{name}{cores}{array.rows} x {array.cols} {flows}, overlap {array.overlap}"


def _precision_note(config: RunConfig) -> list[str]:
    if config.workload.precision != "int8":
        return []
    return ["simulated as if quantised to int8: the file holds other number formats"]


def _images_note(images: int) -> list[str]:
    if images == 1:
        return []
    return [f"one run makes {images} independent inferences of the network side by side"]


def _link_note(config: RunConfig) -> list[str]:
    if config.system is None or config.system.link is None:
        return []
    return ["the link of the cores and its buffer have no energy and no area figures"]


def level_notes(done: Simulated) -> list[str]:
    """What each memory level holds, and what moves through it."""
    plan, found = done.plan, []
    for level in done.accelerator.levels:
        mine = [home for home in plan.homes if home.level == level.name]
        read, written = plan.level_bytes.get(level.name, (0, 0))
        copies = sum(home.copied_in + home.copied_out for home in mine)
        found.append(
            f"level {level.name}: {len(mine)} tensors, {plan.level_peaks.get(level.name, 0)} of "
            f"{level.bytes} bytes in use, {read} bytes read and {written} written"
            + (f", {copies} copies from and to backing memory" if copies else "")
        )
    return found


def _idle_notes(done: Simulated) -> list[str]:
    """Bytes of each memory that no tensor ever lies in."""
    sizes = {"scratchpad": [0, 0], "weight scratchpad": [0, 0]}
    for kind in done.kinds:
        own, cores = kind.machine.weight_sram, kind.machine.cores
        sizes["scratchpad"][0] += kind.machine.scratchpad.bytes * cores
        sizes["scratchpad"][1] += kind.scratchpad_bytes
        sizes["weight scratchpad"][0] += own.bytes * cores if own else 0
        sizes["weight scratchpad"][1] += kind.weight_scratchpad_bytes
    return [
        f"{size - used} of {size} {name} bytes{' of all cores' if done.several else ''} are never "
        "allocated: they are not safety-related and count in no failure rate"
        for name, (size, used) in sizes.items()
        if size > used
    ]


def file_sha256(path: str) -> str:
    """Content hash of an input file, so that a record says exactly what it ran."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
