"""TensorFlow Lite operators that run on the vector unit, and those that only rename bytes.

Element operations come from :mod:`accelsim.workload.vector_work`; a fused activation adds one per
output element (requantisation is part of a vector operator's write). Every rule compares the
output's shape with its operands, since the file states both.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from accelsim.workload.graph import OpKind, Window
from accelsim.workload.limits import window_excess
from accelsim.workload.tflite_array import Rule, activation, broadcast, image, require_shape, window
from accelsim.workload.tflite_types import (
    InvalidError,
    Piece,
    Scope,
    TfOp,
    TooLargeError,
    UnsupportedError,
)
from accelsim.workload.vector_work import vector_work


def piece(
    op: TfOp,
    scope: Scope,
    kind: OpKind,
    operands: tuple[int, ...],
    *,
    work: str = "",
    taps: int = 1,
    geometry: Window | None = None,
    picks: bool = False,
) -> Piece:
    """A vector operator over some operands, at most one of them constant; ``work`` names its
    algorithm where it is not the kind's own."""
    present = tuple(dict.fromkeys(operands))
    if not present or min(present) < 0:
        raise InvalidError("an operand is missing")
    computed = tuple(i for i in present if i not in scope.static)
    constants = [i for i in present if i in scope.static]
    if len(constants) > 1:
        raise UnsupportedError("more than one constant operand")
    outputs, inputs = scope.elements(op.outputs[0]), scope.elements(present[0])
    fused = activation(op)
    count = vector_work(work or kind, outputs, inputs=inputs, window=taps) + outputs * len(fused)
    return Piece(
        kind, tuple(scope.name(i) for i in computed), scope.name(op.outputs[0]),
        scope.name(constants[0]) if constants else None,
        window=geometry, vector_ops=count, fused=fused, picks=picks,
    )  # fmt: skip


def _elementwise(
    op: TfOp, scope: Scope, kind: OpKind, operands: tuple[int, ...] = (0,), work: str = ""
) -> list[Piece]:
    """One lane operation per output element; the output is the operands' broadcast shape."""
    indices = tuple(op.input(i) for i in operands)
    expected = broadcast(*(scope.shape(i) for i in indices))
    require_shape(scope.shape(op.outputs[0]), expected)
    return [piece(op, scope, kind, indices, work=work)]


def _sum(op: TfOp, scope: Scope) -> list[Piece]:
    """ADD_N: operands folded in one after the other."""
    require_shape(scope.shape(op.outputs[0]), broadcast(*(scope.shape(i) for i in op.inputs)))
    return [piece(op, scope, OpKind.ADD, op.inputs, work="nary", taps=len(op.inputs))]


def _squared_difference(op: TfOp, scope: Scope) -> list[Piece]:
    """Two operations per element: the difference, and its square."""
    (made,) = _elementwise(op, scope, OpKind.SUB, (0, 1))
    square = vector_work(OpKind.MUL, scope.elements(op.outputs[0]))
    return [replace(made, vector_ops=made.vector_ops + square)]


def _along_last(op: TfOp, scope: Scope, kind: OpKind, work: str = "") -> list[Piece]:
    """Softmax and norms: several passes over whole last axes."""
    require_shape(scope.shape(op.outputs[0]), scope.shape(op.input(0)))
    return [piece(op, scope, kind, (op.input(0),), work=work)]


def _pool(op: TfOp, scope: Scope, kind: OpKind) -> list[Piece]:
    """Output elements x kernel area."""
    source = op.input(0)
    channels = image(scope, source)[3]
    kernel = (op.option("FilterHeight"), op.option("FilterWidth"))
    made = window(op, scope, source, kernel, channels, channels)
    return [piece(op, scope, kind, (source,), taps=math.prod(kernel), geometry=made)]


def _reduce(op: TfOp, scope: Scope) -> list[Piece]:
    """Sum, mean and the like: one operation per input element. A mean over the pixels of an image
    is a global pool."""
    source, shape = op.input(0), scope.shape(op.input(0))
    axes = scope.values(op.input(1))
    if axes is None:
        raise UnsupportedError("axes that are computed")
    chosen = {axis % max(1, len(shape)) for axis in axes}
    if any(not -len(shape) <= axis < len(shape) for axis in axes):
        raise InvalidError(f"axes {list(axes)} of the shape {list(shape)}")
    kept = [1 if axis in chosen else size for axis, size in enumerate(shape)]
    if scope.elements(op.outputs[0]) != math.prod(kept):
        raise InvalidError(f"output of shape {list(scope.shape(op.outputs[0]))} from {list(shape)}")
    if op.code == "MEAN" and chosen == {1, 2} and len(shape) == 4:
        batch, height, width, channels = shape
        made = Window(
            batch, channels, height, width, channels, 1, 1, height, width, groups=channels
        )  # fmt: skip
        for excess in window_excess(made):
            raise TooLargeError(excess)
        return [piece(op, scope, OpKind.GLOBAL_AVERAGE_POOL, (source,), geometry=made)]
    return [piece(op, scope, OpKind.REDUCE, (source,))]


