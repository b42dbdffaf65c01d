"""ONNX files as workloads: ``read_onnx``.

The way there: verified file (``onnx_file``) -> plain nodes with shapes (``onnx_model``) -> chains
of nodes that run as one operator (``onnx_quant``) -> operators with their sizes (``onnx_ops``), put
together here, and checked by ``check_workload`` in a second way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.check import check_workload
from accelsim.workload.graph import Op, OpKind, Role, Tensor, Workload
from accelsim.workload.limits import MAX_OPERATORS
from accelsim.workload.onnx_check import check_model
from accelsim.workload.onnx_model import infer, load_nodes, require_known
from accelsim.workload.onnx_ops import (
    RULES,
    SUPPORTED,
    Draft,
    InvalidError,
    Scope,
    UnsupportedError,
    fallback,
)
from accelsim.workload.onnx_quant import Chain, Fusion, Scale, fuse, scale_of
from accelsim.workload.onnx_types import Model, Node
from accelsim.workload.onnx_values import contents

_HINT = 'rewrite or remove it, or read with unsupported="fallback" (costed as element-wise)'


def read_onnx(path: str | Path, batch: int = 1, unsupported: str = "refuse") -> Workload:
    """Reads a network.

    ``batch`` is the length of the free first dimension of the inputs; a network with a fixed one
    takes only that. ``unsupported``: "refuse" names every unknown operator in one error;
    "fallback" costs each as one lane operation per output element and lists it in
    ``Workload.fallbacks``.

    Activations are called by the tensor that carries their bytes (of a quantised network the output
    of QuantizeLinear), weights and biases by their initializers; every other name of the file is in
    ``Workload.aliases``. Raises :class:`AccelsimError`: W101 unreadable file, W102 unsupported
    operators, W103 unknown dimensions or batch, W104 external data, W105 element types,
    W106 invalid graph, window, scale or value, W107 beyond :mod:`accelsim.workload.limits`.
    """
    path = Path(path)
    if unsupported not in ("refuse", "fallback"):
        message = f"unsupported={unsupported!r} is neither 'refuse' nor 'fallback'"
        raise AccelsimError(Mistake("U001", message))
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        message = f"the batch must be a positive whole number, not {batch!r}"
        raise AccelsimError(Mistake("W103", message))
    try:
        proto, nodes = load_nodes(path)
        _refuse_unknown(nodes, path, unsupported == "fallback")
        held = contents(proto, path)
        model = infer(proto, nodes, path, batch)
        check_model(model, held)
        require_known(model)
    except UnicodeDecodeError as error:
        message = f"not an ONNX file, or damaged: a name in it is no text ({error.reason})"
        hint = "download or export it again"
        raise AccelsimError(Mistake("W101", message, hint, Location(str(path)))) from error
    workload = _Lowering(model, fuse(model), unsupported == "fallback").run()
    check_workload(workload)
    return workload


def _refuse_unknown(nodes: Iterable[Node], path: Path, allow_fallback: bool) -> None:
    """One error that names every node without a rule. Control flow is never costed."""
    mistakes = []
    for node in nodes:
        if node.has_subgraph:
            message = f"node '{node.name}' ({node.key}) carries a graph of its own"
            hint = "control flow cannot be costed; export a straight network"
        elif node.key not in SUPPORTED and not allow_fallback:
            message = f"operator {node.key} of node '{node.name}' is not supported"
            hint = _HINT
        else:
            continue
        mistakes.append(Mistake("W102", message, hint, Location(str(path))))
    if mistakes:
        raise AccelsimError(mistakes)


@dataclass
class _Lowering:
    """Builds the workload node by node; the mutable state lives no longer than one call."""

    model: Model
    fusion: Fusion
    allow_fallback: bool
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Value of the file -> tensor that holds it, in its quantised form if it has one."""
    floats: dict[str, str] = field(default_factory=dict)
    """The same for readers in floating point."""
    scales: dict[str, Scale] = field(default_factory=dict)
    """Value that a DequantizeLinear made -> how its bytes are scaled."""
    fallbacks: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    read: frozenset[str] = frozenset()
    """Values that a node reads or that leave the network."""

    def __post_init__(self) -> None:
        inputs = (name for node in self.model.nodes for name in node.inputs)
        self.read = frozenset((*inputs, *self.model.outputs))

    def run(self) -> Workload:
        """Lowers every node; raises all that cannot be lowered at once (W102)."""
        for name in self.model.inputs:
            self.names[name] = self.floats[name] = name
            self._tensor(name, Role.INPUT)
        for node in self.model.nodes:
            if node.name not in self.fusion.swallowed and node.name not in self.fusion.folded:
                self._node(node)
        if self.mistakes:
            raise AccelsimError(self.mistakes)
        return self._finish()

    def _node(self, node: Node) -> None:
        try:
            self._check_names(node)
            chain = self.fusion.chains.get(node.name)
            if chain is not None:
                self._operator(chain)
            elif node.key == "DequantizeLinear":
                self._dequantize(node)
            elif node.key == "QuantizeLinear":
                self._quantize(node)
            else:
                self._view(node)
        except UnsupportedError as reason:
            message = f"node '{node.name}' ({node.key}) {reason.statement}: {reason}"
            self.mistakes.append(self.model.mistake(reason.code, message, reason.hint))
            failed = self.fusion.chains.get(node.name)
            for part in (node, *(failed.members if failed else ())):
                for name in part.outputs:  # so that readers do not add mistakes of their own
                    self._holds(name, name)

    def _check_names(self, node: Node) -> None:
        """A rule gives one output; anything that reads another would find nothing."""
        if node.key not in RULES and node.name in self.fusion.chains:
            return
        used = sorted({name for name in node.outputs[1:] if name} & self.read)
        if used:
            raise UnsupportedError(f"its output '{used[0]}' is used")

    def _holds(self, name: str, tensor: str, as_float: str | None = None) -> None:
        self.names[name] = tensor
        self.floats[name] = tensor if as_float is None else as_float

    def _tensor(self, name: str, role: Role, like: str | None = None) -> str:
        """Declares a tensor (once)."""
        value = self.model.values[like or name]
        self.tensors.setdefault(name, Tensor(name, value.shape, value.dtype, role))
        return name

    def _operator(self, chain: Chain) -> None:
        """An operator with its fused epilogue; without a rule one fallback per used output."""
        scope = Scope(self.model.values, self.fusion.constants)
        rule = RULES.get(chain.head.key)
        if rule is None:
            self._fallback(chain.head, scope)
            return
        try:
            draft = rule(chain.head, scope)
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            # Attributes or ranks that no checker of onnx compares (com.microsoft has none).
            raise InvalidError(f"an input or attribute does not fit ({error})") from error
        self._emit(chain, draft, chain.head.name)

    def _fallback(self, head: Node, scope: Scope) -> None:
        self.fallbacks.append(f"{head.name} ({head.key})")
        for index, output in enumerate(name for name in head.outputs if name):
            draft = fallback(head, scope, output)
            chain = Chain(head, (), output, (), "int" in self.model.values[output].dtype)
            self._emit(chain, draft, head.name if index == 0 else f"{head.name}:{index}")

    def _emit(self, chain: Chain, draft: Draft, name: str) -> None:
        if not draft.inputs or any(name in self.fusion.constants for name in draft.inputs):
            raise UnsupportedError("it computes a constant; fold constants before reading")
        held = self.names if chain.quantised else self.floats
        inputs = tuple(dict.fromkeys(held[source] for source in draft.inputs))
        weight = self._constant(draft.weight, Role.WEIGHT)
        bias = self._constant(draft.bias, Role.BIAS)
        if bias == weight and draft.gemm is None:
            bias = None  # scale and shift in one tensor: it is held, and moved, once
        output = self._tensor(chain.output, Role.ACTIVATION)
        elements = self.model.values[output].elements
        if draft.gemm is not None:
            count = elements * max(1, len(chain.fused))
        else:
            clips = sum(kind != "QuantizeLinear" for kind in chain.fused)
            count = draft.vector_ops + elements * clips
        nodes = (chain.head.name, *(member.name for member in chain.members))
        self.ops.append(
            Op(
                name, draft.kind, inputs, output, weight, bias,
                draft.gemm, draft.window, count, chain.fused, nodes,
            )
        )  # fmt: skip
        self._holds(output, output)
        for node in (chain.head, *chain.members)[:-1] if chain.members else ():
            self._holds(node.outputs[0], output)

    def _constant(self, name: str | None, role: Role) -> str | None:
        """Declares the constant that holds the bytes of ``name``."""
        if name is None:
            return None
        return self._tensor(self.fusion.constants[name], role)

    def _dequantize(self, node: Node) -> None:
        """A rename, or an operator where something reads its output in floating point."""
        source, output = self.names[node.inputs[0]], node.outputs[0]
        scale = scale_of(node, self.model)
        if scale is not None:
            self.scales[output] = scale
        if output not in self.fusion.floats:
            self._holds(output, source)
            return
        self._move(node, OpKind.DEQUANTIZE, source, output)
        self._holds(output, source, output)

    def _quantize(self, node: Node) -> None:
        """A rename where the bytes are already those (equal scale), otherwise an operator."""
        source, output = node.inputs[0], node.outputs[0]
        scale = scale_of(node, self.model)
        if scale is not None and self.scales.get(source) == scale:
            self._holds(output, self.names[source])
            return
        self._move(node, OpKind.QUANTIZE, self.names[source], output)
        self._holds(output, output)

    def _move(self, node: Node, kind: OpKind, source: str, output: str) -> None:
        """A conversion: one lane operation per element."""
        self._tensor(output, Role.ACTIVATION)
        count = self.tensors[output].elements
        op = Op(node.name, kind, (source,), output, vector_ops=count, nodes=(node.name,))
        self.ops.append(op)

    def _view(self, node: Node) -> None:
        source, output = node.inputs[0], node.outputs[0]
        self._holds(output, self.names[source], self.floats[source])
        if source in self.scales:
            self.scales[output] = self.scales[source]

    def _outputs(self) -> Iterator[str]:
        """Tensors that hold the graph outputs."""
        for name in self.model.outputs:
            if name in self.fusion.constants:
                message = f"output '{name}' is a constant"
                self.mistakes.append(self.model.mistake("W106", message, "remove it"))
            else:
                yield (self.floats if name in self.fusion.floats else self.names)[name]

    def _finish(self) -> Workload:
        outputs = tuple(dict.fromkeys(self._outputs()))
        if not self.ops:
            message = "the network holds no operator that takes time"
            self.mistakes.append(self.model.mistake("W101", message))
        if len(self.ops) > MAX_OPERATORS:
            message = f"the network is too large: {len(self.ops)} operators; the limit is "
            mistake = self.model.mistake("W107", f"{message}{MAX_OPERATORS}", "split it")
            self.mistakes.append(mistake)
        if self.mistakes:
            raise AccelsimError(self.mistakes)
        for name in outputs:
            tensor = self.tensors[name]
            if tensor.role is Role.ACTIVATION:
                self.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, Role.OUTPUT)
        return Workload(
            name=self.model.path.stem,
            tensors=self.tensors,
            ops=tuple(self.ops),
            inputs=self.model.inputs,
            outputs=outputs,
            source=str(self.model.path),
            fallbacks=tuple(self.fallbacks),
            aliases=self._aliases(),
        )

    def _aliases(self) -> dict[str, str]:
        """Every name of the file that is no tensor itself, activations first, in file order."""
        found = {}
        for name, tensor in self.names.items():
            holder = self.floats[name] if name in self.fusion.floats else tensor
            if name not in self.tensors and holder != name:
                found[name] = holder
        for name, constant in self.fusion.constants.items():
            if name != constant and constant in self.tensors:
                found[name] = constant
        return found
