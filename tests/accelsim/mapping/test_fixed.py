"""Fixed mappings: obeyed to the letter, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hardware_samples import edge_npu, one_conv, random_network, resnet20
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import AccumulatorSram, Scratchpad
from accelsim.errors import AccelsimError, Location
from accelsim.mapping import Objective, candidates
from accelsim.mapping.fixed import (
    FixedMapping,
    fixed_candidates,
    fixed_for,
    require_matches,
    require_obeyable,
)

HERE = Location("run.yaml", 7, 3)


@given(st.integers(0, 100), st.data())
@settings(max_examples=40, deadline=None)
def test_a_mapping_that_the_search_found_is_reproduced_exactly(seed, data):
    workload, machine = random_network(seed), edge_npu()
    op = data.draw(st.sampled_from([op for op in workload.ops if op.gemm is not None]))
    wanted = data.draw(st.sampled_from(candidates(op, workload, machine)))
    tiling = wanted.tiling
    fixed = FixedMapping(
        op.name, tiling.m, tiling.n, tiling.k, tiling.order, tuple(sorted(wanted.streamed))
    )
    found = fixed_candidates(op, fixed, workload, machine, "latency")
    assert all(c.tiling == tiling and c.streamed == wanted.streamed for c in found)
    same = replace(wanted, name="")
    assert any(replace(c, name="") == same for c in found)


def test_what_is_left_open_is_searched():
    workload, machine = one_conv(), edge_npu()
    op = workload.ops[0]
    found = fixed_candidates(op, FixedMapping(op.name, n=16), workload, machine, "latency")
    assert {c.tiling.n for c in found} == {16}
    assert len({c.streamed for c in found}) == 4
    best = min(c.cycles for c in found)
    assert best >= min(c.cycles for c in candidates(op, workload, machine))


@pytest.mark.parametrize("kib", [2, 3, 8])
def test_what_is_left_open_fits_the_scratchpad_as_in_a_search(kib):
    workload, machine = one_conv(c_in=32), edge_npu(scratchpad=Scratchpad(kib * 1024))
    op = workload.ops[0]
    goal = Objective(machine, "latency")
    open_ = fixed_candidates(op, FixedMapping(op.name), workload, machine, "latency")
    best = min(goal.merit(c) for c in candidates(op, workload, machine))
    assert min(goal.merit(c) for c in open_) <= best
    assert all(c.buffer_bytes <= kib * 1024 for c in open_)


def test_inputs_and_output_are_names_for_the_operators_own_tensors():
    workload, machine = one_conv(), edge_npu()
    op = workload.ops[0]
    fixed = FixedMapping(op.name, stream=("inputs", "output"))
    found = fixed_candidates(op, fixed, workload, machine, "latency")
    assert {c.streamed for c in found} == {frozenset((*op.inputs, op.output))}


def test_everything_wrong_is_said_at_once_with_its_position():
    workload, machine = one_conv(), edge_npu()
    op = workload.ops[0]
    fixed = FixedMapping(op.name, m=10**9, k=10**9, stream=("nonsense",), location=HERE)
    with pytest.raises(AccelsimError) as caught:
        fixed_candidates(op, fixed, workload, machine, "latency")
    said = [(m.code, m.location) for m in caught.value.mistakes]
    assert said == [("M340", HERE)] * 3
    text = str(caught.value)
    assert "m must be between 1 and" in text
    assert "k must be between 1 and" in text
    assert "'nonsense'" in text


def test_sums_that_do_not_fit_are_refused_not_shrunk():
    workload = one_conv()
    machine = edge_npu(accumulators=AccumulatorSram(1024))
    op = workload.ops[0]
    assert op.window is not None
    fixed = FixedMapping(op.name, m=op.window.out_width * 4, n=16)
    with pytest.raises(AccelsimError, match="accumulators"):
        fixed_candidates(op, fixed, workload, machine, "latency")


def test_pixel_tiles_are_whole_rows_or_a_part_of_one():
    workload, machine = one_conv(), edge_npu()
    op = workload.ops[0]
    assert op.window is not None
    fixed = FixedMapping(op.name, m=op.window.out_width + 1, n=16)
    with pytest.raises(AccelsimError, match="whole output rows"):
        fixed_candidates(op, fixed, workload, machine, "latency")


def test_the_last_match_wins_and_unknown_names_are_refused():
    workload = resnet20()
    op = workload.ops[0]
    entries = (FixedMapping("*", n=8), FixedMapping(op.name, n=16))
    assert fixed_for(op, entries) == entries[1]
    assert fixed_for(workload.ops[1], entries) == entries[0]
    require_matches(entries, workload)
    with pytest.raises(AccelsimError, match="no operator is called 'convv9'"):
        require_matches((FixedMapping("convv9", location=HERE),), workload)


def test_a_check_before_the_run_says_all_of_it():
    workload, machine = resnet20(), edge_npu()
    op = next(op for op in workload.ops if op.gemm is not None)
    entries = (FixedMapping("nobody"), FixedMapping(op.name, k=10**6), FixedMapping("*", n=10**6))
    with pytest.raises(AccelsimError) as caught:
        require_obeyable(entries[:2], workload, machine)
    assert [m.code for m in caught.value.mistakes] == ["M341", "M340"]
    with pytest.raises(AccelsimError) as caught:
        require_obeyable(entries[2:], workload, machine)
    assert len(caught.value.mistakes) == len(workload.ops)
