"""Where cycles and joules go: bounds, layers, roofline, energy and area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.report.charts import style
from accelsim.report.charts.style import Chart, axis, colour, layout, legend_order, line_at, text

Row = Mapping[str, Any]
FEW = 40
"""Up to so many layers the axis names them; beyond, it counts steps."""

ENERGY_COLOURS: dict[str, str] = {
    "dram": style.ORANGE,
    "weight_memory": "#B97A00",
    "scratchpad": style.SKY,
    "weight_scratchpad": "#A9D9F5",
    "accumulators": style.PURPLE,
    "noc": style.YELLOW,
    "registers": style.VERMILION,
    "array": style.BLUE,
    "vector": style.GREEN,
    "clock": style.BLACK,
    "static": style.GREY,
}
"""Component of the energy -> colour, along the machine's data path. Per-layer columns are
``energy_<key>_j``. Memory levels, which have names of the user's, get other colours."""
LEVEL_COLOURS: dict[str, str] = {
    "off-chip memory": style.ORANGE,
    "on-chip memory": style.SKY,
    "PE wires": style.YELLOW,
    "registers": style.VERMILION,
    "arithmetic": style.BLUE,
    "clock": style.BLACK,
    "leakage": style.GREY,
}
"""Level of the machine -> colour."""


def energy_keys(rows: Sequence[Row]) -> tuple[str, ...]:
    """The components that a table of layers has columns for."""
    written = dict.fromkeys(
        key[len("energy_") : -len("_j")]
        for row in rows
        for key in row
        if key.startswith("energy_") and key.endswith("_j")
    )
    known = [key for key in ENERGY_COLOURS if key in written]
    return (*known, *(key for key in written if key not in ENERGY_COLOURS))


def limits(prefix: str, bounds: Mapping[str, float], cycles: int) -> Chart:
    """Lower bounds on the latency, each as if nothing else took time, against the simulation."""
    names = sorted(bounds, key=lambda name: (bounds[name], name))
    shown = [text(name) for name in names]
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": shown,
                "x": [bounds[name] for name in names],
                "text": [_share(bounds[name], cycles) for name in names],
                "textposition": "auto",
                "marker": {"color": [colour(name, i) for i, name in enumerate(names)]},
                "hovertemplate": "%{y}: %{x:,} cycles<extra></extra>",
            }
        ],
        "layout": _wide_bars(
            "cycles", len(names), **_limit_lines((float(cycles), f"simulated {cycles:,} cycles"))
        ),
    }
    caption = (
        "No schedule can be faster than these; the resource whose bar comes closest to the dashed"
        " line is what to widen first. The rest of the way is waiting and imperfect overlap."
    )
    return Chart(
        f"{prefix}-bounds",
        "Lower bounds on the latency",
        figure,
        110 + 34 * len(names),
        caption,
        False,
    )


def busy(prefix: str, totals: Mapping[str, int], cycles: int) -> Chart:
    """Busy share of every resource."""
    names = legend_order(totals)[::-1]
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": [text(name) for name in names],
                "x": [100 * totals[name] / cycles if cycles else 0 for name in names],
                "customdata": [totals[name] for name in names],
                "text": [_share(totals[name], cycles) for name in names],
                "textposition": "auto",
                "marker": {"color": [colour(name, i) for i, name in enumerate(names)]},
                "hovertemplate": "%{y}: %{customdata:,} cycles busy<extra></extra>",
            }
        ],
        "layout": _wide_bars("% of the latency", len(names), top=100.0),
    }
    caption = "Share of the simulated time in which each resource carries work."
    return Chart(f"{prefix}-busy", "Busy resources", figure, 110 + 34 * len(names), caption, False)


def layer_cycles(prefix: str, rows: Sequence[Row]) -> Chart:
    """Cycles that each layer adds to the latency, by what bounds it; stalls on top; busy marks."""
    kinds = legend_order(str(row["bound"]) for row in rows)
    data = [_layer_bars(rows, kind, i) for i, kind in enumerate(kinds)]
    data.append(
        {
            "type": "bar",
            "name": "stalled: nothing computes",
            "x": list(range(len(rows))),
            "y": [row["stall_cycles"] for row in rows],
            "customdata": [text(row["op"]) for row in rows],
            "hovertemplate": "<b>%{customdata}</b><br>stalled %{y:,} cycles<extra></extra>",
            "marker": {"color": "#B4BDC7"},
        }
    )
    marks = (("array_busy", "array"), ("vector_busy", "vector"), ("dram_busy", "dram"))
    data += [
        _layer_marks(rows, key, name) for key, name in marks if any(row.get(key) for row in rows)
    ]
    figure = {
        "data": data,
        "layout": layout(
            barmode="stack",
            bargap=0.2,
            xaxis=_layer_axis(rows),
            yaxis=axis("cycles", tickformat=",d", rangemode="tozero"),
        ),
    }
    caption = (
        "Bars sum to the latency: how far each layer moves the end of the run, the grey part with"
        " nothing computing. Dashes: cycles in which a resource works for the layer; above the bar"
        " when the work is hidden behind earlier layers (prefetched weights)."
    )
    return Chart(f"{prefix}-cycles", "Cycles per layer", figure, 440, caption)


