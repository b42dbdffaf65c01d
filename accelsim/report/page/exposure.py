"""The section on exposure: which bits hold something needed, where, for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.report.charts import exposure
from accelsim.report.page.blocks import Charts, Section, Table, columns, num, word
from accelsim.report.page.wording import number

Row = Mapping[str, Any]


def section(prefix: str, rows: Sequence[Row]) -> Section | None:
    """Exposure by structure and tensor; None without rows."""
    if not rows:
        return None
    head = columns("Structure", "Kind", "Tensor", "Operator", "#Bits", "#Bit-cycles")
    order = sorted(rows, key=lambda r: (-r["bit_cycles"], r["structure"], r["tensor"], r["op"]))
    body = tuple(
        (
            word(row["structure"]),
            word(row["kind"]),
            word(row["tensor"]),
            word(row["op"]),
            num(row["bits"], number(row["bits"])),
            num(row["bit_cycles"], number(row["bit_cycles"])),
        )
        for row in order
    )
    return Section(
        f"{prefix}-sec-exposure",
        "Exposure",
        "What an upset can reach",
        "Bits weighted by the time they hold a value that is still needed.",
        (
            Charts((exposure.exposure_structures(prefix, rows),)),
            Charts((exposure.exposure_tensors(prefix, rows),)),
            Table(f"All {len(rows):,} exposures", head, body, open=False),
        ),
    )
