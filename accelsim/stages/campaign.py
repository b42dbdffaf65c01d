"""Trace -> fault targets -> campaign: what the schedule keeps in memory is what gets hit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faults
from accelsim.config.types import DataConfig, FaultsConfig
from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.sim.exposure import Exposure
from accelsim.workload.reader import network_kind

MAX_BOUNDS_BYTES = 1 << 20

_FORMATS = {
    "tflite": "a TensorFlow Lite file",
    "csv": "a table of layers",
    "yaml": "a list of layers or dimensions",
}


def upset_targets(exposures: Sequence[Exposure]) -> tuple[faults.Target, ...]:
    """Populations of bits for single upsets: one per (structure, kind, tensor), weighted by the
    bit-cycles of residency in the simulated schedule. Values that are never read are not targets.
    """
    totals: dict[tuple[str, str, str], int] = {}
    for e in exposures:
        key = (structure_of(e), e.kind, e.tensor)
        totals[key] = totals.get(key, 0) + e.bit_cycles
    return tuple(
        faults.Target(structure, kind, tensor, bit_cycles)
        for (structure, kind, tensor), bit_cycles in totals.items()
        if bit_cycles > 0
    )


def structure_of(exposure: Exposure) -> str:
    """FMEDA block of an exposure: contents of the scratchpad and of memory levels are told apart by
    kind."""
    if exposure.structure == "accumulators":
        return exposure.structure
    return f"{exposure.structure}.{exposure.kind}"


def run_campaign(
    model: str,
    data: DataConfig,
    config: FaultsConfig,
    targets: Sequence[faults.Target],
    *,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> faults.CampaignResult:
    """Inject as configured. ``targets`` come from the trace and are used in exposure mode only.

    Raises :class:`AccelsimError` for data, labels, bounds or networks that cannot be used.
    """
    evaluation = _read(data)
    plan = _plan(config, targets)
    return faults.campaign(model, evaluation, plan, workers=workers, progress=progress)


def _plan(
    config: FaultsConfig, targets: Sequence[faults.Target]
) -> faults.UpsetPlan | faults.RatePlan:
    if config.mode == "exposure":
        return faults.UpsetPlan(
            targets=tuple(targets),
            faults=config.count,
            images_per_fault=config.images_per_fault,
            seed=config.seed,
            confidence=config.confidence,
        )
    return faults.RatePlan(
        rates=config.rates,
        maps=config.maps,
        images_per_map=config.images_per_fault,
        clip=config.clip,
        bounds=read_bounds(config.bounds) if config.bounds else None,
        seed=config.seed,
        confidence=config.confidence,
    )


def _read(data: DataConfig) -> faults.EvalSet:
    return faults.load_data(data.file, data.divide_by, data.mean, data.std, data.limit)


def check_data(data: DataConfig) -> None:
    """Read the evaluation data as a campaign would; AccelsimError when it cannot be used."""
    _read(data)


def check_campaign(model: str, data: DataConfig, config: FaultsConfig) -> None:
    """Find what :func:`run_campaign` would refuse before anything is simulated: data, their fit to
    the network, clip bounds, numbers of the plan. Raises :class:`AccelsimError` as it does, and
    F502 for a network that is no ONNX file: other formats are simulated, but nothing executes them.
    """
    kind = network_kind(Path(model))
    if kind != "onnx":
        message = f"faults are injected into ONNX networks only, this one is {_FORMATS[kind]}"
        hint = "leave 'faults' out to simulate it, or export the network to ONNX"
        raise AccelsimError(Mistake("F502", message, hint, Location(model)))
    faults.check_campaign(model, _read(data), _plan(config, ()))


def read_bounds(path: str) -> dict[str, float]:
    """Profiled maxima: a JSON object {activation tensor: positive number}."""

    def wrong(message: str, line: int | None = None) -> AccelsimError:
        hint = 'write a JSON object such as {"relu1": 3.5}'
        return AccelsimError(Mistake("F510", message, hint, Location(path, line)))

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_BOUNDS_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(f"cannot read the clip bounds: {error}") from None
    if len(text) > MAX_BOUNDS_BYTES:
        raise wrong("the clip bounds are larger than 1 MiB")
    try:
        found: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise wrong(f"not JSON: {error.msg}", error.lineno) from None
    if not isinstance(found, dict) or not found:
        raise wrong("the clip bounds are not a JSON object")
    bad = [
        key
        for key, value in found.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e38
    ]
    if bad:
        raise wrong("bounds must be positive finite numbers: " + ", ".join(sorted(bad)))
    return {key: float(value) for key, value in found.items()}
