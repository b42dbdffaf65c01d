"""Every ONNX operator the reader knows, found by its key.

``RULES`` says what an operator asks of the machine (element operations as counted in
:mod:`accelsim.workload.vector_work`), ``RESHAPES`` what only renames bytes, ``FOLDED`` what is
evaluated while reading because it computes shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from accelsim.workload.graph import OpKind
from accelsim.workload.onnx_array import conv, conv_transpose, gemm, matmul
from accelsim.workload.onnx_attention import attention, multi_head, packed
from accelsim.workload.onnx_draft import Draft, Rule, Scope, operands
from accelsim.workload.onnx_fold import FOLDED
from accelsim.workload.onnx_recurrent import recurrent
from accelsim.workload.onnx_types import Node, Value
from accelsim.workload.onnx_vector import (
    batch_norm,
    bias_gelu,
    clip,
    concat,
    elementwise,
    folded,
    gather,
    global_pool,
    norm,
    pool,
    power,
    reduce,
    repeat,
    resize,
    rotary,
    skip_norm,
    slice_,
    softmax,
    split,
    where,
)
from accelsim.workload.vector_work import vector_work

_ARRAY: dict[str, Rule] = {
    "Conv": partial(conv, indices=(0, 1, 2)),
    "QLinearConv": partial(conv, indices=(0, 3, 8)),
    "ConvTranspose": conv_transpose,
    "Gemm": partial(gemm, indices=(0, 1, 2)),
    "com.microsoft.QGemm": partial(gemm, indices=(0, 3, 6)),
    "MatMul": partial(matmul, indices=(0, 1)),
    "QLinearMatMul": partial(matmul, indices=(0, 3)),
    "com.microsoft.FusedMatMul": partial(matmul, indices=(0, 1)),
    "Attention": attention,
    "com.microsoft.MultiHeadAttention": multi_head,
    "com.microsoft.Attention": packed,
    "LSTM": recurrent,
    "GRU": recurrent,
    "RNN": recurrent,
}

_BINARY = {
    OpKind.ADD: ("Add",), OpKind.SUB: ("Sub",), OpKind.MUL: ("Mul",), OpKind.DIV: ("Div", "Mod"),
    OpKind.LEAKY_RELU: ("PRelu",),
    OpKind.MINMAX: (
        "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor",
    ),
}  # fmt: skip

_UNARY = {
    OpKind.RELU: ("Relu", "ThresholdedRelu"),
    OpKind.LEAKY_RELU: ("LeakyRelu",),
    OpKind.SIGMOID: ("Sigmoid", "HardSigmoid"),
    OpKind.TANH: ("Tanh",),
    OpKind.HARD_SWISH: ("HardSwish",),
    OpKind.GELU: ("Gelu", "Swish", "com.microsoft.Gelu", "com.microsoft.QuickGelu"),
    OpKind.EXP: (
        "Exp", "Log", "Erf", "Softplus", "Mish", "Elu", "Selu", "Celu", "Sin", "Cos", "Softsign",
    ),
    OpKind.SQRT: ("Sqrt", "Reciprocal"),
    OpKind.ELEMENTWISE: (
        "Abs", "Neg", "Floor", "Ceil", "Round", "Sign", "Not", "Cast", "CastLike", "Trilu",
        "IsNaN", "IsInf",
    ),
    OpKind.PAD: ("Pad",),
    OpKind.TRANSPOSE: ("Transpose", "DepthToSpace", "SpaceToDepth"),
}  # fmt: skip

_REDUCTIONS = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ArgMax", "ArgMin",
)  # fmt: skip

_VECTOR: dict[str, Rule] = {
    **{
        key: partial(elementwise, kind=kind, indices=(0, 1))
        for kind, keys in _BINARY.items()
        for key in keys
    },
    **{key: partial(elementwise, kind=kind) for kind, keys in _UNARY.items() for key in keys},
    **dict.fromkeys(_REDUCTIONS, reduce),
    "com.microsoft.QLinearAdd": partial(elementwise, kind=OpKind.ADD, indices=(0, 3)),
    "com.microsoft.QLinearMul": partial(elementwise, kind=OpKind.MUL, indices=(0, 3)),
    "Sum": partial(folded, kind=OpKind.ADD),
    "Mean": partial(folded, kind=OpKind.ADD),
    "Max": partial(folded, kind=OpKind.MINMAX),
    "Min": partial(folded, kind=OpKind.MINMAX),
    "Pow": power,
    "Where": where,
    "Clip": clip,
    "com.microsoft.BiasGelu": bias_gelu,
    "com.microsoft.FastGelu": bias_gelu,
    "MaxPool": partial(pool, kind=OpKind.MAX_POOL),
    "AveragePool": partial(pool, kind=OpKind.AVERAGE_POOL),
    "com.microsoft.QLinearAveragePool": partial(pool, kind=OpKind.AVERAGE_POOL),
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": partial(global_pool, kind=OpKind.MAX_POOL),
    "com.microsoft.QLinearGlobalAveragePool": global_pool,
    "Concat": partial(concat, first=0, step=1),
    "com.microsoft.QLinearConcat": partial(concat, first=2, step=3),
    "Slice": slice_,
    "Split": split,
    "Gather": gather,
    "Expand": repeat,
    "Tile": repeat,
    "Resize": resize,
    "Upsample": resize,
    "BatchNormalization": batch_norm,
    "LayerNormalization": norm,
    "InstanceNormalization": norm,
    "GroupNormalization": norm,
    "RMSNormalization": partial(norm, work="rms_norm", constants=(1,)),
    "com.microsoft.SimplifiedLayerNormalization": partial(norm, work="rms_norm", constants=(1,)),
    "com.microsoft.SkipLayerNormalization": partial(skip_norm, work="layer_norm", last=4),
    "com.microsoft.SkipSimplifiedLayerNormalization": partial(skip_norm, work="rms_norm", last=3),
    "RotaryEmbedding": partial(rotary, tables=(1, 2)),
    "com.microsoft.RotaryEmbedding": partial(rotary, tables=(2, 3)),
    "Softmax": softmax,
    "LogSoftmax": softmax,
    "com.microsoft.QLinearSoftmax": softmax,
}

RULES: dict[str, Rule] = {**_ARRAY, **_VECTOR}
"""Operator key -> rule, for operators that take time."""

RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
"""Operators that only rename bytes (Dropout: at inference)."""

SUPPORTED = frozenset(
    {*RULES, *RESHAPES, *FOLDED, "Constant", "DequantizeLinear", "QuantizeLinear"}
)
"""Keys of every operator the reader knows."""

REFUSED = {
    "Einsum": "an Einsum says too little about how it is computed; export it as MatMul, Transpose "
    "and Mul",
}
"""Operators that cannot even be costed as a fallback -> what to do instead."""


def is_view(node: Node, values: Mapping[str, Value]) -> bool:
    """Whether a node moves nothing: a reshape, a transpose that only moves axes of length 1, an
    expansion or cast to what it is already."""
    if node.key in RESHAPES:
        return True
    source, output = values.get(node.input(0)), values.get(node.outputs[0])
    if node.key in ("Expand", "Tile", "Cast", "CastLike"):
        return source is not None and source == output
    if node.key != "Transpose" or source is None:
        return False
    shape = source.shape
    order = node.attributes.get("perm", tuple(reversed(range(len(shape)))))
    moved = [axis for axis in order if shape[axis] > 1]
    return moved == sorted(moved)


def fallback(node: Node, scope: Scope, output: str) -> Draft:
    """An operator without a rule: reads all its inputs, one lane operation per output element;
    the largest constant operand that is no index list counts as its weight."""
    activations, constants = operands(list(node.inputs), scope)
    data = [name for name in constants if scope.values[name].dtype not in ("int64", "bool")]
    weight = max(data, key=scope.elements, default=None)
    count = vector_work(OpKind.FALLBACK, scope.elements(output))
    return Draft(OpKind.FALLBACK, activations, weight, vector_ops=count)
