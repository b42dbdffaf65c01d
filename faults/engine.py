"""Runs a campaign: checks the call, prepares network and work, executes, sums up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake
from faults.clip import clip_network, profile_bounds, relu_outputs
from faults.data import EvalSet, load_data
from faults.maps import MapRunner, missing_bounds, rate_mistakes, split_maps
from faults.network import Network, check_data, decisions
from faults.parallel import Executor, Setup, execute
from faults.plan import CampaignResult, FaultRecord, RatePlan, Target, UpsetPlan
from faults.sites import draw, number_mistakes, plan_mistakes, without
from faults.summary import Run, summarise
from faults.trust import Sites, establish_trust
from faults.upsets import CACHE_BYTES, Runner, Work, footprint, split_work

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int, int], None]
"""Called with (faults done, faults in all)."""
Sink = Callable[[Sequence[FaultRecord]], None]
"""Called with new records as they come in, for a log that survives an interrupt."""


def run_campaign(
    model: str | Path,
    data: str | Path | EvalSet,
    plan: UpsetPlan | RatePlan,
    workers: int,
    progress: Progress | None,
    *,
    known: Sequence[FaultRecord],
    shard: tuple[int, int],
    sink: Sink | None,
) -> CampaignResult:
    """See :func:`faults.campaign`."""
    images = data if isinstance(data, EvalSet) else load_data(data)
    _check_call(plan, images, workers, shard, str(model))
    network = Network.load(model)
    check_data(network, images)
    if isinstance(plan, UpsetPlan):
        prepared = _prepare_upsets(network, images, plan, _wanted(known, shard))
    else:
        prepared = _prepare_maps(network, images, plan, _wanted(known, shard))
    records = _execute(prepared, images, workers, progress, known, sink)
    return summarise(plan, prepared.run, records)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A campaign ready to run."""

    run: Run
    network: Network
    scores: NDArray[Any]
    how: Any
    local: Executor
    units: Sequence[Any]
    faults: int
    """Faults in ``units``."""


def _wanted(known: Sequence[FaultRecord], shard: tuple[int, int]) -> Callable[[int], bool]:
    """Whether a fault index belongs to the shard and is not known yet."""
    done = {record.index for record in known}
    part, parts = shard
    return lambda index: index % parts == part - 1 and index not in done


def _prepare_upsets(
    network: Network, data: EvalSet, plan: UpsetPlan, wanted: Callable[[int], bool]
) -> _Prepared:
    sites = Sites(network)
    targets = [t for t in plan.targets if t.exposure > 0]
    populations = sites.populations(targets)
    assumed = _assumed(sites, targets)
    injected = [t for t in targets if (t.kind, t.tensor) in populations]
    cuts = {cut for cut in map(sites.cut, injected) if cut is not None}
    trust = establish_trust(network, data, cuts)
    scores = network.run(data.images)
    drawn = draw(without(plan, assumed), populations, len(data))
    faults = [f for f in drawn if wanted(f.index)]
    units: Sequence[Work] = split_work(network, trust, faults, len(data))
    slow = sum(len(u.faults) for u in units if u.cut is None)
    notes = [
        f"the {len(data)} images are a fixed set; every upset is tried on "
        f"{plan.images_per_fault} of them drawn at random",
        f"fault-free tensors take {footprint(network)} bytes per image; a process keeps at most "
        f"{CACHE_BYTES // 1024**2} MiB of them",
    ]
    if slow:
        notes.append(f"{slow} upsets outside trusted 8-bit layers ran as whole forwards")
    notes += trust.notes
    run = Run(
        network.name, network.format, len(data), _top1(scores, data), trust.report, tuple(notes),
        assumed,
    )  # fmt: skip
    runner = Runner(network, data, scores, trust)
    return _Prepared(run, network, scores, trust, runner, units, len(faults))


def _assumed(sites: Sites, targets: Sequence[Target]) -> dict[tuple[str, str], str]:
    """(kind, tensor) -> reason, of the targets that cannot be injected. F505 when none can."""
    found: dict[tuple[str, str], str] = {}
    for target in targets:
        reason = sites.obstacle(target)
        if reason is not None:
            found[target.kind, target.tensor] = reason
    if all((t.kind, t.tensor) in found for t in targets):
        hint = "accumulators exist in 8-bit layers (QDQ or QOperator form); quantise the network"
        where = Location(sites.network.name)
        raise AccelsimError(
            Mistake("F505", f"no {kind} '{tensor}' can be injected: {reason}", hint, where)
            for (kind, tensor), reason in found.items()
        )
    return found


