"""The chain of stages, from a config file to a run record: the one place that knows their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accelsim.config.load import load_study
from accelsim.config.types import Study
from accelsim.errors import AccelsimError, Mistake
from accelsim.execution import Execution
from accelsim.metrics import Metric
from accelsim.progress import Progress, silent
from accelsim.record import BASE, RunRecord, VariantRecord
from accelsim.sim.trace import Trace
from accelsim.stages.design import read_workload
from accelsim.stages.preflight import check_early, require_own_packages
from accelsim.stages.variant import run_variant
from accelsim.verdict import Verdict, exit_code, judge


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
