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
from faults.oracle import Wholes, full_forward_upset
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
    """Faults grouped by cut (whole forwards: by tensor), in network order, at most CHUNK each and
    few enough for the cache: a function of plan, network and data alone, never of the number of
    workers."""
    sites = Sites(network)
    groups: dict[tuple[str | None, str], list[Upset]] = {}
    for fault in faults:
        cut = sites.short(fault.target, trust)
        # Whole forwards go tensor by tensor: sessions are kept from one to the next.
        key = (cut, "" if cut is not None else sites.entry(fault.target))
        groups.setdefault(key, []).append(fault)
    order = sorted(groups, key=lambda key: (key[0] is None, network.place(key[0] or ""), key[1]))
    work = []
    for cut, tensor in order:
        members = groups[cut, tensor]
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
        self._wholes = Wholes(network)

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
        if fault.target.kind in ("weight", "bias"):
            made = full_forward_upset(self.network, fault, images)
            expected = self.scores[fault.images]
        else:
            made, expected = self._cut_whole(fault, images)
        changed = (bits_of(made) != bits_of(expected)).any(axis=1)
        return self._record(fault, np.flatnonzero(changed), made[changed])

    def _cut_whole(
        self, fault: Upset, images: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Scores with and without the upset, the tensor fed in either time."""
        tensor = fault.target.tensor
        self._wholes.begin(tensor)
        before = self._wholes.value(tensor, images)
        after = before.copy()
        if fault.target.kind == "activation":
            flip_at(after, fault.element, fault.bit)
        else:
            layer = self._layer(fault)
            flat = after.reshape(len(after), -1)
            source = self._wholes.value(layer.source, images)
            flat[:, fault.element] = _faulty_element(layer, fault, source, flat[:, fault.element])
        changed = (bits_of(after) != bits_of(before)).reshape(len(after), -1).any(axis=1)
        expected = self._wholes.scores(tensor, before, images)
        made = expected.copy()
        if changed.any():
            made[changed] = self._wholes.scores(tensor, after, images)[changed]
        return made, expected

    def _layer(self, fault: Upset) -> IntLayer:
        layer = self.sites.layer(fault.target)
        assert layer is not None, "the target's population comes from its layer"
        return layer

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
        layer = self._layer(fault)
        x = free.rows(layer.source, fault.images)
        flat = free.all(cut).reshape(len(free.all(cut)), -1)
        if fault.target.kind == "accumulator":
            spot = slice(fault.element, fault.element + 1)
            clean = flat[free.places(fault.images), spot]
            made = _faulty_element(layer, fault, x, clean[:, 0])[:, None]
        else:
            channel, sums = _faulty_channel(layer, fault, x)
            spot = slice(channel * sums[0].size, (channel + 1) * sums[0].size)
            clean = flat[free.places(fault.images), spot]
            made = requantise(layer, sums, channel).reshape(len(x), -1)
        rows = np.flatnonzero((made != clean).any(axis=1))
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


def _faulty_element(
    layer: IntLayer, fault: Upset, x: NDArray[Any], clean: NDArray[Any]
) -> NDArray[Any]:
    """The hit element [n] with one bit of its sum inverted. Where that changes nothing in the
    integer reference, the runtime's own value ``clean`` stays: they may differ by a rounding."""
    channel = int(np.unravel_index(fault.element, layer.out_shape)[0])
    sums = element_sums(layer, x, fault.element)[:, None]
    before = requantise(layer, sums, channel)[:, 0]
    flip_at(sums, 0, fault.bit)
    after = requantise(layer, sums, channel)[:, 0]
    return np.where(after == before, clean, after)


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
