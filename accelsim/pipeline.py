"""The chain of stages, from a config file to a run record: the one place that knows their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import without_protections
from accelsim.config.load import load_study
from accelsim.config.types import DataConfig, FaultsConfig, RunConfig, Study
from accelsim.cost.area import area
from accelsim.cost.energy import energy_by_op
from accelsim.cost.kinds import CoreKind, kinds_energy
from accelsim.cost.program_activity import ProgramActivity
from accelsim.description import describe
from accelsim.errors import AccelsimError, Mistake
from accelsim.execution import Execution, bare_cycles, executed
from accelsim.figures import (
    Simulated,
    chart_data,
    exposure_table,
    layer_table,
    plan_table,
    simulation_metrics,
)
from accelsim.mapping import lower_bounds
from accelsim.metrics import Metric
from accelsim.plan import MemoryPlan
from accelsim.progress import Progress, silent
from accelsim.record import BASE, RunRecord, VariantRecord
from accelsim.reference import References, check_references
from accelsim.sim.exposure import Exposure, exposures
from accelsim.sim.layers import block_times, busy_of, layer_rows_of
from accelsim.sim.summary import busy_cycles, layer_rows
from accelsim.sim.trace import Trace
from accelsim.sim.trace_file import dump_folded
from accelsim.verdict import Verdict, exit_code, judge
from accelsim.workload.graph import Workload
from accelsim.workload.precision import as_int8, require_precision


@dataclass(frozen=True)
class Run:
    """A finished run: the record, and the schedules of the simulated variants."""

    record: RunRecord
    schedules: Mapping[str, Execution]

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Metrics of the base run."""
        return self.record.variants[BASE].metrics

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All targets, judged."""
        return self.record.verdicts

    @property
    def trace(self) -> Trace:
        """The simulated schedule of the base run, one row per command (KeyError when it was not
        simulated, AccelsimError R504 when it is too large; ``schedules`` has its folded form)."""
        return self.schedules[BASE].trace

    @property
    def exit_code(self) -> int:
        """0 when every target is met, else 1."""
        return exit_code(self.verdicts)

    def save(self, directory: str | Path) -> Path:
        """Write the run folder, reports included; returns its path.

        ``directory`` becomes the run folder, or, when it is a folder that holds other things
        (``reports/``), the run folder goes into it under the run's name.
        """
        from accelsim.report.files import write_run_folder
        from accelsim.store import is_run_folder

        target = Path(directory)
        if target.is_dir() and not is_run_folder(target) and any(target.iterdir()):
            target = target / self.record.name
        return write_run_folder(self.record, target)


def run(
    config: str | Path,
    *,
    overrides: Mapping[str, object] | None = None,
    seed: int | None = None,
    workers: int = 1,
    exact_events: bool = False,
    progress: Progress = silent,
) -> Run:
    """Run a config file: every variant through every stage, then judge the targets.

    ``workers``: processes of the fault campaigns; results do not depend on it. More than one needs
    the caller's script to be guarded by ``if __name__ == "__main__":``. ``exact_events``:
    the reference engine steps every command, and its result is the one that counts; it is the same,
    to the byte. What can be refused without any work is refused before it.
    Raises :class:`AccelsimError` (bad input) and :class:`InfeasibleError`.
    """
    require_own_packages()
    study = load_study(config, overrides or {}, seed)
    references = check_early(study)
    records: dict[str, VariantRecord] = {}
    schedules: dict[str, Execution] = {}
    for name, variant in {BASE: study.base, **study.variants}.items():
        records[name], schedule = run_variant(
            name, variant, workers, progress, exact_events=exact_events
        )
        if schedule is not None:
            schedules[name] = schedule
    metrics = {name: record.metrics for name, record in records.items()}
    verdicts = judge(study.targets, metrics, references)
    return Run(assemble(study, records, verdicts), schedules)


def check_early(study: Study) -> References:
    """Refuse what no amount of work can save, all at once: networks that cannot be simulated,
    campaigns that their data or network cannot carry, references that nothing can be compared with.
    Returns the references.

    Raises:
        AccelsimError: V601, V602, and those of the network reader and of the fault campaign.
    """
    from accelsim.stages.cores_check import check_cores

    mistakes: list[Mistake] = []
    references: References = {}
    try:
        references = check_references(study.targets)
    except AccelsimError as error:
        mistakes += error.mistakes
    seen: list[object] = []
    for variant in (study.base, *study.variants.values()):
        try:
            check_cores(variant)
        except AccelsimError as error:
            mistakes += [m for m in error.mistakes if m not in mistakes]
        read = (variant.workload, variant.data, variant.faults, variant.simulate)
        arrays = [machine.array for machine in variant.machines]
        if (*read, arrays) in seen:
            continue
        seen.append((*read, arrays))
        try:
            _check_inputs(variant)
        except AccelsimError as error:
            mistakes += [m for m in error.mistakes if m not in mistakes]
    if mistakes:
        raise AccelsimError(mistakes)
    return references


def _check_inputs(config: RunConfig) -> None:
    """The network and data of a variant can be used. Raises AccelsimError."""
    from accelsim.stages.campaign import check_campaign, check_data

    workload = read_workload(config)
    if config.simulate and config.mapping.layers:
        _check_fixed(config, workload)
    if config.data is not None and config.faults is not None:
        check_campaign(config.workload.model, config.data, config.faults)
    elif config.data is not None:
        check_data(config.data)


def _check_fixed(config: RunConfig, workload: Workload) -> None:
    """Fixed mappings can be obeyed, of unequal cores on one at least. Raises AccelsimError."""
    from accelsim.mapping.fixed import require_obeyable
    from accelsim.stages.memory import given_mapping

    refused: list[AccelsimError] = []
    for machine in config.machines:
        try:
            require_obeyable(given_mapping(config).fixed, workload, machine)
        except AccelsimError as error:
            refused.append(error)
    if refused and len(refused) == len(config.machines):
        raise refused[0]


def require_own_packages() -> None:
    """Refuse to run with another distribution's ``ilp`` or ``faults`` (the names are common)."""
    import accelsim
    import faults
    import ilp

    strangers = [
        f"{package.__name__} {getattr(package, '__version__', 'of unknown version')}"
        for package in (ilp, faults)
        if getattr(package, "__version__", None) != accelsim.__version__
    ]
    if strangers:
        raise AccelsimError(
            Mistake(
                "U010",
                f"found {', '.join(strangers)} instead of those of accelsim {accelsim.__version__}",
                "another distribution overwrote the package: install accelsim in an environment "
                "of its own",
            )
        )