def _layer_bars(rows: Sequence[Row], kind: str, index: int) -> dict[str, Any]:
    mine = [(i, row) for i, row in enumerate(rows) if str(row["bound"]) == kind]
    return {
        "type": "bar",
        "name": f"bound by {text(kind)}",
        "x": [i for i, _ in mine],
        "y": [row["advance_cycles"] - row["stall_cycles"] for _, row in mine],
        "customdata": [
            [text(row["op"]), row["advance_cycles"], row["start"], row["end"]] for _, row in mine
        ],
        "hovertemplate": (
            "<b>%{customdata[0]}</b><br>%{customdata[1]:,} cycles of the latency"
            f"<br>from %{{customdata[2]:,}} to %{{customdata[3]:,}}<br>bound by {text(kind)}"
            "<extra></extra>"
        ),
        "marker": {"color": colour(kind, index), "opacity": 0.6},
    }


def _layer_marks(rows: Sequence[Row], key: str, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name} busy",
        "x": list(range(len(rows))),
        "y": [row.get(key, 0) for row in rows],
        "hovertemplate": f"{name} busy %{{y:,}} cycles<extra></extra>",
        "marker": {
            "symbol": "line-ew",
            "size": 14 if len(rows) <= FEW else 7,
            "line": {"width": 3, "color": colour(name)},
        },
    }


def layer_energy(prefix: str, rows: Sequence[Row]) -> Chart:
    """Energy of each layer, stacked by component (microjoules)."""
    data = [
        {
            "type": "bar",
            "name": text(key.replace("_", " ")),
            "x": list(range(len(rows))),
            "y": [1e6 * (row.get(f"energy_{key}_j") or 0.0) for row in rows],
            "customdata": [text(row["op"]) for row in rows],
            "hovertemplate": f"<b>%{{customdata}}</b><br>{key} %{{y:,.4g}} µJ<extra></extra>",
            "marker": {"color": ENERGY_COLOURS.get(key) or colour(key, at)},
        }
        for at, key in enumerate(energy_keys(rows))
    ]
    figure = {
        "data": data,
        "layout": layout(
            barmode="stack",
            bargap=0.2,
            xaxis=_layer_axis(rows),
            yaxis=axis("µJ", rangemode="tozero"),
        ),
    }
    caption = "Energy of each layer by where it is spent; leakage and clock by the layer's cycles."
    return Chart(f"{prefix}-layer-energy", "Energy per layer", figure, 400, caption)


def bands(prefix: str, found: Mapping[str, Any]) -> Chart:
    """What each constant alone does to the total between its published ends, widest on top."""
    wide = [row for row in found["ranking"] if row["high"] > row["low"]][::-1]
    rows = [*wide, {"constant": "all together", "low": found["low"], "high": found["high"]}]
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": [text(row["constant"]) for row in rows],
                "base": [1e6 * row["low"] for row in rows],
                "x": [1e6 * (row["high"] - row["low"]) for row in rows],
                "customdata": [[1e6 * row["low"], 1e6 * row["high"]] for row in rows],
                "marker": {"color": [style.SKY] * len(wide) + [style.BLUE]},
                "hovertemplate": (
                    "%{y}: %{customdata[0]:,.5g} to %{customdata[1]:,.5g} µJ<extra></extra>"
                ),
            }
        ],
        "layout": _wide_bars(
            "µJ", len(rows), **_limit_lines((1e6 * found["value"], "as calculated"))
        ),
    }
    caption = (
        "Energy of the run with one constant of the table at its lowest and highest published"
        " figure, and with all of them. Constants with one public figure have no bar."
    )
    return Chart(
        f"{prefix}-energy-bands",
        "How sure the energy is",
        figure,
        110 + 34 * len(rows),
        caption,
        False,
    )


