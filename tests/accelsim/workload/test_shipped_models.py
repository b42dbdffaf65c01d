"""The networks and data under configs: what they are, and that the reader says so."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from accelsim.workload import OpKind, Role, read_onnx

CONFIGS = Path(__file__).parents[3] / "configs"
MODELS = CONFIGS / "models"
FLOAT, INT8 = MODELS / "resnet20_cifar10.onnx", MODELS / "resnet20_cifar10_int8.onnx"

# Stage by stage: 3x3 kernels, image sides 32, 16, 8, widths 16, 32, 64.
CONV_MACS = (
    32 * 32 * 9 * (3 * 16 + 6 * 16 * 16)
    + 16 * 16 * 9 * (16 * 32 + 5 * 32 * 32)
    + 8 * 8 * 9 * (32 * 64 + 5 * 64 * 64)
)
EXPECTED = {"conv": 19, "add": 9, "slice": 2, "pad": 2, "global_average_pool": 1, "matmul": 1}


@pytest.fixture(scope="module")
def evaluation():
    with np.load(CONFIGS / "data/cifar10_eval_1000.npz", allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def test_float_network():
    workload = read_onnx(FLOAT)
    assert CONV_MACS == 40_550_400
    assert sum(op.macs for op in workload.ops if op.kind is OpKind.CONV) == CONV_MACS
    assert workload.macs == CONV_MACS + 640
    assert Counter(op.kind.value for op in workload.ops) == EXPECTED
    # 267,696 kernel weights, 688 folded biases, 640 + 10 of the last layer
    assert workload.weight_bytes == 4 * (267_696 + 688 + 640 + 10)
    assert (workload.inputs, workload.outputs) == (("image",), ("logits",))
    assert workload.tensors["layer1.0.relu1"].shape == (1, 16, 32, 32)
    assert workload.ops[0].fused == ("Relu",)
    assert read_onnx(FLOAT, batch=4).macs == 4 * workload.macs


def test_integer_network():
    workload = read_onnx(INT8)
    assert Counter(op.kind.value for op in workload.ops) == {**EXPECTED, "quantize": 1}
    assert workload.ops[0].kind is OpKind.QUANTIZE
    assert workload.macs == CONV_MACS + 640
    types = {(t.dtype, t.role) for t in workload.tensors.values()}
    assert types == {
        ("float32", Role.INPUT), ("uint8", Role.ACTIVATION), ("uint8", Role.OUTPUT),
        ("int8", Role.WEIGHT), ("int32", Role.BIAS),
    }  # fmt: skip
    assert workload.weight_bytes == 267_696 + 640 + 4 * (688 + 10)
    assert workload.outputs == ("logits_QuantizeLinear_Output",)
    file = {tensor.name: tensor for tensor in onnx.load(INT8).graph.initializer}
    for op in workload.ops:
        if op.gemm is not None:
            assert tuple(file[op.weight].dims) == workload.tensors[op.weight].shape
            assert file[op.bias].data_type == onnx.TensorProto.INT32
            assert op.fused[-1] == "QuantizeLinear"
    assert workload.aliases["logits"] == workload.outputs[0]


def test_same_file_same_workload():
    assert repr(read_onnx(INT8)) == repr(read_onnx(INT8))


def normalise(images):
    mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
    std = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def session(path, dump=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1")
    if dump:
        options.optimized_model_filepath = str(dump)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def test_accuracy_on_200_images(evaluation):
    images, labels = normalise(evaluation["images"][:200]), evaluation["labels"][:200]
    exact = session(FLOAT).run(None, {"image": images})[0].argmax(1)
    integer = session(INT8).run(None, {"image": images})[0].argmax(1)
    assert (exact == labels).mean() > 0.88
    assert (integer == labels).mean() > 0.88
    assert (exact == integer).mean() > 0.95


def test_runtime_executes_integer_operators(tmp_path):
    session(INT8, tmp_path / "optimised.onnx")
    kinds = Counter(n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["QLinearConv"] == 19
    assert kinds["QLinearAdd"] == 9
    assert not kinds["Conv"] + kinds["Add"] + kinds["Gemm"]


def test_bounds_cover_relu_outputs(evaluation):
    bounds = json.loads((MODELS / "resnet20_cifar10_bounds.json").read_text())
    model = onnx.load(FLOAT)
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    assert sorted(bounds) == sorted(relus)
    assert len(bounds) == 19
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("layer3.2.relu2", onnx.TensorProto.FLOAT, None)
    )
    runner = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = normalise(evaluation["images"][:20])
    value = runner.run(["layer3.2.relu2"], {"image": images})[0].max()
    assert 0.3 * bounds["layer3.2.relu2"] < value < 1.5 * bounds["layer3.2.relu2"]


def test_evaluation_set(evaluation):
    path = CONFIGS / "data/cifar10_eval_1000.npz"
    assert path.stat().st_size < 3_000_000
    assert evaluation["images"].shape == (1000, 3, 32, 32)
    assert evaluation["images"].dtype == evaluation["labels"].dtype == np.uint8
    assert evaluation["label_names"][3] == "cat"
    assert (np.bincount(evaluation["labels"], minlength=10) == 100).all()
    assert (evaluation["labels"][:10] == evaluation["labels"][10:20]).all()
    assert len({hashlib.sha256(image.tobytes()).digest() for image in evaluation["images"]}) == 1000
