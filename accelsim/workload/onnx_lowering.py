"""From chains of nodes to operators of the workload: names, tensors, views, what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from accelsim.errors import AccelsimError, Mistake
from accelsim.workload.graph import Op, OpKind, Role, Tensor, Workload
from accelsim.workload.limits import MAX_OPERATORS
from accelsim.workload.onnx_draft import (
    Draft,
    InvalidError,
    Local,
    Part,
    Scope,
    UnsupportedError,
)
from accelsim.workload.onnx_fold import FOLDED
from accelsim.workload.onnx_ops import RULES, fallback
from accelsim.workload.onnx_quant import Chain, Fusion, Scale, scale_of
from accelsim.workload.onnx_types import Model, Node
from accelsim.workload.vector_work import epilogue_work, vector_work


@dataclass
class Lowering:
    """Builds the workload node by node; the mutable state lives no longer than one call."""

    model: Model
    fusion: Fusion
    allow_fallback: bool
    stepwise: bool = False
    """Recurrent layers meet their inputs step by step."""
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
    parts: dict[str, dict[str, None]] = field(default_factory=dict)
    """Constant of the file -> the tensors that hold its parts."""
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
            chain = self.fusion.chains.get(node.name)
            if chain is None:
                self._check_names(node, node.outputs[:1])
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

    def _check_names(self, node: Node, made: Sequence[str]) -> None:
        """What a rule does not make nobody may read."""
        used = sorted({name for name in node.outputs if name and name not in made} & self.read)
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
        """The operators of a node with its fused epilogue; without a rule one fallback per used
        output."""
        node = chain.head
        model = self.model
        scope = Scope(
            model.values, self.fusion.constants, model.constants, self.read, self.stepwise
        )
        rule = RULES.get(node.key)
        if rule is None:
            if node.key in FOLDED and not self.allow_fallback:
                raise UnsupportedError("it depends on computed values; only shapes may")
            self._fallback(node, scope)
            return
        try:
            found = rule(node, scope)
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            # Attributes or ranks that no checker of onnx compares (com.microsoft has none).
            raise InvalidError(f"an input or attribute does not fit ({error})") from error
        drafts = found if isinstance(found, tuple) else (found,)
        made = [draft.output or node.outputs[0] for draft in drafts]
        self._check_names(node, [name for name in made if isinstance(name, str)])
        self._emit(chain, drafts)

    def _fallback(self, head: Node, scope: Scope) -> None:
        self.fallbacks.append(f"{head.name} ({head.key})")
        for index, output in enumerate(name for name in head.outputs if name):
            draft = fallback(head, scope, output)
            quantised = "int" in self.model.values[output].dtype
            name = head.name if index == 0 else f"{head.name}:{index}"
            self._emit(Chain(head, (), output, (), quantised), (replace(draft, name=name),))

    def _emit(self, chain: Chain, drafts: Sequence[Draft]) -> None:
        """Operators in order; what the file does not name is declared."""
        held = self.names if chain.quantised else self.floats
        for draft in drafts:
            names = [name for name in draft.inputs if isinstance(name, str)]
            if not draft.inputs or any(name in self.fusion.constants for name in names):
                raise UnsupportedError("it computes a constant; fold constants before reading")
            inputs = [self._input(chain, ref, held) for ref in draft.inputs]
            output = self._output(chain, draft.output)
            self._append(chain, draft, tuple(dict.fromkeys(inputs)), output)
            if not isinstance(draft.output, Local):
                self._holds(output, output)
        if any(draft.output == "" for draft in drafts):
            for node in (chain.head, *chain.members)[:-1] if chain.members else ():
                self._holds(node.outputs[0], chain.output)

    def _append(self, chain: Chain, draft: Draft, inputs: tuple[str, ...], output: str) -> None:
        weight = self._constant(draft.weight, Role.WEIGHT)
        bias = self._constant(draft.bias, Role.BIAS)
        if bias == weight and draft.gemm is None:
            bias = None  # scale and shift in one tensor: it is held, and moved, once
        fused = chain.fused if draft.applies_epilogue else ()
        members = chain.members if draft.applies_epilogue else ()
        elements = self.tensors[output].elements
        if draft.gemm is not None:
            count = epilogue_work(elements, len(fused))
        else:
            clips = sum(kind != "QuantizeLinear" for kind in fused)
            count = draft.vector_ops + elements * clips
        name = f"{chain.head.name}/{draft.label}" if draft.label else chain.head.name
        name = draft.name or name
        nodes = (chain.head.name, *(member.name for member in members))
        self.ops.append(
            Op(
                name, draft.kind, inputs, output, weight, bias,
                draft.gemm, draft.window, count, fused, nodes, draft.picks,
            )
        )  # fmt: skip

    def _input(self, chain: Chain, ref: str | Local, held: Mapping[str, str]) -> str:
        """Tensor of an operand; an output that the same node made before counts as made."""
        if isinstance(ref, Local):
            return self._local(chain, ref)
        return held.get(ref, ref) if ref in chain.head.outputs else held[ref]

    def _output(self, chain: Chain, ref: str | Local) -> str:
        if isinstance(ref, Local):
            return self._local(chain, ref)
        return self._tensor(ref or chain.output, Role.ACTIVATION)

    def _local(self, chain: Chain, local: Local) -> str:
        """Declares a tensor between the operators of one node."""
        name = f"{chain.head.name}/{local.label}"
        while name in self.model.values:
            name += "'"
        dtype = local.dtype or self.model.values[chain.output].dtype
        self.tensors.setdefault(name, Tensor(name, local.shape, dtype, Role.ACTIVATION))
        return name

    def _constant(self, ref: str | Part | None, role: Role) -> str | None:
        """Declares the constant that holds the bytes of ``ref``; a part is called as the whole,
        with what it is of it in brackets."""
        if ref is None:
            return None
        if isinstance(ref, str):
            return self._tensor(self.fusion.constants[ref], role)
        whole = self.fusion.constants[ref.name]
        name = f"{whole}[{ref.label}]"
        while name in self.model.values:
            name += "'"
        dtype = self.model.values[whole].dtype
        self.tensors.setdefault(name, Tensor(name, ref.shape, dtype, role))
        self.parts.setdefault(whole, {})[name] = None
        return name

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
        count = vector_work(kind, self.tensors[output].elements)
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
            parts={name: tuple(found) for name, found in self.parts.items()},
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
