"""Executes single upsets: the exact short way, and the slow whole forward that it must equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake
from faults.data import EvalSet
from faults.graph import open_session
from faults.integer import (
    centred_weight,
    channel_sums,
    element_sums,
    flip,
    flip_at,
    layer_sums,
    requantise,
)
from faults.layers import IntLayer
from faults.network import FaultFree, Network, decisions
from faults.plan import FaultRecord, Target
from faults.sites import Population, Upset

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE_BYTES = 256 * 1024**2
"""Bound of the fault-free tensors that a process keeps (images and articulations)."""
CHUNK = 128
"""Most faults in a unit of work."""
STACK = 256
"""Images of several faults that are resumed together."""
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
    good, outputs, wrong = [], 0, []
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
    return bool((_bits(values) == _bits(whole)).all())


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """As unsigned integers, so that NaN equals NaN."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


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

    def populations(self, targets: Iterable[Target], trust: Trust) -> dict[tuple[str, str], Population]:
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
                hint = "targets are called as the ONNX tensor (quantised networks: the quantised one)"
                return Mistake("F505", f"no activation '{target.tensor}'", hint, where)
            return Population(info.elements, info.bits)
        layer = self.layer(target)
        if layer is None or layer.output not in trust.layers:
            why = "no quantised layer makes it" if layer is None else "its arithmetic is not trusted"
            hint = "accumulators exist in 8-bit QDQ layers that equal the integer reference"
            return Mistake("F505", f"no accumulator '{target.tensor}': {why}", hint, where)
        return Population(int(np.prod(layer.out_shape)), 32)


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
    value = _whole_value(network, tensor, images)
    if kind == "activation":
        flip_at(value, fault.element, fault.bit)
        return _overridden(network, tensor, value, images)
    layer = next(la for la in network.layers if la.output == tensor)
    sums = layer_sums(layer, _whole_value(network, layer.source, images))
    flip_at(sums, fault.element, fault.bit)
    made = requantise(layer, sums).reshape(value.shape)
    return _overridden(network, tensor, made, images)


def _whole_value(network: Network, tensor: str, images: NDArray[np.float32]) -> NDArray[Any]:
    """A tensor as the whole model computes it."""
    if tensor == network.input:
        return images.copy()
    nodes = range(len(network.graph.nodes))
    session = open_session(network.graph.build(nodes, {network.input: None}, [tensor]), network.name)
    return network.run_session(session, {network.input: images}, tensor).copy()


def _overridden(
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
    return kept + 3 * max(cuts, default=0)


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
        self._nonfinite = ~np.isfinite(scores.astype(np.float64)).all(axis=1)

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
        records = self._resumed(work.cut, work.faults, free)
        free.release()
        return records

    def _whole(self, fault: Upset) -> FaultRecord:
        """The slow way; the reference is cut at the same place, so that equal means unchanged."""
        images = self.data.images[fault.images]
        made = full_forward_upset(self.network, fault, images)
        expected = self.scores[fault.images]
        if fault.target.kind == "activation":
            tensor = fault.target.tensor
            value = _whole_value(self.network, tensor, images)
            expected = _overridden(self.network, tensor, value, images)
        changed = (_bits(made) != _bits(expected)).any(axis=1)
        return self._record(fault, np.flatnonzero(changed), made[changed])

    def _resumed(
        self, cut: str, faults: Sequence[Upset], free: FaultFree
    ) -> list[FaultRecord]:
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
        alive, made = place[:0], np.empty((0, self.network.classes), np.float32)
        if len(images):
            values = np.concatenate([v for _, _, v in stack])
            alive, made = self.network.resume(cut, values, images, free)
            changed = (_bits(made) != _bits(self.scores[images[alive]])).any(axis=1)
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

    def _record(
        self, fault: Upset, rows: NDArray[np.int64], made: NDArray[Any]
    ) -> FaultRecord:
        """``rows`` of the fault's images got the class scores ``made``; the others kept theirs."""
        before = self.decided[fault.images]
        after, broken = before.copy(), self._nonfinite[fault.images]
        after[rows] = decisions(made) if len(rows) else after[rows]
        broken[rows] = ~np.isfinite(made.astype(np.float64)).all(axis=1)
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
