from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simgraphs import graph, pipeline, random_graph, random_graphs, task

from accelsim.errors import AccelsimError
from accelsim.sim import rle, trace_text
from accelsim.sim.engine import simulate
from accelsim.sim.rle import dump_trace, load_trace
from accelsim.sim.trace import Trace, TraceRow
from accelsim.taskgraph import TaskGraph


@settings(max_examples=200, deadline=None)
@given(random_graphs(60))
def test_round_trip(graph: TaskGraph) -> None:
    trace = simulate(graph)
    data = dump_trace(trace)
    assert load_trace(data) == trace
    assert dump_trace(load_trace(data)) == data


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12), st.integers(-3, 3)), max_size=8),
    st.integers(0, 2**32),
)
def test_round_trip_of_repetitive_records(runs: list[tuple[int, int, int]], seed: int) -> None:
    """Runs of affine tasks next to each other, with odd times that no engine made."""
    tasks, rows = [], []
    for kind, count, step in runs:
        for i in range(count):
            at = len(tasks)
            deps = tuple(d for d in (at - 1 - kind, at - 1) if d >= 0)
            tasks.append(task(at, ("array",), 5, deps, op=f"op{kind}", macs=10 + step * i))
            rows.append(TraceRow(at, seed % 7, seed % 7 + step * i * i, 3 * i))
    trace = Trace(graph(*tasks), tuple(rows))
    assert load_trace(dump_trace(trace)) == trace


def test_empty_trace() -> None:
    trace = simulate(graph())
    assert load_trace(dump_trace(trace)) == trace


def test_long_loops_cost_no_more_than_short_ones() -> None:
    short, long = (dump_trace(simulate(pipeline(n, folds=3))) for n in (60, 3000))
    assert len(long) < 1.3 * len(short)
    document = json.loads(gzip.decompress(long))
    assert max(run[0] for run in document["tasks"]) > 1490  # two tiles repeat: two buffer halves
    assert load_trace(long).cycles == simulate(pipeline(3000, folds=3)).cycles


def test_bytes_are_deterministic() -> None:
    trace = simulate(random_graph(7, 50))
    data = dump_trace(trace)
    assert data == dump_trace(trace)
    assert data[4:8] == bytes(4)  # no time in the gzip header


def test_unnumbered_traces_are_a_bug() -> None:
    trace = simulate(pipeline(2))
    with pytest.raises(AssertionError, match="holds task"):
        dump_trace(replace(trace, rows=trace.rows[::-1]))
    values = trace.graph.values[::-1]
    with pytest.raises(AssertionError, match="holds value"):
        dump_trace(replace(trace, graph=replace(trace.graph, values=values)))


def encode(document: object) -> bytes:
    return gzip.compress(json.dumps(document).encode(), mtime=0)


def good() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(dump_trace(simulate(pipeline(30)))))
    return document


def test_the_good_document_loads() -> None:
    assert load_trace(encode(good())) == simulate(pipeline(30))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not gzip",
        dump_trace(simulate(pipeline(3)))[:-5],
        dump_trace(simulate(pipeline(3))) + b"x",
        gzip.compress(b"{", mtime=0),
        gzip.compress(b"\xff\xfe", mtime=0),
        gzip.compress(b"[" * 200_000, mtime=0),
        gzip.compress(b'{"schema":"accelsim/trace/v1","tasks":' + b"9" * 9000 + b"}", mtime=0),
        encode([]),
        encode({"schema": "accelsim/trace/v2"}),
        encode({"schema": "accelsim/trace/v1"}),
    ],
)
def test_foreign_or_damaged_bytes(data: bytes) -> None:
    with pytest.raises(AccelsimError) as caught:
        load_trace(data)
    assert caught.value.mistakes[0].code == "R501"


def at(document: Any, *path: Any) -> list[tuple[Any, ...]]:
    """Paths of every node below ``document``."""
    found = [path]
    items = document.items() if isinstance(document, dict) else enumerate(document)
    if not isinstance(document, (dict, list)):
        return found
    for key, child in items:
        found += at(child, *path, key) if isinstance(child, (dict, list)) else [(*path, key)]
    return found


WRONG = (None, "x", -1, 1.5, True, 2**70, [], [1], {}, [[]])


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_corrupted_node_is_refused_or_still_a_trace(data: st.DataObject) -> None:
    document = good()
    path = data.draw(st.sampled_from(at(document)[1:]))
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = data.draw(st.sampled_from(WRONG))
    try:
        trace = load_trace(encode(document))
    except AccelsimError as error:
        assert error.mistakes[0].code == "R501"  # noqa: PT017
    else:
        assert load_trace(dump_trace(trace)) == trace


def test_sizes_are_bounded_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    document = good()
    huge = max(document["tasks"], key=lambda run: run[0])
    huge[0] = 10**15
    with pytest.raises(AccelsimError, match="expands to more than"):
        load_trace(encode(document))
    bomb = gzip.compress(b" " * (2 * 2**20), mtime=0)
    monkeypatch.setattr(trace_text, "MAX_TEXT_BYTES", 2**20)
    with pytest.raises(AccelsimError, match="unpacks to more than"):
        load_trace(bomb)
    monkeypatch.setattr(rle, "MAX_NUMBERS", 10)
    with pytest.raises(AccelsimError, match="too long") as caught:
        dump_trace(simulate(pipeline(3)))
    assert caught.value.mistakes[0].code == "R502"
