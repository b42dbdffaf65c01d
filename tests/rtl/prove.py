"""Measures the systolic arrays of this folder and compares them with accelsim's closed forms.

    python tests/rtl/prove.py --write      new measurements into measured.csv
    python tests/rtl/prove.py --check      measures every row of measured.csv again

Needs Verilator and a C++ compiler. Exit status 1 if anything disagrees, 2 without the tools.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import rtl_table
from rtl_bench import (
    MESH_VARIANTS,
    SERIAL,
    VARIANTS,
    Case,
    Design,
    Measured,
    build,
    measure,
    verilator_version,
)
from rtl_expected import closed_period, disagreement, shortest_period, tiles_of

SIZES = (
    (1, 1), (1, 5), (6, 1), (2, 2), (2, 7), (3, 5), (5, 3), (4, 4), (7, 6), (8, 8), (4, 16),
    (16, 4),
)  # fmt: skip
MESH_SIZES = ((1, 1), (2, 2), (3, 5), (5, 3), (4, 4), (8, 8))
WIDE, NARROW = (4, 3, 16), (3, 4, 4)
"""Rows, columns and operand bits other than 8."""

Rows = list[tuple[Case, Measured]]


def arrays() -> Iterator[tuple[str, str, str]]:
    """(dataflow, array, MAC operands) of every array, input stationary on the ws ones."""
    for dataflow, array, mac_input in VARIANTS:
        yield dataflow, array, mac_input
        if dataflow == "ws":
            yield "is", array, mac_input


def shape(dataflow: str, across_rows: int, across_cols: int, streamed: int) -> tuple[int, int, int]:
    """m, n, k of a product from its extents over the array and in time."""
    return {
        "os": (across_rows, across_cols, streamed),
        "ws": (streamed, across_cols, across_rows),
        "is": (across_cols, streamed, across_rows),
    }[dataflow]


def extents(rows: int, cols: int, rng: random.Random) -> list[tuple[int, int, int]]:
    """Extents over rows and columns and in time: full tile, edge tile, long and short sequences."""
    return [
        (rows, cols, rng.randint(1, 3 * rows + 2)),
        (rng.randint(1, rows), rng.randint(1, cols), rng.randint(1, 3 * rows)),
        (rng.randint(rows + 1, 3 * rows), rng.randint(1, 2 * cols), rng.randint(rows, 3 * rows)),
        (rng.randint(rows + 1, 3 * rows), rng.randint(1, 2 * cols), rng.randint(1, rows)),
        (rng.randint(1, rows), rng.randint(cols + 1, 3 * cols), rng.randint(1, 2 * rows)),
    ]


def mesh_extents(rows: int, cols: int, rng: random.Random) -> list[tuple[int, int, int]]:
    """As :func:`extents`, but of two output-stationary tiles the last one uses every row: else no
    used row would see that the bottom ones did not get their initial zeros in time."""
    return [
        *extents(rows, cols, rng)[:2],
        (rng.randint(2 * rows, 3 * rows), rng.randint(1, 2 * cols), rng.randint(rows, 3 * rows)),
        (rng.randint(2 * rows, 3 * rows), rng.randint(1, 2 * cols), rng.randint(1, rows)),
        (rows, rng.randint(cols + 1, 3 * cols), rng.randint(1, 2 * rows)),
    ]


def at_periods(case: Case) -> Iterator[Case]:
    """The case at the periods that decide: as stated, one shorter, the shortest possible."""
    if tiles_of(case) == 1 or case.array == "none":
        yield case
    if tiles_of(case) == 1 or (case.array == "none" and case.skip_idle):
        return  # serial tiles of unequal width have no single period
    periods = {shortest_period(case) - 1, shortest_period(case), closed_period(case)}
    if case.array != "none":
        periods.add(closed_period(case) - 1)
    for period in sorted(periods - {0}):
        yield replace(case, period=period)


def plan() -> Iterator[Case]:
    """Everything that --write measures; shapes are drawn per array, the same every time."""
    yield from array_plan()
    yield from mesh_plan()


def mesh_plan() -> Iterator[Case]:
    """The Gemmini mesh; its serial tiles have no shorter period of their own."""
    for dataflow, array in MESH_VARIANTS:
        for rows, cols in MESH_SIZES:
            rng = random.Random(f"mesh {dataflow} {array} {rows} {cols}")
            for size in mesh_extents(rows, cols, rng):
                base = Case(
                    dataflow, array, "registered", rng.random() < 0.4, rows, cols,
                    *shape(dataflow, *size), SERIAL, microarchitecture="gemmini",
                )  # fmt: skip
                if array == "none" or tiles_of(base) == 1:
                    yield base
                    continue
                for period in (closed_period(base) - 1, closed_period(base)):
                    if period > 0:
                        yield replace(base, period=period)


def array_plan() -> Iterator[Case]:
    """The generic arrays."""
    sizes = [(*size, 8) for size in SIZES] + [WIDE, NARROW]
    for dataflow, array, mac_input in arrays():
        for rows, cols, width in sizes:
            rng = random.Random(f"{dataflow} {array} {mac_input} {rows} {cols} {width}")
            drawn = extents(rows, cols, rng)
            if max(rows, cols) > 8 or width != 8:
                drawn = drawn[2:3]
            for size in drawn if mac_input == "arriving" else drawn[2:4]:
                m, n, k = shape(dataflow, *size)
                skip = array != "preload-direct" and rng.random() < 0.4
                base = Case(
                    dataflow, array, mac_input, skip, rows, cols, m, n, k, SERIAL, width
                )  # fmt: skip
                yield from at_periods(base)
        if mac_input == "registered":
            continue
        # One product at every period, from far too short to longer than needed.
        base = Case(dataflow, array, mac_input, False, 3, 5, *shape(dataflow, 7, 8, 2), SERIAL)
        for period in range(1, shortest_period(base) + 3):
            yield replace(base, period=period)
    # Narrow last tiles right behind wide ones that are still being emptied.
    for dataflow, array in (("os", "full"), ("ws", "full"), ("is", "column"), ("os", "column")):
        m, n, k = shape(dataflow, 2, 8, 1)
        base = Case(dataflow, array, "arriving", True, 2, 7, m, n, k, SERIAL)
        yield replace(base, period=closed_period(base))


def measure_all(cases: Iterable[Case], folder: Path, jobs: int) -> Rows:
    """Builds what the cases need and runs them; the result has the cases' order."""
    by_design: dict[Design, list[Case]] = defaultdict(list)
    unique = list(dict.fromkeys(cases))
    for case in unique:
        by_design[case.design].append(case)

    def one(design: Design) -> list[tuple[Case, Measured]]:
        group = by_design[design]
        return list(zip(group, measure(build(design, folder), group), strict=True))

    largest_first = sorted(by_design, key=lambda design: (-design.rows * design.cols, design))
    with ThreadPoolExecutor(jobs) as pool:
        found = dict(row for rows in pool.map(one, largest_first) for row in rows)
    return [(case, found[case]) for case in unique]


