"""The fast-forward engine: known answers, the reference engine as slow twin, any size exactly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simprograms import WORK, layer, pipeline, program, programs, recurring

from accelsim.program import Block, Command, Program, Repeat, Work, commands_of
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, expand_works, unfold
from accelsim.sim.folded import FoldedTrace, Recurrence
from accelsim.sim.steady import makespan, run_program
from accelsim.sim.trace import Trace
from accelsim.taskgraph import TaskKind


def same_events(folded: FoldedTrace, stepped: FoldedTrace) -> bool:
    return list(folded.events()) == list(stepped.events()) and folded.cycles == stepped.cycles


@given(programs())
@settings(max_examples=120)
def test_all_three_engines_agree_event_by_event(drawn: Program) -> None:
    folded = run_program(drawn)
    assert same_events(folded, run_program(drawn, fold=False))
    graph = expand(drawn)
    assert unfold(folded, graph).rows == simulate(graph).rows
    assert folded.steps <= drawn.commands


@given(recurring())
@settings(max_examples=200)
def test_loops_met_again_are_replayed_exactly(drawn: Program) -> None:
    assert same_events(run_program(drawn), run_program(drawn, fold=False))


@given(programs(), st.sampled_from([0, 1, 5]))
@settings(max_examples=60)
def test_a_small_table_of_states_costs_steps_and_changes_nothing(drawn: Program, cap: int) -> None:
    capped = run_program(drawn, state_cap=cap)
    assert same_events(capped, run_program(drawn))
    if cap == 0:
        assert capped.steps == drawn.commands


@given(programs())
@settings(max_examples=40)
def test_writing_the_loops_out_changes_nothing(drawn: Program) -> None:
    blocks = tuple(replace(b, body=tuple(commands_of(b.body))) for b in drawn.blocks)
    assert same_events(run_program(replace(drawn, blocks=blocks)), run_program(drawn))


@given(programs())
@settings(max_examples=60)
def test_the_summary_is_that_of_the_trace(drawn: Program) -> None:
    summary, trace = makespan(drawn), unfold(run_program(drawn))
    assert summary.cycles == trace.cycles
    assert summary.queue_busy == tuple(busy(trace, name) for name in drawn.queues)
    assert summary.port_busy == tuple(busy(trace, name) for name in drawn.ports)
    sizes = [sum(block.counts.values()) for block in drawn.blocks]
    for span, size, end in zip(summary.spans, sizes, accumulate(sizes), strict=True):
        rows = trace.rows[end - size : end]
        assert span == (min(row.start for row in rows), max(row.end for row in rows))


def busy(trace: Trace, resource: str) -> int:
    return sum(row.end - row.start for _, row in trace.on(resource))


@given(
    st.integers(1, 10**13),
    st.integers(0, 400),
    st.integers(1, 400),
    st.integers(0, 400),
)
def test_a_double_buffered_pipeline_takes_fill_steady_state_and_drain(
    count: int, load: int, compute: int, store: int
) -> None:
    slowest = max(load, compute, store)
    folded = run_program(pipeline(count, load, compute, store))
    assert folded.cycles == load + compute + store + (count - 1) * slowest
    # Before the steady state a stage may run ahead of the next by as little as one cycle a tile,
    # until the four buffers are full.
    assert folded.steps <= 3 * (4 * slowest + 20)


@given(st.integers(1, 10**13), st.integers(1, 400), st.integers(1, 400))
def test_with_a_single_buffer_load_and_compute_take_turns(count: int, load: int, run: int) -> None:
    assert run_program(pipeline(count, load, run, 0, buffers=1)).cycles == count * (load + run)


def test_the_trace_of_a_pipeline_is_a_start_a_recurrence_and_an_end() -> None:
    folded = run_program(pipeline(10**12, 10, 37, 5))
    recurrences = [item for item in folded.items if isinstance(item, Recurrence)]
    assert len(recurrences) == 1
    assert recurrences[0].cycles == 37
    assert recurrences[0].advance == (1, 1, 1)
    assert folded.cycles == 10 + 37 * 10**12 + 5


def test_cycles_beyond_ten_to_the_fifteen_are_exact() -> None:
    counts = (10**9, 7 * 10**5, 11)
    folded = run_program(program([layer((3, 2, 4), counts)], 3, 1))
    once = [run_program(program([layer((3, 2, 4), (n, 40, 3))], 3, 1)) for n in (50, 60, 70)]
    assert once[1].cycles - once[0].cycles == once[2].cycles - once[1].cycles == 10 * 40 * 3 * 3
    assert folded.cycles > 10**15
    assert folded.steps < 300
    starts = [run_program(program([layer((3, 2, 4), (60, n, 3))], 3, 1)).cycles for n in (40, 41)]
    per_middle = starts[1] - starts[0] + (10**9 - 60) * 3 * 3
    expected = run_program(program([layer((3, 2, 4), (10**9, 40, 3))], 3, 1)).cycles
    wider = run_program(program([layer((3, 2, 4), (10**9, 41, 3))], 3, 1)).cycles
    assert wider - expected == per_middle


def test_a_thousand_times_the_tiles_cost_the_same_steps() -> None:
    for position in range(3):
        counts = [[20, 12, 10] for _ in range(2)]
        counts[1][position] *= 1000
        few, many = (
            run_program(program([layer((11, 20, 13), tuple(c))], 3, 1)).steps  # type: ignore[arg-type]
            for c in counts
        )
        assert many <= 1.2 * few


def test_equal_layers_in_a_row_cost_about_two() -> None:
    part = [layer((11, 20, 13), (36, 12, 8)), layer((7, 9, 30), (50, 4, 6), step=1)]
    three, many = (run_program(program(part * n, 3, 1)) for n in (3, 200))
    assert many.steps <= 1.2 * three.steps
    few = program(part * 4, 3, 1)
    assert same_events(run_program(few), run_program(few, fold=False))


def test_equal_layers_apart_are_remembered() -> None:
    a = layer((11, 20, 13), (36, 12, 8))
    others = [layer((7, 9 + n, 30), (50, 4, 6), step=1 + n) for n in range(8)]
    apart = program([block for other in others for block in (a, other)], 3, 1)
    alone = program(others, 3, 1)
    folded, once = run_program(apart), run_program(program([a], 3, 1))
    assert folded.steps < run_program(alone).steps + 6 * once.steps
    assert same_events(folded, run_program(apart, fold=False))


def test_cores_with_different_loops_on_one_port_repeat_jointly() -> None:
    first = layer((30, 35, 13), (40, 30, 5))
    second = layer((4, 23, 11), (60, 25, 7), base=3, step=1)
    both = program([first, second], 6, 1)
    folded = run_program(both)
    assert same_events(folded, run_program(both, fold=False))
    assert folded.steps < both.commands / 2


def test_a_loop_beside_one_very_long_command_is_not_stepped() -> None:
    tile = (Command(0, 3, WORK, ((1, 2),), (0,)), Command(1, 5, WORK, ((0, 1),)))
    long = Command(2, 10**9, WORK)
    folded = run_program(
        program([Block("long", 0, (long,)), Block("op", 1, (Repeat(10**12, tile),))], 3, 1)
    )
    assert folded.cycles == 3 + 5 * 10**12
    assert folded.steps < 100
    ends = [event for event in _last_items(folded) if event[0] == 2]
    assert ends == [(2, 0, 0, 10**9)]


def _last_items(folded: FoldedTrace) -> list[tuple[int, int, int, int]]:
    return [
        (item.queue, item.index, item.start, item.end)
        for item in folded.items
        if not isinstance(item, Recurrence)
    ]


def test_a_need_met_only_after_the_loop_keeps_its_waiter_waiting() -> None:
    tile = (Command(0, 3, WORK, ((1, 2),)), Command(1, 5, WORK, ((0, 1),)))
    waiter = Command(2, 7, WORK, ((1, 4),))  # of the array's last commands all but three
    folded = run_program(program([Block("op", 0, (Repeat(10**10, tile), waiter))], 3, 0))
    last = [event for event in _last_items(folded) if event[0] == 2]
    assert last == [(2, 0, 3 + 5 * (10**10 - 3), 3 + 5 * (10**10 - 3) + 7)]


def test_loops_of_commands_that_take_no_time_pass_in_no_time() -> None:
    tile = (Command(0, 0, WORK, ((1, 2),), (0,)), Command(1, 0, WORK, ((0, 1),)))
    folded = run_program(program([Block("op", 0, (Repeat(10**12, tile),))], 2, 1))
    assert folded.cycles == 0
    assert folded.steps < 30


def test_an_empty_program_takes_no_time() -> None:
    for blocks in ([], [Block("none", 0, ())]):
        empty = program(blocks, 2, 1)
        assert run_program(empty).cycles == 0
        assert makespan(empty).spans == ((0, 0),) * len(blocks)


@pytest.mark.parametrize(
    "bad",
    [
        Command(0, -1, WORK),
        Command(0, 1.5, WORK),  # type: ignore[arg-type]
        Command(0, 1, WORK, ports=(1, 0)),
        Command(0, 1, WORK, deps=((0, 1),)),
        Command(0, 1, WORK, deps=((1, 0),)),
        Command(0, 1, WORK, deps=((1, 1), (1, 2))),
    ],
)
def test_a_malformed_command_is_refused(bad: Command) -> None:
    with pytest.raises(AssertionError):
        run_program(program([Block("op", 0, (bad,))], 2, 2))


@dataclass
class Pages:
    """A port with an open page: another page costs more, and refresh closes it now and then."""

    page_cost: int
    refresh: int
    port: str = "p0"
    open: int = field(default=-1, init=False)
    since: int = field(default=0, init=False)

    def reset(self) -> None:
        self.open, self.since = -1, 0

    def content(self, work: Work) -> int:
        return work.dram_read_bytes

    def _page(self, now: int) -> int:
        if self.refresh and now // self.refresh != self.since // self.refresh:
            return -1
        return self.open

    def serve(self, work: Work, cycles: int, now: int) -> int:
        hit = self._page(now) == work.dram_read_bytes
        self.open, self.since = work.dram_read_bytes, now
        return cycles + (0 if hit else self.page_cost)

    def signature(self, now: int) -> tuple[int, int]:
        return (self._page(now), now % self.refresh if self.refresh else 0)

    def snapshot(self) -> object:
        return (self.open, self.since)

    def restore(self, saved: object, late: int) -> None:
        assert isinstance(saved, tuple)
        self.open, self.since = saved[0], saved[1] + late


@given(programs(), st.integers(1, 9), st.sampled_from([0, 20, 97]), st.data())
@settings(max_examples=100)
def test_a_port_with_a_state_gives_the_same_times_in_all_engines(
    drawn: Program, page_cost: int, refresh: int, data: st.DataObject
) -> None:
    if not drawn.ports:
        return
    device = Pages(page_cost, refresh)
    folded = run_program(drawn, device=device)
    assert same_events(folded, run_program(drawn, fold=False, device=device))
    works = expand_works(drawn)
    reference = simulate(expand(drawn), device, works)
    unfolded = unfold(folded)
    assert unfolded.rows == reference.rows
    assert unfolded.graph.tasks == reference.graph.tasks


def test_a_port_with_pages_is_still_fast_forwarded() -> None:
    pages = [Work(TaskKind.LOAD_INPUT, dram_read_bytes=n) for n in (64, 128)]
    tile = tuple(Command(0, 10, work, ports=(0,)) for work in (pages[0], pages[0], pages[1]))
    blocks = [Block("op", 0, (Repeat(10**9, tile),))]
    folded = run_program(program(blocks, 1, 1), device=Pages(5, 0))
    assert folded.cycles == 10**9 * 40
    assert folded.steps < 40
    slow = run_program(program(blocks, 1, 1), device=Pages(5, 1000))
    assert 10**9 * 40 <= slow.cycles <= 10**9 * 41  # a refresh costs at most one more page
    assert slow.steps < 2000
