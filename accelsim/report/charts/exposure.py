"""What an upset can reach: bits weighted by the time they hold something needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.report.charts import style
from accelsim.report.charts.style import Chart, axis, layout, short, text

Row = Mapping[str, Any]
TENSORS = 25
"""Bars of the tensor chart; the table beside it has all."""


def by_structure(rows: Sequence[Row]) -> list[tuple[str, int, int]]:
    """(structure, bits, bit-cycles) of the exposure rows, most exposed first."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        slot = sums.setdefault(f"{row['structure']} · {row['kind']}", [0, 0])
        slot[0] += int(row["bits"])
        slot[1] += int(row["bit_cycles"])
    found = [(name, bits, cycles) for name, (bits, cycles) in sums.items()]
    return sorted(found, key=lambda item: (-item[2], item[0]))


def exposure_structures(prefix: str, rows: Sequence[Row]) -> Chart:
    """Bit-cycles by structure and kind of data."""
    sums = by_structure(rows)[::-1]
    total = sum(item[2] for item in sums) or 1
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": [text(name) for name, _, _ in sums],
                "x": [cycles for _, _, cycles in sums],
                "text": [f"{100 * cycles / total:.3g} %" for _, _, cycles in sums],
                "textposition": "auto",
                "marker": {"color": [_kind_colour(name) for name, _, _ in sums]},
                "hovertemplate": "%{y}<br>%{x:,.4g} bit-cycles<extra></extra>",
            }
        ],
        "layout": _bars(len(sums), 190),
    }
    caption = (
        "Bits times the cycles in which they hold a value that will still be read. An upset drawn"
        " at random from the used memory strikes in these proportions."
    )
    return Chart(
        f"{prefix}-exposure", "Exposure by structure", figure, 100 + 36 * len(sums), caption, False
    )


def exposure_tensors(prefix: str, rows: Sequence[Row], limit: int = TENSORS) -> Chart:
    """The most exposed tensors, coloured by the kind of data."""
    sums: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        slot = sums.setdefault((str(row["tensor"]), f"{row['structure']} · {row['kind']}"), [0, 0])
        slot[0] = max(slot[0], int(row["bits"]))
        slot[1] += int(row["bit_cycles"])
    top = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))[:limit][::-1]
    labels = {key: f"{short(key[0], 44)}" for key, _ in top}
    groups = sorted({key[1] for key, _ in top})
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": text(group),
            "y": [i for i, (key, _) in enumerate(top) if key[1] == group],
            "x": [slot[1] for key, slot in top if key[1] == group],
            "customdata": [[text(key[0]), slot[0]] for key, slot in top if key[1] == group],
            "hovertemplate": (
                "<b>%{customdata[0]}</b><br>%{customdata[1]:,} bits"
                f" in {text(group)}<br>%{{x:,.4g}} bit-cycles<extra></extra>"
            ),
            "marker": {"color": _kind_colour(group)},
        }
        for group in groups
    ]
    figure = {
        "data": data,
        "layout": layout(
            barmode="overlay",
            bargap=0.25,
            xaxis=axis("bit-cycles", tickformat=".3~s", rangemode="tozero"),
            yaxis=axis(
                "",
                tickvals=list(range(len(top))),
                ticktext=[labels[key] for key, _ in top],
                ticks="",
                tickfont={"size": 11},
                range=[-0.6, len(top) - 0.4],
            ),
            margin={"l": 220, "r": 24, "t": 40, "b": 44},
        ),
    }
    many = f" The {limit} most exposed of {len(sums):,}." if len(sums) > limit else ""
    caption = (
        "Vulnerable bits x time of each tensor in each memory, from the simulated schedule: holding"
        f" a tensor twice as long doubles its bar and its share of the failure rate.{many}"
    )
    return Chart(
        f"{prefix}-tensors", "Exposure by tensor", figure, 110 + 20 * len(top), caption, False
    )


def _kind_colour(name: str) -> str:
    for word, hue in (
        ("accumulator", style.PURPLE),
        ("weight", style.ORANGE),
        ("bias", style.VERMILION),
        ("activation", style.SKY),
    ):
        if word in name.split(" · ")[-1]:
            return hue
    return style.GREY


def _bars(rows: int, left: int) -> dict[str, Any]:
    return layout(
        showlegend=False,
        bargap=0.3,
        xaxis=axis("bit-cycles", tickformat=".3~s", rangemode="tozero"),
        yaxis=axis("", ticks="", range=[-0.6, rows - 0.4]),
        margin={"l": left, "r": 24, "t": 12, "b": 44},
    )
