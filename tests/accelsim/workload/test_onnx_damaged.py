"""Damaged transformers, recurrent networks and interpolations end in an error of the taxonomy."""

import numpy as np
import pytest
from onnx_builders import info, model, node, one, weights
from test_onnx_recurrent import network
from test_onnx_transformers import encoder_block

from accelsim.errors import AccelsimError
from accelsim.workload import read_onnx


def attention():
    n = node("Attention", ["q", "k", "v"], "y", "att", q_num_heads=4, kv_num_heads=2)
    return model([n], [info("q", [1, 5, 32]), info("k", [1, 7, 16]), info("v", [1, 7, 16])], ["y"],
                 opset=23)  # fmt: skip


def foreign():
    nodes = [
        node("SkipLayerNormalization", ["x", "x", "g"], "n", "norm", "com.microsoft"),
        node("Attention", ["n", "w", "b"], "a", "att", "com.microsoft", num_heads=2),
        node("FusedMatMul", ["a", "m"], "y", "mm", "com.microsoft", transB=1),
    ]
    constants = {"g": weights(8), "w": weights(8, 24), "b": weights(24), "m": weights(8, 8)}
    return model(nodes, [info("x", [1, 6, 8])], ["y"], constants)


CASES = {
    "encoder": encoder_block,
    "lstm": lambda: network("LSTM", 3, 2, 2, batch=1, directions=2),
    "gru": lambda: network("GRU", 3, 2, 2, batch=1),
    "up": lambda: one("ConvTranspose", [[1, 2, 4, 4]], {"w": weights(2, 3, 3, 3)},
                      strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0]),
    "attention": attention,
    "foreign": foreign,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_flipped_bytes(tmp_path, name):
    content = CASES[name]().SerializeToString()
    path = tmp_path / "damaged.onnx"
    generator = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for position in generator.integers(0, len(content), 3):
            damaged[position] = generator.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            read_onnx(path, batch=3 if name in ("lstm", "gru") else 1)
        except AccelsimError:
            refused += 1
    assert refused
