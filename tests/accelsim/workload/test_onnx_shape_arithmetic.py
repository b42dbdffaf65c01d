"""Arithmetic on shapes and constants is done while reading."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_builders import info, model, node, save, weights
from onnx_runtime import feeds, session

from accelsim.errors import AccelsimError
from accelsim.workload import OpKind, onnx_infer, read_onnx
from accelsim.workload.onnx_fold import MAX_EVALUATED, fold
from accelsim.workload.onnx_types import Node, Value


def test_reshape_to_a_computed_shape(tmp_path):
    nodes = [
        node("Shape", ["x"], "s"),
        node("Slice", ["s", "i0", "i1"], "n"),
        node("Range", ["zero", "three", "one"], "r"),
        node("ReduceProd", ["r"], "nothing", keepdims=1, axes=[0]),
        node("Sub", ["n", "nothing"], "n2"),
        node("Concat", ["n2", "minus"], "to", axis=0),
        node("Reshape", ["x", "to"], "v"),
        node("Relu", ["v"], "y"),
    ]
    constants = {
        "i0": np.array([0]), "i1": np.array([1]), "zero": np.array(0), "three": np.array(3),
        "one": np.array(1), "minus": np.array([-1]),
    }  # fmt: skip
    workload = read_onnx(save(model(nodes, [info("x", ["n", 3, 4])], ["y"], constants), tmp_path),
                         batch=5)  # fmt: skip
    (op,) = workload.ops
    assert (op.kind, workload.tensors["y"].shape) == (OpKind.RELU, (5, 12))


def test_a_zero_state_made_on_the_fly(tmp_path):
    """As exporters write the initial state of a recurrent layer."""
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "i1"], "n", axis=0),
        node("Unsqueeze", ["n", "axis"], "n1"),
        node("Concat", ["one", "n1", "width"], "to", axis=0),
        node("ConstantOfShape", ["to"], "h0"),
        node("RNN", ["x", "w", "r", "", "", "h0"], ["y"], "cell", hidden_size=3),
    ]
    constants = {
        "i1": np.array(1), "axis": np.array([0]), "one": np.array([1]), "width": np.array([3]),
        "w": weights(1, 3, 2), "r": weights(1, 3, 3),
    }  # fmt: skip
    proto = model(nodes, [info("x", [4, 2, 2])], ["y"], constants)
    workload = read_onnx(save(proto, tmp_path), batch=4)
    assert workload.macs == 4 * 2 * 2 * 3 + 3 * 2 * 3 * 3


def test_a_large_mask_is_a_constant_without_numbers(tmp_path):
    nodes = [
        node("Shape", ["x"], "s"),
        node("Expand", ["v", "s"], "e"),
        node("Mul", ["e", "half"], "m"),
        node("Add", ["x", "m"], "y"),
    ]
    constants = {"v": np.float32(3), "half": np.float32(0.5)}
    proto = model(nodes, [info("x", [1, 300, 300])], ["y"], constants)
    (op,) = (workload := read_onnx(save(proto, tmp_path))).ops
    assert (op.weight, workload.tensors["m"].shape) == ("m", (1, 300, 300))


def test_a_computed_shape_is_refused(tmp_path):
    nodes = [node("ConstantOfShape", ["s"], "z", "zeros"), node("Add", ["x", "z"], "y")]
    proto = model(nodes, [info("x", [1, 4]), info("s", [2], "int64")], ["y"],
                  value_info=[info("z", [1, 4])])  # fmt: skip
    with pytest.raises(AccelsimError) as caught:
        read_onnx(save(proto, tmp_path))
    assert {m.code for m in caught.value.mistakes} <= {"W102", "W103"}


def test_absurd_sizes_are_not_evaluated():
    huge = np.array([2**20, 2**20, 2**20])
    nodes = [
        Node("a", "ConstantOfShape", "", ("s",), ("a",), {}),
        Node("b", "Expand", "", ("v", "s"), ("b",), {}),
        Node("c", "Tile", "", ("v", "t"), ("c",), {}),
        Node("d", "Range", "", ("lo", "hi", "one"), ("d",), {}),
        Node("e", "Range", "", ("lo", "hi", "lo"), ("e",), {}),
        Node("f", "Where", "", ("p", "q", "r"), ("f",), {}),
    ]
    arrays = {
        "s": huge, "v": np.ones(1), "t": np.array([2**60]), "lo": np.array(0), "one": np.array(1),
        "hi": np.array(2**40), "p": np.ones((1000, 1, 1), bool), "q": np.ones((1, 1000, 1)),
        "r": np.ones((1, 1, 1000)),
    }  # fmt: skip
    assert fold(nodes, {}, arrays, 17).arrays == {}
    assert MAX_EVALUATED < 1000**3


def test_operands_that_do_not_fit_are_left_alone():
    nodes = [
        Node("a", "Add", "", ("p", "q"), ("a",), {}),
        Node("b", "Gather", "", ("p", "big"), ("b",), {}),
        Node("c", "Concat", "", ("p", "q"), ("c",), {}),
        Node("d", "Div", "", ("p", "zero"), ("d",), {}),
    ]
    arrays = {"p": np.arange(3), "q": np.arange(2.0), "big": np.array(9), "zero": np.array(0)}
    found = fold(nodes, {}, arrays, 17).arrays
    assert set(found) <= {"c", "d"}


def test_shape_may_be_a_part():
    values = {"x": Value((2, 3, 5, 7), "float32")}
    nodes = [
        Node("a", "Shape", "", ("x",), ("a",), {"start": 1, "end": -1}),
        Node("b", "Size", "", ("x",), ("b",), {}),
    ]
    found = fold(nodes, values, {}, 17).arrays
    assert found["a"].tolist() == [3, 5]
    assert found["b"] == 210


def test_shapes_that_take_too_many_rounds(tmp_path, monkeypatch):
    """Each expansion is known only once the one before it is."""
    nodes = []
    for index in range(8):
        source = "x" if index == 0 else f"v{index - 1}"
        nodes += [
            node("Shape", [source], f"s{index}"),
            node("ReduceProd", [f"s{index}"], f"p{index}", axes=[0]),
            node("Concat", ["one", f"p{index}"], f"to{index}", axis=0),
            node("Reshape", [source, f"to{index}"], f"v{index}"),
        ]
    nodes.append(node("Relu", ["v7"], "y"))
    path = save(model(nodes, [info("x", [1, 4])], ["y"], {"one": np.array([1])}), tmp_path)
    assert len(read_onnx(path).ops) == 1
    monkeypatch.setattr(onnx_infer, "VISITS", 100)
    with pytest.raises(AccelsimError) as caught:
        read_onnx(path)
    assert [m.code for m in caught.value.mistakes] == ["W107"]


BINARY = ["Add", "Sub", "Mul", "Min", "Max"]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.data())
@settings(max_examples=25)
def test_programs_over_shapes_against_the_runtime(tmp_path_factory, shape, data):
    """Random chains of integer arithmetic give the numbers that the runtime gives."""
    nodes, known = [node("Shape", ["x"], "v0")], ["v0"]
    constants = {"k0": np.array([2]), "k1": np.arange(1, len(shape) + 1), "axis": np.array([0])}
    pool = ["v0", "k0", "k1"]
    for index in range(data.draw(st.integers(1, 6))):
        name = f"v{index + 1}"
        kind = data.draw(st.sampled_from([*BINARY, "Cast", "Pick", "Unsqueeze"]))
        source = data.draw(st.sampled_from(pool))
        if kind == "Cast":
            nodes.append(node("Cast", [source], name, to=7))
        elif kind == "Pick":
            nodes.append(node("Slice", [source, "axis", "k0"], name))
        elif kind == "Unsqueeze":
            nodes += [node("Unsqueeze", [source, "axis"], f"{name}.u"),
                      node("Reshape", [f"{name}.u", "flat"], name)]  # fmt: skip
        else:
            nodes += [node("ReduceMax", [source], f"{name}.m", axes=[0]),
                      node(kind, ["v0", f"{name}.m"], name)]  # fmt: skip
        pool.append(name)
        known.append(name)
    nodes.append(node("Cast", [known[-1]], "f", to=1))
    nodes.append(node("ReduceSum", ["f", "axis"], "g"))
    nodes.append(node("Add", ["x", "g"], "y"))
    constants["flat"] = np.array([-1])
    proto = model(nodes, [info("x", shape)], ["y"], constants)
    folder = tmp_path_factory.mktemp("shape")
    workload = read_onnx(save(proto, folder), batch=shape[0])
    (op,) = workload.ops
    assert (op.kind, op.weight) == (OpKind.ADD, "g")
    proto.graph.output.append(info("g", None))
    total = session(proto).run(["g"], feeds(proto))[0]
    records = [
        Node(n.name or f"n{i}", n.op_type, "", tuple(n.input), tuple(n.output),
             {a.name: list(a.ints) or a.i for a in n.attribute})
        for i, n in enumerate(proto.graph.node)
    ]  # fmt: skip
    found = fold(records, {"x": Value(tuple(shape), "float32")}, constants, 17)
    assert np.array_equal(found.arrays["g"], total)
