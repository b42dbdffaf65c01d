"""Tiles on every kind of array: each takes the closed form of its dataflow, and whatever the
machine, what is moved is what was planned."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hardware_samples import edge_npu, one_conv, random_network, resnet20, workload_of
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import (
    AccumulatorSram,
    Compression,
    DotUnits,
    Dram,
    PeSpads,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.arch.system import system_of
from accelsim.dataflow import gemm_cycles
from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.dot_product import DotArray, DotTile, conv_cycles
from accelsim.dataflow.packing import packed_cycles
from accelsim.dataflow.row_mapping import map_convolution
from accelsim.dataflow.row_stationary import RowArray
from accelsim.dataflow.row_stationary import conv_cycles as row_cycles
from accelsim.dataflow.sparse import compressed_k, sparse_gemm_cycles
from accelsim.design_point import evaluate
from accelsim.lower import lower, plan_traffic
from accelsim.mapping import Timing, candidates, lower_bounds
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.rules import objections
from accelsim.mapping.tiles import Block, array_op, executed_macs, reduction_unit
from accelsim.multicore.bounds import system_bounds
from accelsim.plan import Tiling
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor

ROWS = SystolicArray(12, 14, "rs", "none", spads=PeSpads())
ETHOS = SystolicArray(8, 32, "dot", dot=DotUnits((2, 2), 4, 32, input_buffer=True))
SPARSE = SystolicArray(16, 16, sparsity=(2, 4))
PACKED = SystolicArray(16, 16, packing=True)
ARRAYS = {
    "rs": ROWS,
    "dot": SystolicArray(16, 16, "dot"),
    "ethos": ETHOS,
    "sparse": SPARSE,
    "packed": PACKED,
    "gemmini": SystolicArray(16, 16, microarchitecture="gemmini"),
    "packed os": SystolicArray(16, 16, "os", packing=True),
    "packed is": SystolicArray(16, 16, "is", packing=True),
}


def _wide(array: SystolicArray, **changes: object):
    """A machine whose ports never limit the array."""
    parts = {"scratchpad": Scratchpad(1 << 20, width_bytes=1 << 14)}
    sums = AccumulatorSram(1 << 20, 1 << 14)
    return edge_npu(**{**parts, "accumulators": sums, "array": array, **changes})


def _whole(workload, machine):
    """The only operator as one tile."""
    operands = array_op(workload.ops[0], workload, machine.array)
    gemm = operands.gemm
    shape = operands.shape(gemm.m, Block(0, gemm.groups, 0, gemm.n), gemm.k, first=True)
    return Timing(machine).array(shape)


def test_a_convolution_on_dot_products():
    machine = _wide(ETHOS)
    work = _whole(one_conv(c_in=64, size=13, c_out=24), machine)
    array = DotArray(8, 32, (2, 2), 4, 32)
    assert work.cycles == conv_cycles(DotTile(13, 13, 24, 64, 9), array)
    # An input of 13 x 13 pixels once, all weights, the bias.
    assert work.sram_read_bytes == 13 * 13 * 64 + 64 * 9 * 24 + 4 * 24


def test_a_depthwise_convolution_on_dot_products():
    work = _whole(one_conv(c_in=16, size=8, c_out=16, groups=16), _wide(ETHOS))
    array = DotArray(8, 32, (2, 2), 4, 32)
    assert work.cycles == conv_cycles(DotTile(8, 8, 1, 1, 9, 16), array) == (6 - 1) * 64 + 64 + 5


def test_a_plain_product_uses_all_positions_of_dot_products():
    a = Tensor("x", (10, 32), "int8", Role.INPUT)
    made = [
        Tensor("w", (8, 32), "int8", Role.WEIGHT),
        Tensor("y", (10, 8), "int8", Role.ACTIVATION),
    ]
    op = Op("fc", OpKind.MATMUL, ("x",), "y", "w", gemm=Gemm(10, 32, 8), vector_ops=80)
    work = _whole(workload_of("fc", a, [(op, made)]), _wide(ETHOS))
    assert work.cycles == 4 * 3 + 5  # three groups of four rows, one set of 32 x 8 weights


def test_a_convolution_on_rows():
    machine = _wide(ROWS)
    work = _whole(one_conv(c_in=16, size=14, c_out=32), machine)
    shape = ConvShape(16, 32, (14, 14), (3, 3), pads=(1, 1, 1, 1))
    array = RowArray(buffer_words=2 << 20)
    mapping = map_convolution(shape, array)
    assert work.cycles == row_cycles(shape, mapping, array)


def test_a_sparse_convolution_stores_and_multiplies_what_may_be_non_zero():
    machine, workload = _wide(SPARSE), one_conv(c_in=16, size=8, c_out=16)
    work = _whole(workload, machine)
    assert work.cycles == sparse_gemm_cycles(64, 16, 144, 16, 16, (2, 4), overlap="full")
    assert work.cycles < gemm_cycles(64, 16, 144, 16, 16, "ws", "full")
    operands = array_op(workload.ops[0], workload, machine.array)
    # 72 of 144 weights per channel, 8 + 2 bits each.
    assert operands.b_bytes((0, 144), Block(0, 1, 0, 16)) == 72 * 16 * 10 // 8
    assert executed_macs(workload, machine.array) == 64 * 16 * 72
    assert array_op(workload.ops[0], workload).b_bytes((0, 144), Block(0, 1, 0, 16)) == 144 * 16


def test_groups_share_a_packed_array():
    machine = _wide(PACKED)
    work = _whole(one_conv(c_in=8, size=8, c_out=8, groups=8, kernel=2, pad=0), machine)
    assert work.cycles == packed_cycles(49, 1, 4, 8, 16, 16, "ws", "full")
    assert work.cycles < gemm_cycles(49, 1, 4, 16, 16, "ws", "full", groups=8)


@pytest.mark.parametrize("array", [ROWS, ETHOS], ids=["rs", "dot"])
def test_no_tile_cuts_a_kernel(array):
    workload, machine = one_conv(c_in=64, size=8), edge_npu(array=array)
    operands = array_op(workload.ops[0], workload, array)
    assert reduction_unit(operands, array) % 9 == 0
    for candidate in candidates(workload.ops[0], workload, machine):
        assert candidate.tiling.k % 9 == 0
    cut = Tiling(64, 24, 10)
    wrong = objections(workload.ops[0], workload, cut, frozenset(), machine)
    assert [reason for reason, _ in wrong] == ["k cuts a kernel of 9"]


def test_no_tile_cuts_a_block_of_sparse_weights():
    workload, machine = one_conv(c_in=64, size=8), edge_npu(array=SPARSE)
    wrong = objections(workload.ops[0], workload, Tiling(64, 24, 10), frozenset(), machine)
    assert [reason for reason, _ in wrong] == ["k cuts a block of sparse weights of 4"]


machines = st.builds(
    lambda array, own, packed, slots, channels: replace(
        edge_npu(
            array=ARRAYS[array],
            weight_memory=Dram("FLASH", 500_000_000, 64) if own else None,
            compression=Compression(Fraction(packed), 8) if packed else None,
            scratchpad=Scratchpad(64 * 1024, buffering=slots, width_bytes=64),
        ),
        dma=replace(edge_npu().dma, channels=channels),
    ),
    st.sampled_from(sorted(ARRAYS)),
    st.booleans(),
    st.sampled_from([None, "7/10", "1"]),
    st.integers(1, 3),
    st.integers(1, 3),
)


@given(machine=machines, seed=st.integers(0, 30), rule=st.sampled_from(["layer", "fold"]))
@settings(max_examples=60, deadline=None)
def test_what_is_moved_is_what_was_planned(machine, seed, rule):
    """Folded and stepped alike, and no bound is beaten."""
    workload = random_network(seed)
    plan = quick_plan(workload, machine, rule)
    program = lower(workload, machine, plan)
    tasks = simulate(expand(program)).graph.tasks
    read, written = plan_traffic(workload, plan)
    assert sum(t.dram_read_bytes for t in tasks) == read
    assert sum(t.dram_write_bytes for t in tasks) == written
    done = evaluate(workload, machine, rule=rule)  # checks its own conservation laws
    assert done.dram_bytes == read + written
    assert done.utilisation <= 1
    assert all(cycles <= done.cycles for cycles in done.bounds_cycles.values())


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_a_whole_network_on_every_array(name):
    machine = edge_npu(array=ARRAYS[name])
    done = evaluate(resnet20(), machine)
    assert 0 < done.utilisation <= 1
    assert max(done.bounds_cycles.values()) <= done.cycles


def test_sparse_weights_cross_the_memory_as_they_are_stored():
    workload = one_conv(c_in=16, size=8, c_out=16)
    dense = evaluate(workload, edge_npu())
    sparse = evaluate(workload, edge_npu(array=SPARSE))
    weights = 144 * 16
    stored = compressed_k(144, (2, 4)) * 16 * 10 // 8
    assert dense.dram_bytes - sparse.dram_bytes == weights - stored
    assert sparse.energy.array_j == pytest.approx(dense.energy.array_j / 2)


def test_lower_bounds_count_constants_where_and_as_they_are_stored():
    workload = one_conv()
    constants = 72 * 24 + 4 * 24
    plain = lower_bounds(workload, edge_npu())
    assert plain["dram"] == -(-10 * (8 * 144 + 24 * 144 + constants) // 64)
    own = edge_npu(weight_memory=Dram("FLASH", 500_000_000))
    assert lower_bounds(workload, own)["weights"] == constants
    packed = edge_npu(
        weight_memory=Dram("FLASH", 500_000_000), compression=Compression(Fraction(1, 2), 8)
    )
    assert lower_bounds(workload, packed)["weights"] == constants // 2
    # Half of a split scratchpad with a port of a byte per cycle: no weights go through it.
    narrow = edge_npu(
        scratchpad=Scratchpad(2**18, width_bytes=1), weight_sram=Scratchpad(2**16, width_bytes=32)
    )
    weights = -(-10 * constants // 64)
    assert lower_bounds(workload, narrow)["dram"] == 8 * 144 + 24 * 144 + weights
    assert system_bounds(workload, system_of(narrow), 3)["dram"] == 3 * 32 * 144 + weights


def test_fused_stages_take_one_pass():
    fused = edge_npu(vector=VectorUnit(16, 0, fuses=True))
    one, two = Timing(edge_npu(vector=VectorUnit(16))), Timing(fused)
    assert one.epilogue(OpKind.CONV, 320, 160, 160) == 20
    assert two.epilogue(OpKind.CONV, 320, 160, 160) == 10
    assert two.epilogue(OpKind.CONV, 160, 160, 160) == 10
