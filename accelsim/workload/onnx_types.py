"""Plain frozen records of a verified ONNX file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from accelsim.errors import Location, Mistake


@dataclass(frozen=True)
class Value:
    """Shape and element type of a tensor of the file."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Node:
    """One ONNX node; ``name`` is unique in the model, ``inputs`` may hold "" (left out)."""

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def key(self) -> str:
        """Operator with its domain, e.g. ``Conv`` or ``com.microsoft.QLinearAdd``."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def input(self, index: int) -> str:
        """Name of an input, "" when left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    @property
    def has_subgraph(self) -> bool:
        """Whether the node carries other graphs (If, Loop, Scan)."""
        found = self.attributes.values()
        flat = [v for value in found for v in (value if isinstance(value, tuple) else (value,))]
        return any(isinstance(value, onnx.GraphProto) for value in flat)


@dataclass(frozen=True)
class Model:
    """The live part of a network: nodes that an output depends on, in the file's order."""

    path: Path
    nodes: tuple[Node, ...]
    values: dict[str, Value]
    constants: dict[str, NDArray[Any] | None]
    """Constant tensors; the array where it is small, None where only shape and type are kept."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def mistake(self, code: str, message: str, hint: str = "") -> Mistake:
        """A mistake located in this file."""
        return Mistake(code, message, hint, Location(str(self.path)))
