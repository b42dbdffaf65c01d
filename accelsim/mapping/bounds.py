"""Cycles that no mapping can beat."""

from __future__ import annotations

from accelsim.arch.parts import Accelerator
from accelsim.mapping.tiles import Block, array_op
from accelsim.mapping.timing import Timing
from accelsim.workload.graph import Role, Workload

CONSTANTS = (Role.WEIGHT, Role.BIAS)


def lower_bounds(workload: Workload, accelerator: Accelerator) -> dict[str, int]:
    """Cycles that no mapping can beat, by resource.

    ``compute``: MACs / PEs; ``vector``: element operations / lanes; ``dram``: bytes that must cross
    (every weight and graph input once, of a table what is picked, every graph output once) /
    bandwidth; ``weights``: weights and biases alone, where they have a memory of their own. Both
    count weights as they are stored.
    """
    timing = Timing(accelerator)
    read = stored_bytes(workload, accelerator, timing)
    constants = sum(size for name, size in read.items() if workload.tensors[name].role in CONSTANTS)
    made = set(workload.outputs) & set(workload.producer)
    total = sum(read.values()) + sum(workload.tensors[name].bytes for name in made)
    least = [timing.least(op) for op in workload.ops]
    bounds = {
        "compute": sum(array for array, _ in least),
        "vector": sum(vector for _, vector in least),
        "dram": timing.transfer_bytes(total),
    }
    if timing.split:  # constants go through another port of the chip
        at_port = timing.constant_bytes(constants)
        bounds["dram"] = timing.transfer_bytes(total - constants) + at_port
    if accelerator.weight_memory is not None:
        bounds["dram"] = timing.transfer_bytes(total - constants)
        bounds["weights"] = timing.constant_bytes(constants)
    return bounds


def stored_bytes(workload: Workload, accelerator: Accelerator, timing: Timing) -> dict[str, int]:
    """Constant or graph input -> bytes that every plan reads of it, without what sparse storage and
    compression spare."""
    found = dict(workload.least_read_bytes)
    if accelerator.array.sparsity is not None:
        for op in workload.ops:
            if op.gemm is not None and op.weight in found:
                operands, gemm = array_op(op, workload, accelerator.array), op.gemm
                whole = operands.b_bytes((0, gemm.k), Block(0, gemm.groups, 0, gemm.n))
                found[op.weight] = min(found[op.weight], whole)
    return {
        name: timing.stored(size) if workload.tensors[name].role in CONSTANTS else size
        for name, size in found.items()
    }
