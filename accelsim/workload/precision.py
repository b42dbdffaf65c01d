"""Whether an array can hold a network's numbers, and the int8 twin of a network that it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from accelsim.arch.parts import SystolicArray
from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.graph import BITS, Op, OpKind, Role, Tensor, Workload

INTEGERS = frozenset(
    {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"}
)


def as_int8(workload: Workload) -> Workload:
    """The same shapes as if quantised: activations and weights int8, biases int32.

    Only sizes and costs follow; nothing is computed with it. A float graph input stays as it is
    where the network quantises it itself.
    """
    own = {
        name
        for name in workload.inputs
        if all(op.kind is OpKind.QUANTIZE for op in workload.consumers.get(name, ()))
    }

    def quantised(tensor: Tensor) -> Tensor:
        if tensor.dtype in INTEGERS or tensor.name in own:
            return tensor
        return replace(tensor, dtype="int32" if tensor.role is Role.BIAS else "int8")

    return replace(
        workload, tensors={name: quantised(tensor) for name, tensor in workload.tensors.items()}
    )


def require_precision(
    workload: Workload, array: SystolicArray, location: Location | None = None
) -> None:
    """Refuse a network whose matrix operands the array's registers cannot hold: W110, one for
    each of the first operators and a count of the rest. The array computes with integers."""
    found = [text for op in workload.ops if op.gemm for text in _misfits(op, workload, array)]
    if not found:
        return
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    raise AccelsimError(
        Mistake(
            "W110",
            "the array cannot compute this network: " + "; ".join(found[:3]) + more,
            "quantise the network, or set workload.precision: int8 to cost it as if it were, or "
            "set simulate: false to inject faults only",
            location,
        )
    )


def _misfits(op: Op, workload: Workload, array: SystolicArray) -> Iterator[str]:
    held = [(name, array.operand_bits) for name in op.inputs]
    held += [(op.weight, array.weight_bits)] if op.weight else []
    for name, bits in held:
        dtype = workload.tensors[name].dtype
        if dtype not in INTEGERS or BITS[dtype] > bits:
            yield f"{op.name!r} takes {dtype} {name!r}, the register holds {bits}-bit integers"
