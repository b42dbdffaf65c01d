"""Networks that are too large, or that say what cannot be: refused by name, quickly."""

import time

import numpy as np
import pytest
from onnx_builders import TYPES, info, model, node, one, save, weights

from accelsim.errors import AccelsimError
from accelsim.workload import OpKind, check_workload, limits, read_onnx
from accelsim.workload.graph import Gemm, Op, Role, Tensor, Workload


def refused(path, **kwargs):
    before = time.process_time()
    with pytest.raises(AccelsimError) as caught:
        read_onnx(path, **kwargs)
    assert time.process_time() - before < 5
    assert caught.value.exit_code == 2
    assert all(m.location.file == str(path) for m in caught.value.mistakes)
    return caught.value.mistakes


def conv(size=(8, 8), w=None, batch=1, **attributes):
    w = weights(4, 3, 3, 3) if w is None else w
    return one("Conv", [[batch, 3, *size]], {"w": w}, **attributes)


def pad(amount):
    pads = np.array([0, 0, amount, amount, 0, 0, amount, amount], np.int64)
    return one("Pad", [[1, 3, 8, 8]], {"pads": pads})


@pytest.mark.parametrize(
    ("proto", "part"),
    [
        (conv((10**5, 10**5), pads=[1] * 4), "tensor 'x0' is too large"),
        (conv((2**62, 2**62)), "tensor 'x0' is too large"),
        (conv((10**15, 3)), "tensor 'x0' is too large"),
        (conv((2**17, 8)), "output rows over 1 images; the limit is 65536"),
        (conv((8, 2**19)), "output columns; the limit is 262144"),
        (conv(pads=[10**6] * 4), "tensor 'y' is too large"),
        (conv(pads=[10**9] * 4), "tensor 'y' is too large"),
        (conv(pads=[0, 2**17, 0, 0]), "a stride, dilation or pad above 65536"),
        (conv(strides=[2**40, 1]), "a stride, dilation or pad above 65536"),
        (conv(w=weights(4, 3, 1, 1), dilations=[2**40, 1]), "a stride, dilation or pad above"),
        (pad(10**9), "tensor 'y' is too large"),
        (one("Relu", [[1] * 65]), "65 dimensions; the limit is 64"),
        (one("MatMul", [[2**21, 8]], {"w": weights(8, 4)}, opset=17), "2097152 rows"),
        (one("Concat", [[1, 2]] * 129, axis=1), "129 inputs; the limit is 128"),
    ],
)
def test_sizes_are_bounded(tmp_path, proto, part):
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    found = refused(save(proto, tmp_path), batch=batch)
    assert {m.code for m in found} == {"W107"}
    assert any(part in m.message for m in found), [str(m) for m in found]
    assert all(m.hint for m in found)


def test_a_batch_too_large(tmp_path):
    proto = conv((32, 32), w=weights(16, 3, 3, 3), pads=[1] * 4)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    path = save(proto, tmp_path)
    found = refused(path, batch=65_536)
    assert {m.code for m in found} == {"W107"}
    assert "batch" in found[0].hint
    assert read_onnx(path, batch=64).ops[0].gemm.m == 64 * 32 * 32


def test_large_networks_in_use_are_read(tmp_path):
    """VGG-16 at batch 64, ResNet-50 at 224, projections of a 7-billion-parameter transformer."""
    first = one("Conv", [[64, 64, 224, 224]], {"w": weights(64, 64, 3, 3)}, pads=[1] * 4)
    assert read_onnx(save(first, tmp_path), batch=64).tensors["y"].elements == 64 * 64 * 224**2
    stem = one(
        "Conv", [[1, 3, 224, 224]], {"w": weights(64, 3, 7, 7)}, pads=[3] * 4, strides=[2, 2]
    )
    assert read_onnx(save(stem, tmp_path)).macs == 112**2 * 64 * 147
    head = model(
        [node("MatMul", ["x", "w"], "y", "head")],
        [info("x", [2048, 4096]), info("w", [4096, 32_000])],
        ["y"],
    )
    assert read_onnx(save(head, tmp_path), batch=2048).macs == 2048 * 4096 * 32_000


