"""The quantised convolutions and matrix products of an 8-bit network, as numbers.

QDQ form: DequantizeLinear(x), DequantizeLinear(int8 weight) and optionally DequantizeLinear(int32
bias) feed a Conv, Gemm or MatMul; its output goes to a QuantizeLinear, with a Relu between or not.
The runtime fuses this to one integer kernel. QOperator form: QLinearConv, QLinearMatMul and QGemm
are that kernel. What matches neither is simply not a layer here: faults in its weights take the
slow way, and its sums are out of reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from faults.graph import Graph, TensorInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray


PRODUCTS: dict[str, tuple[int, int]] = {
    "Conv": (1, 2), "Gemm": (1, 2), "MatMul": (1, 2), "QLinearConv": (3, 8),
    "QLinearMatMul": (3, 9), "QGemm": (3, 6),
}  # fmt: skip
"""Operators with weights: positions of weight and bias among their inputs."""


@dataclass(frozen=True, eq=False)
class IntLayer:
    """One layer: out = clip(round(float32(sum + bias) * factor) + out_zero, low, high)."""

    name: str
    source: str
    """Quantised input tensor."""
    output: str
    """Quantised output tensor."""
    weight_name: str
    bias_name: str | None
    weight: NDArray[np.integer]
    """As stored: [out, in / groups, kh, kw]; matrix products have kh = kw = 1."""
    weight_zero: NDArray[np.int64]
    """Per output channel."""
    transposed: bool
    """The stored matrix is [in, out]: flat element indices run over that layout."""
    bias: NDArray[np.int32]
    """Per output channel, 0 without one."""
    in_zero: int
    factor: NDArray[np.float32]
    """float32(x_scale * w_scale / y_scale) per output channel."""
    out_zero: int
    low: int
    """Lower bound of the output: that of its type, or the zero point behind a Relu."""
    high: int
    dtype: str
    """Of the output."""
    groups: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[int, int, int, int]
    """top, left, bottom, right."""
    in_shape: tuple[int, int, int]
    """channels, height, width of one input image (1-D: height 1; matrices: 1 x 1)."""
    out_shape: tuple[int, int, int]

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.out_shape[0]

    def weight_index(self, element: int) -> tuple[int, int, int, int]:
        """Flat index into the stored initializer -> (out, in of its group, kh, kw)."""
        if self.transposed:
            row, column = divmod(element, self.channels)
            return column, row, 0, 0
        place = np.unravel_index(element, self.weight.shape)
        return int(place[0]), int(place[1]), int(place[2]), int(place[3])


def find_layers(graph: Graph, info: Mapping[str, TensorInfo]) -> tuple[IntLayer, ...]:
    """All layers of either form, in file order."""
    products = (node for node in graph.nodes if node.op_type in PRODUCTS)
    found = (_layer(graph, info, node) for node in products)
    return tuple(layer for layer in found if layer is not None)


@dataclass(frozen=True)
class _Dequantised:
    tensor: str
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]


def _dequantised(graph: Graph, name: str, lone: bool = False) -> _Dequantised | None:
    """What a DequantizeLinear makes ``name`` from; ``lone``: nobody else may read either."""
    node = graph.node_of(name)
    if node is None or node.op_type != "DequantizeLinear":
        return None
    if lone and (len(graph.consumers[node.input[0]]) > 1 or len(graph.consumers[name]) > 1):
        return None
    return _scaled(graph, node, node.input[0])


def _scaled(graph: Graph, node: Any, tensor: str) -> _Dequantised | None:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear with constants."""
    return _constants(graph, tensor, *node.input[1:3])


def _constants(graph: Graph, tensor: str, scale: str = "", zero: str = "") -> _Dequantised | None:
    """``tensor`` with its scale and zero point, where these are constants."""
    if scale not in graph.initializers or (zero and zero not in graph.initializers):
        return None
    scales = graph.value(scale)
    zeros = graph.value(zero) if zero else np.zeros(1, np.uint8)
    if scales.dtype != np.float32:
        return None
    return _Dequantised(tensor, scales.reshape(-1), zeros.astype(np.int64).reshape(-1))


