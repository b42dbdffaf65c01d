"""Exact search for block addresses with CP-SAT: two-dimensional no-overlap, least peak."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from ortools.sat.python import cp_model

from ilp.backends.cpsat import deterministic_solver, wall_clock_note
from ilp.packing import Block, Packing


def search_packing(
    blocks: Sequence[Block],
    capacity: int,
    goal: tuple[int, int],
    hint: Sequence[int] | None,
    effort: float,
    seed: int,
) -> Packing:
    """Place ``blocks`` below ``capacity``.

    ``goal`` is (target, accept): a peak of at most ``target`` is as good as any, one of at most
    ``accept`` is good enough. ``infeasible`` is proved; ``unknown`` means the effort ran out.
    """
    unit = gcd(*(n for b in blocks for p in b.pieces for n in (p.offset, p.height))) or 1
    top = capacity // unit
    target, accept = goal
    # Rounding up to the unit loses nothing: peaks are multiples of it.
    low = min(-(-max(target, accept) // unit), top)
    model = cp_model.CpModel()
    peak = model.new_int_var(low, top, "peak")
    addresses = [
        model.new_int_var(0, top - block.height // unit, f"a{i}") for i, block in enumerate(blocks)
    ]
    times, spaces, heights = [], [], []
    for block, address in zip(blocks, addresses, strict=True):
        model.add(address + block.height // unit <= peak)
        for piece in block.pieces:
            height = piece.height // unit
            if height:
                span = piece.upper - piece.lower
                times.append(model.new_fixed_size_interval_var(piece.lower, span, ""))
                start = address + piece.offset // unit
                spaces.append(model.new_fixed_size_interval_var(start, height, ""))
                heights.append(height)
    model.add_no_overlap_2d(times, spaces)
    model.add_cumulative(times, heights, peak)
    if low < top:
        model.minimize(peak)
    if hint is not None:
        for address, value in zip(addresses, hint, strict=True):
            model.add_hint(address, value // unit)
    solver = deterministic_solver(effort, seed)
    status = solver.solve(model)
    spent = solver.deterministic_time
    notes = wall_clock_note(solver, status, effort)
    if status == cp_model.INFEASIBLE:
        return Packing("infeasible", (), 0, "cpsat", spent, notes)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Packing("unknown", (), 0, "cpsat", spent, notes)
    found = tuple(solver.value(address) * unit for address in addresses)
    used = max(a + b.height for a, b in zip(found, blocks, strict=True))
    proved = used <= target or (status == cp_model.OPTIMAL and accept <= target)
    return Packing("optimal" if proved else "feasible", found, used, "cpsat", spent, notes)
