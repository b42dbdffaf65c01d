"""What a rule for an ONNX operator may ask, and what it answers: drafts of operators.

A rule answers with one draft, or with several where an operator of the file becomes several of the
machine (a recurrent cell, fused attention, the phases of a transposed convolution). Names are those
of the file; tensors that the file does not have are :class:`Local`, a constant of which an operator
holds only a part is a :class:`Part`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.workload.graph import Gemm, OpKind, Window
from accelsim.workload.limits import REMEDY
from accelsim.workload.onnx_types import Node, Value
from accelsim.workload.vector_work import vector_work


class UnsupportedError(Exception):
    """Why a node cannot be lowered; the reader collects these, users never see one."""

    code = "W102"
    statement = "is not supported"
    hint = ""


class InvalidError(UnsupportedError):
    """Why a node contradicts itself (onnx's own inference does not compare every dimension)."""

    code = "W106"
    statement = "is not valid"


class TooLargeError(UnsupportedError):
    """Why a node is beyond :mod:`accelsim.workload.limits`."""

    code = "W107"
    statement = "is too large"
    hint = REMEDY


@dataclass(frozen=True)
class Scope:
    """What a rule may ask about the graph around its node."""

    values: Mapping[str, Value]
    constants: Mapping[str, str]
    """Constant value -> the constant whose bytes hold it (a dequantised weight: the int8 one)."""
    arrays: Mapping[str, NDArray[Any] | None] = field(default_factory=dict)
    """Numbers of the small constants."""
    read: frozenset[str] = frozenset()
    """Values that a node reads or that leave the network."""
    stepwise: bool = False
    """Recurrent layers meet their inputs step by step, see ``read_onnx``."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a value."""
        return self.values[name].shape

    def elements(self, name: str) -> int:
        """Number of elements of a value."""
        return self.values[name].elements

    def scalar(self, name: str) -> float | None:
        """The number that a small constant of one element holds, None for anything else."""
        array = self.arrays.get(name)
        if array is None or array.size != 1 or array.dtype.kind not in "iuf":
            return None
        return float(array.item())

    def zero(self, name: str) -> bool:
        """Whether a value is absent, or a constant (whose product is a constant too)."""
        return not name or name in self.constants

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Integers of a small constant, None if it is absent, computed or large."""
        array = self.arrays.get(name)
        if array is None or array.dtype.kind not in "iu":
            return None
        return tuple(int(number) for number in np.ravel(array))


@dataclass(frozen=True)
class Local:
    """A tensor between the operators of one node; ``dtype`` "": that of the node's output."""

    label: str
    shape: tuple[int, ...]
    dtype: str = ""


@dataclass(frozen=True)
class Part:
    """A part of a constant of the file, held and moved by itself."""

    name: str
    label: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Draft:
    """An operator before fusing."""

    kind: OpKind
    inputs: tuple[str | Local, ...]
    weight: str | Part | None = None
    bias: str | None = None
    gemm: Gemm | None = None
    window: Window | None = None
    vector_ops: int = 0
    """Own lane operations; array operators leave it 0 (their epilogue is counted by stages)."""
    picks: bool = False
    label: str = ""
    """Added to the node's name where it becomes several operators."""
    name: str = ""
    """The operator's name, where it is not made of the node's and the label."""
    output: str | Local = ""
    """"": the value that leaves the chain."""
    fuses: bool | None = None
    """Whether the chain's epilogue (activations, requantisation) happens here; None: if this
    operator makes the output."""

    @property
    def applies_epilogue(self) -> bool:
        """``fuses``, resolved."""
        return self.output == "" if self.fuses is None else self.fuses


Drafts = Draft | tuple[Draft, ...]
Rule = Callable[[Node, Scope], Drafts]


def operands(names: list[str], scope: Scope) -> tuple[tuple[str, ...], list[str]]:
    """Activations (without repeats) and constants among operands, in order."""
    present = [name for name in names if name]
    activations = dict.fromkeys(name for name in present if name not in scope.constants)
    return tuple(activations), [name for name in present if name in scope.constants]


def vector_draft(
    node: Node,
    scope: Scope,
    kind: OpKind,
    work: str = "",
    indices: tuple[int, ...] = (0,),
    *,
    picks: bool = False,
) -> Draft:
    """A vector operator over some inputs, at most two of them constant, costed as ``work`` of
    :data:`~accelsim.workload.vector_work.WORK` (default: as its kind)."""
    activations, constants = operands([node.input(i) for i in indices], scope)
    if len(constants) > 2:
        raise UnsupportedError("more than two constant operands")
    weight, bias = (*constants, None, None)[:2]
    count = vector_work(
        work or kind,
        scope.elements(next(name for name in node.outputs if name)),
        inputs=scope.elements(node.inputs[indices[0]]),
        window=len(activations) + len(constants),
    )
    return Draft(kind, activations, weight, bias, vector_ops=count, picks=picks)
