"""TensorFlow Lite operators that run on the array: convolutions and matrix products.

Layouts of the format: images NHWC, convolution weights [out, height, width, in / groups],
depthwise weights [1, height, width, channels x multiplier], dense weights [columns, depth]. Only
sizes matter to a workload, so windows are stated in its own NCHW terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from accelsim.workload.graph import Gemm, OpKind, Role, Tensor, Window
from accelsim.workload.limits import MAX_PHASES, product_excess, window_excess
from accelsim.workload.tflite_types import (
    InvalidError,
    Piece,
    Scope,
    TfOp,
    TooLargeError,
    UnsupportedError,
)
from accelsim.workload.transposed import Phase, covers, phases
from accelsim.workload.vector_work import epilogue_work, vector_work

Rule = Callable[[TfOp, Scope], list[Piece]]

ACTIVATIONS = ("", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
"""Fused activations by their number in the schema."""


def activation(op: TfOp) -> tuple[str, ...]:
    """The fused activation of an operator, if it has one."""
    number = op.option("FusedActivationFunction")
    if not 0 <= number < len(ACTIVATIONS):
        raise InvalidError(f"fused activation number {number}")
    return (ACTIVATIONS[number],) if number else ()


def stages(op: TfOp, scope: Scope) -> tuple[str, ...]:
    """What follows the sums of an array operator: activation, and requantisation to integers."""
    return (*activation(op), *(("QUANTIZE",) if scope.integer(op.outputs[0]) else ()))


def image(scope: Scope, index: int) -> tuple[int, int, int, int]:
    """Batch, height, width and channels of an NHWC tensor."""
    shape = scope.shape(index)
    if len(shape) != 4:
        raise InvalidError(f"a window over the shape {list(shape)}; four dimensions are needed")
    return shape[0], shape[1], shape[2], shape[3]


def require_shape(found: tuple[int, ...], expected: tuple[int, ...], what: str = "output") -> None:
    """Raises InvalidError unless a shape is the one that follows from the operands."""
    if found != expected:
        raise InvalidError(f"{what} of shape {list(found)}, its operands give {list(expected)}")


def window(
    op: TfOp, scope: Scope, source: int, kernel: tuple[int, int], out_channels: int, groups: int
) -> Window:
    """Geometry of a convolution or pool; SAME padding puts the odd element behind."""
    batch, height, width, channels = image(scope, source)
    strides = (op.option("StrideH"), op.option("StrideW"))
    dilations = (op.option("DilationHFactor", 1), op.option("DilationWFactor", 1))
    if min(*strides, *dilations, *kernel) < 1:
        raise InvalidError(f"strides {strides}, dilations {dilations}, kernel {kernel}")
    before, after, sizes = [], [], []
    for axis, size in enumerate((height, width)):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        out, pad = _padded(op, size, reach, strides[axis])
        sizes.append(out)
        before.append(pad // 2)
        after.append(pad - pad // 2)
    require_shape(scope.shape(op.outputs[0]), (batch, *sizes, out_channels))
    made = Window(
        batch, channels, height, width, out_channels, sizes[0], sizes[1], kernel[0], kernel[1],
        strides, dilations, (before[0], before[1], after[0], after[1]), groups,
    )  # fmt: skip
    for excess in window_excess(made):
        raise TooLargeError(excess)
    return made


def _padded(op: TfOp, size: int, reach: int, stride: int) -> tuple[int, int]:
    """Positions along an axis, and the padding that they take."""
    padding = op.option("Padding")
    if padding == 0:
        out = -(-size // stride)
        return out, max((out - 1) * stride + reach - size, 0)
    if padding != 1:
        raise InvalidError(f"padding number {padding}")
    if reach > size:
        raise InvalidError(f"a window that spans {reach} of {size} elements")
    return (size - reach) // stride + 1, 0


def array_piece(
    op: TfOp,
    scope: Scope,
    kind: OpKind,
    operands: tuple[int, int, int],
    gemm: Gemm,
    geometry: Window | None = None,
) -> Piece:
    """An array operator over (left, right, bias) with its epilogue."""
    left, right, bias = operands
    excess = product_excess(gemm) if geometry is None else None
    if excess is not None:
        raise TooLargeError(excess)
    if left in scope.static:
        raise UnsupportedError("a constant left operand")
    fixed = right in scope.static
    sums = gemm.m * gemm.n * gemm.groups
    if scope.elements(op.outputs[0]) != sums:
        raise InvalidError(f"output of {scope.elements(op.outputs[0])} elements, product of {sums}")
    fused = stages(op, scope)
    inputs = (scope.name(left),) if fixed else (scope.name(left), scope.name(right))
    return Piece(
        kind, inputs, scope.name(op.outputs[0]),
        scope.name(right) if fixed else None, bias_name(bias, scope, gemm.n * gemm.groups),
        gemm, geometry, epilogue_work(sums, len(fused)), fused,
    )  # fmt: skip


def bias_name(bias: int, scope: Scope, channels: int) -> str | None:
    """Name of a constant bias of one number per output channel, None without one."""
    if bias < 0:
        return None
    if bias not in scope.static:
        raise UnsupportedError("a bias that is computed")
    if scope.elements(bias) != channels:
        raise InvalidError(f"a bias of {scope.elements(bias)} elements for {channels} channels")
    return scope.name(bias)


def conv(op: TfOp, scope: Scope) -> list[Piece]:
    """CONV_2D as im2col: m = batch x pixels, k = channels / groups x kernel, n = filters / groups.
    There are as many groups as the filters' depth fits into the input channels."""
    source, kernel, bias = (op.input(i) for i in range(3))
    filters, height, width, depth = image(scope, kernel)
    channels = image(scope, source)[3]
    if channels % depth or filters % (channels // depth):
        raise InvalidError(f"filters {list(scope.shape(kernel))} over {channels} channels")
    groups = channels // depth
    made = window(op, scope, source, (height, width), filters, groups)
    pixels = made.batch * made.out_height * made.out_width
    gemm = Gemm(pixels, depth * height * width, filters // groups, groups)
    return [array_piece(op, scope, OpKind.CONV, (source, kernel, bias), gemm, made)]


def depthwise(op: TfOp, scope: Scope) -> list[Piece]:
    """DEPTHWISE_CONV_2D: one product per channel, k = kernel, n = multiplier."""
    source, kernel, bias = (op.input(i) for i in range(3))
    one, height, width, filters = image(scope, kernel)
    channels = image(scope, source)[3]
    if one != 1 or filters % channels:
        raise InvalidError(f"filters {list(scope.shape(kernel))} over {channels} channels")
    made = window(op, scope, source, (height, width), filters, channels)
    pixels = made.batch * made.out_height * made.out_width
    gemm = Gemm(pixels, height * width, filters // channels, channels)
    return [array_piece(op, scope, OpKind.CONV, (source, kernel, bias), gemm, made)]


def transposed(op: TfOp, scope: Scope) -> list[Piece]:
    """TRANSPOSE_CONV: one dense convolution per output phase, each with its own taps of the kernel,
    and, if there are several, their interleaving as one layout change (see
    :mod:`accelsim.workload.transposed`)."""
    kernel, source, bias = (op.input(i) for i in (1, 2, 3))
    if kernel not in scope.static or source in scope.static:
        raise UnsupportedError("it needs a computed input and a constant kernel")
    whole = _transposed_window(op, scope, source, scope.shape(kernel))
    if math.prod(whole.stride) > MAX_PHASES:
        raise TooLargeError(f"{math.prod(whole.stride)} phases; the limit is {MAX_PHASES}")
    found = phases(whole)
    for excess in (text for p in found if p.window for text in window_excess(p.window)):
        raise TooLargeError(excess)
    if len(found) == 1 and found[0].gemm is not None and covers(found[0], whole):
        operands, gemm = (source, kernel, bias), found[0].gemm
        return [array_piece(op, scope, OpKind.CONV, operands, gemm, found[0].window)]
    made = [_phase(op, scope, phase) for phase in found if phase.window]
    if not made:
        raise InvalidError(f"a kernel of shape {list(scope.shape(kernel))}")
    count = vector_work(OpKind.TRANSPOSE, scope.elements(op.outputs[0]))
    inputs = tuple(piece.output for piece in made)
    output = scope.name(op.outputs[0])
    join = Piece(OpKind.TRANSPOSE, inputs, output, vector_ops=count, label="interleave")
    return [*made, join]


def _phase(op: TfOp, scope: Scope, phase: Phase) -> Piece:
    """The convolution of one phase, over its own taps."""
    kernel, source, bias = (op.input(i) for i in (1, 2, 3))
    made, gemm = phase.window, phase.gemm
    assert made is not None, "phases without taps are left out"
    assert gemm is not None, "phases without taps are left out"
    label = f"phase_{phase.row}_{phase.column}"
    shape = (made.batch, made.out_height, made.out_width, made.out_channels)
    taps = (made.out_channels, made.kernel_height, made.kernel_width, made.in_channels)
    output = Tensor(f"{op.name}:{label}", shape, scope.tensor(op.outputs[0]).dtype, Role.ACTIVATION)
    part = Tensor(f"{scope.name(kernel)}[{label}]", taps, scope.tensor(kernel).dtype, Role.WEIGHT)
    fused = stages(op, scope)
    return Piece(
        OpKind.CONV, (scope.name(source),), output.name, part.name,
        bias_name(bias, scope, made.out_channels), gemm, made,
        epilogue_work(output.elements, len(fused)), fused, label, (output, part),
        parts={part.name: scope.name(kernel)},
    )  # fmt: skip


def _transposed_window(op: TfOp, scope: Scope, source: int, kernel: tuple[int, ...]) -> Window:
    """The transposed convolution itself; pads are what is cropped. The convolution back from the
    output must give the input's size."""
    batch, rows, columns, channels = image(scope, source)
    out = image(scope, op.outputs[0])
    if len(kernel) != 4 or kernel[3] != channels or (out[0], out[3]) != (batch, kernel[0]):
        raise InvalidError(f"filters {list(kernel)} from {channels} channels to {list(out)}")
    strides, crops = (op.option("StrideH"), op.option("StrideW")), []
    if min(strides) < 1:
        raise InvalidError(f"strides {strides}")
    for axis, size in enumerate((rows, columns)):
        back, pad = _padded(op, out[axis + 1], kernel[axis + 1], strides[axis])
        if back != size:
            raise InvalidError(f"output of shape {list(out)} from {rows} x {columns} pixels")
        crops.append(pad // 2)
    return Window(
        batch, channels, rows, columns, kernel[0], out[1], out[2], kernel[1], kernel[2],
        strides, pads=(crops[0], crops[1], 0, 0),
    )  # fmt: skip


def dense(op: TfOp, scope: Scope) -> list[Piece]:
    """FULLY_CONNECTED: the input's elements in rows as long as the weight is deep."""
    source, weight, bias = (op.input(i) for i in range(3))
    shape = scope.shape(weight)
    if op.option("WeightsFormat"):
        raise UnsupportedError("shuffled weights")
    if len(shape) != 2 or scope.elements(source) % shape[1]:
        raise InvalidError(f"weights {list(shape)} for an input of {list(scope.shape(source))}")
    gemm = Gemm(scope.elements(source) // shape[1], shape[1], shape[0])
    return [array_piece(op, scope, OpKind.MATMUL, (source, weight, bias), gemm)]


def batch_matmul(op: TfOp, scope: Scope) -> list[Piece]:
    """BATCH_MATMUL: one of ``groups`` products per right operand of the stack, with the rows of
    all left operands that meet it; a constant left operand is taken as the right one (B' A')."""
    left, right = op.input(0), op.input(1)
    a, b = list(scope.shape(left)), list(scope.shape(right))
    if min(len(a), len(b)) < 2:
        raise InvalidError(f"operands of shape {a} and {b}")
    for shape, flag in ((a, "AdjX"), (b, "AdjY")):
        if op.option(flag):
            shape[-2:] = reversed(shape[-2:])
    m, k, n = a[-2], a[-1], b[-1]
    if b[-2] != k:
        raise InvalidError(f"inner dimensions {k} and {b[-2]}")
    stack = broadcast(tuple(a[:-2]), tuple(b[:-2]))
    require_shape(scope.shape(op.outputs[0]), (*stack, m, n))
    operands = (left, right, -1)
    if left in scope.static and right not in scope.static:
        b, m, n, operands = a, n, m, (right, left, -1)
    groups = math.prod(b[:-2])
    rows = m * math.prod(stack) // groups
    return [array_piece(op, scope, OpKind.MATMUL, operands, Gemm(rows, k, n, groups))]


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an element-wise result."""
    rank = max(len(shape) for shape in shapes)
    found = []
    for axes in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        sizes = {size for size in axes if size != 1}
        if len(sizes) > 1:
            raise InvalidError("operands of shapes " + ", ".join(str(list(s)) for s in shapes))
        found.append(sizes.pop() if sizes else 1)
    return tuple(found)


RULES: dict[str, Rule] = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "TRANSPOSE_CONV": transposed,
    "FULLY_CONNECTED": dense,
    "BATCH_MATMUL": batch_matmul,
}
"""Operator -> rule."""
