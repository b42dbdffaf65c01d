"""Task durations: the slowest of units and ports."""

from __future__ import annotations

from dataclasses import replace

from hardware_samples import add_op, conv_op, edge_npu, image, one_conv, workload_of

from accelsim.arch.parts import AccumulatorSram, Scratchpad, SystolicArray, VectorUnit
from accelsim.dataflow import gemm_cycles
from accelsim.mapping import Timing, candidates, lower_bounds
from accelsim.mapping.tiles import TileShape
from accelsim.workload.graph import OpKind

SHAPE = TileShape(64, 16, 32, 1, 1, 1, 64, True)


def test_default_ports_do_not_slow_the_array():
    work = Timing(edge_npu()).array(SHAPE)
    assert work.cycles == gemm_cycles(64, 16, 32, 16, 16, "ws", "full")
    assert work.sram_read_bytes == 64 * 32 + 32 * 16 + 64
    # Two folds: both write 1024 sums, the second reads them back.
    assert (work.accumulator_write_bytes, work.accumulator_read_bytes) == (8192, 4096)
    later = Timing(edge_npu()).array(replace(SHAPE, first=False))
    assert later.accumulator_read_bytes == 8192
    assert later.sram_read_bytes == 64 * 32 + 32 * 16


def test_a_narrow_scratchpad_port_limits_every_kind_of_task():
    wide, narrow = edge_npu(), edge_npu(scratchpad=Scratchpad(1 << 17, width_bytes=2))
    assert Timing(narrow).array(SHAPE).cycles == (64 * 32 + 32 * 16 + 64) // 2
    assert Timing(wide).vector(OpKind.ADD, 160, 480) == 8 + 15  # 3 bytes per lane and cycle
    assert Timing(wide).vector(OpKind.RELU, 160, 320) == 8 + 10
    assert Timing(narrow).vector(OpKind.RELU, 160, 320) == 8 + 160
    assert Timing(wide).epilogue(OpKind.CONV, 160, 160, 160) == 8 + 10
    assert Timing(narrow).epilogue(OpKind.CONV, 160, 160, 160) == 8 + 80
    assert Timing(wide).transfer_bytes(640) == 100
    assert Timing(narrow).transfer_bytes(640) == 320


def test_a_narrow_accumulator_port_limits_array_and_epilogue():
    machine = edge_npu(accumulators=AccumulatorSram(1 << 15, 8))
    assert Timing(machine).array(SHAPE).cycles == 8192 // 8
    assert Timing(machine).epilogue(OpKind.CONV, 160, 160, 160) == 8 + 160 * 4 // 8
    assert edge_npu().accumulator_port_bytes == 16 * 4
    assert replace(machine, array=SystolicArray(8, 4)).accumulator_port_bytes == 8


def test_slow_element_operations_count_in_bounds_and_prefetch_hiding():
    """A slow operator before hides more of the next one's weights."""
    shape = (1, 8, 12, 12)
    parts = [
        conv_op("a", "x", "t", 8, 12, 8), add_op("add", "x", "t", "u", shape),
        conv_op("b", "u", "y", 8, 12, 64),
    ]  # fmt: skip
    workload = workload_of("slow", image(8, 12), parts)
    fast = edge_npu()
    slow = edge_npu(vector=VectorUnit(16, 8, {"add": 50}))
    elements = 8 * 144 // 16
    added = lower_bounds(workload, slow)["vector"] - lower_bounds(workload, fast)["vector"]
    assert added == 49 * elements
    hidden = [
        min(c.cycles for c in candidates(workload.ops[2], workload, machine) if c.prefetch_bytes)
        for machine in (slow, fast)
    ]
    assert hidden[0] < hidden[1]


def test_estimates_use_one_formula_for_transfers():
    machine = edge_npu()
    timing = Timing(machine)
    assert timing.dma(640) == timing.dma_fixed + timing.transfer_bytes(640) == 66 + 100
    assert lower_bounds(one_conv(), machine)["dram"] == timing.transfer_bytes(
        8 * 144 + 24 * 72 + 24 * 4 + 24 * 144
    )
