"""From a path to a trusted ONNX protobuf: sizes bounded, external data confined, tensors whole.

Nothing here believes the file: the size is bounded before it is read, a tensor must hold as many
bytes as its shape says, and external data must lie below the folder of the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.limits import MAX_RANK

MAX_BYTES = 2 * 1024**3
"""Largest model file, and largest sum of its external data, in bytes (protobuf's own limit)."""

KEPT_ELEMENTS = 1024
"""Constants up to this many elements keep their values (shapes, axes, scales); of larger ones only
shape and type matter to a workload."""

_BITS_OF: dict[int, tuple[str, int]] = {
    TensorProto.FLOAT: ("float32", 32),
    TensorProto.DOUBLE: ("float64", 64),
    TensorProto.FLOAT16: ("float16", 16),
    TensorProto.BFLOAT16: ("bfloat16", 16),
    TensorProto.INT8: ("int8", 8),
    TensorProto.UINT8: ("uint8", 8),
    TensorProto.INT16: ("int16", 16),
    TensorProto.UINT16: ("uint16", 16),
    TensorProto.INT32: ("int32", 32),
    TensorProto.UINT32: ("uint32", 32),
    TensorProto.INT64: ("int64", 64),
    TensorProto.UINT64: ("uint64", 64),
    TensorProto.BOOL: ("bool", 8),
}


def dtype_name(element_type: int) -> str | None:
    """Our name of an ONNX element type, None when a workload cannot hold it."""
    found = _BITS_OF.get(element_type)
    return found[0] if found else None


def element_type(dtype: str) -> int:
    """The ONNX element type of one of our names."""
    return next(number for number, (name, _) in _BITS_OF.items() if name == dtype)


def type_label(element_type: int) -> str:
    """ONNX's own name of an element type, for messages."""
    known = {number: name for name, number in TensorProto.DataType.items()}
    return str(known.get(element_type, f"number {element_type}"))


def load_proto(path: Path) -> Any:
    """Reads and verifies ``path``; small external tensors are read in, large ones stay outside.

    Raises :class:`AccelsimError`: W101 (not a readable ONNX file), W104 (external data),
    W105 (element type), W106 (a tensor that is not whole).
    """
    model = _parse(path, _read_bounded(path))
    mistakes: list[Mistake] = []
    total = 0
    for tensor in all_tensors(model):
        found, size = _check_tensor(tensor, path)
        mistakes += found
        total += size
    if model.graph.sparse_initializer:
        mistakes.append(_mistake("W105", path, "sparse initializers are not supported"))
    if total > MAX_BYTES:
        message = f"external data of {total} bytes exceeds the limit of {MAX_BYTES} bytes"
        mistakes.append(_mistake("W104", path, message))
    if mistakes:
        raise AccelsimError(mistakes)
    for tensor in all_tensors(model):
        if is_external(tensor) and math.prod(tensor.dims) <= KEPT_ELEMENTS:
            _read_external(tensor, path)
    return model


def all_tensors(model: Any) -> Iterator[Any]:
    """Initializers and the tensors of Constant nodes, in file order."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _mistake(code: str, path: Path, message: str, hint: str = "") -> Mistake:
    return Mistake(code, message, hint, Location(str(path)))


def _read_bounded(path: Path) -> bytes:
    """The bytes of a regular file of at most :data:`MAX_BYTES`."""
    hint = "give the path of an .onnx file"
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "no such file"
            raise AccelsimError(_mistake("W101", path, f"cannot read the network: {what}", hint))
        size = path.stat().st_size
        if size > MAX_BYTES:
            message = f"the file has {size} bytes, the limit is {MAX_BYTES} bytes"
            raise AccelsimError(
                _mistake("W101", path, message, "save the weights as external data")
            )
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read the network: {error.strerror or error}"
        raise AccelsimError(_mistake("W101", path, message, hint)) from error
    if not content:
        raise AccelsimError(_mistake("W101", path, "the file is empty", hint))
    return content


def _parse(path: Path, content: bytes) -> Any:
    """A ModelProto that holds at least one node."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise AccelsimError(
            _mistake(
                "W101",
                path,
                "not an ONNX file, or cut short (its protobuf does not parse)",
                "download or export it again",
            )
        ) from error
    if not model.graph.node:
        raise AccelsimError(
            _mistake("W101", path, "holds no operators", "is this really an ONNX network?")
        )
    return model


