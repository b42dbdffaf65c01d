"""TensorFlow Lite files as workloads: ``read_tflite``.

The way there: verified tables (``tflite_file``) -> shapes for the batch asked for and what does not
depend on the inputs (``tflite_graph``) -> operators with their sizes (``tflite_array``,
``tflite_ops``, ``tflite_recurrent``), put together here, and checked by ``check_workload`` in a
second way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from accelsim.errors import AccelsimError, Mistake
from accelsim.workload import tflite_array, tflite_ops, tflite_recurrent
from accelsim.workload.check import check_workload
from accelsim.workload.graph import BITS, Op, OpKind, Role, Tensor, Workload
from accelsim.workload.limits import MAX_OPERANDS, MAX_OPERATORS, REMEDY, require_recurrent
from accelsim.workload.tflite_array import Rule
from accelsim.workload.tflite_file import load_net
from accelsim.workload.tflite_graph import Graph, check_graph, live_graph
from accelsim.workload.tflite_types import (
    ElementTypeError,
    InvalidError,
    Piece,
    Scope,
    TfOp,
    TfTensor,
    TooLargeError,
    UnsupportedError,
)
from accelsim.workload.vector_work import vector_work

RULES: dict[str, Rule] = {**tflite_array.RULES, **tflite_ops.RULES, **tflite_recurrent.RULES}
"""Operator -> rule, for operators that take time."""

STATES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})
"""Operators that keep a state in the graph; they move nothing themselves."""

SUPPORTED = frozenset({*RULES, *tflite_ops.VIEWS, *STATES})
"""Every operator the reader knows (CALL_ONCE sets states up before the first inference, and SHAPE,
RANK and whatever else depends on no input is computed before it)."""

CONTROL = frozenset({"IF", "WHILE", "CALL", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE"})
"""Operators that carry a graph of their own."""

_HINT = 'rewrite or remove it, or read with unsupported="fallback" (costed as element-wise)'


def read_tflite(
    path: str | Path,
    batch: int = 1,
    unsupported: str = "refuse",
    recurrent: str = "batched",
) -> Workload:
    """Reads a network (needs the extra ``accelsim[tflite]``).

    ``batch`` is the length of the first dimension of the inputs where the file leaves it open; a
    network with a fixed one takes only that. ``unsupported``: "refuse" names every unknown operator
    in one error; "fallback" costs each as one lane operation per output element and lists it in
    ``Workload.fallbacks``. ``recurrent``: "batched" makes one product of a recurrent layer's inputs
    at all steps, "stepwise" one per step, as on machines that know no sequences.

    Tensors keep the file's names (a number is added to a name that occurs twice); operators, which
    have none, are called by kind and position (``conv_2d_3``). A state that lives from one
    inference to the next is a graph input, and a graph output where it is written. Raises
    :class:`AccelsimError`: W101 unreadable file, W102 unsupported operators, W103 unknown
    dimensions or batch, W105 element types, W106 invalid graph, window or value, W107 beyond
    :mod:`accelsim.workload.limits`, W108 the schema package is missing.
    """
    if unsupported not in ("refuse", "fallback"):
        message = f"unsupported={unsupported!r} is neither 'refuse' nor 'fallback'"
        raise AccelsimError(Mistake("U001", message))
    require_recurrent(recurrent)
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        message = f"the batch must be a positive whole number, not {batch!r}"
        raise AccelsimError(Mistake("W103", message))
    graph = live_graph(load_net(Path(path)), batch)
    _refuse_unknown(graph, unsupported == "fallback")
    check_graph(graph)
    workload = _Lowering(graph, Scope(graph.tensors, graph.static, recurrent == "stepwise")).run()
    check_workload(workload)
    return workload


def _refuse_unknown(graph: Graph, allow_fallback: bool) -> None:
    """One error that names every operator without a rule. Control flow is never costed."""
    mistakes = []
    for op in graph.ops:
        if op.code in CONTROL:
            message = f"operator {op.index} ({op.code}) carries a graph of its own"
            hint = "control flow cannot be costed; convert a straight network"
        elif op.code not in SUPPORTED and not allow_fallback:
            message, hint = f"operator {op.index} ({op.code}) is not supported", _HINT
        else:
            continue
        mistakes.append(graph.net.mistake("W102", message, hint))
    if mistakes:
        raise AccelsimError(mistakes)


@dataclass
class _Lowering:
    """Builds the workload operator by operator; the mutable state lives no longer than a call."""

    graph: Graph
    scope: Scope
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Value of the file -> tensor that holds it."""
    constants: dict[str, str] = field(default_factory=dict)
    """The same for constants."""
    packed: dict[str, str] = field(default_factory=dict)
    """Constant of the file -> tensor in which it lies beside others."""
    parts: dict[str, dict[str, None]] = field(default_factory=dict)
    """Constant of the file -> tensors that hold parts of it."""
    states: dict[tuple[str, str], str] = field(default_factory=dict)
    """Container and name of a state -> tensor that holds it now."""
    written: set[tuple[str, str]] = field(default_factory=set)
    handles: dict[int, tuple[str, str]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    leaves: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def run(self) -> Workload:
        """Lowers every operator; raises all that cannot be lowered at once."""
        variables = [i for i, t in enumerate(self.graph.tensors) if i in self.graph.variables]
        for index in (*self.graph.net.inputs, *variables):
            self._input(index)
        for index, holder in self.graph.constants.items():
            self.constants[self.scope.name(index)] = self.scope.name(holder)
        for op in self.graph.ops:
            self._lower(op)
        if self.mistakes:
            raise AccelsimError(self.mistakes)
        return self._finish()

    def _lower(self, op: TfOp) -> None:
        try:
            if op.code in STATES:
                self._state(op)
            elif tflite_ops.is_view(op, self.scope):
                held = self._holder(self.scope.name(op.input(0)))
                self.names[self.scope.name(op.outputs[0])] = held
            elif op.code in RULES:
                for piece in RULES[op.code](op, self.scope):
                    self._emit(op, piece)
            else:
                self._fallback(op)
        except UnsupportedError as reason:
            message = f"operator {op.index} ({op.code}) {reason.statement}: {reason}"
            self.mistakes.append(self.graph.mistake(reason.code, message, reason.hint))
            for index in op.outputs:  # so that readers do not add mistakes of their own
                self.names[self.scope.name(index)] = self.scope.name(index)

    def _holder(self, name: str) -> str:
        """The tensor that holds a computed value."""
        if name not in self.names:
            raise UnsupportedError(f"it reads '{name}', which is no tensor")
        return self.names[name]

    def _input(self, index: int) -> None:
        name = self.scope.name(index)
        if name not in self.tensors:
            self.inputs.append(name)
            self._tensor(index, Role.INPUT)

    def _tensor(self, index: int, role: Role) -> str:
        """Declares a tensor of the file (once)."""
        tensor = self.graph.tensors[index]
        made = Tensor(tensor.name, tensor.shape, tensor.dtype, role)
        self.tensors.setdefault(tensor.name, made)
        self.names[tensor.name] = tensor.name
        return tensor.name

    def _state(self, op: TfOp) -> None:
        """A state in the graph: what was assigned last, or what the last inference left."""
        if op.code == "VAR_HANDLE":
            key = (str(op.options.get("Container", "")), str(op.options.get("SharedName", "")))
            self.handles[op.outputs[0]] = key
            return
        handle = self.handles.get(op.input(0))
        if handle is None:
            raise UnsupportedError("a state whose handle is handed in")
        if op.code == "READ_VARIABLE":
            if handle not in self.states:
                self._input(op.outputs[0])
                self.states[handle] = self.scope.name(op.outputs[0])
            self.names[self.scope.name(op.outputs[0])] = self.states[handle]
            return
        value = self.scope.name(op.input(1))
        if value in self.constants:
            raise UnsupportedError("a state that is set to a constant")
        self.states[handle] = self._holder(value)
        self.written.add(handle)

    def _emit(self, op: TfOp, piece: Piece) -> None:
        """Adds an operator of the workload."""
        if len(piece.inputs) > MAX_OPERANDS:
            raise TooLargeError(f"{len(piece.inputs)} inputs; the limit is {MAX_OPERANDS}")
        for tensor in piece.declares:
            self._declare(tensor, piece)
        if piece.output not in self.tensors:
            self._tensor(self.graph.index[piece.output], Role.ACTIVATION)
        inputs = tuple(dict.fromkeys(self._holder(name) for name in piece.inputs))
        weight = self._constant(piece.weight, Role.WEIGHT)
        bias = self._constant(piece.bias, Role.BIAS)
        label = f"{op.name}:{piece.label}" if piece.label else op.name
        self.leaves += piece.leaves
        self.ops.append(
            Op(
                label, piece.kind, inputs, piece.output, weight, bias, piece.gemm, piece.window,
                piece.vector_ops, piece.fused, (op.name,), piece.picks,
            )
        )  # fmt: skip

    def _declare(self, tensor: Tensor, piece: Piece) -> None:
        """A tensor that the file does not have; a constant has the type of the bytes it is of."""
        sources = [name for name, holder in piece.holds.items() if holder == tensor.name]
        whole = piece.parts.get(tensor.name)
        for name in (*sources, *((whole,) if whole else ())):
            held = self.graph.tensors[self.graph.index[self._root(name)]]
            self._check_constant(held)
            tensor = replace(tensor, dtype=held.dtype)
            if name != whole:
                self.packed[self._root(name)] = tensor.name
        if whole:
            self.parts.setdefault(self._root(whole), {})[tensor.name] = None
        self.tensors.setdefault(tensor.name, tensor)
        if tensor.role is Role.ACTIVATION:
            self.names[tensor.name] = tensor.name

    def _root(self, name: str) -> str:
        """The constant of the file whose bytes hold a static value."""
        return self.constants[name]

    def _check_constant(self, tensor: TfTensor) -> None:
        """Raises UnsupportedError (W105) for a constant of a type that is not modelled."""
        if tensor.dtype not in BITS or tensor.sparse:
            what = "is sparse" if tensor.sparse else f"has the element type {tensor.dtype}"
            raise ElementTypeError(f"constant '{tensor.name}' {what}")

    def _constant(self, name: str | None, role: Role) -> str | None:
        """Declares the constant that holds the bytes of ``name``."""
        if name is None or name in self.tensors:
            return name
        holder = self._root(name)
        if holder not in self.tensors:
            tensor = self.graph.tensors[self.graph.index[holder]]
            self._check_constant(tensor)
            self.tensors[holder] = Tensor(holder, tensor.shape, tensor.dtype, role)
        return holder

    def _fallback(self, op: TfOp) -> None:
        """An operator without a rule: reads all its operands; the largest constant that is no
        index list counts as its weight."""
        self.fallbacks.append(f"{op.name} ({op.code})")
        given = [i for i in op.inputs if i >= 0]
        computed = tuple(self.scope.name(i) for i in given if i not in self.scope.static)
        if not computed:
            raise InvalidError("it reads nothing that the network computes")
        data = [i for i in given if i in self.scope.static]
        data = [i for i in data if self.scope.tensor(i).dtype not in ("int64", "int32", "bool")]
        largest = max(data, key=self.scope.elements, default=None)
        for position, output in enumerate(op.outputs):
            count = vector_work(OpKind.FALLBACK, self.scope.elements(output))
            weight = None if largest is None else self.scope.name(largest)
            piece = Piece(
                OpKind.FALLBACK, computed, self.scope.name(output), weight, vector_ops=count,
                label=str(position) if position else "",
            )  # fmt: skip
            self._emit(op, piece)

    def _outputs(self) -> Iterator[str]:
        """Tensors that hold the graph outputs, then the states left for the next inference."""
        for index in self.graph.net.outputs:
            name = self.scope.name(index)
            if index in self.scope.static:
                message = f"output '{name}' is a constant"
                self.mistakes.append(self.graph.mistake("W106", message, "remove it"))
            else:
                yield self._holder(name)
        yield from self.leaves
        yield from (self.states[key] for key in sorted(self.written))

    def _finish(self) -> Workload:
        outputs = tuple(dict.fromkeys(self._outputs()))
        if not self.ops:
            message = "the network holds no operator that takes time"
            self.mistakes.append(self.graph.mistake("W101", message))
        if len(self.ops) > MAX_OPERATORS:
            message = f"the network is too large: {len(self.ops)} operators; the limit is "
            self.mistakes.append(self.graph.mistake("W107", f"{message}{MAX_OPERATORS}", REMEDY))
        if self.mistakes:
            raise AccelsimError(self.mistakes)
        for name in outputs:
            tensor = self.tensors[name]
            if tensor.role is Role.ACTIVATION:
                self.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, Role.OUTPUT)
        used = {*self.inputs, *(c for op in self.ops for c in (op.weight, op.bias) if c)}
        used |= {op.output for op in self.ops}
        held = {**self.names, **self.constants, **self.packed}
        aliases = {n: h for n, h in held.items() if n not in self.tensors and h in used}
        return Workload(
            name=self.graph.net.path.stem,
            tensors={name: tensor for name, tensor in self.tensors.items() if name in used},
            ops=tuple(self.ops),
            inputs=tuple(self.inputs),
            outputs=outputs,
            source=str(self.graph.net.path),
            fallbacks=tuple(self.fallbacks),
            aliases=aliases,
            parts={n: tuple(p) for n, p in self.parts.items() if n not in self.tensors},
        )
