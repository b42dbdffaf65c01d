"""Tiny ONNX files for the reader's tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    "float32": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int64": TensorProto.INT64,
}


def node(kind, inputs, outputs, name="", domain="", **attributes):
    """A node; one output may be given as text."""
    outs = [outputs] if isinstance(outputs, str) else list(outputs)
    return helper.make_node(kind, list(inputs), outs, name, domain=domain, **attributes)


def info(name, shape, dtype="float32"):
    """A typed graph input or output; shape None leaves it open."""
    return helper.make_tensor_value_info(name, TYPES[dtype], shape)


def model(nodes, inputs, outputs, constants=None, opset=17, value_info=()):
    """A ModelProto. ``outputs``: names (float32, shape open) or typed infos."""
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    outs = [info(o, None) if isinstance(o, str) else o for o in outputs]
    graph = helper.make_graph(
        list(nodes), "tiny", list(inputs), outs, tensors, value_info=list(value_info)
    )
    domains = sorted({n.domain for n in nodes} - {""})
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def save(proto, folder: Path, name="tiny.onnx") -> Path:
    """Writes the file and returns its path."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def one(kind, shapes: Sequence[Sequence[int]], constants=None, opset=17, **attributes):
    """A network of one node: activations x0, x1, ... then the constants, in order."""
    constants = constants or {}
    names = [f"x{i}" for i in range(len(shapes))]
    inputs = [info(name, list(shape)) for name, shape in zip(names, shapes, strict=True)]
    n = node(kind, [*names, *constants], "y", "node", **attributes)
    return model([n], inputs, ["y"], constants, opset)


def weights(*shape):
    """Fixed float32 numbers."""
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32).reshape(shape) - count / 2) / max(count, 1)


def qdq(name, scale=0.1, zero=0, dtype=np.uint8):
    """Quantize and Dequantize of tensor ``name``, and their constants: (nodes, constants)."""
    consts = {f"{name}.s": np.float32(scale), f"{name}.z": dtype(zero)}
    params = [f"{name}.s", f"{name}.z"]
    return [
        node("QuantizeLinear", [name, *params], f"{name}.q", f"{name}.Q"),
        node("DequantizeLinear", [f"{name}.q", *params], f"{name}.d", f"{name}.D"),
    ], consts


__all__ = ["info", "model", "node", "one", "onnx", "qdq", "save", "weights"]
