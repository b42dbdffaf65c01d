"""Exact scheduling, tensor residency and scratchpad placement.

Usable alone: ``ilp.schedule(problem)``, ``ilp.place(buffers, capacity)`` and their independent
checkers. Public names are resolved on first use, so that importing the package loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilp.buffers_csv import buffers_from_csv, placement_to_json
    from ilp.check import PlanError, check_placement, check_schedule
    from ilp.graph_json import problem_from_json, schedule_to_json
    from ilp.placement import place
    from ilp.problem import Buffer, Mode, Op, Placement, Problem, Schedule, Step
    from ilp.scheduler import schedule

__version__ = "0.1.0"

_HOME = {
    "Buffer": "problem",
    "Mode": "problem",
    "Op": "problem",
    "Placement": "problem",
    "PlanError": "check",
    "Problem": "problem",
    "Schedule": "problem",
    "Step": "problem",
    "buffers_from_csv": "buffers_csv",
    "check_placement": "check",
    "check_schedule": "check",
    "place": "placement",
    "placement_to_json": "buffers_csv",
    "problem_from_json": "graph_json",
    "schedule": "scheduler",
    "schedule_to_json": "graph_json",
}

__all__ = [
    "Buffer",
    "Mode",
    "Op",
    "Placement",
    "PlanError",
    "Problem",
    "Schedule",
    "Step",
    "buffers_from_csv",
    "check_placement",
    "check_schedule",
    "place",
    "placement_to_json",
    "problem_from_json",
    "schedule",
    "schedule_to_json",
]


def __getattr__(name: str) -> Any:
    """Load the module that holds a public name when the name is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'ilp' has no attribute {name!r}")
    value = getattr(import_module(f"ilp.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
