"""Transformer graphs: decomposed as exporters write them, and with fused operators."""

from collections import Counter

import numpy as np
import pytest
from onnx_builders import info, model, node, save, weights
from onnx_runtime import agree, runtime_shapes

from accelsim.errors import AccelsimError
from accelsim.workload import Gemm, OpKind, Role, read_onnx

BATCH, ROWS, WIDTH, HEADS = 2, 6, 8, 2
HEAD = WIDTH // HEADS


def layer_norm(source, target, name):
    """Layer normalisation taken apart, as exports before opset 17 have it."""
    parts = {f"{name}.two": np.float32(2), f"{name}.eps": np.float32(1e-5)}
    parts |= {f"{name}.g": weights(WIDTH), f"{name}.b": weights(WIDTH)}
    nodes = [
        node("ReduceMean", [source], f"{name}.mean", axes=[-1]),
        node("Sub", [source, f"{name}.mean"], f"{name}.d"),
        node("Pow", [f"{name}.d", f"{name}.two"], f"{name}.sq"),
        node("ReduceMean", [f"{name}.sq"], f"{name}.var", axes=[-1]),
        node("Add", [f"{name}.var", f"{name}.eps"], f"{name}.ve"),
        node("Sqrt", [f"{name}.ve"], f"{name}.sd"),
        node("Div", [f"{name}.d", f"{name}.sd"], f"{name}.n"),
        node("Mul", [f"{name}.n", f"{name}.g"], f"{name}.s"),
        node("Add", [f"{name}.s", f"{name}.b"], target),
    ]
    return nodes, parts


def split_heads(source, target, perm):
    """[batch, rows, width] -> [batch, heads, ...], the shape computed from the source's own."""
    nodes = [
        node("Shape", [source], f"{target}.shape"),
        node("Gather", [f"{target}.shape", "i0"], f"{target}.n", axis=0),
        node("Gather", [f"{target}.shape", "i1"], f"{target}.t", axis=0),
        node("Unsqueeze", [f"{target}.n", "axis0"], f"{target}.n1"),
        node("Unsqueeze", [f"{target}.t", "axis0"], f"{target}.t1"),
        node("Concat", [f"{target}.n1", f"{target}.t1", "heads", "head"], f"{target}.to", axis=0),
        node("Reshape", [source, f"{target}.to"], f"{target}.r"),
        node("Transpose", [f"{target}.r"], target, perm=perm),
    ]
    return nodes


def encoder_block():
    """A post-norm encoder block as a tracing exporter writes it, with a free batch."""
    constants = {
        "i0": np.array(0), "i1": np.array(1), "axis0": np.array([0]), "heads": np.array([HEADS]),
        "head": np.array([HEAD]), "merged": np.array([0, 0, -1]), "root": np.float32(HEAD**0.5),
        "half": np.float32(0.5), "one": np.float32(1), "sqrt2": np.float32(2**0.5),
        "w1": weights(WIDTH, 4 * WIDTH), "w2": weights(4 * WIDTH, WIDTH),
    }  # fmt: skip
    nodes = []
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        constants |= {f"w{name}": weights(WIDTH, WIDTH), f"b{name}": weights(WIDTH)}
        nodes += [
            node("MatMul", ["x", f"w{name}"], f"{name}.m"),
            node("Add", [f"b{name}", f"{name}.m"], f"{name}.a"),
        ]
        nodes += split_heads(f"{name}.a", name, perm)
    nodes += [
        node("MatMul", ["q", "k"], "scores"),
        node("Div", ["scores", "root"], "scaled"),
        node("Softmax", ["scaled"], "soft", axis=-1),
        node("MatMul", ["soft", "v"], "mixed"),
        node("Transpose", ["mixed"], "back", perm=[0, 2, 1, 3]),
        node("Reshape", ["back", "merged"], "flat"),
        node("Add", ["flat", "x"], "res1"),
    ]
    norm1, parts1 = layer_norm("res1", "n1", "norm1")
    norm2, parts2 = layer_norm("res2", "y", "norm2")
    nodes += norm1
    nodes += [
        node("MatMul", ["n1", "w1"], "up"),
        node("Div", ["up", "sqrt2"], "g.d"),
        node("Erf", ["g.d"], "g.e"),
        node("Add", ["g.e", "one"], "g.a"),
        node("Mul", ["up", "g.a"], "g.m"),
        node("Mul", ["g.m", "half"], "gelu"),
        node("MatMul", ["gelu", "w2"], "down"),
        node("Add", ["down", "n1"], "res2"),
        *norm2,
    ]
    inputs = [info("x", ["n", ROWS, WIDTH])]
    return model(nodes, inputs, ["y"], {**constants, **parts1, **parts2}, opset=13)


