"""Trace files, version 2: lossless, bounded, and as long as the distinct parts of a trace."""

from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simgraphs import pipeline as task_pipeline
from simprograms import WORK, layer, pipeline, program, programs

from accelsim.errors import AccelsimError
from accelsim.program import Block, Buffer, Command, Program, Repeat, Touch, Work
from accelsim.sim import trace_text
from accelsim.sim.engine import simulate
from accelsim.sim.expand import unfold
from accelsim.sim.rle import dump_trace
from accelsim.sim.steady import run_program
from accelsim.sim.trace_file import dump_folded, load_folded, read_trace
from accelsim.taskgraph import TaskKind


@given(programs())
@settings(max_examples=60)
def test_what_was_written_is_read(drawn: Program) -> None:
    trace = run_program(drawn)
    data = dump_folded(trace)
    assert load_folded(data) == read_trace(data) == trace
    assert dump_folded(load_folded(data)) == data


def buffered(tiles: int) -> Program:
    """Weights through two slots into an array that adds to a resident tensor."""
    buffers = (
        Buffer("scratchpad", "activation", "y", "op", (512,), resident_bytes=64),
        Buffer("scratchpad", "weight", "w", "op", (0, 256)),
    )
    load = Work(
        TaskKind.LOAD_WEIGHT, writes=(Touch(1, 32, fresh=True),), dram_read_bytes=32, region="w"
    )
    run = Work(TaskKind.ARRAY, (Touch(1, 32),), (Touch(0, 4, from_start=True),), macs=9)
    tile = (Command(0, 4, load, ((1, 2),), (0,)), Command(1, 6, run, ((0, 1),)))
    return program([Block("op", 3, (Repeat(tiles, tile),), buffers, (0,))], 2, 1)


def test_a_trace_of_ten_to_the_twelve_tiles_is_as_short_as_one_of_a_thousand() -> None:
    short, long = (dump_folded(run_program(buffered(n))) for n in (10**3, 10**12))
    assert len(long) < 1.2 * len(short)
    assert load_folded(long).cycles == 4 + 6 * 10**12


def test_equal_layers_are_stored_once() -> None:
    part = layer((11, 20, 13), (36, 12, 8))
    one, many = (json.loads(gzip.decompress(dump_folded(run_program(program([part] * n, 3, 1)))))
                 for n in (1, 40))  # fmt: skip
    assert many["bodies"] == one["bodies"]
    assert len(many["blocks"]) == 40


def test_files_of_version_1_are_read_as_well() -> None:
    trace = simulate(task_pipeline(5))
    assert read_trace(dump_trace(trace)) == trace
    with pytest.raises(AccelsimError, match="its schema is not accelsim/trace/v2"):
        load_folded(dump_trace(trace))


def good() -> dict[str, Any]:
    document = json.loads(gzip.decompress(dump_folded(run_program(buffered(50)))))
    assert isinstance(document, dict)
    return document


def refused(document: object) -> str:
    with pytest.raises(AccelsimError) as caught:
        read_trace(gzip.compress(json.dumps(document).encode(), mtime=0))
    (mistake,) = caught.value.mistakes
    assert mistake.code == "R501"
    return mistake.message


def test_the_sound_document_is_accepted() -> None:
    assert read_trace(gzip.compress(json.dumps(good()).encode())) == run_program(buffered(50))


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("schema",), "accelsim/trace/v9", "schema"),
        (("queues",), ["q", "q"], "names of queues and ports repeat"),
        (("queues",), [1, 2], "must be names"),
        (("cycles",), -1, "a time is negative"),
        (("cycles",), 1.5, "whole"),
        (("cycles",), 2**70, "64 bits"),
        (("commands", 0, 0), 7, "no queue"),
        (("commands", 0, 1), -1, "negative duration"),
        (("commands", 0, 2), 99, "leads nowhere"),
        (("commands", 0, 3), [[1, 0]], "waits for something"),
        (("commands", 0, 4), [5], "unknown port"),
        (("works", 0, 0), "dance", "something unknown"),
        (("works", 0, 3, 0), -4, "less than nothing"),
        (("works", 0, 2, 0, 0), 9, "touches no buffer"),
        (("works", 0, 2, 0, 2), 0, "before there is a value"),
        (("works", 0, 2, 0, 2), 3, "flag"),
        (("blocks", 0, 4), [], "before there is a value"),
        (("blocks", 0, 4), [8], "no buffer"),
        (("blocks", 0, 2), 3, "leads nowhere"),
        (("buffers", 0, 0, 4), [], "no address"),
        (("bodies", 0), [[0, 0]], "wrong count"),
        (("bodies", 0), [[2, 0]], "leads nowhere"),
        (("items",), [], "executes commands [0, 0) of 50"),
        (("items",), {}, "must be a list"),
        (("items", 0), [0, 0, 5, 3, 9], "do not ascend"),
        (("items", 0), [9, 0, 0, 0, 9], "has no queue"),
        (("items", 0), [0, 1, 0, 0, 9], "do not follow"),
        (("items", 0), [0], "wrong number of entries"),
    ],
)
def test_a_damaged_document_is_refused_with_a_reason(
    path: tuple[Any, ...], value: object, why: str
) -> None:
    document = copy.deepcopy(good())
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert why in refused(document)


@given(st.data())
@settings(max_examples=150)
def test_random_damage_never_gives_more_than_an_error(data: st.DataObject) -> None:
    """Any part replaced by something else: refused, or a trace that can still be written out."""
    document: Any = good()
    place, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[key], list | dict) and place[key] and data.draw(st.integers(0, 5)):
        place = place[key]
        options = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(options))
    place[key] = data.draw(
        st.sampled_from([None, -1, 0, 1, 2, 10**18, "x", [], [0], [[1, 1]], {}, 0.5, True])
    )
    try:
        trace = read_trace(gzip.compress(json.dumps(document).encode(), mtime=0))
    except AccelsimError:
        return
    if not hasattr(trace, "program") or trace.program.commands > 1000:
        return
    unfold(trace)


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    document = good()
    deep: Any = [[2, 0, [0, 0], []]]
    for _ in range(100):
        deep = [[2, 0, [0, 0], deep]]
    document["items"] = deep
    assert "nested too deep" in refused(document)
    document = good()
    leaf = document["bodies"][0]
    document["bodies"] = [leaf, *([[1, n], [1, n]] for n in range(60))]
    document["blocks"][0][2] = 60
    assert "commands and loops" in refused(document)  # 2 to the 60 of them
    data = dump_folded(run_program(pipeline(100, 1, 2, 3)))
    monkeypatch.setattr(trace_text, "MAX_TEXT_BYTES", 100)
    with pytest.raises(AccelsimError, match="unpacks to more than"):
        load_folded(data)
    with pytest.raises(AccelsimError, match="too long") as caught:
        dump_folded(run_program(program([Block("op", 0, (Command(0, 1, WORK),))], 1, 0)))
    assert caught.value.mistakes[0].code == "R502"
