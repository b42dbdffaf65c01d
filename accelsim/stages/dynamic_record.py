"""What a run whose cores take tiles while time passes says: metrics, rows, notes, text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from accelsim.config.types import RunConfig
from accelsim.cost.area import AreaBreakdown
from accelsim.cost.kinds import kinds_area
from accelsim.description import describe_run, describe_tiles
from accelsim.figures import area_parts, metric
from accelsim.metrics import Metric
from accelsim.multicore.bounds import system_bounds
from accelsim.printable import printable
from accelsim.record import VariantRecord
from accelsim.sim.layers import block_times, busiest, busy_of
from accelsim.sim.trace_file import dump_folded
from accelsim.stages.cores_plan import joint_layers
from accelsim.stages.dynamic import TileRun


def tile_record(config: RunConfig, done: TileRun) -> VariantRecord:
    """The record of a variant without its fault campaign."""
    machine = describe_tiles(config, done.kinds, done.images, tile_notes(done))
    return VariantRecord(
        metrics=tile_metrics(done),
        layers=tile_layers(done),
        trace=dump_folded(done.schedule.folded),
        curves=tile_curves(done),
        info=describe_run(config, done.workload, machine, done.images),
    )


def tile_metrics(done: TileRun) -> dict[str, Metric]:
    """What compute alone says: no traffic, no energy, no memory."""
    chosen, clock = done.chosen, done.system.shared.clock_hz
    seconds, macs = done.cycles / clock, sum(tile.macs for tile in done.dag.tiles)
    serial, parallel = chosen.karp_flatt, chosen.parallel_fraction
    found = [
        metric("latency.cycles", done.cycles, "sim"),
        metric("latency.seconds", seconds, "sim"),
        metric("throughput.inferences_per_s", done.batch / seconds, "sim"),
        metric("utilisation.mac", macs / (done.cycles * done.system.pes), "sim"),
        metric("bound.resource", busiest(busy_of(done.schedule.folded)), "sim"),
        metric("macs.total", macs, "workload"),
        metric("area.mm2", tile_area(done).total_mm2, "cost"),
        metric("parallel.speedup", chosen.speedup, "sim"),
        metric("parallel.ideal_cycles", chosen.ideal_cycles, "sim"),
        metric("parallel.critical_path_cycles", done.dag.critical_path, "sim"),
    ]
    if serial is not None and parallel is not None:
        found += [
            metric("parallel.karp_flatt", serial, "sim"),
            metric("parallel.fraction", parallel, "sim"),
        ]
    return dict(found)


def tile_area(done: TileRun) -> AreaBreakdown:
    """Area of all cores."""
    return kinds_area(done.kinds)


def tile_layers(done: TileRun) -> tuple[dict[str, Any], ...]:
    """One row per operator; operators overlap, see :class:`accelsim.sim.summary.LayerRow`."""
    folded = done.schedule.folded
    ops = {op.name: op for op in done.workload.ops}
    rows = joint_layers(folded, block_times(folded), done.system.pes)
    return tuple(
        {**asdict(row), "kind": str(ops[row.op].kind), "mapping": _shares(done, row.op)}
        for row in rows
    )


def tile_curves(done: TileRun) -> dict[str, Any]:
    """curves.json: what the report draws besides the tables."""
    return {"busy": busy_of(done.schedule.folded), "area": area_parts(tile_area(done))}


def _shares(done: TileRun, op: str) -> str:
    counts = tile_counts(done)[op]
    shares = ", ".join(f"core {core} {count}" for core, count in enumerate(counts) if count)
    return f"{sum(counts)} tiles: {shares}"


def tile_counts(done: TileRun) -> Mapping[str, tuple[int, ...]]:
    """Operator -> tiles that each core ran."""
    counts = {op: [0] * len(done.system.cores) for op in done.dag.ops}
    for turn in done.chosen.log:
        counts[done.dag.ops[done.dag.tiles[turn.tile].op]][turn.core] += 1
    return {op: tuple(found) for op, found in counts.items()}


def tile_notes(done: TileRun) -> tuple[str, ...]:
    """What a reader must know beside the figures."""
    compared = ", ".join(f"{found.policy} {found.cycles} cycles" for found in done.compared)
    notes = [
        "compute cycles only: transfers, memories and residency are not in this schedule, so it "
        "has no traffic, no energy and no exposure",
        f"tiles taken by policy '{done.chosen.policy}'; compared: {compared}",
    ]
    least = system_bounds(done.workload, done.system, done.images)["dram"]
    if least > done.cycles:
        notes.append(f"the DRAM alone needs {least} cycles: this schedule would wait for it")
    return tuple(notes)


def tiles_text(done: TileRun) -> str:
    """What was compared, and who ran how much of what."""
    return printable("\n".join(_lines(done)), keep="\n")


def _lines(done: TileRun) -> Iterator[str]:
    system, chosen = done.system, done.chosen
    yield (
        f"{len(system.cores)} cores, {done.images} image{'s' if done.images > 1 else ''}, "
        f"{len(done.dag.tiles):,} tiles taken while time passes"
    )
    yield "policy            cycles  of ideal  speed-up  parallel fraction"
    for found in done.compared:
        fraction = found.parallel_fraction
        shown = "-" if fraction is None else f"{fraction:.4f}"
        ideal = found.cycles / found.ideal_cycles if found.ideal_cycles else 1.0
        mark = "  <- chosen" if found is chosen else ""
        yield (
            f"  {found.policy:<14}{found.cycles:>8,}{ideal:>10.3f}{found.speedup:>10.2f}"
            f"{shown:>19}{mark}"
        )
    yield f"no policy beats {max(chosen.ideal_cycles, done.dag.critical_path):,} cycles" + (
        "" if not chosen.overheads.locality else " (without locality)"
    )
    yield ""
    yield "busy, in % of the makespan"
    for number, (core, share) in enumerate(zip(system.cores, chosen.utilisation, strict=True)):
        yield f"  core {number} ({core.name}): {100 * share:.1f}"
    yield ""
    yield from tile_notes(done)
    yield ""
    yield "operator: tiles of each core"
    for op, counts in tile_counts(done).items():
        yield f"  {op}: " + ", ".join(map(str, counts))
