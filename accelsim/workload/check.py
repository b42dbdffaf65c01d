"""An independent look at a finished workload, whoever made it.

Nothing here knows how a reader works: names, order, shapes and multiply-accumulates are derived
again from the frozen values, the last by counting through tensor sizes instead of through the
:class:`~accelsim.workload.graph.Gemm`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.graph import BITS, Op, OpKind, Role, Window, Workload

CODE = "W190"

_ARRAY = (OpKind.CONV, OpKind.MATMUL)


def check_workload(workload: Workload) -> None:
    """Raises :class:`AccelsimError` (W190, all findings at once) when the workload contradicts
    itself: names, order, roles, shapes against windows and products, operation counts."""
    location = Location(workload.source) if workload.source else None
    findings = [
        *_check_tensors(workload),
        *_check_names(workload),
        *_check_order(workload),
    ]
    if not findings:  # sizes can only be looked up when every name is there
        findings = [text for op in workload.ops for text in _check_op(op, workload)]
    if findings:
        hint = "the source contradicts itself, or its reader is wrong"
        raise AccelsimError([Mistake(CODE, text, hint, location) for text in findings])


def macs_by_counting(op: Op, workload: Workload) -> int | None:
    """Multiply-accumulates from tensor sizes, None where operands are broadcast, -1 where they
    cannot be those of the product.

    With a constant operand each of its elements meets every output element of its column:
    output elements x weight elements / outputs per position. Without one, each element of the left
    operand meets the n columns of its group.
    """
    assert op.gemm is not None
    output = workload.tensors[op.output].elements
    if op.weight is not None:
        columns = op.gemm.n * op.gemm.groups
        return output * workload.tensors[op.weight].elements // columns
    if len(op.inputs) != 2 or op.kind is not OpKind.MATMUL:
        return None
    gemm = op.gemm
    left, right = (workload.tensors[name].elements for name in op.inputs)
    full_left, full_right = output * gemm.k // gemm.n, output * gemm.k // gemm.m
    if full_left % left or full_right % right:
        return -1
    if (left, right) != (full_left, full_right):
        return None
    # g groups of (m k), (k n) and (m n): the product of the three sizes is g macs^2.
    return math.isqrt(left * right * output // gemm.groups)


def _check_tensors(workload: Workload) -> Iterator[str]:
    for name, tensor in workload.tensors.items():
        if tensor.name != name:
            yield f"tensor '{tensor.name}' is filed under '{name}'"
        if tensor.dtype not in BITS:
            yield f"tensor '{name}' has the unknown type {tensor.dtype}"
        if any(dim < 1 for dim in tensor.shape):
            yield f"tensor '{name}' has the shape {list(tensor.shape)}"


def _check_names(workload: Workload) -> Iterator[str]:
    """Unique names; every reference leads to a tensor, every tensor is referred to."""
    for what, names in (
        ("operator", [op.name for op in workload.ops]),
        ("output tensor", [op.output for op in workload.ops]),
        ("graph input", list(workload.inputs)),
        ("graph output", list(workload.outputs)),
    ):
        for name, count in Counter(names).items():
            if count > 1:
                yield f"{what} '{name}' appears {count} times"
    used = dict.fromkeys((*workload.inputs, *workload.outputs))
    for op in workload.ops:
        constants = [name for name in (op.weight, op.bias) if name is not None]
        used.update(dict.fromkeys((*op.inputs, op.output, *constants)))
        if len(set(op.inputs)) != len(op.inputs):
            yield f"operator '{op.name}' lists an input twice"
        if op.gemm is None and op.weight is not None and op.weight == op.bias:
            yield f"operator '{op.name}' lists '{op.weight}' as weight and as bias"
    for name in used:
        if name not in workload.tensors:
            yield f"tensor '{name}' is used but not declared"
    for name in workload.tensors:
        if name not in used:
            yield f"tensor '{name}' is declared but not used"
    for name, parts in workload.parts.items():
        if name in workload.tensors:
            yield f"'{name}' is both a tensor and cut into parts"
        for part in parts:
            if part not in workload.tensors:
                yield f"'{name}' is cut into '{part}', which is no tensor"
    for name, holder in workload.aliases.items():
        if holder not in workload.tensors:
            yield f"alias '{name}' leads to '{holder}', which is no tensor"
        if name in workload.tensors:
            yield f"'{name}' is both a tensor and an alias"


def _check_order(workload: Workload) -> Iterator[str]:
    """Every operator reads what exists by then (so the graph has no cycle); roles fit."""
    roles = {name: tensor.role for name, tensor in workload.tensors.items()}
    made = dict.fromkeys(workload.inputs)
    for name in workload.inputs:
        if roles.get(name) is not Role.INPUT:
            yield f"graph input '{name}' has the role {roles.get(name)}"
    for op in workload.ops:
        if not op.inputs:
            yield f"operator '{op.name}' reads nothing"
        for name in op.inputs:
            if name not in made:
                yield f"operator '{op.name}' reads '{name}' before it is made"
        if op.output in made:
            yield f"operator '{op.name}' overwrites '{op.output}'"
        made[op.output] = None
        for constant in (op.weight, op.bias):
            if constant is not None and roles.get(constant) not in (Role.WEIGHT, Role.BIAS):
                yield f"constant '{constant}' of '{op.name}' has the role {roles.get(constant)}"
    for name in workload.outputs:
        if name not in made:
            yield f"graph output '{name}' is never made"
        if roles.get(name) not in (Role.OUTPUT, Role.INPUT):
            yield f"graph output '{name}' has the role {roles.get(name)}"


def _check_op(op: Op, workload: Workload) -> Iterator[str]:
    """Sizes of one operator against its tensors."""
    if (op.gemm is not None) != (op.kind in _ARRAY):
        yield f"operator '{op.name}' ({op.kind}) and its product do not go together"
    if op.picks and op.gemm is not None:
        yield f"operator '{op.name}' picks from the operands of a product"
    if op.vector_ops < 1:
        yield f"operator '{op.name}' has no work for the vector unit"
    if op.window is not None:
        yield from _check_window(op, op.window, workload)
    if op.gemm is not None:
        yield from _check_gemm(op, workload)


def _check_window(op: Op, window: Window, workload: Workload) -> Iterator[str]:
    """Tensor sizes, and output positions from the geometry (a pool may round up)."""
    source, output = workload.tensors[op.inputs[0]], workload.tensors[op.output]
    given = window.batch * window.in_channels * window.in_height * window.in_width
    made = window.batch * window.out_channels * window.out_height * window.out_width
    if source.elements != given:
        yield f"operator '{op.name}': input of {source.elements} elements, window of {given}"
    if output.elements != made:
        yield f"operator '{op.name}': output of {output.elements} elements, window of {made}"
    top, left, bottom, right = window.pads
    for axis, size, pad, kernel, positions in (
        (0, window.in_height, top + bottom, window.kernel_height, window.out_height),
        (1, window.in_width, left + right, window.kernel_width, window.out_width),
    ):
        reach = size + pad - (window.dilation[axis] * (kernel - 1) + 1)
        exact = reach // window.stride[axis] + 1
        rounded = -(-reach // window.stride[axis]) + 1
        allowed = (exact,) if op.kind is OpKind.CONV else (exact, rounded)
        if positions not in allowed:
            yield f"operator '{op.name}': {positions} positions along axis {axis}, not {exact}"


def _check_gemm(op: Op, workload: Workload) -> Iterator[str]:
    gemm = op.gemm
    assert gemm is not None
    output = workload.tensors[op.output].elements
    if gemm.m * gemm.n * gemm.groups != output:
        made = gemm.m * gemm.n * gemm.groups
        yield f"operator '{op.name}': output of {output} elements, product of {made}"
    if op.weight is not None:
        held = workload.tensors[op.weight].elements
        needed = gemm.k * gemm.n * gemm.groups
        if held != needed:
            yield f"operator '{op.name}': weight of {held} elements, product needs {needed}"
    counted = macs_by_counting(op, workload)
    if counted is not None and counted != op.macs:
        yield f"operator '{op.name}': {op.macs} multiply-accumulates, counted {counted}"
