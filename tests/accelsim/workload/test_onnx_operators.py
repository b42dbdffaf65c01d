"""Known answers: each operator in a network of its own."""

from pathlib import Path

import numpy as np
import pytest
from onnx_builders import info, model, node, one, onnx, save, weights
from onnx_runtime import runtime_shapes

from accelsim.workload import Gemm, OpKind, Role, read_onnx


def only_op(proto, folder):
    workload = read_onnx(save(proto, folder))
    assert len(workload.ops) == 1
    return workload.ops[0], workload


def test_conv_2d_by_hand(tmp_path):
    w = {"w": weights(8, 3, 3, 5), "b": weights(8)}
    proto = one("Conv", [[2, 3, 9, 11]], w, strides=[2, 1], pads=[1, 2, 0, 1], dilations=[1, 2])
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    workload = read_onnx(save(proto, tmp_path), batch=2)
    (op,) = workload.ops
    # height (9 + 1 - 3) // 2 + 1 = 4, width (11 + 3 - 9) // 1 + 1 = 6
    assert op.kind is OpKind.CONV
    assert op.gemm == Gemm(m=2 * 4 * 6, k=3 * 3 * 5, n=8)
    assert (op.window.out_height, op.window.out_width) == (4, 6)
    assert op.window.pads == (1, 2, 0, 1)
    assert op.window.stride == (2, 1)
    assert op.window.dilation == (1, 2)
    assert op.vector_ops == 2 * 8 * 4 * 6
    assert (op.weight, op.bias) == ("w", "b")
    assert workload.tensors["w"].role is Role.WEIGHT
    assert workload.tensors["b"].role is Role.BIAS
    assert workload.tensors["y"].shape == (2, 8, 4, 6)
    assert workload.weight_bytes == 4 * (8 * 3 * 3 * 5 + 8)


def test_conv_1d_has_height_1(tmp_path):
    proto = one("Conv", [[1, 4, 20]], {"w": weights(6, 4, 3)}, pads=[1, 0], strides=[2])
    op, _ = only_op(proto, tmp_path)
    assert op.gemm == Gemm(m=10, k=12, n=6)
    window = op.window
    assert (window.in_height, window.in_width, window.kernel_height) == (1, 20, 1)
    assert window.stride == (1, 2)
    assert window.pads == (0, 1, 0, 0)


def test_depthwise_is_channels_products(tmp_path):
    proto = one("Conv", [[1, 6, 8, 8]], {"w": weights(12, 1, 3, 3)}, group=6)
    op, _ = only_op(proto, tmp_path)
    assert op.gemm == Gemm(m=36, k=9, n=2, groups=6)
    assert op.macs == 36 * 9 * 12


@pytest.mark.parametrize(
    ("auto", "pads"),
    [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0)), ("VALID", (0, 0, 0, 0))],
)
def test_auto_pad(tmp_path, auto, pads):
    w = {"w": weights(4, 2, 3, 3)}
    op, _ = only_op(one("Conv", [[1, 2, 8, 8]], w, auto_pad=auto, strides=[2, 2]), tmp_path)
    assert op.window.pads == pads
    assert op.gemm.m == (9 if auto == "VALID" else 16)


def test_conv_with_computed_kernel_reads_both(tmp_path):
    op, _ = only_op(one("Conv", [[1, 2, 5, 5], [3, 2, 3, 3]]), tmp_path)
    assert op.inputs == ("x0", "x1")
    assert op.weight is None
    assert op.macs == 9 * 18 * 3


@pytest.mark.parametrize(
    ("ta", "tb", "a", "b"),
    [(0, 0, (5, 7), (7, 3)), (1, 0, (7, 5), (7, 3)), (0, 1, (5, 7), (3, 7))],
)
def test_gemm(tmp_path, ta, tb, a, b):
    constants = {"w": weights(*b), "c": weights(3)}
    proto = one("Gemm", [a], constants, transA=ta, transB=tb)
    workload = read_onnx(save(proto, tmp_path), batch=a[0])
    (op,) = workload.ops
    assert op.gemm == Gemm(m=5, k=7, n=3)
    assert (op.weight, op.bias, op.vector_ops) == ("w", "c", 15)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((1, 4, 5), (5, 6), Gemm(4, 5, 6)),
        ((2, 4, 5), (5, 6), Gemm(8, 5, 6)),
        ((2, 4, 5), (2, 5, 6), Gemm(4, 5, 6, 2)),
        ((2, 3, 4, 5), (3, 5, 6), Gemm(8, 5, 6, 3)),
        ((2, 3, 4, 5), (1, 1, 5, 6), Gemm(24, 5, 6)),
        ((7, 5), (5,), Gemm(7, 5, 1)),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_matmul(tmp_path, a, b, expected, constant):
    proto = one("MatMul", [a], {"w": weights(*b)}) if constant else one("MatMul", [a, b])
    workload = read_onnx(save(proto, tmp_path), batch=a[0])
    (op,) = workload.ops
    assert op.kind is OpKind.MATMUL
    assert op.gemm == expected
    assert op.weight == ("w" if constant else None)
    assert op.macs == int(np.prod(np.matmul(np.zeros(a), np.zeros(b)).shape)) * 5


