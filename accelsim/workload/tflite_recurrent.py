"""TensorFlow Lite operators with a state: long short-term memory and SVDF.

A state that lives from one inference to the next enters the workload as a graph input and leaves
it as a graph output, whether an operator holds it (variable tensors, here) or the graph does
(``READ_VARIABLE``, ``ASSIGN_VARIABLE``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from accelsim.workload.graph import Gemm, OpKind, Role, Tensor
from accelsim.workload.limits import MAX_OPERANDS, MAX_STEPS, product_excess
from accelsim.workload.tflite_array import Rule, activation, bias_name, require_shape, stages
from accelsim.workload.tflite_types import (
    InvalidError,
    Piece,
    Scope,
    TfOp,
    TooLargeError,
    UnsupportedError,
)
from accelsim.workload.vector_work import vector_work

# Operand positions of UNIDIRECTIONAL_SEQUENCE_LSTM (schema and kernel of TensorFlow Lite).
_INPUT_WEIGHTS, _RECURRENT_WEIGHTS, _BIASES = (1, 2, 3, 4), (5, 6, 7, 8), (12, 13, 14, 15)
_PEEPHOLES, _NORMS = (9, 10, 11), (20, 21, 22, 23)
_PROJECTION, _PROJECTION_BIAS, _OUTPUT_STATE, _CELL_STATE = 16, 17, 18, 19


def sums_type(dtype: str) -> str:
    """Type of gate sums: the integer kernels keep them in 16 bits, beside 8-bit activations."""
    return {"int8": "int16", "uint8": "int16", "int16": "int32"}.get(dtype, dtype)


@dataclass(frozen=True)
class _Cell:
    """Sizes and operands of one LSTM operator."""

    op: TfOp
    scope: Scope
    batch: int
    steps: int
    depth: int
    units: int
    outputs: int
    """Elements of the hidden state (``units`` without a projection)."""
    gates: tuple[int, ...]
    """Gates that the cell has, in the file's order: without the first, it is one minus the
    forget gate."""

    @property
    def columns(self) -> int:
        """Sums of all gates."""
        return len(self.gates) * self.units

    @property
    def dtype(self) -> str:
        """Type of the activations."""
        return self.scope.tensor(self.op.input(0)).dtype

    def tensor(self, label: str, columns: int, dtype: str, role: Role = Role.ACTIVATION) -> Tensor:
        """A result of one step."""
        return Tensor(f"{self.op.name}:{label}", (self.batch, columns), dtype, role)

    def packed(self, label: str, positions: tuple[int, ...], depth: int) -> Piece | None:
        """The constants of all gates, one after the other in one tensor (kept in a carrier
        without an operator); None where the file leaves them out."""
        chosen = [self.op.input(positions[gate]) for gate in self.gates]
        if all(index < 0 for index in chosen) and not depth:
            return None
        expected = (self.units, depth) if depth else (self.units,)
        for index in chosen:
            require_shape(self.scope.shape(index), expected, "weight")
            if index not in self.scope.static:
                raise UnsupportedError("weights that are computed")
        role = Role.WEIGHT if depth else Role.BIAS
        shape = (self.columns, depth) if depth else (self.columns,)
        tensor = Tensor(f"{self.op.name}:{label}", shape, self.scope.tensor(chosen[0]).dtype, role)
        holds = {self.scope.name(index): tensor.name for index in chosen}
        return Piece(OpKind.ADD, (), tensor.name, declares=(tensor,), holds=holds)


def _cell(op: TfOp, scope: Scope) -> _Cell:
    """Sizes from the operands; refuses what is not modelled."""
    for positions, what in ((_PEEPHOLES, "peephole weights"), (_NORMS, "layer normalisation")):
        if any(op.input(position) >= 0 for position in positions):
            raise UnsupportedError(what)
    shape = scope.shape(op.input(0))
    if len(shape) != 3:
        raise InvalidError(f"an input of shape {list(shape)}, not [batch, time, features]")
    batch, steps = (shape[1], shape[0]) if op.option("TimeMajor") else shape[:2]
    if steps > MAX_STEPS:
        raise TooLargeError(f"{steps} steps of a recurrent cell; the limit is {MAX_STEPS}")
    forget, recurrent = (scope.shape(op.input(p[1])) for p in (_INPUT_WEIGHTS, _RECURRENT_WEIGHTS))
    if len(forget) != 2 or len(recurrent) != 2:
        raise InvalidError(f"weights of shape {list(forget)} and {list(recurrent)}")
    first = 0 if op.input(_INPUT_WEIGHTS[0]) >= 0 else 1
    outputs = recurrent[1]
    if op.input(_PROJECTION) < 0 and outputs != forget[0]:
        raise InvalidError(f"{outputs} outputs of {forget[0]} units without a projection")
    require_shape(scope.shape(op.outputs[0]), (*shape[:2], outputs))
    return _Cell(op, scope, batch, steps, shape[2], forget[0], outputs, tuple(range(first, 4)))


def lstm(op: TfOp, scope: Scope) -> list[Piece]:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: the inputs of all steps meet their weights in one product, or
    (``stepwise``) those of every step in one of its own; then every step adds the product of the
    hidden state to its own sums, and goes through gates, cell and output."""
    cell = _cell(op, scope)
    weights = cell.packed("input_weights", _INPUT_WEIGHTS, cell.depth)
    recurrent = cell.packed("recurrent_weights", _RECURRENT_WEIGHTS, cell.outputs)
    bias = cell.packed("biases", _BIASES, 0)
    assert weights is not None, "only biases may be left out"
    assert recurrent is not None, "only biases may be left out"
    kind, packs = sums_type(cell.dtype), [part for part in (weights, bias) if part is not None]
    if scope.stepwise:
        sums = [cell.tensor(f"sums_{step}", cell.columns, kind) for step in range(cell.steps)]
    else:
        shape = (cell.batch, cell.steps, cell.columns)
        sums = [Tensor(f"{op.name}:sums", shape, kind, Role.ACTIVATION)]
    gemm = Gemm(cell.batch * (cell.steps // len(sums)), cell.depth, cell.columns)
    excess = product_excess(gemm)
    if excess is not None:
        raise TooLargeError(excess)
    products = [
        Piece(
            OpKind.MATMUL, (scope.name(op.input(0)),), made.name, weights.output,
            bias.output if bias else None, gemm, vector_ops=made.elements,
            label=f"input_{step}" if scope.stepwise else "input",
            declares=(made, *(tensor for part in packs for tensor in part.declares)),
            holds={name: holder for part in packs for name, holder in part.holds.items()},
        )
        for step, made in enumerate(sums)
    ]  # fmt: skip
    return [*products, *_steps(cell, sums, recurrent)]


def _steps(cell: _Cell, sums: list[Tensor], recurrent: Piece) -> Iterator[Piece]:
    """All steps, and the sequence of their outputs."""
    op, scope = cell.op, cell.scope
    hidden, state = (scope.name(op.input(p)) for p in (_OUTPUT_STATE, _CELL_STATE))
    for position, columns in ((_OUTPUT_STATE, cell.outputs), (_CELL_STATE, cell.units)):
        require_shape(scope.shape(op.input(position)), (cell.batch, columns), "state")
    results = []
    for step in range(cell.steps):
        own = sums[step] if len(sums) > 1 else sums[0]
        pieces = list(_step(cell, step, own, recurrent, hidden, state))
        state = next(p.output for p in pieces if p.label == f"cell_{step}")
        hidden = pieces[-1].output
        results.append(hidden)
        if step == cell.steps - 1:
            pieces[-1] = replace(pieces[-1], leaves=(state, hidden))
        yield from pieces
    yield from _sequence(cell, results)


def _step(
    cell: _Cell, step: int, sums: Tensor, recurrent: Piece, hidden: str, state: str
) -> Iterator[Piece]:
    """One step: recurrent product, gates (which pick the step's own sums of the inputs), cell,
    hidden state (which picks the output gate)."""
    kept = sums_type(cell.dtype)
    fed = cell.tensor(f"recurrent_{step}", cell.columns, kept)
    gates = cell.tensor(f"gates_{step}", cell.columns, kept)
    held = cell.scope.tensor(cell.op.input(_CELL_STATE)).dtype
    new_state = cell.tensor(f"cell_{step}", cell.units, held)
    out = cell.tensor(f"hidden_{step}", cell.units, cell.dtype)
    yield Piece(
        OpKind.MATMUL, (hidden,), fed.name, recurrent.output,
        gemm=Gemm(cell.batch, cell.outputs, cell.columns), vector_ops=fed.elements,
        label=f"recurrent_{step}", declares=(fed, *recurrent.declares), holds=recurrent.holds,
    )  # fmt: skip
    yield Piece(
        OpKind.SIGMOID, (sums.name, fed.name), gates.name, picks=True,
        vector_ops=vector_work("gate", gates.elements), label=f"gates_{step}", declares=(gates,),
    )  # fmt: skip
    coupled = 0 if 0 in cell.gates else new_state.elements  # input gate = 1 - forget gate
    yield Piece(
        OpKind.ADD, (gates.name, state), new_state.name,
        vector_ops=vector_work("cell", new_state.elements) + coupled, label=f"cell_{step}",
        declares=(new_state,),
    )  # fmt: skip
    yield Piece(
        OpKind.TANH, (gates.name, new_state.name), out.name, picks=True,
        vector_ops=vector_work("hidden", out.elements), label=f"hidden_{step}", declares=(out,),
    )  # fmt: skip
    if cell.op.input(_PROJECTION) >= 0:
        yield _projection(cell, step, out)


def _projection(cell: _Cell, step: int, hidden: Tensor) -> Piece:
    """The smaller hidden state of a projected cell."""
    op, scope = cell.op, cell.scope
    weight = op.input(_PROJECTION)
    if weight not in scope.static:
        raise UnsupportedError("weights that are computed")
    require_shape(scope.shape(weight), (cell.outputs, cell.units), "projection")
    out = cell.tensor(f"projected_{step}", cell.outputs, cell.dtype)
    return Piece(
        OpKind.MATMUL, (hidden.name,), out.name, scope.name(weight),
        bias_name(op.input(_PROJECTION_BIAS), scope, cell.outputs),
        Gemm(cell.batch, cell.units, cell.outputs), vector_ops=out.elements,
        label=f"projected_{step}", declares=(out,),
    )  # fmt: skip


def _sequence(cell: _Cell, results: list[str]) -> Iterator[Piece]:
    """Joins the hidden states to the operator's output, in two levels where there are many."""
    parts: list[tuple[str, int]] = [(name, 1) for name in results]
    level = 0
    while len(parts) > MAX_OPERANDS:
        joined = []
        for start in range(0, len(parts), MAX_OPERANDS):
            group = parts[start : start + MAX_OPERANDS]
            steps = sum(count for _, count in group)
            label = f"join_{level}_{start}"
            made = cell.tensor(label, steps * cell.outputs, cell.dtype)
            yield Piece(
                OpKind.CONCAT, tuple(name for name, _ in group), made.name, label=label,
                vector_ops=vector_work(OpKind.CONCAT, made.elements), declares=(made,),
            )  # fmt: skip
            joined.append((made.name, steps))
        parts, level = joined, level + 1
    elements = cell.scope.elements(cell.op.outputs[0])
    yield Piece(
        OpKind.CONCAT, tuple(name for name, _ in parts), cell.scope.name(cell.op.outputs[0]),
        vector_ops=vector_work(OpKind.CONCAT, elements), label="sequence",
    )  # fmt: skip


def svdf(op: TfOp, scope: Scope) -> list[Piece]:
    """SVDF: a product with the feature filters, whose results enter a memory of the last steps;
    each filter then meets its memory (one product of depth ``memory`` per filter), and ``rank``
    filters add up to a unit."""
    source, features, times, state = (op.input(i) for i in (0, 1, 2, 4))
    shape, weight, memory = (scope.shape(i) for i in (source, features, times))
    rank = op.option("Rank")
    if len(shape) != 2 or len(weight) != 2 or len(memory) != 2 or rank < 1 or weight[0] % rank:
        raise InvalidError(f"filters {list(weight)} and {list(memory)} of rank {rank}")
    if features not in scope.static or times not in scope.static:
        raise UnsupportedError("weights that are computed")
    batch, (filters, depth) = shape[0], weight
    require_shape(shape, (batch, depth), "input")
    require_shape(memory, (filters, memory[1]), "time filters")
    require_shape(scope.shape(state), (batch, filters * memory[1]), "state")
    require_shape(scope.shape(op.outputs[0]), (batch, filters // rank))
    held = scope.tensor(state)
    made = Tensor(f"{op.name}:features", (batch, filters), held.dtype, Role.ACTIVATION)
    kept = Tensor(f"{op.name}:state", held.shape, held.dtype, Role.ACTIVATION)
    first = Piece(
        OpKind.MATMUL, (scope.name(source),), made.name, scope.name(features),
        gemm=Gemm(batch, depth, filters), vector_ops=made.elements, label="features",
        declares=(made,),
    )  # fmt: skip
    shift = Piece(
        OpKind.CONCAT, (held.name, made.name), kept.name, label="state", declares=(kept,),
        vector_ops=vector_work(OpKind.CONCAT, kept.elements), leaves=(kept.name,),
    )  # fmt: skip
    return [first, shift, *_svdf_output(op, scope, kept, (batch, filters, rank))]


def _svdf_output(
    op: TfOp, scope: Scope, kept: Tensor, sizes: tuple[int, int, int]
) -> Iterator[Piece]:
    """The product along time, and the sum over the rank."""
    batch, filters, rank = sizes
    times, bias = op.input(2), bias_name(op.input(3), scope, filters // rank)
    gemm = Gemm(batch, scope.shape(times)[1], 1, filters)
    output, fused = scope.name(op.outputs[0]), stages(op, scope)
    if rank == 1:
        count = batch * filters * max(1, len(fused))
        yield Piece(
            OpKind.MATMUL, (kept.name,), output, scope.name(times), bias, gemm,
            vector_ops=count, fused=fused, label="time",
        )  # fmt: skip
        return
    wide = "int32" if scope.integer(op.outputs[0]) else kept.dtype
    sums = Tensor(f"{op.name}:sums", (batch, filters), wide, Role.ACTIVATION)
    yield Piece(
        OpKind.MATMUL, (kept.name,), sums.name, scope.name(times), gemm=gemm,
        vector_ops=sums.elements, label="time", declares=(sums,),
    )  # fmt: skip
    count = vector_work(OpKind.REDUCE, batch * filters // rank, inputs=sums.elements)
    clips = len(activation(op)) * batch * filters // rank
    yield Piece(
        OpKind.REDUCE, (sums.name,), output, bias=bias, vector_ops=count + clips, fused=fused,
        label="rank",
    )  # fmt: skip


RULES: dict[str, Rule] = {"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm, "SVDF": svdf}
"""Operator -> rule."""
