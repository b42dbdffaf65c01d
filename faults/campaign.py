"""The front door of fault injection: a network, images and a plan in; records and estimates out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faults.plan import CampaignResult, FaultRecord, RatePlan, UpsetPlan

if TYPE_CHECKING:
    from faults.data import EvalSet


def campaign(
    model: str | Path,
    data: str | Path | EvalSet,
    plan: UpsetPlan | RatePlan,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    *,
    known: Sequence[FaultRecord] = (),
    shard: tuple[int, int] = (1, 1),
    sink: Callable[[Sequence[FaultRecord]], None] | None = None,
) -> CampaignResult:
    """Inject what ``plan`` says into the ONNX network ``model`` and judge the effect on ``data``.

    ``data`` is an EvalSet (:func:`faults.load_data`), or the path of an npz whose images are used
    as they are. ``workers`` spawned processes share the work; the result is the same to the byte
    for any number. ``progress`` is called with (faults done, faults in all), ``sink`` with new
    records as they come in: a log that survives an interrupt. ``known`` records, of an earlier and
    interrupted run of the same plan, are not run again. ``shard`` (i, n), counted from 1, runs
    every n-th fault only.

    Targets that exist but cannot be injected (sums of layers that compute in floating point in the
    file, tensors without a batch dimension) are not sampled: every upset there counts as a silent
    data corruption, weighted by its exposure (:func:`faults.summarise`), and the notes name them.

    Raises AccelsimError: D2xx for the data, F501 for the plan, F502 to F507 for the network and its
    fit to data and plan, F508 and F509 for clipping, F590 when worker processes die twice.
    """
    # The runtime is loaded here, not when the package is imported.
    from faults.engine import run_campaign

    return run_campaign(model, data, plan, workers, progress, known=known, shard=shard, sink=sink)


def check_campaign(
    model: str | Path, data: str | Path | EvalSet, plan: UpsetPlan | RatePlan
) -> None:
    """Find what :func:`campaign` would refuse, at the cost of loading the network and one image.

    An UpsetPlan without targets stands for one whose targets are not known yet: all else is
    checked. Raises AccelsimError as :func:`campaign` does.
    """
    from faults.engine import check_campaign as check

    check(model, data, plan)
