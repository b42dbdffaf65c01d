"""What is checked before a run does any work: packages, networks, data, mappings, references."""

from __future__ import annotations

from accelsim.config.types import RunConfig, Study
from accelsim.errors import AccelsimError, Mistake
from accelsim.reference import References, check_references
from accelsim.stages.design import read_workload
from accelsim.workload.graph import Workload


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
