"""Builds the networks and the evaluation set that the project ships, byte for byte reproducibly.

    python scripts/build_models.py --source DIR [--root configs]

``DIR`` holds ``models/resnet20_cifar10.npz`` (weights by layer name, see scripts/README.md),
``datasets/cifar10_train5k.npz`` (calibration and profiling), ``datasets/cifar10_test_1000.npz``
(the shipped evaluation set) and, for the printed table only, ``datasets/cifar10_test.npz``.
Nothing of the test images enters a model: calibration and bounds use training images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

Floats = NDArray[np.float32]
Arrays = dict[str, Floats]

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
EPSILON = 1e-5
OPSET = 17
IR_VERSION = 10
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CALIBRATION_IMAGES = 1000
BOUND_IMAGES = 2000
BATCH = 100

QUANTISED_OPS = ["Conv", "Add", "Relu", "Slice", "Pad", "GlobalAveragePool", "Flatten", "Gemm"]


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [n, 3, 32, 32] -> the network's float32 input."""
    scaled = images.astype(np.float32) / np.float32(255)
    return (scaled - MEAN[:, None, None]) / STD[:, None, None]


@dataclass
class Graph:
    """Collects nodes and constants; a node and its output tensor share one name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Adds an initializer."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, name: str, *inputs: str, **attributes: object) -> str:
        """Adds a node; returns the name of its output."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name


def folded(weights: Arrays, conv: str, norm: str) -> tuple[Floats, Floats]:
    """Weight and bias of a convolution with its batch norm folded in (computed in float64)."""
    variance = weights[f"{norm}.running_var"].astype(np.float64)
    scale = weights[f"{norm}.weight"].astype(np.float64) / np.sqrt(variance + EPSILON)
    kernel = weights[f"{conv}.weight"] * scale[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return kernel.astype(np.float32), bias.astype(np.float32)


def add_conv(graph: Graph, weights: Arrays, conv: str, norm: str, source: str, stride: int) -> str:
    """A 3x3 convolution with folded batch norm, padding 1."""
    kernel, bias = folded(weights, conv, norm)
    return graph.node(
        "Conv",
        conv,
        source,
        graph.constant(f"{conv}.weight", kernel),
        graph.constant(f"{conv}.bias", bias),
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=[stride, stride],
    )


def add_shortcut(graph: Graph, block: str, source: str, channels: int) -> str:
    """Option A of He et al. 2015: every second row and column, zero channels on both sides."""
    name = f"{block}.shortcut"
    cut = graph.node(
        "Slice",
        f"{name}.slice",
        source,
        graph.constant(f"{name}.starts", np.array([0, 0], np.int64)),
        graph.constant(f"{name}.ends", np.array([32, 32], np.int64)),
        graph.constant(f"{name}.axes", np.array([2, 3], np.int64)),
        graph.constant(f"{name}.steps", np.array([2, 2], np.int64)),
    )
    margin = channels // 4
    pads = np.array([0, margin, 0, 0, 0, margin, 0, 0], np.int64)
    return graph.node("Pad", f"{name}.pad", cut, graph.constant(f"{name}.pads", pads))


def add_block(graph: Graph, weights: Arrays, block: str, source: str, stride: int) -> str:
    """relu(bn(conv)) - bn(conv) - add shortcut - relu."""
    channels = weights[f"{block}.conv1.weight"].shape[0]
    first = add_conv(graph, weights, f"{block}.conv1", f"{block}.bn1", source, stride)
    first = graph.node("Relu", f"{block}.relu1", first)
    second = add_conv(graph, weights, f"{block}.conv2", f"{block}.bn2", first, 1)
    other = source if stride == 1 else add_shortcut(graph, block, source, channels)
    total = graph.node("Add", f"{block}.add", second, other)
    return graph.node("Relu", f"{block}.relu2", total)


def build_float(weights: Arrays) -> onnx.ModelProto:
    """The float32 ResNet-20 with batch norm folded and a dynamic batch."""
    graph = Graph()
    tensor = add_conv(graph, weights, "conv1", "bn1", "image", 1)
    tensor = graph.node("Relu", "relu1", tensor)
    for stage in (1, 2, 3):
        for index in range(3):
            stride = 2 if stage > 1 and index == 0 else 1
            tensor = add_block(graph, weights, f"layer{stage}.{index}", tensor, stride)
    tensor = graph.node("GlobalAveragePool", "pool", tensor)
    tensor = graph.node("Flatten", "flatten", tensor, axis=1)
    weight = graph.constant("linear.weight", weights["linear.weight"])
    bias = graph.constant("linear.bias", weights["linear.bias"])
    graph.nodes.append(
        helper.make_node("Gemm", [tensor, weight, bias], ["logits"], "linear", transB=1)
    )
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])]
    body = helper.make_graph(graph.nodes, "resnet20_cifar10", inputs, outputs, graph.constants)
    return finish(helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)]))


