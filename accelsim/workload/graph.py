"""What a network asks of a machine: tensors, operators and their sizes. All frozen.

Names are those of the source file: a weight tensor is called as its ONNX initializer, an activation
as the ONNX tensor that carries it (of a quantised network: the quantised tensor), so that a fault
campaign on the same file can address what the simulated schedule keeps in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

BITS: dict[str, int] = {
    "float64": 64, "int64": 64, "uint64": 64, "float32": 32, "int32": 32, "uint32": 32,
    "float16": 16, "bfloat16": 16, "int16": 16, "uint16": 16, "int8": 8, "uint8": 8, "bool": 8,
}  # fmt: skip
"""Storage bits of an element, by dtype name."""


class Role(StrEnum):
    """What a tensor is to the network."""

    INPUT = "input"
    WEIGHT = "weight"
    BIAS = "bias"
    ACTIVATION = "activation"
    OUTPUT = "output"


@dataclass(frozen=True)
class Tensor:
    """A value with a fixed shape; ``dtype`` is a key of :data:`BITS`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role

    @property
    def elements(self) -> int:
        """Number of elements (1 for a scalar)."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Storage in bytes, rounded up to whole bytes."""
        return (self.elements * BITS[self.dtype] + 7) // 8


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution or a pool over NCHW images (1-D operators have height 1)."""

    batch: int
    in_channels: int
    in_height: int
    in_width: int
    out_channels: int
    out_height: int
    out_width: int
    kernel_height: int
    kernel_width: int
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """top, left, bottom, right."""
    groups: int = 1


@dataclass(frozen=True)
class Gemm:
    """``groups`` independent products C[m, n] = A[m, k] B[k, n]; a convolution by im2col.

    m = batch x output pixels, k = in_channels / groups x kernel, n = out_channels / groups
    (specs: depthwise is ``channels`` products with k = kh * kw, n = 1).
    """

    m: int
    k: int
    n: int
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all groups."""
        return self.m * self.k * self.n * self.groups


class OpKind(StrEnum):
    """Operators the simulator knows. Array operators carry a :class:`Gemm`; the rest run on the
    vector unit at ``vector_ops`` lane operations. What only renames bytes (a reshape) is no
    operator: see ``Workload.aliases``."""

    CONV = "conv"
    MATMUL = "matmul"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    MINMAX = "minmax"
    """Element-wise minimum or maximum of two operands, comparisons and selects."""
    ELEMENTWISE = "elementwise"
    """Cheap element-wise functions of one operand without a kind of their own (abs, neg, cast)."""
    EXP = "exp"
    """Exponentials, logarithms, powers, error functions: what takes a table or several passes."""
    SQRT = "sqrt"
    """Square roots and reciprocals."""
    RELU = "relu"
    CLIP = "clip"
    LEAKY_RELU = "leaky_relu"
    SIGMOID = "sigmoid"
    """Logistic and hard sigmoid."""
    TANH = "tanh"
    HARD_SWISH = "hard_swish"
    GELU = "gelu"
    """GELU and SiLU."""
    MAX_POOL = "max_pool"
    AVERAGE_POOL = "average_pool"
    GLOBAL_AVERAGE_POOL = "global_average_pool"
    CONCAT = "concat"
    PAD = "pad"
    SLICE = "slice"
    TRANSPOSE = "transpose"
    """Layout change: axes exchanged, depth to space."""
    GATHER = "gather"
    """Elements picked by index (an embedding) or repeated (expand, tile)."""
    RESIZE = "resize"
    """Interpolation of images, nearest neighbours included."""
    REDUCE = "reduce"
    """Sum, mean, maximum or argument of the maximum along axes (``vector_ops``: per input)."""
    BATCH_NORM = "batch_norm"
    LAYER_NORM = "layer_norm"
    """Layer, instance, group and RMS normalisation (statistics and scaling)."""
    SOFTMAX = "softmax"
    QUANTIZE = "quantize"
    DEQUANTIZE = "dequantize"
    FALLBACK = "fallback"


