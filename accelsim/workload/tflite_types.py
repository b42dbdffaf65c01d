"""Plain frozen records of a parsed TensorFlow Lite file, and what a lowering rule gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from accelsim.errors import Location, Mistake
from accelsim.workload.graph import Gemm, OpKind, Tensor, Window
from accelsim.workload.limits import REMEDY


class UnsupportedError(Exception):
    """Why an operator cannot be lowered; the reader collects these, users never see one."""

    code = "W102"
    statement = "is not supported"
    hint = ""


class InvalidError(UnsupportedError):
    """Why an operator contradicts itself."""

    code = "W106"
    statement = "is not valid"
    hint = "the file is damaged, or its converter is wrong; convert it again"


class TooLargeError(UnsupportedError):
    """Why an operator is beyond :mod:`accelsim.workload.limits`."""

    code = "W107"
    statement = "is too large"
    hint = REMEDY


class ElementTypeError(UnsupportedError):
    """Why a constant cannot be held."""

    code = "W105"
    hint = "convert the network with dense 8-bit or float weights"


@dataclass(frozen=True)
class TfTensor:
    """A tensor of the main subgraph; ``name`` is unique in the file's main subgraph."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """A key of :data:`accelsim.workload.graph.BITS`, or the file's own name of a type that a
    workload cannot hold (``STRING``, ``RESOURCE``, ``INT4``, ...)."""
    constant: bool = False
    values: NDArray[Any] | None = None
    """Values of a small constant."""
    free: tuple[int, ...] = ()
    """Axes that the file leaves open (-1 in its shape signature)."""
    variable: bool = False
    """Keeps its content from one inference to the next."""
    sparse: bool = False

    @property
    def elements(self) -> int:
        """Number of elements (1 for a scalar)."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class TfOp:
    """One operator; tensors are indices, -1 for an operand that is left out."""

    index: int
    code: str
    """Name of the builtin operator, e.g. ``CONV_2D``, or ``custom NAME``."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int | str] = field(default_factory=dict)
    """Fields of the builtin options, by the schema's accessor names."""

    @property
    def name(self) -> str:
        """Name in the workload: files give operators none."""
        return f"{self.code.lower().replace(' ', '_')}_{self.index}"

    def input(self, index: int) -> int:
        """Tensor index of an operand, -1 when left out."""
        return self.inputs[index] if index < len(self.inputs) else -1

    def option(self, name: str, default: int = 0) -> int:
        """A numeric option."""
        return int(self.options.get(name, default))


@dataclass(frozen=True)
class TfNet:
    """The main subgraph of a file."""

    path: Path
    tensors: tuple[TfTensor, ...]
    ops: tuple[TfOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def mistake(self, code: str, message: str, hint: str = "") -> Mistake:
        """A mistake located in this file."""
        return Mistake(code, message, hint, Location(str(self.path)))


@dataclass(frozen=True)
class Scope:
    """What a rule may ask about the operands of its operator."""

    tensors: tuple[TfTensor, ...]
    static: frozenset[int]
    """Tensors that do not depend on the network's inputs."""
    stepwise: bool = False
    """Recurrent layers meet their inputs step by step, see ``read_tflite``."""

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a tensor; raises InvalidError for an operand that is left out."""
        return self.tensor(index).shape

    def tensor(self, index: int) -> TfTensor:
        """A tensor that must be there."""
        if index < 0:
            raise InvalidError("an operand is missing")
        return self.tensors[index]

    def elements(self, index: int) -> int:
        """Number of elements of a tensor."""
        return self.tensor(index).elements

    def name(self, index: int) -> str:
        """Name of a tensor that must be there."""
        return self.tensor(index).name

    def integer(self, index: int) -> bool:
        """Whether a tensor holds integers, so that an array's sums must be requantised."""
        return "int" in self.tensor(index).dtype

    def values(self, index: int) -> tuple[int, ...] | None:
        """Integers of a small constant operand, flattened; None if absent or computed."""
        if index < 0:
            return None
        found = self.tensors[index].values
        if found is None or found.dtype.kind not in "iu":
            return None
        return tuple(int(value) for value in found.ravel())


@dataclass(frozen=True)
class Piece:
    """One operator of the workload that an operator of the file becomes; names are those of the
    file or of ``declares``."""

    kind: OpKind
    inputs: tuple[str, ...]
    output: str
    weight: str | None = None
    bias: str | None = None
    gemm: Gemm | None = None
    window: Window | None = None
    vector_ops: int = 0
    fused: tuple[str, ...] = ()
    label: str = ""
    """Added to the operator's name where one operator becomes several."""
    declares: tuple[Tensor, ...] = ()
    """Tensors that the file does not have: results in between, constants laid side by side."""
    holds: Mapping[str, str] = field(default_factory=dict)
    """Name in the file -> constant of ``declares`` that holds its bytes."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Constant of ``declares`` -> the one in the file that it is a part of."""
    picks: bool = False
    """See :class:`~accelsim.workload.graph.Op`."""
    leaves: tuple[str, ...] = ()
    """Results that the next inference starts from."""
