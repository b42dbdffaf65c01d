"""docs/benchmarks.md, drawn from results.json: this file computes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.rows import Row

SECONDS = ("s", "CPU s")
HEAD = """# Benchmarks

Written by `make bench` from `benchmarks/results.json`. Every figure was measured; a row that could
not be measured says why. CPU time is user plus system seconds of the call alone, from the kernel's
accounting: imports and reading inputs come first and are not counted unless a row says so. Each
figure of accelsim is the best of several fresh processes, because a second call in one process
could find its answer in a memo, and a busy machine only ever adds time. The other tools run in
environments of their own. With `--cached-peers` their figures come from `benchmarks/peers/`, each
file with the machine it was measured on; ratios then compare two runs instead of one.
"""


def table(rows: Iterable[Row]) -> str:
    """Rows as a Markdown table."""
    lines = ["| what | figure | value | goal | | note |", "|---|---|---:|---|---|---|"]
    lines += [
        f"| {' | '.join((r.subject, r.quantity, value(r), goal(r), r.verdict, r.note))} |"
        for r in rows
    ]
    return "\n".join(lines)


def value(row: Row) -> str:
    """A figure with its unit."""
    return "-" if row.value is None else amount(row.value, row.unit)


def goal(row: Row) -> str:
    """A goal with its unit, or nothing."""
    if row.at_least is not None and row.at_least == row.at_most:
        return amount(row.at_least, row.unit)
    parts = []
    if row.at_least is not None:
        parts.append(f"at least {amount(row.at_least, row.unit)}")
    if row.at_most is not None:
        parts.append(f"at most {amount(row.at_most, row.unit)}")
    return ", ".join(parts)


def amount(number: float, unit: str) -> str:
    """A number with its unit; seconds below one as milliseconds or microseconds."""
    if unit in SECONDS and 0 < number < 1:
        power, prefix = (1e3, "m") if number >= 1e-3 else (1e6, "µ")
        return f"{digits(number * power)} {unit[:-1]}{prefix}s"
    return f"{digits(number)} {unit}".strip()


def digits(number: float) -> str:
    """Thousands separated; four significant digits below a thousand."""
    if number == int(number) and abs(number) < 10**15:
        return f"{int(number):,}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD]
    for part in document["benchmarks"].values():
        rows = [Row(**row) for row in part["rows"]]
        facts = ", ".join(f"{name} {text}" for name, text in part["versions"].items())
        host = part["machine"]
        size = f"{host['cpus']} CPUs, {host['memory_gib']} GiB"
        where = f"{host['cpu']}, {size}, {host['system']}; {facts}."
        parts.append(
            f"## {part['title']}\n\n{part['about']}\n\nMeasured on {where}\n\n{table(rows)}\n"
        )
    return "\n".join(parts)
