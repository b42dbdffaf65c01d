"""Transformers from dimensions: products by formula, published sizes, random dimensions."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import AccelsimError
from accelsim.workload import OpKind, Role, check_workload
from accelsim.workload.transformer import PRESETS, preset, transformer


def macs_by_formula(layers, d, heads, kv_heads, ff, tokens, *, gated, batch, context, width):
    """Per token: projections and perceptron; per pair of token and earlier or same token: two
    products of a head's width, for each head."""
    projections = 2 * d * heads * width + 2 * d * kv_heads * width
    perceptron = (3 if gated else 2) * d * ff
    attention = 2 * heads * width * (context + tokens)
    return layers * batch * tokens * (projections + perceptron + attention)


def test_llama2_7b_prefill_of_512_tokens():
    workload = preset("llama2_7b", 512)
    projections, perceptron = 4 * 4096 * 4096, 3 * 4096 * 11008
    scores_and_values = 2 * 512 * 4096
    blocks = 32 * 512 * (projections + perceptron + scores_and_values)
    head = 4096 * 32000  # of the last token only
    assert workload.macs == blocks + head
    assert blocks == 3_384_434_229_248
    # 6,738,415,616 parameters, all of them here, one byte each.
    assert workload.weight_bytes == 6_738_415_616
    check_workload(workload)


def test_llama2_7b_decode_reads_its_cache():
    workload = preset("llama2_7b", mode="decode", context=1023)
    assert workload.macs == 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 1024 * 4096) + 4096 * 32000
    cache = [t for name, t in workload.tensors.items() if name.endswith("_cache")]
    assert len(cache) == 64
    assert sum(t.bytes for t in cache) == 2 * 32 * 1024 * 4096
    assert all(t.role is Role.INPUT for t in cache)
    new = [name for name in workload.outputs if name != "head"]
    assert sum(workload.tensors[name].bytes for name in new) == 2 * 32 * 4096
    scores = next(op for op in workload.ops if op.name == "layer0.attention.scores")
    assert (scores.gemm.m, scores.gemm.n, scores.gemm.groups) == (1, 1024, 32)
    assert workload.tensors[scores.inputs[-1]].bytes == 1024 * 4096


def test_grouped_query_attention_shares_keys():
    workload = preset("llama2_70b", 64)
    scores = next(op for op in workload.ops if op.name == "layer0.attention.scores")
    assert (scores.gemm.m, scores.gemm.groups) == (8 * 64, 8)
    assert workload.tensors["layer0.attention.k.weight"].shape == (8192, 8 * 128)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("llama2_13b", 13_016), ("llama2_70b", 68_977), ("llama3_8b", 8_030), ("gpt2", 124.4),
        ("gpt2_xl", 1_557.6), ("bert_base", 85.1), ("vit_s16", 21.3),
    ],
)  # fmt: skip
def test_parameters_of_published_networks(name, millions):
    """The published numbers; BERT and ViT without embeddings and heads (85 M of 110 M, 21 M of
    22 M)."""
    workload = preset(name)
    roles = (Role.WEIGHT, Role.BIAS)
    parameters = sum(t.elements for t in workload.tensors.values() if t.role in roles)
    assert parameters / 1e6 == pytest.approx(millions, rel=0.002)


def test_one_block_operator_by_operator():
    workload = transformer("one", 1, 16, 4, 2, 24, 6)
    assert [op.name.removeprefix("layer0.") for op in workload.ops] == [
        "norm1", "attention.q", "attention.k", "attention.v", "attention.q_rotary",
        "attention.k_rotary", "attention.scores", "attention.softmax", "attention.values",
        "attention.output", "add1", "norm2", "mlp.up", "mlp.gate", "mlp.silu", "mlp.mul",
        "mlp.down", "add2", "norm",
    ]  # fmt: skip
    counts = {op.name: op.vector_ops for op in workload.ops}
    assert counts["layer0.norm1"] == 3 * 6 * 16
    assert counts["layer0.attention.softmax"] == 4 * 4 * 6 * 6
    assert counts["layer0.attention.k_rotary"] == 3 * 6 * 8
    assert workload.inputs == ("x",)


