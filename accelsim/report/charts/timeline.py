"""Who works when: the resources of the accelerator over the cycles of one inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from accelsim.report.charts import style
from accelsim.report.charts.style import Chart, axis, layout, text
from accelsim.sim.expand import unfold
from accelsim.sim.folded import FoldedTrace
from accelsim.sim.slices import slices
from accelsim.sim.trace import Trace
from accelsim.taskgraph import TaskKind

CAP = 2500
"""Most bars drawn: more make the browser slow, and a screen is about 1,200 pixels wide."""
WRITTEN = 20_000
"""Commands of the largest folded trace that is written out to be drawn."""

KINDS: dict[TaskKind, tuple[str, str]] = {
    TaskKind.ARRAY: ("matrix work", style.BLUE),
    TaskKind.VECTOR: ("element-wise work", style.GREEN),
    TaskKind.LOAD_WEIGHT: ("weights in", style.ORANGE),
    TaskKind.LOAD_INPUT: ("activation tiles in", style.SKY),
    TaskKind.STORE_OUTPUT: ("activation tiles out", style.PURPLE),
    TaskKind.RELOAD: ("whole tensors in", style.VERMILION),
    TaskKind.SPILL: ("whole tensors out", style.BLACK),
    TaskKind.COPY: ("copies between memories", style.YELLOW),
    TaskKind.DMA_SETUP: ("transfer set-up", style.GREY),
}


@dataclass
class Bar:
    """Tasks of one operator and kind on one resource that are drawn as one rectangle."""

    resource: str
    op: str
    kind: TaskKind
    start: int
    end: int
    busy: int
    tasks: int
    moved: int
    """DRAM bytes of the tasks."""


def bars(trace: Trace, gap: int) -> list[Bar]:
    """Every task as a bar per resource; tasks of one operator and kind that follow each other
    within ``gap`` cycles are joined."""
    found: list[Bar] = []
    for resource in trace.graph.resources:
        last: dict[tuple[str, TaskKind], Bar] = {}
        for task, row in trace.on(resource):
            if row.end == row.start:
                continue
            moved = task.dram_read_bytes + task.dram_write_bytes
            cycles = row.end - row.start
            bar = last.get((task.op, task.kind))
            if bar is not None and row.start - bar.end <= gap:
                bar.end = max(bar.end, row.end)
                bar.busy, bar.tasks, bar.moved = bar.busy + cycles, bar.tasks + 1, bar.moved + moved
                continue
            bar = Bar(resource, task.op, task.kind, row.start, row.end, cycles, 1, moved)
            last[task.op, task.kind] = bar
            found.append(bar)
    return found


def bars_of(trace: FoldedTrace) -> list[Bar]:
    """The same of a folded trace, too long to be written out: recurrences are joined already."""
    names = (*trace.program.queues, *trace.program.ports)
    return [
        Bar(
            names[s.resource], s.op, s.kind, s.start, s.end, s.busy, s.did.commands,
            s.did.dram_bytes,
        )
        for s in slices(trace, CAP * 8)[0]
        if s.end > s.start
    ]  # fmt: skip


def joined(found: Sequence[Bar], gap: int) -> list[Bar]:
    """Bars of one resource, operator and kind that follow each other within ``gap`` cycles as one;
    bars come by resource and then by time."""
    kept: list[Bar] = []
    last: dict[tuple[str, str, TaskKind], Bar] = {}
    for bar in found:
        key = (bar.resource, bar.op, bar.kind)
        before = last.get(key)
        if before is None or bar.start - before.end > gap:
            last[key] = replace(bar)
            kept.append(last[key])
            continue
        before.end = max(before.end, bar.end)
        before.busy, before.tasks = before.busy + bar.busy, before.tasks + bar.tasks
        before.moved += bar.moved
    return kept


def folded(trace: Trace | FoldedTrace, cap: int = CAP) -> tuple[list[Bar], int]:
    """Bars within ``cap``, and the gap in cycles that had to be bridged to get there."""
    gap = 0
    every = bars(trace, 0) if isinstance(trace, Trace) else bars_of(trace)
    found = every
    while len(found) > cap and gap < trace.cycles:
        gap = max(1, trace.cycles >> 16) if gap == 0 else gap * 2
        found = joined(every, gap)
    return found, gap


def resources_of(trace: Trace | FoldedTrace) -> tuple[str, ...]:
    """Queues and ports by rank."""
    if isinstance(trace, Trace):
        return trace.graph.resources
    return (*trace.program.queues, *trace.program.ports)


def timeline(
    prefix: str, trace: Trace | FoldedTrace, busy: Mapping[str, int], cap: int = CAP
) -> Chart:
    """The chart. ``busy``: resource -> busy cycles, printed beside its name."""
    if isinstance(trace, FoldedTrace) and trace.program.commands <= WRITTEN:
        trace = unfold(trace)
    found, gap = folded(trace, cap)
    names = list(resources_of(trace))
    labels = {name: _label(name, busy.get(name), trace.cycles) for name in names}
    data = [
        _kind_trace(kind, [bar for bar in found if bar.kind is kind], labels)
        for kind in KINDS
        if any(bar.kind is kind for bar in found)
    ]
    order = [labels[name] for name in sorted(names, key=_row_rank)]
    figure = {
        "data": data,
        "layout": layout(
            barmode="overlay",
            bargap=0.25,
            xaxis=axis("cycles", range=[0, max(trace.cycles, 1)], tickformat=",d"),
            yaxis=axis(
                categoryorder="array",
                categoryarray=order[::-1],
                fixedrange=True,
                ticks="",
                range=[-0.6, len(order) - 0.4],
            ),
            margin={"l": 120, "r": 44, "t": 40, "b": 48},
            dragmode="zoom",
        ),
    }
    joined = (
        f" Tasks of one operator less than {gap:,} cycles apart are drawn as one bar;"
        " the Perfetto file (accelsim report --timeline) has every task."
        if gap
        else ""
    )
    caption = (
        "Each row is a resource, each bar work on it; hover for the operator. Drag to zoom in,"
        " double-click to see everything. A weight load under matrix work of another operator is"
        f" prefetching.{joined}"
    )
    return Chart(
        f"{prefix}-timeline", "Resources over one inference", figure, 130 + 44 * len(names), caption
    )


def _row_rank(resource: str) -> tuple[int, str]:
    order = ("array", "vector", "dma", "dram")
    word = resource.split(".")[0]
    return (order.index(word) if word in order else len(order), resource)


def _label(name: str, busy: int | None, cycles: int) -> str:
    if busy is None or not cycles:
        return text(name)
    return f"<b>{text(name)}</b><br>{100 * busy / cycles:.0f} % busy"


def _kind_trace(kind: TaskKind, found: Sequence[Bar], labels: Mapping[str, str]) -> dict[str, Any]:
    name, colour = KINDS[kind]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [labels[bar.resource] for bar in found],
        "base": [bar.start for bar in found],
        "x": [bar.end - bar.start for bar in found],
        "customdata": [
            [text(bar.op), bar.start, bar.end, bar.busy, bar.tasks, bar.moved] for bar in found
        ],
        "hovertemplate": (
            f"<b>%{{customdata[0]}}</b><br>{name}"
            "<br>cycles %{customdata[1]:,} to %{customdata[2]:,}, busy %{customdata[3]:,}"
            "<br>%{customdata[4]:,} task(s), %{customdata[5]:,} DRAM bytes<extra></extra>"
        ),
        "marker": {"color": colour, "line": {"width": 0}},
        "width": 0.8,
    }
