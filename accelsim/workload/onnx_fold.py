"""Arithmetic on constants and shapes, done while reading.

Exporters write the target of a Reshape or Expand as a small program over ``Shape`` of other
tensors. With the batch fixed all of that is constant, and so is what else is computed from
constants alone (attention masks, position numbers, scales). Small results are evaluated, with
onnx's own reference implementation; of large ones, or ones computed from large constants, only
shape and type matter. Results are bounded before they are computed.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from accelsim.workload.limits import MAX_ELEMENTS
from accelsim.workload.onnx_types import Node, Value

MAX_EVALUATED = 2**16
"""Elements of a result that is evaluated."""

FOLDED = frozenset({"Shape", "Size", "Range", "ConstantOfShape", "NonZero"})
"""Operators that only ever compute constants."""

_RENAMES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Transpose"})
"""Operators that the rest of the reader looks through: their results are known, the nodes stay."""

_EVALUATED = (
    FOLDED
    | _RENAMES
    | {"Gather", "Concat", "Cast", "Slice", "Expand", "Tile", "Where", "Trilu", "CumSum"}
    | {"Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", "Neg", "Abs", "Floor", "Ceil"}
    | {"Sqrt", "Reciprocal", "Exp", "Log", "Sin", "Cos", "Not", "And", "Or", "Xor"}
    | {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
    | {"ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin"}
)
"""Operators computed when all they read is constant."""

_FAILURES = (
    ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""What the reference implementation raises for operands that do not fit."""

Arrays = Mapping[str, NDArray[Any] | None]


@dataclass(frozen=True)
class Folded:
    """What became known."""

    arrays: dict[str, NDArray[Any] | None]
    """Constant -> its numbers, None for large ones."""
    values: dict[str, Value]
    replaced: frozenset[str]
    """Those whose nodes are not needed any more."""


def fold(
    nodes: Iterable[Node], values: Mapping[str, Value], constants: Arrays, opset: int
) -> Folded:
    """Evaluates every node (in order) whose result is constant and not yet in ``constants``.

    ``values``: shapes and types known so far; ``opset``: version of the standard operators.
    """
    arrays: dict[str, NDArray[Any] | None] = {}
    shapes: dict[str, Value] = {}
    replaced = set()
    known, typed = ChainMap(arrays, dict(constants)), ChainMap(shapes, dict(values))
    for node in nodes:
        outputs = [name for name in node.outputs if name]
        if node.key not in _EVALUATED or len(outputs) != 1 or outputs[0] in known:
            continue
        array = _evaluate(node, typed, known, opset)
        name = outputs[0]
        if array is not None:
            arrays[name], shapes[name] = array, Value(array.shape, str(array.dtype))
        elif node.key not in FOLDED and name in typed and _constant(node, known):
            arrays[name] = None
        else:
            continue
        if node.key not in _RENAMES:
            replaced.add(name)
    for name in arrays:
        shapes.setdefault(name, values[name]) if name in values else None
    return Folded(arrays, shapes, frozenset(replaced))


def _constant(node: Node, known: Arrays) -> bool:
    return bool(node.inputs) and all(name in known for name in node.inputs if name)


def _evaluate(
    node: Node, values: Mapping[str, Value], known: Arrays, opset: int
) -> NDArray[Any] | None:
    """The result, None if it cannot be said or is too large."""
    if node.key in ("Shape", "Size"):
        source = values.get(node.input(0))
        return None if source is None else _extent(node, source)
    names = [name for name in node.inputs if name]
    operands = {name: known.get(name) for name in names}
    arrays = {name: array for name, array in operands.items() if array is not None}
    if not names or len(arrays) != len(operands):
        return None
    try:
        if not 0 <= _elements(node, arrays) <= MAX_EVALUATED:
            return None
        with np.errstate(all="ignore"):
            result = _run(node, arrays, opset)
    except _FAILURES:
        return None
    array = np.asarray(result)
    return array if array.size <= MAX_EVALUATED and array.dtype.kind in "biuf" else None


def _extent(node: Node, source: Value) -> NDArray[Any]:
    """Shape (a part of it since opset 15) or Size."""
    if node.key == "Size":
        return np.array(source.elements, np.int64)
    first, last = node.attributes.get("start", 0), node.attributes.get("end")
    return np.array(source.shape[first:last], np.int64)


def _elements(node: Node, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Elements of the result, bounded above, before anything is computed."""
    operands = [arrays[name] for name in node.inputs if name]
    if any(operand.size > MAX_EVALUATED for operand in operands):
        return MAX_ELEMENTS
    if node.key == "ConstantOfShape":
        return math.prod(int(size) for size in operands[0].ravel())
    if node.key == "Range":
        start, limit, delta = (float(operand.item()) for operand in operands)
        return max(0, math.ceil((limit - start) / delta))
    if node.key == "Expand":
        shape = tuple(int(size) for size in operands[1].ravel())
        return math.prod(_broadcast([operands[0].shape, shape]))
    if node.key == "Tile":
        return operands[0].size * math.prod(int(times) for times in operands[1].ravel())
    if node.key in ("Concat", "Gather"):
        return sum(operand.size for operand in operands) * (
            operands[1].size if node.key == "Gather" else 1
        )
    if node.key in ("Slice", "CumSum", "NonZero", "Trilu") or node.key in _RENAMES:
        return operands[0].size * max(1, operands[0].ndim)
    if node.key.startswith("Reduce"):
        return operands[0].size
    return math.prod(_broadcast([operand.shape for operand in operands]))


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """numpy's rule, without its limit on sizes."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def _run(node: Node, arrays: Mapping[str, NDArray[Any]], opset: int) -> Any:
    """One node by the reference implementation."""
    from onnx.reference import ReferenceEvaluator

    proto = helper.make_node(node.op_type, list(node.inputs), list(node.outputs))
    for name, value in node.attributes.items():
        proto.attribute.append(helper.make_attribute(name, value))
    inputs = [
        helper.make_tensor_value_info(n, _element_type(a), a.shape) for n, a in arrays.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = helper.make_graph([proto], "fold", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(None, dict(arrays))[0]


def _element_type(array: NDArray[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))
