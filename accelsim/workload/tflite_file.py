"""From a path to the plain records of a TensorFlow Lite file.

A flatbuffer is a web of offsets that Python's runtime follows as they stand, so nothing here
believes them: every vector's length is compared with the file before it is walked, and whatever
leads outside the file ends as W101. The schema comes from the ``tflite`` package (the extra
``accelsim[tflite]``), imported when a file is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.graph import BITS
from accelsim.workload.limits import MAX_NODES, MAX_RANK
from accelsim.workload.tflite_types import TfNet, TfOp, TfTensor

MAX_BYTES = 2 * 1024**3
"""Largest file, in bytes (offsets of a flatbuffer are 32 bits wide)."""

MAX_TENSORS = 2**16
"""Tensors of the main subgraph."""

MAX_OPERAND_SLOTS = 2**18
"""Operands of all operators together."""

MAX_NAME = 4096
"""Bytes of a tensor's name."""

KEPT_ELEMENTS = 1024
"""Constants up to this many elements keep their values (shapes, axes, paddings)."""

MAGIC = b"TFL3"
"""File identifier, at byte 4."""

_DAMAGED = (struct.error, IndexError, ValueError, TypeError, OverflowError, UnicodeDecodeError)
"""What the flatbuffer runtime raises when an offset leads astray."""

_ACTIVATED = ("FusedActivationFunction",)
_STRIDES = ("StrideH", "StrideW", "Padding", *_ACTIVATED)
_DILATED = (*_STRIDES, "DilationHFactor", "DilationWFactor")
_POOL = ("Pool2DOptions", (*_STRIDES, "FilterHeight", "FilterWidth"))
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", _DILATED),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _DILATED),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _STRIDES),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("WeightsFormat", *_ACTIVATED)),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": ("UnidirectionalSequenceLSTMOptions", ("TimeMajor",)),
    "SVDF": ("SVDFOptions", ("Rank", *_ACTIVATED)),
    "CONCATENATION": ("ConcatenationOptions", _ACTIVATED),
    "L2_NORMALIZATION": ("L2NormOptions", _ACTIVATED),
    "ADD": ("AddOptions", _ACTIVATED),
    "SUB": ("SubOptions", _ACTIVATED),
    "MUL": ("MulOptions", _ACTIVATED),
    "DIV": ("DivOptions", _ACTIVATED),
    "VAR_HANDLE": ("VarHandleOptions", ("Container", "SharedName")),
}
"""Operator -> its options table and the fields that matter to a workload."""

_TEXTS = {"Container": 4, "SharedName": 6}
"""Text fields of VarHandleOptions and their slots in the table."""


def load_net(path: Path) -> TfNet:
    """Reads and verifies the main subgraph of ``path``.

    Raises :class:`AccelsimError`: W101 (not a readable TensorFlow Lite file), W105 (a constant
    that is not whole), W106 (contradictory tables), W107 (too many tensors or operators), W108
    (the schema package is not installed).
    """
    content = _read_bounded(path)
    schema = _schema(path)
    try:
        return _Parser(path, content, schema).net()
    except _DAMAGED as error:
        message = f"damaged or cut short: an offset in it leads nowhere ({error})"
        raise _error("W101", path, message, "download or convert it again") from error


def _error(code: str, path: Path, message: str, hint: str = "") -> AccelsimError:
    return AccelsimError(Mistake(code, message, hint, Location(str(path))))


def _read_bounded(path: Path) -> bytes:
    """The bytes of a regular file with the right identifier."""
    hint = "give the path of a .tflite file"
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "no such file"
            raise _error("W101", path, f"cannot read the network: {what}", hint)
        size = path.stat().st_size
        if size > MAX_BYTES:
            message = f"the file has {size} bytes, the limit is {MAX_BYTES} bytes"
            raise _error("W101", path, message)
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read the network: {error.strerror or error}"
        raise _error("W101", path, message, hint) from error
    if content[4:8] != MAGIC:
        found = f"bytes 5 to 8 are {content[4:8]!r}" if len(content) >= 8 else "it is too short"
        raise _error("W101", path, f"not a TensorFlow Lite file: {found}, not {MAGIC!r}", hint)
    return content


