"""Small networks and image sets for the fault-engine tests, built from seeded numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from faults.data import EvalSet

ROOT = Path(__file__).resolve().parents[2]
RESNET_INT8 = ROOT / "configs" / "models" / "resnet20_cifar10_int8.onnx"
RESNET_FLOAT = ROOT / "configs" / "models" / "resnet20_cifar10.onnx"
CIFAR = ROOT / "configs" / "data" / "cifar10_eval_1000.npz"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class QdqBuilder:
    """Writes a QDQ graph: quantised tensors between all operators."""

    def __init__(self, seed: int, act: str = "uint8") -> None:
        self.rng = np.random.default_rng(seed)
        self.act = act
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def quantise(self, tensor: str, scale: float, zero: int) -> str:
        """QuantizeLinear and DequantizeLinear; returns the dequantised name."""
        s = self.constant(f"{tensor}_s", np.float32(scale))
        z = self.constant(f"{tensor}_z", np.array(zero, self.act))
        self.node("QuantizeLinear", [tensor, s, z], f"{tensor}_q")
        return self.node("DequantizeLinear", [f"{tensor}_q", s, z], f"{tensor}_d")

    def weight(self, name: str, shape: tuple[int, ...], axis: int) -> tuple[str, Any]:
        """An int8 weight with a scale per output channel; returns its dequantised name, scales."""
        scales = self.rng.uniform(0.005, 0.02, shape[axis]).astype(np.float32)
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        w = self.constant(f"{name}_w", values)
        s = self.constant(f"{name}_ws", scales)
        z = self.constant(f"{name}_wz", np.zeros(shape[axis], np.int8))
        return self.node("DequantizeLinear", [w, s, z], f"{name}_wd", axis=axis), scales

    def bias(self, name: str, scales: Any, channels: int) -> str:
        values = self.rng.integers(-3000, 3000, channels).astype(np.int32)
        b = self.constant(f"{name}_b", values)
        s = self.constant(f"{name}_bs", scales.astype(np.float32))
        z = self.constant(f"{name}_bz", np.zeros(channels, np.int32))
        return self.node("DequantizeLinear", [b, s, z], f"{name}_bd", axis=0)

    def model(self, shape: tuple[int, ...], output: str, classes: int) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", classes])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        onnx.checker.check_model(model)
        return model


def tiny_int8(seed: int = 0, act: str = "uint8", relu: bool = True) -> Any:
    """Strided, grouped, dilated and residual 8-bit convolutions, pooling and a matrix product.

    Tensors: image_q, c1_q (or r1_q behind a Relu), dw_q (depthwise), c2_q, sum_q, pool_q, logits_q.
    """
    b = QdqBuilder(seed, act)
    low = 0 if act == "uint8" else -128
    x = b.quantise("image", 0.02, low + 128)
    w, s = b.weight("c1", (6, 3, 3, 3), 0)
    bias = b.bias("c1", s * np.float32(0.02), 6)
    b.node("Conv", [x, w, bias], "c1", kernel_shape=[3, 3], pads=[1, 1, 0, 1], strides=[2, 1])
    first = b.node("Relu", ["c1"], "r1") if relu else "c1"
    x1 = b.quantise(first, 0.05, low if relu else low + 100)
    w, s = b.weight("dw", (6, 1, 3, 3), 0)
    b.node("Conv", [x1, w], "dw", kernel_shape=[3, 3], pads=[2] * 4, dilations=[2, 2], group=6)
    x2 = b.quantise("dw", 0.03, low + 120)
    w, s = b.weight("c2", (6, 6, 1, 1), 0)
    bias = b.bias("c2", s * np.float32(0.03), 6)
    b.node("Conv", [x2, w, bias], "c2", kernel_shape=[1, 1])
    x3 = b.quantise("c2", 0.06, low + 110)
    b.node("Add", [x3, x1], "sum")
    x4 = b.quantise("sum", 0.08, low + 90)
    b.node("GlobalAveragePool", [x4], "pool")
    x5 = b.quantise("pool", 0.04, low + 60)
    b.node("Flatten", [x5], "flat", axis=1)
    x6 = b.quantise("flat", 0.04, low + 60)
    w, s = b.weight("fc", (6, 5), 1)
    bias = b.bias("fc", s * np.float32(0.04), 5)
    b.node("Gemm", [x6, w, bias], "logits")
    return b.model((3, 8, 7), b.quantise("logits", 0.02, low + 128), 5)


def tiny_float(seed: int = 1) -> Any:
    """Two float32 convolutions with Relus, pooling and a matrix product; Pad is no weight."""
    rng = np.random.default_rng(seed)
    constants, nodes = [], []

    def constant(name: str, shape: tuple[int, ...]) -> str:
        values = rng.normal(0, 0.4, shape).astype(np.float32)
        constants.append(numpy_helper.from_array(values, name))
        return name

    constants.append(numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "pads"))
    constants.append(numpy_helper.from_array(np.float32(0), "padding"))
    nodes.append(helper.make_node("Pad", ["image", "pads", "padding"], ["padded"]))
    for i, (source, channels) in enumerate((("padded", 3), ("r0", 8))):
        inputs = [source, constant(f"w{i}", (8, channels, 3, 3)), constant(f"b{i}", (8,))]
        nodes.append(helper.make_node("Conv", inputs, [f"c{i}"], kernel_shape=[3, 3]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
    nodes.append(helper.make_node("GlobalAveragePool", ["r1"], ["pool"]))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"]))
    inputs = ["flat", constant("fw", (5, 8)), constant("fb", (5,))]
    nodes.append(helper.make_node("Gemm", inputs, ["logits"], transB=1))
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 7])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def tiny_data(count: int = 24, seed: int = 2) -> EvalSet:
    """Random images of the tiny networks' shape, random labels below 5."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 1, (count, 3, 8, 7)).astype(np.float32)
    return EvalSet(images, rng.integers(0, 5, count))
