"""One variant of a study through all stages: simulated, injected, assessed, and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from accelsim.config.types import DataConfig, FaultsConfig, RunConfig
from accelsim.description import describe
from accelsim.execution import Execution
from accelsim.figures import (
    Simulated,
    chart_data,
    exposure_table,
    layer_table,
    plan_table,
    simulation_metrics,
)
from accelsim.progress import Progress
from accelsim.record import VariantRecord
from accelsim.sim.exposure import Exposure
from accelsim.sim.trace_file import dump_folded
from accelsim.stages.design import read_workload, simulate_design
from accelsim.workload.graph import Workload


def run_variant(
    name: str,
    config: RunConfig,
    workers: int,
    progress: Progress,
    *,
    exact_events: bool = False,
) -> tuple[VariantRecord, Execution | None]:
    """All stages for one variant."""
    progress(f"{name}: simulate", 0, 1)
    workload = read_workload(config)
    done: Simulated | None = None
    schedule: Execution | None = None
    if config.dynamic:
        from accelsim.stages.dynamic import simulate_tiles
        from accelsim.stages.dynamic_record import tile_record

        tiles = simulate_tiles(config, workload, exact_events=exact_events)
        record, schedule = tile_record(config, tiles), tiles.schedule
    else:
        done = _simulated(config, workload, exact_events=exact_events) if config.simulate else None
        record = _design_record(config, workload, done)
        schedule = done.schedule if done else None
    progress(f"{name}: simulate", 1, 1)
    if config.faults is not None and config.data is not None:
        hits = partial(progress, f"{name}: inject")
        record = _injected(config, config.faults, config.data, record, done, workers, hits)
    return record, schedule


def _design_record(config: RunConfig, workload: Workload, done: Simulated | None) -> VariantRecord:
    """What the simulation of a design says; next to nothing where there was none."""
    info = describe(config, workload, done)
    if done is None:
        return VariantRecord(metrics={}, info=info)
    return VariantRecord(
        metrics=simulation_metrics(done),
        layers=layer_table(done),
        plan=plan_table(done),
        trace=dump_folded(done.schedule.folded),
        exposure=exposure_table(done.exposures) if done.exposures else (),
        curves=chart_data(done),
        info=info,
    )


def _injected(
    config: RunConfig,
    campaign: FaultsConfig,
    data: DataConfig,
    record: VariantRecord,
    done: Simulated | None,
    workers: int,
    progress: Callable[[int, int], None],
) -> VariantRecord:
    """The record with a fault campaign and, where there are safety inputs, the FMEDA."""
    from accelsim.stages import results
    from accelsim.stages.campaign import run_campaign
    from accelsim.stages.pools import pooled_targets

    exposed = upset_exposures(config, done)
    targets = pooled_targets(exposed, done.kinds) if done else ()
    found = run_campaign(
        config.workload.model, data, campaign, targets, workers=workers, progress=progress
    )
    metrics = {**record.metrics, **results.campaign_metrics(found)}
    fmeda = None
    if done and config.safety and found.structures:
        from accelsim.stages.safety import assess, safety_inputs

        assessed = assess(*safety_inputs(done, config, found))
        metrics |= results.fmeda_metrics(assessed)
        fmeda = results.fmeda_table(assessed.bound)
    tables, faults = results.campaign_tables(found)
    return replace(
        record,
        metrics=metrics,
        fmeda=fmeda,
        campaign=tables,
        faults=faults,
        curves={**record.curves, "rates": results.rate_curves(found)},
    )


def _simulated(config: RunConfig, workload: Workload, *, exact_events: bool) -> Simulated:
    """The design on one core, or on several."""
    if config.several:
        from accelsim.stages.cores import simulate_cores

        return simulate_cores(config, workload, exact_events=exact_events)
    return simulate_design(config, workload, exact_events=exact_events)


def upset_exposures(config: RunConfig, done: Simulated | None) -> tuple[Exposure, ...]:
    """What single upsets are drawn from. AccelsimError R504 if the schedule is too large for it."""
    if done is None:
        return ()
    if done.exposures is None:
        if config.draws_exposures:
            _ = done.trace  # refuses
        return ()
    return done.exposures
