"""Checks between parts of a run: what each part alone cannot know."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from accelsim.config.cores import DYNAMIC, SystemPart
from accelsim.config.hardware import AcceleratorPart
from accelsim.config.problems import Problems, find, where
from accelsim.config.schema import RunPart
from accelsim.config.yamlpos import Node
from accelsim.errors import AccelsimError

FILES = ("workload.model", "data.file", "faults.bounds")
"""Keys that name a file which must exist."""


@dataclass(frozen=True)
class Draft:
    """A run under validation: the parts that are valid, the tree, and the keys that are not."""

    part: RunPart
    tree: Node
    bad: frozenset[str]


def path_of(tree: Node, dotted: str) -> str:
    """Absolute path of the file that a text value names, relative to where it was written."""
    _, node, _ = find(tree, dotted.split("."))
    return os.path.abspath(os.path.join(node.folder, str(node.value)))


def check_run(draft: Draft, problems: Problems) -> None:
    """Report everything that is wrong between the parts of one run."""
    checks = (_check_presence, _check_parallel, _check_faults, _check_files, _check_detection)
    for check in checks:
        check(draft, problems)
    if draft.part.accelerator is not None:
        check_energy(draft.part.accelerator, draft.tree, problems)
    if draft.part.system is not None:
        check_system(draft.part.system, draft.tree, problems)


def _value(tree: Node, dotted: str) -> object:
    """The value written at a dotted path; None if absent (or null)."""
    _, node, exact = find(tree, dotted.split("."))
    return node.value if exact else None


_NEEDED = {
    "workload": "workload: {model: net.onnx}",
    "accelerator": "name a machine (accelerator: machine.yaml), or set simulate: false",
}


def needed_parts(tree: Node) -> tuple[str, ...]:
    """Parts that a run cannot do without."""
    simulates = _value(tree, "simulate") is not False
    bare = not simulates or _value(tree, "system") is not None
    return ("workload",) if bare else ("workload", "accelerator")


def _check_presence(draft: Draft, problems: Problems) -> None:
    tree = draft.tree
    for key in needed_parts(tree):
        if _value(tree, key) is None:
            problems.add("C002", f"'{key}' is missing", _NEEDED[key], tree.location)
    if _value(tree, "accelerator") is not None and _value(tree, "system") is not None:
        hint = "keep one ('accelerator: null' takes the other out of a variant)"
        at = find(tree, ["system"])[0]
        problems.add("C009", "both 'accelerator' and 'system' say what the machine is", hint, at)


def _check_parallel(draft: Draft, problems: Problems) -> None:
    """Nothing is said about spreading what runs on one core."""
    machine = draft.part.accelerator
    if draft.part.parallel is None:
        return
    several = machine is None or machine.cores > 1 or "accelerator" in draft.bad
    if draft.part.simulate and (several or draft.part.system is not None):
        return
    message = "'parallel' says how several cores share the work; here it would have no effect"
    hint = "accelerator.cores: 2, or a system of cores; else leave it out"
    problems.add("C009", message, hint, find(draft.tree, ["parallel"])[0])


def _check_faults(draft: Draft, problems: Problems) -> None:
    tree = draft.tree
    if _value(tree, "faults") is None:
        return
    if _value(tree, "data") is None:
        hint = "data: {file: images.npz}: a campaign runs on labelled images"
        at = find(tree, ["faults"])[0]
        problems.add("C002", "'data' is missing, faults need it", hint, at)
    mode = _value(tree, "faults.mode")
    at = where(tree, "faults.mode")
    if mode == "rate" and _value(tree, "faults.rates") in (None, ()):
        problems.add("C002", "faults.mode rate needs rates", "rates: [1.0e-6, 1.0e-5]", at)
    if mode == "exposure" and _value(tree, "simulate") is False:
        message = "faults.mode exposure needs the simulated plan, but simulate is false"
        problems.add("C009", message, "set simulate: true, or use mode: rate", at)
    if mode == "exposure" and _value(tree, "faults.clip") in ("saturate", "zero"):
        message = "faults.clip belongs to mode rate; mode exposure would ignore it"
        problems.add("C009", message, "clip: none", where(tree, "faults.clip"))


def _check_files(draft: Draft, problems: Problems) -> None:
    for dotted in FILES:
        written = _value(draft.tree, dotted)
        if not isinstance(written, str) or not written:
            continue  # absent, or the wrong type: reported by its part
        path = path_of(draft.tree, dotted)
        if "\0" in path or not os.path.isfile(path):
            missing = "is a directory" if os.path.isdir(path) else "does not exist"
            hint = f"looked for {path}; paths count from the file that names them"
            problems.add("C007", f"'{written}' {missing}", hint, where(draft.tree, dotted))


def check_energy(
    machine: AcceleratorPart, tree: Node, problems: Problems, at: str = "accelerator."
) -> None:
    """The energy figures fit the machine, or are scaled to it, and none is missing. The machine's
    keys in ``tree`` begin with ``at``."""
    from accelsim.config.convert import accelerator
    from accelsim.cost.accelergy import OWN
    from accelsim.cost.area import area
    from accelsim.cost.constants import constants
    from accelsim.cost.tables import TABLES

    energy = machine.energy
    if energy.table == OWN and energy.accelergy is None:
        hint = "accelergy: {ert: ERT.yaml, node: 45 nm}"
        message = "'accelergy' is missing in energy, table: accelergy needs it"
        problems.add("C002", message, hint, where(tree, f"{at}energy.table"))
        return
    node = energy.accelergy.node if energy.accelergy else TABLES[energy.table].node_nm
    if machine.technology != node and not energy.scale:
        message = f"energy table '{energy.table}' is for {node} nm, not for "
        message += f"{machine.technology} nm"
        hint = f"technology: {node} nm, or energy: {{scale: true}}"
        problems.add("C009", message, hint, where(tree, f"{at}technology"))
        return
    try:
        made = accelerator(machine, tree, at)
        known = constants(made)
        area(made)
    except AccelsimError as error:
        for wrong in error.mistakes:
            place = wrong.location or where(tree, f"{at}energy")
            problems.add(wrong.code, wrong.message, wrong.hint, place)
        return
    if energy.clock_gating and not known.has("register_idle"):
        message = "clock_gating saves clock power, of which the energy table says nothing"
        hint = "leave it out, or name a table with that figure in energy.fill_from: "
        hint += ", ".join(sorted(n for n, t in TABLES.items() if "register_idle_bit" in t.entries))
        problems.add("C009", message, hint, where(tree, f"{at}energy.clock_gating"))


def check_system(part: SystemPart, tree: Node, problems: Problems, at: str = "system.") -> None:
    """Every core has energy figures, and together they can be a system. The system's keys in
    ``tree`` begin with ``at``."""
    from accelsim.config.convert import system

    inside, before = tuple(at.split(".")[:-1]), len(problems)
    for index, core in enumerate(part.cores):
        node = find(tree, (*inside, "cores", index, "accelerator"))[1]
        check_energy(core.accelerator, node, problems, at="")
    if len(problems) > before:
        return
    try:
        system(part, tree, at)
    except AccelsimError as error:
        place = find(tree, (*inside, "cores"))[0]
        for wrong in error.mistakes:
            problems.add(wrong.code, wrong.message, wrong.hint, wrong.location or place)


def _machines(run: RunPart) -> tuple[AcceleratorPart, ...]:
    if run.system is not None:
        return tuple(core.accelerator for core in run.system.cores)
    return () if run.accelerator is None else (run.accelerator,)


def _check_detection(draft: Draft, problems: Problems) -> None:
    """A periodic test counts only if it runs within the fault-tolerant time interval."""
    safety, tree = draft.part.safety, draft.tree
    if safety is None or not draft.part.simulate:
        return
    from accelsim.arch.protection import resolve

    periodic = {
        structure: name
        for machine in _machines(draft.part)
        for structure, name in machine.protection.model_dump().items()
        if resolve(name).periodic
    }
    periodic |= {
        level.name: level.protection
        for machine in _machines(draft.part)
        for level in machine.levels
        if resolve(level.protection).periodic
    }
    if not periodic:
        return
    users = ", ".join(f"{structure}: {name}" for structure, name in periodic.items())
    needed = ("fault_tolerant_time_interval", "self_test_interval")
    for key in needed:
        if getattr(safety, key) is None:
            hint = f"write for example '{key}: 100 ms'; it decides whether {users} counts"
            message = f"'{key}' is missing in safety: a self-test finds faults late"
            problems.add("C002", message, hint, where(tree, f"safety.{key}"))
    limit, interval = safety.fault_tolerant_time_interval, safety.self_test_interval
    if limit is not None and interval is not None and interval > limit:
        message = (
            f"self_test_interval of {interval:g} s exceeds the fault_tolerant_time_interval of "
            f"{limit:g} s"
        )
        hint = f"test more often, or use another protection for {users}"
        problems.add("C009", message, hint, where(tree, "safety.self_test_interval"))


def _injects(run: RunPart) -> bool:
    return run.faults is not None and run.data is not None


def _upsets(run: RunPart) -> bool:
    return _injects(run) and run.faults is not None and run.faults.mode == "exposure"


def _certifies(run: RunPart) -> bool:
    return run.safety is not None and _upsets(run) and run.simulate


def _takes_tiles(run: RunPart) -> bool:
    return run.parallel is not None and run.parallel.strategy == DYNAMIC


def _spread(run: RunPart) -> bool:
    many = run.accelerator is not None and run.accelerator.cores > 1
    return many or run.system is not None


def _several(run: RunPart) -> bool:
    """Two cores or more: what is said about spreading work means nothing for one."""
    if run.system is None:
        return _spread(run)
    return sum(core.count for core in run.system.cores) > 1


def _splits(run: RunPart) -> bool:
    return not _takes_tiles(run) and any(core.weight_scratchpad for core in _machines(run))


_OF_PLANS = ("energy.", "dram.", "sram.", "plan.", "protection.", "bound.")
_PLACED = "simulate: true, and a parallel.strategy that moves data (dynamic does not)"

NEEDS: dict[str, tuple[str, Callable[[RunPart], bool]]] = {
    "accuracy.": ("faults and data", _injects),
    "sdc.faults": ("faults and data", _injects),
    "sdc.p@": ("faults and data", _injects),
    "sdc.p": ("faults of mode exposure (at a fault rate: sdc.p@1e-05)", _upsets),
    "fit.": ("safety, and faults of mode exposure", _certifies),
    "asil.": ("safety, and faults of mode exposure", _certifies),
    "sram.weight_": ("accelerator.weight_scratchpad", lambda run: run.simulate and _splits(run)),
    **{
        prefix: (_PLACED, lambda run: run.simulate and not _takes_tiles(run))
        for prefix in _OF_PLANS
    },
    "parallel.speedup": ("several cores", lambda run: run.simulate and _spread(run)),
    **{
        metric: (
            "parallel.strategy: dynamic, and several cores",
            lambda run: run.simulate and _takes_tiles(run) and _several(run),
        )
        for metric in ("parallel.karp_flatt", "parallel.fraction")
    },
    "parallel.": ("parallel.strategy: dynamic", lambda run: run.simulate and _takes_tiles(run)),
    "": ("simulate: true", lambda run: run.simulate),
}
"""Metric prefix -> what the run must have for it, first match counts."""


def lacking(metric: str, run: RunPart) -> str:
    """What a run lacks for a metric; empty if nothing."""
    prefix = next(prefix for prefix in NEEDS if metric.startswith(prefix))
    need, has = NEEDS[prefix]
    return "" if has(run) else need
