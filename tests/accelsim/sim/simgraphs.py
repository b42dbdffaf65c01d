"""Small task graphs for the tests of the simulator."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from hypothesis import strategies as st

from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value

RESOURCES = ("dma.0", "dma.1", "dram", "array", "vector")
PES = 4
BANDWIDTH = Fraction(5, 2)

_KINDS = {
    ("dma.0", "dram"): TaskKind.LOAD_INPUT,
    ("dma.1", "dram"): TaskKind.STORE_OUTPUT,
    ("array",): TaskKind.ARRAY,
}


def task(
    id: int, resources: tuple[str, ...], cycles: int, deps: tuple[int, ...] = (), **more: object
) -> Task:
    kind = _KINDS.get(resources, TaskKind.VECTOR)
    fields = {"op": "op", "step": 0, "tile": id, "kind": kind, **more}
    return Task(id=id, resources=resources, cycles=cycles, deps=deps, **fields)  # type: ignore[arg-type]


def graph(
    *tasks: Task, values: tuple[Value, ...] = (), resources: tuple[str, ...] = RESOURCES
) -> TaskGraph:
    ops = tuple(dict.fromkeys(t.op for t in tasks))
    return TaskGraph(tuple(tasks), values, resources, ops)


def random_graph(seed: int, count: int, zero_cycles: bool = True) -> TaskGraph:
    """A graph whose execution passes every check: values are read by dependants of their writer."""
    draw = Random(seed)
    values: list[Value] = []
    written_by: list[list[int]] = []
    tasks: list[Task] = []
    for position in range(count):
        size = draw.choice((0, 1, 1, 2, 2, 3))
        resources = tuple(sorted(draw.sample(RESOURCES, size), key=RESOURCES.index))
        recent = range(max(0, position - 8), position)
        deps = tuple(sorted(draw.sample(recent, min(len(recent), draw.randint(0, 3)))))
        cycles = draw.randint(0 if zero_cycles else 1, 6)
        reads = tuple(
            Access(v, draw.randint(0, values[v].bytes)) for dep in deps for v in written_by[dep]
        )
        writes = []
        for _ in range(draw.randint(0, 2)):
            op = f"op{position // 5}"
            place = (draw.choice(("scratchpad", "accumulators")), draw.choice(("weight", "bias")))
            values.append(
                Value(len(values), *place, f"t{draw.randint(0, 3)}", op, 1 + draw.randint(0, 9))
            )
            writes.append(Access(values[-1].id, values[-1].bytes, draw.random() < 0.3))
        written_by.append([w.value for w in writes])
        tasks.append(
            task(
                position, resources, cycles, deps, op=f"op{position // 5}", step=position // 5,
                reads=reads, writes=tuple(writes),
                dram_read_bytes=int(cycles * BANDWIDTH) if "dram" in resources else 0,
                sram_write_bytes=draw.randint(0, 9),
                macs=draw.randint(0, cycles * PES) if "array" in resources else 0,
            )
        )  # fmt: skip
    return graph(*tasks, values=tuple(values))


def random_graphs(most: int = 25) -> st.SearchStrategy[TaskGraph]:
    return st.builds(random_graph, st.integers(0, 2**32), st.integers(0, most), st.booleans())


def pipeline(
    tiles: int, *, load: int = 7, compute: int = 5, store: int = 3, folds: int = 1
) -> TaskGraph:
    """Double-buffered tiles: load, compute in ``folds`` folds, requantise, store."""
    tasks: list[Task] = []
    values: list[Value] = []
    loads: list[int] = []
    arrays: list[int] = []
    vectors: list[int] = []
    for tile in range(tiles):
        x, acc, y = (len(values) + i for i in range(3))
        values += [
            Value(x, "scratchpad", "activation", "x", "conv", 16, address=16 * (tile % 2)),
            Value(acc, "accumulators", "accumulator", "y", "conv", 32),
            Value(y, "scratchpad", "activation", "y", "conv", 8, address=32 + 8 * (tile % 2)),
        ]
        free = (arrays[tile - 2],) if tile >= 2 else ()
        loads.append(len(tasks))
        tasks.append(
            task(len(tasks), ("dma.0", "dram"), load, free, op="conv", tile=tile,
                 writes=(Access(x, 16),), dram_read_bytes=16)
        )  # fmt: skip
        drained = (vectors[tile - 2],) if tile >= 2 else ()
        for fold in range(folds):
            deps = (loads[tile], *drained) if fold == 0 else (len(tasks) - 1,)
            tasks.append(
                task(len(tasks), ("array",), compute, deps, op="conv", tile=tile,
                     reads=(Access(x, 16),), writes=(Access(acc, 32, True),), macs=4 * compute)
            )  # fmt: skip
        arrays.append(len(tasks) - 1)
        vectors.append(len(tasks))
        stored = (len(tasks) - folds - 2,) if tile >= 2 else ()
        tasks.append(
            task(len(tasks), ("vector",), 2, (*stored, arrays[tile]), op="conv", tile=tile,
                 reads=(Access(acc, 32),), writes=(Access(y, 8),))
        )  # fmt: skip
        tasks.append(
            task(len(tasks), ("dma.1", "dram"), store, (vectors[tile],), op="conv", tile=tile,
                 reads=(Access(y, 8),), dram_write_bytes=8)
        )  # fmt: skip
    return graph(*tasks, values=tuple(values))
