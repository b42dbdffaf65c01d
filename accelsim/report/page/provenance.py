"""The last section: what it takes to make the figures again, and what they rest on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from accelsim.report.basis import assumptions
from accelsim.report.page.blocks import (
    Block,
    Facts,
    Note,
    Section,
    Source,
    Table,
    columns,
    num,
    word,
)
from accelsim.report.page.variants import everyone
from accelsim.report.page.wording import number

if TYPE_CHECKING:
    from accelsim.record import RunRecord

REMARKS = ("fallbacks", "notes", "assumptions")
"""Lists in a variant's info that a reader should see as sentences."""


def provenance_section(record: RunRecord) -> Section:
    """Versions, seeds, fallbacks, notes, assumptions and the resolved configuration."""
    facts = [("configuration SHA-256", record.sha256)]
    facts += [(key, _plain(value)) for key, value in sorted(record.provenance.items())]
    blocks: list[Block] = [Facts("Made with", tuple(facts))]
    blocks.append(_table(record))
    blocks += _remarks(record)
    lines = assumptions(record) or ("Nothing was simulated or injected.",)
    blocks.append(Note("What is modelled, and what is assumed", lines))
    blocks.append(Source("The resolved configuration", _pretty(record.config)))
    return Section(
        "sec-provenance",
        "Provenance",
        "Provenance and assumptions",
        "What it takes to make these figures again, and what they rest on.",
        tuple(blocks),
    )


def _table(record: RunRecord) -> Table:
    head = columns("Variant", "Network", "Simulated", "#Seed", "#Confidence", "Solver of the plan")
    rows = []
    for name, variant in everyone(record):
        info, plan = variant.info, variant.plan
        seed, confidence = info.get("seed"), info.get("confidence")
        rows.append(
            (
                word(name),
                word(info.get("model")),
                word("yes" if info.get("simulated") else "no, faults only"),
                num(seed, str(seed)),
                num(confidence, number(confidence, "%")),
                word(f"{plan['solver']} ({plan['status']})" if plan else None),
            )
        )
    return Table("How each variant was made", head, tuple(rows))


def _remarks(record: RunRecord) -> list[Block]:
    """Fallbacks and notes; what several variants share is said once."""
    labels = {"fallbacks": "Costed as element-wise work, not modelled"}
    blocks: list[Block] = []
    for key in REMARKS:
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, variant in everyone(record):
            lines = tuple(str(line) for line in variant.info.get(key) or ())
            if lines:
                groups.setdefault(lines, []).append(name)
        tone = "warn" if key == "fallbacks" else ""
        for lines, names in groups.items():
            title = f"{labels.get(key, _title(key))} ({', '.join(names)})"
            blocks.append(Note(title, lines, tone))
    return blocks


def _title(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def _pretty(canonical: Any) -> str:
    tree = json.loads(canonical) if isinstance(canonical, str) else canonical
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False)