def test_the_classic_family_has_biases_gelu_and_layer_norm():
    workload = preset("gpt2", 10)
    kinds = Counter(op.kind for op in workload.ops)
    assert kinds[OpKind.GELU] == 12
    assert kinds[OpKind.GATHER] == 1
    norm = next(op for op in workload.ops if op.kind is OpKind.LAYER_NORM)
    assert norm.vector_ops == 5 * 10 * 768
    assert workload.tensors["layer0.mlp.up.bias"].dtype == "int32"
    head = workload.ops[-1]
    assert (head.weight, head.gemm.m) == ("embedding.weight", 1)


@given(
    layers=st.integers(1, 3), kv_heads=st.integers(1, 4), share=st.integers(1, 4),
    width=st.integers(1, 9), ff=st.integers(1, 40), tokens=st.integers(1, 12),
    gated=st.booleans(), batch=st.integers(1, 3), context=st.integers(0, 20),
    vocab=st.integers(0, 50), decode=st.booleans(),
)  # fmt: skip
def test_random_dimensions(
    layers, kv_heads, share, width, ff, tokens, gated, batch, context, vocab, decode
):
    heads = kv_heads * share
    d = heads * width
    mode = "decode" if decode and context else "prefill"
    workload = transformer(
        "t", layers, d, heads, kv_heads, ff, tokens, vocab, gated, batch=batch, mode=mode,
        context=context,
    )  # fmt: skip
    check_workload(workload)
    head = batch * (tokens if mode == "decode" else 1) * d * vocab
    blocks = macs_by_formula(
        layers, d, heads, kv_heads, ff, tokens,
        gated=gated, batch=batch, context=context, width=width,
    )  # fmt: skip
    assert workload.macs == blocks + head


@given(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30))
def test_a_prefill_in_two_parts_costs_the_rectangle(heads, first, second):
    """The second part sees the first: together less than all at once by the scores that the
    first part need not compute against the second."""

    def macs(tokens, context):
        return transformer("t", 2, 8 * heads, heads, heads, 16, tokens, context=context).macs

    saved = 2 * 2 * 8 * heads * first * second
    assert macs(first, 0) + macs(second, first) == macs(first + second, 0) - saved


def mistakes(**changes):
    given = {"layers": 1, "d_model": 16, "heads": 4, "kv_heads": 2, "d_ff": 8, "tokens": 4}
    with pytest.raises(AccelsimError) as caught:
        transformer("t", **{**given, **changes})
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"layers": 0}, "layers must be a whole number of at least 1"),
        ({"tokens": -3}, "tokens"),
        ({"heads": 2.0}, "heads"),
        ({"kv_heads": 3}, "cannot share 3"),
        ({"d_model": 18}, "not a multiple"),
        ({"dtype": "int3"}, "int3"),
        ({"mode": "train"}, "train"),
        ({"mode": "decode"}, "earlier tokens"),
        ({"context": True}, "context"),
    ],
)
def test_dimensions_that_do_not_fit(changes, part):
    found = mistakes(**changes)
    assert {m.code for m in found} == {"W130"}
    assert part in found[0].message


def test_all_mistakes_at_once_and_what_is_too_large():
    assert len(mistakes(layers=0, tokens=0, dtype="x")) == 3
    assert {m.code for m in mistakes(tokens=2**19)} == {"W107"}
    assert {m.code for m in mistakes(layers=10**6)} == {"W107"}
    with pytest.raises(AccelsimError) as caught:
        preset("llama2_7c")
    assert "llama2_7b" in caught.value.mistakes[0].hint


def test_a_head_of_another_width():
    workload = transformer("t", 1, 16, 3, 3, 8, 4, head_dim=10)
    assert workload.tensors["layer0.attention.q.weight"].shape == (16, 30)


def test_presets_state_their_source():
    assert all(dimensions.source for dimensions in PRESETS.values())
