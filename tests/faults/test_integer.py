"""Integer layers against scalar Python arithmetic and against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fault_nets import tiny_data, tiny_int8
from hypothesis import given
from hypothesis import strategies as st

from faults.fault_free import FaultFree
from faults.integer import channel_sums, element_sums, flip, flip_at, layer_sums, requantise, wrap
from faults.layers import IntLayer
from faults.network import Network


@pytest.fixture(scope="module", params=["uint8", "int8"])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(tiny_int8(act=request.param))


def products(layer: IntLayer, x: Any, element: int) -> Iterator[int]:
    """Every product of one output element, by the definition of a convolution."""
    channel, row, column = (int(i) for i in np.unravel_index(element, layer.out_shape))
    image = x.reshape(layer.in_shape)
    inner, kh, kw = layer.weight.shape[1:]
    first = channel // (layer.channels // layer.groups) * inner
    for c in range(inner):
        for i in range(kh):
            for j in range(kw):
                y = row * layer.stride[0] - layer.pads[0] + i * layer.dilation[0]
                z = column * layer.stride[1] - layer.pads[1] + j * layer.dilation[1]
                if 0 <= y < layer.in_shape[1] and 0 <= z < layer.in_shape[2]:
                    w = int(layer.weight[channel, c, i, j]) - int(layer.weight_zero[channel])
                    yield (int(image[first + c, y, z]) - layer.in_zero) * w


def test_layers_are_found_with_their_geometry(network: Network) -> None:
    found = {la.name: la for la in network.layers}
    assert list(found) == ["c1", "dw", "c2", "logits"]
    assert found["c1"].stride == (2, 1)
    assert found["c1"].pads == (1, 1, 0, 1)
    assert found["c1"].output == "r1_q"
    assert found["dw"].groups == 6
    assert found["dw"].dilation == (2, 2)
    assert found["dw"].bias_name is None
    assert found["logits"].transposed
    assert found["logits"].weight.shape == (5, 6, 1, 1)


def test_sums_equal_scalar_arithmetic(network: Network) -> None:
    free = FaultFree(network, tiny_data())
    rng = np.random.default_rng(5)
    for layer in network.layers:
        x = free.all(layer.source)[:2]
        sums = layer_sums(layer, x).reshape(2, -1)
        for element in rng.integers(0, sums.shape[1], 12).tolist():
            channel = int(np.unravel_index(element, layer.out_shape)[0])
            expected = [sum(products(layer, im, element)) + int(layer.bias[channel]) for im in x]
            assert sums[:, element].tolist() == expected
            assert element_sums(layer, x, element).tolist() == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("act", ["uint8", "int8"])
def test_outputs_equal_the_runtime(act: str, seed: int) -> None:
    network = Network(tiny_int8(seed, act))
    free = FaultFree(network, tiny_data())
    for layer in network.layers:
        expected = free.all(layer.output)
        made = requantise(layer, layer_sums(layer, free.all(layer.source)))
        assert (made.reshape(expected.shape) == expected).all()


def test_large_sums_use_the_wider_type_and_wrap(network: Network) -> None:
    layer = network.layers[0]
    x = np.full((1, *layer.in_shape), 255 if layer.dtype == "uint8" else 127, layer.dtype)
    weight = np.full(layer.weight.shape[1:], 10**6, np.int64)
    sums = channel_sums(layer, x, 0, weight, 2**31 - 1)
    centre = 27 * (int(x.flat[0]) - layer.in_zero) * 10**6 + 2**31 - 1
    assert int(sums[0, 1, 1]) == (centre + 2**31) % 2**32 - 2**31


@given(st.integers(-(2**40), 2**40))
def test_wrap_is_twos_complement(value: int) -> None:
    assert int(wrap(np.array([value]))[0]) == (value + 2**31) % 2**32 - 2**31


@given(st.integers(-128, 127), st.integers(0, 7))
def test_flip_twice_is_nothing_and_changes_one_power(value: int, bit: int) -> None:
    once = flip(value, bit, "int8")
    assert flip(once, bit, "int8") == value
    assert abs(once - value) == 2**bit


def test_flip_known_values() -> None:
    assert flip(0, 7, "int8") == -128
    assert flip(-1, 0, "int8") == -2
    assert flip(0, 31, "int32") == -(2**31)
    assert flip(0, 7, "uint8") == 128
    values = np.zeros((2, 3), np.float32)
    flip_at(values, 1, 30)
    assert values.tolist() == [[0, 2.0, 0]] * 2


def test_requantise_rounds_half_to_even_and_clips() -> None:
    layer = Network(tiny_int8(relu=False)).layers[0]
    half = IntLayer(**{**layer.__dict__, "factor": np.full(6, 0.5, np.float32), "out_zero": 3})
    sums = np.array([[1, 3, 5, -1, -3, 10**6, -(10**6)]], np.int32)
    assert requantise(half, sums, 0).tolist() == [[3, 5, 5, 3, 1, 255, 0]]
