"""What an upset of a sum is, shown against ONNX Runtime and against arithmetic of our own here."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from fault_nets import CIFAR, MEAN, RESNET_INT8, STD, tiny_data, tiny_int8, tiny_qoperator

from faults.data import EvalSet, load_data
from faults.integer import element_sums, layer_sums
from faults.layers import IntLayer
from faults.network import Network, decisions
from faults.oracle import full_forward_upset, overridden, value_model, whole_value
from faults.plan import Target
from faults.sites import Upset
from faults.trust import Trust, establish_trust
from faults.upsets import Runner, Work, _faulty_element

NETS = [tiny_int8(0), tiny_int8(1, relu=False), tiny_qoperator(0), tiny_qoperator(1, "int8")]


def sums_by_einsum(layer: IntLayer, x: Any) -> Any:
    """Sums without bias, int64 [n, out, oh, ow]: padded images, all windows, one product."""
    top, left, bottom, right = layer.pads
    images = x.reshape(-1, *layer.in_shape).astype(np.int64) - layer.in_zero
    images = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)))
    weight = layer.weight.astype(np.int64) - layer.weight_zero[:, None, None, None]
    out, inner, kh, kw = weight.shape
    (sh, sw), (dh, dw) = layer.stride, layer.dilation
    span = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(images, span, (2, 3))
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    n, _, oh, ow = windows.shape[:4]
    grouped = windows.reshape(n, layer.groups, inner, oh, ow, kh, kw)
    by_group = weight.reshape(layer.groups, out // layer.groups, inner, kh, kw)
    return np.einsum("ngiyxhw,goihw->ngoyx", grouped, by_group).reshape(n, out, oh, ow)


@pytest.mark.parametrize("model", NETS)
def test_sums_equal_an_independent_convolution(model: Any) -> None:
    network, data = Network(model), tiny_data(3)
    for layer in network.layers:
        x = whole_value(network, layer.source, data.images)
        expected = sums_by_einsum(layer, x) + layer.bias[:, None, None]
        assert (layer_sums(layer, x) == expected).all()
        for element in (0, expected[0].size // 3, expected[0].size - 1):
            made = element_sums(layer, x, element)
            assert (made == expected.reshape(3, -1)[:, element]).all()


def with_bias(network: Network, layer: IntLayer, channel: int, change: int) -> Any:
    """The whole model with this layer's output exposed and one bias changed."""
    values = layer.bias.copy()
    values[channel] += change
    nodes = range(len(network.graph.nodes))
    model = network.graph.build(
        nodes, {network.input: None}, [layer.output], replaced={layer.bias_name: values}
    )
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def check_bias_equivalence(network: Network, data: EvalSet, rng: Any, tries: int) -> int:
    """Inverting bit b of a sum is adding or taking away 2^b: ONNX Runtime's own run of the layer
    with the bias changed by that much must give the element that the engine puts in its place."""
    changed = 0
    everyone = np.arange(len(data))
    trust = establish_trust(network, data, [la.output for la in network.layers])
    runner = Runner(network, data, network.run(data.images), trust)
    for layer in (la for la in network.layers if la.bias_name is not None):
        x = whole_value(network, layer.source, data.images)
        clean = whole_value(network, layer.output, data.images)
        sums = (sums_by_einsum(layer, x) + layer.bias[:, None, None]).reshape(len(data), -1)
        for _ in range(tries):
            element, bit = int(rng.integers(sums.shape[1])), int(rng.integers(31))
            channel = element // (sums.shape[1] // layer.channels)
            is_set = (sums[:, element] >> bit) & 1 == 1
            made = clean.copy().reshape(len(data), -1)
            for rows, change in ((is_set, -(1 << bit)), (~is_set, 1 << bit)):
                session = with_bias(network, layer, channel, change)
                whole = session.run(None, {network.input: data.images})[0]
                made[rows, element] = whole.reshape(len(data), -1)[rows, element]
            fault = Upset(0, Target("a", "accumulator", layer.output, 1), element, bit, everyone)
            expected = overridden(network, layer.output, made.reshape(clean.shape), data.images)
            assert (full_forward_upset(network, fault, data.images) == expected).all()
            assert (runner.short_scores(fault) == expected).all()
            changed += int((made != clean.reshape(len(data), -1)).any())
    return changed


@pytest.mark.parametrize("model", NETS)
def test_a_flipped_sum_is_a_changed_bias_at_one_place(model: Any) -> None:
    changed = check_bias_equivalence(Network(model), tiny_data(6), np.random.default_rng(4), 6)
    assert changed > 4


