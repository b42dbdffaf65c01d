"""Gates: where a program may be cut, and that cutting changes nothing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from simprograms import WORK, bodies, program, programs

from accelsim.program import Block, Command, Node, Program, Repeat
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, unfold
from accelsim.sim.steady import makespan, run_cycles, run_program
from accelsim.sim.steady_gates import gates


def stepped_events(drawn: Program) -> list[tuple[int, ...]]:
    return sorted((e.queue, e.index, e.ready, e.start, e.end) for e in events(drawn, fold=False))


def events(drawn: Program, *, fold: bool):
    return list(run_program(drawn, fold=fold).events())


def barrier(queues: int, cycles: int, *, missing: int = -1) -> tuple[Node, ...]:
    """Commands that everything later has to pass: queue 0 waits for all queues (but the missing
    one), the others for queue 0."""
    others = tuple((queue, 1) for queue in range(1, queues) if queue != missing)
    first = Command(0, cycles, WORK, others)
    return (first, *(Command(queue, cycles, WORK, ((0, 1),)) for queue in range(1, queues)))


@st.composite
def gated(draw: st.DrawFn) -> Program:
    """Random blocks, some behind a barrier, some behind one with a gap, few distinct ones."""
    queues, ports = draw(st.integers(1, 4)), draw(st.integers(0, 2))
    pool = [draw(bodies(range(queues), queues, ports, 2)) for _ in range(draw(st.integers(1, 3)))]
    pool = [_timed(body) for body in pool]
    blocks = []
    for step in range(draw(st.integers(1, 6))):
        body = draw(st.sampled_from(pool))
        kind = draw(st.sampled_from(["gate", "gate", "gap", "open"]))
        if kind != "open":
            missing = draw(st.integers(1, queues)) if kind == "gap" else -1
            body = (*barrier(queues, draw(st.sampled_from([1, 7])), missing=missing), *body)
        blocks.append(Block(f"op{step}", step, body))
    return program(blocks, queues, ports)


def _timed(body: tuple[Node, ...]) -> tuple[Node, ...]:
    """The body with a cycle for every command that had none."""
    return tuple(
        replace(node, cycles=max(1, node.cycles))
        if isinstance(node, Command)
        else Repeat(min(node.count, 6), _timed(node.body))
        for node in body
    )


@given(gated())
@settings(max_examples=150, deadline=None)
def test_cutting_at_gates_changes_no_event(drawn: Program) -> None:
    folded = sorted((e.queue, e.index, e.ready, e.start, e.end) for e in events(drawn, fold=True))
    assert folded == stepped_events(drawn)
    graph = expand(drawn)
    assert unfold(run_program(drawn), graph).rows == simulate(graph).rows
    assert run_cycles(drawn)[0] == makespan(drawn).cycles == run_program(drawn).cycles


@given(st.one_of(gated(), programs()))
@settings(max_examples=150, deadline=None)
def test_nothing_reaches_across_a_gate(drawn: Program) -> None:
    """Seen from the stepped run: what is behind a gate starts after all before it has ended."""
    found = events(drawn, fold=False)
    for position in gates(drawn)[1:]:
        before = drawn.starts[position]
        ended = [e.end for e in found if e.index < before[e.queue]]
        ready = [e.ready for e in found if e.index >= before[e.queue]]
        assert min(ready, default=0) >= max(ended, default=0) or not ready


def test_a_barrier_is_a_gate_and_one_with_a_gap_is_none() -> None:
    work = tuple(Command(queue, 5 + queue, WORK) for queue in range(3))
    closed = (*barrier(3, 2), *work)
    leaky = (*barrier(3, 2, missing=2), *work)
    blocks = [Block("a", 0, work), Block("b", 1, closed), Block("c", 2, leaky)]
    assert gates(program(blocks, 3, 0)) == (0, 1)


def test_what_a_dependency_waited_for_counts() -> None:
    # Queue 1 ends after queue 0, so whoever waits for queue 1 waits for both.
    first = Block("a", 0, (Command(0, 9, WORK), Command(1, 3, WORK, ((0, 1),))))
    second = Block("b", 1, (Command(2, 4, WORK, ((1, 1),)), Command(0, 1, WORK, ((2, 1),)),
                            Command(1, 1, WORK, ((2, 1),))))  # fmt: skip
    assert gates(program([first, second], 3, 0)) == (0, 1)


def test_commands_without_duration_forbid_cuts() -> None:
    work = (Command(0, 5, WORK), Command(1, 0, WORK))
    blocks = [Block("a", 0, work), Block("b", 1, (*barrier(2, 2), *work))]
    assert gates(program(blocks, 2, 0)) == (0,)


def test_equal_stretches_are_stepped_once() -> None:
    body = (*barrier(2, 2), Command(0, 5, WORK), Command(1, 7, WORK, ((0, 1),)))
    odd = (*barrier(2, 3), Command(0, 4, WORK))
    blocks = [Block(f"l{i}", i, odd if i % 3 == 1 else body) for i in range(30)]
    ran = run_program(program(blocks, 2, 0))
    assert ran.steps < 30
    assert ran.program.commands > 100
