"""The laws on folded traces: every run obeys them, and every seeded fault breaks one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simprograms import WORK, layer, pipeline, program, programs

from accelsim.errors import AccelsimError
from accelsim.program import Block, Command, Program, Repeat, Work
from accelsim.sim.check import TraceError, check_trace
from accelsim.sim.check_folded import Rates, check_folded
from accelsim.sim.ends import Ends
from accelsim.sim.expand import unfold
from accelsim.sim.folded import Event, FoldedTrace, Item, Recurrence
from accelsim.sim.steady import run_program
from accelsim.taskgraph import TaskKind

RATES = Rates({"dram": Fraction(4)}, pes=8, lanes=2, scratchpad=16, accumulators=32)


def violations(trace: FoldedTrace, rates: Rates = RATES) -> tuple[str, ...]:
    try:
        check_folded(trace, rates)
    except TraceError as error:
        return error.violations
    return ()


@given(programs())
@settings(max_examples=150)
def test_every_run_obeys_the_laws(drawn: Program) -> None:
    check_folded(run_program(drawn), RATES)
    check_folded(run_program(drawn, fold=False), RATES)


@given(programs(), st.data())
@settings(max_examples=120)
def test_the_flat_checks_find_no_fault_that_is_missed_here(
    drawn: Program, data: st.DataObject
) -> None:
    """One number anywhere in a folded trace is changed; whatever the flat laws object to on the
    trace written out, the folded ones object to as well."""
    trace = run_program(drawn)
    broken = replace(trace, items=_mutated(trace.items, data))
    try:
        flat = unfold(broken)
        tasks = zip(flat.graph.tasks, unfold(trace).graph.tasks, strict=True)
        kept = tuple(replace(task, cycles=stated.cycles) for task, stated in tasks)
        check_trace(
            replace(flat, graph=replace(flat.graph, tasks=kept)),
            pes=1,
            dram_bytes_per_cycle=Fraction(1),
        )
    except TraceError:
        assert violations(broken)
    except (AssertionError, IndexError, AccelsimError):
        assert violations(broken)  # it cannot even be written out


def _mutated(items: tuple[Item, ...], data: st.DataObject) -> tuple[Item, ...]:
    at = data.draw(st.integers(0, len(items) - 1))
    item, more = items[at], data.draw(st.sampled_from([-7, -1, 1, 2, 50]))
    new: Item
    if isinstance(item, Recurrence) and data.draw(st.booleans()):
        new = replace(item, items=_mutated(item.items, data))
    elif isinstance(item, Recurrence):
        field = data.draw(st.sampled_from(["count", "cycles"]))
        new = replace(item, **{field: max(1, getattr(item, field) + more)})
    else:
        field = data.draw(st.sampled_from(["ready", "start", "end", "index"]))
        new = replace(item, **{field: getattr(item, field) + more})
    return (*items[:at], new, *items[at + 1 :])


def test_ten_to_the_twelve_tiles_are_checked_at_once() -> None:
    check_folded(run_program(pipeline(10**12, 10, 37, 5)), RATES)
    check_folded(run_program(program([layer((3, 2, 4), (10**9, 7 * 10**5, 11))], 3, 1)), RATES)


def test_a_loop_beside_one_very_long_command_is_checked_at_once() -> None:
    tile = (Command(0, 3, WORK, ((1, 2),), (0,)), Command(1, 5, WORK, ((0, 1),)))
    waiter = Command(3, 7, WORK, ((1, 4),))
    blocks = [
        Block("long", 0, (Command(2, 10**9, WORK),)),
        Block("op", 1, (Repeat(10**12, tile), waiter)),
    ]
    check_folded(run_program(program(blocks, 4, 1)), RATES)


def test_one_wrong_turn_among_ten_to_the_twelve_is_found() -> None:
    trace = run_program(pipeline(10**12, 10, 37, 5))
    (at,) = [n for n, item in enumerate(trace.items) if isinstance(item, Recurrence)]
    loop = trace.items[at]
    assert isinstance(loop, Recurrence)
    for fault in (replace(loop, count=loop.count - 1), replace(loop, cycles=36)):
        assert violations(replace(trace, items=(*trace.items[:at], fault, *trace.items[at + 1 :])))


def _events(trace: FoldedTrace, change: Callable[[Event], Event]) -> FoldedTrace:
    changed = [change(item) if isinstance(item, Event) else item for item in trace.items]
    return replace(trace, items=tuple(changed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: replace(e, end=e.end + 1), "lasts 6 cycles instead of 5"),
        (lambda e: replace(e, ready=e.ready - 1), "but what it waits for ends at"),
        (lambda e: replace(e, start=e.start + 1, end=e.end + 1), "nothing it needs was given back"),
        (lambda e: replace(e, index=e.index + 1), "q1 executes commands [1, 2) of 1"),
        (lambda e: replace(e, ready=e.start + 1), "do not ascend"),
    ],
)
def test_each_law_names_its_breach(change: Callable[[Event], Event], words: str) -> None:
    tile = (Command(0, 3, WORK, (), (0,)), Command(1, 5, WORK, ((0, 1),), (0,)))
    trace = run_program(program([Block("op", 0, tile)], 2, 1))
    broken = _events(trace, lambda e: change(e) if e.queue == 1 else e)
    assert any(words in violation for violation in violations(broken))


def test_two_commands_on_one_port_at_once_are_found() -> None:
    commands = (Command(0, 30, WORK, (), (0,)), Command(1, 5, WORK, (), (0,)))
    trace = run_program(program([Block("op", 0, commands)], 2, 1))
    early = _events(trace, lambda e: replace(e, start=0, end=5) if e.queue == 1 else e)
    assert any("p0 is held until 30" in violation for violation in violations(early))


def test_a_missing_command_and_a_wrong_makespan_are_found() -> None:
    trace = run_program(pipeline(3, 1, 2, 3))
    assert "q2 executes commands [0, 2) of 3" in violations(replace(trace, items=trace.items[:-1]))
    assert violations(replace(trace, cycles=trace.cycles + 1)) == (
        f"the makespan is {trace.cycles}, not {trace.cycles + 1}",
    )


@pytest.mark.parametrize(
    ("queue", "work", "words"),
    [
        ("dma", {"dram_read_bytes": 41}, "moves 41 bytes through dram in 10 cycles"),
        ("array", {"macs": 81}, "81 operations in 10 cycles on 8 units"),
        ("vector", {"macs": 8}, "8 operations on vector instead of array"),
        ("core1.vector", {"vector_ops": 21}, "21 operations in 10 cycles on 2 units"),
        ("dma", {"sram_read_bytes": 100, "sram_write_bytes": 61}, "161 scratchpad bytes"),
        ("dma", {"accumulator_write_bytes": 321}, "321 accumulator bytes"),
    ],
)
def test_nothing_is_faster_than_it_can_be(queue: str, work: dict[str, int], words: str) -> None:
    command = Command(0, 10, Work(TaskKind.ARRAY, **work), (), (0,))
    drawn = Program((queue,), ("dram",), (Block("op", 0, (Repeat(10**9, (command,)),)),))
    (violation,) = violations(run_program(drawn))
    assert words in violation
    slower = replace(command, cycles=11)
    drawn = replace(drawn, blocks=(Block("op", 0, (Repeat(10**9, (slower,)),)),))
    assert bool(violations(run_program(drawn))) == (queue == "vector")


def test_bytes_need_a_memory_to_come_from() -> None:
    command = Command(0, 10, Work(TaskKind.LOAD_INPUT, dram_read_bytes=1))
    trace = run_program(program([Block("op", 0, (command,))], 1, 0))
    assert "without the port of a backing memory" in violations(trace)[0]


def test_only_a_varying_port_may_take_longer() -> None:
    trace = run_program(
        Program(("q0",), ("dram",), (Block("op", 0, (Command(0, 5, WORK, (), (0,)),)),))
    )
    longer = replace(_events(trace, lambda e: replace(e, end=9)), cycles=9)
    assert violations(longer) == ("q0 command 0 lasts 9 cycles instead of 5",)
    assert violations(longer, replace(RATES, varying=("dram",))) == ()


@given(programs())
@settings(max_examples=60)
def test_ends_are_found_by_queue_and_index(drawn: Program) -> None:
    trace = run_program(drawn)
    ends = Ends(trace)
    for event in trace.events():
        assert ends.of(event.queue, event.index) == event.end
    for queue, total in enumerate(drawn.starts[-1]):
        for index in (-1, total):
            with pytest.raises(AssertionError, match="never ran"):
                ends.of(queue, index)