def _concat(op: TfOp, scope: Scope) -> list[Piece]:
    """CONCATENATION, PACK: as many elements as all operands hold."""
    total = sum(scope.elements(i) for i in op.inputs)
    if scope.elements(op.outputs[0]) != total:
        raise InvalidError(f"output of {scope.elements(op.outputs[0])} elements, inputs of {total}")
    return [piece(op, scope, OpKind.CONCAT, op.inputs)]


def _pad(op: TfOp, scope: Scope) -> list[Piece]:
    """PAD, PADV2, MIRROR_PAD: the input's shape and the paddings of every axis."""
    shape, amounts = scope.shape(op.input(0)), scope.values(op.input(1))
    if amounts is None:
        raise UnsupportedError("paddings that are computed")
    if len(amounts) != 2 * len(shape) or min(amounts, default=0) < 0:
        raise InvalidError(f"paddings {list(amounts)} of the shape {list(shape)}")
    both = zip(amounts[::2], amounts[1::2], strict=True)
    padded = tuple(size + sum(pair) for size, pair in zip(shape, both, strict=True))
    require_shape(scope.shape(op.outputs[0]), padded)
    return [piece(op, scope, OpKind.PAD, (op.input(0),))]


def _slice(op: TfOp, scope: Scope) -> list[Piece]:
    """SLICE, STRIDED_SLICE: a part of the input; steps other than 1 read all of it (a memory word
    holds neighbours)."""
    if scope.elements(op.outputs[0]) > scope.elements(op.input(0)):
        raise InvalidError("a slice larger than its input")
    steps = scope.values(op.input(3)) if op.code == "STRIDED_SLICE" else (1,)
    return [piece(op, scope, OpKind.SLICE, (op.input(0),), picks=set(steps or (0,)) == {1})]


def _split(op: TfOp, scope: Scope, source: int) -> list[Piece]:
    """SPLIT, SPLIT_V, UNPACK: one slice per output."""
    whole = scope.elements(op.input(source))
    if sum(scope.elements(output) for output in op.outputs) != whole:
        raise InvalidError(f"outputs that do not add up to {whole} elements")
    name = scope.name(op.input(source))
    return [
        Piece(
            OpKind.SLICE, (name,), scope.name(output), label=str(position) if position else "",
            vector_ops=vector_work(OpKind.SLICE, scope.elements(output)), picks=True,
        )
        for position, output in enumerate(op.outputs)
    ]  # fmt: skip


def _moved(op: TfOp, scope: Scope, source: int = 0) -> list[Piece]:
    """Layout changes: every element once, none lost (batches and blocks may be padded)."""
    have, made = scope.elements(op.input(source)), scope.elements(op.outputs[0])
    padded = op.code in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
    if have != made and not padded:
        raise InvalidError(f"output of {made} elements from {have}")
    return [piece(op, scope, OpKind.TRANSPOSE, (op.input(source),))]


def _gather(op: TfOp, scope: Scope, source: int = 0, indices: int = 1) -> list[Piece]:
    """GATHER, EMBEDDING_LOOKUP: one element moved per output element."""
    held = op.input(indices)
    if held in scope.static:
        return [piece(op, scope, OpKind.GATHER, (op.input(source),), picks=True)]
    return [piece(op, scope, OpKind.GATHER, (op.input(source), held), picks=True)]


def _copies(op: TfOp, scope: Scope) -> list[Piece]:
    """TILE, BROADCAST_TO: whole copies of the input."""
    if scope.elements(op.outputs[0]) % max(1, scope.elements(op.input(0))):
        raise InvalidError("an output that is no multiple of its input")
    return [piece(op, scope, OpKind.GATHER, (op.input(0),))]


def _resize(op: TfOp, scope: Scope, taps: int) -> list[Piece]:
    """Nearest neighbour moves one element, bilinear weighs two per axis that changes."""
    source, output = image(scope, op.input(0)), image(scope, op.outputs[0])
    if (source[0], source[3]) != (output[0], output[3]):
        raise InvalidError(f"output of shape {list(output)} from {list(source)}")
    changed = sum(a != b for a, b in zip(source[1:3], output[1:3], strict=True))
    work = "resize" if taps == 1 else "resize_taps"
    return [piece(op, scope, OpKind.RESIZE, (op.input(0),), work=work, taps=taps**changed)]


