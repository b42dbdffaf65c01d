"""The variants of a record: the base run, the others, and all of them side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from accelsim.metrics import KNOWN
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
    tables = {name: variant.metrics for name, variant in everyone(record)}
    if len(tables) < 2:
        return None
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
    caption = "A dash: the variant does not produce the metric, e.g. one that only injects faults."
    return Section(
        "sec-variants",
        "Variants",
        "Variants side by side",
        "The base run and every variant of the configuration.",
        (Table("Metrics of all variants", head, rows, caption, open=True),),
    )
