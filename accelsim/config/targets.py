"""Targets: from validated parts to :class:`~accelsim.config.types.TargetConfig`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from accelsim import units
from accelsim.config.problems import Problems, validate, where
from accelsim.config.requirements import TargetPart
from accelsim.config.semantics import Draft, lacking
from accelsim.config.types import TargetConfig
from accelsim.config.yamlpos import Node
from accelsim.errors import AccelsimError, suggest
from accelsim.metrics import KNOWN

BASE = "base"

_DIMENSIONS = {
    "B": units.SIZE, "s": units.TIME, "J": units.ENERGY, "1": units.SHARE, "cycles": units.CYCLES,
}  # fmt: skip
_SHARES = ("accuracy.", "sdc.p", "utilisation.", "asil.spfm", "asil.lfm")


def read_targets(
    node: Node | None, drafts: Mapping[str, Draft], problems: Problems
) -> tuple[TargetConfig, ...]:
    """All targets of a config; mistakes are recorded.

    Args:
        node: the ``targets`` list, if any.
        drafts: ``base`` and every variant.
        problems: takes the mistakes.
    """
    if node is None or node.value is None:
        return ()
    if not isinstance(node.value, tuple):
        hint = "write '- metric: ...' lines below targets:"
        problems.add("C003", "targets must be a list", hint, node.location)
        return ()
    made = []
    for index, item in enumerate(node.value):
        part = validate(TargetPart, item, problems, (f"targets[{index}]",))
        if part is not None:
            made.append(_target(part, item, drafts, problems))
    return tuple(made)


def _target(
    part: TargetPart, node: Node, drafts: Mapping[str, Draft], problems: Problems
) -> TargetConfig:
    between = _between(part, node, problems)
    _check_variant(part, node, drafts, problems)
    _check_available(part, node, drafts, problems)
    return TargetConfig(
        location=node.location,
        metric=part.metric,
        at_least=_limit(part, part.at_least, node, "at_least", problems),
        at_most=_limit(part, part.at_most, node, "at_most", problems),
        between=between,
        variant=None if part.variant == BASE else part.variant,
        relative_to=_reference(part, node, drafts, problems),
        asil=part.asil,
        budget_share=part.budget_share,
    )


def _between(part: TargetPart, node: Node, problems: Problems) -> tuple[float, float] | None:
    if part.between is None:
        return None
    low, high = (_limit(part, value, node, "between", problems) for value in part.between)
    if low is None or high is None:
        return None
    if low > high:
        message = f"between {low:g} and {high:g} contains nothing"
        problems.add("C009", message, "give [lowest, highest]", where(node, "between"))
    return low, high


def _limit(
    part: TargetPart, value: object, node: Node, key: str, problems: Problems
) -> float | None:
    """A limit in the metric's unit (a ratio for a relative target)."""
    if value is None or part.metric is None:
        return None
    at = where(node, key)
    unit = "1" if part.relative_to else KNOWN[part.metric.partition("@")[0]][0]
    dimension = _DIMENSIONS.get(unit)
    limit = 0.0
    if isinstance(value, int | float):
        limit = float(value)
    elif dimension is None:
        problems.add("C003", f"{key} must be a plain number of {unit}", "leave the unit out", at)
    else:
        try:
            limit = float(units.parse(value, dimension, at))
        except AccelsimError as error:
            problems.extend(error)
    share = part.metric.startswith(_SHARES) and not part.relative_to
    if share and limit > 1 and key != "at_most":
        hint = f"write {limit / 100:g}, or '{limit:g} %'" if limit <= 100 else ""
        problems.add("C004", f"{part.metric} is at most 1, {key} is {limit:g}", hint, at)
    return limit


def _check_variant(
    part: TargetPart, node: Node, drafts: Mapping[str, Draft], problems: Problems
) -> None:
    if part.variant is not None and part.variant not in drafts:
        hint = suggest(part.variant, list(drafts))
        at = where(node, "variant")
        problems.add("C013", f"unknown variant '{part.variant}' in a target", hint, at)


def _check_available(
    part: TargetPart, node: Node, drafts: Mapping[str, Draft], problems: Problems
) -> None:
    """The run must have what produces the metric."""
    metric = part.metric or "asil.spfm"
    what = part.metric or f"asil {part.asil}"
    runs = [part.variant or BASE]
    if part.relative_to is not None and part.relative_to in drafts:
        runs.append(part.relative_to)
    for name in runs:
        draft = drafts.get(name)
        if draft is None or draft.bad & {"faults", "safety", "data", "simulate"}:
            continue
        need = lacking(metric, draft.part)
        if need:
            at = where(node, "metric" if part.metric else "asil")
            message = f"{what} needs {need}, which the run '{name}' does not have"
            problems.add("C014", message, "add it, or judge another variant", at)
        elif "@" in metric:
            _check_rate(metric, name, draft, node, problems)


def _check_rate(metric: str, name: str, draft: Draft, node: Node, problems: Problems) -> None:
    faults = draft.part.faults
    rates = faults.rates if faults is not None and faults.mode == "rate" else []
    rate = metric.partition("@")[2]
    if rate not in (known := [f"{value:g}" for value in rates]):
        hint = f"rates: {', '.join(known)}" if known else "only mode rate has fault rates"
        message = f"the run '{name}' has no fault rate {rate}"
        problems.add("C014", message, hint, where(node, "metric"))


def _reference(
    part: TargetPart, node: Node, drafts: Mapping[str, Draft], problems: Problems
) -> str | None:
    """A run's name, or the absolute path of a metrics.json."""
    name = part.relative_to
    if name is None:
        return None
    at = where(node, "relative_to")
    if name in drafts:
        if name == (part.variant or BASE):
            message = f"the run '{name}' is compared with itself"
            problems.add("C009", message, "name another run in 'variant'", at)
        return name
    path = os.path.abspath(os.path.join(node.entries["relative_to"].node.folder, name))
    if not os.path.isfile(path):
        if "/" in name or name.endswith(".json"):
            hint = f"looked for {path}; paths count from the file that names them"
            problems.add("C007", f"'{name}' does not exist", hint, at)
        else:
            hint = suggest(name, list(drafts)) + "; or the path of a metrics.json"
            problems.add("C013", f"unknown variant '{name}' in relative_to", hint, at)
    return path