@pytest.mark.skipif(not RESNET_INT8.exists(), reason="the shipped network is not there")
def test_a_flipped_sum_is_a_changed_bias_in_the_shipped_network() -> None:
    data = load_data(CIFAR, 255, MEAN, STD, limit=3)
    changed = check_bias_equivalence(Network.load(RESNET_INT8), data, np.random.default_rng(5), 1)
    assert changed > 4


@pytest.mark.parametrize("model", NETS)
def test_accumulator_reference_is_the_definition(model: Any) -> None:
    """One flipped sum, requantised with scalar arithmetic, in the tensor that the rest reads."""
    network, data = Network(model), tiny_data(3)
    layer, bit, element = network.layers[1], 15, 37
    x = whole_value(network, layer.source, data.images)
    values = whole_value(network, layer.output, data.images)
    total = (sums_by_einsum(layer, x) + layer.bias[:, None, None]).reshape(3, -1)[:, element]
    channel = element // (values[0, 0].size)
    before = values.copy()
    for row, value in enumerate(total.tolist()):
        scaled = round(float(np.float32(value ^ (1 << bit)) * layer.factor[channel]))
        made = min(layer.high, max(layer.low, scaled + layer.out_zero))
        values[row].reshape(-1)[element] = made
    assert (values != before).any()
    expected = overridden(network, layer.output, values, data.images)
    target = Target("a", "accumulator", layer.output, 1)
    fault = Upset(0, target, element, bit, np.arange(3))
    assert (full_forward_upset(network, fault, data.images) == expected).all()


def test_where_the_reference_sees_no_change_the_runtimes_own_value_stays() -> None:
    """A runtime that is one off the reference at the hit element (made so here): flips that the
    reference rounds away are no change, others give the reference's value."""
    network = Network(tiny_int8())
    layer = network.layers[2]
    x = whole_value(network, layer.source, tiny_data(8).images)
    element = 11
    sums = sums_by_einsum(layer, x) + layer.bias[:, None, None]
    sums = sums.reshape(8, -1)[:, element]
    factor = layer.factor[element // (layer.out_shape[1] * layer.out_shape[2])]

    def output(total: int) -> int:
        scaled = round(float(np.float32(total) * factor)) + layer.out_zero
        return min(layer.high, max(layer.low, scaled))

    off = np.array([output(s) ^ 1 for s in sums.tolist()], layer.dtype)
    target = Target("a", "accumulator", layer.output, 1)
    kept = 0
    for bit in (0, 2, 9, 20):
        fault = Upset(0, target, element, bit, np.arange(8))
        made = _faulty_element(layer, fault, x, off).tolist()
        for total, own, value in zip(sums.tolist(), off.tolist(), made, strict=True):
            after = output(total ^ (1 << bit))
            assert value == (own if after == output(total) else after)
            kept += value == own
    assert 8 <= kept < 32


@pytest.mark.parametrize("seed", [2, 7])
def test_sums_of_layers_that_run_in_float_are_injected_too(seed: int) -> None:
    """The long way of the engine, its sessions kept, gives the record of the reference."""
    network, data = Network(tiny_int8(seed, act="int8")), tiny_data()
    scores = network.run(data.images)
    trust = Trust(frozenset(), frozenset(), "nothing is trusted")
    runner = Runner(network, data, scores, trust)
    rng = np.random.default_rng(seed)
    hits = 0
    for layer in network.layers:
        for bit in (6, 13, 20, 31):
            element = int(rng.integers(np.prod(layer.out_shape)))
            target = Target("a", "accumulator", layer.output, 1)
            fault = Upset(0, target, element, bit, np.arange(len(data)))
            clean = whole_value(network, layer.output, data.images)
            before = overridden(network, layer.output, clean, data.images)
            after = full_forward_upset(network, fault, data.images)
            record = runner.run(Work(None, (fault,)))[0]
            moved = (after != before).any(axis=1)
            top = np.where(moved, decisions(after), decisions(scores))
            assert record.sdc1 == (top != decisions(scores)).sum()
            assert (record.outcome == "masked") == (not moved.any())
            hits += record.outcome != "masked"
    assert hits > 4


def test_the_exposed_model_is_the_whole_model() -> None:
    network, data = Network(tiny_int8()), tiny_data(4)
    session = ort.InferenceSession(value_model(network, "sum_q").SerializeToString())
    made = session.run(None, {"image": data.images})[0]
    assert (made == whole_value(network, "sum_q", data.images)).all()
    assert (overridden(network, "sum_q", made, data.images) == network.run(data.images)).all()
