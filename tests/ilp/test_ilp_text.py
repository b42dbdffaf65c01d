"""Graph JSON and buffers CSV: the contract, and mistakes with their place."""

from __future__ import annotations

import json

import pytest

import ilp
from accelsim.errors import AccelsimError, Location

DIAMOND = {
    "tensors": {"x": {"bytes": 4}, "a": {"bytes": 4}, "b": {"bytes": 4}, "y": {"bytes": 2}},
    "ops": [
        {"id": 0, "inputs": ["x"], "output": "a", "kind": "ignored"},
        {"id": "mid", "inputs": ["a"], "outputs": ["b"]},
        {"id": 2, "inputs": ["b", "x"], "output": "y"},
    ],
    "graph_inputs": ["x"],
    "graph_outputs": ["y"],
    "name": "ignored",
}


def read(document, capacity=10, order="free"):
    return ilp.problem_from_json(json.dumps(document), capacity, order)


def changed(**changes):
    return {**DIAMOND, **changes}


def mistakes(call, *arguments):
    with pytest.raises(AccelsimError) as caught:
        call(*arguments)
    return caught.value.mistakes


def test_graph_to_schedule_and_back():
    result = ilp.schedule_to_json(ilp.schedule(read(DIAMOND)))
    expected = {"status": "optimal", "traffic_bytes": 8, "lower_bound_bytes": 8, "m_r_bytes": 10}
    assert {key: result[key] for key in expected} == expected
    assert result["order"] == [0, "mid", 2]
    assert result["steps"][2]["loads"] == ["x"]
    assert set(result["steps"][2]["resident"]) == {"b", "x", "y"}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_infeasible_result_says_what_is_missing():
    result = ilp.schedule_to_json(ilp.schedule(read(DIAMOND, 9)))
    assert (result["status"], result["steps"], result["order"]) == ("infeasible", [], [])
    assert result["infeasibility"]["gap"] == 1


def test_operators_in_any_order_when_the_order_is_free():
    turned = changed(ops=DIAMOND["ops"][::-1])
    assert [op.id for op in read(turned).ops] == [0, "mid", 2]
    assert {m.code for m in mistakes(read, turned, 10, "given")} == {"S409"}


def test_an_operator_without_output_is_legal():
    extra = [*DIAMOND["ops"], {"id": 9, "inputs": ["y"]}]
    assert read(changed(ops=extra)).ops[-1].outputs == ()


@pytest.mark.parametrize(
    ("document", "code", "words"),
    [
        (changed(tensors=[]), "S410", "'tensors' is missing"),
        (changed(tensors={**DIAMOND["tensors"], "x": {"bytes": 4.5}}), "S410", "whole number"),
        (changed(tensors={**DIAMOND["tensors"], "x": {"bytes": True}}), "S410", "whole number"),
        (changed(tensors={**DIAMOND["tensors"], "x": {"bytes": -1}}), "S402", "out of range"),
        (changed(tensors={**DIAMOND["tensors"], "x": {"bytes": 10**30}}), "S402", "out of range"),
        (changed(ops={}), "S410", "'ops' is missing"),
        (changed(ops=[7]), "S410", "ops[0] is not an object"),
        (changed(ops=[{"inputs": []}]), "S410", "ops[0] has no id"),
        (changed(ops=[{"id": 1, "inputs": "x"}]), "S410", "not a list of names"),
        (changed(ops=[{"id": 1, "inputs": ["x"], "output": 3}]), "S410", "not a name"),
        (changed(ops=[*DIAMOND["ops"], DIAMOND["ops"][2]]), "S403", "occurs twice"),
        (changed(ops=[{"id": 1, "inputs": ["xx"]}]), "S404", "has no size"),
        (changed(graph_inputs=["x", "a"]), "S405", "graph input 'a'"),
        (changed(graph_inputs=[]), "S406", "nothing produces"),
        (changed(graph_inputs=None), "S410", "'graph_inputs' of the graph"),
        (changed(graph_outputs=["nowhere"]), "S404", "has no size"),
        (
            changed(ops=[{"id": 0, "inputs": ["a"], "output": "a"}], graph_outputs=[]),
            "S409",
            "before",
        ),
    ],
)
def test_graph_mistakes(document, code, words):
    found = mistakes(read, document)
    assert any(m.code == code and words in m.message for m in found)


def test_all_mistakes_of_a_graph_at_once():
    found = mistakes(read, {"tensors": {"x": {}}, "ops": [7]})
    assert len(found) == 4


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", '{"a": 1' + "0" * 5000 + "}", ""])
def test_broken_json_is_one_clear_mistake(text):
    found = mistakes(ilp.problem_from_json, text, 10, "free", Location("g.json"))
    assert found[0].code == "S410"
    assert found[0].location.file == "g.json"


def test_position_and_repeated_keys():
    found = mistakes(ilp.problem_from_json, '{\n  "tensors": x', 10, "free", Location("g.json"))
    assert str(found[0].location) == "g.json:2:14"
    text = json.dumps(DIAMOND).replace('"a": {', '"x": {', 1)
    assert any("occurs twice" in m.message for m in mistakes(ilp.problem_from_json, text, 10))


def test_bad_capacity_and_order():
    assert mistakes(read, DIAMOND, -1)[0].code == "S401"
    assert "free" in mistakes(read, DIAMOND, 10, "fre")[0].hint


CSV = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"


def test_csv_to_placement_and_back():
    found = ilp.buffers_from_csv(CSV)
    result = ilp.placement_to_json(ilp.place(found, 12))
    assert (result["status"], result["peak"], result["lower_bound"]) == ("optimal", 12, 12)
    assert set(result["offsets"]) == {"b1", "b2", "b3", "b4", "b5"}


def test_csv_columns_in_any_order_with_others_ignored():
    text = "\ufeffsize, id ,note,upper,lower\r\n4,b1,hello,3,0\r\n\r\n"
    assert ilp.buffers_from_csv(text) == (ilp.Buffer("b1", 0, 3, 4),)
    assert ilp.buffers_from_csv("id,lower,upper,size\n") == ()


def test_csv_mistakes_have_lines_and_come_together():
    text = "id,lower,upper,size\na,0,x,4\n,0,1,1e3\nc,0,1\n"
    found = mistakes(ilp.buffers_from_csv, text, Location("b.csv"))
    assert [str(m.location) for m in found] == ["b.csv:2", "b.csv:3", "b.csv:3", "b.csv:4"]
    assert mistakes(ilp.buffers_from_csv, "")[0].code == "S412"
    assert mistakes(ilp.buffers_from_csv, "id,lower,size\n")[0].code == "S412"
    assert mistakes(ilp.buffers_from_csv, CSV + "b5,4,4,-1\n")[0].code == "S411"
