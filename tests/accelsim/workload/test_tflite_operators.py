"""TensorFlow Lite operators: known sizes of every kind, and counts made in a second way."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

pytest.importorskip("tflite", reason="the extra accelsim[tflite] is not installed")

from tflite_builders import SAME, VALID, N, Net, T, conv_net, one, zeros

from accelsim.errors import AccelsimError
from accelsim.workload.graph import Gemm, OpKind, Role
from accelsim.workload.tflite_reader import read_tflite


def read(net, folder, **kwargs):
    return read_tflite(net.save(folder), **kwargs)


def only(net, folder, **kwargs):
    (op,) = read(net, folder, **kwargs).ops
    return op


def test_a_convolution_with_everything_that_is_fused(tmp_path):
    workload = read(conv_net((8, 8), filters=4, stride=2), tmp_path)
    (op,) = workload.ops
    assert (op.name, op.kind, op.weight, op.bias) == ("conv_2d_0", OpKind.CONV, "c0", "c1")
    assert op.gemm == Gemm(m=16, k=27, n=4)
    assert op.window.pads == (0, 0, 1, 1)  # SAME: the odd element lies behind
    assert op.fused == ("RELU", "QUANTIZE")
    assert op.vector_ops == 2 * 64
    assert (workload.inputs, workload.outputs) == (("x0",), ("y",))
    assert workload.tensors["c1"].role is Role.BIAS
    assert workload.weight_bytes == 4 * 27 + 4 * 4


def test_a_float_convolution_is_not_requantised(tmp_path):
    options = ("Conv2DOptions", {"StrideH": 1, "StrideW": 1, "Padding": VALID})
    net = one("CONV_2D", [(1, 5, 5, 2)], (1, 3, 3, 7), [zeros(7, 3, 3, 2, dtype=np.float32)],
              options, "float32")  # fmt: skip
    op = only(net, tmp_path)
    assert (op.gemm, op.fused, op.vector_ops) == (Gemm(9, 18, 7), (), 63)


def positions(size, kernel, stride, dilation, padding):
    """Window positions that start inside, by trying every one of them."""
    reach = dilation * (kernel - 1) + 1
    if padding == SAME:
        return sum(1 for start in range(0, size) if start % stride == 0)
    return sum(1 for s in range(size) if s % stride == 0 and s + reach <= size)


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(1, 3),
    st.integers(1, 2), st.sampled_from([SAME, VALID]), st.integers(1, 3), st.integers(1, 3),
)  # fmt: skip
def test_convolutions_of_any_geometry(
    tmp_path_factory, height, width, kernel, stride, dilation, padding, groups, each
):
    rows, columns = (positions(s, kernel, stride, dilation, padding) for s in (height, width))
    assume(rows and columns)
    options = {"StrideH": stride, "StrideW": stride, "Padding": padding,
               "DilationHFactor": dilation, "DilationWFactor": dilation}  # fmt: skip
    net = one(
        "CONV_2D", [(2, height, width, 2 * groups)], (2, rows, columns, each * groups),
        [zeros(each * groups, kernel, kernel, 2)], ("Conv2DOptions", options),
    )  # fmt: skip
    op = only(net, tmp_path_factory.mktemp("conv"), batch=2)
    assert op.macs == 2 * rows * columns * kernel * kernel * 2 * each * groups
    assert op.gemm.groups == groups


def test_a_depthwise_convolution_has_one_product_per_channel(tmp_path):
    options = ("DepthwiseConv2DOptions", {"StrideH": 1, "StrideW": 2, "Padding": SAME,
                                          "DepthMultiplier": 2})  # fmt: skip
    net = one("DEPTHWISE_CONV_2D", [(1, 6, 6, 5)], (1, 6, 3, 10), [zeros(1, 3, 3, 10)], options)
    op = only(net, tmp_path)
    assert op.gemm == Gemm(m=18, k=9, n=2, groups=5)
    assert op.window.stride == (1, 2)


def test_a_dense_layer_takes_its_input_in_rows(tmp_path):
    constants = [zeros(10, 64), zeros(10, dtype=np.int32)]
    net = one("FULLY_CONNECTED", [(2, 4, 16)], (2, 10), constants)
    op = only(net, tmp_path, batch=2)
    assert (op.kind, op.gemm, op.bias) == (OpKind.MATMUL, Gemm(2, 64, 10), "c1")


@pytest.mark.parametrize(("adj_x", "adj_y"), list(product([0, 1], [0, 1])))
def test_products_of_activations(tmp_path, adj_x, adj_y):
    left = (1, 8, 5, 7) if not adj_x else (1, 8, 7, 5)
    right = (1, 8, 7, 3) if not adj_y else (1, 8, 3, 7)
    options = ("BatchMatMulOptions", {"AdjX": adj_x, "AdjY": adj_y})
    op = only(one("BATCH_MATMUL", [left, right], (1, 8, 5, 3), options=options), tmp_path)
    assert (op.gemm, op.inputs, op.weight) == (Gemm(5, 7, 3, 8), ("x0", "x1"), None)


def test_products_with_a_shared_right_operand(tmp_path):
    op = only(one("BATCH_MATMUL", [(1, 6, 5, 7)], (1, 6, 5, 3), [zeros(7, 3)]), tmp_path)
    assert (op.gemm, op.weight) == (Gemm(30, 7, 3), "c0")


def test_a_transposed_convolution_multiplies_no_inserted_zeros(tmp_path):
    options = ("TransposeConvOptions", {"StrideH": 2, "StrideW": 2, "Padding": VALID})
    shape = np.array([1, 10, 14, 4], np.int32)
    net = one(
        "TRANSPOSE_CONV", [(1, 5, 7, 3)], (1, 10, 14, 4), [shape, zeros(4, 2, 2, 3)], options,
        order=["c0", "c1", "x0"],
    )  # fmt: skip
    workload = read(net, tmp_path)
    assert [op.kind for op in workload.ops] == [OpKind.CONV] * 4 + [OpKind.TRANSPOSE]
    assert workload.macs == 5 * 7 * 3 * 4 * 2 * 2  # input pixels x kernel
    assert workload.weight_bytes == 4 * 2 * 2 * 3
    assert len(workload.parts["c1"]) == 4


def test_pools_and_global_means(tmp_path):
    options = ("Pool2DOptions", {"StrideH": 2, "StrideW": 2, "FilterHeight": 3, "FilterWidth": 3,
                                 "Padding": SAME})  # fmt: skip
    for code, kind in (("MAX_POOL_2D", OpKind.MAX_POOL), ("AVERAGE_POOL_2D", OpKind.AVERAGE_POOL)):
        op = only(one(code, [(1, 9, 9, 4)], (1, 5, 5, 4), options=options), tmp_path)
        assert (op.kind, op.vector_ops) == (kind, 5 * 5 * 4 * 9)
    axes = np.array([1, 2], np.int32)
    op = only(one("MEAN", [(1, 7, 7, 8)], (1, 8), [axes]), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.GLOBAL_AVERAGE_POOL, 7 * 7 * 8)
    op = only(one("SUM", [(1, 7, 8)], (1, 7), [np.array([-1], np.int32)]), tmp_path)
    assert (op.kind, op.vector_ops) == (OpKind.REDUCE, 56)


@pytest.mark.parametrize(
    ("code", "kind", "per_element"),
    [
        ("RELU", OpKind.RELU, 1), ("RELU6", OpKind.CLIP, 1), ("TANH", OpKind.TANH, 1),
        ("LOGISTIC", OpKind.SIGMOID, 1), ("HARD_SWISH", OpKind.HARD_SWISH, 1),
        ("GELU", OpKind.GELU, 1), ("EXP", OpKind.EXP, 1), ("RSQRT", OpKind.SQRT, 1),
        ("ABS", OpKind.ELEMENTWISE, 1), ("SOFTMAX", OpKind.SOFTMAX, 4),
        ("LOG_SOFTMAX", OpKind.SOFTMAX, 4), ("L2_NORMALIZATION", OpKind.LAYER_NORM, 3),
        ("QUANTIZE", OpKind.QUANTIZE, 1), ("DEQUANTIZE", OpKind.DEQUANTIZE, 1),
    ],
)  # fmt: skip
def test_operators_on_one_tensor(tmp_path, code, kind, per_element):
    op = only(one(code, [(1, 6, 10)], (1, 6, 10)), tmp_path)
    assert (op.kind, op.vector_ops) == (kind, 60 * per_element)


@pytest.mark.parametrize(
    ("code", "kind", "per_element"),
    [
        ("ADD", OpKind.ADD, 1), ("SUB", OpKind.SUB, 1), ("MUL", OpKind.MUL, 1),
        ("DIV", OpKind.DIV, 1), ("MAXIMUM", OpKind.MINMAX, 1), ("POW", OpKind.EXP, 1),
        ("SQUARED_DIFFERENCE", OpKind.SUB, 2), ("PRELU", OpKind.LEAKY_RELU, 1),
    ],
)  # fmt: skip
def test_operators_on_two_tensors_broadcast(tmp_path, code, kind, per_element):
    op = only(one(code, [(1, 6, 10), (10,)], (1, 6, 10)), tmp_path)
    assert (op.kind, op.inputs, op.vector_ops) == (kind, ("x0", "x1"), 60 * per_element)
    op = only(one(code, [(1, 6, 10)], (1, 6, 10), [zeros(10)]), tmp_path)
    assert (op.inputs, op.weight) == (("x0",), "c0")


def test_a_fused_activation_of_a_vector_operator_counts_once_more(tmp_path):
    options = ("AddOptions", {"FusedActivationFunction": 3})
    op = only(one("ADD", [(1, 4), (1, 4)], (1, 4), options=options), tmp_path)
    assert (op.vector_ops, op.fused) == (8, ("RELU6",))


def test_operators_that_move_elements(tmp_path):
    ints = lambda *v: np.array(v, np.int32)  # noqa: E731
    cases = [
        (one("CONCATENATION", [(1, 4), (1, 6)], (1, 10)), OpKind.CONCAT, 10, False),
        (one("PACK", [(1, 4), (1, 4)], (2, 1, 4)), OpKind.CONCAT, 8, False),
        (one("PAD", [(1, 4)], (1, 7), [ints(0, 0, 1, 2)]), OpKind.PAD, 7, False),
        (one("SLICE", [(1, 9)], (1, 4), [ints(0, 1), ints(1, 4)]), OpKind.SLICE, 4, True),
        (one("STRIDED_SLICE", [(1, 9)], (1, 4), [ints(0, 0), ints(1, 8), ints(1, 2)]),
         OpKind.SLICE, 4, False),
        (one("TRANSPOSE", [(1, 4, 6)], (1, 6, 4), [ints(0, 2, 1)]), OpKind.TRANSPOSE, 24, False),
        (one("DEPTH_TO_SPACE", [(1, 2, 2, 8)], (1, 4, 4, 2)), OpKind.TRANSPOSE, 32, False),
        (one("GATHER", [(9, 4)], (3, 4), [ints(1, 2, 5)]), OpKind.GATHER, 12, True),
        (one("TILE", [(1, 4)], (1, 12), [ints(1, 3)]), OpKind.GATHER, 12, False),
        (one("RESIZE_NEAREST_NEIGHBOR", [(1, 2, 2, 3)], (1, 4, 4, 3), [ints(4, 4)]),
         OpKind.RESIZE, 48, False),
        (one("RESIZE_BILINEAR", [(1, 2, 2, 3)], (1, 4, 4, 3), [ints(4, 4)]),
         OpKind.RESIZE, 192, False),
    ]  # fmt: skip
    for net, kind, count, picks in cases:
        op = only(net, tmp_path, batch=9 if net.tensors[0].shape[0] == 9 else 1)
        assert (op.kind, op.vector_ops, op.picks) == (kind, count, picks), net.ops[0].code


def test_every_output_of_a_split_is_a_slice(tmp_path):
    axis = T("axis", (), "int32", np.array(1, np.int32))
    tensors = [T("x", (1, 6)), axis, T("a", (1, 3)), T("b", (1, 3)), T("y", (1, 3))]
    ops = [
        N("SPLIT", ["axis", "x"], ["a", "b"], ("SplitOptions", {"NumSplits": 2})),
        N("ADD", ["a", "b"], ["y"]),
    ]
    workload = read(Net(tensors, ops, ["x"], ["y"]), tmp_path)
    assert [op.name for op in workload.ops] == ["split_0", "split_0:1", "add_1"]
    assert [op.vector_ops for op in workload.ops] == [3, 3, 3]


def test_views_move_nothing(tmp_path):
    ints = np.array([0, 2, 1, 3], np.int32)
    tensors = [
        T("x", (1, 1, 4, 2)), T("flat", (1, 8)), T("y", (1, 8)), T("perm", (4,), "int32", ints),
        T("turned", (1, 4, 1, 2)), T("shape", (2,), "int32", np.array([1, 8], np.int32)),
    ]  # fmt: skip
    ops = [
        N("TRANSPOSE", ["x", "perm"], ["turned"]),
        N("RESHAPE", ["turned", "shape"], ["flat"]),
        N("RELU", ["flat"], ["y"]),
    ]
    workload = read(Net(tensors, ops, ["x"], ["y"]), tmp_path)
    assert [op.inputs for op in workload.ops] == [("x",)]
    assert workload.aliases == {"turned": "x", "flat": "x"}


def test_what_depends_on_no_input_is_computed_before(tmp_path):
    """Half-precision weights are dequantised at load time; shapes are known; dead code is gone."""
    weights = np.zeros((3, 4), np.float16)
    tensors = [
        T("x", (1, 4), "float32"), T("half", (3, 4), "float16", weights),
        T("full", (3, 4), "float32"), T("y", (1, 3), "float32"), T("shape", (2,), "int32"),
        T("z", (1, 3), "float32"), T("dead", (1, 4), "float32"),
    ]  # fmt: skip
    ops = [
        N("DEQUANTIZE", ["half"], ["full"]),
        N("FULLY_CONNECTED", ["x", "full"], ["y"]),
        N("SHAPE", ["y"], ["shape"]),
        N("RESHAPE", ["y", "shape"], ["z"]),
        N("CUSTOM", ["x"], ["dead"], custom="Nobody"),
    ]
    workload = read(Net(tensors, ops, ["x"], ["z"]), tmp_path)
    (op,) = workload.ops
    assert (op.weight, op.macs) == ("half", 12)
    assert workload.tensors["half"].dtype == "float16"
    assert workload.aliases == {"full": "half", "z": "y"}


def lstm_net(steps=3, features=4, units=5, batch=1, coupled=False, projection=0, dtype="int8"):
    """One LSTM over [batch, steps, features]."""
    outputs = projection or units
    tensors = [
        T("x", (batch, steps, features), dtype), T("h", (batch, outputs), dtype, variable=True),
        T("c", (batch, units), "int16", variable=True), T("y", (batch, steps, outputs), dtype),
    ]  # fmt: skip
    inputs = ["x"]
    gates = range(1 if coupled else 0, 4)
    for stem, depth in (("w", features), ("r", outputs)):
        for gate in range(4):
            inputs.append(f"{stem}{gate}" if gate in gates else "")
            if gate in gates:
                tensors.append(T(f"{stem}{gate}", (units, depth), "int8", zeros(units, depth)))
    inputs += ["", "", ""]
    for gate in range(4):
        inputs.append(f"b{gate}" if gate in gates else "")
        if gate in gates:
            tensors.append(T(f"b{gate}", (units,), "int32", zeros(units, dtype=np.int32)))
    inputs += ["p" if projection else "", "", "h", "c", "", "", "", ""]
    if projection:
        tensors.append(T("p", (projection, units), "int8", zeros(projection, units)))
    options = ("UnidirectionalSequenceLSTMOptions", {"FusedActivationFunction": 4})
    op = N("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, ["y"], options)
    return Net(tensors, [op], ["x"], ["y"])


def test_an_lstm_is_one_product_over_all_steps_and_one_per_step(tmp_path):
    workload = read(lstm_net(), tmp_path)
    products = [op for op in workload.ops if op.gemm]
    assert [op.gemm for op in products] == [Gemm(3, 4, 20), *[Gemm(1, 5, 20)] * 3]
    assert workload.macs == 3 * 4 * 5 * (4 + 5)
    assert workload.weight_bytes == 4 * 5 * (4 + 5) + 4 * 5 * 4
    assert workload.aliases["w2"] == "unidirectional_sequence_lstm_0:input_weights"
    assert workload.inputs == ("x", "h", "c")  # states enter, and leave for the next inference
    assert workload.outputs[0] == "y"
    assert len(workload.outputs) == 3
    gates = next(op for op in workload.ops if op.kind is OpKind.SIGMOID)
    assert (gates.vector_ops, gates.picks) == (2 * 20, True)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_products_of_any_lstm(tmp_path_factory, steps, features, units, coupled, projection):
    net = lstm_net(steps, features, units, 2, coupled, projection)
    workload = read(net, tmp_path_factory.mktemp("lstm"), batch=2)
    gates, outputs = (3 if coupled else 4), projection or units
    per_step = gates * units * (features + outputs) + projection * units
    assert workload.macs == 2 * steps * per_step


def test_a_long_sequence_is_joined_in_two_levels(tmp_path):
    workload = read(lstm_net(steps=130), tmp_path)
    joins = [op for op in workload.ops if op.kind is OpKind.CONCAT]
    assert [len(op.inputs) for op in joins] == [128, 2, 2]


@pytest.mark.parametrize("rank", [1, 2])
def test_svdf_keeps_a_memory_of_its_features(tmp_path, rank):
    filters, memory, depth = 6, 4, 9
    tensors = [
        T("x", (1, depth)), T("f", (filters, depth), "int8", zeros(filters, depth)),
        T("t", (filters, memory), "int16", zeros(filters, memory, dtype=np.int16)),
        T("b", (filters // rank,), "int32", zeros(filters // rank, dtype=np.int32)),
        T("s", (1, filters * memory), "int16", variable=True), T("y", (1, filters // rank)),
    ]  # fmt: skip
    options = ("SVDFOptions", {"Rank": rank, "FusedActivationFunction": 1})
    net = Net(tensors, [N("SVDF", ["x", "f", "t", "b", "s"], ["y"], options)], ["x"], ["y"])
    workload = read(net, tmp_path)
    assert workload.macs == filters * (depth + memory)
    assert workload.inputs == ("x", "s")
    assert workload.outputs == ("y", "svdf_0:state")
    assert workload.ops[-1].bias == "b"


def test_a_state_in_the_graph_enters_and_leaves(tmp_path):
    handle = ("VarHandleOptions", {"SharedName": "window"})
    tensors = [
        T("x", (1, 2)), T("handle", (), "resource"), T("old", (1, 4)), T("both", (1, 6)),
        T("new", (1, 4)), T("y", (1, 6)), T("begin", (2,), "int32", np.array([0, 2], np.int32)),
        T("size", (2,), "int32", np.array([1, 4], np.int32)),
    ]  # fmt: skip
    ops = [
        N("CALL_ONCE", [], []),
        N("VAR_HANDLE", [], ["handle"], handle),
        N("READ_VARIABLE", ["handle"], ["old"]),
        N("CONCATENATION", ["old", "x"], ["both"]),
        N("SLICE", ["both", "begin", "size"], ["new"]),
        N("ASSIGN_VARIABLE", ["handle", "new"], []),
        N("RELU", ["both"], ["y"]),
    ]
    workload = read(Net(tensors, ops, ["x"], ["y"]), tmp_path)
    assert workload.inputs == ("x", "old")
    assert workload.outputs == ("y", "new")
    assert [op.kind.value for op in workload.ops] == ["concat", "slice", "relu"]


def test_an_open_batch_multiplies_every_tensor_that_has_it(tmp_path):
    net = conv_net((6, 6))
    for tensor in net.tensors:
        if tensor.data is None:
            tensor.signature = (-1, *tensor.shape[1:])
    assert read(net, tmp_path, batch=3).macs == 3 * read(net, tmp_path).macs


def test_names_that_occur_twice(tmp_path):
    net = Net([T("a", (1, 4)), T("b", (1, 4)), T("c", (1, 4))],
              [N("RELU", ["a"], ["b"]), N("TANH", ["b"], ["c"])], ["a"], ["c"])  # fmt: skip
    data, name = net.bytes(), b"\x01\x00\x00\x00b\x00"
    assert data.count(name) == 1
    path = tmp_path / "twice.tflite"
    path.write_bytes(data.replace(name, name.replace(b"b", b"a")))
    assert [*read_tflite(path).tensors] == ["a", "a:1", "c"]


def test_same_file_same_workload(tmp_path):
    path = lstm_net().save(tmp_path)
    assert repr(read_tflite(path)) == repr(read_tflite(path))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_step_by_step_an_lstm_multiplies_as_much_and_reads_its_weights_every_step(
    tmp_path_factory, steps, features, units, coupled
):
    net = lstm_net(steps, features, units, 2, coupled)
    folder = tmp_path_factory.mktemp("lstm")
    batched = read(net, folder, batch=2)
    stepwise = read(net, folder, batch=2, recurrent="stepwise")
    assert stepwise.macs == batched.macs
    assert stepwise.weight_bytes == batched.weight_bytes
    assert stepwise.outputs == batched.outputs
    weight = "unidirectional_sequence_lstm_0:input_weights"
    users = [op for op in stepwise.ops if op.weight == weight]
    assert [op.gemm.m for op in users] == [2] * steps
    assert len([op for op in batched.ops if op.weight == weight]) == 1


def test_a_reading_of_recurrent_layers_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(AccelsimError, match="neither 'batched' nor 'stepwise'"):
        read(lstm_net(), tmp_path, recurrent="bached")
