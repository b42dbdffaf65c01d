"""All loop nests at once choose what building every candidate one by one chooses."""

from __future__ import annotations

from fractions import Fraction

from hardware_samples import edge_npu, random_network
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Compression, Dma, Dram, Scratchpad, SystolicArray
from accelsim.mapping import Objective, Search, candidates
from accelsim.mapping.search import exhaustive

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
    ),
    accumulators=st.sampled_from([AccumulatorSram(2_048), AccumulatorSram(65_536)]),
    dram=st.sampled_from([Dram("LPDDR4", 3_200_000_000, 50), Dram("DDR4", 333_333_333, 7)]),
    dma=st.builds(Dma, st.integers(1, 4), st.just(16)),
    weight_memory=st.sampled_from([None, Dram("LPDDR4", 500_000_000, 90)]),
    compression=st.sampled_from([None, Compression(Fraction(2, 3), 3)]),
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
