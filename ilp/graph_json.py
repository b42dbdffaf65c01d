"""The graph JSON of ``accelsim schedule``: text to problem, schedule to JSON values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from accelsim.errors import AccelsimError, Location, Mistake
from ilp.problem import Op, Problem, Schedule
from ilp.validate import require_valid

_SHAPE = (
    '{"tensors": {"x": {"bytes": 3072}}, "ops": [{"id": 0, "inputs": ["x"], "output": "t0"}], '
    '"graph_inputs": ["x"], "graph_outputs": ["t0"]}'
)


def problem_from_json(
    text: str, capacity: int, order: str = "free", location: Location | None = None
) -> Problem:
    """Read a graph. Keys beyond the contract are ignored; ``outputs`` may replace ``output``.

    With ``order`` ``free`` the operators may be listed in any order; with ``given`` the list is
    the order and must be topological. Raises :class:`AccelsimError` with every mistake found
    (``S410`` for the shape of the text, ``S401``-``S409`` for what it says).
    """
    reader = _Reader(location)
    document = reader.parse(text)
    sizes = reader.sizes(document)
    ops = reader.ops(document)
    graph_inputs = reader.names(document, "graph_inputs", "the graph")
    graph_outputs = reader.names(document, "graph_outputs", "the graph")
    if reader.mistakes:
        raise AccelsimError(reader.mistakes)
    problem = Problem(
        sizes=sizes,
        ops=ops,
        graph_inputs=tuple(dict.fromkeys(graph_inputs)),
        graph_outputs=tuple(dict.fromkeys(graph_outputs)),
        capacity=capacity,
        order=order,
    )
    if order == "free":
        problem = replace(problem, ops=_topological(problem))
    require_valid(problem, location)
    return problem


def schedule_to_json(schedule: Schedule) -> dict[str, Any]:
    """The ``--json`` output: bytes moved, their proved bound, the order and every step."""
    result: dict[str, Any] = {
        "status": schedule.status,
        "traffic_bytes": schedule.traffic_bytes,
        "lower_bound_bytes": schedule.lower_bound,
        "peak_bytes": schedule.peak_bytes,
        "m_r_bytes": schedule.m_r_bytes,
        "max_live_bytes": schedule.max_live_bytes,
        "default_peak_bytes": schedule.default_peak_bytes,
        "order": list(schedule.order),
        "steps": [
            {
                "op": step.op,
                "loads": list(step.loads),
                "stores": list(step.stores),
                "resident": dict(step.resident),
            }
            for step in schedule.steps
        ],
        "solver": schedule.solver,
        "notes": list(schedule.notes),
    }
    reason = schedule.infeasibility
    if reason is not None:
        result["infeasibility"] = {
            "statement": reason.statement,
            "demand": reason.demand,
            "limit": reason.limit,
            "gap": reason.gap,
            "unit": reason.unit,
            "terms": [list(term) for term in reason.terms],
            "levers": list(reason.levers),
        }
    return result


@dataclass
class _Reader:
    """Collects mistakes while it reads, so that all of them are reported at once."""

    location: Location | None
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, message: str, hint: str = "") -> None:
        """Note one mistake."""
        self.mistakes.append(Mistake("S410", message, hint, self.location))

    def parse(self, text: str) -> Mapping[str, Any]:
        """The document as a mapping; raises at once when it is not JSON or not an object."""
        try:
            document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=self.unique)
        except json.JSONDecodeError as error:
            name = self.location.file if self.location else "graph"
            where = Location(name, error.lineno, error.colno)
            raise AccelsimError(
                Mistake("S410", f"not valid JSON: {error.msg}", "", where)
            ) from None
        except RecursionError:
            raise AccelsimError(
                Mistake("S410", "JSON nested too deeply", f"expected {_SHAPE}", self.location)
            ) from None
        except ValueError:
            # The only other refusal of the parser: an integer with thousands of digits.
            raise AccelsimError(
                Mistake("S410", "a number is far too long", "", self.location)
            ) from None
        if not isinstance(document, dict):
            hint = f"expected {_SHAPE}"
            raise AccelsimError(Mistake("S410", "not a JSON object", hint, self.location))
        return document

    def unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object whose keys are all different."""
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                self.wrong(f"key {key!r} occurs twice in one object", "remove one of them")
            result[key] = value
        return result

    def sizes(self, document: Mapping[str, Any]) -> dict[str, int]:
        """``tensors``: name -> bytes."""
        tensors = document.get("tensors")
        if not isinstance(tensors, dict):
            self.wrong("'tensors' is missing or not an object", f"expected {_SHAPE}")
            return {}
        sizes: dict[str, int] = {}
        for name, entry in tensors.items():
            count = entry.get("bytes") if isinstance(entry, dict) else None
            if type(count) is not int:
                self.wrong(f"tensor {name!r} has no whole number of bytes", '{"bytes": 3072}')
                continue
            sizes[name] = count
        return sizes

    def ops(self, document: Mapping[str, Any]) -> tuple[Op, ...]:
        """``ops`` in their listed order."""
        entries = document.get("ops")
        if not isinstance(entries, list):
            self.wrong("'ops' is missing or not a list", f"expected {_SHAPE}")
            return ()
        ops: list[Op] = []
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                self.wrong(f"ops[{place}] is not an object", f"expected {_SHAPE}")
                continue
            name = entry.get("id")
            if not isinstance(name, int | str) or isinstance(name, bool):
                self.wrong(f"ops[{place}] has no id", "an id is a number or a string")
                continue
            where = f"operator {name!r}"
            inputs = self.names(entry, "inputs", where)
            ops.append(Op(name, inputs, self.outputs(entry, where)))
        return tuple(ops)

    def outputs(self, entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """``output`` as one name, or ``outputs`` as a list; neither means that nothing is made."""
        if "output" in entry and "outputs" in entry:
            self.wrong(f"{where} has both 'output' and 'outputs'", "keep one of them")
        if "outputs" in entry:
            return tuple(dict.fromkeys(self.names(entry, "outputs", where)))
        single = entry.get("output")
        if single is None:
            return ()
        if not isinstance(single, str):
            self.wrong(f"'output' of {where} is not a name", "use 'outputs' for several")
            return ()
        return (single,)

    def names(self, holder: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        """A list of tensor names."""
        value = holder.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.wrong(f"{key!r} of {where} is missing or not a list of names", f'"{key}": ["x"]')
            return ()
        return tuple(value)


def _topological(problem: Problem) -> tuple[Op, ...]:
    """Operators in the topological order closest to the listed one.

    Operators on a cycle keep their place at the end, where validation reports them.
    """
    producer = {name: i for i, op in enumerate(problem.ops) for name in op.outputs}
    waiting = [0] * len(problem.ops)
    followers: dict[int, list[int]] = {}
    for i, op in enumerate(problem.ops):
        for before in _distinct(producer[n] for n in op.inputs if n in producer):
            waiting[i] += 1
            followers.setdefault(before, []).append(i)
    ready = [i for i, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        i = heappop(ready)
        order.append(i)
        for later in followers.get(i, ()):
            waiting[later] -= 1
            if not waiting[later]:
                heappush(ready, later)
    order += [i for i, count in enumerate(waiting) if count > 0]
    return tuple(problem.ops[i] for i in order)


def _distinct(items: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(items))
