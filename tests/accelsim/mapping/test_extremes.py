"""Machines at the edge of what is possible: sums that hardly fit, costs beyond 64 bits of a sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import accelsim
from accelsim.arch.parts import Accelerator
from accelsim.config.types import ScheduleConfig
from accelsim.design_point import evaluate
from accelsim.errors import AccelsimError, InfeasibleError
from accelsim.mapping.objective import Objective
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.rules import RULES
from accelsim.stages.memory import COUNTED, Ranking, plan_memory
from accelsim.workload.graph import Workload

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 8, 8]}
layers:
  - {name: c1, kind: conv, filters: 32, kernel: 3, pad: same}
  - {name: c2, kind: conv, filters: 8, kernel: 1}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, bare_machine: str) -> Path:
    path = tmp_path_factory.mktemp("machine") / "machine.yaml"
    path.write_text(bare_machine)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    path = tmp_path_factory.mktemp("network") / "net.yaml"
    path.write_text(NETWORK)
    return accelsim.read_network(path)


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("sums", [1, 2, 3, 15, 16, 17, 100])
def test_tiles_of_a_rule_fit_half_of_the_accumulators(
    machine: Path, network: Workload, dataflow: str, rule: str, sums: int
) -> None:
    overrides = {"array.dataflow": dataflow, "accumulators.size": 2 * 4 * sums}
    plan = quick_plan(network, accelsim.load_accelerator(machine, overrides), rule)
    for step, op in zip(plan.steps, network.ops, strict=True):
        assert op.gemm is not None
        tiling = step.candidate.tiling
        assert min(tiling.m, op.gemm.m) * min(tiling.n, op.gemm.n) <= sums


def test_accumulators_without_room_for_a_sum_are_infeasible(
    machine: Path, network: Workload
) -> None:
    """A file is refused before; a machine made by a program gets here."""
    whole = accelsim.load_accelerator(machine)
    tiny = replace(whole, accumulators=replace(whole.accumulators, bytes=7))
    with pytest.raises(InfeasibleError, match="accumulators of at least 8 bytes"):
        evaluate(network, tiny)


@pytest.mark.parametrize("rule", [None, [], {}, 5, "", "folds"])
def test_a_rule_is_one_of_the_known_names(machine: Path, network: Workload, rule: object) -> None:
    with pytest.raises(AccelsimError, match="M302 unknown mapping rule"):
        evaluate(network, accelsim.load_accelerator(machine), rule=rule)  # type: ignore[arg-type]


def slow(machine: Path) -> Accelerator:
    """A byte of DRAM traffic takes 10^12 cycles."""
    leaky = {"energy.leakage_mw_per_mm2": 5000}
    return accelsim.load_accelerator(machine, {"clock": "1 THz", "dram.bandwidth": 1, **leaky})


def test_cycles_beyond_10_to_15_are_exact(machine: Path, network: Workload) -> None:
    found = evaluate(network, slow(machine))
    least = found.dram_bytes * 10**12
    assert least > 10**15
    assert least <= found.cycles < least + 10**6, "on chip, all of it takes some thousand cycles"


@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_costs_beyond_what_the_solver_counts_are_compared_in_steps(
    machine: Path, network: Workload, objective: str
) -> None:
    schedule = ScheduleConfig(order="free", solver="cpsat", effort=2.0)
    plan = plan_memory(network, slow(machine), objective=objective, schedule=schedule)
    least = 16 * 8 * 8 + 16 * 32 * 9 + 32 * 8 + 8 * 8 * 8  # input, weights, output: once each
    assert plan.traffic_bytes == least, "any other plan is 10^12 cycles per byte slower"
    assert plan.cost > COUNTED
    assert plan.cost_lower_bound <= plan.cost
    if objective == "latency":
        assert any("compared in steps" in note for note in plan.notes)
        assert plan.cost - plan.cost_lower_bound < plan.cost // 100


def test_costs_beyond_64_bits_stay_large(machine: Path, network: Workload) -> None:
    """A cost that wrapped around would look like the best of all."""
    leaky = accelsim.load_accelerator(
        machine, {"clock": "1 THz", "energy.leakage_mw_per_mm2": 10**9}
    )
    goal = Objective(leaky, "energy")
    cycles = np.array([1, 10**6, 10**15, 10**18])
    none = np.zeros_like(cycles)
    costs = goal.column_costs(cycles, none, none, none, none, none, none, network.ops[0])
    assert (np.diff(costs) >= 0).all()
    assert costs[0] > 0


@given(
    st.lists(st.integers(0, 2**70), min_size=1, max_size=20),
    st.integers(1, 2**40),
)
def test_a_bound_in_steps_is_a_bound(costs: list[int], step: int) -> None:
    ranking = Ranking(1, 1, step=step)
    solved = sum(ranking.number(cost, 5) for cost in costs)
    assert ranking.bound(solved) <= sum(costs)
    assert sum(costs) - ranking.bound(solved) < step * len(costs)