def matmul_macs(proto, shapes, constants):
    """Products of the file's MatMul nodes, from the runtime's shapes alone."""
    total = 0
    for n in proto.graph.node:
        if n.op_type == "MatMul":
            left = shapes[n.input[0]] if n.input[0] in shapes else constants[n.input[0]]
            total += int(np.prod(shapes[n.output[0]])) * left[-1]
    return total


def test_an_exported_encoder_block(tmp_path):
    proto = encoder_block()
    workload = read_onnx(save(proto, tmp_path), batch=BATCH)
    shapes = runtime_shapes(proto, BATCH) | {"x": (BATCH, ROWS, WIDTH)}
    assert agree(workload, shapes) > 30
    assert workload.macs == matmul_macs(proto, shapes, {})
    rows = BATCH * ROWS
    by_hand = rows * (3 * WIDTH * WIDTH + 8 * WIDTH * WIDTH) + 2 * BATCH * HEADS * ROWS**2 * HEAD
    assert workload.macs == by_hand
    scores = next(op for op in workload.ops if op.output == "scores")
    assert scores.gemm == Gemm(ROWS, HEAD, ROWS, BATCH * HEADS)
    kinds = Counter(op.kind for op in workload.ops)
    assert kinds[OpKind.TRANSPOSE] == 4
    assert kinds[OpKind.REDUCE] == 4
    assert kinds[OpKind.SQRT] == 2
    assert kinds[OpKind.EXP] == 1  # Erf; the squares are products
    assert kinds[OpKind.SOFTMAX] == 1
    assert not workload.fallbacks


def test_shape_arithmetic_leaves_no_operator(tmp_path):
    workload = read_onnx(save(encoder_block(), tmp_path), batch=BATCH)
    names = {name for op in workload.ops for name in op.nodes}
    assert not any(name.startswith(("Shape", "Gather", "Unsqueeze", "Concat")) for name in names)
    assert workload.inputs == ("x",)


def only(proto, folder, batch=BATCH):
    return read_onnx(save(proto, folder), batch=batch)


@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_attention_with_grouped_heads(tmp_path, key_heads):
    n = node("Attention", ["q", "k", "v"], "y", "att")
    inputs = [info("q", [2, 4, 5, 8])]
    inputs += [info("k", [2, key_heads, 7, 8]), info("v", [2, key_heads, 7, 3])]
    workload = only(model([n], inputs, ["y"], opset=23), tmp_path)
    scores, softmax, values = workload.ops
    rows, groups = 4 // key_heads * 5, 2 * key_heads
    assert (scores.gemm, values.gemm) == (Gemm(rows, 8, 7, groups), Gemm(rows, 7, 3, groups))
    assert softmax.vector_ops == 4 * 2 * 4 * 5 * 7
    assert workload.macs == 2 * 4 * 5 * 7 * (8 + 3)
    assert workload.tensors["y"].shape == (2, 4, 5, 3)


def test_attention_over_columns_with_mask_and_past(tmp_path):
    n = node("Attention", ["q", "k", "v", "mask", "pk", "pv"], ["y", "nk", "nv"], "att",
             q_num_heads=4, kv_num_heads=2)  # fmt: skip
    inputs = [info("q", [2, 1, 32]), info("k", [2, 1, 16]), info("v", [2, 1, 16])]
    inputs += [info("mask", [1, 10]), info("pk", [2, 2, 9, 8]), info("pv", [2, 2, 9, 8])]
    workload = only(model([n], inputs, ["y", "nk", "nv"], opset=23), tmp_path)
    assert [op.name for op in workload.ops] == [
        "att/join_keys", "att/join_values_in", "att/scores", "att/mask", "att/softmax",
        "att/values",
    ]  # fmt: skip
    assert workload.ops[2].gemm == Gemm(2, 8, 10, 4)
    assert workload.tensors["nk"].shape == (2, 2, 10, 8)
    assert workload.tensors["nk"].role is Role.OUTPUT
    assert workload.macs == 2 * 2 * 4 * 10 * 8


def test_packed_attention_of_onnx_runtime(tmp_path):
    n = node("Attention", ["x", "w", "b"], "y", "att", "com.microsoft", num_heads=2)
    constants = {"w": weights(8, 24), "b": weights(24)}
    proto = model([n], [info("x", [2, 6, 8])], ["y"], constants)
    workload = only(proto, tmp_path)
    assert workload.tensors["y"].shape == runtime_shapes(proto)["y"]
    assert workload.macs == 12 * 8 * 24 + 2 * 2 * 2 * 36 * 4
    assert workload.parts == {"w": ("w[query]", "w[key]", "w[value]")}
    assert workload.weight_bytes == 4 * (8 * 24 + 24)


