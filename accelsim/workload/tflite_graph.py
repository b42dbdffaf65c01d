"""The live part of a TensorFlow Lite network, at the batch asked for.

Live are the operators that a graph output or a state depends on. Whatever depends on no input is
static: it is computed once, before the first inference, and counts as a constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from accelsim.errors import AccelsimError, Mistake
from accelsim.workload.graph import BITS
from accelsim.workload.limits import MAX_ENDS, REMEDY, shape_excess
from accelsim.workload.tflite_types import TfNet, TfOp, TfTensor

_RENAMES = frozenset({"DEQUANTIZE", "TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators after which the bytes of a constant are still those of the file."""

_STATIC = frozenset({"SHAPE", "RANK"})
"""Operators whose result follows from shapes alone."""

_IMPURE = ("RANDOM_", "MULTINOMIAL", "HASHTABLE", "custom ", "VAR_HANDLE", "READ_VARIABLE")
"""Operators that are never computed in advance, whatever they read."""

_BATCH_HINT = "set the batch to that, or convert with an open first dimension"


@dataclass(frozen=True)
class Graph:
    """What is left to lower."""

    net: TfNet
    tensors: tuple[TfTensor, ...]
    """Those of the file, with shapes for the batch asked for."""
    ops: tuple[TfOp, ...]
    """Live operators that depend on an input, in file order."""
    static: frozenset[int]
    constants: dict[int, int]
    """Static tensor -> the tensor whose bytes hold it."""
    variables: frozenset[int]
    """Variable tensors that a live operator reads or writes."""
    stored: int
    """Batch that the file's own shapes hold for."""
    batch: int

    @cached_property
    def index(self) -> dict[str, int]:
        """Name -> position of a tensor."""
        return {tensor.name: index for index, tensor in enumerate(self.tensors)}

    def mistake(self, code: str, message: str, hint: str = "") -> Mistake:
        """A mistake located in the file; shapes of another batch may be what is behind it."""
        if code == "W106" and self.batch != self.stored:
            hint = f"the file holds shapes for a batch of {self.stored}; {_BATCH_HINT}"
        return self.net.mistake(code, message, hint)


def live_graph(net: TfNet, batch: int) -> Graph:
    """The live part. Raises :class:`AccelsimError` (W103) for a batch that the inputs do not take
    and for other open dimensions of theirs."""
    live = _live(net)
    static, constants = _static(net, live)
    stored = _stored_batch(net, batch)
    tensors = tuple(
        tensor if index in static else _sized(tensor, batch, stored)
        for index, tensor in enumerate(net.tensors)
    )
    ops = tuple(op for op in live if not set(op.outputs) & static or not op.outputs)
    touched = {i for op in ops for i in op.inputs if i >= 0}
    variables = frozenset(i for i in touched if net.tensors[i].variable)
    return Graph(net, tensors, ops, frozenset(static), constants, variables, stored, batch)


def _live(net: TfNet) -> tuple[TfOp, ...]:
    """Operators that an output, or a state, depends on."""
    needed, kept = set(net.outputs), []
    for op in reversed(net.ops):
        if op.code == "ASSIGN_VARIABLE" or needed.intersection(op.outputs):
            needed.update(op.inputs)
            kept.append(op)
    return tuple(reversed(kept))


def _static(net: TfNet, ops: Iterable[TfOp]) -> tuple[set[int], dict[int, int]]:
    """Tensors that depend on no input, and which tensor's bytes hold each of them."""
    made = {i for op in net.ops for i in op.outputs}.union(net.inputs)
    constants = {
        index: index
        for index, tensor in enumerate(net.tensors)
        if (tensor.constant or tensor.shape == (0,)) and not tensor.variable and index not in made
    }
    for op in ops:
        present = [i for i in op.inputs if i >= 0]
        known = bool(present) and all(i in constants for i in present)
        if op.code.startswith(_IMPURE) or not (known or op.code in _STATIC):
            continue
        for output in op.outputs:
            renamed = op.code in _RENAMES and len(op.outputs) == 1
            constants[output] = constants[present[0]] if renamed else output
    return set(constants), constants


