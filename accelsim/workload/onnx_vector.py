"""Rules of the operators that run on the vector unit; counts are those of ``vector_work``."""

from __future__ import annotations

import math

from accelsim.workload.graph import OpKind, Window
from accelsim.workload.onnx_draft import (
    Draft,
    InvalidError,
    Local,
    Scope,
    UnsupportedError,
    vector_draft,
)
from accelsim.workload.onnx_types import Node
from accelsim.workload.onnx_window import planar, window_of
from accelsim.workload.vector_work import vector_work


def elementwise(
    node: Node, scope: Scope, kind: OpKind, indices: tuple[int, ...] = (0,), work: str = ""
) -> Draft:
    """One pass over the output."""
    return vector_draft(node, scope, kind, work, indices)


def folded(node: Node, scope: Scope, kind: OpKind) -> Draft:
    """Sum, Max, Min, Mean: any number of operands, one after the other."""
    work = "nary" if len(node.inputs) > 1 else ""
    return vector_draft(node, scope, kind, work, tuple(range(len(node.inputs))))


def clip(node: Node, scope: Scope) -> Draft:
    """Clip with constant bounds (attributes before opset 11, inputs since)."""
    if any(name and name not in scope.constants for name in node.inputs[1:]):
        raise UnsupportedError("bounds that are computed")
    return elementwise(node, scope, OpKind.CLIP)


def power(node: Node, scope: Scope) -> Draft:
    """A square is a product, a square root has its own kind, the rest are exponentials."""
    kinds = {2.0: OpKind.MUL, 0.5: OpKind.SQRT, -0.5: OpKind.SQRT, -1.0: OpKind.SQRT}
    exponent = scope.scalar(node.input(1))
    if exponent is None:
        return vector_draft(node, scope, OpKind.EXP, indices=(0, 1))
    return vector_draft(node, scope, kinds.get(exponent, OpKind.EXP))


def concat(node: Node, scope: Scope, first: int, step: int) -> Draft:
    """Concat, QLinearConcat: every ``step``-th input from ``first``."""
    return elementwise(node, scope, OpKind.CONCAT, tuple(range(first, len(node.inputs), step)))


def slice_(node: Node, scope: Scope) -> Draft:
    """A part of a tensor; steps other than 1 read all of it (a memory word holds neighbours)."""
    steps = node.input(4)
    whole = bool(steps) and set(scope.integers(steps) or (0,)) != {1}
    return vector_draft(node, scope, OpKind.SLICE, picks=not whole)


def split(node: Node, scope: Scope) -> Draft:
    """One output of a Split: a part of its input."""
    return vector_draft(node, scope, OpKind.SLICE, picks=True)


def gather(node: Node, scope: Scope) -> Draft:
    """Rows of a table, by constant or computed indices."""
    table, indices = node.input(0), node.input(1)
    which = (0,) if indices in scope.constants else (0, 1)
    if table in scope.constants and indices in scope.constants:
        raise UnsupportedError("a constant picked from a constant")
    return vector_draft(node, scope, OpKind.GATHER, indices=which, picks=True)


def repeat(node: Node, scope: Scope) -> Draft:
    """Expand, Tile: every output element is an input element again."""
    if node.input(1) not in scope.constants:
        raise UnsupportedError("a shape that is computed")
    return vector_draft(node, scope, OpKind.GATHER)


def bias_gelu(node: Node, scope: Scope) -> Draft:
    """com.microsoft.BiasGelu, FastGelu (whose bias may be left out)."""
    work = "bias_gelu" if node.input(1) else ""
    return vector_draft(node, scope, OpKind.GELU, work, (0, 1))


def where(node: Node, scope: Scope) -> Draft:
    """A select between two operands."""
    return vector_draft(node, scope, OpKind.MINMAX, indices=(0, 1, 2))


def softmax(node: Node, scope: Scope) -> Draft:
    """Softmax, LogSoftmax, QLinearSoftmax."""
    return vector_draft(node, scope, OpKind.SOFTMAX)


def reduce(node: Node, scope: Scope) -> Draft:
    """Sums, means, extrema and their arguments along axes."""
    if node.input(1) and node.input(1) not in scope.constants:
        raise UnsupportedError("axes that are computed")
    return vector_draft(node, scope, OpKind.REDUCE)