def test_multi_head_attention_of_onnx_runtime(tmp_path):
    n = node("MultiHeadAttention", ["q", "k", "v"], "y", "att", "com.microsoft", num_heads=2)
    inputs = [info("q", [2, 5, 8]), info("k", [2, 7, 8]), info("v", [2, 7, 12])]
    proto = model([n], inputs, ["y"])
    workload = only(proto, tmp_path)
    assert workload.tensors["y"].shape == runtime_shapes(proto)["y"] == (2, 5, 12)
    assert workload.macs == 2 * 2 * 5 * 7 * (4 + 6)


def test_fused_operators_of_onnx_runtime(tmp_path):
    nodes = [
        node("SkipLayerNormalization", ["x", "s", "g", "b", "p"], ["n", "", "", "sum"], "norm",
             "com.microsoft"),
        node("FusedMatMul", ["n", "w"], "m", "mm", "com.microsoft", transB=1, alpha=0.5),
        node("BiasGelu", ["m", "c"], "a", "gelu", "com.microsoft"),
        node("FastGelu", ["a"], "f", "fast", "com.microsoft"),
        node("Add", ["f", "sum"], "y", "add"),
    ]  # fmt: skip
    constants = {"g": weights(8), "b": weights(8), "p": weights(8), "w": weights(8, 8)}
    constants["c"] = weights(8)
    proto = model(nodes, [info("x", [2, 6, 8]), info("s", [2, 6, 8])], ["y"], constants)
    workload = only(proto, tmp_path)
    assert [(op.name, op.kind.value, op.vector_ops) for op in workload.ops] == [
        ("norm/sum", "add", 2 * 96),
        ("norm", "layer_norm", 5 * 96),
        ("mm", "matmul", 96),
        ("gelu", "gelu", 2 * 96),
        ("fast", "gelu", 96),
        ("add", "add", 96),
    ]
    assert workload.ops[1].inputs == ("sum",)
    assert (workload.ops[2].gemm, workload.macs) == (Gemm(12, 8, 8), 12 * 64)
    agree(workload, runtime_shapes(proto))


def test_rms_norm_and_rotary_embedding(tmp_path):
    nodes = [
        node("RMSNormalization", ["x", "g"], "n", "norm"),
        node("RotaryEmbedding", ["n", "cos", "sin"], "y", "rope"),
    ]
    constants = {"g": weights(8), "cos": weights(2, 6, 4), "sin": weights(2, 6, 4)}
    proto = model(nodes, [info("x", [2, 3, 6, 8])], ["y"], constants, opset=23)
    norm, rope = only(proto, tmp_path).ops
    assert (norm.kind, norm.vector_ops) == (OpKind.LAYER_NORM, 3 * 288)
    assert (rope.kind, rope.vector_ops, rope.weight, rope.bias) == (
        OpKind.MUL, 3 * 288, "cos", "sin",
    )  # fmt: skip


def test_simplified_norm_under_the_name_of_onnx(tmp_path):
    n = node("SimplifiedLayerNormalization", ["x", "g"], "y", "norm")
    workload = only(model([n], [info("x", [2, 6, 8])], ["y"], {"g": weights(8)}), tmp_path)
    assert workload.ops[0].vector_ops == 3 * 96


def test_what_is_refused(tmp_path):
    def mistake(proto, **kwargs):
        with pytest.raises(AccelsimError) as caught:
            read_onnx(save(proto, tmp_path), batch=BATCH, **kwargs)
        return caught.value.mistakes[0]

    einsum = node("Einsum", ["x", "x"], "y", "sum", equation="bij,bik->bjk")
    proto = model([einsum], [info("x", [2, 6, 8])], ["y"])
    for policy in ("refuse", "fallback"):
        found = mistake(proto, unsupported=policy)
        assert found.code == "W102"
        assert "MatMul" in found.hint
    packed = node("MultiHeadAttention", ["q"], "y", "att", "com.microsoft", num_heads=2)
    proto = model([packed], [info("q", [2, 5, 2, 3, 4])], [info("y", [2, 5, 8])])
    assert mistake(proto).code in ("W102", "W106")
    uneven = node("Attention", ["q", "k", "v"], "y", "att", q_num_heads=3, kv_num_heads=2)
    inputs = [info(name, [2, 5, 12]) for name in "qkv"]
    assert mistake(model([uneven], inputs, ["y"], opset=23)).code == "W106"