def _stored_batch(net: TfNet, batch: int) -> int:
    """The batch of the file's own shapes: where it is open, the length it is stored with."""
    mistakes = []
    stored, fixed, opened = 1, {}, False
    for index in net.inputs:
        tensor = net.tensors[index]
        for axis in (axis for axis in tensor.free if axis):
            message = f"dimension {axis} of input '{tensor.name}' is not known"
            hint = "convert the network with a fixed size there; only the batch may stay open"
            mistakes.append(net.mistake("W103", message, hint))
        if 0 in tensor.free and tensor.shape:
            stored, opened = max(1, tensor.shape[0]), True
        elif tensor.shape:
            fixed[tensor.name] = tensor.shape[0]
    # An input that is no batch (a state, a table) may have any first dimension beside one that is.
    if not opened and fixed and batch not in fixed.values():
        name, size = next(iter(fixed.items()))
        message = f"input '{name}' has the fixed batch {size}, asked for {batch}"
        mistakes.append(net.mistake("W103", message, _BATCH_HINT))
    if mistakes:
        raise AccelsimError(mistakes)
    return stored if opened else batch


def _sized(tensor: TfTensor, batch: int, stored: int) -> TfTensor:
    """A tensor at another batch: its one open dimension grows with it."""
    if batch == stored or len(tensor.free) != 1 or tensor.free[0] >= len(tensor.shape):
        return tensor
    axis = tensor.free[0]
    size = tensor.shape[axis] * batch
    if size % stored:
        return tensor  # the rules will find that the shapes do not fit
    shape = (*tensor.shape[:axis], size // stored, *tensor.shape[axis + 1 :])
    return replace(tensor, shape=shape)


def check_graph(graph: Graph) -> None:
    """Raises :class:`AccelsimError`, all findings at once: W103 (dimensions that are not known),
    W105 (element types), W106 (operators in an impossible order), W107 (sizes)."""
    mistakes = [*_check_ends(graph), *_check_tensors(graph), *_check_order(graph)]
    if mistakes:
        raise AccelsimError(mistakes)


def _check_ends(graph: Graph) -> Iterator[Mistake]:
    for what, ends in (("inputs", graph.net.inputs), ("outputs", graph.net.outputs)):
        if not ends:
            yield graph.net.mistake("W101", f"the network has no {what}")
        if len(ends) > MAX_ENDS:
            message = f"{len(ends)} graph {what}; the limit is {MAX_ENDS}"
            yield graph.net.mistake("W107", message, REMEDY)


def _check_tensors(graph: Graph) -> Iterator[Mistake]:
    """Types and sizes of every tensor that something live touches."""
    handles = {i for op in graph.ops if op.code == "VAR_HANDLE" for i in op.outputs}
    touched = dict.fromkeys(graph.net.inputs, None)
    for op in graph.ops:
        touched.update(dict.fromkeys(i for i in (*op.inputs, *op.outputs) if i >= 0))
    for index in touched:
        tensor = graph.tensors[index]
        if index in handles or (index in graph.static and tensor.shape == (0,)):
            continue  # an empty list of axes is a constant too
        if index not in graph.static and tensor.dtype not in BITS:
            message = f"tensor '{tensor.name}' has the unsupported element type {tensor.dtype}"
            yield graph.net.mistake("W105", message)
        yield from _check_shape(graph, tensor)


def _check_shape(graph: Graph, tensor: TfTensor) -> Iterator[Mistake]:
    if any(dim < 1 for dim in tensor.shape):
        message = f"tensor '{tensor.name}' is empty or open: shape {list(tensor.shape)}"
        hint = "convert the network with fixed sizes; only the batch may stay open"
        yield graph.net.mistake("W103", message, hint)
        return
    excess = shape_excess(tensor.shape)
    if excess is not None:
        yield graph.net.mistake("W107", f"tensor '{tensor.name}' is too large: {excess}", REMEDY)


def _check_order(graph: Graph) -> Iterator[Mistake]:
    """Every operator reads what exists by then, and writes what nothing else does."""
    made = {*graph.net.inputs, *graph.static, *graph.variables}
    hint = "convert the network again"
    for op in graph.ops:
        label = f"operator {op.index} ({op.code})"
        for index in op.inputs:
            if index >= 0 and index not in made:
                name = graph.tensors[index].name
                yield graph.net.mistake("W106", f"{label} reads '{name}' before it is made", hint)
        for index in op.outputs:
            if index in made:
                name = graph.tensors[index].name
                yield graph.net.mistake("W106", f"{label} overwrites '{name}'", hint)
        made.update(op.outputs)
        if not op.inputs and op.code != "VAR_HANDLE":
            yield graph.net.mistake("W106", f"{label} has no operands", hint)
    for index in graph.net.outputs:
        if index not in made:
            name = graph.tensors[index].name
            yield graph.net.mistake("W106", f"output '{name}' is never made", hint)