def _schema(path: Path) -> ModuleType:
    """The generated schema classes."""
    try:
        import tflite
    except ImportError as error:
        message = "reading TensorFlow Lite files needs the package 'tflite'"
        hint = "install it with: pip install 'accelsim[tflite]'"
        raise _error("W108", path, message, hint) from error
    schema: ModuleType = tflite
    return schema


def _numbers(enumeration: type) -> dict[int, str]:
    """Number -> name of a generated enumeration."""
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


class _Parser:
    """One file under the generated accessors."""

    def __init__(self, path: Path, content: bytes, schema: ModuleType) -> None:
        self.path, self.content, self.schema = path, content, schema
        self.codes = _numbers(schema.BuiltinOperator)
        self.types = _numbers(schema.TensorType)
        self.option_types = _numbers(schema.BuiltinOptions)
        self.slots = 0

    def net(self) -> TfNet:
        """The main subgraph."""
        model = self.schema.Model.GetRootAsModel(self.content, 0)
        if model.Version() != 3:
            raise _error("W101", self.path, f"schema version {model.Version()}; only 3 is known")
        if not self.count(model.SubgraphsLength(), MAX_TENSORS, "subgraphs"):
            raise _error("W101", self.path, "holds no network")
        graph = model.Subgraphs(0)
        tensors = self.tensors(model, graph)
        ops = tuple(self.ops(model, graph, len(tensors)))
        if not ops:
            raise _error("W101", self.path, "holds no operators", "is this really a network?")
        ends = []
        for what, count, item in (
            ("graph inputs", graph.InputsLength(), graph.Inputs),
            ("graph outputs", graph.OutputsLength(), graph.Outputs),
        ):
            ends.append(self.indices(what, count, item, len(tensors), optional=False))
        return TfNet(self.path, tensors, ops, *ends)

    def count(self, length: int, limit: int, what: str) -> int:
        """A vector's length, at most what the file can hold and what we take."""
        if length * 4 > len(self.content):
            raise ValueError(f"{length} {what}")
        if length > limit:
            hint = "split the network"
            raise _error("W107", self.path, f"{length} {what}; the limit is {limit}", hint)
        return length

    def text(self, table: Any, slot: int) -> str:
        """A text field, its length checked before it is taken."""
        offset = table.Offset(slot)
        if not offset:
            return ""
        self.count(-(-table.VectorLen(offset) // 4), MAX_NAME // 4, "words of a name")
        return bytes(table.String(table.Pos + offset)).decode("utf-8")

    def indices(
        self, what: str, length: int, item: Callable[[int], int], tensors: int, *, optional: bool
    ) -> tuple[int, ...]:
        """A vector of tensor indices."""
        self.slots += self.count(length, MAX_OPERAND_SLOTS, what)
        self.count(self.slots, MAX_OPERAND_SLOTS, "operands")
        found = tuple(int(item(position)) for position in range(length))
        lowest = -1 if optional else 0
        for index in found:
            if not lowest <= index < tensors:
                message = f"{what} name tensor {index} of {tensors}"
                raise _error("W106", self.path, message, "convert the network again")
        return found

    def tensors(self, model: Any, graph: Any) -> tuple[TfTensor, ...]:
        """All tensors, with unique names."""
        count = self.count(graph.TensorsLength(), MAX_TENSORS, "tensors")
        found = [self.tensor(model, graph.Tensors(index), index) for index in range(count)]
        seen: set[str] = set()
        for index, tensor in enumerate(found):
            name = tensor.name
            while name in seen:
                name = f"{name}:{index}"
            seen.add(name)
            found[index] = replace(tensor, name=name)
        return tuple(found)

    def tensor(self, model: Any, table: Any, index: int) -> TfTensor:
        """One tensor; constants are compared with their shape."""
        name = self.text(table._tab, 10) or f"tensor_{index}"
        rank = self.count(table.ShapeLength(), MAX_RANK, "dimensions of a tensor")
        shape = tuple(int(table.Shape(axis)) for axis in range(rank))
        signature = self.count(table.ShapeSignatureLength(), MAX_RANK, "dimensions of a signature")
        free = tuple(a for a in range(signature) if table.ShapeSignature(a) < 0)
        label = self.types.get(table.Type(), f"type {table.Type()}")
        dtype = label.lower() if label.lower() in BITS else label
        sparse = table.Sparsity() is not None
        made = TfTensor(name, shape, dtype, free=free, variable=bool(table.IsVariable()))
        data = self.data(model, table.Buffer())
        if not sparse and data is not None:
            return self.constant(made, data)
        return replace(made, constant=data is not None, sparse=sparse)

    def data(self, model: Any, number: int) -> Any:
        """The bytes of a buffer as an array; None when it is empty (buffer 0 always is)."""
        if number >= model.BuffersLength():
            raise ValueError(f"buffer {number}")
        buffer = model.Buffers(number)
        if buffer.Offset() > 1:  # large files keep the bytes behind the flatbuffer
            start, size = buffer.Offset(), buffer.Size()
            if start + size > len(self.content):
                raise ValueError(f"buffer {number} ends at byte {start + size}")
            return np.frombuffer(self.content, np.uint8, size, start)
        return buffer.DataAsNumpy() if buffer.DataLength() else None

    def constant(self, tensor: TfTensor, data: Any) -> TfTensor:
        """A constant as long as its shape says, with its values if it is small."""
        if tensor.dtype not in BITS:
            return replace(tensor, constant=True)  # refused where it is used
        expected = tensor.elements * BITS[tensor.dtype] // 8
        if any(dim < 0 for dim in tensor.shape) or len(data) != expected:
            message = (
                f"constant '{tensor.name}' holds {len(data)} bytes, its shape "
                f"{list(tensor.shape)} needs {expected}"
            )
            raise _error("W106", self.path, message, "convert the network again")
        if tensor.dtype in ("float16", "float32", "float64"):
            numbers = np.frombuffer(data, np.dtype(tensor.dtype).newbyteorder("<"))
            if np.isnan(numbers).any():
                message = f"constant '{tensor.name}' holds NaN"
                raise _error("W106", self.path, message, "convert the network again")
        values = None
        if tensor.elements <= KEPT_ELEMENTS and tensor.dtype != "bfloat16":
            values = np.frombuffer(bytes(data), np.dtype(tensor.dtype).newbyteorder("<"))
        return replace(tensor, constant=True, values=values)

    def ops(self, model: Any, graph: Any, tensors: int) -> Iterator[TfOp]:
        """All operators in file order."""
        count = self.count(graph.OperatorsLength(), MAX_NODES, "operators")
        known = self.count(model.OperatorCodesLength(), MAX_NODES, "operator codes")
        for index in range(count):
            table = graph.Operators(index)
            if table.OpcodeIndex() >= known:
                raise ValueError(f"operator code {table.OpcodeIndex()} of {known}")
            code = self.code(model.OperatorCodes(table.OpcodeIndex()))
            label = f"operands of operator {index} ({code})"
            inputs = self.indices(label, table.InputsLength(), table.Inputs, tensors, optional=True)
            outputs = self.indices(
                label, table.OutputsLength(), table.Outputs, tensors, optional=False
            )
            yield TfOp(index, code, inputs, outputs, self.options(index, code, table))

    def code(self, table: Any) -> str:
        """Name of an operator; the old field holds numbers up to 127."""
        number = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        if number == self.schema.BuiltinOperator.CUSTOM:
            return f"custom {self.text(table._tab, 6) or 'without a name'}"
        return self.codes.get(number, f"number {number}")

    def options(self, index: int, code: str, table: Any) -> dict[str, int | str]:
        """The fields of the options table that belongs to the operator; empty without one."""
        if code not in _OPTIONS:
            return {}
        wanted, fields = _OPTIONS[code]
        given = self.option_types.get(table.BuiltinOptionsType(), "")
        union = table.BuiltinOptions()
        if given in ("", "NONE") or union is None:
            return {}
        if given != wanted:
            message = f"operator {index} ({code}) carries the options of another: {given}"
            raise _error("W106", self.path, message, "convert the network again")
        options = getattr(self.schema, wanted)()
        options.Init(union.Bytes, union.Pos)
        return {
            field: self.text(options._tab, _TEXTS[field])
            if field in _TEXTS
            else int(getattr(options, field)())
            for field in fields
        }
