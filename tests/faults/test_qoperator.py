"""The QOperator form: networks of QLinearConv, QGemm, QLinearMatMul and their companions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fault_nets import every_kind, targets_of, tiny_data, tiny_float, tiny_qoperator

import faults
from faults.graph import executed_nodes
from faults.network import Network
from faults.oracle import full_forward_upset
from faults.plan import RatePlan, UpsetPlan
from faults.trust import establish_trust

FORMS = [("uint8", "int8"), ("int8", "int8"), ("uint8", "uint8")]


def test_layers_and_cuts_are_found() -> None:
    network = Network(tiny_qoperator())
    assert network.format == "int8"
    assert network.graph.quantised == ("image_q", "c1_q", "c2_q", "sum_q", "pool_q", "flat_q",
                                       "fc_q", "logits_q")  # fmt: skip
    assert network.articulations == ("image", "image_q", "c1_q", "sum_q", "pool_q", "flat_q",
                                     "fc_q", "logits_q")  # fmt: skip
    found = {la.output: la for la in network.layers}
    assert list(found) == ["c1_q", "c2_q", "fc_q", "logits_q"]
    assert found["c1_q"].pads == (1, 1, 0, 1)
    assert found["c1_q"].bias_name == "c1_b"
    assert found["c2_q"].groups == 2
    assert found["c2_q"].bias_name is None
    assert not found["fc_q"].transposed
    assert found["logits_q"].transposed
    assert network.weight_names() == ("c1_w", "c1_b", "c2_w", "fc_w", "fc_b", "mm_w")


@pytest.mark.parametrize(("act", "weight"), FORMS)
def test_short_way_equals_whole_forward(act: str, weight: str) -> None:
    network, data = Network(tiny_qoperator(3, act, weight)), tiny_data()
    runner, drawn = every_kind(network, data, 5, 6, 1)
    assert runner.trust.layers == {la.output for la in network.layers}
    assert "not trusted" not in runner.trust.report
    changed = 0
    for fault in drawn:
        expected = full_forward_upset(network, fault, data.images[fault.images])
        assert (runner.short_scores(fault) == expected).all(), fault
        changed += bool((expected != runner.scores[fault.images]).any())
    assert changed > len(drawn) // 4


def test_campaigns_of_both_kinds(tmp_path: Path) -> None:
    onnx.save(tiny_qoperator(), tmp_path / "q.onnx")
    data = tiny_data()
    targets = targets_of(Network(tiny_qoperator()))
    found = faults.campaign(tmp_path / "q.onnx", data, UpsetPlan(targets, 60, 6, floor=10))
    assert len(found.records) == 60
    assert not any("cannot be injected" in note for note in found.notes)
    maps = faults.campaign(tmp_path / "q.onnx", data, RatePlan((1e-3,), 5, 10))
    assert sum(r.flips for r in maps.records) > 0


def test_a_product_with_real_output_or_a_shared_weight_is_no_layer() -> None:
    model = tiny_qoperator()
    gemm = next(n for n in model.graph.node if n.op_type == "QGemm")
    second = next(n for n in model.graph.node if n.name == "c2_q")
    second.input[3] = "c1_w"
    second.attribute.remove(next(a for a in second.attribute if a.name == "group"))
    first = next(n for n in model.graph.node if n.name == "c1_q")
    first.input[0] = "image_q"
    names = [la.output for la in find(model, second)]
    assert "c1_q" not in names
    del gemm.input[7:]
    graph = faults.graph.Graph(tiny_real(model))
    assert "fc_q" not in graph.quantised


def find(model: Any, second: Any) -> tuple[Any, ...]:
    """Layers of a network whose second convolution reads the image with the first one's weight."""
    second.input[0:3] = ["image_q", "image_s", "image_z"]
    second.attribute.extend([onnx.helper.make_attribute("strides", [2, 1])])
    next(a for a in second.attribute if a.name == "pads").ints[:] = [1, 1, 0, 1]
    return Network(model).layers


def tiny_real(model: Any) -> Any:
    """The network up to the QGemm, with its real output."""
    while model.graph.node[-1].op_type != "QGemm":
        del model.graph.node[-1]
    model.graph.output[0].name = "fc_q"
    return model


def quantised_by_onnxruntime(folder: Path, **options: Any) -> Path:
    """The float network, quantised by ONNX Runtime's own tool."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images: Iterator[Any] = iter(tiny_data(8).images)

        def get_next(self) -> Any:
            image = next(self.images, None)
            return None if image is None else {"image": image[None]}

    onnx.save(tiny_float(residual=True), folder / "f.onnx")
    kinds = {k: QuantType[v] if k.endswith("type") else v for k, v in options.items()}
    quantize_static(folder / "f.onnx", folder / "q.onnx", Reader(), **kinds)
    return folder / "q.onnx"


@pytest.mark.parametrize(
    "options",
    [{}, {"activation_type": "QUInt8", "weight_type": "QInt8", "per_channel": True}],
    ids=["default", "per channel"],
)
def test_files_of_the_runtimes_own_quantiser(tmp_path: Path, options: dict[str, Any]) -> None:
    from onnxruntime.quantization import QuantFormat

    file = quantised_by_onnxruntime(tmp_path, quant_format=QuantFormat.QOperator, **options)
    network, data = Network.load(file), tiny_data()
    assert any(kind == "QLinearConv" for kind, _ in executed_nodes(network.graph.model))
    trust = establish_trust(network, data, network.graph.quantised)
    assert len(trust.layers) == 3
    assert trust.cuts == set(network.graph.quantised)
    plan = UpsetPlan(targets_of(network), 40, 4, floor=10)
    assert len(faults.campaign(file, data, plan).records) == 40


def test_the_default_of_the_runtimes_own_quantiser(tmp_path: Path) -> None:
    """QDQ form with int8 activations, which the runtime computes partly in floating point."""
    file = quantised_by_onnxruntime(tmp_path)
    network, data = Network.load(file), tiny_data()
    trust = establish_trust(network, data, network.graph.quantised)
    assert len(trust.layers) < len(network.layers) == 3
    found = faults.campaign(file, data, UpsetPlan(targets_of(network), 80, 4, floor=20))
    assert len(found.records) == 80
    note = next(n for n in found.notes if "fault-free reference against runtime" in n)
    assert "in floating point" in note
    assert all(np.isfinite(r.correct) for r in found.records)
