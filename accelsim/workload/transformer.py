"""Transformers as workloads from their dimensions alone: ``transformer``, ``PRESETS``.

A block is: normalisation, products for Q, K and V, (rotary embedding,) scores, softmax, values,
output product, residual sum, normalisation, multilayer perceptron, residual sum. ``gated`` tells
the two families apart: with it RMS normalisation, rotary embedding, no biases and a gated
perceptron of three products (Llama and its kin), without it layer normalisation, biases and two
products with a GELU between (GPT, BERT, ViT). Where the normalisation sits (before or behind)
changes no count.

What is counted and what not: the whole rectangle of scores (a causal mask saves nothing); scaling
in the epilogue of the scores; heads are read in place (no layout change); the angles of the rotary
embedding cost no traffic. Keys and values of ``context`` earlier tokens lie in a cache, a graph
input that has room for the new rows; the new rows leave the network as graph outputs, and the
scores read all rows from the cache. Activation functions are operators of the vector unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from accelsim.errors import AccelsimError, Location, Mistake, suggest
from accelsim.workload.check import check_workload
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Workload
from accelsim.workload.transformer_sizes import (
    MODES,
    PRESETS,
    Dimensions,
    Sizes,
    contradictions,
    excesses,
    uneven_heads,
)
from accelsim.workload.vector_work import epilogue_work, vector_work

__all__ = ["MODES", "PRESETS", "Dimensions", "preset", "transformer"]


def preset(
    name: str, tokens: int = 0, *, dtype: str = "int8", batch: int = 1, mode: str = "prefill",
    context: int = 0,
) -> Workload:  # fmt: skip
    """A network of :data:`PRESETS`; ``tokens`` 0: its usual number, or 1 in ``decode``. Raises
    W130 for an unknown name and as :func:`transformer`."""
    if name not in PRESETS:
        message = f"no transformer is called '{name}'"
        raise AccelsimError(Mistake("W130", message, suggest(name, tuple(PRESETS))))
    found = PRESETS[name]
    count = tokens or (1 if mode == "decode" else found.tokens)
    return transformer(
        name, found.layers, found.d_model, found.heads, found.kv_heads, found.d_ff, count,
        vocab=found.vocab, gated=found.gated, dtype=dtype, batch=batch, mode=mode, context=context,
    )  # fmt: skip


def transformer(
    name: str, layers: int, d_model: int, heads: int, kv_heads: int, d_ff: int, tokens: int,
    vocab: int = 0, gated: bool = True, dtype: str = "int8", batch: int = 1, mode: str = "prefill",
    context: int = 0, *, head_dim: int = 0, location: Location | None = None,
) -> Workload:  # fmt: skip
    """A transformer of equal blocks.

    Args:
        name: name of the workload.
        layers: blocks.
        d_model: elements per token.
        heads: query heads.
        kv_heads: key and value heads; divides ``heads`` (grouped-query attention below it).
        d_ff: width of the multilayer perceptron.
        tokens: new tokens per sequence.
        vocab: 0, or the size of the vocabulary: then an embedding stands before the blocks and the
            output product behind them (in ``prefill`` for the last token of each sequence only).
        gated: the family, see the module.
        dtype: of activations, weights and cache; biases are int32 for integers.
        batch: sequences.
        mode: ``prefill`` or ``decode`` (a step of generation; needs a context).
        context: earlier tokens whose keys and values lie in the cache.
        head_dim: columns of a head; 0: d_model / heads.
        location: where the description stands, for errors.

    Raises:
        AccelsimError: W130 dimensions that do not fit, W107 beyond the limits of size.
    """
    sizes = Sizes(
        layers, d_model, heads, kv_heads, d_ff, tokens, vocab, gated, dtype, batch, mode, context,
        head_dim or _default_head(d_model, heads),
    )  # fmt: skip
    wrong = list(contradictions(sizes)) or list(uneven_heads(sizes, head_dim))
    if wrong:
        raise AccelsimError(Mistake("W130", text, hint, location) for text, hint in wrong)
    excess = list(dict.fromkeys(excesses(sizes)))
    if excess:
        hint = "take fewer layers or tokens, or a smaller batch"
        raise AccelsimError(
            Mistake("W107", f"the transformer is too large: {text}", hint, location)
            for text in excess
        )
    workload = _Builder(sizes).build(name)
    check_workload(workload)
    return workload


def _default_head(d_model: object, heads: object) -> int:
    """d_model / heads; 1 where that is nonsense, which has been or will be said."""
    if not isinstance(d_model, int) or not isinstance(heads, int) or heads < 1:
        return 1
    return max(1, d_model // heads)


@dataclass
class _Builder:
    """Appends operators; lives no longer than one call."""

    sizes: Sizes
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def build(self, name: str) -> Workload:
        """The whole network."""
        s = self.sizes
        x = self._embedding() if s.vocab else self._input("x", self._wide(s.d_model))
        for layer in range(s.layers):
            x = self._block(f"layer{layer}", x)
        x = self._norm("norm", x)
        if s.vocab:
            x = self._head(x)
        self._leaves(x)
        return Workload(
            name, self.tensors, tuple(self.ops), tuple(self.inputs), tuple(self.outputs)
        )

    def _wide(self, columns: int) -> tuple[int, int, int]:
        return self.sizes.batch, self.sizes.tokens, columns

    def _tensor(self, name: str, shape: tuple[int, ...], role: Role, dtype: str = "") -> str:
        dtype = dtype or self.sizes.dtype
        self.tensors.setdefault(name, Tensor(name, shape, dtype, role))
        return name

    def _input(self, name: str, shape: tuple[int, ...], dtype: str = "") -> str:
        self.inputs.append(name)
        return self._tensor(name, shape, Role.INPUT, dtype)

    def _leaves(self, name: str) -> None:
        tensor = self.tensors[name]
        self.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, Role.OUTPUT)
        self.outputs.append(name)

    def _vector(
        self, name: str, kind: OpKind, inputs: tuple[str, ...], shape: tuple[int, ...],
        work: str = "", weight: str | None = None, bias: str | None = None, *, picks: bool = False,
    ) -> str:  # fmt: skip
        """A vector operator over ``inputs``; its result is called as it."""
        output = self._tensor(name, shape, Role.ACTIVATION)
        count = vector_work(work or kind, self.tensors[output].elements)
        inputs = tuple(dict.fromkeys(inputs))
        self.ops.append(Op(name, kind, inputs, output, weight, bias, vector_ops=count, picks=picks))
        return output

    def _product(
        self, name: str, inputs: tuple[str, ...], gemm: Gemm, shape: tuple[int, ...],
        weight: str | None = None, bias: str | None = None,
    ) -> str:  # fmt: skip
        output = self._tensor(name, shape, Role.ACTIVATION)
        count = epilogue_work(self.tensors[output].elements, 1)
        inputs = tuple(dict.fromkeys(inputs))
        self.ops.append(
            Op(name, OpKind.MATMUL, inputs, output, weight, bias, gemm, vector_ops=count)
        )
        return output

    def _linear(self, name: str, x: str, columns: int) -> str:
        """x W (+ b without gating)."""
        s = self.sizes
        depth = self.tensors[x].shape[-1]
        weight = self._tensor(f"{name}.weight", (depth, columns), Role.WEIGHT)
        bias = None if s.gated else self._bias(f"{name}.bias", columns)
        gemm = Gemm(s.batch * s.tokens, depth, columns)
        return self._product(name, (x,), gemm, self._wide(columns), weight, bias)

    def _bias(self, name: str, columns: int) -> str:
        integer = self.sizes.dtype in ("int8", "uint8", "int16", "uint16")
        return self._tensor(name, (columns,), Role.BIAS, "int32" if integer else "")

    def _norm(self, name: str, x: str) -> str:
        s, shape = self.sizes, self.tensors[x].shape
        gain = self._tensor(f"{name}.weight", (s.d_model,), Role.WEIGHT)
        if s.gated:
            return self._vector(name, OpKind.LAYER_NORM, (x,), shape, "rms_norm", gain)
        shift = self._bias(f"{name}.bias", s.d_model)
        return self._vector(name, OpKind.LAYER_NORM, (x,), shape, "layer_norm", gain, shift)

    def _embedding(self) -> str:
        """Rows of the table, and learned positions where there is no rotary embedding."""
        s = self.sizes
        ids = self._input("tokens", (s.batch, s.tokens), "int32")
        table = self._tensor("embedding.weight", (s.vocab, s.d_model), Role.WEIGHT)
        shape = self._wide(s.d_model)
        x = self._vector("embedding", OpKind.GATHER, (ids,), shape, weight=table, picks=True)
        if s.gated:
            return x
        positions = self._tensor("positions.weight", (s.tokens, s.d_model), Role.WEIGHT)
        return self._vector("positions", OpKind.ADD, (x,), shape, weight=positions)

    def _head(self, x: str) -> str:
        """The output product; without gating with the embedding's own table (tied weights)."""
        s = self.sizes
        rows = s.tokens if s.mode == "decode" else 1
        if rows < s.tokens:
            x = self._vector("last", OpKind.SLICE, (x,), (s.batch, 1, s.d_model), picks=True)
        name = "head.weight" if s.gated else "embedding.weight"
        weight = self._tensor(name, (s.vocab, s.d_model), Role.WEIGHT)
        gemm = Gemm(s.batch * rows, s.d_model, s.vocab)
        return self._product("head", (x,), gemm, (s.batch, rows, s.vocab), weight)

    def _block(self, name: str, x: str) -> str:
        y = self._attention(f"{name}.attention", self._norm(f"{name}.norm1", x))
        x = self._vector(f"{name}.add1", OpKind.ADD, (x, y), self._wide(self.sizes.d_model))
        y = self._perceptron(f"{name}.mlp", self._norm(f"{name}.norm2", x))
        return self._vector(f"{name}.add2", OpKind.ADD, (x, y), self._wide(self.sizes.d_model))

    def _attention(self, name: str, x: str) -> str:
        s = self.sizes
        inner, narrow = s.heads * s.head_dim, s.kv_heads * s.head_dim
        query = self._linear(f"{name}.q", x, inner)
        key = self._linear(f"{name}.k", x, narrow)
        value = self._linear(f"{name}.v", x, narrow)
        if s.gated:
            query = self._rotate(f"{name}.q_rotary", query)
            key = self._rotate(f"{name}.k_rotary", key)
        if s.cached:
            self._leaves(key)
            self._leaves(value)
        if s.context:
            key = self._input(f"{name}.k_cache", s.cache)
            value = self._input(f"{name}.v_cache", s.cache)
        rows, groups = s.heads // s.kv_heads * s.tokens, s.batch * s.kv_heads
        scores = self._product(
            f"{name}.scores", (query, key), Gemm(rows, s.head_dim, s.rows, groups), s.scores
        )
        weights = self._vector(f"{name}.softmax", OpKind.SOFTMAX, (scores,), s.scores)
        product = Gemm(rows, s.rows, s.head_dim, groups)
        mixed = self._product(f"{name}.values", (weights, value), product, self._wide(inner))
        return self._linear(f"{name}.output", mixed, s.d_model)

    def _rotate(self, name: str, x: str) -> str:
        return self._vector(name, OpKind.MUL, (x,), self.tensors[x].shape, "rotary")

    def _perceptron(self, name: str, x: str) -> str:
        s = self.sizes
        up = self._linear(f"{name}.up", x, s.d_ff)
        if not s.gated:
            active = self._vector(f"{name}.gelu", OpKind.GELU, (up,), self._wide(s.d_ff))
            return self._linear(f"{name}.down", active, s.d_model)
        gate = self._linear(f"{name}.gate", x, s.d_ff)
        active = self._vector(f"{name}.silu", OpKind.GELU, (gate,), self._wide(s.d_ff))
        gated = self._vector(f"{name}.mul", OpKind.MUL, (active, up), self._wide(s.d_ff))
        return self._linear(f"{name}.down", gated, s.d_model)
