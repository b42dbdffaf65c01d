"""Rules of the recurrent layers: LSTM, GRU, RNN, unrolled step by step.

Per direction the products with the inputs of all steps are one matrix product; every step then
multiplies the last hidden state and applies the gates on the vector unit. A step without an old
state (none given, or a constant one, whose product is a constant) has no recurrent product. Gates
and states are called as in the operator's documentation. All steps of a padded sequence count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accelsim.workload.graph import Gemm, OpKind
from accelsim.workload.limits import MAX_OPERANDS, MAX_STEPS
from accelsim.workload.onnx_draft import (
    Draft,
    Drafts,
    InvalidError,
    Local,
    Part,
    Scope,
    TooLargeError,
    UnsupportedError,
)
from accelsim.workload.onnx_types import Node
from accelsim.workload.vector_work import vector_work

Ref = str | Local

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Operator -> gates, each as wide as the hidden state."""


@dataclass(frozen=True)
class Layer:
    """Sizes and operands of one recurrent node."""

    kind: str
    source: str
    weight: str
    recurrence: str
    bias: str
    steps: int
    batch: int
    features: int
    hidden: int
    directions: int
    reset_after: bool
    """GRU: the reset gate scales the recurrent product, not the state (linear_before_reset)."""

    @property
    def state(self) -> tuple[int, int]:
        """Shape of a state of one direction."""
        return self.batch, self.hidden

    @property
    def wide(self) -> tuple[int, int]:
        """Shape of the sums of all gates of one step."""
        return self.batch, self.hidden * GATES[self.kind]


def recurrent(node: Node, scope: Scope) -> Drafts:
    """LSTM, GRU or RNN. Raises W102 for peepholes, gate clipping and computed weights, W107 for
    more than :data:`MAX_STEPS` steps."""
    layer = _layer(node, scope)
    drafts: list[Draft] = []
    sequences: list[Ref] = []
    lasts: dict[int, list[Ref]] = {1: [], 2: []}
    for direction in range(layer.directions):
        made, hiddens, cell = _direction(node, layer, direction, scope)
        drafts += made
        sequences += hiddens
        lasts[1].append(hiddens[-1])
        lasts[2] += [cell] if cell is not None else []
    drafts += _gather(sequences, node.outputs[0], (layer.steps, *layer.state), layer, scope)
    for index, refs in lasts.items():
        if index < len(node.outputs) and refs and refs != [node.outputs[index]]:
            drafts += _gather(refs, node.outputs[index], layer.state, layer, scope, f"last{index}")
    return tuple(drafts)


def _layer(node: Node, scope: Scope) -> Layer:
    """Sizes, from the shapes; refuses what is not modelled."""
    kind = node.op_type
    source, weight, recurrence = node.inputs[:3]
    if weight not in scope.constants or recurrence not in scope.constants:
        raise UnsupportedError("weights that are computed")
    if source in scope.constants:
        raise UnsupportedError("a sequence that is constant")
    if node.input(7):
        raise UnsupportedError("peepholes")
    if node.attributes.get("clip") or node.attributes.get("input_forget", 0):
        raise UnsupportedError("clipped or coupled gates")
    if node.input(3) and node.input(3) not in scope.constants:
        raise UnsupportedError("a bias that is computed")
    shape = scope.shape(source)
    steps, batch = shape[:2]
    if node.attributes.get("layout", 0):
        steps, batch = batch, steps
    if steps > MAX_STEPS:
        raise TooLargeError(f"{steps} steps; the limit is {MAX_STEPS}")
    directions, rows, hidden = scope.shape(recurrence)
    gates = GATES[kind]
    if rows != gates * hidden or scope.shape(weight) != (directions, rows, shape[2]):
        shapes = f"{list(scope.shape(weight))} and {list(scope.shape(recurrence))}"
        raise InvalidError(f"weights of shape {shapes} for {shape[2]} features")
    return Layer(
        kind, source, weight, recurrence, node.input(3), steps, batch, shape[2], hidden,
        directions, bool(node.attributes.get("linear_before_reset", 0)),
    )  # fmt: skip


