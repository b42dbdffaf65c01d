"""LSTM, GRU and RNN: unrolled steps, products counted by hand, shapes as in ONNX Runtime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_builders import info, model, node, save, weights
from onnx_runtime import agree, runtime_shapes

from accelsim.errors import AccelsimError
from accelsim.workload import OpKind, read_onnx

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def network(kind, steps, features, hidden, *, batch=2, directions=1, read=("y",), states=0,
            **attributes):  # fmt: skip
    """One recurrent node; ``states``: computed initial states."""
    rows = GATES[kind] * hidden
    constants = {
        "w": weights(directions, rows, features),
        "r": weights(directions, rows, hidden),
        "b": weights(directions, 2 * rows),
    }
    names = ["x", "w", "r", "b", "", *("h", "c")[:states]]
    inputs = [info("x", [steps, batch, features])]
    inputs += [info(name, [directions, batch, hidden]) for name in ("h", "c")[:states]]
    outputs = [name if name in read else "" for name in ("y", "yh", "yc")]
    if kind != "LSTM":
        outputs = outputs[:2]
    if directions == 2:
        attributes["direction"] = "bidirectional"
    n = node(kind, names, outputs, "cell", hidden_size=hidden, **attributes)
    return model([n], inputs, list(read), constants)


def load(proto, folder, steps):
    return read_onnx(save(proto, folder), batch=steps)


def macs_by_hand(kind, steps, features, hidden, batch, directions, states):
    """Inputs of every step; the state of every step that has one."""
    inputs = steps * batch * features * GATES[kind] * hidden
    products = (steps if states else steps - 1) * batch * hidden * GATES[kind] * hidden
    return directions * (inputs + products)


def test_lstm_step_by_step(tmp_path):
    workload = load(network("LSTM", 3, 5, 4, read=("y", "yh", "yc")), tmp_path, 3)
    kinds = [(op.name, op.kind.value, op.vector_ops) for op in workload.ops]
    assert kinds == [
        ("cell/0.input", "matmul", 3 * 2 * 16),
        ("cell/0.0.gates", "sigmoid", 2 * 2 * 16),
        ("cell/0.0.c", "mul", 2 * 4),
        ("cell/0.0.h", "tanh", 2 * 2 * 4),
        ("cell/0.1.recurrent", "matmul", 2 * 16),
        ("cell/0.1.gates", "sigmoid", 2 * 2 * 16),
        ("cell/0.1.c", "mul", 3 * 2 * 4),
        ("cell/0.1.h", "tanh", 2 * 2 * 4),
        ("cell/0.2.recurrent", "matmul", 2 * 16),
        ("cell/0.2.gates", "sigmoid", 2 * 2 * 16),
        ("cell/0.2.c", "mul", 3 * 2 * 4),
        ("cell/0.2.h", "tanh", 2 * 2 * 4),
        ("cell/sequence", "concat", 3 * 2 * 4),
    ]
    assert set(workload.outputs) == {"y", "yh", "yc"}
    assert workload.ops[-2].output == "yh"
    assert workload.macs == 3 * 2 * 5 * 16 + 2 * 2 * 4 * 16
    assert workload.weight_bytes == 4 * (16 * 5 + 16 * 4 + 2 * 16)
    assert workload.tensors["yh"].elements == 8


def test_gates_read_only_their_step(tmp_path):
    workload = load(network("LSTM", 50, 5, 4), tmp_path, 50)
    gates = next(op for op in workload.ops if op.name == "cell/0.7.gates")
    assert workload.tensors["cell/0.x"].elements == 50 * 2 * 16
    assert workload.read_bytes(gates, "cell/0.x") == 4 * 2 * 16


def test_gru_resets_before_or_after_its_product(tmp_path):
    before = load(network("GRU", 2, 5, 4, linear_before_reset=0), tmp_path, 2)
    after = load(network("GRU", 2, 5, 4, linear_before_reset=1), tmp_path, 2)
    assert before.macs == after.macs == 2 * 2 * 5 * 12 + 2 * 4 * 12
    step = {op.name.rpartition(".")[2]: op for op in before.ops if op.name.startswith("cell/0.1.")}
    assert list(step) == ["recurrent", "gates", "reset", "inner", "candidate", "h"]
    assert (step["recurrent"].gemm.n, step["inner"].gemm.n) == (8, 4)
    assert before.parts == {"r": ("r[0,0:8]", "r[0,8:12]")}
    names = [op.name for op in after.ops if op.name.startswith("cell/0.1.")]
    assert names == ["cell/0.1.recurrent", "cell/0.1.gates", "cell/0.1.candidate", "cell/0.1.h"]


def test_only_what_is_read_is_gathered(tmp_path):
    last = load(network("LSTM", 4, 5, 4, read=("yh",)), tmp_path, 4)
    assert all(op.kind is not OpKind.CONCAT for op in last.ops)
    both = load(network("LSTM", 4, 5, 4, read=("yh",), directions=2), tmp_path, 4)
    assert both.ops[-1].kind is OpKind.CONCAT
    assert both.ops[-1].vector_ops == 2 * 2 * 4


def test_long_sequences_are_gathered_in_rounds(tmp_path):
    workload = load(network("RNN", 200, 2, 3), tmp_path, 200)
    joins = [op for op in workload.ops if op.kind is OpKind.CONCAT]
    assert [len(op.inputs) for op in joins] == [128, 72, 2]
    assert joins[-1].output == "y"


@pytest.mark.parametrize(
    ("proto", "code", "part"),
    [
        (network("LSTM", 513, 1, 1), "W107", "513 steps"),
        (network("LSTM", 4, 2, 2, clip=1.0), "W102", "clipped"),
    ],
)
def test_what_is_refused(tmp_path, proto, code, part):
    steps = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    with pytest.raises(AccelsimError) as caught:
        load(proto, tmp_path, steps)
    (mistake,) = caught.value.mistakes
    assert mistake.code == code
    assert part in mistake.message


def test_a_constant_initial_state_needs_no_product(tmp_path):
    proto = network("LSTM", 3, 5, 4)
    zero = {"h0": np.zeros((1, 2, 4), np.float32)}
    proto.graph.node[0].input.extend(["h0", "h0"])
    proto.graph.initializer.extend(model([], [], [], zero).graph.initializer)
    assert load(proto, tmp_path, 3).macs == macs_by_hand("LSTM", 3, 5, 4, 2, 1, 0)


@given(
    st.sampled_from(["LSTM", "GRU", "RNN"]), st.integers(1, 5), st.integers(1, 4),
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.booleans(),
)  # fmt: skip
@settings(max_examples=30)
def test_products_and_shapes(
    tmp_path_factory, kind, steps, features, hidden, batch, directions, given_state
):
    states = (2 if kind == "LSTM" else 1) if given_state else 0
    proto = network(
        kind, steps, features, hidden, batch=batch, directions=directions, states=states,
        read=("y", "yh"),
    )  # fmt: skip
    workload = load(proto, tmp_path_factory.mktemp("cell"), steps)
    agree(workload, runtime_shapes(proto))
    assert workload.macs == macs_by_hand(kind, steps, features, hidden, batch, directions, states)
    rows = GATES[kind] * hidden
    held = directions * (rows * features + 2 * rows + (rows * hidden if steps + states > 1 else 0))
    assert workload.weight_bytes == 4 * held


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("directions", [1, 2])
def test_step_by_step_every_step_has_an_input_product(tmp_path, kind, directions):
    path = save(network(kind, 4, 3, 5, directions=directions), tmp_path)
    batched, stepwise = (read_onnx(path, 4, recurrent=how) for how in ("batched", "stepwise"))
    assert stepwise.macs == batched.macs
    assert stepwise.weight_bytes == batched.weight_bytes
    inputs = [op for op in stepwise.ops if op.name.endswith(".input")]
    assert [op.gemm.m for op in inputs] == [2] * 4 * directions
    assert len([op for op in batched.ops if op.name.endswith(".input")]) == directions
