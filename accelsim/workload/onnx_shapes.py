"""Shape rules of the com.microsoft operators that quantised networks and transformers use (onnx
knows none), and of what onnx leaves open.

Each rule takes a node and the values known so far and gives the value of its first output (or of
several, by name). Source: ONNX Runtime's operator documentation (docs/ContribOperators.md).
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
    """QLinearSoftmax, normalisation, activations, rotary embedding: as its input."""
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


def _skip_norm(node: Node, known: Known) -> dict[str, Value]:
    """Skip(Simplified)LayerNormalization: the norm and the sum before it, as its input."""
    value = known[node.inputs[0]]
    return {node.outputs[i]: value for i in (0, 3) if i < len(node.outputs) and node.outputs[i]}


def _fused_matmul(node: Node, known: Known) -> Value:
    """FusedMatMul: numpy's matmul of operands that may be transposed."""
    shapes = []
    for name, key in ((node.inputs[0], "transA"), (node.inputs[1], "transB")):
        shape = known[name].shape
        if node.attributes.get(key, 0) and len(shape) > 1:
            shape = (*shape[:-2], shape[-1], shape[-2])
        shapes.append(shape)
    a, b = shapes
    if min(len(a), len(b)) < 2 or a[-1] != b[-2]:
        raise ValueError(f"operands of shape {list(a)} and {list(b)}")
    stack = np.broadcast_shapes(a[:-2], b[:-2])
    return Value((*(int(size) for size in stack), a[-2], b[-1]), known[node.inputs[0]].dtype)


def _attention(node: Node, known: Known) -> Value:
    """Attention: [batch, rows, hidden] with the packed weight [columns, 3 x hidden]."""
    source, weight = known[node.inputs[0]], known[node.inputs[1]]
    batch, rows, _ = source.shape
    return Value((batch, rows, weight.shape[1] // 3), source.dtype)


def _multi_head(node: Node, known: Known) -> Value:
    """MultiHeadAttention: [batch, rows, heads x width of a value head]."""
    query, value = known[node.inputs[0]], known[node.inputs[2]]
    heads = node.attributes["num_heads"] if len(value.shape) == 4 else 1
    return Value((*query.shape[:2], value.shape[-1] * heads), query.dtype)


SHAPE_RULES: dict[str, Callable[[Node, Known], Value | dict[str, Value]]] = {
    **dict.fromkeys(
        (
            "com.microsoft.BiasGelu",
            "com.microsoft.FastGelu",
            "com.microsoft.Gelu",
            "com.microsoft.QuickGelu",
            "com.microsoft.SimplifiedLayerNormalization",
            "com.microsoft.RotaryEmbedding",
            "GroupNormalization",
        ),
        _same,
    ),
    "com.microsoft.SkipLayerNormalization": _skip_norm,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_norm,
    "com.microsoft.FusedMatMul": _fused_matmul,
    "com.microsoft.Attention": _attention,
    "com.microsoft.MultiHeadAttention": _multi_head,
    "com.microsoft.QLinearAdd": _binary,
    "com.microsoft.QLinearMul": _binary,
    "com.microsoft.QLinearSoftmax": _same,
    "com.microsoft.QLinearGlobalAveragePool": _global_pool,
    "com.microsoft.QLinearAveragePool": _average_pool,
    "com.microsoft.QLinearConcat": _concat,
    "com.microsoft.QGemm": _gemm,
}
"""Operator key -> rule."""
