"""Executed tile graphs as programs: the simulator finds the times of the log."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.parallel.check import LogError, check_log
from accelsim.parallel.policies import PolicyName
from accelsim.parallel.replay import log_program
from accelsim.parallel.tile_dag import Tile, TileDag
from accelsim.sim.dynamic import DynamicRun, Overheads, drawn_work, run, speeds_of
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.steady import run_program

BARRIERS = (PolicyName.STATIC, PolicyName.DYNAMIC)


@st.composite
def graphs(draw: st.DrawFn) -> list[TileDag]:
    """One graph as one to three cores time it."""
    parents: list[tuple[int, tuple[int, ...]]] = []
    ops = draw(st.integers(1, 5))
    for op in range(ops):
        before = len(parents)
        for _ in range(draw(st.integers(0, 5))):
            some = draw(st.sets(st.integers(0, before - 1), max_size=3)) if before else set()
            parents.append((op, tuple(sorted(some))))
    names = tuple(f"op{op}" for op in range(ops))
    return [
        TileDag(names, tuple(Tile(op, draw(st.integers(1, 9)), mine) for op, mine in parents))
        for _ in range(draw(st.integers(1, 3)))
    ]


def times(dag: TileDag, found: DynamicRun, arrays: frozenset[str]) -> list[tuple[int, int]]:
    barrier = found.overheads.barrier_cycles if found.policy in BARRIERS else None
    program = log_program(
        dag, found.log, len(found.speeds), array_ops=arrays, barrier_cycles=barrier
    )
    flat = unfold(run_program(program))
    assert flat.rows == simulate(expand(program), None, expand_works(program)).rows
    assert flat.cycles == found.cycles
    return [
        (row.start, row.end)
        for task, row in zip(flat.graph.tasks, flat.rows, strict=True)
        if task.resources[0] != "barrier"
    ]


@given(
    own=graphs(),
    policy=st.sampled_from(list(PolicyName)),
    costs=st.builds(
        Overheads,
        jitter=st.sampled_from([0.0, 0.3]),
        node_cycles=st.integers(0, 2),
        barrier_cycles=st.integers(0, 4),
        locality=st.sampled_from([Fraction(0), Fraction(1, 3)]),
    ),
    arrays=st.frozensets(st.sampled_from(["op0", "op1", "op2"])),
)
def test_the_simulator_finds_the_times_of_the_log(
    own: list[TileDag], policy: PolicyName, costs: Overheads, arrays: frozenset[str]
) -> None:
    dag, speeds = own[0], speeds_of(own)
    found = run(dag, speeds, policy, overheads=costs, own=own)
    works = [drawn_work(one, costs.jitter, 0) for one in own]
    check_log(
        dag, found.log, found.work, speeds,
        saved=costs.locality, barriers=policy in BARRIERS, own=works,
    )  # fmt: skip
    assert times(dag, found, arrays) == [(one.start, one.end) for one in found.log]


def test_cores_that_differ_tile_by_tile_by_hand() -> None:
    # a -> b, c on two cores; the second is quick at c only.
    def graph(*work: int) -> TileDag:
        return TileDag(
            ("a", "b", "c"), (Tile(0, work[0]), Tile(1, work[1], (0,)), Tile(2, work[2], (0,)))
        )

    own = [graph(2, 3, 9), graph(4, 6, 5)]
    assert speeds_of(own) == (Fraction(15, 14), Fraction(1))
    found = run(own[0], speeds_of(own), "tiles", own=own)
    assert [(one.tile, one.core, one.start, one.end) for one in found.log] == [
        (0, 0, 0, 2), (1, 0, 2, 5), (2, 1, 2, 7),
    ]  # fmt: skip
    assert found.serial_cycles == 14
    assert found.cycles == 7
    check_log(own[0], found.log, found.work, found.speeds, own=[(2, 3, 9), (4, 6, 5)])
    with pytest.raises(LogError, match="tile 2: 6 of work in 5 cycles"):
        check_log(own[0], found.log, found.work, found.speeds, own=[(2, 3, 9), (4, 6, 6)])


def test_equal_cores_are_a_special_case() -> None:
    dag = TileDag(("a", "b"), (Tile(0, 4), Tile(0, 2), Tile(1, 3, (0, 1)), Tile(1, 3, (1,))))
    for policy in PolicyName:
        assert run(dag, (1, 1), policy) == run(dag, (1, 1), policy, own=[dag, dag])