def assemble(
    study: Study, records: Mapping[str, VariantRecord], verdicts: tuple[Verdict, ...]
) -> RunRecord:
    """The record of a whole run."""
    from accelsim.provenance import provenance

    return RunRecord(
        name=study.name,
        config=study.canonical,
        sha256=study.sha256,
        variants=dict(records),
        verdicts=verdicts,
        provenance=provenance(),
    )


def validate(config: str | Path, overrides: Mapping[str, object] | None = None) -> Study:
    """Read a config, and all that it names, without running anything: what a run would refuse
    before its work is refused here."""
    study = load_study(config, overrides or {}, None)
    check_early(study)
    return study


def explain_config(config: str | Path, overrides: Mapping[str, object] | None = None) -> str:
    """How the base run of a config is mapped: search space, choice and bounds per operator."""
    from accelsim.stages.mapping_text import explain_mapping

    study = load_study(config, overrides or {}, None)
    if not study.base.simulate:
        raise AccelsimError(
            Mistake("U011", f"'{config}' simulates nothing: there is no mapping", "simulate: true")
        )
    workload = read_workload(study.base)
    if study.base.several:
        from accelsim.stages.cores import assigned
        from accelsim.stages.cores_check import check_cores
        from accelsim.stages.cores_text import choice_text

        check_cores(study.base)
        if study.base.dynamic:
            from accelsim.stages.dynamic import simulate_tiles
            from accelsim.stages.dynamic_record import tiles_text

            return tiles_text(simulate_tiles(study.base, workload))
        return choice_text(assigned(study.base, workload))
    return explain_mapping(study.base, workload)


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


def read_workload(config: RunConfig) -> Workload:
    """The network of a variant."""
    from accelsim.workload.reader import read_network

    chosen = config.workload
    workload = read_network(
        chosen.model,
        batch=chosen.batch,
        unsupported=chosen.unsupported,
        recurrent=chosen.recurrent,
    )
    if not config.simulate:
        return workload
    if chosen.precision == "int8":
        workload = as_int8(workload)
    for machine in config.machines:
        require_precision(workload, machine.array, config.locations.get("workload.model"))
    return workload


def simulate_design(
    config: RunConfig, workload: Workload, *, exact_events: bool = False
) -> Simulated:
    """Map, plan, lower, simulate and cost one design; every result is checked on the way."""
    from accelsim.stages.memory import given_mapping, plan_memory

    acc = config.accelerator
    assert acc is not None, "the config reader lets a simulated run through only with a machine"
    plan = plan_memory(
        workload,
        acc,
        objective=config.mapping.objective,
        schedule=config.schedule,
        given=given_mapping(config),
        location=config.locations.get("accelerator.scratchpad.size"),
        weight_location=config.locations.get("accelerator.weight_scratchpad.size"),
    )
    schedule = executed(
        workload, acc, plan, exact_events=exact_events, each_command=config.draws_exposures
    )
    program, flat = schedule.program, schedule.flat
    pes = acc.array.rows * acc.array.cols
    if exact_events and flat is not None:
        layers, busy = layer_rows(flat, pes=pes), busy_cycles(flat)
    else:
        times = block_times(schedule.folded)
        layers = layer_rows_of(schedule.folded, pes=pes, times=times)
        busy = busy_of(schedule.folded, times)
    did = ProgramActivity(acc).program(program)
    by_op = energy_by_op(program, acc)
    kinds = (CoreKind(acc, replace(did, cycles=schedule.cycles), plans=(plan,)),)
    return Simulated(
        workload=workload,
        accelerator=acc,
        kinds=kinds,
        plan=plan,
        schedule=schedule,
        layers=layers,
        busy=busy,
        exposures=None if flat is None else exposures(flat),
        energy=kinds_energy(kinds),
        energy_by_step={row.step: by_op[row.op] for row in layers},
        area=area(acc),
        bounds_cycles=lower_bounds(workload, acc),
        unprotected_cycles=_unprotected_cycles(workload, acc, plan, schedule, exact_events),
        batch=config.workload.batch,
    )


def _unprotected_cycles(
    workload: Workload,
    accelerator: Accelerator,
    plan: MemoryPlan,
    schedule: Execution,
    exact_events: bool,
) -> int:
    """Makespan of the same plan without the machine's protections."""
    bare = without_protections(accelerator)
    if bare == accelerator:
        return schedule.cycles
    return bare_cycles(workload, bare, plan, exact_events=exact_events)


def execute(workload: Workload, accelerator: Accelerator, plan: MemoryPlan) -> Trace:
    """Lower a plan, simulate it and write it out, one row per command; the independent checks
    always run. AccelsimError R504 for more than ``accelsim.execution.MOST_WRITTEN`` commands."""
    return executed(workload, accelerator, plan).trace
