"""The slow reference: a whole faulty forward in ONNX Runtime, with nothing reused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faults.graph import open_session
from faults.integer import flip_at, layer_sums, requantise
from faults.network import Network
from faults.sites import Upset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def full_forward_upset(network: Network, fault: Upset, images: NDArray[np.float32]) -> NDArray[Any]:
    """Class scores under ``fault`` by a whole forward in ONNX Runtime: the slow reference.

    A weight or bias is changed in the model itself. An activation or accumulator is computed,
    changed, and fed back to the otherwise unchanged whole model in place of its tensor.
    """
    kind, tensor = fault.target.kind, fault.target.tensor
    if kind in ("weight", "bias"):
        values = network.graph.value(tensor).copy()
        flip_at(values.reshape(1, -1), fault.element, fault.bit)
        nodes = range(len(network.graph.nodes))
        model = network.graph.build(
            nodes, {network.input: None}, [network.output], replaced={tensor: values}
        )
        session = open_session(model, network.name)
        return network.run_session(session, {network.input: images}, network.output)
    value = whole_value(network, tensor, images)
    if kind == "activation":
        flip_at(value, fault.element, fault.bit)
        return overridden(network, tensor, value, images)
    layer = next(la for la in network.layers if la.output == tensor)
    sums = layer_sums(layer, whole_value(network, layer.source, images))
    flip_at(sums, fault.element, fault.bit)
    made = requantise(layer, sums).reshape(value.shape)
    return overridden(network, tensor, made, images)


def whole_value(network: Network, tensor: str, images: NDArray[np.float32]) -> NDArray[Any]:
    """A tensor as the whole model computes it."""
    if tensor == network.input:
        return images.copy()
    nodes = range(len(network.graph.nodes))
    session = open_session(
        network.graph.build(nodes, {network.input: None}, [tensor]), network.name
    )
    return network.run_session(session, {network.input: images}, tensor).copy()


def overridden(
    network: Network, tensor: str, value: NDArray[Any], images: NDArray[np.float32]
) -> NDArray[Any]:
    """Scores of the whole model with ``tensor`` replaced by ``value`` for all its readers."""
    if tensor == network.input:
        return network.run(value)
    if tensor == network.output:
        return value
    model = network.graph.build(
        range(len(network.graph.nodes)),
        {network.input: None, tensor: network.info[tensor]},
        [network.output],
        renamed={tensor: tensor + "/unread"},
    )
    feeds = {network.input: images, tensor: value}
    return network.run_session(open_session(model, network.name), feeds, network.output)
