"""Rules of the fused attention operators, taken apart into what the machine runs.

Scores Q K', softmax, values: the two products of activations have one group per batch element and
key head, with the rows of all query heads that share it (grouped-query attention). Heads are read
in place wherever they lie (no layout change is counted); scaling is part of the epilogue of the
scores, a mask is added by an operator of its own. The whole rectangle of scores is computed: a
causal mask saves nothing. Earlier keys and values (``past``) are joined with the new ones by a
copy, as these operators define it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from accelsim.workload.graph import Gemm, OpKind
from accelsim.workload.limits import product_excess
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


@dataclass(frozen=True)
class Heads:
    """Sizes of one attention."""

    batch: int
    heads: int
    key_heads: int
    queries: int
    """Rows of Q per sequence."""
    keys: int
    """Rows of K and V per sequence, earlier ones included."""
    width: int
    """Columns of a head of Q and K."""
    value_width: int

    def __post_init__(self) -> None:
        if self.key_heads < 1 or self.heads % self.key_heads:
            raise InvalidError(f"{self.heads} query heads for {self.key_heads} key heads")


def core(
    query: Ref, key: Ref, value: Ref, heads: Heads, mask: str, scope: Scope
) -> tuple[Draft, ...]:
    """Scores, their mask (a value of the file, or ""), softmax and values."""
    groups, rows = heads.batch * heads.key_heads, heads.heads // heads.key_heads * heads.queries
    shape = (heads.batch, heads.heads, heads.queries, heads.keys)
    scores, weights = Local("scores", shape), Local("softmax", shape)
    first = Gemm(rows, heads.width, heads.keys, groups)
    second = Gemm(rows, heads.keys, heads.value_width, groups)
    for product in (first, second):
        excess = product_excess(product)
        if excess is not None:
            raise TooLargeError(excess)
    inputs = tuple(dict.fromkeys((query, key)))
    drafts = [Draft(OpKind.MATMUL, inputs, gemm=first, label="scores", output=scores)]
    logits = scores
    if mask:
        logits = Local("masked", shape)
        fixed = mask in scope.constants
        drafts.append(
            Draft(
                OpKind.ADD, (scores,) if fixed else (scores, mask), mask if fixed else None,
                vector_ops=vector_work(OpKind.ADD, math.prod(shape)), label="mask", output=logits,
            )
        )  # fmt: skip
    return (
        *drafts,
        Draft(
            OpKind.SOFTMAX, (logits,), vector_ops=vector_work(OpKind.SOFTMAX, math.prod(shape)),
            label="softmax", output=weights,
        ),
        Draft(OpKind.MATMUL, tuple(dict.fromkeys((weights, value))), gemm=second, label="values"),
    )  # fmt: skip


def attention(node: Node, scope: Scope) -> Drafts:
    """Attention of ONNX since opset 23: Q, K and V as [batch, heads, rows, width] or
    [batch, rows, heads x width]; inputs 4 and 5 are earlier keys and values."""
    query, key, value = (_computed(node.input(i), scope) for i in range(3))
    q, k, v = (scope.shape(name) for name in (query, key, value))
    if len(q) == 3:
        heads = int(node.attributes["q_num_heads"])
        key_heads = int(node.attributes["kv_num_heads"])
        width, value_width = q[2] // heads, v[2] // key_heads
        if q[2] % heads or k[2] != key_heads * width or v[2] % key_heads:
            raise InvalidError(f"{heads} and {key_heads} heads of {q[2]}, {k[2]}, {v[2]} columns")
    else:
        heads, key_heads, width, value_width = q[1], k[1], q[3], v[3]
        if k[3] != width or v[1] != key_heads:
            raise InvalidError(f"Q {list(q)}, K {list(k)}, V {list(v)}")
    _require_equal(q, k, v)
    drafts: list[Draft] = []
    past, rows = 0, (q[-2], k[-2])
    if node.input(4):
        past = scope.shape(node.input(4))[-2]
        head = (q[0], key_heads, past + rows[1])
        key_ref = _join(node, scope, 4, 1, key, (*head, width), drafts)
        value_ref = _join(node, scope, 5, 2, value, (*head, value_width), drafts)
    else:
        key_ref, value_ref = key, value
    if len(node.outputs) > 3 and node.outputs[3] in scope.read:
        raise UnsupportedError("scores as an output")
    sizes = Heads(q[0], heads, key_heads, rows[0], past + rows[1], width, value_width)
    return (*drafts, *core(query, key_ref, value_ref, sizes, node.input(3), scope))


def multi_head(node: Node, scope: Scope) -> Drafts:
    """com.microsoft.MultiHeadAttention with separate Q, K and V, [batch, rows, columns] each (K and
    V also by heads)."""
    if not node.input(1) or not node.input(2):
        raise UnsupportedError("packed Q, K and V")
    for index in (3, 4, 6, 7):
        if node.input(index):
            what = {3: "a packed bias", 4: "a padding mask"}.get(index, "earlier keys and values")
            raise UnsupportedError(what)
    query, key, value = (_computed(node.input(i), scope) for i in range(3))
    q, k, v = (scope.shape(name) for name in (query, key, value))
    heads = int(node.attributes["num_heads"])
    if q[-1] % heads or k[-1] * (heads if len(k) == 4 else 1) != q[-1]:
        raise InvalidError(f"{q[-1]} and {k[-1]} columns for {heads} heads")
    _require_equal(q, k, v)
    columns = v[-1] * (heads if len(v) == 4 else 1)
    sizes = Heads(q[0], heads, heads, q[1], k[-2], q[2] // heads, columns // heads)
    return core(query, key, value, sizes, node.input(5), scope)


def packed(node: Node, scope: Scope) -> Drafts:
    """com.microsoft.Attention: three products with the parts of one packed weight [columns, 3 x
    hidden], then attention. (Its past, a computed mask beside the score bias and unequal widths are
    refused.)"""
    source, weight, bias = (node.input(i) for i in range(3))
    if weight not in scope.constants or (bias and bias not in scope.constants):
        raise UnsupportedError("weights that are computed")
    if node.input(4) or node.attributes.get("qkv_hidden_sizes"):
        raise UnsupportedError("earlier keys and values, or unequal widths")
    if node.input(3) and node.input(3) not in scope.constants:
        raise UnsupportedError("a mask that is computed; write it as a score bias")
    batch, rows, columns = scope.shape(_computed(source, scope))
    hidden = scope.shape(weight)[1] // 3
    heads = int(node.attributes["num_heads"])
    if hidden % heads or scope.shape(weight) != (columns, 3 * hidden):
        raise InvalidError(f"weight {list(scope.shape(weight))} for {columns} columns")
    product = Gemm(batch * rows, columns, hidden)
    names = ("query", "key", "value")
    outputs = [Local(name, (batch, rows, hidden)) for name in names]
    drafts = [
        Draft(
            OpKind.MATMUL, (source,), Part(weight, name, (columns, hidden)), bias or None, product,
            label=name, output=output,
        )
        for name, output in zip(names, outputs, strict=True)
    ]  # fmt: skip
    sizes = Heads(batch, heads, heads, rows, rows, hidden // heads, hidden // heads)
    query, key, value = outputs
    return (*drafts, *core(query, key, value, sizes, node.input(5), scope))


def _require_equal(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> None:
    """One batch, and as many values as keys."""
    if not q[0] == k[0] == v[0] or k[-2] != v[-2]:
        raise InvalidError(f"Q {list(q)}, K {list(k)}, V {list(v)}")


def _computed(name: str, scope: Scope) -> str:
    if name in scope.constants:
        raise UnsupportedError(f"its operand '{name}' is a constant")
    return name


def _join(
    node: Node, scope: Scope, past: int, output: int, new: str, shape: tuple[int, ...],
    drafts: list[Draft],
) -> Ref:  # fmt: skip
    """Earlier rows and new rows as one tensor, which may leave the node."""
    label = "keys" if output == 1 else "values_in"
    named = node.outputs[output] if output < len(node.outputs) else ""
    target: Ref = named if named and named in scope.read else Local(label, shape)
    inputs = (_computed(node.input(past), scope), new)
    count = vector_work(OpKind.CONCAT, math.prod(shape))
    drafts.append(
        Draft(OpKind.CONCAT, inputs, vector_ops=count, label=f"join_{label}", output=target)
    )
    return target
