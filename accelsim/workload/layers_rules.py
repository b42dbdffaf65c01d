"""What each kind of a plain layer list asks of the machine: shapes (NCHW), products, windows.

One rule per kind: from the keys of a layer and the shapes it reads to a :class:`Sketch`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from accelsim.workload.graph import Gemm, OpKind, Window
from accelsim.workload.limits import product_excess, shape_excess, window_excess
from accelsim.workload.vector_work import vector_work

Shape = tuple[int, ...]
Keys = Mapping[str, Any]
"""A layer's keys as read, with their defaults."""


class FitError(Exception):
    """Why a layer does not fit its inputs; ``code`` W122, or W107 for its size."""

    def __init__(self, message: str, code: str = "W122") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Sketch:
    """An operator before it has names."""

    kind: OpKind
    shape: Shape
    weight: Shape | None = None
    bias: int = 0
    """Elements of the bias."""
    gemm: Gemm | None = None
    window: Window | None = None
    vector_ops: int = 0
    """Own element operations of a vector operator."""
    view: bool = False
    """Only renames bytes."""


Rule = Callable[[Keys, list[Shape]], Sketch]


def _image(shape: Shape) -> tuple[int, int, int, int]:
    if len(shape) != 4:
        raise FitError(f"reads the shape {list(shape)}, not [batch, channels, height, width]")
    return shape[0], shape[1], shape[2], shape[3]