def batch_norm(node: Node, scope: Scope) -> Draft:
    """Inference only; mean and variance count as folded into scale and shift, as deployed."""
    if node.attributes.get("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise UnsupportedError("training mode")
    source, scale, shift = node.inputs[:3]
    if scale not in scope.constants or shift not in scope.constants:
        raise UnsupportedError("scale or shift that is computed")
    count = vector_work(OpKind.BATCH_NORM, scope.elements(node.outputs[0]))
    return Draft(OpKind.BATCH_NORM, (source,), scale, shift, vector_ops=count)


def norm(
    node: Node, scope: Scope, work: str = "layer_norm", constants: tuple[int, ...] = (1, 2)
) -> Draft:
    """Layer, instance, group and RMS normalisation with constant gain (and shift)."""
    fixed = [node.input(i) for i in constants if node.input(i)]
    if any(name not in scope.constants for name in fixed):
        raise UnsupportedError("gain or shift that is computed")
    return vector_draft(node, scope, OpKind.LAYER_NORM, work, (0, *constants))


def skip_norm(node: Node, scope: Scope, work: str, last: int) -> tuple[Draft, ...]:
    """com.microsoft Skip(Simplified)LayerNormalization: the sum of input, skip and bias (input
    ``last``, if it is given), which may leave the node as its fourth output, then the norm."""
    shape, elements = scope.shape(node.inputs[0]), scope.elements(node.inputs[0])
    total = node.outputs[3] if len(node.outputs) > 3 and node.outputs[3] else ""
    target: str | Local = total or Local("sum", shape)
    terms = vector_draft(node, scope, OpKind.ADD, "nary", (0, 1, last))
    gains = [node.input(i) for i in range(2, last) if node.input(i)]
    if any(name not in scope.constants for name in gains):
        raise UnsupportedError("gain or shift that is computed")
    weight, bias = (*gains, None, None)[:2]
    added = Draft(
        OpKind.ADD, terms.inputs, terms.weight, terms.bias, vector_ops=terms.vector_ops,
        label="sum", output=target,
    )  # fmt: skip
    count = vector_work(work, elements)
    return added, Draft(OpKind.LAYER_NORM, (target,), weight, bias, vector_ops=count)


def rotary(node: Node, scope: Scope, tables: tuple[int, int]) -> Draft:
    """Rotary embedding; of the cosine and sine tables the rows that positions ask for."""
    source = node.input(0)
    cos, sin = (node.input(i) for i in tables)
    count = vector_work("rotary", scope.elements(node.outputs[0]))
    fixed = cos in scope.constants and sin in scope.constants
    inputs = (source,) if fixed else tuple(dict.fromkeys((source, cos, sin)))
    if not fixed and (cos in scope.constants or sin in scope.constants):
        raise UnsupportedError("one constant and one computed table")
    if source in scope.constants:
        raise UnsupportedError("the rotation of a constant")
    weight, bias = (cos, sin) if fixed else (None, None)
    return Draft(OpKind.MUL, inputs, weight, bias, vector_ops=count, picks=True)


def resize(node: Node, scope: Scope) -> Draft:
    """Resize, Upsample: 1, 2 or 4 neighbours per axis that changes."""
    neighbours = {"nearest": 1, "linear": 2, "bilinear": 2, "cubic": 4}
    mode = node.attributes.get("mode", "nearest")
    if mode not in neighbours:
        raise InvalidError(f"mode '{mode}'; known: {', '.join(neighbours)}")
    before, after = scope.shape(node.inputs[0]), scope.shape(node.outputs[0])
    taps = math.prod(
        neighbours[mode] for a, b in zip(before, after, strict=True) if a != b
    )  # fmt: skip
    count = vector_work("resize_taps", scope.elements(node.outputs[0]), window=taps)
    if node.inputs[0] in scope.constants:
        raise UnsupportedError("the interpolation of a constant")
    return Draft(OpKind.RESIZE, (node.inputs[0],), vector_ops=count)


def pool(node: Node, scope: Scope, kind: OpKind) -> Draft:
    """Max and average pools."""
    if node.attributes.get("channels_last", 0):
        raise UnsupportedError("channels-last layout")
    kernel = node.attributes["kernel_shape"]
    window = window_of(node, scope, kernel, scope.shape(node.inputs[0])[1])
    outputs = scope.elements(node.outputs[0])
    count = vector_work(kind, outputs, window=math.prod(kernel))
    return Draft(kind, (node.inputs[0],), window=window, vector_ops=count)


def global_pool(node: Node, scope: Scope, kind: OpKind = OpKind.GLOBAL_AVERAGE_POOL) -> Draft:
    """The window is the whole image (a global maximum is a pool with that window)."""
    if node.attributes.get("channels_last", 0):
        raise UnsupportedError("channels-last layout")
    batch, channels, height, width = planar(scope.shape(node.inputs[0]))
    window = Window(
        batch, channels, height, width, channels, 1, 1, height, width, groups=channels
    )  # fmt: skip
    elements = scope.elements(node.inputs[0])
    outputs = scope.elements(node.outputs[0])
    count = vector_work(kind, outputs, inputs=elements, window=height * width)
    return Draft(kind, (node.inputs[0],), window=window, vector_ops=count)
