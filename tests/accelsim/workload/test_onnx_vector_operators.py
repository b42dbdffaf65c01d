"""Operators of the vector unit: kind, count and shape of each in a network of its own."""

import numpy as np
import pytest
from onnx import TensorProto
from onnx_builders import info, model, node, one, qdq, save, weights
from onnx_runtime import runtime_shapes

from accelsim.errors import AccelsimError
from accelsim.workload import OpKind, read_onnx

SHAPE = [1, 2, 6, 4]
COUNT = 48
I64 = np.int64


def single(proto, folder, dtype=TensorProto.FLOAT, **kwargs):
    proto.graph.output[0].type.tensor_type.elem_type = dtype
    workload = read_onnx(save(proto, folder), **kwargs)
    (op,) = workload.ops
    shapes = runtime_shapes(proto)
    assert workload.tensors[op.output].shape == shapes[op.output]
    return op


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LeakyRelu", OpKind.LEAKY_RELU), ("Sigmoid", OpKind.SIGMOID), ("Tanh", OpKind.TANH),
        ("HardSigmoid", OpKind.SIGMOID), ("HardSwish", OpKind.HARD_SWISH), ("Exp", OpKind.EXP),
        ("Erf", OpKind.EXP), ("Softplus", OpKind.EXP), ("Elu", OpKind.EXP), ("Log", OpKind.EXP),
        ("Sqrt", OpKind.SQRT), ("Reciprocal", OpKind.SQRT), ("Abs", OpKind.ELEMENTWISE),
        ("Neg", OpKind.ELEMENTWISE), ("Floor", OpKind.ELEMENTWISE), ("Ceil", OpKind.ELEMENTWISE),
    ],
)  # fmt: skip
def test_functions_of_one_operand(tmp_path, kind, expected):
    op = single(one(kind, [SHAPE]), tmp_path)
    assert (op.kind, op.vector_ops, op.fused) == (expected, COUNT, ())


def test_gelu_and_cast(tmp_path):
    assert single(one("Gelu", [SHAPE], opset=20), tmp_path).kind is OpKind.GELU
    assert (
        single(one("Cast", [SHAPE], to=10), tmp_path, TensorProto.FLOAT16).kind
        is OpKind.ELEMENTWISE
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Sub", OpKind.SUB), ("Div", OpKind.DIV), ("PRelu", OpKind.LEAKY_RELU),
        ("Equal", OpKind.MINMAX), ("Less", OpKind.MINMAX), ("Greater", OpKind.MINMAX),
    ],
)  # fmt: skip
def test_operators_on_two_operands(tmp_path, kind, expected):
    dtype = TensorProto.BOOL if expected is OpKind.MINMAX else TensorProto.FLOAT
    op = single(one(kind, [SHAPE, [1, 2, 1, 1]]), tmp_path, dtype)
    assert (op.kind, op.vector_ops, op.inputs) == (expected, COUNT, ("x0", "x1"))
    op = single(one(kind, [SHAPE], {"c": weights(2, 1, 1)}), tmp_path, dtype)
    assert (op.inputs, op.weight) == (("x0",), "c")


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [(2.0, OpKind.MUL), (0.5, OpKind.SQRT), (-0.5, OpKind.SQRT), (3.0, OpKind.EXP)],
)
def test_powers(tmp_path, exponent, expected):
    op = single(one("Pow", [SHAPE], {"e": np.float32(exponent)}), tmp_path)
    assert (op.kind, op.vector_ops) == (expected, COUNT)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Sum", OpKind.ADD), ("Mean", OpKind.ADD), ("Max", OpKind.MINMAX), ("Min", OpKind.MINMAX)],
)
def test_any_number_of_operands(tmp_path, kind, expected):
    op = single(one(kind, [SHAPE] * 3), tmp_path)
    assert (op.kind, op.vector_ops) == (expected, 2 * COUNT)