def _padded(keys: Keys, sizes: tuple[int, int]) -> tuple[Shape, tuple[int, int, int, int]]:
    """Output sizes and the pads (top, left, bottom, right)."""
    out, before, after = [], [], []
    for axis, size in enumerate(sizes):
        reach = keys["dilation"][axis] * (keys["kernel"][axis] - 1) + 1
        stride, pad = keys["stride"][axis], keys["pad"]
        if pad == "same":
            positions = -(-size // stride)
            total = max((positions - 1) * stride + reach - size, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        else:
            before.append(pad[axis])
            after.append(pad[axis + 2])
            room = size + pad[axis] + pad[axis + 2]
            if reach > room:
                raise FitError(f"a window that spans {reach} of {room} padded elements")
            positions = (room - reach) // stride + 1
        out.append(positions)
    return tuple(out), (before[0], before[1], after[0], after[1])


def _window(keys: Keys, shape: Shape, out_channels: int, groups: int) -> Window:
    batch, channels, height, width = _image(shape)
    (rows, columns), pads = _padded(keys, (height, width))
    window = Window(
        batch, channels, height, width, out_channels, rows, columns,
        keys["kernel"][0], keys["kernel"][1], keys["stride"], keys["dilation"], pads, groups,
    )  # fmt: skip
    for excess in window_excess(window):
        raise FitError(excess, "W107")
    return window


def _convolution(keys: Keys, shapes: list[Shape], per_channel: bool) -> Sketch:
    """conv, depthwise: m = batch x pixels, k = channels / groups x kernel, n = filters / groups."""
    channels = _image(shapes[0])[1]
    groups = channels if per_channel else keys["groups"]
    filters = channels * keys["multiplier"] if per_channel else keys["filters"]
    if channels % groups or filters % groups:
        raise FitError(f"{channels} channels and {filters} filters do not split into {groups}")
    window = _window(keys, shapes[0], filters, groups)
    weight = (filters, channels // groups, *keys["kernel"])
    gemm = Gemm(
        m=window.batch * window.out_height * window.out_width,
        k=math.prod(weight[1:]),
        n=filters // groups,
        groups=groups,
    )
    shape = (window.batch, filters, window.out_height, window.out_width)
    bias = filters if keys["bias"] else 0
    return Sketch(OpKind.CONV, shape, weight, bias, gemm, window)


def _matmul(keys: Keys, shapes: list[Shape]) -> Sketch:
    """With one input a product with a weight [k, columns]; with two the product of stacks."""
    left = shapes[0]
    if len(left) < 2:
        raise FitError(f"reads the shape {list(left)}; a product needs two dimensions")
    if len(shapes) == 1:
        if keys["columns"] is None:
            raise FitError("needs 'columns', or a second input")
        gemm = Gemm(math.prod(left[:-1]), left[-1], keys["columns"])
        weight = (left[-1], keys["columns"])
        bias = keys["columns"] if keys["bias"] else 0
        return _product(Sketch(OpKind.MATMUL, (*left[:-1], gemm.n), weight, bias, gemm))
    right = shapes[1]
    if keys["columns"] is not None or keys["bias"]:
        raise FitError("'columns' and 'bias' belong to a product with a weight (one input)")
    if len(right) != len(left):
        raise FitError(f"reads the shapes {list(left)} and {list(right)}")
    if keys["transpose_b"]:
        right = (*right[:-2], right[-1], right[-2])
    if left[:-2] != right[:-2] or left[-1] != right[-2]:
        raise FitError(f"[..., m, k] {list(left)} does not fit [..., k, n] {list(right)}")
    gemm = Gemm(left[-2], left[-1], right[-1], math.prod(left[:-2]))
    return _product(Sketch(OpKind.MATMUL, (*left[:-1], right[-1]), gemm=gemm))


def _product(sketch: Sketch) -> Sketch:
    excess = product_excess(sketch.gemm) if sketch.gemm else None
    if excess is not None:
        raise FitError(excess, "W107")
    return sketch


def _pool(keys: Keys, shapes: list[Shape], kind: OpKind) -> Sketch:
    channels = _image(shapes[0])[1]
    window = _window({**keys, "dilation": (1, 1)}, shapes[0], channels, channels)
    shape = (window.batch, channels, window.out_height, window.out_width)
    count = vector_work(kind, math.prod(shape), window=math.prod(keys["kernel"]))
    return Sketch(kind, shape, window=window, vector_ops=count)


def _global_pool(keys: Keys, shapes: list[Shape]) -> Sketch:
    batch, channels, height, width = _image(shapes[0])
    whole = {"kernel": (height, width), "stride": (1, 1), "dilation": (1, 1), "pad": (0,) * 4}
    window = _window(whole, shapes[0], channels, channels)
    count = vector_work(OpKind.GLOBAL_AVERAGE_POOL, batch * channels, inputs=math.prod(shapes[0]))
    shape = (batch, channels, 1, 1)
    return Sketch(OpKind.GLOBAL_AVERAGE_POOL, shape, window=window, vector_ops=count)


def _broadcast(shapes: list[Shape]) -> Shape:
    rank = max(len(shape) for shape in shapes)
    found = []
    for axis in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        sizes = {size for size in axis if size != 1}
        if len(sizes) > 1:
            raise FitError("inputs of shapes " + ", ".join(str(list(s)) for s in shapes))
        found.append(sizes.pop() if sizes else 1)
    return tuple(found)


def _elementwise(keys: Keys, shapes: list[Shape], kind: OpKind) -> Sketch:
    shape = _broadcast(shapes)
    return Sketch(kind, shape, vector_ops=vector_work(kind, math.prod(shape)))


def _batch_norm(keys: Keys, shapes: list[Shape]) -> Sketch:
    """Scale and shift per channel."""
    channels = _image(shapes[0])[1]
    count = vector_work(OpKind.BATCH_NORM, math.prod(shapes[0]))
    return Sketch(OpKind.BATCH_NORM, shapes[0], (channels,), channels, vector_ops=count)


def _layer_norm(keys: Keys, shapes: list[Shape]) -> Sketch:
    """Over the last axis, with gain and shift."""
    last = shapes[0][-1] if shapes[0] else 1
    count = vector_work(OpKind.LAYER_NORM, math.prod(shapes[0]))
    return Sketch(OpKind.LAYER_NORM, shapes[0], (last,), last, vector_ops=count)


def _axis(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise FitError(f"axis {axis} of the shape {list(shape)}")
    return axis % len(shape)


def _concat(keys: Keys, shapes: list[Shape]) -> Sketch:
    axis = _axis(keys["axis"], shapes[0])
    rest = {(*s[:axis], *s[axis + 1 :]) for s in shapes if len(s) == len(shapes[0])}
    if len(rest) > 1 or any(len(s) != len(shapes[0]) for s in shapes):
        raise FitError("inputs of shapes " + ", ".join(str(list(s)) for s in shapes))
    total = sum(shape[axis] for shape in shapes)
    shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
    return _moving(shape, OpKind.CONCAT)


def _moving(shape: Shape, kind: OpKind) -> Sketch:
    return Sketch(kind, shape, vector_ops=vector_work(kind, math.prod(shape)))


def _reshape(keys: Keys, shapes: list[Shape]) -> Sketch:
    shape = tuple(keys["shape"])
    if math.prod(shape) != math.prod(shapes[0]):
        raise FitError(f"shape {list(shape)} for the elements of {list(shapes[0])}")
    return Sketch(OpKind.TRANSPOSE, shape, view=True)


def _transpose(keys: Keys, shapes: list[Shape]) -> Sketch:
    axes = [_axis(axis, shapes[0]) for axis in keys["axes"]]
    if sorted(axes) != list(range(len(shapes[0]))):
        raise FitError(f"axes {list(keys['axes'])} of the shape {list(shapes[0])}")
    return _moving(tuple(shapes[0][axis] for axis in axes), OpKind.TRANSPOSE)


def _slice(keys: Keys, shapes: list[Shape]) -> Sketch:
    shape = tuple(keys["shape"])
    fits = len(shape) == len(shapes[0])
    if not fits or any(a > b for a, b in zip(shape, shapes[0], strict=True)):
        raise FitError(f"shape {list(shape)} is no part of {list(shapes[0])}")
    return _moving(shape, OpKind.SLICE)


def _pad(keys: Keys, shapes: list[Shape]) -> Sketch:
    batch, channels, height, width = _image(shapes[0])
    if keys["pad"] == "same":
        raise FitError("pads by numbers")
    top, left, bottom, right = keys["pad"]
    return _moving((batch, channels, height + top + bottom, width + left + right), OpKind.PAD)


def _resize(keys: Keys, shapes: list[Shape]) -> Sketch:
    """Nearest neighbour."""
    return _moving((*_image(shapes[0])[:2], *keys["size"]), OpKind.RESIZE)


def _reduce(keys: Keys, shapes: list[Shape]) -> Sketch:
    """Keeps the axes, with length 1."""
    axes = {_axis(axis, shapes[0]) for axis in keys["axes"]}
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(shapes[0]))
    count = vector_work(OpKind.REDUCE, math.prod(shape), inputs=math.prod(shapes[0]))
    return Sketch(OpKind.REDUCE, shape, vector_ops=count)


def _gather(keys: Keys, shapes: list[Shape]) -> Sketch:
    """One row of a table per index."""
    sketch = _moving((*shapes[0], keys["columns"]), OpKind.GATHER)
    table = (keys["rows"], keys["columns"])
    excess = shape_excess(table)
    if excess is not None:
        raise FitError(excess, "W107")
    return Sketch(sketch.kind, sketch.shape, table, vector_ops=sketch.vector_ops)


@dataclass(frozen=True)
class Kind:
    """A kind of layer: its rule, how many inputs, and which keys it needs and takes."""

    rule: Rule
    inputs: tuple[int, int] = (1, 1)
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


_UNARY = (
    OpKind.RELU, OpKind.CLIP, OpKind.LEAKY_RELU, OpKind.SIGMOID, OpKind.TANH, OpKind.HARD_SWISH,
    OpKind.GELU, OpKind.EXP, OpKind.SQRT, OpKind.ELEMENTWISE, OpKind.SOFTMAX,
)  # fmt: skip
_BINARY = (OpKind.ADD, OpKind.SUB, OpKind.MUL, OpKind.DIV, OpKind.MINMAX)
_STRIDED = ("stride", "pad")
_CONV = (*_STRIDED, "dilation", "bias", "activation")

KINDS: Mapping[str, Kind] = {
    "conv": Kind(partial(_convolution, per_channel=False), (1, 1), ("filters", "kernel"),
                 (*_CONV, "groups")),
    "depthwise": Kind(partial(_convolution, per_channel=True), (1, 1), ("kernel",),
                      (*_CONV, "multiplier")),
    "matmul": Kind(_matmul, (1, 2), (), ("columns", "transpose_b", "bias", "activation")),
    "max_pool": Kind(partial(_pool, kind=OpKind.MAX_POOL), (1, 1), ("kernel",), _STRIDED),
    "average_pool": Kind(partial(_pool, kind=OpKind.AVERAGE_POOL), (1, 1), ("kernel",), _STRIDED),
    "global_average_pool": Kind(_global_pool),
    **{kind.value: Kind(partial(_elementwise, kind=kind)) for kind in _UNARY},
    **{
        kind.value: Kind(partial(_elementwise, kind=kind), (2, 2), (), ("activation",))
        for kind in _BINARY
    },
    "batch_norm": Kind(_batch_norm, (1, 1), (), ("activation",)),
    "layer_norm": Kind(_layer_norm),
    "concat": Kind(_concat, (2, 128), (), ("axis",)),
    "reshape": Kind(_reshape, (1, 1), ("shape",)),
    "transpose": Kind(_transpose, (1, 1), ("axes",)),
    "slice": Kind(_slice, (1, 1), ("shape",)),
    "pad": Kind(_pad, (1, 1), ("pad",)),
    "resize": Kind(_resize, (1, 1), ("size",)),
    "reduce": Kind(_reduce, (1, 1), ("axes",)),
    "gather": Kind(_gather, (1, 1), ("rows", "columns")),
    "quantize": Kind(partial(_elementwise, kind=OpKind.QUANTIZE), (1, 1), ("dtype",)),
    "dequantize": Kind(partial(_elementwise, kind=OpKind.DEQUANTIZE), (1, 1), ("dtype",)),
}  # fmt: skip
"""Name -> kind of layer."""
