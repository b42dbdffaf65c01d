"""Quantised networks: what becomes one integer operator, what stays explicit."""

import numpy as np
import pytest
from onnx_builders import info, model, node, qdq, save, weights

from accelsim.workload import Gemm, OpKind, Role, read_onnx


def kinds(workload):
    return [op.kind.value for op in workload.ops]


def quantised_weight(name, *shape):
    """An int8 constant and its DequantizeLinear."""
    consts = {
        f"{name}.q": np.ones(shape, np.int8),
        f"{name}.s": np.full(shape[0], 0.01, np.float32),
        f"{name}.z": np.zeros(shape[0], np.int8),
    }
    inputs = [f"{name}.q", f"{name}.s", f"{name}.z"]
    return node("DequantizeLinear", inputs, f"{name}.d", f"{name}.D", axis=0), consts


def build(nodes, outputs, constants, folder, shape=(1, 2, 4, 4), **kwargs):
    return read_onnx(
        save(model(nodes, [info("x", list(shape))], outputs, constants), folder), **kwargs
    )


def conv_net(tail, outputs, folder, extra=None):
    """x - Q - DQ - Conv (int8) - c, then ``tail``."""
    nodes, consts = qdq("x", zero=10)
    dq, weight = quantised_weight("w", 3, 2, 1, 1)
    bias = {"b.q": np.zeros(3, np.int32), "b.s": np.full(3, 0.001, np.float32)}
    nodes += [dq, node("DequantizeLinear", ["b.q", "b.s"], "b.d", "b.D", axis=0)]
    nodes.append(node("Conv", ["x.d", "w.d", "b.d"], "c", "conv"))
    return build([*nodes, *tail], outputs, {**consts, **weight, **bias, **(extra or {})}, folder)


def test_conv_between_dequantise_and_quantise(tmp_path):
    tail, consts = qdq("r")
    workload = conv_net([node("Relu", ["c"], "r", "relu"), *tail], ["r.d"], tmp_path, consts)
    assert kinds(workload) == ["quantize", "conv"]
    quantise, conv = workload.ops
    assert (quantise.name, quantise.inputs, quantise.output) == ("x.Q", ("x",), "x.q")
    assert quantise.vector_ops == 32
    assert (conv.inputs, conv.output) == (("x.q",), "r.q")
    assert (conv.weight, conv.bias) == ("w.q", "b.q")
    assert conv.fused == ("Relu", "QuantizeLinear")
    assert conv.nodes == ("conv", "relu", "r.Q")
    assert conv.vector_ops == 2 * 3 * 16
    types = {name: (t.dtype, t.role) for name, t in workload.tensors.items()}
    assert types == {
        "x": ("float32", Role.INPUT),
        "x.q": ("uint8", Role.ACTIVATION),
        "w.q": ("int8", Role.WEIGHT),
        "b.q": ("int32", Role.BIAS),
        "r.q": ("uint8", Role.OUTPUT),
    }
    assert workload.outputs == ("r.q",)
    assert workload.aliases == {
        "x.d": "x.q", "c": "r.q", "r": "r.q", "r.d": "r.q", "w.d": "w.q", "b.d": "b.q",
    }  # fmt: skip


def test_float_output_needs_a_dequantise(tmp_path):
    workload = conv_net([node("Softmax", ["c"], "y")], ["y"], tmp_path)
    assert kinds(workload) == ["quantize", "dequantize", "conv", "softmax"]
    assert workload.ops[1].output == "x.d"
    assert workload.ops[2].inputs == ("x.d",)
    assert workload.tensors["c"].dtype == "float32"


def test_two_readers_keep_the_quantise_explicit(tmp_path):
    tail, consts = qdq("c")
    tail += [node("Relu", ["c"], "y"), node("Relu", ["c.d"], "z")]
    workload = conv_net(tail, ["y", "z"], tmp_path, consts)
    assert kinds(workload) == [
        "quantize", "dequantize", "conv", "quantize", "dequantize", "relu", "relu",
    ]  # fmt: skip


def test_integer_and_float_readers_of_one_tensor(tmp_path):
    nodes, consts = qdq("x")
    tail, more = qdq("a")
    nodes += [
        node("Relu", ["x.d"], "y"),  # stays in floating point
        node("Add", ["x.d", "x.d"], "a"),
        *tail,
    ]
    workload = build(nodes, ["y", "a.d"], {**consts, **more}, tmp_path)
    assert kinds(workload) == ["quantize", "dequantize", "relu", "add"]
    assert workload.ops[2].inputs == ("x.d",)
    assert workload.ops[3].inputs == ("x.q",)


@pytest.mark.parametrize(("scale", "zero"), [(0.1, 0), (0.2, 0), (0.1, 3)])
def test_view_between_quantisations(tmp_path, scale, zero):
    nodes, consts = qdq("x")
    tail, more = qdq("v", scale, zero)
    end, last = qdq("y")
    nodes += [node("Flatten", ["x.d"], "v"), *tail, node("Relu", ["v.d"], "y"), *end]
    workload = build(nodes, ["y.d"], {**consts, **more, **last}, tmp_path)
    if (scale, zero) == (0.1, 0):
        assert kinds(workload) == ["quantize", "relu"]
        assert workload.ops[1].inputs == ("x.q",)
        assert workload.aliases["v.q"] == "x.q"
    else:
        assert kinds(workload) == ["quantize", "quantize", "relu"]
        assert workload.ops[1].inputs == ("x.q",)
        assert workload.ops[1].output == "v.q"


def test_quantise_behind_a_view_fuses(tmp_path):
    tail, consts = qdq("v")
    workload = conv_net([node("Flatten", ["c"], "v"), *tail], ["v.d"], tmp_path, consts)
    assert kinds(workload) == ["quantize", "conv"]
    assert workload.ops[1].output == "v.q"
    assert workload.tensors["v.q"].shape == (1, 48)


