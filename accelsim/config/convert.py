"""Validated parts to the frozen values that the stages use, and their canonical text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

from accelsim.arch.parts import (
    Accelerator,
    AccumulatorSram,
    Compression,
    Dma,
    DotUnits,
    Dram,
    EnergyOptions,
    Level,
    PeSpads,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.arch.system import Link, System
from accelsim.config.array import ArrayPart
from accelsim.config.cores import ParallelPart, SystemPart
from accelsim.config.energy import AccelergyPart, EnergyPart
from accelsim.config.hardware import AcceleratorPart
from accelsim.config.levels import LevelPart
from accelsim.config.memories import CompressionPart, DramPart, ScratchpadPart, SramPart
from accelsim.config.problems import find, where
from accelsim.config.requirements import SafetyPart
from accelsim.config.schema import RUN, DataPart, FaultsPart, MappingPart
from accelsim.config.semantics import Draft, path_of
from accelsim.config.types import (
    DataConfig,
    DynamicConfig,
    FaultsConfig,
    LayerMapping,
    MappingConfig,
    ParallelConfig,
    Rate,
    RunConfig,
    SafetyConfig,
    ScheduleConfig,
    TargetConfig,
    WorkloadConfig,
)
from accelsim.config.yamlpos import Node
from accelsim.cost.tables import EnergyTable
from accelsim.errors import Location

_RATES = (
    "sram_soft", "flipflop_soft", "dram_soft", "die_permanent", "dram_permanent",
    "safe_fraction_unmeasured",
)  # fmt: skip


def run_config(name: str, draft: Draft, seed: int | None) -> RunConfig:
    """The frozen run; ``draft`` must have passed every check.

    Args:
        name: ``base`` or the variant's name.
        draft: the validated run.
        seed: replaces the seed of the campaign unless None.
    """
    part, tree = draft.part, draft.tree
    assert part.workload is not None, "checked before"
    machine, safety = part.accelerator, part.safety
    return RunConfig(
        name=name,
        workload=WorkloadConfig(
            path_of(tree, "workload.model"),
            part.workload.batch,
            part.workload.unsupported,
            part.workload.precision,
            part.workload.recurrent,
        ),
        simulate=part.simulate,
        accelerator=accelerator(machine, tree) if machine is not None else None,
        system=system(part.system, tree) if part.system is not None else None,
        parallel=_parallel(part.parallel) if part.parallel is not None else None,
        mapping=_mapping(part.mapping),
        schedule=ScheduleConfig(**part.schedule.model_dump()),
        data=_data(part.data, tree) if part.data is not None else None,
        faults=_faults(part.faults, tree, seed) if part.faults is not None else None,
        safety=_safety(safety) if safety is not None else None,
        locations=dict(_locations(tree, "")),
    )


def accelerator(part: AcceleratorPart, tree: Node, at: str = "accelerator.") -> Accelerator:
    """The machine of a validated accelerator part of ``tree``, where its keys begin with ``at``
    (empty for a file of its own). AccelsimError for an energy table of the user's that cannot be
    used."""
    return Accelerator(
        name=part.name,
        clock_hz=part.clock,
        technology_nm=part.technology,
        array=_array(part.array),
        vector=VectorUnit(**part.vector.model_dump()),
        scratchpad=_scratchpad(part.scratchpad),
        accumulators=AccumulatorSram(part.accumulators.size, part.accumulators.width),
        dram=_dram(part.dram),
        dma=Dma(part.dma.channels, part.dma.setup_cycles),
        energy_table=part.energy.table,
        leakage_mw_per_mm2=part.energy.leakage_mw_per_mm2,
        control_flipflops=part.control_flipflops.model_dump(),
        protection=_protection(part),
        weight_memory=_dram(part.weight_memory) if part.weight_memory else None,
        weight_sram=_sram(part.weight_scratchpad) if part.weight_scratchpad else None,
        levels=tuple(_level(level, part.clock) for level in part.levels),
        compression=_compression(part.compression) if part.compression else None,
        energy_options=_energy(part.energy, tree, at),
        cores=part.cores,
    )


def system(part: SystemPart, tree: Node, at: str = "system.") -> System:
    """The system of a validated system part of ``tree``, where its keys begin with ``at`` (empty
    for a file of its own). AccelsimError as of :func:`accelerator`, and A150."""
    inside: tuple[str, ...] = tuple(at.split(".")[:-1])
    cores: list[Accelerator] = []
    for index, core in enumerate(part.cores):
        node = find(tree, (*inside, "cores", index, "accelerator"))[1]
        cores += [accelerator(core.accelerator, node, at="")] * core.count
    link = part.link
    made = None if link is None else Link(link.bandwidth, link.buffer, link.latency_cycles)
    return System(part.name, tuple(cores), made, part.sync_cycles)


def _parallel(part: ParallelPart) -> ParallelConfig:
    tiles = part.dynamic
    dynamic = None
    if tiles is not None:  # dumped fractions are text
        dynamic = DynamicConfig(**{**tiles.model_dump(), "locality": tiles.locality})
    return ParallelConfig(part.strategy, part.images, dynamic)


def _mapping(part: MappingPart) -> MappingConfig:
    layers = tuple(
        LayerMapping(
            name, layer.m, layer.n, layer.k, layer.order,
            None if layer.stream is None else tuple(layer.stream), layer.dataflow,
        )
        for name, layer in part.layers.items()
    )  # fmt: skip
    return MappingConfig(part.objective, part.rule, layers)


def _array(part: ArrayPart) -> SystolicArray:
    values = part.model_dump()
    spads, dot, named = values.pop("spads"), values.pop("dot"), values.pop("dataflow")
    first, *others = [named] if isinstance(named, str) else named
    return SystolicArray(
        **values,
        dataflow=first,
        alternatives=tuple(others),
        spads=PeSpads(**spads) if spads else None,
        dot=DotUnits(**dot) if dot else None,
    )


def _scratchpad(part: ScratchpadPart) -> Scratchpad:
    return replace(_sram(part), cacheless=part.cacheless, layout=part.layout or "nhwc")


def _sram(part: SramPart) -> Scratchpad:
    return Scratchpad(
        part.size,
        part.alignment,
        part.width,
        ports=part.ports,
        buffering=part.buffering,
        banks=part.banks,
        bank_ports=part.bank_ports,
    )


def _protection(part: AcceleratorPart) -> dict[str, str]:
    """Of the structures that the machine has."""
    found: dict[str, str] = part.protection.model_dump()
    if part.weight_scratchpad is None:
        del found["weight_scratchpad"]
    return found


def _level(part: LevelPart, clock_hz: int) -> Level:
    return Level(
        part.name,
        part.size,
        part.width * clock_hz if part.bandwidth is None else part.bandwidth,
        part.latency_cycles,
        part.alignment,
        part.width,
        part.banks,
        part.pj_per_byte,
        part.protection,
    )


def _compression(part: CompressionPart) -> Compression:
    return Compression(part.ratio, part.decode_bytes_per_cycle)


def _dram(part: DramPart) -> Dram:
    return Dram(part.kind, part.bandwidth, part.latency_cycles, part.model)


def _energy(part: EnergyPart, tree: Node, at: str) -> EnergyOptions:
    return EnergyOptions(
        fill_from=tuple(part.fill_from),
        scale=part.scale,
        vdd=part.vdd,
        clock_gating=part.clock_gating,
        leakage_mw_per_mm2=dict(part.leakage_by_block),
        own_table=_own_table(part.accelergy, tree, at) if part.accelergy else None,
    )


def _own_table(part: AccelergyPart, tree: Node, at: str) -> EnergyTable:
    from accelsim.cost.accelergy import AccelergyFiles, own_table

    key = f"{at}energy.accelergy"
    return own_table(
        AccelergyFiles(
            ert=path_of(tree, f"{key}.ert"),
            node_nm=part.node,
            art=path_of(tree, f"{key}.art") if part.art else None,
            map=part.map,
            bits=part.bits,
            areas=part.areas,
            location=where(tree, key),
        )
    )


def _data(part: DataPart, tree: Node) -> DataConfig:
    return DataConfig(
        path_of(tree, "data.file"),
        float(part.divide_by),
        tuple(float(value) for value in part.mean),
        tuple(float(value) for value in part.std),
        part.limit,
    )


def _faults(part: FaultsPart, tree: Node, seed: int | None) -> FaultsConfig:
    values = part.model_dump()
    values["rates"] = tuple(part.rates)
    values["confidence"] = float(part.confidence)
    if part.bounds is not None:
        values["bounds"] = path_of(tree, "faults.bounds")
    if seed is not None:
        values["seed"] = seed
    return FaultsConfig(**values)


def _safety(part: SafetyPart) -> SafetyConfig:
    rates = {}
    for key in _RATES:
        rate = getattr(part, key)
        rates[key] = Rate(float(rate.value), rate.unit, rate.source, rate.mark)
    return SafetyConfig(
        **rates,
        mission_hours=float(part.mission_hours),
        inference_period_s=part.inference_period_s,
        fault_tolerant_time_interval_s=part.fault_tolerant_time_interval,
        self_test_interval_s=part.self_test_interval,
    )


def _locations(node: Node, path: str) -> Iterator[tuple[str, Location]]:
    for key, entry in node.entries.items():
        dotted = f"{path}.{key}" if path else key
        yield dotted, entry.node.location
        yield from _locations(entry.node, dotted)


def canonical_json(
    name: str,
    folder: str,
    base: RunConfig,
    variants: Mapping[str, RunConfig],
    targets: tuple[TargetConfig, ...],
) -> str:
    """The resolved study as JSON with sorted keys and no spaces.

    Quantities are plain numbers in base units, defaults are written out, and paths are relative to
    ``folder``: the same study gives the same text wherever it lies. Positions and prose
    (descriptions) are left out.
    """
    value = {
        "schema": RUN,
        "name": name,
        "base": _plain(base, folder),
        "variants": {key: _plain(run, folder) for key, run in variants.items()},
        "targets": [_plain(target, folder) for target in targets],
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


_PATHS: tuple[tuple[type, str], ...] = (
    (WorkloadConfig, "model"),
    (DataConfig, "file"),
    (FaultsConfig, "bounds"),
)
"""Fields that hold the absolute path of a file."""
_LEFT_OUT = ("locations", "location")
_LEFT_OUT_EMPTY = ("system", "parallel")
"""Parts that are left out where a run has none: its text, and its hash, are as without them."""


def _plain(value: Any, folder: str) -> Any:
    """Dataclasses as dicts, exact fractions as decimals, files relative to ``folder``."""
    if is_dataclass(value):
        made = {
            field.name: _plain(getattr(value, field.name), folder)
            for field in fields(value)
            if field.name not in _LEFT_OUT
            and not (field.name in _LEFT_OUT_EMPTY and getattr(value, field.name) is None)
        }
        for kind, key in _PATHS:
            if isinstance(value, kind) and isinstance(made.get(key), str):
                made[key] = _relative(made[key], folder)
        if isinstance(value, TargetConfig) and os.path.isabs(value.relative_to or ""):
            made["relative_to"] = _relative(made["relative_to"], folder)
        return made
    if isinstance(value, Mapping):
        return {str(key): _plain(item, folder) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item, folder) for item in value]
    return float(value) if isinstance(value, Fraction) else value


def _relative(path: str, folder: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")
