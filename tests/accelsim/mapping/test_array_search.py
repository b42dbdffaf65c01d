"""All loop nests at once choose what building every candidate one by one chooses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hardware_samples import edge_npu, random_network
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Compression, Dma, Dram, Scratchpad, SystolicArray
from accelsim.mapping import Objective, Search, Timing, candidates
from accelsim.mapping.array import nests, row_sizes
from accelsim.mapping.array_search import fits_int64
from accelsim.mapping.search import exhaustive
from accelsim.mapping.tiles import array_op

MACHINES = st.builds(
    edge_npu,
    array=st.sampled_from([SystolicArray(16, 16), SystolicArray(8, 32, "os")]),
    scratchpad=st.builds(
        Scratchpad,
        st.sampled_from([3_000, 9_000, 60_000, 400_000]),
        st.just(16),
        st.sampled_from([4, 32]),
        ports=st.integers(1, 3),
        buffering=st.integers(1, 3),
        banks=st.sampled_from([1, 4]),
        bank_ports=st.sampled_from([None, None, 1, 2]),
        layout=st.sampled_from(["nhwc", "nchw"]),
    ),
    accumulators=st.sampled_from([AccumulatorSram(2_048), AccumulatorSram(65_536)]),
    dram=st.sampled_from([Dram("LPDDR4", 3_200_000_000, 50), Dram("DDR4", 333_333_333, 7)]),
    dma=st.builds(Dma, st.integers(1, 4), st.just(16)),
    weight_memory=st.sampled_from([None, Dram("LPDDR4", 500_000_000, 90)]),
    compression=st.sampled_from([None, Compression(Fraction(2, 3), 3)]),
    weight_sram=st.none()
    | st.builds(
        Scratchpad,
        st.sampled_from([700, 5_000, 40_000, 400_000]),
        st.sampled_from([16, 64]),
        st.sampled_from([4, 32]),
        ports=st.integers(1, 3),
        buffering=st.integers(1, 4),
    ),
)


@given(st.integers(0, 200), MACHINES, st.sampled_from(["latency", "energy", "traffic"]))
@settings(max_examples=40, deadline=None)
def test_same_choice_as_the_exhaustive_search(seed, machine, objective):
    workload = random_network(seed)
    goal = Objective(machine, objective)
    for op in workload.ops:
        if op.gemm is not None:
            assert candidates(op, workload, machine, objective) == exhaustive(
                op, workload, machine, goal
            )


@given(st.integers(0, 200), MACHINES)
@settings(max_examples=20, deadline=None)
def test_equal_operators_searched_once_have_candidates_of_their_own_names(seed, machine):
    workload = random_network(seed)
    search = Search(workload, machine, "latency")
    for op in (*workload.ops, *workload.ops):
        assert search.candidates(op) == candidates(op, workload, machine)


def test_products_beyond_64_bits_take_the_exact_way():
    """Long set-ups and awkward rates: the guard sends them to Python's integers."""
    workload = random_network(3)
    operands = array_op(next(op for op in workload.ops if op.gemm is not None), workload)
    plain = edge_npu()
    found = list(nests(operands, plain, Timing(plain), row_sizes(operands)))
    assert fits_int64(found, plain)
    many = [replace(found[0], fills=replace(found[0].fills, weights=2**40))]
    assert not fits_int64(many, plain)
    wide = [replace(found[0], a_bytes=2**58)]
    assert not fits_int64(wide, plain)
    flash = edge_npu(weight_memory=Dram("LPDDR4", 499_999_999))
    awkward = [replace(found[0], b_bytes=2**34)]
    assert fits_int64(awkward, plain)
    assert not fits_int64(awkward, flash)
