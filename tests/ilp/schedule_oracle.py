"""Exhaustive search for the cheapest schedule of a tiny problem, capacity only.

Written from the problem's description alone: a uniform-cost search over everything that can happen
in a step. It shares nothing with the package but the value types.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import combinations


def cheapest(problem):
    """The least cost of any order, modes, residency and spills; ``None`` when nothing fits."""
    unit = problem.alignment

    def size(name):
        return -(-problem.sizes[name] // unit) * unit

    store = problem.sizes if problem.store_cost is None else problem.store_cost
    load = problem.sizes if problem.load_cost is None else problem.load_cost
    inputs = set(problem.graph_inputs)
    clean = frozenset(inputs if problem.inputs_clean else ())
    free = set() if problem.inputs_clean and problem.charge_inputs else inputs
    owed = {n for op in problem.ops for n in op.outputs} & set(problem.graph_outputs)
    owed = owed if problem.charge_outputs else set()
    # (cost, tie, done operators, on chip, in DRAM, arrived inputs, bytes used in the last step)
    start = (frozenset(), frozenset(), clean, frozenset(), 0)
    queue = [(0, 0, start)]
    best, ties = {start: 0}, 0
    while queue:
        cost, _, state = heappop(queue)
        if cost > best[state]:
            continue
        done, chip, dram, arrived, used = state
        if len(done) == len(problem.ops):
            if owed <= dram:
                return cost
            continue
        made = {name for i in done for name in problem.ops[i].outputs} | inputs
        for i, op in enumerate(problem.ops):
            if i in done or not set(op.inputs) <= made:
                continue
            if problem.order == "given" and i != len(done):
                continue
            for mode in op.modes:
                prefetch = -(-mode.prefetch_bytes // unit) * unit
                if done and used + prefetch > problem.capacity:
                    continue
                if not set(op.inputs) & mode.streamed <= dram:
                    continue
                must = set(op.inputs) | set(op.outputs)
                must -= mode.streamed
                born = set(op.outputs) - mode.streamed
                reach = sorted((chip | dram | born | (free - arrived)) & (made | born))
                workspace = -(-mode.workspace_bytes // unit) * unit
                for keep in _supersets(must, reach):
                    taken = sum(map(size, keep)) + workspace
                    if taken > problem.capacity:
                        continue
                    new = keep - chip - born
                    loads = sum(load[n] for n in new if not (n in free and n not in arrived))
                    for stored in _supersets(set(), sorted(keep - dram)):
                        after = (
                            done | {i},
                            frozenset(keep),
                            dram | stored | (set(op.outputs) & mode.streamed),
                            arrived | (keep & inputs),
                            taken,
                        )
                        total = cost + mode.cost + loads + sum(store[n] for n in stored)
                        if total < best.get(after, total + 1):
                            best[after] = total
                            ties += 1
                            heappush(queue, (total, ties, after))
    return None


def _supersets(must, reach):
    if not must <= set(reach):
        return
    others = [name for name in reach if name not in must]
    for count in range(len(others) + 1):
        for extra in combinations(others, count):
            yield frozenset(must) | frozenset(extra)
