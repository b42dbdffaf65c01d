from __future__ import annotations

import time
from dataclasses import replace
from itertools import count, permutations
from random import Random

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from simgraphs import RESOURCES, graph, pipeline, random_graph, random_graphs, task

from accelsim.sim.arbiter import Arbiter
from accelsim.sim.engine import Engine, simulate
from accelsim.sim.trace import Trace
from accelsim.taskgraph import TaskGraph


def times(trace: Trace) -> list[tuple[int, int, int]]:
    return [(row.ready, row.start, row.end) for row in trace.rows]


def step_through_time(graph: TaskGraph) -> list[tuple[int, int, int]]:
    """The rule once more, by brute force: every cycle, look at everything until nothing moves."""
    n = len(graph.tasks)
    ready: dict[int, int] = {}
    start: dict[int, int] = {}
    end: dict[int, int] = {}
    owner: dict[str, int | None] = dict.fromkeys(graph.resources)
    asking: dict[int, tuple[int, int, str]] = {}  # task -> (since, port, resource)
    held: dict[int, list[str]] = {i: [] for i in range(n)}
    for now in count():
        moved = True
        while moved:
            moved = False
            ending = [i for i in start if i not in end and start[i] + graph.tasks[i].cycles == now]
            for i in ending:
                end[i] = now
                for name in held[i]:
                    owner[name] = None
            for i in range(n):
                if i not in ready and all(dep in end for dep in graph.tasks[i].deps):
                    ready[i] = now
                    moved = True
                    if graph.tasks[i].resources:
                        asking[i] = (now, -1, graph.tasks[i].resources[0])
                    else:
                        start[i] = now
            for rank, name in enumerate(graph.resources):
                queue = [(since, port, i) for i, (since, port, r) in asking.items() if r == name]
                if owner[name] is None and queue:
                    winner = min(queue)[2]
                    moved = True
                    owner[name] = winner
                    held[winner].append(name)
                    del asking[winner]
                    path = graph.tasks[winner].resources
                    if len(held[winner]) < len(path):
                        asking[winner] = (now, rank, path[len(held[winner])])
                    else:
                        start[winner] = now
            moved = moved or bool(ending)
        if len(end) == n:
            return [(ready[i], start[i], end[i]) for i in range(n)]
    raise AssertionError


