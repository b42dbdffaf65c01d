"""Loading, cutting and resuming networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fault_nets import tiny_data, tiny_float, tiny_int8
from onnx import TensorProto, helper

from accelsim.errors import AccelsimError
from faults.data import EvalSet
from faults.fault_free import FaultFree
from faults.graph import executed_nodes
from faults.network import Network, accuracy, check_data, decisions
from faults.trust import establish_trust


def codes(error: pytest.ExceptionInfo[AccelsimError]) -> list[str]:
    return [m.code for m in error.value.mistakes]


def test_articulations_are_where_everything_passes() -> None:
    network = Network(tiny_int8())
    # dw_q and c2_q are bypassed by the residual r1_q.
    assert network.articulations == ("image", "image_q", "r1_q", "sum_q", "pool_q", "flat_q",
                                     "logits_q")  # fmt: skip
    assert network.next_cut("dw_q") == "sum_q"
    assert network.next_cut("logits_q") == "logits_d"
    assert network.segment("dw_q", "sum_q").sides == ("r1_q",)
    assert network.segment("image_q", "r1_q").sides == ()


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_every_cut_resumes_to_the_whole_models_scores(seed: int) -> None:
    network, data = Network(tiny_int8(seed)), tiny_data()
    cuts = ["image", *network.graph.quantised]
    trust = establish_trust(network, data, cuts)
    assert trust.cuts == set(cuts)
    assert trust.layers == {la.output for la in network.layers}
    assert "4 of 4 quantised layers" in trust.report
    free = FaultFree(network, data)
    everyone = np.arange(len(data))
    for cut in cuts:
        alive, scores = network.resume(cut, free.rows(cut, everyone), everyone, free)
        # Unchanged images leave at the first boundary; behind the last there is none.
        assert len(alive) == (len(data) if cut == "logits_q" else 0)
        assert len(scores) == len(alive)


def test_fault_free_tensors_equal_those_of_the_whole_model_on_any_subset() -> None:
    network, data = Network(tiny_int8()), tiny_data()
    model = onnx.ModelProto()
    model.CopyFrom(tiny_int8())
    names = list(network.graph.quantised)
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    whole = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = dict(zip(names, whole.run(names, {"image": data.images}), strict=True))
    some = [3, 17, 5]
    free = FaultFree(network, data, some)
    for name in reversed(names):
        assert (free.rows(name, np.array([17, 3, 3])) == expected[name][[17, 3, 3]]).all()
        free.release()


def test_accuracy_is_the_runtimes() -> None:
    data = tiny_data(100)
    session = ort.InferenceSession(tiny_float().SerializeToString())
    scores = session.run(None, {"image": data.images})[0]
    expected = float((scores.argmax(axis=1) == data.labels).mean())
    assert accuracy(Network(tiny_float()), data) == expected


def test_decisions_without_finite_scores() -> None:
    scores = np.array([[0, 2, 2], [np.nan, 1, 0], [np.inf, 0, 0], [-np.inf, 0, 1]], np.float32)
    assert decisions(scores).tolist() == [1, -1, -1, -1]


def test_a_fixed_batch_of_one_is_freed() -> None:
    model = tiny_int8()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    assert Network(model).run(tiny_data().images).shape == (24, 5)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1  # the caller's own


def test_weights_are_those_of_products_only() -> None:
    assert Network(tiny_float()).weight_names() == ("w0", "b0", "w1", "b1", "fw", "fb")
    assert Network(tiny_int8()).weight_names() == ("c1_w", "c1_b", "dw_w", "c2_w", "c2_b",
                                                   "fc_w", "fc_b")  # fmt: skip
    assert Network(tiny_float()).format == "float32"
    assert Network(tiny_int8()).format == "int8"


def test_bad_files(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    with pytest.raises(AccelsimError) as error:
        Network.load(file)
    assert codes(error) == ["F502"]
    whole = tiny_int8().SerializeToString()
    rng = np.random.default_rng(0)
    for content in (b"", b"not a network", rng.bytes(300), whole[: len(whole) // 2], whole[:-1]):
        file.write_bytes(content)
        with pytest.raises(AccelsimError) as error:
            Network.load(file)
        assert codes(error) == ["F502"]
        assert error.value.mistakes[0].location is not None


def model_with(inputs: list[Any], outputs: list[Any], nodes: list[Any]) -> Any:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize(
    "model",
    [
        model_with([value("a", ["n", 4]), value("b", ["n", 4])], [value("y", ["n", 4])],
                   [helper.make_node("Add", ["a", "b"], ["y"])]),
        model_with([value("a", ["n", 4])], [value("x", ["n", 4]), value("y", ["n", 4])],
                   [helper.make_node("Relu", ["a"], ["x"]), helper.make_node("Neg", ["a"], ["y"])]),
        model_with([value("a", ["n", 4], TensorProto.INT32)], [value("y", None, TensorProto.INT32)],
                   [helper.make_node("Neg", ["a"], ["y"])]),
        model_with([value("a", ["n", 1, 2, 2])], [value("y", None)],
                   [helper.make_node("Relu", ["a"], ["y"])]),
    ],
    ids=["two inputs", "two outputs", "integer input", "no class scores"],
)  # fmt: skip
def test_what_is_no_classification_network_is_refused(model: Any) -> None:
    with pytest.raises(AccelsimError) as error:
        Network(model)
    assert codes(error) == ["F504"]


def test_labels_and_shapes_are_checked_against_the_network() -> None:
    network, data = Network(tiny_int8()), tiny_data()
    bad = EvalSet(data.images[:, :, :5], np.where(np.arange(24) == 3, 5, data.labels))
    with pytest.raises(AccelsimError) as error:
        check_data(network, bad)
    assert sorted(codes(error)) == ["F506", "F507"]
    check_data(network, data)


def test_layers_that_run_in_floating_point_are_not_trusted() -> None:
    """A Relu before a QuantizeLinear with an inner zero point keeps the convolution in float."""
    model = tiny_int8(relu=True)
    for tensor in model.graph.initializer:
        if tensor.name == "r1_z":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(40, np.uint8), "r1_z"))
    network, data = Network(model), tiny_data()
    executed = executed_nodes(model)
    assert any(kind.endswith("Conv") and "c1" in name for kind, name in executed)
    trust = establish_trust(network, data, ["r1_q", "c2_q"])
    assert "r1_q" not in trust.layers
    assert "not trusted" in trust.report


def test_a_float_network_has_nothing_to_trust() -> None:
    trust = establish_trust(Network(tiny_float()), tiny_data(), ["r0"])
    assert not trust.layers
    assert not trust.cuts
