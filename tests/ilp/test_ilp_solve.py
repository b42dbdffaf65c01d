"""The solver-neutral program and its backends on their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ilp_graphs import SIAMESE, graph, resnet20

import ilp
from accelsim.errors import AccelsimError
from ilp.constraints import build_program
from ilp.cuts import give_hint, read_plan
from ilp.facts import find_facts
from ilp.greedy import greedy_plan
from ilp.model import Model
from ilp.solve import BACKENDS, solve


def knapsack(values, weights, limit, least=0):
    """Choose items within ``limit``; the objective is the value left behind."""
    model = Model()
    items = [model.variable(f"i{n}") for n in range(len(values))]
    model.add([(w, i) for w, i in zip(weights, items, strict=True)], upper=limit)
    model.add([(1, i) for i in items], lower=least)
    model.constant = sum(values)
    for value, item in zip(values, items, strict=True):
        model.charge(-value, item)
    return model


@pytest.mark.parametrize("solver", BACKENDS)
def test_known_knapsack(solver):
    answer = solve(knapsack([60, 100, 120], [10, 20, 30], 50), solver, 5.0, 0)
    assert (answer.status, answer.values, answer.bound) == ("optimal", (0, 1, 1), 60)


@pytest.mark.parametrize("solver", BACKENDS)
def test_proved_infeasible(solver):
    answer = solve(knapsack([1, 1, 1], [2, 2, 2], 3, least=2), solver, 5.0, 0)
    assert answer.status == "infeasible"


@pytest.mark.parametrize("solver", BACKENDS)
def test_a_limit_is_not_infeasible(solver):
    # The program has solutions, but the limit leaves no time for one; CBC's wrapper would call
    # that infeasible.
    facts = find_facts(resnet20(24576, variants=2))
    answer = solve(build_program(facts, 24576).model, solver, 1e-9, 0)
    assert answer.status != "infeasible"


def test_rows_merge_terms_and_drop_what_always_holds():
    model = Model()
    x, y = model.variable("x"), model.variable("y")
    model.add([(1, x), (1, x), (0, y)], upper=2)
    assert model.rows == []
    model.add([(1, x), (1, x), (-1, y)], upper=1)
    assert model.rows[0].terms == ((2, x), (-1, y))
    assert model.holds((1, 1))
    assert not model.holds((1, 0))


def test_a_plan_survives_the_trip_through_the_program():
    facts = find_facts(graph(*SIAMESE, 11))
    program = build_program(facts, 11)
    plan = greedy_plan(facts, 11)
    give_hint(program, plan)
    values = [program.model.hint[v] for v in range(len(program.model.names))]
    assert program.model.holds(values)
    assert program.model.value(values) == plan.cost
    assert read_plan(program, values) == plan


def test_dominated_modes_are_left_out_and_equal_ones_kept_once():
    modes = (
        ilp.Mode("a", 8, 2, 5),
        ilp.Mode("worse", 8, 3, 5),
        ilp.Mode("same", 8, 2, 5),
        ilp.Mode("cheap", 9, 0, 1),
        ilp.Mode("streams", 8, 2, 5, frozenset("x")),
    )
    problem = ilp.Problem({"x": 4, "y": 4}, (ilp.Op(0, ("x",), ("y",), modes),), ("x",), (), 64)
    names = [choice.name for choice in find_facts(problem).choices[0]]
    assert names == ["a", "cheap", "streams"]


def test_unknown_solver():
    with pytest.raises(AccelsimError):
        solve(Model(), "scip", 1.0, 0)


def test_importing_the_package_loads_no_solver():
    code = (
        "import sys, ilp; ilp.Problem; heavy = {'ortools', 'pulp', 'scipy', 'numpy', 'networkx'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_resolve_and_keep_their_meaning():
    assert all(hasattr(ilp, name) for name in ilp.__all__)
    assert callable(ilp.schedule)
    assert callable(ilp.place)
    with pytest.raises(AttributeError):
        _ = ilp.nonsense
