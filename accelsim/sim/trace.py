"""What happened: one row per task, with the graph it came from."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.taskgraph import Task, TaskGraph


@dataclass(frozen=True)
class TraceRow:
    """Times of one task in cycles: ready (all dependencies done), start (all resources granted),
    end = start + cycles."""

    task: int
    ready: int
    start: int
    end: int


@dataclass(frozen=True)
class Trace:
    """The executed schedule of one inference. ``rows[i]`` belongs to ``graph.tasks[i]``."""

    graph: TaskGraph
    rows: tuple[TraceRow, ...]

    @property
    def cycles(self) -> int:
        """Makespan in cycles (0 for an empty graph)."""
        return max((row.end for row in self.rows), default=0)

    def on(self, resource: str) -> tuple[tuple[Task, TraceRow], ...]:
        """Tasks that held ``resource``, in order of start."""
        picked = [
            (task, self.rows[task.id]) for task in self.graph.tasks if resource in task.resources
        ]
        return tuple(sorted(picked, key=lambda pair: (pair[1].start, pair[0].id)))