def test_select(tmp_path):
    n = node("Where", ["c", "x", "f"], "y", "select")
    inputs = [info("x", SHAPE), info("z", SHAPE)]
    nodes = [node("Greater", ["x", "z"], "c", "compare"), n]
    proto = model(nodes, inputs, ["y"], {"f": np.float32(0)})
    workload = read_onnx(save(proto, tmp_path))
    assert [op.kind for op in workload.ops] == [OpKind.MINMAX] * 2
    assert workload.tensors["c"].dtype == "bool"
    assert workload.ops[1].weight == "f"


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("ReduceMean", {"axes": [2, 3]}), ("ReduceMax", {"axes": [-1]}),
        ("ReduceL2", {"axes": [1]}), ("ArgMax", {"axis": 1}),
    ],
)  # fmt: skip
def test_reductions_count_their_input(tmp_path, kind, attributes):
    dtype = TensorProto.INT64 if kind == "ArgMax" else TensorProto.FLOAT
    op = single(one(kind, [SHAPE], keepdims=0, opset=13, **attributes), tmp_path, dtype)
    assert (op.kind, op.vector_ops) == (OpKind.REDUCE, COUNT)


def test_reduction_with_axes_as_input(tmp_path):
    op = single(one("ReduceSum", [SHAPE], {"axes": np.array([2])}), tmp_path)
    assert (op.kind, op.vector_ops, op.weight) == (OpKind.REDUCE, COUNT, None)


@pytest.mark.parametrize(
    ("kind", "shape", "attributes"),
    [
        ("LayerNormalization", (4,), {"axis": -1}), ("InstanceNormalization", (2,), {}),
        ("GroupNormalization", (2,), {"num_groups": 1}),
    ],
)  # fmt: skip
def test_normalisation(tmp_path, kind, shape, attributes):
    constants = {"g": weights(*shape), "b": weights(*shape)}
    op = single(one(kind, [SHAPE], constants, opset=21, **attributes), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.LAYER_NORM, 5 * COUNT)
    assert (op.weight, op.bias) == ("g", "b")


def test_split_is_one_slice_per_output(tmp_path):
    n = node("Split", ["x", "sizes"], ["a", "b", "c"], "cut", axis=2)
    nodes = [n, node("Relu", ["b"], "y", "relu")]
    proto = model(nodes, [info("x", SHAPE)], ["a", "y"], {"sizes": np.array([1, 2, 3])})
    workload = read_onnx(save(proto, tmp_path))
    first, second, relu = workload.ops
    assert [(op.name, op.kind, op.picks) for op in (first, second)] == [
        ("cut", OpKind.SLICE, True), ("cut:1", OpKind.SLICE, True),
    ]  # fmt: skip
    assert (first.vector_ops, second.vector_ops, relu.inputs) == (8, 16, ("b",))
    assert workload.read_bytes(second, "x") == 4 * 16


def test_split_between_quantisations_stays_integer(tmp_path):
    nodes, constants = qdq("x")
    left, more = qdq("a")
    right, last = qdq("b")
    nodes += [node("Split", ["x.d"], ["a", "b"], "cut", axis=1), *left, *right]
    constants = {**constants, **more, **last}
    proto = model(nodes, [info("x", SHAPE)], ["a.d", "b.d"], constants, opset=13)
    workload = read_onnx(save(proto, tmp_path))
    assert [op.kind.value for op in workload.ops] == ["quantize", "slice", "slice"]
    assert {workload.tensors[op.output].dtype for op in workload.ops[1:]} == {"uint8"}


def test_slices_read_their_part_unless_they_stride(tmp_path):
    def picks(step):
        constants = {"s": np.array([1]), "e": np.array([5]), "a": np.array([2])}
        return single(one("Slice", [SHAPE], {**constants, "t": np.array([step])}), tmp_path).picks

    assert picks(1)
    assert not picks(2)