def problems(rows: Rows, recorded: Rows) -> list[str]:
    """What contradicts the closed forms, or the table."""
    known = dict(recorded)
    wrong = []
    for case, seen in rows:
        why = disagreement(case, seen)
        if why:
            wrong.append(f"{case}: {why}")
        before = known.get(case, seen)
        if (seen.tiles, seen.correct) != (before.tiles, before.correct) or (
            seen.correct and seen.cycles != before.cycles
        ):
            wrong.append(f"{case}: now {seen}, in the table {before}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="measure and write measured.csv")
    action.add_argument("--check", action="store_true", help="measure measured.csv again")
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1), help="builds at once")
    arguments = parser.parse_args()
    version = verilator_version()
    if version is None:
        sys.stderr.write("Verilator, make and a C++ compiler are needed\n")
        return 2
    recorded = rtl_table.read() if arguments.check else []
    cases = [case for case, _ in recorded] if arguments.check else list(plan())
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_all(cases, Path(folder), arguments.j)
    wrong = problems(rows, recorded)
    sys.stderr.write("".join(line + "\n" for line in wrong))
    correct = sum(seen.correct for _, seen in rows)
    sys.stdout.write(
        f"{version}: {len(rows)} runs, {correct} correct, {len(rows) - correct} corrupted by a "
        f"period that is too short, {len(wrong)} disagree\n"
    )
    if arguments.write and not wrong:
        rtl_table.write(rtl_table.TABLE, version, rows)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
