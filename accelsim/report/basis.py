"""What the figures rest on: marks of the base rates, evidence of the rows, stated assumptions.

Shared by the page, the console and the CI gate, so that all of them say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from accelsim.metrics import Metric
from accelsim.report.tables import percent

if TYPE_CHECKING:
    from accelsim.record import RunRecord, VariantRecord

Row = Mapping[str, Any]

MARKS: dict[str, str] = {
    "S": "read in a public source",
    "R": "recalled, not re-read",
    "D": "derived from such figures",
    "E": "example value: replace it with your own",
}
"""What the marks of inputs mean, in the order of how much they are worth."""

LEGEND = "; ".join(f"{mark} {words}" for mark, words in MARKS.items())

SIMULATED = (
    "Time is counted in cycles; every tile of an operator is one event, and its cycles follow from"
    " the dataflow of the array in closed form.",
    "DRAM is a bandwidth and a fixed latency per transfer, shared by all DMA channels; banks, rows"
    " and refresh are not modelled.",
    "Energy is counted per access and operation from one published table, leakage over the whole"
    " latency; clock tree and input/output pads are not in it.",
    "A bit is exposed from the write of its value to the last read of it; buffers that hold nothing"
    " needed are not exposed.",
)
INJECTED = (
    "One fault at a time. An answer counts as changed when the top-1 class differs from the run"
    " without faults; the fault (or fault map), not the image, is the independent unit of every"
    " interval.",
    "An upset in a stored value is taken to hit all of its uses.",
    "The evaluation images are a fixed set: the intervals tell of other faults, not of other"
    " images.",
    "The intervals of the structures hold together (Bonferroni): each is wider than it would be"
    " alone.",
    "The lowest accuracy is that of the worst fault tried, not a bound on all faults.",
)
ASSESSED = (
    "Base failure rates, mission time and the safe fraction of logic that was not injected into are"
    " inputs of the configuration; the FMEDA names the source of each.",
    "Permanent faults go by area and are all taken as dangerous.",
    "On-chip memory that the plan never allocates is not safety-related: it adds to no failure rate"
    " and improves no metric.",
)
JUDGED = ("Each target is judged at its own confidence; nothing is shared across targets.",)


def assumptions(record: RunRecord) -> tuple[str, ...]:
    """The sentences that apply to what the record holds."""
    parts = list(record.variants.values())
    lines: tuple[str, ...] = ()
    lines += SIMULATED if any(v.trace is not None or v.plan for v in parts) else ()
    return lines + fault_assumptions(record)


def fault_assumptions(record: RunRecord) -> tuple[str, ...]:
    """Those on faults, failure rates and verdicts alone."""
    parts = list(record.variants.values())
    lines: tuple[str, ...] = ()
    lines += INJECTED if any(v.campaign for v in parts) else ()
    lines += ASSESSED if any(v.fmeda for v in parts) else ()
    return lines + (JUDGED if record.verdicts else ())


def mark_of(row: Row) -> str:
    """Mark of an FMEDA row's base rate; of older tables, the first mark in its source."""
    if row.get("mark"):
        return str(row["mark"])
    found = re.search(r"\[([SRDE])\]", str(row.get("source", "")))
    return found[1] if found else ""


def cautions(record: RunRecord) -> tuple[str, ...]:
    """A sentence for each thing that the failure rates of a variant are too good to be true on:
    example base rates, and rows that were assumed instead of measured."""
    lines: dict[str, list[str]] = {}
    for name, variant in record.variants.items():
        rows = (variant.fmeda or {}).get("rows") or ()
        example = sum(mark_of(row) == "E" for row in rows)
        assumed = sum(row.get("evidence") == "assumed" for row in rows)
        if example:
            text = f"{example} of {len(rows)} rows of the FMEDA have an example base rate (mark E)"
            lines.setdefault(f"{text}, no data of a product.", []).append(name)
        if assumed:
            text = f"{assumed} of {len(rows)} rows rest on assumed, not injected, outcomes."
            lines.setdefault(text, []).append(name)
    return tuple(f"{', '.join(names)}: {line}" for line, names in lines.items())


def asil_basis(record: RunRecord) -> tuple[str, ...]:
    """Per variant with an ASIL verdict: what the PMHF bound is made of. Empty when not known."""
    judged = dict.fromkeys(v.variant for v in record.verdicts if v.metric == "asil.pmhf_fit")
    return tuple(
        f"{name}: {line}"
        for name in judged
        if name in record.variants
        for line in _shares(record.variants[name])
    )


def _shares(variant: VariantRecord) -> Iterator[str]:
    measured = _share(variant.metrics.get("asil.pmhf_measured_share"))
    example = _share(variant.metrics.get("asil.pmhf_example_share"))
    if measured is not None:
        yield (
            f"{percent(measured)} of the PMHF bound comes from measured (injected) rows, "
            f"{percent(1.0 - measured)} from assumed ones"
        )
    if example is not None:
        yield f"{percent(example)} of the PMHF bound comes from example base rates (mark E)"


def _share(metric: Metric | None) -> float | None:
    return float(metric.value) if metric is not None and metric.value not in ("", "n/a") else None
