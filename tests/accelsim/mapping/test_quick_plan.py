"""Plans by rule: legal, conserving, and honest about not being optimal."""

from __future__ import annotations

import pytest
from hardware_samples import edge_npu, random_network, resnet20
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad
from accelsim.design_point import evaluate
from accelsim.errors import AccelsimError, InfeasibleError
from accelsim.lower import plan_traffic
from accelsim.mapping.quick_plan import quick_plan
from accelsim.stages.design import execute

RULES = ("fold", "layer")


@given(st.integers(0, 100), st.sampled_from(RULES), st.sampled_from([20_000, 60_000, 400_000]))
@settings(max_examples=25, deadline=None)
def test_a_plan_by_rule_passes_every_check_of_a_simulated_run(seed, rule, capacity):
    workload, machine = random_network(seed), edge_npu(scratchpad=Scratchpad(capacity))
    try:
        plan = quick_plan(workload, machine, rule)
    except InfeasibleError:
        return
    trace = execute(workload, machine, plan)  # conservation and placement are checked inside
    assert plan.traffic_bytes == sum(plan_traffic(workload, plan))
    assert plan.lower_bound_bytes <= plan.peak_bytes <= capacity
    assert not plan.proved
    assert evaluate(workload, machine, rule=rule).cycles == trace.cycles


def test_resident_activations_save_traffic():
    large = quick_plan(resnet20(), edge_npu(scratchpad=Scratchpad(400_000)), "layer")
    small = quick_plan(resnet20(), edge_npu(scratchpad=Scratchpad(50_000)), "layer")
    assert large.traffic_bytes < small.traffic_bytes


def test_fold_holds_one_fold_of_the_array_per_tile():
    plan = quick_plan(resnet20(), edge_npu(), "fold")
    tilings = [s.candidate.tiling for s in plan.steps if s.candidate.macs]
    assert all(t.n <= 16 and t.k <= 16 for t in tilings)


def test_too_small_a_scratchpad_says_what_would_fit():
    with pytest.raises(InfeasibleError) as caught:
        quick_plan(resnet20(), edge_npu(scratchpad=Scratchpad(256)), "layer")
    needed = caught.value.infeasibility.demand
    assert quick_plan(resnet20(), edge_npu(scratchpad=Scratchpad(needed * 1024)), "layer").steps


def test_an_unknown_rule_is_refused():
    with pytest.raises(AccelsimError, match="unknown mapping rule 'layr'"):
        quick_plan(resnet20(), edge_npu(), "layr")
