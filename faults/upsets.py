"""Executes single upsets the exact short way, in units of work that do not depend on workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from faults.data import EvalSet
from faults.fault_free import FaultFree
from faults.integer import centred_weight, channel_sums, element_sums, flip, flip_at, requantise
from faults.layers import IntLayer
from faults.network import Network, bits_of, decisions, nonfinite
from faults.oracle import full_forward_upset, overridden, whole_value
from faults.plan import FaultRecord
from faults.sites import Upset
from faults.trust import Sites, Trust

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE_BYTES = 256 * 1024**2
"""Bound of the fault-free tensors that a process keeps (images and articulations)."""
CHUNK = 128
"""Most faults in a unit of work."""
STACK = 256
"""Images of several faults that are resumed together."""


@dataclass(frozen=True, eq=False)
class Work:
    """A unit of work: faults with one cut (None: whole forwards), by index."""

    cut: str | None
    faults: tuple[Upset, ...]


def split_work(
    network: Network, trust: Trust, faults: Iterable[Upset], images: int
) -> tuple[Work, ...]:
    """Faults grouped by cut, in network order, at most CHUNK each and few enough for the cache:
    a function of plan, network and data alone, never of the number of workers."""
    sites = Sites(network)
    groups: dict[str | None, list[Upset]] = {}
    for fault in faults:
        groups.setdefault(sites.short(fault.target, trust), []).append(fault)
    order = sorted(groups, key=lambda cut: (cut is None, network.place(cut or "")))
    work = []
    for cut in order:
        members = groups[cut]
        size = CHUNK if cut is not None else 8
        if not fits(network, images):
            room = max(1, CACHE_BYTES // footprint(network))
            size = max(1, min(size, room // len(members[0].images)))
        for start in range(0, len(members), size):
            work.append(Work(cut, tuple(members[start : start + size])))
    return tuple(work)


def footprint(network: Network) -> int:
    """Bytes of fault-free tensors that one image needs: articulations and one layer's tensors."""
    kept = sum(network.info[t].bytes for t in network.articulations)
    cuts = [network.info[t].bytes for t in network.graph.quantised if t in network.info]
    return kept + 5 * max(cuts, default=0)


def fits(network: Network, images: int) -> bool:
    """Whether the fault-free tensors of the whole evaluation set stay within CACHE_BYTES."""
    return footprint(network) * images <= CACHE_BYTES


