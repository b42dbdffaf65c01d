"""What an assignment is, in words: which strategies were tried, and what runs where."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.multicore.assign import Part
from accelsim.multicore.run import SystemRun
from accelsim.parallel.regions import Region


def assignment_text(run: SystemRun) -> str:
    """Strategies with their cycles, load of the cores, and one line per operator."""
    return "\n".join([*_choice(run), "", *_loads(run), "", *_operators(run)])


def _choice(run: SystemRun) -> Iterator[str]:
    images = run.assignment.images
    yield f"{len(run.system.cores)} cores, {images} image{'s' if images > 1 else ''}"
    for name, cycles in run.tried:
        mark = "  <- chosen" if name == run.assignment.strategy else ""
        yield f"  {name:<10}{cycles:>16,} cycles{mark}"
    bounds = ", ".join(f"{name} {least:,}" for name, least in run.bounds_cycles.items())
    alone = "no core can run the network alone"
    if run.speedup is not None:
        alone = f"speed-up over the fastest core alone: {run.speedup:.2f}"
    yield f"{alone} (no assignment beats: {bounds})"


def _loads(run: SystemRun) -> Iterator[str]:
    busy, cycles = run.busy, max(1, run.cycles)
    yield "busy, in % of the makespan"
    for number, core in enumerate(run.system.cores):
        parts = []
        for queue in run.program.queues:
            name = queue.removeprefix(f"core{number}.")
            if name != queue and name != "sync":
                parts.append(f"{name} {100 * busy[queue] / cycles:.1f}")
        yield f"  core {number} ({core.name}): " + ", ".join(parts)
    shared = [port for port in run.program.ports if not port.startswith("core")]
    yield "  shared: " + ", ".join(f"{port} {100 * busy[port] / cycles:.1f}" for port in shared)


def _operators(run: SystemRun) -> Iterator[str]:
    yield "operator: core and part of the output"
    by_op: dict[tuple[str, int], list[Part]] = {}
    for part in run.assignment.parts:
        by_op.setdefault((part.op, part.image), []).append(part)
    for (op, image), parts in by_op.items():
        label = op if run.assignment.images == 1 else f"{op} (image {image})"
        yield f"  {label}: " + "; ".join(f"core {p.core} {region_text(p.region)}" for p in parts)


def region_text(region: Region) -> str:
    """A part of an operator's output in words."""
    if region.whole:
        return "all"
    spans = []
    for name, span, total in (
        ("rows", region.rows, region.grid.rows),
        ("channels", region.cols, region.grid.cols),
    ):
        if span[1] < total:
            spans.append(f"{name} {span[0]}-{span[0] + span[1] - 1} of {total}")
    return ", ".join(spans)
