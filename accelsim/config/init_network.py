"""The small int8 network and its images that ``accelsim init`` writes.

Three convolutions and a classifier with seeded random weights, quantised by hand to QDQ form
(uint8 activations, int8 weights per channel, int32 biases) at the ranges its own images give.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE, CLASSES, IMAGES = 16, 4, 96
_LAYERS = ((3, 8, 1), (8, 16, 2), (16, 16, 2))
"""(input channels, output channels, stride) of the 3 x 3 convolutions."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Layer:
    """Float weights [out, in, 3, 3] (or [classes, features]) and what quantises them."""

    weight: Floats
    bias: Floats
    stride: int
    out_scale: float
    out_zero: int


def _pictures() -> NDArray[np.uint8]:
    """Images [n, 3, 16, 16]: waves of random direction, length and colour, with noise."""
    draw = np.random.Generator(np.random.Philox(20))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle, length, phase = draw.random((3, IMAGES, 1, 1)) * [[[[3.14]]], [[[4.0]]], [[[6.28]]]]
    wave = np.sin(6.28 * (1 + length) * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    colour = draw.random((IMAGES, 3, 1, 1))
    noise = draw.random((IMAGES, 3, SIDE, SIDE)) - 0.5
    value = 128 + 90 * colour * wave[:, None] + 40 * (colour - 0.5) + 30 * noise
    pictures: NDArray[np.uint8] = np.clip(np.rint(value), 0, 255).astype(np.uint8)
    return pictures


def _normalised() -> NDArray[np.float32]:
    return ((_pictures() / np.float32(255) - np.float32(0.5)) / np.float32(0.25)).astype(np.float32)


def _convolve(images: Floats, weight: Floats, bias: Floats, stride: int) -> Floats:
    """3 x 3 convolution with padding 1, then ReLU; [n, c, h, w] to [n, o, h', w']."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    product = np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True)
    positive: Floats = np.maximum(product + bias[:, None, None], 0.0)
    return positive


@cache
def _layers() -> tuple[_Layer, ...]:
    """The convolutions and the classifier; the classifier's bias balances the classes."""
    draw = np.random.Generator(np.random.Philox(21))
    values = _normalised().astype(np.float64)
    layers = []
    for inputs, outputs, stride in _LAYERS:
        weight = (draw.random((outputs, inputs, 3, 3)) - 0.5) * np.sqrt(12 * 2 / (inputs * 9))
        bias = (draw.random(outputs) - 0.5) * 0.2
        values = _convolve(values, weight, bias, stride)
        layers.append(_Layer(weight, bias, stride, float(values.max()) / 255, 0))
    features = values.mean(axis=(2, 3))
    weight = (draw.random((CLASSES, _LAYERS[-1][1])) - 0.5) / features.std(axis=0)
    logits = features @ weight.T
    bias = -np.median(logits, axis=0)
    logits = logits + bias
    scale = float(logits.max() - logits.min()) / 255
    layers.append(_Layer(weight, bias, 1, scale, round(-float(logits.min()) / scale)))
    return tuple(layers)


class _Graph:
    """Nodes and initializers of the network as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Add a node; its output is called as the node."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def quantised(self, tensor: str, name: str, scale: float, zero: int) -> str:
        """Quantise a float tensor to uint8 ``name`` and return it dequantised."""
        grid = [
            self.constant(f"{name}_scale", np.array(scale, np.float32)),
            self.constant(f"{name}_zero", np.array(zero, np.uint8)),
        ]
        self.node("QuantizeLinear", [tensor, *grid], name)
        return self.node("DequantizeLinear", [name, *grid], f"{name}_float")

    def parameters(self, layer: _Layer, name: str, in_scale: float) -> list[str]:
        """Weight (int8, per output channel) and bias (int32) of a layer, dequantised."""
        axes = tuple(range(1, layer.weight.ndim))
        scales = (np.abs(layer.weight).max(axis=axes) / 127).astype(np.float32)
        shaped = scales.astype(np.float64).reshape(-1, *[1] * len(axes))
        weight = np.clip(np.rint(layer.weight / shaped), -127, 127).astype(np.int8)
        bias_scales = (scales * np.float32(in_scale)).astype(np.float32)
        bias = np.rint(layer.bias / bias_scales.astype(np.float64)).astype(np.int32)
        made = []
        for part, value, scale in (("weight", weight, scales), ("bias", bias, bias_scales)):
            inputs = [
                self.constant(f"{name}.{part}", value),
                self.constant(f"{name}.{part}_scale", scale),
                self.constant(f"{name}.{part}_zero", np.zeros(len(scale), value.dtype)),
            ]
            made.append(self.node("DequantizeLinear", inputs, f"{name}.{part}_float", axis=0))
        return made


@cache
def network_onnx() -> bytes:
    """The network: input ``image`` [batch, 3, 16, 16] float32, output ``logits`` [batch, 4]."""
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    in_scale = 4.0 / 255  # normalised images lie in [-2, 2]
    value = graph.quantised("image", "image_q", in_scale, 128)
    *convolutions, classifier = _layers()
    for index, layer in enumerate(convolutions, 1):
        name = f"conv{index}"
        inputs = [value, *graph.parameters(layer, name, in_scale)]
        strides = [layer.stride] * 2
        graph.node("Conv", inputs, name, strides=strides, pads=[1] * 4, kernel_shape=[3, 3])
        graph.node("Relu", [name], f"relu{index}")
        value = graph.quantised(f"relu{index}", f"relu{index}_q", layer.out_scale, layer.out_zero)
        in_scale = layer.out_scale
    graph.node("GlobalAveragePool", [value], "pool")
    value = graph.quantised("pool", "pool_q", in_scale, 0)
    graph.node("Flatten", [value], "features")
    value = graph.quantised("features", "features_q", in_scale, 0)
    inputs = [value, *graph.parameters(classifier, "classifier", in_scale)]
    graph.node("Gemm", inputs, "classifier", transB=1)
    last = graph.quantised("classifier", "logits_q", classifier.out_scale, classifier.out_zero)
    graph.nodes[-1].output[0] = "logits"
    assert last == "logits_q_float", "the last node is renamed to the graph's output"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    made = helper.make_graph(graph.nodes, "tiny", [image], [logits], graph.constants)
    model = helper.make_model(
        made, ir_version=10, opset_imports=[helper.make_opsetid("", 17)], producer_name="accelsim"
    )
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def images_npz() -> bytes:
    """``images`` uint8 [96, 3, 16, 16] and ``labels`` uint8 [96]: the network's own answers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        network_onnx(), options, providers=["CPUExecutionProvider"]
    )
    logits = session.run(None, {"image": _normalised()})[0]
    return _npz({"images": _pictures(), "labels": logits.argmax(axis=1).astype(np.uint8)})


def _npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    """An npz file with fixed time stamps, so that equal arrays make equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()
