"""Which faults may take the short way: established on this machine, on real images, at the start.

Integer kernels differ between processors, and graph optimisations between cuts; so every quantised
layer is compared with its integer reference, and every cut with the whole model, to the bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake
from faults.data import EvalSet
from faults.fault_free import FaultFree
from faults.graph import ELEM_TYPES, executed_nodes, open_session
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
    notes: tuple[str, ...] = ()
    """How sums of layers that are not trusted were treated."""


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
    exposed = _exposed(network)
    whole = _whole_tensors(network, exposed, sample)
    floats = {name for kind, name in executed if kind in _FLOAT_PRODUCTS}
    # A float product of unknown origin: no layer is certain.
    strange = not floats <= {la.name for la in network.layers}
    differences = {la.output: _difference(la, whole) for la in network.layers}
    wrong = [la for la in network.layers
             if strange or la.name in floats or differences[la.output].count]  # fmt: skip
    good = [la for la in network.layers if la not in wrong]
    wanted = [c for c in sorted(set(cuts), key=network.place) if network.is_cut(c)]
    free = FaultFree(network, sample)
    exact = [cut for cut in wanted if _resumes(network, cut, free, whole)]
    outputs = sum(d.outputs for d in differences.values())
    report = (
        f"{len(good)} of {len(network.layers)} quantised layers equal the integer reference "
        f"({len(sample)} images, {outputs} outputs); {len(exact)} of {len(wanted)} cuts resume "
        "bit for bit"
    )
    if wrong:
        report += "; layers not trusted, weight and bias upsets there run the whole network: "
        report += ", ".join(sorted(la.output for la in wrong))
    doubtful = sorted(set(wanted) - set(exact))
    if doubtful:
        report += "; cuts not trusted, upsets there run the whole network: " + ", ".join(doubtful)
    notes: tuple[str, ...] = ()
    if wrong:
        # Outputs of its own may keep the runtime from computing a layer in integers.
        seen = {n for kind, n in executed_nodes(exposed, network.name) if kind in _FLOAT_PRODUCTS}
        notes = (_reference_note(wrong, floats | seen, differences),)
    return Trust(frozenset(la.output for la in good), frozenset(exact), report, notes)


def _reference_note(
    wrong: Iterable[IntLayer], floats: Collection[str], differences: Mapping[str, _Difference]
) -> str:
    """How far the integer reference of these layers is from the runtime."""
    named = []
    for layer in wrong:
        found = differences[layer.output]
        how = "in floating point" if layer.name in floats else "in integers"
        named.append(
            f"{layer.output} ({how}, {found.count} of {found.outputs} outputs differ, "
            f"by at most {found.largest})"
        )
    return (
        "sums of layers that the runtime does not execute as the integer reference: an upset is "
        "worked out in the reference, and the element that it changes put into the runtime's own "
        "tensor; fault-free reference against runtime: " + ", ".join(named)
    )


def _all_integer(executed: Iterable[tuple[str, str]]) -> bool:
    return all(kind in _MOVES or kind.startswith("QLinear") for kind, _ in executed)


def _exposed(network: Network) -> Any:
    """The whole model with all quantised tensors as outputs."""
    names = [t for t in network.graph.quantised if t in network.info]
    nodes = range(len(network.graph.nodes))
    return network.graph.build(nodes, {network.input: None}, names)


def _whole_tensors(network: Network, exposed: Any, sample: EvalSet) -> dict[str, NDArray[Any]]:
    """Input, all quantised tensors, and class scores, as the whole model gives them."""
    names = [output.name for output in exposed.graph.output]
    values = open_session(exposed, network.name).run(names, {network.input: sample.images})
    return {
        network.input: sample.images,
        **dict(zip(names, values, strict=True)),
        network.output: network.run(sample.images),
    }


@dataclass(frozen=True)
class _Difference:
    """Integer reference against the runtime in one layer."""

    outputs: int
    count: int
    largest: int


def _difference(layer: IntLayer, whole: Mapping[str, NDArray[Any]]) -> _Difference:
    expected = whole[layer.output]
    made = requantise(layer, layer_sums(layer, whole[layer.source]))
    apart = np.abs(made.reshape(expected.shape).astype(np.int64) - expected)
    return _Difference(apart.size, int(np.count_nonzero(apart)), int(apart.max(initial=0)))


def _resumes(
    network: Network, cut: str, free: FaultFree, whole: Mapping[str, NDArray[Any]]
) -> bool:
    """Whether the tensor at ``cut`` is the whole model's, and leads through every boundary to the
    whole model's tensors and scores."""
    try:
        here, values = cut, free.all(cut)
    except AccelsimError:  # F503: something without a batch dimension crosses this cut
        return False
    everyone = np.arange(len(values))
    if (values != whole[cut]).any():
        return False
    while here != network.output:
        goal = network.next_cut(here)
        try:
            part = network.segment(here, goal)
        except AccelsimError:
            return False
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

    def entry(self, target: Target) -> str:
        """The tensor that a whole forward replaces; empty for weights and biases."""
        return "" if target.kind in ("weight", "bias") else target.tensor

    def short(self, target: Target, trust: Trust) -> str | None:
        """The cut from which this target's faults may be resumed; None: whole forward."""
        cut = self.cut(target)
        if cut not in trust.cuts:
            return None
        # A weight changes a whole plane of the reference, a sum one element of the runtime's own.
        stored = target.kind in ("weight", "bias")
        return None if stored and cut not in trust.layers else cut

    def populations(self, targets: Iterable[Target]) -> dict[tuple[str, str], Population]:
        """(kind, tensor) -> elements and bits, of the targets that can be injected. AccelsimError
        F505 naming every tensor that the network lacks."""
        found, mistakes = {}, []
        for kind, tensor in dict.fromkeys((t.kind, t.tensor) for t in targets):
            if not self._known(tensor):
                mistakes.append(_unknown(kind, tensor, self.network.name))
            population = self._population(kind, tensor)
            if isinstance(population, Population):
                found[kind, tensor] = population
        if mistakes:
            raise AccelsimError(mistakes)
        return found

    def obstacle(self, target: Target) -> str | None:
        """Why a target cannot be injected, None if it can."""
        found = self._population(target.kind, target.tensor)
        return None if isinstance(found, Population) else found

    def _known(self, tensor: str) -> bool:
        graph = self.network.graph
        return tensor in graph.initializers or tensor in graph.producer or tensor == graph.input

    def _population(self, kind: str, tensor: str) -> Population | str:
        """Elements and bits, or the obstacle."""
        graph = self.network.graph
        if kind in ("weight", "bias"):
            if tensor not in graph.initializers:
                return "no initializer of the file"
            values = graph.value(tensor)
            if values.dtype.name not in ELEM_TYPES:
                return f"elements of type {values.dtype.name}"
            return Population(int(values.size), int(values.dtype.itemsize * 8))
        if kind == "activation":
            info = self.network.info.get(tensor)
            if info is None:
                return "it has no batch dimension"
            return Population(info.elements, info.bits)
        layer = self._by_output.get(tensor)
        if layer is None:
            return "no 8-bit convolution or matrix product makes it"
        return Population(int(np.prod(layer.out_shape)), 32)


def _unknown(kind: str, tensor: str, where: str) -> Mistake:
    stored = kind in ("weight", "bias")
    hint = (
        "targets are called as the ONNX initializer"
        if stored
        else "targets are called as the ONNX tensor (quantised networks: the quantised one)"
    )
    return Mistake("F505", f"no {kind} '{tensor}'", hint, Location(where))
