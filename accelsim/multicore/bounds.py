"""Cycles that no assignment to several cores can beat, by resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.bounds import CONSTANTS, stored_bytes
from accelsim.mapping.timing import Timing
from accelsim.workload.graph import Workload


def system_bounds(workload: Workload, system: System, images: int) -> dict[str, int]:
    """``compute``: MACs over all PEs; ``vector``: element operations over all lanes; ``dram``:
    bytes that must cross it (constants once, network inputs and outputs for every image);
    ``weights``: constants alone, where they have a memory of their own.

    What cores differ in counts as on the core that is best at it: MACs and bytes of sparse weights,
    passes of the lanes, and how fast a scratchpad takes what holds the memory's port.
    """
    kinds = _distinct(system.cores)
    lanes = gcd(*(core.vector.lanes for core in kinds))
    alone = [Timing(_smallest(core, lanes)) for core in kinds]
    macs = passes = 0
    for op in workload.ops:
        least = [timing.least(op) for timing in alone]
        macs += min(array for array, _ in least)
        passes += min(vector for _, vector in least)
    moved, constants = _crossing(workload, kinds, images)
    timing = [Timing(core) for core in kinds]
    own = system.shared.weight_memory is not None
    split = any(one.split for one in timing)  # constants may go through another port of the chip
    shared = moved if own or split else moved + constants
    apart = timing[0].constant_bytes(constants) if split and not own else 0
    bounds = {
        "compute": ceil_div(macs * images, system.pes),
        "vector": passes * lanes * images // sum(core.vector.lanes for core in system.cores),
        "dram": min(one.transfer_bytes(shared) for one in timing) + apart,
    }
    return bounds | ({"weights": timing[0].constant_bytes(constants)} if own else {})


def _distinct(cores: Sequence[Accelerator]) -> list[Accelerator]:
    found: list[Accelerator] = []
    for core in cores:
        if core not in found:
            found.append(core)
    return found


def _smallest(core: Accelerator, lanes: int) -> Accelerator:
    """The core with a single PE, and as many lanes as divide those of all cores: what it takes is
    what there is to do, and parts of it round up to no less."""
    array = replace(core.array, rows=1, cols=1)
    return replace(core, array=array, vector=replace(core.vector, lanes=lanes))


def _crossing(workload: Workload, kinds: list[Accelerator], images: int) -> tuple[int, int]:
    """Bytes that must be moved from and to backing memories: (activations, constants)."""
    stored = [stored_bytes(workload, core, Timing(core)) for core in kinds]
    made = set(workload.outputs) & set(workload.producer)
    moved = sum(workload.tensors[name].bytes for name in made)
    constants = 0
    for name in stored[0]:
        least = min(found[name] for found in stored)
        if workload.tensors[name].role in CONSTANTS:
            constants += least
        else:
            moved += least
    return moved * images, constants
