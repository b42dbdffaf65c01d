"""What faults do: outcomes by structure, and accuracy against the fault rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.report.charts import style
from accelsim.report.charts.style import Chart, axis, layout, text

Row = Mapping[str, Any]


def outcomes(prefix: str, structures: Sequence[Row]) -> Chart:
    """P(top-1 changes | a live bit flips) by structure, with the confidence interval."""
    order = sorted(structures, key=lambda s: (s["share"], s["structure"]))
    figure = {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "y": [text(s["structure"]) for s in order],
                "x": [100 * s["sdc"]["mean"] for s in order],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [100 * (s["sdc"]["upper"] - s["sdc"]["mean"]) for s in order],
                    "arrayminus": [100 * (s["sdc"]["mean"] - s["sdc"]["lower"]) for s in order],
                    "color": style.BLUE,
                    "thickness": 2,
                    "width": 6,
                },
                "customdata": [
                    [s["sdc"]["n"], 100 * s["sdc"]["lower"], 100 * s["sdc"]["upper"]] for s in order
                ],
                "hovertemplate": (
                    "<b>%{y}</b><br>%{x:.4g} % [%{customdata[1]:.4g}, %{customdata[2]:.4g}]"
                    "<br>%{customdata[0]:,} faults<extra></extra>"
                ),
                "marker": {"size": 9, "color": style.BLUE},
            }
        ],
        "layout": layout(
            showlegend=False,
            xaxis=axis("upsets of a live bit that change the answer (%)", rangemode="tozero"),
            yaxis=axis("", ticks="", range=[-0.7, len(order) - 0.3]),
            margin={"l": 190, "r": 24, "t": 12, "b": 48},
        ),
    }
    caption = (
        "Dot: share of (fault, image) pairs whose top-1 differs from the fault-free run. Whiskers:"
        " confidence interval with the fault as the independent unit."
    )
    return Chart(
        f"{prefix}-outcomes", "Silent data corruption by structure", figure,
        100 + 38 * len(order), caption, False,
    )  # fmt: skip


def accuracy_curves(prefix: str, fmt: str, runs: Sequence[tuple[str, Row]]) -> Chart:
    """Top-1 against the fault rate (log), one line per run; all runs hold ``fmt`` numbers.

    ``runs``: (variant, campaign) with rate results.
    """
    data: list[dict[str, Any]] = []
    for i, (name, campaign) in enumerate(runs):
        data += _accuracy_run(f"{name} (clip: {campaign['rates'][0]['clip']})", i, campaign)
    clean = sorted({float(campaign["accuracy_fault_free"]) for _, campaign in runs})
    lines = [
        style.line_at(100 * value, f"fault-free {100 * value:.4g} %", colour=style.FAINT)
        for value in clean
    ]
    rates = sorted({float(r["rate"]) for _, campaign in runs for r in campaign["rates"]})
    figure = {
        "data": data,
        "layout": layout(
            xaxis=axis(
                "probability that a stored bit is flipped (log)",
                type="log",
                tickvals=rates,
                ticktext=[f"{rate:g}" for rate in rates],
            ),
            yaxis=axis("top-1 accuracy (%)", range=[0, 105]),
            shapes=[line["shape"] for line in lines],
            annotations=[line["annotation"] for line in lines],
        ),
    }
    caption = (
        f"Number format: {fmt}. Line: mean over fault maps; band and whiskers: its confidence"
        " interval; crosses: the worst single map. Every weight and bias bit flips independently."
    )
    slug = "".join(c if c.isalnum() else "-" for c in fmt)
    return Chart(
        f"{prefix}-rates-{slug}", f"Accuracy against fault rate, {fmt}", figure, 430, caption
    )


def _accuracy_run(label: str, index: int, campaign: Row) -> list[dict[str, Any]]:
    rates = sorted(campaign["rates"], key=lambda r: r["rate"])
    x = [r["rate"] for r in rates]
    mean = [100 * r["accuracy"]["mean"] for r in rates]
    upper = [100 * r["accuracy"]["upper"] for r in rates]
    lower = [100 * r["accuracy"]["lower"] for r in rates]
    hue = style.CYCLE[index % len(style.CYCLE)]
    common = {"type": "scatter", "legendgroup": str(index)}
    return [
        {
            **common,
            "x": [*x, *x[::-1]],
            "y": [*upper, *lower[::-1]],
            "mode": "lines",
            "line": {"width": 0},
            "fill": "toself",
            "fillcolor": hue,
            "opacity": 0.18,
            "showlegend": False,
            "hoverinfo": "skip",
        },
        {
            **common,
            "x": x,
            "y": mean,
            "mode": "lines+markers",
            "name": text(label),
            "line": {"color": hue, "width": 2},
            "marker": {"size": 8, "color": hue, "symbol": index},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [u - m for u, m in zip(upper, mean, strict=True)],
                "arrayminus": [m - w for m, w in zip(mean, lower, strict=True)],
                "color": hue,
                "thickness": 1.2,
                "width": 4,
            },
            "customdata": [[w, u] for w, u in zip(lower, upper, strict=True)],
            "hovertemplate": (
                f"<b>{text(label)}</b><br>rate %{{x}}: %{{y:.4g}} %"
                " [%{customdata[0]:.4g}, %{customdata[1]:.4g}]<extra></extra>"
            ),
        },
        {
            **common,
            "x": x,
            "y": [100 * r["accuracy_worst"] for r in rates],
            "mode": "markers",
            "name": "worst map",
            "showlegend": False,
            "marker": {"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": hue}},
            "hovertemplate": "worst map at rate %{x}: %{y:.4g} %<extra></extra>",
        },
    ]