def is_external(tensor: Any) -> bool:
    """Whether the bytes of a tensor are in a file of their own."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _check_tensor(tensor: Any, path: Path) -> tuple[list[Mistake], int]:
    """Mistakes of one constant and the bytes it takes outside the file."""
    label = f"constant '{tensor.name}'"
    known = _BITS_OF.get(tensor.data_type)
    if known is None:
        message = f"{label} has the unsupported element type {type_label(tensor.data_type)}"
        hint = "supported: " + ", ".join(sorted(name for name, _ in _BITS_OF.values()))
        return [_mistake("W105", path, message, hint)], 0
    if any(dim < 0 for dim in tensor.dims):
        return [_mistake("W106", path, f"{label} has a negative dimension")], 0
    if len(tensor.dims) > MAX_RANK:
        message = f"{label} has {len(tensor.dims)} dimensions; the limit is {MAX_RANK}"
        return [_mistake("W107", path, message)], 0
    expected = math.prod(tensor.dims) * known[1] // 8
    if is_external(tensor):
        return _check_external(tensor, path, expected), expected
    if tensor.HasField("raw_data") and len(tensor.raw_data) != expected:
        held = len(tensor.raw_data)
        message = f"{label} holds {held} bytes, its shape needs {expected}"
        return [_mistake("W106", path, message, "export the network again")], 0
    if not tensor.HasField("raw_data") and expected:
        numbers = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))
        if numbers != math.prod(tensor.dims):
            message = f"{label} holds {numbers} numbers, its shape needs {math.prod(tensor.dims)}"
            return [_mistake("W106", path, message, "export the network again")], 0
    return [], 0


def _short(text: str) -> str:
    """A name in a message."""
    return text if len(text) <= 100 else f"{text[:97]}..."


def _external_entries(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def external_start(tensor: Any) -> int:
    """Where the bytes of a checked external tensor begin in its file."""
    return _number(_external_entries(tensor).get("offset", "0"))


def external_file(tensor: Any, path: Path) -> Path | None:
    """The data file, or None when its location leaves the model's folder (links followed)."""
    location = _external_entries(tensor).get("location", "")
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or posix.is_absolute() or windows.drive or windows.root or "\0" in location:
        return None
    if ".." in posix.parts or ".." in windows.parts:
        return None
    folder = path.resolve().parent
    target = (folder / location).resolve()
    return target if target.is_relative_to(folder) else None


def _size_of(target: Path) -> int | None:
    """Bytes of a regular file; None if there is none, or no file can be called like this."""
    try:
        return target.stat().st_size if target.is_file() else None
    except OSError:
        return None


def _number(text: str) -> int:
    """A decimal number of at most 20 characters; ValueError for anything else."""
    if len(text) > 20 or "_" in text:
        raise ValueError(text[:20])
    return int(text)


def _check_external(tensor: Any, path: Path, expected: int) -> list[Mistake]:
    """Mistakes of an external tensor: outside the folder, missing, too short, wrong length."""
    label = f"external data of '{tensor.name}'"
    entries = _external_entries(tensor)
    location = entries.get("location", "")
    target = external_file(tensor, path)
    if target is None:
        message = f"{label} lies outside the model's folder: '{_short(location)}'"
        return [_mistake("W104", path, message, "keep data files beside or below the model")]
    try:
        offset = _number(entries.get("offset", "0"))
        length = _number(entries.get("length", str(expected)))
    except ValueError:
        return [_mistake("W104", path, f"{label} has an offset or length that is not a number")]
    size = _size_of(target)
    if size is None:
        message = f"{label} is missing: '{_short(location)}'"
        return [_mistake("W104", path, message, "copy it into the model's folder")]
    if offset < 0 or length != expected:
        message = f"{label} has length {length} at offset {offset}, its shape needs {expected}"
        return [_mistake("W104", path, message)]
    if offset + length > size:
        message = f"{label} ends at byte {offset + length}, the file '{location}' has {size}"
        return [_mistake("W104", path, message, "the data file is cut short")]
    return []


def _read_external(tensor: Any, path: Path) -> None:
    """Moves checked external data into the (small) tensor."""
    target = external_file(tensor, path)
    assert target is not None, "checked before"
    size = math.prod(tensor.dims) * _BITS_OF[tensor.data_type][1] // 8
    with target.open("rb") as stream:
        stream.seek(external_start(tensor))
        tensor.raw_data = stream.read(size)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