def finish(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fixed header, only the operator sets in use, inferred shapes; checked in full."""
    model.ir_version = IR_VERSION
    model.producer_name = "accelsim"
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node}
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, v) for d, v in sorted(versions.items()))
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


class Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
    """Batches of normalised training images, in file order."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.batches: Iterator[dict[str, NDArray[np.float32]]] = (
            {"image": normalise(images[start : start + BATCH])}
            for start in range(0, len(images), BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, or None at the end (the interface of the quantiser)."""
        return next(self.batches, None)


def build_int8(model: onnx.ModelProto, training: NDArray[np.uint8]) -> onnx.ModelProto:
    """Static quantisation: int8 weights per output channel, uint8 activations, int32 biases.

    uint8 activations put the zero point of a tensor behind a ReLU at 0, so that the saturation of
    requantisation is the ReLU and no such node remains.
    """
    logging.getLogger().setLevel(logging.ERROR)  # it advises to fold batch norm, which is done
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            Images(training[:CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED_OPS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        quantised = onnx.load(target)
    quantised.graph.name = "resnet20_cifar10_int8"
    return finish(quantised)


def session(model: onnx.ModelProto, dump: Path | None = None) -> ort.InferenceSession:
    """A CPU session; with ``dump`` the optimised graph is written there.

    On processors without VNNI instructions unsigned x signed products may saturate in 16 bits;
    ``session.x64quantprecision`` asks for the exact path.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    if dump is not None:
        options.optimized_model_filepath = str(dump)
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def top1(model: onnx.ModelProto, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> int:
    """Number of right answers."""
    runner = session(model)
    right = 0
    for start in range(0, len(images), BATCH):
        (logits,) = runner.run(None, {"image": normalise(images[start : start + BATCH])})
        right += int((logits.argmax(1) == labels[start : start + BATCH]).sum())
    return right


def relu_bounds(model: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, float]:
    """Largest value of every ReLU output over ``images``."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    del wide.graph.output[:]
    wide.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    runner = session(wide)
    bounds = dict.fromkeys(names, 0.0)
    for start in range(0, len(images), BATCH):
        values = runner.run(names, {"image": normalise(images[start : start + BATCH])})
        for name, value in zip(names, values, strict=True):
            bounds[name] = max(bounds[name], float(value.max()))
    return dict(sorted(bounds.items()))


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """Operator histogram of the graph that the runtime executes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optimised.onnx")
        session(model, path)
        return dict(sorted(Counter(n.op_type for n in onnx.load(path).graph.node).items()))


def npz_bytes(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """An .npz with LZMA members and fixed timestamps; ``np.load`` reads it."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = BytesIO()
            np.save(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_LZMA
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Writes and prints name, size and sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"{hashlib.sha256(content).hexdigest()}  {len(content):>9}  {path}")


def load(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz by name, or a message on stderr and exit 1."""
    if not path.is_file():
        sys.exit(f"{path}: not found (see scripts/README.md for what --source must hold)")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def report(models: dict[str, onnx.ModelProto], sets: dict[str, dict[str, NDArray[Any]]]) -> None:
    """Prints the accuracy of each model on each test set, and what the runtime executes."""
    print(f"\n{'model':<24}" + "".join(f"{'top-1 of ' + name:>18}" for name in sets))
    for name, model in models.items():
        rates = [top1(model, s["images"], s["labels"]) / len(s["labels"]) for s in sets.values()]
        print(f"{name:<24}" + "".join(f"{100 * rate:>16.2f} %" for rate in rates))
    for name, model in models.items():
        print(f"\n{name}: operators executed\n  {operators(model)}")


def main() -> None:
    """Builds everything below ``--root``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="folder with models/, datasets/")
    parser.add_argument("--root", type=Path, default=Path("configs"), help="output folder")
    arguments = parser.parse_args()
    source: Path = arguments.source
    root: Path = arguments.root

    weights = load(source / "models/resnet20_cifar10.npz")
    training = load(source / "datasets/cifar10_train5k.npz")["images"]
    evaluation = load(source / "datasets/cifar10_test_1000.npz")
    arrays = {
        "images": np.ascontiguousarray(evaluation["images"].transpose(0, 3, 1, 2)),
        "labels": evaluation["labels"],
        "label_names": np.array(LABELS),
    }

    exact = build_float(weights)
    int8 = build_int8(exact, training)
    bounds = relu_bounds(exact, training[:BOUND_IMAGES])

    models, data = root / "models", root / "data"
    write(models / "resnet20_cifar10.onnx", exact.SerializeToString(deterministic=True))
    write(models / "resnet20_cifar10_int8.onnx", int8.SerializeToString(deterministic=True))
    text = json.dumps(bounds, indent=1, sort_keys=True) + "\n"
    write(models / "resnet20_cifar10_bounds.json", text.encode())
    write(data / "cifar10_eval_1000.npz", npz_bytes(arrays))
    sets = {"1,000": arrays}
    whole = source / "datasets/cifar10_test.npz"
    if whole.is_file():
        sets["10,000"] = load(whole)
    report({"resnet20_cifar10": exact, "resnet20_cifar10_int8": int8}, sets)


if __name__ == "__main__":
    main()