def test_matmul_with_constant_left_operand_swaps(tmp_path):
    n = node("MatMul", ["w", "x"], "y", "mm")
    proto = model([n], [info("x", [5, 3])], ["y"], {"w": weights(4, 5)})
    workload = read_onnx(save(proto, tmp_path), batch=5)
    (op,) = workload.ops
    assert (op.gemm, op.weight) == (Gemm(m=3, k=5, n=4), "w")


def test_square_of_a_tensor_lists_it_once(tmp_path):
    n = node("MatMul", ["x", "x"], "y")
    op, _ = only_op(model([n], [info("x", [1, 4, 4])], ["y"]), tmp_path)
    assert op.inputs == ("x",)
    assert op.name == "MatMul_0"


@pytest.mark.parametrize(
    ("kind", "constants", "attributes", "expected", "count"),
    [
        ("Relu", {}, {}, OpKind.RELU, 2 * 6 * 6),
        ("Clip", {"lo": np.float32(0), "hi": np.float32(6)}, {}, OpKind.CLIP, 72),
        ("MaxPool", {}, {"kernel_shape": [2, 3], "strides": [2, 1]}, OpKind.MAX_POOL, 24 * 6),
        ("AveragePool", {}, {"kernel_shape": [3, 3]}, OpKind.AVERAGE_POOL, 2 * 16 * 9),
        ("GlobalAveragePool", {}, {}, OpKind.GLOBAL_AVERAGE_POOL, 72),
        ("Softmax", {}, {"axis": 1}, OpKind.SOFTMAX, 4 * 72),
        ("Pad", {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, {}, OpKind.PAD, 2 * 64),
        (
            "Slice",
            {"s": np.array([0]), "e": np.array([6]), "a": np.array([2]), "t": np.array([2])},
            {},
            OpKind.SLICE,
            36,
        ),
        ("Transpose", {}, {"perm": [0, 2, 3, 1]}, OpKind.TRANSPOSE, 72),
    ],
)
def test_vector_operators(tmp_path, kind, constants, attributes, expected, count):
    op, _ = only_op(one(kind, [[1, 2, 6, 6]], constants, **attributes), tmp_path)
    assert (op.kind, op.vector_ops, op.gemm) == (expected, count, None)


def test_pool_rounding_up(tmp_path):
    proto = one("MaxPool", [[1, 2, 6, 6]], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    op, workload = only_op(proto, tmp_path)
    assert workload.tensors["y"].shape == (1, 2, 3, 3)
    assert op.vector_ops == 2 * 9 * 9


def test_1d_pools(tmp_path):
    op, _ = only_op(one("MaxPool", [[1, 2, 7]], kernel_shape=[2], strides=[2]), tmp_path)
    assert (op.vector_ops, op.window.out_width) == (2 * 3 * 2, 3)
    op, _ = only_op(one("GlobalAveragePool", [[1, 2, 7]]), tmp_path)
    assert (op.vector_ops, op.window.kernel_width) == (14, 7)


def test_batch_norm_counts_scale_and_shift(tmp_path):
    constants = {name: weights(2) for name in ("scale", "shift", "mean", "var")}
    op, workload = only_op(one("BatchNormalization", [[1, 2, 6, 6]], constants), tmp_path)
    assert (op.kind, op.weight, op.bias, op.vector_ops) == (
        OpKind.BATCH_NORM, "scale", "shift", 72,
    )  # fmt: skip
    assert workload.weight_bytes == 16


@pytest.mark.parametrize(("kind", "expected"), [("Add", OpKind.ADD), ("Mul", OpKind.MUL)])
def test_elementwise_with_activation_and_constant(tmp_path, kind, expected):
    op, _ = only_op(one(kind, [[1, 2, 3, 3], [1, 1, 3, 3]]), tmp_path)
    assert (op.kind, op.inputs, op.vector_ops) == (expected, ("x0", "x1"), 18)
    op, workload = only_op(one(kind, [[1, 2, 3, 3]], {"c": weights(2, 1, 1)}), tmp_path)
    assert (op.inputs, op.weight) == (("x0",), "c")
    assert workload.tensors["c"].role is Role.WEIGHT


def test_concat(tmp_path):
    op, workload = only_op(one("Concat", [[1, 2, 3], [1, 5, 3]], axis=1), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.CONCAT, 21)
    assert workload.tensors["y"].shape == (1, 7, 3)


def test_views_move_nothing(tmp_path):
    nodes = [
        node("Relu", ["x"], "r"),
        node("Flatten", ["r"], "f"),
        node("Reshape", ["f", "shape"], "s"),
        node("Unsqueeze", ["s", "axes"], "u"),
        node("Squeeze", ["u", "axes"], "q"),
        node("Identity", ["q"], "i"),
        node("Transpose", ["i"], "t", perm=[1, 0, 2]),  # only moves an axis of length 1
        node("Dropout", ["t"], "d"),
        node("Softmax", ["d"], "y"),
    ]
    constants = {"shape": np.array([1, 3, 4]), "axes": np.array([0])}
    workload = read_onnx(save(model(nodes, [info("x", [1, 3, 4])], ["y"], constants), tmp_path))
    assert [op.kind for op in workload.ops] == [OpKind.RELU, OpKind.SOFTMAX]
    assert workload.ops[1].inputs == ("r",)
    assert workload.aliases == dict.fromkeys("fsuqitd", "r")


def test_activations_fuse_into_the_operator_before(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], "c", "conv"),
        node("Relu", ["c"], "r", "relu"),
        node("Add", ["r", "x"], "a", "add"),
        node("Clip", ["a", "lo", "hi"], "y", "clip"),
    ]
    constants = {"w": weights(2, 2, 1, 1), "lo": np.float32(0), "hi": np.float32(6)}
    workload = read_onnx(save(model(nodes, [info("x", [1, 2, 4, 4])], ["y"], constants), tmp_path))
    conv, add = workload.ops
    assert (conv.output, conv.fused, conv.nodes) == ("r", ("Relu",), ("conv", "relu"))
    assert conv.vector_ops == 32
    assert (add.output, add.fused, add.vector_ops) == ("y", ("Clip",), 64)
    assert workload.aliases == {"c": "r", "a": "y"}
    assert workload.tensors["y"].role is Role.OUTPUT