@dataclass(frozen=True)
class Op:
    """One schedulable operator with everything fused into it."""

    name: str
    kind: OpKind
    inputs: tuple[str, ...]
    """Activation tensors read (no constants, no duplicates)."""
    output: str
    weight: str | None = None
    """Constant multiplied operand (conv and gemm with constant B)."""
    bias: str | None = None
    gemm: Gemm | None = None
    window: Window | None = None
    vector_ops: int = 0
    """Element operations of the vector unit, counted as in
    :mod:`accelsim.workload.vector_work` (array operators: of the fused epilogue, one per output
    element and fused stage: requantise, relu, clip)."""
    fused: tuple[str, ...] = ()
    """ONNX operator types folded into this one, in order, e.g. ("Relu", "QuantizeLinear")."""
    nodes: tuple[str, ...] = ()
    """Names of the source nodes."""
    picks: bool = False
    """Reads of each operand no more elements than it writes: a contiguous part of a tensor, rows
    of a table. (Otherwise an operator reads all of its operands.) Vector operators only."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates on the array (0 for vector operators)."""
        return self.gemm.macs if self.gemm else 0


@dataclass(frozen=True)
class Workload:
    """A network: tensors by name and operators in a topological order (the file's order)."""

    name: str
    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str = ""
    """Path of the file it was read from."""
    fallbacks: tuple[str, ...] = ()
    """'node (Operator)' of every operator costed as an element-wise fallback."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Tensor name in the file -> name of the tensor that holds its bytes (views: Reshape, Flatten,
    DequantizeLinear of an activation, ...)."""
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Constant in the file -> the tensors that hold parts of it, where operators use it in parts
    (directions of a recurrent layer, phases of a transposed convolution, packed Q, K and V)."""

    @cached_property
    def producer(self) -> dict[str, Op]:
        """Tensor name -> the operator that makes it."""
        return {op.output: op for op in self.ops}

    @cached_property
    def position(self) -> dict[str, int]:
        """Operator name -> its place in ``ops``."""
        return {op.name: index for index, op in enumerate(self.ops)}

    @cached_property
    def alike(self) -> dict[str, int]:
        """Operator name -> class. Operators of one class agree in all that tilings, times and bytes
        can depend on, and differ in names at most: they are executed alike."""
        classes: dict[tuple[object, ...], int] = {}

        def shape(name: str | None) -> tuple[object, ...] | None:
            return None if name is None else (self.tensors[name].shape, self.tensors[name].dtype)

        found: dict[str, int] = {}
        for op in self.ops:
            inputs = tuple(shape(name) for name in op.inputs)
            constants = shape(op.weight), shape(op.bias)
            key = (op.kind, op.gemm, op.window, op.vector_ops, *constants, inputs, shape(op.output))
            found[op.name] = classes.setdefault(key, len(classes))
        return found

    @cached_property
    def consumers(self) -> dict[str, tuple[Op, ...]]:
        """Tensor name -> operators that read it, in order."""
        found: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in op.inputs:
                found.setdefault(name, []).append(op)
        return {name: tuple(ops) for name, ops in found.items()}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run of the network."""
        return sum(op.macs for op in self.ops)

    def read_bytes(self, op: Op, name: str) -> int:
        """Bytes of the operand ``name`` that one run of ``op`` reads, each element once."""
        tensor = self.tensors[name]
        if not op.picks:
            return tensor.bytes
        picked = self.tensors[op.output].elements * BITS[tensor.dtype]
        return min(tensor.bytes, (picked + 7) // 8)

    @cached_property
    def least_read_bytes(self) -> dict[str, int]:
        """Constant or graph input -> bytes of it that every plan reads at least once: all of it,
        unless nobody reads more than a part."""
        found: dict[str, int] = {}
        for op in self.ops:
            for name in (*op.inputs, op.weight, op.bias):
                if name is not None and name not in self.producer:
                    found[name] = max(found.get(name, 0), self.read_bytes(op, name))
        return found

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights and biases."""
        return sum(t.bytes for t in self.tensors.values() if t.role in (Role.WEIGHT, Role.BIAS))