def _epilogue(graph: Graph, node: Any) -> tuple[Any, bool] | None:
    """(QuantizeLinear behind the operator, whether a Relu sits between)."""
    tensor, relu = node.output[0], False
    for _ in range(2):
        readers = graph.consumers.get(tensor, [])
        if len(readers) != 1 or tensor == graph.output:
            return None
        reader = graph.nodes[readers[0]]
        if reader.op_type == "QuantizeLinear":
            return reader, relu
        if reader.op_type != "Relu" or relu:
            return None
        tensor, relu = reader.output[0], True
    return None


@dataclass(frozen=True)
class _Operands:
    """What a product reads and writes."""

    x: _Dequantised
    w: _Dequantised
    y: _Dequantised
    bias: str | None
    """Its int32 initializer."""
    relu: bool


def _fused(graph: Graph, node: Any) -> _Operands | None:
    """Operands of a product in QDQ form."""
    x = _dequantised(graph, node.input[0])
    w = _dequantised(graph, node.input[1], lone=True)
    behind = _epilogue(graph, node)
    if x is None or w is None or behind is None:
        return None
    y = _scaled(graph, behind[0], behind[0].output[0])
    bias = None
    if len(node.input) > 2 and node.input[2]:
        found = _dequantised(graph, node.input[2], lone=True)
        if found is None or found.zero.any():
            return None
        bias = found.tensor
    return None if y is None else _Operands(x, w, y, bias, behind[1])


def _explicit(graph: Graph, node: Any) -> _Operands | None:
    """Operands of a product in QOperator form."""
    names = [*node.input, *("",) * (9 - len(node.input))]
    behind = 7 if node.op_type == "QGemm" else 6
    x = _constants(graph, *names[:3])
    w = _constants(graph, *names[3:6])
    y = _constants(graph, node.output[0], *names[behind : behind + 2])
    bias = {"QLinearConv": names[8], "QGemm": names[6]}.get(node.op_type) or None
    # A constant that others read too is not the layer's own.
    shared = any(len(graph.consumers[t]) > 1 for t in (names[3], bias) if t)
    if x is None or w is None or y is None or shared:
        return None
    return _Operands(x, w, y, bias, relu=False)


def _layer(graph: Graph, info: Mapping[str, TensorInfo], node: Any) -> IntLayer | None:
    found = (_explicit if node.op_type.startswith("Q") else _fused)(graph, node)
    if found is None or found.w.tensor not in graph.initializers:
        return None
    x, w, y = found.x, found.w, found.y
    known = x.tensor in info and y.tensor in info
    if not known or x.scale.size != 1 or y.scale.size != 1:
        return None
    geometry = _geometry(graph, info, node, x.tensor, y.tensor)
    if geometry is None:
        return None
    channels = geometry.out_shape[0]
    bias = _bias(graph, found.bias, channels)
    if bias is None:
        return None
    stored = graph.value(w.tensor)
    weight = stored.T if geometry.transposed else stored
    weight = weight.reshape(weight.shape[:2] + (1,) * (4 - weight.ndim) + weight.shape[2:])
    per_channel = {1, channels}
    usable = weight.dtype in (np.int8, np.uint8) and weight.shape[0] == channels
    if not usable or not {w.scale.size, w.zero.size} <= per_channel:
        return None
    dtype = info[y.tensor].dtype
    limits = np.iinfo(dtype)
    zero = int(y.zero[0])
    return IntLayer(
        name=node.name or node.output[0], source=x.tensor, output=y.tensor,
        weight_name=w.tensor, bias_name=found.bias, weight=weight,
        weight_zero=np.broadcast_to(w.zero, channels), transposed=geometry.transposed,
        bias=bias, in_zero=int(x.zero[0]),
        # The runtime's order of float32 operations: (x * w) / y.
        factor=np.broadcast_to(x.scale * w.scale / y.scale, channels),
        out_zero=zero, low=zero if found.relu else int(limits.min), high=int(limits.max),
        dtype=dtype, groups=geometry.groups, stride=geometry.stride, dilation=geometry.dilation,
        pads=geometry.pads, in_shape=geometry.in_shape, out_shape=geometry.out_shape,
    )  # fmt: skip


