"""Which faults may take the short way: established on this machine, on real images, at the start.

Integer kernels differ between processors, and graph optimisations between cuts; so every quantised
layer is compared with its integer reference, and every cut with the whole model, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake
from faults.data import EvalSet
from faults.fault_free import FaultFree
from faults.graph import executed_nodes, open_session
from faults.integer import layer_sums, requantise
from faults.layers import IntLayer
from faults.network import Network, bits_of
from faults.plan import Target
from faults.sites import Population

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHECK_IMAGES = 8
"""Images on which layers and cuts are compared with the whole model at the start."""
CHECK_IMAGES_MIXED = 64
"""The same for a network that the runtime does not execute in integers throughout."""

_FLOAT_PRODUCTS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")
_MOVES = frozenset(
    ("Transpose", "Flatten", "Reshape", "Slice", "Pad", "Concat", "Squeeze", "Unsqueeze", "MaxPool",
     "Identity", "NhwcMaxPool", "QuantizeLinear", "DequantizeLinear", "QGemm", "MatMulInteger",
     "ConvInteger", "ReorderInput", "ReorderOutput", "Split", "Gather")
)  # fmt: skip
"""Operators that compute in integers or only move values (beside those called QLinear...)."""


@dataclass(frozen=True)
class Trust:
    """What the start-up comparison found: layers and cuts that may take the short way."""

    layers: frozenset[str]
    """Output tensors of layers whose integer arithmetic equals the runtime's."""
    cuts: frozenset[str]
    report: str


def establish_trust(network: Network, data: EvalSet, cuts: Iterable[str]) -> Trust:
    """Compare, on the first images of ``data`` and bit for bit with the whole model, every
    quantised layer's integer reference and the resumed run from every cut in ``cuts``.

    A layer that the runtime executes in floating point is not trusted even where values agree.
    """
    if not network.layers:
        return Trust(
            frozenset(), frozenset(), "no 8-bit layers: every fault runs the whole network"
        )
    executed = executed_nodes(network.graph.model, network.name)
    count = CHECK_IMAGES if _all_integer(executed) else CHECK_IMAGES_MIXED
    sample = EvalSet(data.images[:count], data.labels[:count])
    whole = _whole_tensors(network, sample)
    floats = [name for kind, name in executed if kind in _FLOAT_PRODUCTS]
    wrong = [la for la in network.layers if la.name in floats or not _equals(la, whole)]
    if len(floats) > sum(la.name in floats for la in network.layers):
        wrong = list(network.layers)  # a float product of unknown origin: no layer is certain
    good = [la for la in network.layers if la not in wrong]
    wanted = [c for c in sorted(set(cuts), key=network.place) if network.is_cut(c)]
    free = FaultFree(network, sample)
    exact = [cut for cut in wanted if _resumes(network, cut, free, whole)]
    outputs = sum(whole[la.output].size for la in network.layers)
    report = (
        f"{len(good)} of {len(network.layers)} quantised layers equal the integer reference "
        f"({len(sample)} images, {outputs} outputs); {len(exact)} of {len(wanted)} cuts resume "
        "bit for bit"
    )
    doubtful = sorted({*(la.output for la in wrong), *(set(wanted) - set(exact))})
    if doubtful:
        report += "; not trusted, faults there run the whole network: " + ", ".join(doubtful)
    return Trust(frozenset(la.output for la in good), frozenset(exact), report)


def _all_integer(executed: Iterable[tuple[str, str]]) -> bool:
    return all(kind in _MOVES or kind.startswith("QLinear") for kind, _ in executed)


def _whole_tensors(network: Network, sample: EvalSet) -> dict[str, NDArray[Any]]:
    """Input, all quantised tensors, and class scores, as one run of the whole model gives them."""
    names = [t for t in network.graph.quantised if t in network.info]
    nodes = range(len(network.graph.nodes))
    model = network.graph.build(nodes, {network.input: None}, names)
    values = open_session(model, network.name).run(names, {network.input: sample.images})
    return {
        network.input: sample.images,
        **dict(zip(names, values, strict=True)),
        network.output: network.run(sample.images),
    }


