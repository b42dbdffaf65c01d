"""Tiny TensorFlow Lite files for the reader's tests, written with the schema's own builders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

SAME, VALID = 0, 1
RELU = 1


@dataclass
class T:
    """A tensor: a constant when it has data."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    data: Any = None
    signature: tuple[int, ...] | None = None
    variable: bool = False


@dataclass
class N:
    """An operator over tensor names; ``options``: table name and fields."""

    code: str
    inputs: list[str]
    outputs: list[str]
    options: tuple[str, dict[str, int]] | None = None
    custom: str = ""


@dataclass
class Net:
    """A file under construction."""

    tensors: list[T]
    ops: list[N]
    inputs: list[str]
    outputs: list[str]
    version: int = 3
    extra: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, name: str = "tiny.tflite") -> Path:
        path = folder / name
        path.write_bytes(self.bytes())
        return path

    def bytes(self) -> bytes:
        b = flatbuffers.Builder(1024)
        buffers = [_buffer(b, None)]
        tensors = []
        for tensor in self.tensors:
            number = 0
            if tensor.data is not None:
                number = len(buffers)
                buffers.append(_buffer(b, np.ascontiguousarray(tensor.data)))
            tensors.append(_tensor(b, tensor, number))
        names = [t.name for t in self.tensors]
        codes = list(dict.fromkeys((o.code, o.custom) for o in self.ops))
        operators = [_operator(b, o, codes, names) for o in self.ops]
        graph = _graph(b, tensors, operators, self.inputs, self.outputs, names)
        code_tables = [_code(b, *code) for code in codes]
        parts = [
            _vector(b, tflite.ModelStartOperatorCodesVector, code_tables),
            _vector(b, tflite.ModelStartSubgraphsVector, [graph]),
            _vector(b, tflite.ModelStartBuffersVector, buffers),
        ]
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, self.version)
        tflite.ModelAddOperatorCodes(b, parts[0])
        tflite.ModelAddSubgraphs(b, parts[1])
        tflite.ModelAddBuffers(b, parts[2])
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())


def _vector(b, start, items):
    start(b, len(items))
    for item in reversed(items):
        b.PrependUOffsetTRelative(item)
    return b.EndVector()


def _ints(b, start, numbers):
    start(b, len(numbers))
    for number in reversed(numbers):
        b.PrependInt32(number)
    return b.EndVector()


def _buffer(b, data):
    held = b.CreateNumpyVector(data.view(np.uint8).ravel()) if data is not None else None
    tflite.BufferStart(b)
    if held is not None:
        tflite.BufferAddData(b, held)
    return tflite.BufferEnd(b)


def _tensor(b, tensor, number):
    name = b.CreateString(tensor.name)
    shape = _ints(b, tflite.TensorStartShapeVector, tensor.shape)
    open_ = tensor.signature
    signature = _ints(b, tflite.TensorStartShapeSignatureVector, open_) if open_ else None
    tflite.TensorStart(b)
    tflite.TensorAddName(b, name)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, getattr(tflite.TensorType, tensor.dtype.upper()))
    tflite.TensorAddBuffer(b, number)
    if signature is not None:
        tflite.TensorAddShapeSignature(b, signature)
    tflite.TensorAddIsVariable(b, tensor.variable)
    return tflite.TensorEnd(b)


def _operator(b, op, codes, names):
    index = [names.index(name) if name else -1 for name in op.inputs]
    inputs = _ints(b, tflite.OperatorStartInputsVector, index)
    outputs = _ints(b, tflite.OperatorStartOutputsVector, [names.index(n) for n in op.outputs])
    table = None
    if op.options:
        kind, fields = op.options
        prefix = kind.removesuffix("Options")
        texts = {k: b.CreateString(v) for k, v in fields.items() if isinstance(v, str)}
        getattr(tflite, f"{prefix}OptionsStart")(b)
        for key, value in fields.items():
            getattr(tflite, f"{prefix}OptionsAdd{key}")(b, texts.get(key, value))
        table = getattr(tflite, f"{prefix}OptionsEnd")(b)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, codes.index((op.code, op.custom)))
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, op.options[0]))
        tflite.OperatorAddBuiltinOptions(b, table)
    return tflite.OperatorEnd(b)


def _code(b, code, custom):
    text = b.CreateString(custom) if custom else None
    number = getattr(tflite.BuiltinOperator, code)
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(b, number)
    if text is not None:
        tflite.OperatorCodeAddCustomCode(b, text)
    return tflite.OperatorCodeEnd(b)


def _graph(b, tensors, operators, inputs, outputs, names):
    parts = [
        _vector(b, tflite.SubGraphStartTensorsVector, tensors),
        _vector(b, tflite.SubGraphStartOperatorsVector, operators),
        _ints(b, tflite.SubGraphStartInputsVector, [names.index(n) for n in inputs]),
        _ints(b, tflite.SubGraphStartOutputsVector, [names.index(n) for n in outputs]),
    ]
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, parts[0])
    tflite.SubGraphAddOperators(b, parts[1])
    tflite.SubGraphAddInputs(b, parts[2])
    tflite.SubGraphAddOutputs(b, parts[3])
    return tflite.SubGraphEnd(b)


def one(code, shapes, out, constants=(), options=None, dtype="int8", **kwargs):
    """A network of one operator: inputs x0, x1, ..., then constants (arrays), output y."""
    tensors = [T(f"x{i}", tuple(s), dtype) for i, s in enumerate(shapes)]
    names = [t.name for t in tensors]
    order = list(names)
    for position, array in enumerate(constants):
        array = np.asarray(array)
        tensors.append(T(f"c{position}", array.shape, str(array.dtype), array))
        order.append(f"c{position}")
    tensors.append(T("y", tuple(out), kwargs.pop("out_dtype", dtype)))
    order = kwargs.pop("order", order)
    return Net(tensors, [N(code, order, ["y"], options, **kwargs)], names, ["y"])


def zeros(*shape, dtype=np.int8):
    """A constant."""
    return np.zeros(shape, dtype)


def conv_net(size=(8, 8), filters=4, kernel=3, channels=3, stride=1, padding=SAME, act=RELU, **k):
    """One int8 convolution with a bias."""
    out = [
        -(-s // stride) if padding == SAME else (s - kernel) // stride + 1 for s in size
    ]  # fmt: skip
    options = {
        "StrideH": stride, "StrideW": stride, "Padding": padding, "FusedActivationFunction": act,
    } | k  # fmt: skip
    constants = (zeros(filters, kernel, kernel, channels), zeros(filters, dtype=np.int32))
    return one(
        "CONV_2D", [(1, *size, channels)], (1, *out, filters), constants,
        ("Conv2DOptions", options),
    )  # fmt: skip