def test_too_many_nodes_and_operators(tmp_path):
    def chain(length):
        nodes = [node("Relu", [f"t{i}"], f"t{i + 1}", "same") for i in range(length)]
        return save(model(nodes, [info("t0", [1, 4])], [f"t{length}"]), tmp_path)

    (mistake,) = refused(chain(limits.MAX_NODES + 1))
    assert (mistake.code, mistake.message) == (
        "W107", "the network is too large: 16385 nodes; the limit is 16384",
    )  # fmt: skip
    (mistake,) = refused(chain(limits.MAX_OPERATORS + 1))
    assert (mistake.code, "4097 operators" in mistake.message) == ("W107", True)
    workload = read_onnx(chain(300))
    assert [op.name for op in workload.ops[:3]] == ["same", "same_2", "same_3"]


def test_a_long_chain_of_foreign_operators_is_inferred_in_one_turn(tmp_path):
    scales = {"s": np.float32(0.1), "z": np.uint8(0)}
    parts = [
        node("QLinearAdd", [f"t{i}", "s", "z", "x", "s", "z", "s", "z"], f"t{i + 1}",
             domain="com.microsoft")
        for i in range(600)
    ]  # fmt: skip
    inputs = [info("t0", [1, 4], "uint8"), info("x", [1, 4], "uint8")]
    proto = model(parts, inputs, [info("t600", None, "uint8")], scales)
    before = time.process_time()
    assert len(read_onnx(save(proto, tmp_path)).ops) == 600
    assert time.process_time() - before < 10


@pytest.mark.parametrize("opset", [9999, 0, -5])
def test_opsets_that_do_not_exist(tmp_path, opset):
    (mistake,) = refused(save(one("Relu", [[1, 4]], opset=opset), tmp_path))
    assert (mistake.code, mistake.message) == (
        "W106", f"not a valid network: unknown opset {opset}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("proto", "part"),
    [
        (conv(auto_pad="FOO"), "auto_pad 'FOO'"),
        (conv(auto_pad="SAME_UPPER", pads=[9] * 4), "auto_pad SAME_UPPER together with pads"),
        (conv(auto_pad="SAME_LOWER", pads=[0] * 4), "auto_pad SAME_LOWER together with pads"),
        (conv(auto_pad="VALID", pads=[1] * 4), "auto_pad VALID together with pads"),
        (conv(kernel_shape=[5, 5]), "kernel_shape [5, 5] is not that of its weight, [3, 3]"),
        (one("AveragePool", [[1, 3, 8, 8]], kernel_shape=[9, 9]), "spans 9 along axis 0"),
        (one("MaxPool", [[1, 3, 8, 8]], kernel_shape=[20, 20]), "the padded input only 8"),
        (one("MaxPool", [[1, 3, 8, 8]], kernel_shape=[2, 2], pads=[2] * 4), "exceed the window"),
    ],
)
def test_windows_that_cannot_be(tmp_path, proto, part):
    found = refused(save(proto, tmp_path))
    assert {m.code for m in found} == {"W106"}
    assert "node 'node'" in found[0].message
    assert part in found[0].message


def test_automatic_pads(tmp_path):
    def height(**attributes):
        return read_onnx(save(conv(**attributes), tmp_path)).ops[0].window.out_height

    assert height(auto_pad="SAME_UPPER") == height(auto_pad="SAME_LOWER") == 8
    assert height(auto_pad="VALID", pads=[0] * 4) == height(auto_pad="NOTSET") == 6


def test_a_malformed_foreign_pool(tmp_path):
    n = node("QLinearAveragePool", ["x", "s", "z", "s", "z"], "y", "pool", "com.microsoft",
             kernel_shape=[2, 2], strides=[1], pads=[-1, 0, 0, 0])  # fmt: skip
    consts = {"s": np.float32(1), "z": np.uint8(0)}
    out = [info("y", None, "uint8")]
    proto = model([n], [info("x", [1, 3, 8, 8], "uint8")], out, consts)
    (mistake,) = refused(save(proto, tmp_path))
    assert mistake.code == "W106"
    assert "'pool'" in mistake.message