@pytest.mark.parametrize("extra", ["reader", "output"])
def test_no_fusing_when_the_value_is_needed_elsewhere(tmp_path, extra):
    nodes = [node("Conv", ["x", "w"], "c"), node("Relu", ["c"], "r")]
    outputs = ["y"]
    nodes.append(node("Add", ["r", "c" if extra == "reader" else "x"], "y"))
    if extra == "output":
        outputs.append("c")
    proto = model(nodes, [info("x", [1, 2, 4, 4])], outputs, {"w": weights(2, 2, 1, 1)})
    workload = read_onnx(save(proto, tmp_path))
    assert [op.kind for op in workload.ops] == [OpKind.CONV, OpKind.RELU, OpKind.ADD]


def test_activation_behind_a_view_fuses(tmp_path):
    nodes = [
        node("Gemm", ["x", "w"], "g"),
        node("Reshape", ["g", "shape"], "v"),
        node("Relu", ["v"], "y"),
    ]
    constants = {"w": weights(3, 4), "shape": np.array([1, 2, 2])}
    workload = read_onnx(save(model(nodes, [info("x", [1, 3])], ["y"], constants), tmp_path))
    (op,) = workload.ops
    assert (op.output, op.fused) == ("y", ("Relu",))
    assert workload.tensors["y"].shape == (1, 2, 2)
    assert workload.aliases == {"g": "y", "v": "y"}


def test_batch_fills_the_free_dimension_everywhere(tmp_path):
    proto = one("Conv", [[1, 3, 8, 8]], {"w": weights(4, 3, 3, 3)})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    path = save(proto, tmp_path)
    single, many = read_onnx(path), read_onnx(path, batch=7)
    assert many.macs == 7 * single.macs
    assert many.tensors["x0"].shape == (7, 3, 8, 8)
    assert many.weight_bytes == single.weight_bytes


