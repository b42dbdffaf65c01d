"""Clipped networks in ONNX Runtime against the definition in numpy, NaN and infinities included."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fault_nets import tiny_data, tiny_float, tiny_int8
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from accelsim.errors import AccelsimError
from faults.clip import clip_network, profile_bounds, relu_outputs
from faults.network import Network


def relu_model(kind: int = TensorProto.FLOAT, opset: int = 17) -> Any:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", kind, ["n"])],
        [helper.make_tensor_value_info("y", kind, ["n"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: Any, x: Any) -> Any:
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


SATURATE = clip_network(relu_model(), {"y": 1.5}, "saturate")
ZERO = clip_network(relu_model(), {"y": 1.5}, "zero")


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, 40, elements=st.floats(width=32, allow_subnormal=False)))
def test_forms_equal_their_definitions(x: Any) -> None:
    with np.errstate(invalid="ignore"):
        saturated = np.minimum(np.maximum(x, np.float32(0)), np.float32(1.5))  # NaN passes
        zeroed = np.where((x > 0) & (x <= 1.5), x, np.float32(0))
    np.testing.assert_array_equal(run(SATURATE, x), saturated)
    np.testing.assert_array_equal(run(ZERO, x), zeroed)


def test_special_values() -> None:
    inf, nan = np.inf, np.nan
    above = np.nextafter(np.float32(1.5), np.float32(2))
    x = np.array([nan, inf, -inf, 1.5, above, -0.0, -2, 1], np.float32)
    np.testing.assert_array_equal(run(SATURATE, x), np.float32([nan, 1.5, 0, 1.5, 1.5, 0, 0, 1]))
    np.testing.assert_array_equal(run(ZERO, x), np.float32([0, 0, 0, 1.5, 0, 0, 0, 1]))


def test_the_bound_has_the_activations_type() -> None:
    model = clip_network(relu_model(TensorProto.DOUBLE), {"y": 0.1}, "saturate")
    assert run(model, np.array([0.05, 3.0])).tolist() == [0.05, 0.1]


def sliced_model(kind: int, size: int) -> Any:
    """A convolution of 9 x 9, a slice from its end, and the Relu behind it."""
    weight = onnx.helper.make_tensor("w", kind, [1, 1, 9, 9], np.ones(81))
    bounds = {"last": 1000, "back": -1000, "rows": 2, "minus": -1}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Slice", ["c", *bounds], ["s"]),
            helper.make_node("Relu", ["s"], ["y"]),
        ],
        "sliced",
        [helper.make_tensor_value_info("x", kind, [1, 1, size, size])],
        [helper.make_tensor_value_info("y", kind, None)],
        [
            weight,
            *(numpy_helper.from_array(np.array([v], np.int64), k) for k, v in bounds.items()),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_slice_of_less_than_nothing_does_not_end_the_process() -> None:
    """onnx's own inference may, on a window larger than its input."""
    code = (
        "import onnx, sys; from faults.clip import clip_network;"
        "m = onnx.load_from_string(sys.stdin.buffer.read());"
        "print(len(clip_network(m, {'y': 1.0}, 'saturate').graph.node))"
    )
    damaged = sliced_model(TensorProto.FLOAT, 4).SerializeToString()
    done = subprocess.run(
        [sys.executable, "-c", code], input=damaged, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"3"), done.stderr


def test_types_pass_slices() -> None:
    model = sliced_model(TensorProto.DOUBLE, 12)
    before = model.SerializeToString()
    bound = next(
        t for t in clip_network(model, {"y": 0.5}, "saturate").graph.initializer
        if t.name == "y/bound"
    )  # fmt: skip
    assert bound.data_type == TensorProto.DOUBLE
    assert model.SerializeToString() == before


def test_bounds_profiled_on_the_same_images_change_nothing() -> None:
    network, data = Network(tiny_float()), tiny_data()
    bounds = profile_bounds(network, data.images)
    assert list(bounds) == ["r0", "r1"]
    whole = network.graph.build(range(len(network.graph.nodes)), {"image": None}, ["r0"])
    session = ort.InferenceSession(whole.SerializeToString())
    assert bounds["r0"] == session.run(["r0"], {"image": data.images})[0].max()
    for form in ("saturate", "zero"):
        model = clip_network(tiny_float(), bounds, form)
        onnx.checker.check_model(model, full_check=True)
        scores = Network(model).run(data.images)
        np.testing.assert_allclose(scores, network.run(data.images), rtol=1e-5, atol=1e-5)


def test_the_model_given_is_left_alone_and_none_is_a_copy() -> None:
    model = tiny_float()
    before = model.SerializeToString()
    clip_network(model, {"r0": 1.0}, "zero")
    assert model.SerializeToString() == before
    copy = clip_network(model, {}, "none")
    assert copy is not model
    assert copy.SerializeToString() == before


def test_only_named_relus_are_clipped() -> None:
    clipped = clip_network(tiny_float(), {"r1": 0.5}, "saturate")
    kinds = [n.op_type for n in clipped.graph.node]
    assert (kinds.count("Relu"), kinds.count("Clip")) == (1, 1)
    assert relu_outputs(clipped) == ("r0",)


@pytest.mark.parametrize(
    ("bounds", "form"),
    [
        ({"r9": 1.0}, "zero"),
        ({"r0": float("nan")}, "zero"),
        ({"r0": float("inf")}, "saturate"),
        ({"r0": -1.0}, "saturate"),
        ({"r0": 1.0}, "round"),
    ],
)
def test_bad_bounds(bounds: dict[str, float], form: str) -> None:
    with pytest.raises(AccelsimError) as error:
        clip_network(tiny_float(), bounds, form)
    assert {m.code for m in error.value.mistakes} == {"F508"}


def test_old_opsets_and_networks_without_relu_are_refused() -> None:
    with pytest.raises(AccelsimError, match="opset 12"):
        clip_network(relu_model(opset=11), {"y": 1.0}, "zero")
    clip_network(relu_model(opset=11), {"y": 1.0}, "saturate")
    with pytest.raises(AccelsimError, match="F507"):
        profile_bounds(Network(tiny_float()), tiny_data().images[:, :2])
    with pytest.raises(AccelsimError, match="no Relu"):
        profile_bounds(Network(tiny_int8(relu=False)), tiny_data().images)
