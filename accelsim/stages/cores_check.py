"""What a run on several cores cannot give, said before any work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import System, system_of
from accelsim.config.types import RunConfig
from accelsim.errors import AccelsimError, Mistake

Wrong = tuple[str, str, tuple[str, ...]]
"""(what is wrong, hint, keys: the first that was written is where it stands)."""


def core_system(config: RunConfig) -> System:
    """The system that a run on several cores means."""
    if config.system is not None:
        return config.system
    assert config.accelerator is not None, "the config reader asks for a machine"
    return system_of(config.accelerator)


def check_cores(config: RunConfig) -> None:
    """Refuse what a run on several cores cannot give. AccelsimError (M362), all at once."""
    if not config.several:
        return
    system, places = core_system(config), config.locations
    wrong = [*_unlike(system), *_unavailable(config, system)]
    if wrong:
        raise AccelsimError(
            Mistake("M362", message, hint, next((places[k] for k in keys if k in places), None))
            for message, hint, keys in wrong
        )


_SHARED: tuple[tuple[str, Callable[[Accelerator], object]], ...] = (
    ("technology", lambda core: core.technology_nm),
    ("energy", lambda core: (core.energy_table, core.energy_options)),
    ("protection.dram", lambda core: core.protection.get("dram", "none")),
)
"""What cores of one run share besides what :class:`System` asks for: one die, one set of energy
figures, one protection of the memory."""


def _unlike(system: System) -> Iterator[Wrong]:
    for key, value in _SHARED:
        first = value(system.cores[0])
        strangers = [str(n) for n, core in enumerate(system.cores) if value(core) != first]
        if strangers:
            cores = f"core{'s' if len(strangers) > 1 else ''} {', '.join(strangers)}"
            message = f"{key} of {cores} differs from that of core 0"
            yield message, f"state the same {key} for all cores of a run", ("system.cores",)


def _unavailable(config: RunConfig, system: System) -> Iterator[Wrong]:
    if config.dynamic:
        yield from _not_placed(config, system)
    elif config.safety is not None and system.link is not None:
        what = "safety metrics with a link: its buffer has no area and no failure rates"
        hint = "leave 'link' out: the cores then exchange through the dram"
        yield what, hint, ("safety", "system.link", "system")


def _not_placed(config: RunConfig, system: System) -> Iterator[Wrong]:
    """What needs transfers, memories or a mapping, which tiles taken dynamically do not have."""
    why, mapping = "with strategy 'dynamic', which knows compute only", config.mapping
    if config.safety is not None:
        yield f"no safety metrics {why}", "leave 'safety' out", ("safety",)
    if config.faults is not None and config.faults.mode == "exposure":
        yield f"no upsets by exposure {why}", "mode: rate", ("faults.mode",)
    for key, given in (
        ("mapping.objective", mapping.objective != "latency"),
        ("mapping.rule", mapping.rule is not None),
        ("mapping.layers", bool(mapping.layers)),
        ("system.link", system.link is not None),
        ("system.sync_cycles", system.sync_cycles > 0),
    ):
        if given:
            yield f"{key} has no effect {why}", "leave it out", (key, "system")