def test_embedding_reads_its_rows(tmp_path):
    n = node("Gather", ["table", "ids"], "y", "embed")
    proto = model([n], [info("ids", [1, 5], "int64")], ["y"], {"table": weights(1000, 16)})
    workload = read_onnx(save(proto, tmp_path))
    (op,) = workload.ops
    assert (op.kind, op.inputs, op.weight, op.vector_ops) == (
        OpKind.GATHER, ("ids",), "table", 80,
    )  # fmt: skip
    assert workload.read_bytes(op, "table") == 4 * 80
    assert workload.least_read_bytes == {"ids": 8 * 5, "table": 4 * 80}
    assert workload.weight_bytes == 4 * 16000


def test_gather_of_an_activation(tmp_path):
    n = node("Gather", ["x", "i"], "y", "pick", axis=1)
    proto = model([n], [info("x", SHAPE)], ["y"], {"i": np.array([1])})
    op = single(proto, tmp_path)
    assert (op.kind, op.inputs, op.weight, op.vector_ops) == (OpKind.GATHER, ("x",), None, 24)


def test_repeating_elements(tmp_path):
    op = single(one("Expand", [[1, 2, 1, 4]], {"s": np.array(SHAPE)}), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.GATHER, COUNT)
    op = single(one("Tile", [SHAPE], {"r": np.array([1, 1, 2, 3])}), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.GATHER, 6 * COUNT)
    nodes = [node("Expand", ["x", "s"], "e"), node("Relu", ["e"], "y")]
    proto = model(nodes, [info("x", SHAPE)], ["y"], {"s": np.array(SHAPE)})
    assert [op.kind for op in read_onnx(save(proto, tmp_path)).ops] == [OpKind.RELU]


@pytest.mark.parametrize(
    ("mode", "taps"), [("nearest", 1), ("linear", 4), ("cubic", 16)]
)  # fmt: skip
def test_resize_counts_its_neighbours(tmp_path, mode, taps):
    n = node("Resize", ["x", "", "scales"], "y", "up", mode=mode)
    scales = np.array([1, 1, 2, 2], np.float32)
    op = single(model([n], [info("x", SHAPE)], ["y"], {"scales": scales}), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.RESIZE, 4 * COUNT * taps)


def test_upsample_of_old_files(tmp_path):
    n = node("Upsample", ["x", "scales"], "y", "up", mode="linear")
    scales = np.array([1, 1, 1, 3], np.float32)
    proto = model([n], [info("x", SHAPE)], ["y"], {"scales": scales}, opset=9)
    op = single(proto, tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.RESIZE, 3 * COUNT * 2)


@pytest.mark.parametrize("kind", ["DepthToSpace", "SpaceToDepth"])
def test_depth_and_space(tmp_path, kind):
    op = single(one(kind, [[1, 4, 6, 4]], blocksize=2), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.TRANSPOSE, 96)


def test_global_maximum_and_log_softmax(tmp_path):
    op = single(one("GlobalMaxPool", [SHAPE]), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.MAX_POOL, COUNT)
    op = single(one("LogSoftmax", [SHAPE], axis=-1), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.SOFTMAX, 4 * COUNT)


def test_what_only_constants_make_is_a_constant(tmp_path):
    nodes = [node("Where", ["c", "a", "b"], "w"), node("Add", ["x", "w"], "y")]
    constants = {
        "c": np.ones((64, 64), bool), "a": weights(64, 64), "b": weights(64, 64),
    }  # fmt: skip
    workload = read_onnx(save(model(nodes, [info("x", [1, 64])], ["y"], constants), tmp_path))
    assert [op.weight for op in workload.ops] == ["w"]


def test_axes_that_are_computed_are_refused(tmp_path):
    n = node("ReduceSum", ["x", "a"], "y", "sum")
    proto = model([n], [info("x", SHAPE), info("a", [1], "int64")], ["y"])
    with pytest.raises(AccelsimError) as caught:
        read_onnx(save(proto, tmp_path))
    assert {m.code for m in caught.value.mistakes} <= {"W102", "W103"}