def _equals(layer: IntLayer, whole: Mapping[str, NDArray[Any]]) -> bool:
    expected = whole[layer.output]
    made = requantise(layer, layer_sums(layer, whole[layer.source]))
    return bool((made.reshape(expected.shape) == expected).all())


def _resumes(
    network: Network, cut: str, free: FaultFree, whole: Mapping[str, NDArray[Any]]
) -> bool:
    """Whether the tensor at ``cut`` is the whole model's, and leads through every boundary to the
    whole model's tensors and scores."""
    here, values = cut, free.all(cut)
    everyone = np.arange(len(values))
    if (values != whole[cut]).any():
        return False
    while here != network.output:
        goal = network.next_cut(here)
        part = network.segment(here, goal)
        feeds = {s: free.rows(s, everyone) for s in part.sides}
        values = network.run_session(part.session, {here: values, **feeds}, goal)
        if (bits_of(values) != bits_of(whole[goal])).any():
            return False
        here = goal
    return True


class Sites:
    """What the targets of a network are: populations, layers, and where a fault enters."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._by_weight = {la.weight_name: la for la in network.layers}
        self._by_bias = {la.bias_name: la for la in network.layers if la.bias_name is not None}
        self._by_output = {la.output: la for la in network.layers}

    def layer(self, target: Target) -> IntLayer | None:
        """The quantised layer that a weight, bias or accumulator belongs to."""
        tables: Mapping[str, Mapping[Any, IntLayer]] = {
            "weight": self._by_weight, "bias": self._by_bias, "accumulator": self._by_output,
        }  # fmt: skip
        return tables.get(target.kind, {}).get(target.tensor)

    def cut(self, target: Target) -> str | None:
        """The quantised tensor at which the fault becomes visible; None without one."""
        if target.kind == "activation":
            return target.tensor if self.network.is_cut(target.tensor) else None
        layer = self.layer(target)
        return None if layer is None else layer.output

    def short(self, target: Target, trust: Trust) -> str | None:
        """The cut from which this target's faults may be resumed; None: whole forward."""
        cut = self.cut(target)
        if cut not in trust.cuts:
            return None
        return cut if target.kind == "activation" or cut in trust.layers else None

    def populations(
        self, targets: Iterable[Target], trust: Trust
    ) -> dict[tuple[str, str], Population]:
        """(kind, tensor) -> elements and bits. AccelsimError F505 naming every target that the
        network lacks, and every accumulator whose layer is not trusted."""
        found: dict[tuple[str, str], Population] = {}
        mistakes = []
        for target in targets:
            key = (target.kind, target.tensor)
            if key in found:
                continue
            population = self._population(target, trust)
            if isinstance(population, Mistake):
                mistakes.append(population)
            else:
                found[key] = population
        if mistakes:
            raise AccelsimError(mistakes)
        return found

    def _population(self, target: Target, trust: Trust) -> Population | Mistake:
        network, where = self.network, Location(self.network.name)
        if target.kind in ("weight", "bias"):
            tensor = network.graph.initializers.get(target.tensor)
            if tensor is None:
                hint = "targets are called as the ONNX initializer"
                return Mistake("F505", f"no {target.kind} '{target.tensor}'", hint, where)
            values = network.graph.value(target.tensor)
            return Population(int(values.size), int(values.dtype.itemsize * 8))
        if target.kind == "activation":
            info = network.info.get(target.tensor)
            if info is None:
                hint = (
                    "targets are called as the ONNX tensor (quantised networks: the quantised one)"
                )
                return Mistake("F505", f"no activation '{target.tensor}'", hint, where)
            return Population(info.elements, info.bits)
        layer = self.layer(target)
        if layer is None or layer.output not in trust.layers:
            why = (
                "no quantised layer makes it" if layer is None else "its arithmetic is not trusted"
            )
            hint = (
                "accumulators exist in QDQ layers that run in integers: quantise weights to int8 "
                "and activations to uint8"
            )
            return Mistake("F505", f"no accumulator '{target.tensor}': {why}", hint, where)
        return Population(int(np.prod(layer.out_shape)), 32)
