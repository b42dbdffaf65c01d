"""An accelerator and task graphs built by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from accelsim.arch.parts import (
    Accelerator,
    AccumulatorSram,
    Dma,
    Dram,
    EnergyOptions,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value


def machine(options: EnergyOptions | None = None, **changes: object) -> Accelerator:
    """A 45 nm machine; ``options`` are its energy options, ``changes`` replace fields."""
    made = Accelerator(
        name="sample",
        clock_hz=500_000_000,
        technology_nm=45,
        array=SystolicArray(8, 8, "ws", "full"),
        vector=VectorUnit(4),
        scratchpad=Scratchpad(32768),
        accumulators=AccumulatorSram(8192),
        dram=Dram("LPDDR4", 3_200_000_000),
        dma=Dma(),
        leakage_mw_per_mm2=Fraction(10),
        control_flipflops={"core": 1000},
        energy_options=options or EnergyOptions(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def with_registers(**options: object) -> EnergyOptions:
    """Horowitz's table with the registers of Aladdin's, scaled from 40 nm."""
    return EnergyOptions(fill_from=("aladdin_40nm",), scale=True, **options)  # type: ignore[arg-type]


def product_graph(m: int, n: int, k: int) -> TaskGraph:
    """One product on an 8 x 8 ws array: weights and inputs in, one array task, its epilogue out."""
    folds = -(-k // 8)
    cycles = m * folds * -(-n // 8) + 30
    values = (
        Value(0, "scratchpad", "activation", "x", "op", m * k),
        Value(1, "scratchpad", "weight", "w", "op", k * n),
        Value(2, "accumulators", "accumulator", "y", "op", 4 * m * n),
    )
    read = m * k * -(-n // 8) + k * n
    tasks = (
        Task(0, "op", 0, 0, TaskKind.LOAD_WEIGHT, ("dma.0", "dram"), 7, dram_read_bytes=k * n,
             sram_write_bytes=k * n),
        Task(1, "op", 0, 0, TaskKind.RELOAD, ("dma.0", "dram"), 5, dram_read_bytes=m * k,
             sram_write_bytes=m * k),
        Task(2, "op", 0, 0, TaskKind.ARRAY, ("array",), cycles, (0, 1),
             reads=(Access(0, m * k), Access(1, k * n)), macs=m * n * k, sram_read_bytes=read,
             accumulator_write_bytes=4 * m * n * folds,
             accumulator_read_bytes=4 * m * n * (folds - 1)),
        Task(3, "op", 0, 0, TaskKind.VECTOR, ("vector",), -(-m * n // 4), (2,),
             sram_write_bytes=m * n, accumulator_read_bytes=4 * m * n, vector_ops=m * n),
    )  # fmt: skip
    return TaskGraph(tasks, values, ("array", "vector", "dram", "dma.0"), ("op",))
