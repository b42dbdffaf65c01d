"""Perfetto and chart of runs that are too long to be written out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accelsim.program import Block, Buffer, Command, Program, Repeat, Touch, Work
from accelsim.report.charts.timeline import CAP, WRITTEN, bars, folded, joined, timeline
from accelsim.report.perfetto import perfetto_json
from accelsim.sim.expand import unfold
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.layers import busy_of
from accelsim.sim.steady import run_program
from accelsim.taskgraph import TaskKind

CLOCK = 500_000_000


def tiled(tiles: int, ops: int = 3) -> FoldedTrace:
    """Operators of ``tiles`` double-buffered tiles each; a name needs escaping."""
    blocks = []
    for n in range(ops):
        op = f'op"{n}</script>'
        buffers = (Buffer("scratchpad", "weight", "w", op, (0, 64)),)
        load = Work(TaskKind.LOAD_WEIGHT, writes=(Touch(0, 32, fresh=True),), dram_read_bytes=32)
        run = Work(TaskKind.ARRAY, reads=(Touch(0, 32),), macs=9)
        tile = (Command(0, 8, load, ((1, 2),), (0,)), Command(1, 10 + n, run, ((0, 1),)))
        blocks.append(Block(op, n, (Repeat(tiles, tile),), buffers))
    return run_program(Program(("dma.0", "array"), ("dram",), tuple(blocks)))


def events(trace: FoldedTrace, cap: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    document = json.loads(perfetto_json(trace, CLOCK, cap))
    return document["traceEvents"], document["otherData"]


def test_a_short_folded_trace_is_drawn_like_the_one_written_out() -> None:
    trace = tiled(20)
    assert perfetto_json(trace, CLOCK) == perfetto_json(unfold(trace), CLOCK)


@pytest.mark.parametrize("cap", [10**5, 200, 20, 5])
def test_ten_to_the_nine_tiles_are_drawn_within_the_cap(cap: int) -> None:
    trace = tiled(10**9)
    found, about = events(trace, cap)
    slices = [event for event in found if event["ph"] == "X"]
    counters = [event for event in found if event["ph"] == "C"]
    assert len(slices) + len(counters) <= max(cap, 3 + 1)
    assert about["tasks"] == 6 * 10**9
    for thread, (_, busy) in enumerate(busy_of(trace).items()):
        assert sum(e["args"]["busy_cycles"] for e in slices if e["tid"] == thread) == busy
    dram = [e for e in slices if e["tid"] == 2]
    assert sum(e["args"]["dram_bytes"] for e in dram) == 3 * 32 * 10**9
    assert perfetto_json(tiled(10**9), CLOCK, cap) == perfetto_json(trace, CLOCK, cap)


def test_further_turns_are_one_slice_that_says_how_many() -> None:
    found, about = events(tiled(10**9), 1000)
    assert "all turns of a recurrence but the first are one slice" in about["folded"]
    turns = [e for e in found if e["ph"] == "X" and e["name"].endswith(" turns")]
    assert turns
    for event in turns:
        assert f" x {event['args']['tasks']} turns" in event["name"]
        assert "waited_cycles" not in event["args"]


def test_bandwidth_is_bytes_over_time() -> None:
    """In steady state a tile of 32 bytes takes as long as its computation, 10 cycles of 2 ns."""
    found, _ = events(tiled(10**9, ops=1), 1000)
    rates = [e["args"]["bytes per second"] for e in found if e["name"] == "dram bandwidth"]
    assert max(rates) == 32 * CLOCK // 8  # the first tile alone
    assert any(rate == pytest.approx(32 * CLOCK / 10, rel=1e-6) for rate in rates)
    assert rates[-1] == 0


def test_written_out_bandwidth_is_that_of_every_transfer() -> None:
    found, _ = events(tiled(20, ops=1), 10**4)
    rates = {e["args"]["bytes per second"] for e in found if e["name"] == "dram bandwidth"}
    assert rates == {0, 32 * CLOCK // 8}


def test_the_chart_draws_any_number_of_tiles_with_few_bars() -> None:
    trace = tiled(10**9)
    assert trace.program.commands > WRITTEN
    found, _ = folded(trace)
    assert 6 <= len(found) <= CAP
    busy = busy_of(trace)
    assert {n: sum(b.busy for b in found if b.resource == n) for n in busy} == busy
    assert sum(b.moved for b in found if b.resource == "dram") == 3 * 32 * 10**9
    chart = timeline("x", trace, busy)
    assert json.dumps(chart.figure)


def test_the_chart_of_a_short_trace_is_that_of_the_one_written_out() -> None:
    trace = tiled(20)
    flat = unfold(trace)
    assert timeline("x", trace, {}) == timeline("x", flat, {})
    for gap in (0, 3, 40):
        assert joined(bars(flat, 0), gap) == bars(flat, gap)
