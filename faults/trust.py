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
from faults.integer import layer_sums, requantise
from faults.layers import IntLayer
from faults.network import Network, bits_of
from faults.plan import Target
from faults.sites import Population

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHECK_IMAGES = 8
"""Images on which layers and cuts are compared with the whole model at the start."""


@dataclass(frozen=True)
class Trust:
    """What the start-up comparison found: layers and cuts that may take the short way."""

    layers: frozenset[str]
    """Output tensors of layers whose integer arithmetic equals the runtime's."""
    cuts: frozenset[str]
    report: str


def establish_trust(network: Network, data: EvalSet, cuts: Iterable[str]) -> Trust:
    """Compare every quantised layer with its integer reference, and the class scores from every
    cut in ``cuts`` with the whole model's, bit for bit on the first images of ``data``."""
    ids = np.arange(min(CHECK_IMAGES, len(data)))
    sample = EvalSet(data.images[ids], data.labels[ids])
    free = FaultFree(network, sample)
    good: list[str] = []
    wrong: list[str] = []
    outputs = 0
    for layer in network.layers:
        expected = free.all(layer.output)
        made = requantise(layer, layer_sums(layer, free.all(layer.source))).reshape(expected.shape)
        outputs += made.size
        (wrong if (made != expected).any() else good).append(layer.output)
        free.release()
    whole = network.run(sample.images)
    exact = [
        cut
        for cut in sorted(set(cuts), key=network.place)
        if network.is_cut(cut) and _resumes(network, cut, free, ids, whole)
    ]
    total = len(network.layers)
    report = (
        f"{len(good)} of {total} quantised layers equal the integer reference "
        f"({len(ids)} images, {outputs} outputs); {len(exact)} of {len(set(cuts))} cuts "
        "resume bit for bit"
    )
    if wrong:
        report += "; not trusted, faults there run the whole network: " + ", ".join(wrong)
    return Trust(frozenset(good), frozenset(exact), report)


def _resumes(
    network: Network, cut: str, free: FaultFree, ids: NDArray[np.int64], whole: NDArray[Any]
) -> bool:
    """Whether the unchanged tensor leads to the whole model's scores, through every boundary."""
    here, values = cut, free.all(cut)
    while here != network.output:
        goal = network.next_cut(here)
        part = network.segment(here, goal)
        feeds = {s: free.rows(s, ids) for s in part.sides}
        values = network.run_session(part.session, {here: values, **feeds}, goal)
        if goal != network.output and (values != free.all(goal)).any():
            return False
        here = goal
    return bool((bits_of(values) == bits_of(whole)).all())


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
            hint = "accumulators exist in 8-bit QDQ layers that equal the integer reference"
            return Mistake("F505", f"no accumulator '{target.tensor}': {why}", hint, where)
        return Population(int(np.prod(layer.out_shape)), 32)