def _bias(graph: Graph, name: str | None, channels: int) -> NDArray[np.int32] | None:
    """Its values, 0 without one; None for a bias that is no int32 constant."""
    if name is None:
        return np.zeros(channels, np.int32)
    if name not in graph.initializers:
        return None
    values: NDArray[np.int32] = graph.value(name)
    if values.dtype != np.int32 or values.size != channels:
        return None
    return values.reshape(-1)


@dataclass(frozen=True)
class _Geometry:
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    transposed: bool = False
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


def _geometry(
    graph: Graph, info: Mapping[str, TensorInfo], node: Any, x: str, y: str
) -> _Geometry | None:
    """Shapes and window of the operator; None where it is not one we can follow."""
    given, made = info[x].shape, info[y].shape
    attributes = {a.name: a for a in node.attribute}
    if node.op_type in ("Conv", "QLinearConv"):
        return _conv_geometry(given, made, attributes)
    if len(given) != 1 or len(made) != 1:
        return None
    plain = (
        _number(attributes, "alpha", 1.0) == 1.0
        and _number(attributes, "beta", 1.0) == 1.0
        and not (attributes["transA"].i if "transA" in attributes else 0)
    )
    flipped = bool(attributes["transB"].i) if "transB" in attributes else False
    if not plain:
        return None
    return _Geometry((given[0], 1, 1), (made[0], 1, 1), transposed=not flipped)


def _number(attributes: Mapping[str, Any], name: str, default: float) -> float:
    return float(attributes[name].f) if name in attributes else default


def _conv_geometry(
    given: tuple[int, ...], made: tuple[int, ...], attributes: Mapping[str, Any]
) -> _Geometry | None:
    if len(given) not in (2, 3) or "kernel_shape" not in attributes:
        return None
    axes = len(given) - 1
    kernel = tuple(attributes["kernel_shape"].ints)
    stride = _pair(attributes, "strides", axes)
    dilation = _pair(attributes, "dilations", axes)
    auto = attributes["auto_pad"].s.decode() if "auto_pad" in attributes else "NOTSET"
    if auto == "NOTSET":
        pads = tuple(attributes["pads"].ints) if "pads" in attributes else (0,) * (2 * axes)
    elif auto == "VALID":
        pads = (0,) * (2 * axes)
    else:
        pads = _same_pads(given[1:], made[1:], kernel, stride[-axes:], dilation[-axes:], auto)
    if axes == 1:
        given, made = (given[0], 1, given[1]), (made[0], 1, made[1])
        pads = (0, pads[0], 0, pads[1])
    groups = int(attributes["group"].i) if "group" in attributes else 1
    top, left, bottom, right = pads
    return _Geometry(
        (given[0], given[1], given[2]), (made[0], made[1], made[2]), groups=groups,
        stride=stride, dilation=dilation, pads=(top, left, bottom, right),
    )  # fmt: skip


def _pair(attributes: Mapping[str, Any], name: str, axes: int) -> tuple[int, int]:
    values = tuple(attributes[name].ints) if name in attributes else (1,) * axes
    return (1, values[0]) if axes == 1 else (values[0], values[1])


def _same_pads(
    given: tuple[int, ...], made: tuple[int, ...], kernel: tuple[int, ...],
    stride: tuple[int, ...], dilation: tuple[int, ...], auto: str,
) -> tuple[int, ...]:  # fmt: skip
    """Pads of SAME_UPPER and SAME_LOWER: the odd one goes to the end or to the start."""
    before, after = [], []
    for size, out, k, s, d in zip(given, made, kernel, stride, dilation, strict=True):
        total = max(0, (out - 1) * s + d * (k - 1) + 1 - size)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return (*before, *after)
