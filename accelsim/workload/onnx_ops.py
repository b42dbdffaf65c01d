"""What each ONNX operator asks of the machine: one rule per operator, found by its key.

Counts of the vector unit (``vector_ops``, lane operations), the same for every reader:

- element-wise operators, batch norm, quantise, dequantise, and operators that only move elements
  (slice, pad, concat, transpose): one per output element;
- pools: output elements x kernel area; global average pool: input elements;
- softmax: four per element (maximum, subtract and exponentiate, sum, divide);
- array operators: output elements x fused stages (requantise, ReLU, clip), at least one, since
  accumulators must be moved out; a ReLU or clip fused into a vector operator adds one per element
  (requantisation of a vector operator is part of its write).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from accelsim.workload.graph import Gemm, OpKind, Window
from accelsim.workload.limits import REMEDY, product_excess, window_excess
from accelsim.workload.onnx_types import Node, Value


class UnsupportedError(Exception):
    """Why a node cannot be lowered; the reader collects these, users never see one."""

    code = "W102"
    statement = "is not supported"
    hint = ""


class InvalidError(UnsupportedError):
    """Why a node contradicts itself (onnx's own inference does not compare every dimension)."""

    code = "W106"
    statement = "is not valid"


class TooLargeError(UnsupportedError):
    """Why a node is beyond :mod:`accelsim.workload.limits`."""

    code = "W107"
    statement = "is too large"
    hint = REMEDY


@dataclass(frozen=True)
class Scope:
    """What a rule may ask about the graph around its node."""

    values: Mapping[str, Value]
    constants: Mapping[str, str]
    """Constant value -> the constant whose bytes hold it (a dequantised weight: the int8 one)."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a value."""
        return self.values[name].shape

    def elements(self, name: str) -> int:
        """Number of elements of a value."""
        return self.values[name].elements


@dataclass(frozen=True)
class Draft:
    """An operator before fusing; names are those of the file."""

    kind: OpKind
    inputs: tuple[str, ...]
    weight: str | None = None
    bias: str | None = None
    gemm: Gemm | None = None
    window: Window | None = None
    vector_ops: int = 0
    """Own lane operations; array operators leave it 0 (their epilogue is counted by stages)."""


Rule = Callable[[Node, Scope], Draft]


def _split(names: list[str], scope: Scope) -> tuple[tuple[str, ...], list[str]]:
    """Activations (without repeats) and constants among operands, in order."""
    present = [name for name in names if name]
    activations = dict.fromkeys(name for name in present if name not in scope.constants)
    return tuple(activations), [name for name in present if name in scope.constants]


def _operands(node: Node, scope: Scope, indices: tuple[int, ...]) -> Draft:
    """A moving or element-wise operator over some inputs, at most one of them constant."""
    activations, constants = _split([node.input(i) for i in indices], scope)
    if len(constants) > 1:
        raise UnsupportedError("more than one constant operand")
    weight = constants[0] if constants else None
    return Draft(OpKind.ADD, activations, weight, vector_ops=scope.elements(node.outputs[0]))


def _elementwise(node: Node, scope: Scope, kind: OpKind, indices: tuple[int, ...] = (0,)) -> Draft:
    """One lane operation per output element."""
    draft = _operands(node, scope, indices)
    return Draft(kind, draft.inputs, draft.weight, vector_ops=draft.vector_ops)


def _clip(node: Node, scope: Scope) -> Draft:
    """Clip with constant bounds (attributes before opset 11, inputs since)."""
    if any(name and name not in scope.constants for name in node.inputs[1:]):
        raise UnsupportedError("bounds that are computed")
    return _elementwise(node, scope, OpKind.CLIP)


def _concat(node: Node, scope: Scope, first: int, step: int) -> Draft:
    """Concat, QLinearConcat: every ``step``-th input from ``first``."""
    indices = tuple(range(first, len(node.inputs), step))
    return _elementwise(node, scope, OpKind.CONCAT, indices)


def _softmax(node: Node, scope: Scope) -> Draft:
    """Four lane operations per element: maximum, exponential of the difference, sum, quotient."""
    count = 4 * scope.elements(node.outputs[0])
    return Draft(OpKind.SOFTMAX, (node.inputs[0],), vector_ops=count)


def _batch_norm(node: Node, scope: Scope) -> Draft:
    """Inference only; mean and variance count as folded into scale and shift, as deployed."""
    if node.attributes.get("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise UnsupportedError("training mode")
    source, scale, shift = node.inputs[:3]
    if scale not in scope.constants or shift not in scope.constants:
        raise UnsupportedError("scale or shift that is computed")
    count = scope.elements(node.outputs[0])
    return Draft(OpKind.BATCH_NORM, (source,), scale, shift, vector_ops=count)


def _planar(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A batch of images as [n, c, h, w]; 1-D signals have height 1."""
    if len(shape) == 3:
        return shape[0], shape[1], 1, shape[2]
    if len(shape) == 4:
        return shape[0], shape[1], shape[2], shape[3]
    raise UnsupportedError(f"{len(shape) - 2}-D windows; 1-D and 2-D are supported")


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    """Per-axis numbers as (height, width)."""
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def _pads(
    node: Node, sizes: list[tuple[int, int]], kernel: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """top, left, bottom, right; ``sizes`` are (input, output) per spatial axis."""
    rank = len(kernel)
    auto = node.attributes.get("auto_pad", "NOTSET")
    before, after = [0] * rank, [0] * rank
    if auto.startswith("SAME"):
        strides = node.attributes.get("strides", (1,) * rank)
        dilations = node.attributes.get("dilations", (1,) * rank)
        for axis, (size, out) in enumerate(sizes):
            reach = (out - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
            total = max(reach - size, 0)
            small, large = total // 2, total - total // 2
            before[axis], after[axis] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto != "VALID":
        pads = node.attributes.get("pads", (0,) * (2 * rank))
        before, after = list(pads[:rank]), list(pads[rank:])
    if rank == 1:
        return 0, before[0], 0, after[0]
    return before[0], before[1], after[0], after[1]


def _window(node: Node, scope: Scope, kernel: tuple[int, ...], groups: int) -> Window:
    """Geometry of a convolution or pool from its attributes and inferred shapes."""
    shape, out_shape = scope.shape(node.inputs[0]), scope.shape(node.outputs[0])
    batch, channels, height, width = _planar(shape)
    _, out_channels, out_height, out_width = _planar(out_shape)
    rank = len(shape) - 2
    sizes = list(zip(shape[2:], out_shape[2:], strict=True))
    kernel_height, kernel_width = _pair(kernel)
    window = Window(
        batch, channels, height, width,
        out_channels, out_height, out_width,
        kernel_height, kernel_width,
        _pair(node.attributes.get("strides", (1,) * rank)),
        _pair(node.attributes.get("dilations", (1,) * rank)),
        _pads(node, sizes, kernel),
        groups,
    )  # fmt: skip
    for excess in window_excess(window):
        raise TooLargeError(excess)
    return window


def _conv(node: Node, scope: Scope, indices: tuple[int, int, int]) -> Draft:
    """A convolution as ``groups`` products (im2col): m = batch x output pixels,
    k = in_channels / groups x kernel, n = out_channels / groups."""
    source, kernel, bias = (node.input(i) for i in indices)
    if source in scope.constants:
        raise UnsupportedError("the convolution of a constant")
    groups = int(node.attributes.get("group", 1))
    filters, depth = scope.shape(kernel)[:2]
    channels = scope.shape(source)[1]
    if groups < 1 or depth * groups != channels or filters % groups:
        shape = f"kernel {list(scope.shape(kernel))}, {groups} groups, {channels} input channels"
        raise InvalidError(shape)
    window = _window(node, scope, scope.shape(kernel)[2:], groups)
    gemm = Gemm(
        m=window.batch * window.out_height * window.out_width,
        k=window.in_channels // groups * window.kernel_height * window.kernel_width,
        n=window.out_channels // groups,
        groups=groups,
    )
    return _array(OpKind.CONV, source, kernel, bias, scope, gemm, window)


def _array(
    kind: OpKind,
    left: str,
    right: str,
    bias: str,
    scope: Scope,
    gemm: Gemm,
    window: Window | None = None,
) -> Draft:
    """An array operator; operands that are computed become inputs."""
    excess = product_excess(gemm) if window is None else None
    if excess is not None:
        raise TooLargeError(excess)
    computed, constants = _split([left, right], scope)
    if len(constants) > 1:
        raise UnsupportedError("the product of two constants")
    extra = (bias,) if bias and bias not in scope.constants else ()
    inputs = tuple(dict.fromkeys((*computed, *extra)))
    fixed_bias = bias if bias in scope.constants else None
    return Draft(kind, inputs, constants[0] if constants else None, fixed_bias, gemm, window)


def _gemm(node: Node, scope: Scope, indices: tuple[int, int, int]) -> Draft:
    """Gemm, QGemm: C = A B + bias; with a constant A the product is taken as B' A'."""
    left, right, bias = (node.input(i) for i in indices)
    m, k = scope.shape(left)
    if node.attributes.get("transA", 0):
        m, k = k, m
    depth, n = scope.shape(right)
    if node.attributes.get("transB", 0):
        depth, n = n, depth
    if depth != k:
        raise InvalidError(f"inner dimensions {k} and {depth}")
    if left in scope.constants:
        m, n = n, m
    return _array(OpKind.MATMUL, left, right, bias, scope, Gemm(m, k, n))


def _matmul(node: Node, scope: Scope, indices: tuple[int, int]) -> Draft:
    """numpy's matmul. Every right operand of a stack is one of ``groups`` products, with the rows
    of all left operands that meet it; a constant left operand is taken as the right one (B' A')."""
    left, right = (node.input(i) for i in indices)
    a, b = scope.shape(left), scope.shape(right)
    m, k, n = (a[-2] if len(a) > 1 else 1), a[-1], (b[-1] if len(b) > 1 else 1)
    stack = scope.elements(node.outputs[0]) // (m * n)
    if left in scope.constants:
        b, m, n = a, n, m
    groups = math.prod(b[:-2])
    return _array(OpKind.MATMUL, left, right, "", scope, Gemm(m * stack // groups, k, n, groups))


def _pool(node: Node, scope: Scope, kind: OpKind) -> Draft:
    """Output elements x kernel area."""
    if node.attributes.get("channels_last", 0):
        raise UnsupportedError("channels-last layout")
    kernel = node.attributes["kernel_shape"]
    window = _window(node, scope, kernel, scope.shape(node.inputs[0])[1])
    count = scope.elements(node.outputs[0]) * math.prod(kernel)
    return Draft(kind, (node.inputs[0],), window=window, vector_ops=count)


def _global_pool(node: Node, scope: Scope) -> Draft:
    """Input elements; the window is the whole image."""
    if node.attributes.get("channels_last", 0):
        raise UnsupportedError("channels-last layout")
    shape = scope.shape(node.inputs[0])
    batch, channels, height, width = _planar(shape)
    window = Window(
        batch, channels, height, width, channels, 1, 1, height, width, groups=channels
    )  # fmt: skip
    count = scope.elements(node.inputs[0])
    return Draft(OpKind.GLOBAL_AVERAGE_POOL, (node.inputs[0],), window=window, vector_ops=count)


RULES: dict[str, Rule] = {
    "Conv": partial(_conv, indices=(0, 1, 2)),
    "QLinearConv": partial(_conv, indices=(0, 3, 8)),
    "Gemm": partial(_gemm, indices=(0, 1, 2)),
    "com.microsoft.QGemm": partial(_gemm, indices=(0, 3, 6)),
    "MatMul": partial(_matmul, indices=(0, 1)),
    "QLinearMatMul": partial(_matmul, indices=(0, 3)),
    "Add": partial(_elementwise, kind=OpKind.ADD, indices=(0, 1)),
    "com.microsoft.QLinearAdd": partial(_elementwise, kind=OpKind.ADD, indices=(0, 3)),
    "Mul": partial(_elementwise, kind=OpKind.MUL, indices=(0, 1)),
    "com.microsoft.QLinearMul": partial(_elementwise, kind=OpKind.MUL, indices=(0, 3)),
    "Relu": partial(_elementwise, kind=OpKind.RELU),
    "Clip": _clip,
    "MaxPool": partial(_pool, kind=OpKind.MAX_POOL),
    "AveragePool": partial(_pool, kind=OpKind.AVERAGE_POOL),
    "com.microsoft.QLinearAveragePool": partial(_pool, kind=OpKind.AVERAGE_POOL),
    "GlobalAveragePool": _global_pool,
    "com.microsoft.QLinearGlobalAveragePool": _global_pool,
    "Concat": partial(_concat, first=0, step=1),
    "com.microsoft.QLinearConcat": partial(_concat, first=2, step=3),
    "Pad": partial(_elementwise, kind=OpKind.PAD),
    "Slice": partial(_elementwise, kind=OpKind.SLICE),
    "Transpose": partial(_elementwise, kind=OpKind.SLICE),
    "BatchNormalization": _batch_norm,
    "Softmax": _softmax,
    "com.microsoft.QLinearSoftmax": _softmax,
}
"""Operator key -> rule, for operators that take time."""

RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
"""Operators that only rename bytes (Dropout: at inference)."""

SUPPORTED = (*RULES, *sorted(RESHAPES), "Constant", "DequantizeLinear", "QuantizeLinear")
"""Keys of every operator the reader knows."""


def is_view(node: Node, values: Mapping[str, Value]) -> bool:
    """Whether a node moves nothing: a reshape, or a transpose that only moves axes of length 1."""
    if node.key in RESHAPES:
        return True
    if node.key != "Transpose":
        return False
    shape = values[node.inputs[0]].shape
    order = node.attributes.get("perm", tuple(reversed(range(len(shape)))))
    moved = [axis for axis in order if shape[axis] > 1]
    return moved == sorted(moved)


def fallback(node: Node, scope: Scope, output: str) -> Draft:
    """An operator without a rule: reads all its inputs, one lane operation per output element;
    the largest constant operand that is no index list counts as its weight."""
    activations, constants = _split(list(node.inputs), scope)
    data = [name for name in constants if scope.values[name].dtype not in ("int64", "bool")]
    weight = max(data, key=scope.elements, default=None)
    return Draft(OpKind.FALLBACK, activations, weight, vector_ops=scope.elements(output))