def test_transposed_convolution_becomes_integer(tmp_path):
    nodes, consts = qdq("x")
    pair, more = qdq("w", 0.01, 0, np.int8)
    tail, last = qdq("r")
    up = node("ConvTranspose", ["x.d", "w.d"], "c", "up", strides=[2, 2])
    nodes += [*pair, up, node("Relu", ["c"], "r", "relu"), *tail]
    constants = {**consts, **more, **last, "w": weights(2, 3, 2, 2)}
    workload = build(nodes, ["r.d"], constants, tmp_path)
    assert kinds(workload) == ["quantize", *["conv"] * 4, "transpose"]
    dense = workload.ops[1:5]
    assert {op.fused for op in dense} == {("Relu", "QuantizeLinear")}
    assert {workload.tensors[op.weight].dtype for op in dense} == {"int8"}
    assert {workload.tensors[op.output].dtype for op in workload.ops} == {"uint8"}
    assert workload.parts == {"w.q": tuple(op.weight for op in dense)}
    assert workload.outputs == ("r.q",)


def test_moving_operators_become_integer(tmp_path):
    nodes, consts = qdq("x")
    tail, more = qdq("m")
    pool = node("MaxPool", ["x.d"], "m", kernel_shape=[2, 2])
    workload = build([*nodes, pool, *tail], ["m.d"], {**consts, **more}, tmp_path)
    assert workload.ops[1].kind is OpKind.MAX_POOL
    assert workload.tensors["m.q"].dtype == "uint8"


def test_quantised_pair_on_a_float_weight_stores_the_integer(tmp_path):
    nodes, consts = qdq("x")
    pair, more = qdq("w", 0.01, 0, np.int8)
    tail, last = qdq("c")
    nodes += [*pair, node("Conv", ["x.d", "w.d"], "c"), *tail]
    constants = {**consts, **more, **last, "w": weights(3, 2, 1, 1)}
    workload = build(nodes, ["c.d"], constants, tmp_path)
    assert workload.ops[1].weight == "w.q"
    assert workload.tensors["w.q"].dtype == "int8"
    assert workload.weight_bytes == 6


def test_quantised_constant_operand(tmp_path):
    nodes, consts = qdq("x")
    dq, constant = quantised_weight("k", 1)
    tail, last = qdq("a")
    nodes += [dq, node("Mul", ["x.d", "k.d"], "a"), *tail]
    workload = build(nodes, ["a.d"], {**consts, **constant, **last}, tmp_path)
    assert (workload.ops[1].inputs, workload.ops[1].weight) == (("x.q",), "k.q")


MS = "com.microsoft"


def test_operators_on_quantised_tensors(tmp_path):
    """Every QLinear operator, most of which onnx has no shape rule for."""
    s = ["s", "z"]
    nodes = [
        node("QuantizeLinear", ["x", *s], "q", "Q"),
        node("QLinearConv", ["q", *s, "w", "s", "wz", *s, "b"], "c", "conv", pads=[1, 1, 1, 1]),
        node("QLinearAdd", ["c", *s, "c", *s, *s], "a", "add", MS),
        node("QLinearMul", ["a", *s, "c", *s, *s], "m", "mul", MS),
        node("QLinearConcat", [*s, "a", *s, "m", *s], "cc", "concat", MS, axis=1),
        node("MaxPool", ["cc"], "mp", "max", kernel_shape=[2, 2], strides=[2, 2]),
        node("QLinearAveragePool", ["mp", *s, *s], "ap", "avg", MS, kernel_shape=[2, 1]),
        node("QLinearGlobalAveragePool", ["ap", *s, *s], "g", "gap", MS, channels_last=0),
        node("Flatten", ["g"], "f"),
        node("QGemm", ["f", *s, "fw", "s", "wz", "fb", *s], "l", "fc", MS, transB=1),
        node("QLinearMatMul", ["l", *s, "mw", "s", "wz", *s], "p", "mm"),
        node("QLinearSoftmax", ["p", *s, *s], "sm", "soft", MS, axis=1, opset=13),
        node("DequantizeLinear", ["sm", *s], "y", "DQ"),
    ]
    constants = {
        "s": np.float32(0.1), "z": np.uint8(0), "wz": np.int8(0),
        "w": np.ones((3, 2, 3, 3), np.int8), "b": np.zeros(3, np.int32),
        "fw": np.ones((5, 6), np.int8), "fb": np.zeros(5, np.int32),
        "mw": np.ones((5, 4), np.int8),
    }  # fmt: skip
    workload = build(nodes, ["y"], constants, tmp_path, (3, 2, 4, 4), batch=3)
    assert kinds(workload) == [
        "quantize", "conv", "add", "mul", "concat", "max_pool", "average_pool",
        "global_average_pool", "matmul", "matmul", "softmax",
    ]  # fmt: skip
    shapes = {name: t.shape for name, t in workload.tensors.items()}
    assert shapes["cc"] == (3, 6, 4, 4)
    assert shapes["ap"] == (3, 6, 1, 2)
    assert shapes["g"] == (3, 6, 1, 1)
    assert workload.ops[1].gemm == Gemm(m=48, k=18, n=3)
    assert workload.ops[8].gemm == Gemm(m=3, k=6, n=5)
    assert workload.ops[9].gemm == Gemm(m=3, k=5, n=4)
    assert workload.ops[1].vector_ops == 3 * 48
    assert workload.outputs == ("sm",)
    assert all(t.dtype == "uint8" for t in workload.tensors.values() if t.role is Role.ACTIVATION)
