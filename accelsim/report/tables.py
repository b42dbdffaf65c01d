"""Rows as text: CSV that spreadsheets show and that reads back exactly; numbers for people."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NoReturn

Row = dict[str, Any]

_INTEGER = re.compile(r"-?[0-9]{1,300}")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?")
_WORDS = {"null": None, "true": True, "false": False}
DEEPEST = 60
"""Levels of nesting that JSON may have; a record has fewer than ten."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def plain(value: Any) -> Any:
    """``value`` with JSON types only: tuples become lists, keys text, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"{type(value).__name__} has no JSON form")


def parse_json(source: str | bytes) -> Any:
    """JSON of a file that anybody may have made. Raises ValueError for what is not JSON (NaN and
    infinities are not), for numbers beyond a float, and for more than :data:`DEEPEST` levels."""
    try:
        tree = json.loads(source, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from None
    level = [tree]
    for _ in range(DEEPEST + 1):
        level = [item for node in level for item in _children(node)]
        if not level:
            return tree
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is beyond any number")
    return value


def csv_text(
    rows: Sequence[Mapping[str, Any]], first: Sequence[str] = (), *, exact: bool = True
) -> str:
    """CSV of rows (RFC 4180 quoting, line feeds), exactly restored by :func:`csv_rows`.

    Columns are those in ``first`` that occur, then the others as they first appear. Numbers are
    written in full; a text that a spreadsheet would take for a formula or a number is marked as
    text by a leading apostrophe, as one would type it; a key that a row lacks is an empty cell.
    Not ``exact``: so is an empty text, which is then restored as a key that the row lacks.
    """
    present = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in first if key in present]
    columns += [key for key in present if key not in first]
    lines = [[encode_cell(key) for key in columns]]
    lines += [
        ["" if key not in row or (not exact and row[key] == "") else encode_cell(row[key])
         for key in columns]
        for row in rows
    ]  # fmt: skip
    return "".join(",".join(_quote(cell) for cell in line) + "\n" for line in lines)


def csv_rows(text: str) -> tuple[Row, ...]:
    """Inverse of :func:`csv_text`. Raises ValueError for text that is not of that form."""
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if not lines:
        raise ValueError("no header")
    header = [str(decode_cell(cell)) for cell in lines[0]]
    rows = []
    for line in lines[1:]:
        cells = line or [""] * len(header)  # a row that lacks all keys is an empty line
        if len(cells) != len(header):
            raise ValueError(f"{len(cells)} cells under {len(header)} columns")
        rows.append({k: decode_cell(c) for k, c in zip(header, cells, strict=True) if c})
    return tuple(rows)


def encode_cell(value: Any) -> str:
    """One CSV cell, before quoting."""
    value = plain(value)
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False, sort_keys=True)
    suspect = value.startswith((*_FORMULA, "'", "[", "{")) or value in ("", *_WORDS)
    return "'" + value if suspect or _FLOAT.fullmatch(value) else value


def decode_cell(cell: str) -> Any:
    """Inverse of :func:`encode_cell`."""
    if cell.startswith("'"):
        return cell[1:]
    if cell in _WORDS:
        return _WORDS[cell]
    if _INTEGER.fullmatch(cell):
        return int(cell)
    if _FLOAT.fullmatch(cell):
        return _finite(cell)
    return parse_json(cell) if cell.startswith(("[", "{")) else cell


def _quote(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell


_SI = (
    (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""),
    (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"),
)  # fmt: skip


def si(value: float, unit: str) -> str:
    """A quantity with three digits or more and a prefix: ``1.23 ms``, ``45.6 µJ``, ``0 J``."""
    if value == 0:
        return f"0 {unit}"
    scale, prefix = next(((s, p) for s, p in _SI if abs(value) >= s * 0.9995), _SI[-1])
    return f"{number(value / scale)} {prefix}{unit}"


def size(count: float) -> str:
    """Bytes in binary prefixes: ``96 KiB``, ``1.5 MiB``, ``512 B``."""
    for scale, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(count) >= scale:
            return f"{number(count / scale)} {unit}"
    return f"{number(count)} B"


def number(value: float) -> str:
    """A number with three significant digits; whole numbers up to a million in full."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1e3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.2e}"


def percent(share: float, digits: int = 3) -> str:
    """A share as a percentage that never rounds to a clean 100 % or 0 % what is not."""
    value = 100.0 * share
    if share in (0.0, 1.0):
        return f"{value:.0f} %"
    text = f"{value:.{digits}g}" if abs(value) < 99 else f"{value:.{digits}f}"
    if float(text) == 100.0:
        return "> 99.999 %" if share < 1 else f"{text} %"
    return f"{float(text):g} %"