class ShuffledEnvironment(simpy.Environment):
    """Runs events of equal time and priority in random order instead of order of creation."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = Random(seed)
        self._eid = ((draw.random(), i) for i in count())  # type: ignore[assignment]


def test_empty_graph() -> None:
    assert simulate(graph()).cycles == 0


def test_chain_and_parallel_branches() -> None:
    tasks = [task(0, ("array",), 5), task(1, ("vector",), 3), task(2, ("array",), 2, (0, 1))]
    assert times(simulate(graph(*tasks))) == [(0, 0, 5), (0, 0, 3), (5, 5, 7)]


def test_first_come_first_served_then_task_id() -> None:
    tasks = [
        task(0, ("vector",), 2),
        task(1, ("array",), 4),
        task(2, ("array",), 1, (0,)),  # asks at 2
        task(3, ("array",), 1),  # asks at 0, so it is before task 2
        task(4, ("array",), 1),
    ]
    starts = [row.start for row in simulate(graph(*tasks)).rows]
    assert starts == [0, 0, 6, 4, 5]


def test_port_rank_decides_between_requests_of_one_instant() -> None:
    # Task 0 sits on channel 1, task 1 on channel 0: both ask for DRAM at 0, channel 0 is first.
    tasks = [task(0, ("dma.1", "dram"), 3), task(1, ("dma.0", "dram"), 3), task(2, ("dram",), 3)]
    assert [row.start for row in simulate(graph(*tasks)).rows] == [6, 3, 0]


def test_channel_is_held_while_its_task_waits_for_dram() -> None:
    tasks = [
        task(0, ("dram",), 10),
        task(1, ("dma.0", "dram"), 4),
        task(2, ("dma.0",), 1, ()),  # waits for task 1, although the channel moves nothing yet
    ]
    assert times(simulate(graph(*tasks))) == [(0, 0, 10), (0, 10, 14), (0, 14, 15)]


def test_zero_cycle_tasks_end_within_the_instant() -> None:
    tasks = [
        task(0, ("array",), 4),
        task(1, ("array",), 0, (0,)),
        task(2, (), 0, (1,)),
        task(3, ("array",), 2, (2,)),
    ]
    assert times(simulate(graph(*tasks))) == [(0, 0, 4), (4, 4, 4), (4, 4, 4), (4, 4, 6)]


def test_ends_come_before_grants_of_the_same_instant() -> None:
    # Tasks 0 and 1 end at 3; task 3 (through task 1) asks at 3 and must be seen together with 2.
    tasks = [
        task(0, ("dma.0", "dram"), 3),
        task(1, ("vector",), 3),
        task(2, ("dma.1", "dram"), 2, (1,)),
        task(3, ("dma.0", "dram"), 2, (1,)),
    ]
    assert [row.start for row in simulate(graph(*tasks)).rows] == [0, 0, 5, 3]


def test_pipeline_is_bound_by_its_slowest_stage() -> None:
    trace = simulate(pipeline(50, load=7, compute=11, store=1))
    assert trace.cycles == 7 + 50 * 11 + 2 + 1
    trace = simulate(pipeline(50, load=20, compute=11, store=1))  # store waits behind one load
    assert 50 * 21 <= trace.cycles <= 50 * 21 + 40


@settings(max_examples=300, deadline=None)
@given(random_graphs())
def test_agrees_with_brute_force(graph: TaskGraph) -> None:
    assert times(simulate(graph)) == step_through_time(graph)


@settings(max_examples=150, deadline=None)
@given(random_graphs(), st.integers(0, 2**32))
def test_order_of_creation_and_of_callbacks_changes_nothing(graph: TaskGraph, seed: int) -> None:
    order = list(range(len(graph.tasks)))
    Random(seed).shuffle(order)
    env = ShuffledEnvironment(seed)
    engine = Engine(env, graph, order)
    env.run()
    assert engine.trace() == simulate(graph)


def test_every_creation_order_of_a_contended_instant() -> None:
    tasks = [task(i, (f"dma.{i % 2}", "dram"), 1 + i) for i in range(5)]
    contended = graph(*tasks)
    expected = simulate(contended)
    for order in permutations(range(5)):
        env = simpy.Environment()
        engine = Engine(env, contended, order)
        env.run()
        assert engine.trace() == expected


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (task(0, ("dram", "dma.0"), 1), "rank order"),
        (task(0, ("dram", "dram"), 1), "rank order"),
        (task(0, ("noc",), 1), "unknown resource"),
        (task(0, ("array",), 1, (0,)), "earlier"),
        (task(0, ("array",), -1), "non-negative"),
        (replace(task(0, ("array",), 1), cycles=1.5), "non-negative"),  # type: ignore[arg-type]
        (task(1, ("array",), 1), "its id is 1"),
    ],
)
def test_malformed_graphs_are_refused(broken: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        simulate(graph(broken))  # type: ignore[arg-type]


def test_repeated_resource_names_are_refused() -> None:
    with pytest.raises(AssertionError, match="repeat"):
        simulate(graph(resources=("dram", "dram")))


def test_unfinished_engine_has_no_trace() -> None:
    engine = Engine(simpy.Environment(), graph(task(0, ("array",), 1)))
    with pytest.raises(AssertionError, match="never ended"):
        engine.trace()


def test_engine_starts_at_the_time_of_its_environment() -> None:
    env = simpy.Environment(initial_time=100)
    engine = Engine(env, graph(task(0, ("array",), 3)))
    env.run()
    assert times(engine.trace()) == [(100, 100, 103)]


def test_arbiter_grants_cascade_in_one_settle() -> None:
    arbiter = Arbiter([(0, 1, 2), (1,), ()], 3)
    for t in (0, 1, 2):
        arbiter.arrive(t, 5)
    # Task 1 asks for resource 1 directly, task 0 through resource 0: direct requests come first.
    assert arbiter.settle(5) == [2, 1]
    arbiter.leave(1)
    assert arbiter.settle(9) == [0]


def test_runs_a_large_graph_quickly() -> None:
    big = pipeline(10_000)
    began = time.perf_counter()
    simulate(big)
    elapsed = time.perf_counter() - began
    assert len(big.tasks) / elapsed > 10_000, "an order of magnitude below what it should do"


def test_random_graphs_use_all_resources() -> None:
    used = {name for t in random_graph(1, 60).tasks for name in t.resources}
    assert used == set(RESOURCES)