def quantised(scale, zero=0, weight_scale=0.1, weight_zero=0, axis=0):
    """Quantise - convolution - quantise."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], "xq", "Q"),
        node("DequantizeLinear", ["xq", "s", "z"], "xd", "D"),
        node("DequantizeLinear", ["w", "ws", "wz"], "wd", "DW", axis=axis),
        node("Conv", ["xd", "wd"], "c", "conv"),
        node("QuantizeLinear", ["c", "ys", "z0"], "y", "QY"),
    ]
    constants = {
        "s": np.asarray(scale, np.float32), "z": np.broadcast_to(np.uint8(zero), np.shape(scale)),
        "w": np.ones((4, 3, 3, 3), np.int8), "ws": np.asarray(weight_scale, np.float32),
        "wz": np.broadcast_to(np.int8(weight_zero), np.shape(weight_scale)),
        "ys": np.float32(0.5), "z0": np.uint8(0),
    }  # fmt: skip
    return model(nodes, [info("x", [1, 3, 8, 8])], [info("y", None, "uint8")], constants)


@pytest.mark.parametrize(
    ("scales", "part"),
    [
        ({"scale": 0.0}, "its scale 's' holds zero or a negative number"),
        ({"scale": -0.1}, "its scale 's' holds zero or a negative number"),
        ({"scale": np.nan}, "its scale 's' holds NaN"),
        ({"scale": np.inf}, "its scale 's' holds infinity"),
        ({"scale": np.ones(7)}, "its scale 's' has 7 elements, not 1 or 3"),
        ({"scale": 0.1, "weight_scale": np.ones(3)}, "its scale 'ws' has 3 elements, not 1 or 4"),
        ({"scale": 0.1, "weight_scale": np.array([1, 1, 1, 0])}, "'ws' holds zero"),
    ],
)
def test_scales_that_cannot_be(tmp_path, scales, part):
    found = refused(save(quantised(**scales), tmp_path))
    assert {m.code for m in found} == {"W106"}
    assert any(part in m.message for m in found), [str(m) for m in found]


def test_scales_that_can_be(tmp_path):
    per_channel = quantised(0.1, weight_scale=np.full(4, 0.2))
    assert len(read_onnx(save(per_channel, tmp_path)).ops) == 2
    assert len(read_onnx(save(quantised(1e-45), tmp_path)).ops) == 2


def test_a_scale_and_zero_point_of_different_length(tmp_path):
    proto = quantised(0.1, weight_scale=np.full(4, 0.2))
    keep = [t for t in proto.graph.initializer if t.name != "wz"]
    zero = next(t for t in proto.graph.initializer if t.name == "z0")
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(keep)
    copy = proto.graph.initializer.add()
    copy.CopyFrom(zero)
    copy.name, copy.data_type = "wz", TYPES["int8"]
    (mistake,) = refused(save(proto, tmp_path))
    assert "its zero point 'wz' has 1 elements, its scale 4" in mistake.message


def flawed(value, dtype=np.float32, kind="Conv"):
    w = np.ones((4, 3, 3, 3), dtype)
    w[2, 1, 0, 2] = value
    proto = conv(w=w)
    proto.graph.input[0].type.tensor_type.elem_type = proto.graph.initializer[0].data_type
    return proto


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_weights_that_are_no_numbers(tmp_path, value, word, dtype):
    path = save(flawed(value, dtype), tmp_path)
    (mistake,) = refused(path)
    assert mistake.code == "W106"
    assert f"node 'node' (Conv) is not valid: its constant 'w' holds {word}" in mistake.message


def test_weights_that_are_no_numbers_in_every_kind_of_storage(tmp_path):
    proto = flawed(np.nan)
    tensor = proto.graph.initializer[0]
    numbers = np.frombuffer(tensor.raw_data, np.float32)
    tensor.ClearField("raw_data")
    tensor.float_data.extend(numbers)
    assert refused(save(proto, tmp_path))[0].code == "W106"
    bits = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    tensor.ClearField("float_data")
    tensor.data_type = 16  # BFLOAT16
    proto.graph.input[0].type.tensor_type.elem_type = 16
    tensor.int32_data.extend(int(b) for b in bits)
    assert "holds NaN" in refused(save(proto, tmp_path))[0].message
    tensor.ClearField("int32_data")
    tensor.raw_data = bits.tobytes()
    assert "holds NaN" in refused(save(proto, tmp_path))[0].message
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, text in (("location", "w.bin"), ("offset", "8")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    (tmp_path / "w.bin").write_bytes(bytes(8) + bits.tobytes())
    assert "holds NaN" in refused(save(proto, tmp_path))[0].message
    (tmp_path / "w.bin").write_bytes(bytes(8) + np.ones(108, np.float16).tobytes())
    assert read_onnx(save(proto, tmp_path)).ops


def test_an_attention_mask_may_hold_infinity(tmp_path):
    mask = np.triu(np.full((4, 4), -np.inf, np.float32), 1)
    assert read_onnx(save(one("Add", [[1, 4, 4]], {"mask": mask}), tmp_path)).ops
    assert refused(save(one("Mul", [[1, 4, 4]], {"mask": mask}), tmp_path))[0].code == "W106"
    mask[0, 0] = np.nan
    assert refused(save(one("Add", [[1, 4, 4]], {"mask": mask}), tmp_path))[0].code == "W106"


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "a" * 5000},
        {"location": "a/" * 2500},
        {"offset": "9" * 5000},
        {"offset": "1_0"},
    ],
)
def test_external_data_that_no_file_system_can_hold(tmp_path, entries):
    proto = conv()
    tensor = proto.graph.initializer[0]
    (tmp_path / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, text in {"location": "w.bin", **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    (mistake,) = refused(save(proto, tmp_path))
    assert mistake.code == "W104"
    assert len(mistake.message) < 300


def test_one_constant_as_scale_shift_mean_and_variance(tmp_path):
    proto = one("BatchNormalization", [[1, 3, 4, 4]], {"s": np.ones(3, np.float32)})
    proto.graph.node[0].input.extend(["s", "s", "s"])
    workload = read_onnx(save(proto, tmp_path))
    (op,) = workload.ops
    assert (op.kind, op.weight, op.bias) == (OpKind.BATCH_NORM, "s", None)
    assert workload.weight_bytes == 12


def test_one_weight_of_two_convolutions_is_declared_once(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], "a", "first", pads=[1] * 4),
        node("Conv", ["a", "w"], "y", "second", pads=[1] * 4),
    ]
    proto = model(nodes, [info("x", [1, 3, 8, 8])], ["y"], {"w": weights(3, 3, 3, 3)})
    workload = read_onnx(save(proto, tmp_path))
    assert [op.weight for op in workload.ops] == ["w", "w"]
    assert workload.weight_bytes == 4 * 81


def test_the_check_names_a_constant_held_twice():
    tensors = {
        "x": Tensor("x", (1, 4), "int8", Role.INPUT), "s": Tensor("s", (4,), "int8", Role.WEIGHT),
        "y": Tensor("y", (1, 4), "int8", Role.OUTPUT),
    }  # fmt: skip
    op = Op("norm", OpKind.BATCH_NORM, ("x",), "y", "s", "s", vector_ops=4)
    with pytest.raises(AccelsimError) as caught:
        check_workload(Workload("net", tensors, (op,), ("x",), ("y",)))
    (mistake,) = caught.value.mistakes
    assert mistake.code == "W190"
    assert "'norm' lists 's' as weight and as bias" in mistake.message


def test_bounds_of_a_product():
    assert limits.product_excess(Gemm(2**20, 2**20, 2**20)) is None
    assert "columns" in str(limits.product_excess(Gemm(1, 1, 2**19, 3)))
    assert "depth" in str(limits.product_excess(Gemm(1, 2**20 + 1, 1)))