def is_view(op: TfOp, scope: Scope) -> bool:
    """Whether an operator moves nothing: a reshape, or a transpose that only moves axes of length
    1. Raises InvalidError when the number of elements changes."""
    if op.code == "TRANSPOSE":
        order, shape = scope.values(op.input(1)), scope.shape(op.input(0))
        if order is None:
            raise UnsupportedError("axes that are computed")
        if sorted(order) != list(range(len(shape))):
            raise InvalidError(f"the axes {list(order)} of the shape {list(shape)}")
        require_shape(scope.shape(op.outputs[0]), tuple(shape[axis] for axis in order))
        moved = [axis for axis in order if shape[axis] > 1]
        return moved == sorted(moved)
    if op.code not in VIEWS:
        return False
    have, made = scope.elements(op.input(0)), scope.elements(op.outputs[0])
    if have != made:
        raise InvalidError(f"output of {made} elements from {have}")
    return True


VIEWS = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators that only rename bytes."""

_UNARY = {
    OpKind.RELU: ("RELU",),
    OpKind.CLIP: ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
    OpKind.LEAKY_RELU: ("LEAKY_RELU",),
    OpKind.SIGMOID: ("LOGISTIC",),
    OpKind.TANH: ("TANH",),
    OpKind.HARD_SWISH: ("HARD_SWISH",),
    OpKind.GELU: ("GELU",),
    OpKind.EXP: ("EXP", "LOG", "SIN", "COS", "ELU"),
    OpKind.SQRT: ("SQRT", "RSQRT"),
    OpKind.ELEMENTWISE: (
        "ABS", "NEG", "SIGN", "FLOOR", "CEIL", "ROUND", "CAST", "SQUARE", "LOGICAL_NOT",
    ),
    OpKind.QUANTIZE: ("QUANTIZE", "FAKE_QUANT"),
    OpKind.DEQUANTIZE: ("DEQUANTIZE",),
}  # fmt: skip
_BINARY = {
    OpKind.ADD: ("ADD",),
    OpKind.SUB: ("SUB",),
    OpKind.MUL: ("MUL",),
    OpKind.DIV: ("DIV", "FLOOR_DIV", "FLOOR_MOD"),
    OpKind.LEAKY_RELU: ("PRELU",),
    OpKind.EXP: ("POW",),
    OpKind.MINMAX: (
        "MAXIMUM", "MINIMUM", "EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER",
        "GREATER_EQUAL", "LOGICAL_AND", "LOGICAL_OR",
    ),
}  # fmt: skip

_REDUCING = (
    "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL",
    "ARG_MAX", "ARG_MIN",
)  # fmt: skip
_MOVING = (
    "TRANSPOSE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "REVERSE_V2", "SPACE_TO_BATCH_ND",
    "BATCH_TO_SPACE_ND",
)  # fmt: skip

RULES: dict[str, Rule] = {
    **{
        code: partial(_elementwise, kind=kind) for kind, codes in _UNARY.items() for code in codes
    },
    **{
        code: partial(_elementwise, kind=kind, operands=(0, 1))
        for kind, codes in _BINARY.items()
        for code in codes
    },
    "ADD_N": _sum,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SELECT": partial(_elementwise, kind=OpKind.MINMAX, operands=(0, 1, 2)),
    "SELECT_V2": partial(_elementwise, kind=OpKind.MINMAX, operands=(0, 1, 2)),
    "SOFTMAX": partial(_along_last, kind=OpKind.SOFTMAX),
    "LOG_SOFTMAX": partial(_along_last, kind=OpKind.SOFTMAX),
    "L2_NORMALIZATION": partial(_along_last, kind=OpKind.LAYER_NORM, work="rms_norm"),
    "AVERAGE_POOL_2D": partial(_pool, kind=OpKind.AVERAGE_POOL),
    "MAX_POOL_2D": partial(_pool, kind=OpKind.MAX_POOL),
    **dict.fromkeys(_REDUCING, _reduce),
    "CONCATENATION": _concat,
    "PACK": _concat,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _pad,
    "SLICE": _slice,
    "STRIDED_SLICE": _slice,
    "SPLIT": partial(_split, source=1),
    "SPLIT_V": partial(_split, source=0),
    "UNPACK": partial(_split, source=0),
    **dict.fromkeys(_MOVING, _moved),
    "GATHER": _gather,
    "GATHER_ND": _gather,
    "EMBEDDING_LOOKUP": partial(_gather, source=1, indices=0),
    "TILE": _copies,
    "BROADCAST_TO": _copies,
    "RESIZE_NEAREST_NEIGHBOR": partial(_resize, taps=1),
    "RESIZE_BILINEAR": partial(_resize, taps=2),
}  # fmt: skip
"""Operator -> rule."""