def test_files_of_old_opsets_in_half_precision(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], "c", "conv", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        node("Add", ["c", "b"], "a", "add"),
        node("Dropout", ["a"], "d", "drop", ratio=0.5),
        node("MaxPool", ["d"], "p", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["p"], "g", "gap"),
        node("Reshape", ["g", "shape"], "f"),
        node("Softmax", ["f"], "y", "soft"),
    ]
    constants = {
        "w": weights(4, 3, 3, 3).astype(np.float16), "b": weights(4, 1, 1).astype(np.float16),
        "shape": np.array([1, 4]),
    }  # fmt: skip
    proto = model(nodes, [info("x", [1, 3, 8, 8])], ["y"], constants, opset=7)
    proto.graph.input[0].type.tensor_type.elem_type = 10
    proto.graph.output[0].type.tensor_type.elem_type = 10
    workload = read_onnx(save(proto, tmp_path))
    assert [op.kind.value for op in workload.ops] == [
        "conv", "add", "max_pool", "global_average_pool", "softmax",
    ]  # fmt: skip
    assert workload.macs == 64 * 27 * 4
    assert {tensor.dtype for tensor in workload.tensors.values()} == {"float16"}


SHARED = Path(__file__).parents[4] / "shared/data/models"


@pytest.mark.parametrize("name", ["mnist_cntk_opset8", "squeezenet1_fp16_opset7"])
def test_published_files_of_old_opsets(name):
    """Products counted from the weights' own shapes and the shapes that the runtime finds."""
    path = SHARED / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside the repository")
    proto = onnx.load(path)
    shapes = runtime_shapes(proto)
    weight = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    macs = 0
    for n in proto.graph.node:
        if n.op_type == "Conv":
            macs += int(np.prod(weight[n.input[1]])) * int(np.prod(shapes[n.output[0]][2:]))
        elif n.op_type == "MatMul":
            macs += int(np.prod(shapes[n.output[0]])) * shapes[n.input[0]][-1]
    assert read_onnx(path).macs == macs > 700_000


def test_dead_nodes_are_dropped_and_names_made_unique(tmp_path):
    nodes = [
        node("Relu", ["x"], "r", "same"),
        node("Gelu", ["x"], "dead", "odd", domain="com.example"),
        node("Softmax", ["r"], "s", "same"),
        node("Sigmoid", ["s"], "dead2"),
        node("Relu", ["s"], "y"),
    ]
    workload = read_onnx(save(model(nodes, [info("x", [1, 4])], ["y"]), tmp_path))
    assert [op.name for op in workload.ops] == ["same", "same_2", "Relu_4"]


def test_constant_nodes_are_constants(tmp_path):
    nodes = [
        node("Constant", [], "c", value=one("Add", [[1]], {"k": weights(4)}).graph.initializer[0]),
        node("Constant", [], "lo", value_float=0.0),
        node("Add", ["x", "c"], "a"),
        node("Clip", ["a", "lo"], "y"),
    ]
    workload = read_onnx(save(model(nodes, [info("x", [1, 4])], ["y"]), tmp_path))
    (op,) = workload.ops
    assert (op.weight, op.fused) == ("c", ("Clip",))
    assert workload.tensors["c"].shape == (4,)


def test_fallback_costs_every_output(tmp_path):
    nodes = [
        node("Relu", ["x"], "r"),
        node("TopK", ["r", "k"], ["a", "i"], "best", axis=1),
        node("Cast", ["i"], "b", to=1),
        node("Hardmax", ["b"], "g", "gate"),
        node("Mul", ["a", "g"], "y"),
    ]
    proto = model(nodes, [info("x", [1, 4, 2])], ["y"], {"k": np.array([2])}, opset=13)
    workload = read_onnx(save(proto, tmp_path), unsupported="fallback")
    assert workload.fallbacks == ("best (TopK)", "gate (Hardmax)")
    assert [(op.name, op.kind.value, op.vector_ops) for op in workload.ops] == [
        ("Relu_0", "relu", 8),
        ("best", "fallback", 4),
        ("best:1", "fallback", 4),
        ("Cast_2", "elementwise", 4),
        ("gate", "fallback", 4),
        ("Mul_4", "mul", 4),
    ]
