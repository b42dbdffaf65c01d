"""Small networks and image sets for the fault-engine tests, built from seeded numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from faults.data import EvalSet
from faults.network import Network
from faults.plan import Target
from faults.sites import Upset
from faults.trust import Sites, establish_trust
from faults.upsets import Runner

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
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
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


def tiny_qoperator(seed: int = 0, act: str = "uint8", weight: str = "int8") -> Any:
    """The QOperator form: strided and residual convolutions, pooling, QGemm and QLinearMatMul.

    Tensors: image_q, c1_q, c2_q, sum_q, pool_q, flat_q, fc_q, logits_q.
    """
    b = QdqBuilder(seed, act)
    low = 0 if act == "uint8" else -128
    private = {"domain": "com.microsoft"}

    def scale(name: str, value: float, zero: int) -> list[str]:
        b.constant(f"{name}_s", np.float32(value))
        b.constant(f"{name}_z", np.array(low + zero, act))
        return [f"{name}_s", f"{name}_z"]

    def weights(name: str, shape: tuple[int, ...], channels: int) -> list[str]:
        kind = np.iinfo(weight)
        zero = 0 if weight == "int8" else 120
        b.constant(f"{name}_w", b.rng.integers(kind.min, kind.max + 1, shape).astype(weight))
        b.constant(f"{name}_ws", b.rng.uniform(0.005, 0.02, channels).astype(np.float32))
        b.constant(f"{name}_wz", np.full(channels, zero, weight))
        return [f"{name}_w", f"{name}_ws", f"{name}_wz"]

    def bias(name: str, channels: int) -> str:
        return b.constant(f"{name}_b", b.rng.integers(-3000, 3000, channels).astype(np.int32))

    image, c1, c2 = scale("image", 0.02, 128), scale("c1", 0.05, 0), scale("c2", 0.06, 110)
    total, pool, fc = scale("sum", 0.08, 90), scale("pool", 0.04, 60), scale("fc", 0.05, 110)
    logits = scale("logits", 0.05, 128)
    b.node("QuantizeLinear", ["image", *image], "image_q")
    b.node(
        "QLinearConv",
        ["image_q", *image, *weights("c1", (6, 3, 3, 3), 6), *c1, bias("c1", 6)],
        "c1_q",
        kernel_shape=[3, 3],
        pads=[1, 1, 0, 1],
        strides=[2, 1],
    )
    b.node(
        "QLinearConv",
        ["c1_q", *c1, *weights("c2", (6, 3, 3, 3), 6), *c2],
        "c2_q",
        kernel_shape=[3, 3],
        pads=[1] * 4,
        group=2,
    )
    b.node("QLinearAdd", ["c2_q", *c2, "c1_q", *c1, *total], "sum_q", **private)
    b.node("QLinearGlobalAveragePool", ["sum_q", *total, *pool], "pool_q", **private)
    b.node("Flatten", ["pool_q"], "flat_q", axis=1)
    b.node(
        "QGemm",
        ["flat_q", *pool, *weights("fc", (7, 6), 7), bias("fc", 7), *fc],
        "fc_q",
        transB=1,
        **private,
    )
    b.node("QLinearMatMul", ["fc_q", *fc, *weights("mm", (7, 5), 5), *logits], "logits_q")
    b.node("DequantizeLinear", ["logits_q", *logits], "logits")
    return b.model((3, 8, 7), "logits", 5)


def tiny_float(seed: int = 1, residual: bool = False) -> Any:
    """Two float32 convolutions with Relus, pooling and a matrix product; Pad is no weight.

    ``residual``: the first Relu is added to the second convolution.
    """
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
        bypassed = residual and i == 1
        pads = [1 if bypassed else 0] * 4
        nodes.append(helper.make_node("Conv", inputs, [f"c{i}"], kernel_shape=[3, 3], pads=pads))
        if bypassed:
            nodes.append(helper.make_node("Add", ["c1", "r0"], ["sum"]))
        nodes.append(helper.make_node("Relu", ["sum" if bypassed else f"c{i}"], [f"r{i}"]))
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


def targets_of(network: Network) -> tuple[Target, ...]:
    """Every layer's weight, bias and accumulators, and every activation, with some exposure."""
    found = []
    for i, la in enumerate(network.layers):
        found.append(Target("mem.weight", "weight", la.weight_name, 50 + i))
        found.append(Target("acc", "accumulator", la.output, 40 + i))
        if la.bias_name is not None:
            found.append(Target("mem.bias", "bias", la.bias_name, 10 + i))
    cuts = (network.input, *network.graph.quantised)
    found += [Target("mem.activation", "activation", t, 30) for t in cuts]
    return tuple(found)


def every_kind(network: Network, data: EvalSet, images: int, per_target: int, seed: int) -> Any:
    """(runner, faults): random faults in every target, the highest bit always among them."""
    targets = targets_of(network)
    sites = Sites(network)
    trust = establish_trust(network, data, [c for c in map(sites.cut, targets) if c])
    space = sites.populations(targets)
    runner = Runner(network, data, network.run(data.images), trust)
    rng = np.random.default_rng(seed)
    drawn = []
    for target in targets:
        room = space[target.kind, target.tensor]
        for repeat in range(per_target):
            bit = int(rng.integers(room.bits)) if repeat else room.bits - 1
            chosen = np.sort(rng.choice(len(data), images, replace=False))
            drawn.append(Upset(0, target, int(rng.integers(room.elements)), bit, chosen))
    return runner, drawn