def _prepare_maps(
    network: Network, data: EvalSet, plan: RatePlan, wanted: Callable[[int], bool]
) -> _Prepared:
    notes = []
    if plan.clip != "none":
        bounds, origin = _bounds(network, data, plan)
        network = Network(clip_network(network.graph.model, bounds, plan.clip), network.name)
        notes.append(f"activations clipped ({plan.clip}) at {origin}; the bounds take no flips")
        if plan.clip == "saturate":
            notes.append("the saturating form is ONNX Clip, which passes NaN on")
    scores = network.run(data.images)
    runner = MapRunner(network, data, scores, plan)
    notes += [
        f"flips over all {runner.bits} bits of {len(runner.values)} weight and bias tensors",
        f"every map is tried on {plan.images_per_map} images drawn at random",
    ]
    units = [unit for unit in split_maps(plan) if wanted(unit.index)]
    report = "weights patched in the model, whole forwards in ONNX Runtime: no short way is taken"
    run = Run(network.name, network.format, len(data), _top1(scores, data), report, tuple(notes))
    return _Prepared(run, network, scores, plan, runner, units, len(units))


def check_campaign(
    model: str | Path, data: str | Path | EvalSet, plan: UpsetPlan | RatePlan
) -> None:
    """See :func:`faults.check_campaign`."""
    images = data if isinstance(data, EvalSet) else load_data(data)
    complete = isinstance(plan, RatePlan) or bool(plan.targets)
    _check_call(plan, images, 1, (1, 1), str(model), complete=complete)
    network = Network.load(model)
    check_data(network, images)
    sample = EvalSet(images.images[:1], images.labels[:1])
    if isinstance(plan, UpsetPlan):
        network.run(sample.images)
        targets = [t for t in plan.targets if t.exposure > 0]
        sites = Sites(network)
        sites.populations(targets)
        if targets:
            _assumed(sites, targets)
        return
    if plan.clip != "none":
        bounds, _ = _bounds(network, sample, plan)
        network = Network(clip_network(network.graph.model, bounds, plan.clip), network.name)
    MapRunner(network, sample, network.run(sample.images), plan)


def _bounds(network: Network, data: EvalSet, plan: RatePlan) -> tuple[dict[str, float], str]:
    """Bounds of every Relu, and where they come from."""
    relus = relu_outputs(network.graph.model)
    if plan.bounds is None or not relus:
        return profile_bounds(network, data.images), "maxima of the evaluation images"
    mistakes = missing_bounds(relus, plan, network.name)
    if mistakes:
        raise AccelsimError(mistakes)
    return dict(plan.bounds), "the given bounds"


def _execute(
    prepared: _Prepared,
    data: EvalSet,
    workers: int,
    progress: Progress | None,
    known: Sequence[FaultRecord],
    sink: Sink | None,
) -> list[FaultRecord]:
    """All records by index, known ones included."""

    def setup() -> Setup:
        network = prepared.network
        model = network.graph.model.SerializeToString()
        return Setup(model, network.name, data, prepared.scores, prepared.how)

    records = list(known)
    done, total = len(known), len(known) + prepared.faults
    parts = execute(setup, prepared.local, prepared.units, workers)
    with closing(parts):
        for part in parts:
            records += part
            done += len(part)
            if sink is not None:
                sink(part)
            if progress is not None:
                progress(done, total)
    return sorted(records, key=lambda record: record.index)


def _top1(scores: NDArray[Any], data: EvalSet) -> float:
    return float(np.mean(decisions(scores) == data.labels))


def _check_call(
    plan: UpsetPlan | RatePlan,
    data: EvalSet,
    workers: int,
    shard: tuple[int, int],
    where: str,
    *,
    complete: bool = True,
) -> None:
    """F501 for a call that cannot be met; not ``complete``: its targets are not known yet."""
    if isinstance(plan, RatePlan):
        found = rate_mistakes(plan)
    else:
        found = plan_mistakes(plan) if complete else number_mistakes(plan)
    wanted = plan.images_per_fault if isinstance(plan, UpsetPlan) else plan.images_per_map
    if wanted > len(data):
        text = f"{wanted} images per fault, but the evaluation set has {len(data)}"
        found.append(Mistake("F501", text, "ask for fewer, or give more images", Location(where)))
    if workers < 1:
        found.append(Mistake("F501", f"{workers} workers", "at least 1"))
    if not 1 <= shard[0] <= shard[1]:
        found.append(Mistake("F501", f"shard {shard[0]}/{shard[1]}", "i/n with 1 <= i <= n"))
    if found:
        raise AccelsimError(found)