def _part(
    name: str, direction: int, layer: Layer, rows: tuple[int, int] | None = None
) -> str | Part:
    """The rows (all by default) of one direction of a stacked weight."""
    width = layer.features if name == layer.weight else layer.hidden
    whole = layer.hidden * GATES[layer.kind]
    first, count = rows or (0, whole)
    if layer.directions == 1 and count == whole:
        return name
    label = f"{direction}" if count == whole else f"{direction},{first}:{first + count}"
    return Part(name, label, (1, count, width))


def _direction(
    node: Node, layer: Layer, direction: int, scope: Scope
) -> tuple[list[Draft], list[Ref], Ref | None]:
    """Drafts of one direction, its hidden states step by step, and its last cell."""
    label = f"{direction}"
    if scope.stepwise:
        sums = [Local(f"{label}.{step}.x", layer.wide) for step in range(layer.steps)]
    else:
        sums = [Local(f"{label}.x", (layer.steps, *layer.wide))]
    product = Gemm(layer.steps // len(sums) * layer.batch, layer.features, layer.wide[1])
    bias = layer.bias if layer.bias else None
    drafts = [
        Draft(
            OpKind.MATMUL, (layer.source,), _part(layer.weight, direction, layer), bias, product,
            label=f"{label}.{step}.input" if scope.stepwise else f"{label}.input", output=made,
        )
        for step, made in enumerate(sums)
    ]  # fmt: skip
    hidden = _initial(node.input(5), layer, direction, "h", scope, drafts)
    cell = _initial(node.input(6), layer, direction, "c", scope, drafts)
    hiddens: list[Ref] = []
    for step in range(layer.steps):
        names = _names(node, layer, scope) if step == layer.steps - 1 else {}
        own = sums[step] if len(sums) > 1 else sums[0]
        at = _Step(layer, direction, f"{label}.{step}", own, hidden, cell, names)
        drafts += {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[layer.kind](at)
        hidden = at.state("h")
        cell = at.state("c") if layer.kind == "LSTM" else None
        hiddens.append(hidden)
    return drafts, hiddens, cell


def _names(node: Node, layer: Layer, scope: Scope) -> dict[str, str]:
    """The last states of a single direction are outputs of the node."""
    if layer.directions > 1:
        return {}
    wanted = {"h": node.outputs[1:2], "c": node.outputs[2:3]}
    return {what: found[0] for what, found in wanted.items() if found and found[0] in scope.read}


def _initial(
    name: str, layer: Layer, direction: int, label: str, scope: Scope, drafts: list[Draft]
) -> Ref | None:
    """The state before the first step: of a stack for both directions, its part."""
    if scope.zero(name):
        return None
    if layer.directions == 1:
        return name
    part = Local(f"{direction}.{label}", layer.state)
    count = vector_work(OpKind.SLICE, layer.batch * layer.hidden)
    drafts.append(
        Draft(
            OpKind.SLICE, (name,), vector_ops=count, picks=True,
            label=f"{direction}.initial_{label}", output=part,
        )
    )  # fmt: skip
    return part


@dataclass(frozen=True)
class _Step:
    """One step of one direction."""

    layer: Layer
    direction: int
    label: str
    sums: Local
    """Input sums of all steps, or of this one."""
    hidden: Ref | None
    cell: Ref | None
    outputs: Mapping[str, str]
    """State -> output of the node that it is (last step of a single direction)."""

    def state(self, what: str) -> Ref:
        """The new state ``what`` (h or c)."""
        return self.outputs.get(what) or self.local(what)

    def local(self, what: str, gates: int = 1) -> Local:
        """A tensor of this step, ``gates`` hidden states wide."""
        return Local(f"{self.label}.{what}", (self.layer.batch, gates * self.layer.hidden))

    def product(self, what: str, source: Ref, rows: tuple[int, int] | None = None) -> Draft:
        """State x recurrent weights (some of their rows)."""
        layer = self.layer
        count = (rows or (0, layer.wide[1]))[1]
        return Draft(
            OpKind.MATMUL, (source,), _part(layer.recurrence, self.direction, layer, rows),
            gemm=Gemm(layer.batch, layer.hidden, count),
            label=f"{self.label}.{what}", output=self.local(what, count // layer.hidden),
        )  # fmt: skip

    def gate(
        self, kind: OpKind, work: str, what: str, inputs: tuple[Ref, ...],
        gates: int = 1, *, picks: bool = True,
    ) -> Draft:  # fmt: skip
        """Vector work over ``gates`` states."""
        output = self.state(what) if gates == 1 else self.local(what, gates)
        count = vector_work(work, self.layer.batch * self.layer.hidden * gates)
        return Draft(
            kind, inputs, vector_ops=count, picks=picks, label=f"{self.label}.{what}",
            output=output,
        )  # fmt: skip


def _lstm(at: _Step) -> Iterator[Draft]:
    """Gates i, o, f, c; cell C = f C + i c; hidden state H = o act(C). The cell is taken to read
    all four gates as they lie side by side."""
    sums: tuple[Ref, ...] = (at.sums,)
    if at.hidden is not None:
        product = at.product("recurrent", at.hidden)
        yield product
        sums = (at.sums, product.output)
    gates = at.gate(OpKind.SIGMOID, "gate", "gates", sums, 4)
    yield gates
    if at.cell is None:
        yield at.gate(OpKind.MUL, "first_cell", "c", (gates.output,), picks=False)
    else:
        yield at.gate(OpKind.MUL, "cell", "c", (gates.output, at.cell), picks=False)
    yield at.gate(OpKind.TANH, "hidden", "h", (gates.output, at.state("c")))


def _gru(at: _Step) -> Iterator[Draft]:
    """Gates z, r; candidate from r and the state, before or after its product;
    H = (1 - z) candidate + z H."""
    layer, old = at.layer, at.hidden
    if old is None:
        gates = at.gate(OpKind.SIGMOID, "gate", "gates", (at.sums,), 2)
        candidate = at.gate(OpKind.TANH, "gate", "candidate", (at.sums,))
        yield from (gates, candidate)
        yield at.gate(OpKind.MUL, "first_blend", "h", (gates.output, candidate.output))
        return
    if layer.reset_after:
        product = at.product("recurrent", old)
        gates = at.gate(OpKind.SIGMOID, "gate", "gates", (at.sums, product.output), 2)
        operands = (at.sums, product.output, gates.output)
        candidate = at.gate(OpKind.TANH, "reset_gate", "candidate", operands)
        yield from (product, gates, candidate)
    else:
        product = at.product("recurrent", old, (0, 2 * layer.hidden))
        gates = at.gate(OpKind.SIGMOID, "gate", "gates", (at.sums, product.output), 2)
        reset = at.gate(OpKind.MUL, "mul", "reset", (gates.output, old))
        inner = at.product("inner", reset.output, (2 * layer.hidden, layer.hidden))
        candidate = at.gate(OpKind.TANH, "gate", "candidate", (at.sums, inner.output))
        yield from (product, gates, reset, inner, candidate)
    yield at.gate(OpKind.MUL, "blend", "h", (gates.output, candidate.output, old))


def _rnn(at: _Step) -> Iterator[Draft]:
    """H = act(input sum + recurrent sum)."""
    sums: tuple[Ref, ...] = (at.sums,)
    if at.hidden is not None:
        product = at.product("recurrent", at.hidden)
        yield product
        sums = (at.sums, product.output)
    yield at.gate(OpKind.TANH, "gate", "h", sums)


def _gather(
    refs: list[Ref], output: str, shape: tuple[int, ...], layer: Layer, scope: Scope,
    label: str = "sequence",
) -> Iterator[Draft]:  # fmt: skip
    """States laid side by side as an output of the node, if somebody reads it; in several rounds
    where there are more than :data:`MAX_OPERANDS`."""
    if not output or output not in scope.read:
        return
    turn = 0
    while len(refs) > MAX_OPERANDS:
        groups = [refs[i : i + MAX_OPERANDS] for i in range(0, len(refs), MAX_OPERANDS)]
        refs = []
        for index, group in enumerate(groups):
            part = Local(f"{label}{turn}.{index}", (len(group), *layer.state))
            yield _concat(group, part, f"{label}{turn}.{index}")
            refs.append(part)
        turn += 1
    yield _concat(refs, output, label, scope.elements(output))


def _concat(refs: list[Ref], output: Ref, label: str, elements: int = 0) -> Draft:
    if isinstance(output, Local):
        elements = 1
        for dim in output.shape:
            elements *= dim
    count = vector_work(OpKind.CONCAT, elements)
    inputs = tuple(dict.fromkeys(refs))
    return Draft(OpKind.CONCAT, inputs, vector_ops=count, label=label, output=output)
