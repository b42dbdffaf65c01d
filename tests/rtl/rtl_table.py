"""The committed measurements: reading and writing measured.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from rtl_bench import SERIAL, Case, Measured

TABLE = Path(__file__).parent / "measured.csv"

COLUMNS = (
    "array", "variant", "mac_input", "skip_idle", "bits", "rows", "cols", "m", "n", "k", "tiles",
    "period", "cycles", "correct",
)  # fmt: skip


def write(path: Path, version: str, rows: Iterable[tuple[Case, Measured]]) -> None:
    """One line per measurement after a comment that says how it was made."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# measured on the arrays of this folder with {version}: prove.py --write\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for case, seen in rows:
            writer.writerow(
                (
                    case.microarchitecture, f"{case.dataflow}-{case.array}", case.mac_input,
                    int(case.skip_idle), case.width, case.rows, case.cols, case.m, case.n, case.k,
                    seen.tiles, "serial" if case.period == SERIAL else case.period,
                    seen.cycles if seen.correct else "", int(seen.correct),
                )
            )  # fmt: skip


def read(path: Path = TABLE) -> list[tuple[Case, Measured]]:
    """The measurements of a table; cycles of a corrupted run are 0: they mean nothing."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [_row(fields) for fields in csv.DictReader(lines)]


def _row(fields: dict[str, str]) -> tuple[Case, Measured]:
    dataflow, _, array = fields["variant"].partition("-")
    rows, cols, m, n, k = (int(fields[name]) for name in ("rows", "cols", "m", "n", "k"))
    period = SERIAL if fields["period"] == "serial" else int(fields["period"])
    case = Case(
        dataflow, array, fields["mac_input"], fields["skip_idle"] == "1",
        rows, cols, m, n, k, period, int(fields["bits"]), fields["array"],
    )  # fmt: skip
    seen = Measured(int(fields["tiles"]), int(fields["cycles"] or 0), fields["correct"] == "1")
    return case, seen
