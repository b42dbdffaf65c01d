"""What the scratchpad holds: the address map over the steps, and live bytes over the cycles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.report.charts import style
from accelsim.report.charts.style import Chart, axis, layout, line_at, short, text

KIB = 1024
POINTS = 2000
"""Most points of the occupancy curve; a screen has fewer columns."""

COLOURS: dict[str, str] = {
    "activation made on chip": style.SKY,
    "activation loaded from DRAM": style.VERMILION,
    "tile buffers of the operator": style.ORANGE,
    "next operator's weights, prefetched": style.YELLOW,
}


@dataclass(frozen=True)
class Box:
    """A rectangle of the map: an address range over consecutive steps."""

    kind: str
    name: str
    first: int
    last: int
    """Steps, both included."""
    address: int
    bytes: int


def boxes(steps: Sequence[Mapping[str, Any]]) -> list[Box]:
    """Rectangles of a plan: residents that stay put over several steps are one rectangle."""
    return [*_residents(steps), *_buffers(steps)]


def _residents(steps: Sequence[Mapping[str, Any]]) -> Iterator[Box]:
    names = sorted({name for step in steps for name in step.get("resident") or {}})
    for name in names:
        first, place, loaded = -1, (0, 0), False
        for i, step in enumerate([*steps, {}]):
            slot = (step.get("resident") or {}).get(name)
            here = None if slot is None else (int(slot["address"]), int(slot["bytes"]))
            if first >= 0 and here != place:
                kind = "activation loaded from DRAM" if loaded else "activation made on chip"
                yield Box(kind, name, first, i - 1, *place)
                first = -1
            if first < 0 and here is not None:
                first, place, loaded = i, here, name in (step.get("loads") or ())


def _buffers(steps: Sequence[Mapping[str, Any]]) -> Iterator[Box]:
    for i, step in enumerate(steps):
        size, early = int(step["buffer_bytes"]), int(step.get("prefetch_bytes") or 0)
        address, op = int(step["buffer_address"]), str(step["op"])
        if size:
            yield Box("tile buffers of the operator", op, i, i, address, size)
        if early and i:
            at = int(step.get("prefetch_address", address))
            yield Box("next operator's weights, prefetched", op, i - 1, i - 1, at, early)


def weights_of(plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """A plan as the weight scratchpad sees it; None for one that is not split."""
    if plan.get("weight_capacity_bytes") is None:
        return None
    names = ("buffer_address", "buffer_bytes", "prefetch_address", "prefetch_bytes")
    return {
        "steps": [
            {"op": step["op"], **{name: step.get(f"weight_{name}") or 0 for name in names}}
            for step in plan["steps"]
        ],
        "capacity_bytes": plan["weight_capacity_bytes"],
        "peak_bytes": plan.get("weight_peak_bytes") or 0,
    }


def memory_map(prefix: str, plan: Mapping[str, Any], memory: str = "scratchpad") -> Chart:
    """Address (KiB) against step, one rectangle per tenant; ``memory``: what it is called."""
    steps = plan["steps"]
    found = boxes(steps)
    kinds = [kind for kind in COLOURS if any(box.kind == kind for box in found)]
    capacity = int(plan["capacity_bytes"])
    limit = line_at(capacity / KIB, f"capacity {capacity / KIB:,.4g} KiB")
    top = max(capacity, int(plan["peak_bytes"]))
    few = len(steps) <= 40
    ticks: dict[str, Any] = (
        {
            "tickvals": list(range(len(steps))),
            "ticktext": [short(step["op"], 22) for step in steps],
            "tickangle": -55,
            "tickfont": {"size": 10},
        }
        if few
        else {}
    )
    figure = {
        "data": [_map_trace(kind, [b for b in found if b.kind == kind], steps) for kind in kinds],
        "layout": layout(
            barmode="overlay",
            bargap=0,
            xaxis=axis(
                "operator, in the order of the plan" if few else "step",
                range=[-0.6, len(steps) - 0.4],
                showgrid=False,
                **ticks,
            ),
            yaxis=axis("address (KiB)", range=[0, top / KIB * 1.06], zeroline=True),
            shapes=[limit["shape"]],
            annotations=[limit["annotation"]],
            uniformtext={"mode": "hide", "minsize": 9},
        ),
    }
    caption = (
        f"Who occupies which addresses of the {memory} while each operator runs; hover for names"
        " and sizes. A box over several steps is a tensor that stays where it is."
    )
    name = f"{prefix}-map" if memory == "scratchpad" else f"{prefix}-{memory.split()[0]}-map"
    return Chart(name, f"{memory.capitalize()} map", figure, 520 if few else 460, caption)


def _map_trace(
    kind: str, found: Sequence[Box], steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": kind,
        "x": [(box.first + box.last) / 2 for box in found],
        "width": [box.last - box.first + 0.96 for box in found],
        "base": [box.address / KIB for box in found],
        "y": [box.bytes / KIB for box in found],
        "text": [f"{box.bytes / KIB:.3g} KiB" for box in found],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "customdata": [
            [
                text(box.name),
                box.bytes,
                box.address,
                box.address + box.bytes,
                text(steps[box.first]["op"]),
                text(steps[box.last]["op"]),
            ]
            for box in found
        ],
        "hovertemplate": (
            f"<b>%{{customdata[0]}}</b><br>{kind}<br>%{{customdata[1]:,}} B at"
            " [%{customdata[2]:,}, %{customdata[3]:,})<br>from %{customdata[4]}"
            "<br>to %{customdata[5]}<extra></extra>"
        ),
        "marker": {"color": COLOURS[kind], "line": {"color": "#FFFFFF", "width": 1}},
        "insidetextfont": {"color": style.INK},
    }


def thinned(curve: Sequence[Sequence[float]], points: int = POINTS) -> list[tuple[float, float]]:
    """At most about ``points`` points of a step curve: of each of points/2 equal stretches of
    time the highest value is kept at its time, then the last one, so that no peak is lost."""
    if len(curve) <= points:
        return [(p[0], p[1]) for p in curve]
    begin, span = curve[0][0], max(curve[-1][0] - curve[0][0], 1)
    bins: dict[int, list[tuple[float, float]]] = {}
    for point in curve:
        slot = int((point[0] - begin) * (points // 2) // (span + 1))
        bins.setdefault(slot, []).append((point[0], point[1]))
    kept: list[tuple[float, float]] = []
    for slot in sorted(bins):
        peak = max(bins[slot], key=lambda p: p[1])
        kept += [peak] if peak == bins[slot][-1] else [peak, bins[slot][-1]]
    return kept


def occupancy(
    prefix: str,
    curve: Sequence[Sequence[float]],
    capacity: int | None,
    memory: str = "scratchpad",
) -> Chart:
    """Live bytes (KiB) of ``memory`` against cycles, from the trace, with the capacity."""
    points = thinned(curve)
    lines = [line_at(capacity / KIB, f"capacity {capacity / KIB:,.4g} KiB")] if capacity else []
    peak = max((p[1] for p in points), default=0.0)
    top = max(peak, float(capacity or 0)) / KIB * 1.08 or 1
    figure = {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": "live bytes",
                "x": [p[0] for p in points],
                "y": [p[1] / KIB for p in points],
                "line": {"shape": "hv", "width": 1.2, "color": style.BLUE},
                "fill": "tozeroy",
                "fillcolor": "rgba(0,114,178,0.18)",
                "hovertemplate": "cycle %{x:,}<br>%{y:,.4g} KiB live<extra></extra>",
            }
        ],
        "layout": layout(
            showlegend=False,
            xaxis=axis("cycles", tickformat=",d", rangemode="tozero"),
            yaxis=axis("live (KiB)", range=[0, top]),
            shapes=[line["shape"] for line in lines],
            annotations=[line["annotation"] for line in lines],
        ),
    }
    less = (
        f" {len(curve):,} changes are drawn with {len(points):,} points; peaks are kept."
        if len(points) < len(curve)
        else ""
    )
    caption = (
        f"Bytes in the {memory} that will still be read: what an upset can corrupt. Space that is"
        f" reserved but holds nothing needed lies between the curve and the map above.{less}"
    )
    if memory == "scratchpad":
        return Chart(f"{prefix}-occupancy", "Live bytes over time", figure, 280, caption)
    name = f"{prefix}-{memory.split()[0]}-occupancy"
    return Chart(name, f"Live bytes of the {memory} over time", figure, 280, caption)
