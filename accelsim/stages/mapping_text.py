"""``accelsim explain CONFIG``: the mapping of a run, operator by operator, as text."""

from __future__ import annotations

from collections.abc import Mapping

from accelsim.arch.parts import Accelerator, SystolicArray
from accelsim.config.types import RunConfig
from accelsim.dataflow.gemm import SPATIAL
from accelsim.mapping import lower_bounds
from accelsim.mapping.space import Choice, choices
from accelsim.plan import Candidate, MemoryPlan
from accelsim.printable import printable
from accelsim.stages.memory import candidate_columns, given_mapping, plan_memory
from accelsim.workload.graph import Workload


def explain_mapping(config: RunConfig, workload: Workload) -> str:
    """The search space, the chosen mapping and the lower bounds of a run."""
    machine = config.accelerator
    assert machine is not None, "the config reader asks for a machine"
    given = given_mapping(config)
    location = config.locations.get("accelerator.scratchpad.size")
    weight_location = config.locations.get("accelerator.weight_scratchpad.size")
    plan = plan_memory(
        workload, machine, objective=config.mapping.objective, schedule=config.schedule,
        given=given, location=location, weight_location=weight_location,
    )  # fmt: skip
    kept = None
    if given.rule is None:
        wanted = "energy" if config.mapping.objective == "edp" else config.mapping.objective
        kept = candidate_columns(workload, machine, wanted, given, location, weight_location)
    found = choices(workload, machine, plan, kept)
    lines = [
        f"mapping of {printable(workload.name)} on {printable(machine.name)}",
        _how(config, plan),
        f"spatial: {spatial_text(machine.array)}",
        f"lower bounds: {_bounds(lower_bounds(workload, machine))}",
        f"all steps one after the other, estimated: {sum(c.chosen.cycles for c in found):,} cycles",
        "",
        "per operator: tile sizes m x n x k to choose from -> tilings that fit the accumulators,",
        "with their loop orders, x residencies -> mappings; kept for the scheduler; the chosen one",
        "(m pixels, n channels, k reduction elements per tile, loops outer to inner) and what",
        "streams; estimated cycles beside the least that any mapping of the operator takes.",
        "",
    ]
    conflicts = " (slots and conflicts of its banks)" if machine.scratchpad.bank_ports else ""
    for choice in found:
        lines += _choice(choice, machine.array, conflicts)
    lines += _homes(machine, plan)
    return "\n".join(lines)


def _how(config: RunConfig, plan: MemoryPlan) -> str:
    mapping = config.mapping
    if mapping.rule is not None:
        return f"by rule '{mapping.rule}', nothing searched, nothing proved"
    fixed = f", {len(mapping.layers)} fixed entries obeyed" if mapping.layers else ""
    proof = "proved optimal" if plan.proved else f"not proved (bound {plan.cost_lower_bound:,})"
    return f"searched for {mapping.objective}{fixed}: cost {plan.cost:,}, {proof}, by {plan.solver}"


def _homes(machine: Accelerator, plan: MemoryPlan) -> list[str]:
    """What is kept in memory levels, and when."""
    found: list[str] = []
    for level in machine.levels:
        peak = plan.level_peaks.get(level.name, 0)
        found += ["", f"level {level.name}: {peak:,} of {level.bytes:,} B in use"]
        for home in plan.homes:
            if home.level == level.name:
                ways = [
                    way
                    for way, asked in (("in", home.copied_in), ("out", home.copied_out))
                    if asked
                ]
                copied = f", copied {' and '.join(ways)}" if ways else ""
                found.append(
                    f"  {printable(home.tensor)}  {home.bytes:,} B at {home.address:,}, steps "
                    f"{home.first} to {home.last}, {home.read_bytes:,} B read, "
                    f"{home.written_bytes:,} B written{copied}"
                )
    return found


def _bounds(bounds: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {cycles:,}" for name, cycles in bounds.items()) + " cycles"


def _weights(chosen: Candidate) -> str:
    """What lies in the weight scratchpad, if anything does."""
    held, first = chosen.weight_buffer_bytes, chosen.weight_prefetch_bytes
    if not held:
        return ""
    return f" and {held:,} B of weights" + (f" ({first:,} B of them early)" if first else "")


def spatial_text(array: SystolicArray) -> str:
    """What is laid over rows and columns of an array; of several possibilities all."""
    found = " or ".join(_extents(dataflow) for dataflow in array.dataflows)
    chosen = ", chosen for every operator" if array.alternatives else ""
    return f"{found} on {array.rows} x {array.cols}{chosen}"


def _extents(dataflow: str) -> str:
    """``k x n (ws)``; only systolic dataflows lay out two of the three extents."""
    extents = SPATIAL.get(dataflow)
    return f"{extents[0]} x {extents[1]} ({dataflow})" if extents else dataflow


def _choice(choice: Choice, array: SystolicArray, conflicts: str) -> list[str]:
    space, chosen = choice.space, choice.chosen
    sizes = f"{space.pixels} x {space.channels} x {space.reductions} sizes"
    sizes += f" x {space.dataflows} spatial" if space.dataflows > 1 else ""
    kept = "" if choice.kept is None else f"; {choice.kept} kept"
    orders = ", ".join(f"{count:,} {order}" for order, count in space.orders.items())
    orders = f" ({orders})" if orders else ""
    tiling = chosen.tiling
    spatial = f"{spatial_text(array.running(tiling.dataflow))}, " if tiling.dataflow else ""
    moved = ", ".join(sorted(printable(name) for name in chosen.streamed)) or "nothing"
    lines = [
        f"{printable(choice.op)} ({choice.kind})",
        f"  space   {sizes} -> {space.tilings:,} tilings{orders} x {space.residencies} "
        f"residencies -> {space.mappings:,} mappings{kept}",
        f"  chosen  m {tiling.m:,} n {tiling.n:,} k {tiling.k:,} {tiling.order}, {spatial}"
        f"streams {moved}, buffers {chosen.buffer_bytes:,} B{_weights(chosen)}, moves "
        f"{chosen.dram_read_bytes + chosen.dram_write_bytes:,} B",
        f"  cycles  {chosen.cycles:,} estimated, at least {_bounds(choice.bounds)}",
    ]
    if choice.waiting:
        lines.append(
            f"  waits   {choice.waiting:,} of the array's {choice.array_cycles:,} cycles, for "
            f"operands from the scratchpad{conflicts}"
        )
    fastest = choice.fastest
    if fastest is not None and fastest.cycles < chosen.cycles:
        lines.append(
            f"  why     {fastest.name} would take {fastest.cycles:,} cycles by itself with "
            f"{fastest.buffer_bytes:,} B of buffers; the plan as a whole is cheaper this way"
        )
    return lines
