"""The buffers CSV of ``accelsim place``: text to buffers, placement to JSON values."""

from __future__ import annotations

import csv
import io
from typing import Any

from accelsim.errors import AccelsimError, Location, Mistake
from ilp.problem import Buffer, Placement
from ilp.validate import MAX_BYTES, require_valid_buffers

_COLUMNS = ("id", "lower", "upper", "size")


def buffers_from_csv(text: str, location: Location | None = None) -> tuple[Buffer, ...]:
    """Read buffers from text with the header ``id,lower,upper,size``.

    Columns may come in any order and others are ignored; lifetimes are half open. Raises
    :class:`AccelsimError` with every mistake (``S412`` form, ``S411`` content).
    """
    name = location.file if location else "buffers"
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        lines = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise AccelsimError(
            Mistake("S412", f"not valid CSV: {error}", "", Location(name, rows.line_num))
        ) from None
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    if any(header.count(column) != 1 for column in _COLUMNS):
        hint = "the first line must be id,lower,upper,size"
        where = Location(name, lines[0][0] if lines else 1)
        raise AccelsimError(Mistake("S412", "header misses or repeats a column", hint, where))
    places = [header.index(column) for column in _COLUMNS]
    buffers: list[Buffer] = []
    mistakes: list[Mistake] = []
    for number, row in lines[1:]:
        where = Location(name, number)
        cells = [row[place].strip() if place < len(row) else "" for place in places]
        values = [_integer(cell) for cell in cells[1:]]
        for column, cell, value in zip(_COLUMNS[1:], cells[1:], values, strict=True):
            if value is None:
                hint = f"a whole number of at most {MAX_BYTES}"
                mistakes.append(Mistake("S412", f"{column} is {cell[:40]!r}", hint, where))
        if not cells[0]:
            mistakes.append(Mistake("S412", "a buffer without id", "fill the id column", where))
        known = [value for value in values if value is not None]
        if cells[0] and len(known) == len(values):
            buffers.append(Buffer(cells[0], *known))
    if mistakes:
        raise AccelsimError(mistakes)
    require_valid_buffers(buffers, capacity=0, alignment=1, location=location)
    return tuple(buffers)


def placement_to_json(placement: Placement) -> dict[str, Any]:
    """The ``--json`` output: status, peak, lower bound, offset per buffer."""
    return {
        "status": placement.status,
        "peak": placement.peak,
        "lower_bound": placement.lower_bound,
        "offsets": dict(placement.offsets),
        "method": placement.method,
    }


def _integer(cell: str) -> int | None:
    digits = cell[1:] if cell[:1] in ("-", "+") else cell
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_BYTES))):
        return None
    return int(cell)
