"""What all charts share: the Chart value, the palette, the base layout, safe text and JSON."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, BLACK, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#222B36", "#8A94A0"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)
"""Okabe and Ito's palette (Color Universal Design, 2008): told apart by colour-blind readers."""

INK, FAINT, GRID = "#222B36", "#5B6673", "#E6E9ED"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

RESOURCES: dict[str, str] = {
    "array": BLUE,
    "compute": BLUE,
    "vector": GREEN,
    "dma": SKY,
    "dram": ORANGE,
    "accumulators": PURPLE,
    "scratchpad": SKY,
    "static": GREY,
    "leakage": GREY,
    "control": GREY,
    "core": GREY,
}
"""Colour of a resource, energy component or block, by the first word of its name."""


@dataclass(frozen=True)
class Chart:
    """One plotly figure with what the page around it needs."""

    id: str
    """Unique in the page; letters, digits and hyphens."""
    title: str
    figure: Mapping[str, Any]
    """``data`` and ``layout`` of plotly.js, JSON-able."""
    height: int
    """Pixels."""
    caption: str = ""
    """What is shown and how to read it; plain text."""
    zoom: bool = True
    """Whether zooming in shows more: such charts get plotly's tool bar."""

    @property
    def json(self) -> str:
        """The figure as JSON that cannot end the script element it stands in."""
        return script_json(self.figure)


def script_json(value: object) -> str:
    """Canonical JSON for a ``<script>`` element: ASCII only, no ``<``, ``>`` or ``&``."""
    raw = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return raw.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def text(name: object) -> str:
    """A name as chart text: plotly reads a subset of HTML in labels, so markup is escaped."""
    return html.escape(str(name), quote=False)


def short(name: object, width: int = 30) -> str:
    """The end of a long name (operator and tensor names differ at their end), escaped."""
    raw = str(name)
    return text(raw if len(raw) <= width else "…" + raw[1 - width :])


def colour(name: str, fallback: int = 0) -> str:
    """Colour of a resource or component; unknown ones take the palette in turn."""
    word = name.replace("_", ".").replace(" ", ".").split(".")[0]
    return RESOURCES.get(word, CYCLE[fallback % len(CYCLE)])


def legend_order(names: Iterable[str]) -> list[str]:
    """Names in a fixed order: known resources first, then the others by name."""
    rank = {name: i for i, name in enumerate(RESOURCES)}
    return sorted(set(names), key=lambda n: (rank.get(n.split(".")[0], len(rank)), n))


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis in the house style."""
    return {
        "title": {"text": title, "font": {"size": 12, "color": FAINT}, "standoff": 8},
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": "#C4CAD1",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#C4CAD1",
        "automargin": True,
        "separatethousands": True,
        "exponentformat": "power",
        **more,
    }


def layout(**more: Any) -> dict[str, Any]:
    """The base layout: white, no title (the page has one), legend above the plot."""
    return {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "margin": {"l": 64, "r": 44, "t": 40, "b": 48},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "font": {"size": 12},
            "traceorder": "normal",
        },
        "modebar": {"orientation": "v", "bgcolor": "rgba(255,255,255,0.85)"},
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left", "namelength": -1},
        "hovermode": "closest",
        **more,
    }


def log_axis(title: str, low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis over [low, high], labelled at 1, 2 and 5 of every decade (over more than
    three decades: at powers of ten)."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    leads = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [lead * 10.0**power for power in range(first, last + 1) for lead in leads]
    return axis(
        title,
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:,.10g}" if 1e-3 <= tick < 1e6 else f"{tick:.0e}" for tick in ticks],
    )


def line_at(
    value: float, label: str, *, across: str = "y", colour: str = VERMILION
) -> dict[str, Any]:
    """A labelled limit line over the whole plot, at ``value`` of the ``across`` axis.

    Returns ``{"shape": ..., "annotation": ...}`` for the layout's lists.
    """
    other = "x" if across == "y" else "y"
    shape = {
        "type": "line",
        f"{other}ref": "paper",
        f"{across}ref": across,
        f"{other}0": 0,
        f"{other}1": 1,
        f"{across}0": value,
        f"{across}1": value,
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
    }
    annotation = {
        f"{other}ref": "paper",
        f"{across}ref": across,
        f"{other}": 1,
        f"{across}": value,
        "text": text(label),
        "showarrow": False,
        "xanchor": "right",
        "yanchor": "bottom",
        "font": {"size": 11, "color": colour},
        "bgcolor": "rgba(255,255,255,0.8)",
    }
    return {"shape": shape, "annotation": annotation}
