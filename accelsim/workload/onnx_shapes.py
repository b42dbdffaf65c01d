"""Shape rules of the com.microsoft operators that quantised networks use (onnx knows none).

Each rule takes a node and the values known so far and gives the value of its first output. Source:
ONNX Runtime's operator documentation (docs/ContribOperators.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from accelsim.workload.onnx_types import Node, Value

Known = Mapping[str, Value]


def pool_output(size: int, kernel: int, stride: int, dilation: int, pads: int, ceil: bool) -> int:
    """Windows along one axis; with ``ceil`` a last partial window counts if it starts inside."""
    span = size + pads - dilation * (kernel - 1) - 1
    steps = -(-span // stride) if ceil else span // stride
    return steps + 1


def _binary(node: Node, known: Known) -> Value:
    """QLinearAdd, QLinearMul: broadcast of both operands."""
    first, second = known[node.inputs[0]], known[node.inputs[3]]
    return Value(tuple(np.broadcast_shapes(first.shape, second.shape)), first.dtype)


def _same(node: Node, known: Known) -> Value:
    """QLinearSoftmax: as its input."""
    return known[node.inputs[0]]


def _global_pool(node: Node, known: Known) -> Value:
    """QLinearGlobalAveragePool, channels first: [n, c, 1, ...]."""
    source = known[node.inputs[0]]
    return Value((*source.shape[:2], *(1 for _ in source.shape[2:])), source.dtype)


def _average_pool(node: Node, known: Known) -> Value:
    """QLinearAveragePool, channels first, with the attributes of AveragePool."""
    source = known[node.inputs[0]]
    kernel = node.attributes["kernel_shape"]
    rank = len(kernel)
    strides = node.attributes.get("strides", (1,) * rank)
    pads = node.attributes.get("pads", (0,) * (2 * rank))
    auto = node.attributes.get("auto_pad", "NOTSET")
    ceil = bool(node.attributes.get("ceil_mode", 0))
    sizes = []
    for axis, size in enumerate(source.shape[2:]):
        if auto.startswith("SAME"):
            sizes.append(-(-size // strides[axis]))
        else:
            both = 0 if auto == "VALID" else pads[axis] + pads[axis + rank]
            sizes.append(pool_output(size, kernel[axis], strides[axis], 1, both, ceil))
    return Value((*source.shape[:2], *sizes), source.dtype)


def _concat(node: Node, known: Known) -> Value:
    """QLinearConcat: inputs are y_scale, y_zero_point, then (tensor, scale, zero point) each."""
    parts = [known[name] for name in node.inputs[2::3]]
    axis = node.attributes["axis"] % len(parts[0].shape)
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return Value(tuple(shape), parts[0].dtype)


def _gemm(node: Node, known: Known) -> Value:
    """QGemm: [m, n]; float32 when no output scale is given."""
    first, second = known[node.inputs[0]], known[node.inputs[3]]
    m = first.shape[1 if node.attributes.get("transA", 0) else 0]
    n = second.shape[0 if node.attributes.get("transB", 0) else 1]
    return Value((m, n), first.dtype if node.input(7) else "float32")


SHAPE_RULES: dict[str, Callable[[Node, Known], Value]] = {
    "com.microsoft.QLinearAdd": _binary,
    "com.microsoft.QLinearMul": _binary,
    "com.microsoft.QLinearSoftmax": _same,
    "com.microsoft.QLinearGlobalAveragePool": _global_pool,
    "com.microsoft.QLinearAveragePool": _average_pool,
    "com.microsoft.QLinearConcat": _concat,
    "com.microsoft.QGemm": _gemm,
}
"""Operator key -> rule."""
