"""The slow reference: a whole faulty forward in ONNX Runtime, with nothing reused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from faults.graph import open_session
from faults.integer import flip_at, layer_sums, requantise
from faults.network import Network
from faults.sites import Upset

if TYPE_CHECKING:
    from numpy.typing import NDArray


def full_forward_upset(network: Network, fault: Upset, images: NDArray[np.float32]) -> NDArray[Any]:
    """Class scores under ``fault`` by a whole forward in ONNX Runtime: the slow reference.

    A weight or bias is changed in the model itself. An activation is computed by the runtime,
    changed, and fed back to the otherwise unchanged whole model in place of its tensor. So is an
    accumulator's output tensor: where the flip changes what the integer reference makes of the sum,
    the element takes the reference's value; everything else stays the runtime's.
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
    clean = requantise(layer, sums).reshape(len(images), -1)
    flip_at(sums, fault.element, fault.bit)
    made = requantise(layer, sums).reshape(len(images), -1)
    # Only what the flip changes: elsewhere the runtime's own values stay.
    flat = value.reshape(len(images), -1)
    np.copyto(flat, made, where=made != clean)
    return overridden(network, tensor, value, images)


def whole_value(network: Network, tensor: str, images: NDArray[np.float32]) -> NDArray[Any]:
    """A tensor as the whole model computes it."""
    if tensor == network.input:
        return images.copy()
    session = open_session(value_model(network, tensor), network.name)
    return network.run_session(session, {network.input: images}, tensor).copy()


def overridden(
    network: Network, tensor: str, value: NDArray[Any], images: NDArray[np.float32]
) -> NDArray[Any]:
    """Scores of the whole model with ``tensor`` replaced by ``value`` for all its readers."""
    if tensor == network.input:
        return network.run(value)
    if tensor == network.output:
        return value
    feeds = {network.input: images, tensor: value}
    session = open_session(override_model(network, tensor), network.name)
    return network.run_session(session, feeds, network.output)


def value_model(network: Network, tensor: str) -> Any:
    """The whole model with ``tensor`` as its output."""
    nodes = range(len(network.graph.nodes))
    return network.graph.build(nodes, {network.input: None}, [tensor])


def override_model(network: Network, tensor: str) -> Any:
    """The whole model with ``tensor`` as a second input: its readers get that instead."""
    return network.graph.build(
        range(len(network.graph.nodes)),
        {network.input: None, tensor: network.info[tensor]},
        [network.output],
        renamed={tensor: tensor + "/unread"},
    )


class Wholes:
    """:func:`whole_value` and :func:`overridden` with the sessions of one tensor kept: faults come
    tensor by tensor, and a large network's sessions would not fit side by side."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._tensor = network.input
        self._sessions: dict[str, Any] = {}

    def value(self, tensor: str, images: NDArray[np.float32]) -> NDArray[Any]:
        """``tensor`` as the whole model computes it."""
        if tensor == self.network.input:
            return images.copy()
        session = self._session("value " + tensor, value_model, tensor)
        return self.network.run_session(session, {self.network.input: images}, tensor).copy()

    def scores(self, tensor: str, value: NDArray[Any], images: NDArray[np.float32]) -> NDArray[Any]:
        """Scores with ``tensor`` replaced by ``value``."""
        network = self.network
        if tensor in (network.input, network.output):
            return overridden(network, tensor, value, images)
        session = self._session("scores " + tensor, override_model, tensor)
        feeds = {network.input: images, tensor: value}
        return network.run_session(session, feeds, network.output)

    def begin(self, tensor: str) -> None:
        """Faults at ``tensor`` follow: forget the sessions of another."""
        if tensor != self._tensor:
            self._tensor = tensor
            self._sessions.clear()

    def _session(self, key: str, build: Callable[[Network, str], Any], tensor: str) -> Any:
        if key not in self._sessions:
            self._sessions[key] = open_session(build(self.network, tensor), self.network.name)
        return self._sessions[key]
