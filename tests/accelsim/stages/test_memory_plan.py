"""Plans by objective: what is asked for is what the simulation delivers."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from accelsim.arch.parts import Accelerator, Scratchpad
from accelsim.config.types import ScheduleConfig
from accelsim.cost.energy import energy
from accelsim.errors import InfeasibleError
from accelsim.mapping.objective import OBJECTIVES
from accelsim.plan import MemoryPlan
from accelsim.stages import memory
from accelsim.stages.design import execute
from accelsim.stages.memory import Ranking, plan_memory

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import conv_op, edge_npu, image, resnet20, workload_of

CAPACITIES = (6, 16, 32)


def _schedule(solver: str = "cpsat") -> ScheduleConfig:
    return ScheduleConfig(order="given", solver=solver, effort=5)


def _machine(kib: int) -> Accelerator:
    return edge_npu(scratchpad=Scratchpad(kib * 1024))


@cache
def _planned(kib: int, objective: str) -> tuple[MemoryPlan, int, float]:
    """Plan, simulated cycles and joules."""
    workload, machine = resnet20(), _machine(kib)
    plan = plan_memory(workload, machine, objective=objective, schedule=_schedule())
    trace = execute(workload, machine, plan)
    return plan, trace.cycles, energy(trace.graph, trace.cycles, machine).total_j


@pytest.mark.parametrize("kib", CAPACITIES)
def test_each_objective_wins_at_what_it_asks_for(kib):
    """The plan costs are estimates; contention moves simulated cycles by a few percent, and with
    leakage a little of the energy."""
    found = {name: _planned(kib, name) for name in OBJECTIVES}
    least = min(joules for _, _, joules in found.values())
    assert found["energy"][2] <= least * 1.002
    assert found["energy"][2] <= found["latency"][2]
    fewest = min(cycles for _, cycles, _ in found.values())
    assert found["latency"][1] <= fewest * 1.03
    assert found["traffic"][0].traffic_bytes == min(p.traffic_bytes for p, _, _ in found.values())
    # Of plans with equal traffic a fast one: not several times slower than need be.
    assert found["traffic"][1] <= found["latency"][1] * 1.3
    assert found["energy"][1] <= found["latency"][1] * 1.3


@pytest.mark.parametrize("kib", CAPACITIES)
def test_cost_of_a_traffic_plan_is_its_traffic(kib):
    plan, _, _ = _planned(kib, "traffic")
    assert plan.cost == plan.traffic_bytes
    assert plan.proved == (plan.cost_lower_bound == plan.cost)
    assert plan.status == ("optimal" if plan.proved else "feasible")


def test_cost_of_an_energy_plan_is_its_simulated_energy():
    for kib in CAPACITIES:
        plan, _, joules = _planned(kib, "energy")
        assert plan.cost * 1e-12 == pytest.approx(joules, rel=0.01)


@pytest.mark.parametrize("objective", ["energy", "traffic"])
def test_equal_costs_are_told_apart_by_cycles(objective, monkeypatch):
    """Without leakage both objectives ignore cycles; the second figure must not, at no cost."""
    machine = replace(_machine(8), leakage_mw_per_mm2=Fraction(0))
    parts = [conv_op("a", "x", "t", 8, 12, 24), conv_op("b", "t", "y", 24, 12, 8)]
    workload = workload_of("two", image(8, 12), parts)
    plans = []
    for solvers in (("cpsat",), ()):
        monkeypatch.setattr(memory, "RANKED_SOLVERS", solvers)
        plans.append(plan_memory(workload, machine, objective=objective, schedule=_schedule()))
    ranked, plain = plans
    assert ranked.cost == plain.cost
    assert ranked.proved
    assert plain.proved
    assert _cycles(ranked) <= _cycles(plain)


def _cycles(plan: MemoryPlan) -> int:
    return sum(step.candidate.cycles for step in plan.steps)


def test_ranking_never_trades_cost_for_the_second_figure():
    ranking = Ranking(scale=1000, horizon=500)
    assert ranking.number(3, 499) < ranking.number(4, 0)
    assert ranking.number(3, 100) < ranking.number(3, 400)
    assert Ranking(1, 500).number(3, 499) == 3


def test_a_search_that_finds_nothing_is_reported(monkeypatch):
    import ilp

    monkeypatch.setattr(ilp, "schedule", lambda *_, **__: ilp.Schedule("unknown"), raising=False)
    with pytest.raises(InfeasibleError, match="stopped before"):
        plan_memory(resnet20(), _machine(16), objective="latency", schedule=_schedule())
