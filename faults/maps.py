"""Fault maps: every stored weight and bias bit of a network flips with the same probability.

The bit space is all weights and biases one after the other, so a layer is hit in proportion to its
size, however small it is. A map depends on (seed, rate, number) alone: every clip form of a
network meets the same flips on the same images, which makes comparisons paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake, suggest
from faults.clip import FORMS
from faults.data import EvalSet
from faults.graph import open_session
from faults.network import Network, decisions, nonfinite
from faults.plan import FaultRecord, RatePlan
from faults.sites import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MapWork:
    """Map ``number`` (from 0) of the plan's rate number ``rate``."""

    index: int
    rate: int
    number: int


def stratum_name(rate: float) -> str:
    """``rate=1e-05``."""
    return f"rate={rate!r}"


def rate_mistakes(plan: RatePlan) -> list[Mistake]:
    """Everything that is wrong with a plan by itself (F501)."""
    found = [
        Mistake("F501", f"{name} is {value}", "it must be at least 1")
        for name, value in (("maps", plan.maps), ("images_per_map", plan.images_per_map))
        if value < 1
    ]
    if not plan.rates:
        found.append(Mistake("F501", "no rates", "give at least one probability per bit"))
    for rate in plan.rates:
        if not (math.isfinite(rate) and 0.0 <= rate <= 1.0):
            found.append(Mistake("F501", f"rate {rate}", "a probability per bit, 0 to 1"))
    if len(set(plan.rates)) < len(plan.rates):
        found.append(Mistake("F501", "a rate is listed twice", "list each once"))
    if not 0.0 < plan.confidence < 1.0:
        found.append(Mistake("F501", f"confidence is {plan.confidence}", "e.g. 0.95"))
    if plan.clip not in FORMS:
        found.append(Mistake("F501", f"clip form '{plan.clip}'", suggest(plan.clip, FORMS)))
    return found


def split_maps(plan: RatePlan) -> tuple[MapWork, ...]:
    """The plan's maps, one unit each, by index."""
    return tuple(
        MapWork(r * plan.maps + number, r, number)
        for r in range(len(plan.rates))
        for number in range(plan.maps)
    )


class MapRunner:
    """Executes fault maps on one (possibly clipped) network."""

    def __init__(
        self, network: Network, data: EvalSet, scores: NDArray[Any], plan: RatePlan
    ) -> None:
        self.network, self.data, self.scores, self.plan = network, data, scores, plan
        self.decided = decisions(scores)
        self.values: dict[str, NDArray[Any]] = {
            name: network.graph.value(name) for name in network.weight_names()
        }
        if not self.values:
            hint = "a rate campaign flips bits of Conv, Gemm and MatMul weights"
            where = Location(network.name)
            raise AccelsimError(Mistake("F503", "the network has no weights", hint, where))
        sizes = [v.size * v.dtype.itemsize * 8 for v in self.values.values()]
        self.starts = np.cumsum([0, *sizes])
        """Bit position at which each tensor starts, and the end."""

    @property
    def bits(self) -> int:
        """Size of the bit space."""
        return int(self.starts[-1])

    def run(self, work: MapWork) -> list[FaultRecord]:
        """The record of one map."""
        return [self._map(work.index, self.plan.rates[work.rate], work.number)]

    def sample(self, rate: float, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(bit positions, images) of a map."""
        stream = Stream(self.plan.seed, stratum_name(rate), number)
        images = stream.distinct(self.plan.images_per_map, len(self.data))
        return stream.hits(self.bits, rate), images

    def patched(self, positions: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """New values of the tensors that these bit positions hit."""
        owners = np.searchsorted(self.starts, positions, side="right") - 1
        names = list(self.values)
        found: dict[str, NDArray[Any]] = {}
        for owner in np.unique(owners).tolist():
            values = self.values[names[owner]].copy()
            width = values.dtype.itemsize * 8
            element, bit = np.divmod(positions[owners == owner] - self.starts[owner], width)
            words = values.reshape(-1).view(f"u{values.dtype.itemsize}")
            # Two hits in one element must both take effect: an unbuffered operation.
            np.bitwise_xor.at(words, element, words.dtype.type(1) << bit.astype(words.dtype))
            found[names[owner]] = values
        return found

    def _map(self, index: int, rate: float, number: int) -> FaultRecord:
        positions, images = self.sample(rate, number)
        expected = self.scores[images]
        made = expected if not len(positions) else self._scores(positions, images)
        before, after = self.decided[images], decisions(made)
        sdc = int((after != before).sum())
        same = made.tobytes() == expected.tobytes()
        return FaultRecord(
            index=index, stratum=stratum_name(rate), kind="map", tensor="", element=-1, bit=-1,
            flips=len(positions), images=len(images), sdc1=sdc,
            correct=int((after == self.data.labels[images]).sum()),
            nonfinite=int(nonfinite(made).sum()),
            outcome="sdc" if sdc else "masked" if same else "benign",
        )  # fmt: skip

    def _scores(self, positions: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[Any]:
        """A model with the new weights as constants: the runtime packs them as it packs any, so the
        run is faster than with weights as inputs, and equals that of a file with these weights."""
        network = self.network
        model = network.graph.build(
            range(len(network.graph.nodes)),
            {network.input: None},
            [network.output],
            replaced=self.patched(positions),
        )
        session = open_session(model, network.name)
        return network.run_session(
            session, {network.input: self.data.images[images]}, network.output
        )


def missing_bounds(relus: Sequence[str], plan: RatePlan, where: str) -> list[Mistake]:
    """A Mistake per Relu without a bound in the plan (F509)."""
    given = plan.bounds or {}
    return [
        Mistake("F509", f"no bound for '{name}'", "profile the bounds again", Location(where))
        for name in relus
        if name not in given
    ]
