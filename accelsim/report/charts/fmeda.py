"""Failure rates by block and by what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.report.charts import style
from accelsim.report.charts.style import Chart, axis, layout, text

Row = Mapping[str, Any]

FIT_PARTS = (
    ("single_point_fit", "single point (no mechanism)", style.VERMILION),
    ("residual_fit", "residual (mechanism misses it)", style.ORANGE),
    ("latent_fit", "latent (only with a second fault)", style.PURPLE),
    ("detected_fit", "detected or corrected", style.SKY),
    ("safe_fit", "safe (never used, or masked)", "#C9D1D9"),
)


def failure_rates(prefix: str, rows: Sequence[Row]) -> Chart:
    """FIT of every FMEDA row by what becomes of it; the safe part, most of it, is hidden first."""
    order = sorted(
        rows,
        key=lambda r: (r["base_fit"] - r["safe_fit"], str(r["block"]), str(r["fault_class"])),
    )
    labels = [f"{text(r['block'])} · {text(r['fault_class'])}" for r in order]
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": labels,
                "x": [r[key] for r in order],
                "hovertemplate": f"<b>%{{y}}</b><br>{name}: %{{x:.4g}} FIT<extra></extra>",
                "marker": {"color": hue},
                "visible": True if key != "safe_fit" else "legendonly",
            }
            for key, name, hue in FIT_PARTS
        ],
        "layout": layout(
            barmode="stack",
            bargap=0.3,
            xaxis=axis("FIT (failures per 1e9 hours)", rangemode="tozero"),
            yaxis=axis("", ticks="", tickfont={"size": 11}, range=[-0.6, len(order) - 0.4]),
            margin={"l": 230, "r": 24, "t": 60, "b": 44},
        ),
    }
    caption = (
        "Where each block's raw rate ends. Single-point and residual rates violate the safety goal"
        " undetected: they make up SPFM and PMHF. Click the legend to show or hide a part; the safe"
        " part starts hidden."
    )
    return Chart(
        f"{prefix}-fit",
        "What becomes of each failure rate",
        figure,
        150 + 26 * len(order),
        caption,
        False,
    )


def dangerous_rates(prefix: str, rows: Sequence[Row]) -> Chart | None:
    """The undetected dangerous FIT alone, largest first; None when there is none."""
    parts = FIT_PARTS[:2]
    order = sorted(
        (r for r in rows if any(r[key] for key, _, _ in parts)),
        key=lambda r: (sum(r[key] for key, _, _ in parts), str(r["block"])),
    )
    if not order:
        return None
    labels = [f"{text(r['block'])} · {text(r['fault_class'])}" for r in order]
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": labels,
                "x": [r[key] for r in order],
                "hovertemplate": f"<b>%{{y}}</b><br>{name}: %{{x:.4g}} FIT<extra></extra>",
                "marker": {"color": hue},
            }
            for key, name, hue in parts
        ],
        "layout": layout(
            barmode="stack",
            bargap=0.3,
            xaxis=axis("FIT", rangemode="tozero"),
            yaxis=axis("", ticks="", tickfont={"size": 11}, range=[-0.6, len(order) - 0.4]),
            margin={"l": 230, "r": 24, "t": 40, "b": 44},
        ),
    }
    caption = "What is left to protect, largest on top: the next mechanism belongs there."
    return Chart(
        f"{prefix}-dangerous",
        "Undetected dangerous rates",
        figure,
        120 + 26 * len(order),
        caption,
        False,
    )