class Runner:
    """Executes units of work on one network and evaluation set."""

    def __init__(self, network: Network, data: EvalSet, scores: NDArray[Any], trust: Trust) -> None:
        self.network, self.data, self.trust = network, data, trust
        self.sites = Sites(network)
        self.scores = scores
        """Fault-free class scores of the whole set."""
        self.decided = decisions(scores)
        self._nonfinite = nonfinite(scores)

    @cached_property
    def _everything(self) -> FaultFree:
        return FaultFree(self.network, self.data)

    def run(self, work: Work) -> list[FaultRecord]:
        """Records of the faults in ``work``, by index."""
        if work.cut is None:
            return [self._whole(fault) for fault in work.faults]
        if fits(self.network, len(self.data)):
            free = self._everything
        else:
            needed = np.unique(np.concatenate([f.images for f in work.faults]))
            free = FaultFree(self.network, self.data, needed.tolist())
        # The next cut often lies right behind this one: its inputs are kept a little longer.
        free.release(keep=2)
        return self._resumed(work.cut, work.faults, free)

    def short_scores(self, fault: Upset) -> NDArray[Any]:
        """Class scores of the fault's images by the short way: what
        :func:`faults.full_forward_upset` gives by the long one. The target must have a short way.
        """
        cut = self.sites.short(fault.target, self.trust)
        assert cut is not None, "only for targets in trusted layers and at trusted cuts"
        free = FaultFree(self.network, self.data, fault.images.tolist())
        rows, values = self._enter(cut, fault, free)
        scores = self.scores[fault.images]
        if len(rows):
            alive, made = self.network.resume(cut, values, fault.images[rows], free)
            scores[rows[alive]] = made
        return scores

    def _whole(self, fault: Upset) -> FaultRecord:
        """The slow way; the reference is cut at the same place, so that equal means unchanged."""
        images = self.data.images[fault.images]
        made = full_forward_upset(self.network, fault, images)
        expected = self.scores[fault.images]
        if fault.target.kind == "activation":
            tensor = fault.target.tensor
            value = whole_value(self.network, tensor, images)
            expected = overridden(self.network, tensor, value, images)
        changed = (bits_of(made) != bits_of(expected)).any(axis=1)
        return self._record(fault, np.flatnonzero(changed), made[changed])

    def _resumed(self, cut: str, faults: Sequence[Upset], free: FaultFree) -> list[FaultRecord]:
        records: list[FaultRecord] = []
        stack: list[tuple[Upset, NDArray[np.int64], NDArray[Any]]] = []
        held = 0
        for fault in faults:
            rows, values = self._enter(cut, fault, free)
            stack.append((fault, rows, values))
            held += len(rows)
            if held >= STACK:
                records += self._flush(cut, stack, free)
                stack, held = [], 0
        return records + self._flush(cut, stack, free)

    def _flush(
        self,
        cut: str,
        stack: Sequence[tuple[Upset, NDArray[np.int64], NDArray[Any]]],
        free: FaultFree,
    ) -> list[FaultRecord]:
        """Resume the changed images of several faults together, and tell them apart again."""
        if not stack:
            return []
        owner = np.repeat(np.arange(len(stack)), [len(rows) for _, rows, _ in stack])
        place = np.concatenate([rows for _, rows, _ in stack])
        images = np.concatenate([fault.images[rows] for fault, rows, _ in stack])
        alive, made = place[:0], self.scores[:0]
        if len(images):
            values = np.concatenate([v for _, _, v in stack])
            alive, made = self.network.resume(cut, values, images, free)
            changed = (bits_of(made) != bits_of(self.scores[images[alive]])).any(axis=1)
            alive, made = alive[changed], made[changed]
        return [
            self._record(fault, place[alive[owner[alive] == i]], made[owner[alive] == i])
            for i, (fault, _, _) in enumerate(stack)
        ]

    def _enter(
        self, cut: str, fault: Upset, free: FaultFree
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """(places in ``fault.images`` whose tensor at ``cut`` changes, the changed tensors)."""
        if fault.target.kind == "activation":
            values = free.rows(cut, fault.images)
            flip_at(values, fault.element, fault.bit)
            return np.arange(len(values)), values
        layer = self.sites.layer(fault.target)
        assert layer is not None, "a fault in a trusted layer has one"
        x = free.rows(layer.source, fault.images)
        if fault.target.kind == "accumulator":
            where = np.unravel_index(fault.element, layer.out_shape)
            channel, spot = int(where[0]), slice(fault.element, fault.element + 1)
            sums = element_sums(layer, x, fault.element)[:, None]
            flip_at(sums, 0, fault.bit)
        else:
            channel, sums = _faulty_channel(layer, fault, x)
            pixels = sums[0].size
            spot = slice(channel * pixels, (channel + 1) * pixels)
        made = requantise(layer, sums, channel).reshape(len(x), -1)
        flat = free.all(cut).reshape(len(free.all(cut)), -1)
        rows = np.flatnonzero((made != flat[free.places(fault.images), spot]).any(axis=1))
        values = free.rows(cut, fault.images[rows])
        values.reshape(len(rows), flat.shape[1])[:, spot] = made[rows]
        return rows, values

    def _record(self, fault: Upset, rows: NDArray[np.int64], made: NDArray[Any]) -> FaultRecord:
        """``rows`` of the fault's images got the class scores ``made``; the others kept theirs."""
        before = self.decided[fault.images]
        after, broken = before.copy(), self._nonfinite[fault.images]
        after[rows] = decisions(made)
        broken[rows] = nonfinite(made)
        sdc = int((after != before).sum())
        return FaultRecord(
            index=fault.index, stratum=fault.target.structure, kind=fault.target.kind,
            tensor=fault.target.tensor, element=fault.element, bit=fault.bit, flips=1,
            images=len(fault.images), sdc1=sdc,
            correct=int((after == self.data.labels[fault.images]).sum()),
            nonfinite=int(broken.sum()),
            outcome="sdc" if sdc else "benign" if len(rows) else "masked",
        )  # fmt: skip


def _faulty_channel(
    layer: IntLayer, fault: Upset, x: NDArray[Any]
) -> tuple[int, NDArray[np.int32]]:
    """(output channel, its accumulators with one bit of weight or bias inverted)."""
    if fault.target.kind == "bias":
        channel = fault.element
        bias = flip(int(layer.bias[channel]), fault.bit, "int32")
        return channel, channel_sums(layer, x, channel, centred_weight(layer, channel), bias)
    channel, *tap = layer.weight_index(fault.element)
    weight = centred_weight(layer, channel)
    stored = int(layer.weight[(channel, *tap)])
    weight[tuple(tap)] = flip(stored, fault.bit, layer.weight.dtype.name) - int(
        layer.weight_zero[channel]
    )
    return channel, channel_sums(layer, x, channel, weight, int(layer.bias[channel]))
