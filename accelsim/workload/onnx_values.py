"""What the floating-point constants of a file hold: NaN, infinity, numbers that are not positive.

Every constant is looked at in blocks, the ones in external files too, before the reader drops the
values of the large ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.onnx_file import external_file, external_start, is_external

_BLOCK = 1 << 22
"""Bytes looked at together."""

_STORED: dict[int, str] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.DOUBLE: "<f8",
    TensorProto.FLOAT16: "<f2",
    TensorProto.BFLOAT16: "<u2",
}
"""Element type -> how its bytes are stored (ONNX is little-endian)."""


@dataclass(frozen=True)
class Content:
    """What some numbers are."""

    nan: bool = False
    infinite: bool = False
    positive: bool = True
    """Whether all are above zero."""

    @property
    def flaw(self) -> str:
        """What no weight may be: "NaN", "infinity", or nothing ("")."""
        return "NaN" if self.nan else "infinity" if self.infinite else ""


def content_of(numbers: NDArray[Any]) -> Content:
    """What some floating-point numbers are."""
    nan = bool(np.isnan(numbers).any())
    return Content(nan, bool(np.isinf(numbers).any()), bool((numbers > 0).all()))


def contents(model: Any, path: Path) -> dict[str, Content]:
    """Value name -> what it holds, of every floating-point initializer and Constant node.

    ``model`` is a checked protobuf. Raises :class:`AccelsimError` (W104) when external data cannot
    be read.
    """
    tensors = [(tensor.name, tensor) for tensor in model.graph.initializer]
    found = {}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                tensors += [(node.output[0], attribute.t)] if attribute.HasField("t") else []
                floats = [attribute.f] if attribute.name == "value_float" else attribute.floats
                if floats:
                    found[node.output[0]] = content_of(np.array(floats, np.float32))
    for name, tensor in tensors:
        if tensor.data_type in _STORED:
            found[name] = _join(content_of(block) for block in _blocks(tensor, path))
    return found


def _join(parts: Iterator[Content]) -> Content:
    whole = Content()
    for part in parts:
        whole = Content(
            whole.nan or part.nan, whole.infinite or part.infinite, whole.positive and part.positive
        )
    return whole


def _blocks(tensor: Any, path: Path) -> Iterator[NDArray[Any]]:
    """The numbers of a tensor, a block at a time."""
    kind = tensor.data_type
    if not is_external(tensor) and not tensor.HasField("raw_data"):
        if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            yield _numbers(np.array(tensor.int32_data, np.int64).astype("<u2").tobytes(), kind)
        else:
            single = kind == TensorProto.FLOAT
            yield np.array(tensor.float_data if single else tensor.double_data)
        return
    if not is_external(tensor):
        held = memoryview(tensor.raw_data)
        for start in range(0, len(held), _BLOCK):
            yield _numbers(held[start : start + _BLOCK], kind)
        return
    target = external_file(tensor, path)
    assert target is not None, "checked before"
    left = math.prod(tensor.dims) * np.dtype(_STORED[kind]).itemsize
    try:
        with target.open("rb") as stream:
            stream.seek(external_start(tensor))
            while left > 0:
                block = stream.read(min(left, _BLOCK))
                if not block:
                    raise OSError("it became shorter")
                left -= len(block)
                yield _numbers(block, kind)
    except OSError as error:
        message = f"external data of '{tensor.name}' cannot be read: {error.strerror or error}"
        raise AccelsimError(Mistake("W104", message, "", Location(str(path)))) from error


def _numbers(stored: bytes | memoryview, kind: int) -> NDArray[Any]:
    """Stored bytes as numbers; a bfloat16 is the upper half of a float32."""
    numbers = np.frombuffer(stored, _STORED[kind])
    if kind != TensorProto.BFLOAT16:
        return numbers
    return (numbers.astype("<u4") << 16).view("<f4")