def shares(
    prefix: str,
    id: str,
    title: str,
    parts: Mapping[str, float],
    unit: str,
    caption: str,
    colours: Mapping[str, str] | None = None,
) -> Chart:
    """A total by component, largest on top, in ``unit``; ``colours`` by name go first."""
    chosen = colours or {}
    names = sorted(parts, key=lambda name: (parts[name], name))
    total = sum(parts.values())
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": [text(name.replace("_", " ")) for name in names],
                "x": [parts[name] for name in names],
                "text": [
                    f"{parts[name]:.3g} {unit} ({_share(parts[name], total)})" for name in names
                ],
                "textposition": "auto",
                "marker": {
                    "color": [chosen.get(name) or colour(name, i) for i, name in enumerate(names)],
                    "pattern": {"shape": ["/" if "protection" in name else "" for name in names]},
                },
                "hovertemplate": f"%{{y}}: %{{x:.5g}} {unit}<extra></extra>",
            }
        ],
        "layout": _wide_bars(unit, len(names)),
    }
    return Chart(f"{prefix}-{id}", title, figure, 110 + 34 * len(names), caption, False)


def roofline(prefix: str, curve: Mapping[str, Any]) -> Chart:
    """Attained MACs per cycle against MACs per DRAM byte, under the two roofs."""
    points = [p for p in curve["points"] if p["macs_per_byte"] and p["macs_per_cycle"]]
    peak, bandwidth = float(curve["peak_macs_per_cycle"]), float(curve["dram_bytes_per_cycle"])
    knee = peak / bandwidth
    low = min([knee, *(p["macs_per_byte"] for p in points)]) / 2
    high = max([knee, *(p["macs_per_byte"] for p in points)]) * 2
    floor = min([peak, *(p["macs_per_cycle"] for p in points)]) / 2
    kinds = legend_order(str(p["bound"]) for p in points)
    roof = {
        "type": "scatter",
        "mode": "lines",
        "name": f"roof: {peak:,.4g} MAC/cycle, {bandwidth:,.4g} B/cycle",
        "x": [low, knee, high],
        "y": [low * bandwidth, peak, peak],
        "line": {"color": style.INK, "width": 2},
        "hoverinfo": "skip",
    }
    dots = [_roofline_dots(kind, i, points) for i, kind in enumerate(kinds)]
    figure = {
        "data": [roof, *dots],
        "layout": layout(
            xaxis=style.log_axis("MACs per DRAM byte (log)", low, high),
            yaxis=style.log_axis("MACs per cycle (log)", min(floor, low * bandwidth), peak * 2),
        ),
    }
    caption = (
        "A dot is a layer, its speed taken over its whole span. Under the slope DRAM bandwidth is"
        " the limit, under the flat roof the array; a dot far below both loses time to latency,"
        " small tiles or an ill-fitting shape."
    )
    resident = len(curve["points"]) - len(points)
    if resident:
        caption += f" {resident} layer(s) without DRAM traffic are not drawn."
    return Chart(f"{prefix}-roofline", "Roofline", figure, 440, caption)


def _roofline_dots(kind: str, index: int, points: Sequence[Row]) -> dict[str, Any]:
    mine = [p for p in points if str(p["bound"]) == kind]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"bound by {text(kind)}",
        "x": [p["macs_per_byte"] for p in mine],
        "y": [p["macs_per_cycle"] for p in mine],
        "customdata": [text(p["op"]) for p in mine],
        "hovertemplate": (
            "<b>%{customdata}</b><br>%{x:,.4g} MAC/B, %{y:,.4g} MAC/cycle<extra></extra>"
        ),
        "marker": {
            "size": 10,
            "color": colour(kind, index),
            "opacity": 0.85,
            "line": {"color": "#FFFFFF", "width": 1},
        },
    }


def _layer_axis(rows: Sequence[Row]) -> dict[str, Any]:
    span = [-0.6, len(rows) - 0.4]
    if len(rows) > FEW:
        return axis("layer, in order of execution", showgrid=False, range=span)
    return axis(
        "",
        range=span,
        tickvals=list(range(len(rows))),
        ticktext=[style.short(row["op"], 22) for row in rows],
        tickangle=-55,
        tickfont={"size": 10},
        showgrid=False,
    )


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %" if whole else ""


def _limit_lines(*lines: tuple[float, str]) -> dict[str, Any]:
    made = [line_at(value, label, across="x") for value, label in lines]
    for line in made:
        line["annotation"].update(y=1, yanchor="bottom")
    return {
        "shapes": [line["shape"] for line in made],
        "annotations": [line["annotation"] for line in made],
    }


def _wide_bars(title: str, rows: int, top: float | None = None, **more: Any) -> dict[str, Any]:
    """Layout of horizontal bars with their names on the left."""
    limit: dict[str, Any] = {"range": [0, top]} if top is not None else {"rangemode": "tozero"}
    return layout(
        showlegend=False,
        bargap=0.3,
        xaxis=axis(title, exponentformat="none", nticks=6, **limit),
        yaxis=axis("", ticks="", tickfont={"size": 12}, range=[-0.6, rows - 0.4]),
        margin={"l": 100, "r": 24, "t": 24, "b": 44},
        **more,
    )
