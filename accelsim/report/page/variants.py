"""The variants of a record: the base run, the others, and all of them side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from accelsim.metrics import KNOWN, Metrics
from accelsim.report.page.blocks import Section, Table, columns, num, word
from accelsim.report.page.wording import metric_value

if TYPE_CHECKING:
    from accelsim.record import RunRecord, VariantRecord

BASE = "base"
"""How the base run is called beside the variants."""


def everyone(record: RunRecord) -> Iterator[tuple[str, VariantRecord]]:
    """The base run, then the others in the order of the configuration."""
    yield BASE, record.base
    yield from record.others.items()


def variant_section(record: RunRecord) -> Section | None:
    """The metrics of all variants side by side; None when there is only the base run."""
    simulated = {n: v.metrics for n, v in everyone(record) if "latency.cycles" in v.metrics}
    others = {n: v.metrics for n, v in everyone(record) if n not in simulated and v.metrics}
    titled = (("simulated variants", simulated), ("variants that only inject faults", others))
    tables = tuple(_table(f"Metrics of the {title}", found) for title, found in titled if found)
    if len(record.variants) < 2 or not tables:
        return None
    return Section(
        "sec-variants",
        "Variants",
        "Variants side by side",
        "The base run and every variant of the configuration.",
        tables,
    )


def _table(title: str, tables: Mapping[str, Metrics]) -> Table:
    """A column per variant, a row per metric that any of them has."""
    rank = {name: i for i, name in enumerate(KNOWN)}
    metrics = sorted(
        {metric for table in tables.values() for metric in table},
        key=lambda name: (rank.get(name.split("@")[0], len(rank)), name),
    )
    rows = tuple(
        (
            word(metric),
            *(
                num(table[metric].value, metric_value(metric, table[metric]))
                if metric in table
                else word(None)
                for table in tables.values()
            ),
        )
        for metric in metrics
    )
    head = columns("Metric", *(f"#{name}" for name in tables))
    gaps = any(metric not in table for table in tables.values() for metric in metrics)
    caption = "A dash: the variant does not produce the metric." if gaps else ""
    return Table(title, head, rows, caption, open=True)
