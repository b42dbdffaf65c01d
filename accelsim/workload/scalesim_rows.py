"""SCALE-Sim topology tables as plain layers: the dialects of their CSV files.

Two kinds: convolutions (``Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width,
Channels, Num Filter, Strides``) and products (``Layer, M, N, K``). Files come with or without a
trailing comma, with blank lines, remarks in further columns, a sparsity ratio ``N:M``, a second
stride, a batch; in UTF-8 (with or without a mark), UTF-16 or Latin-1; with any line end.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.limits import MAX_OPERATORS

MAX_BYTES = 2**20
"""Largest topology file, in bytes."""

_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}", re.ASCII)
_WRITTEN = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
"""What is meant as a number, whole or not."""
_RATIO = re.compile(r"([0-9]{1,6})\s*:\s*([0-9]{1,6})", re.ASCII)
_CONV = (
    "IFMAP height", "IFMAP width", "filter height", "filter width", "channels", "filters",
    "stride",
)  # fmt: skip
_PRODUCT = ("M", "N", "K")


@dataclass(frozen=True)
class Layer:
    """One row. A product has ``channels`` 0 and its extents in ``product``."""

    name: str
    line: int
    height: int = 0
    width: int = 0
    kernel_height: int = 0
    kernel_width: int = 0
    channels: int = 0
    filters: int = 0
    stride: tuple[int, int] = (1, 1)
    product: tuple[int, int, int] = (0, 0, 0)
    """(m, n, k): [m, k] by [k, n]."""
    batch: int = 1
    """Products of one row (attention heads)."""
    sparsity: tuple[int, int] = (1, 1)
    """Weights kept of every so many: (1, 1) is dense."""


def topology_layers(path: str | Path) -> tuple[Layer, ...]:
    """The rows of a topology file, in order.

    Raises :class:`AccelsimError`, every mistake of the file at once: W101 (not readable, or no
    text), W120 (a row that is not valid), W107 (too many layers).
    """
    path = Path(path)
    rows = list(_rows(path))
    if not rows:
        raise _error("W101", path, "holds no layers", "is this really a topology?")
    _, header = rows[0]
    read = _product if _is_product(path, rows[0]) else _convolution
    layers: list[Layer] = []
    mistakes: list[Mistake] = []
    for line, cells in rows[1:]:
        try:
            layers.append(read(path, line, cells, header))
        except AccelsimError as error:
            mistakes += error.mistakes
    if not layers and not mistakes:
        mistakes.append(Mistake("W101", "holds a header, but no layers", "", Location(str(path))))
    if len(layers) > MAX_OPERATORS:
        message = f"{len(layers)} layers; the limit is {MAX_OPERATORS}"
        mistakes.append(Mistake("W107", message, "split the topology", Location(str(path))))
    if mistakes:
        raise AccelsimError(mistakes)
    return tuple(layers)


def _error(
    code: str, path: Path, message: str, hint: str = "", line: int | None = None
) -> AccelsimError:
    return AccelsimError(Mistake(code, message, hint, Location(str(path), line)))


def read_text(path: Path, what: str) -> str:
    """The text of a small file in whatever encoding it came. Raises W101."""
    hint = f"give the path of a {what}"
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "no such file"
            raise _error("W101", path, f"cannot read the {what}: {kind}", hint)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise _error("W101", path, f"cannot read the {what}: {reason}", hint) from error
    if len(content) > MAX_BYTES:
        raise _error("W101", path, f"larger than {MAX_BYTES} bytes", "split it")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text):
        raise _error("W101", path, f"not a text file, so no {what}", hint)
    return text


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that holds something."""
    text = read_text(path, "topology").replace("\r\n", "\n").replace("\r", "\n")
    reader = csv.reader(text.split("\n"), skipinitialspace=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            while stripped and not stripped[-1]:
                stripped.pop()
            if stripped:
                yield reader.line_num, stripped
    except csv.Error as error:
        message = f"not a table with commas: {error}"
        raise _error("W120", path, message, "save it as CSV", reader.line_num) from error


def _is_product(path: Path, first: tuple[int, list[str]]) -> bool:
    """Which kind of table it is, from its first row, which names the columns (no layer)."""
    line, header = first
    names = [name.lower() for name in header]
    if len(names) == 1:
        hint = "separate the columns with commas"
        raise _error("W120", path, f"one column only: '{header[0][:60]}'", hint, line)
    if any(_WRITTEN.fullmatch(cell) for cell in header[1:8]):
        hint = "SCALE-Sim skips the first row: put 'Layer name, IFMAP Height, ...' there"
        raise _error("W120", path, "the first row is a layer, not a header", hint, line)
    if not {"m", "n", "k"} & set(names[1:4]):
        return False
    if names[1:4] != ["m", "n", "k"]:
        hint = "write the columns in the order Layer, M, N, K"
        raise _error("W120", path, f"columns {', '.join(header[1:4])}", hint, line)
    return True


def _numbers(path: Path, line: int, cells: Sequence[str], names: Sequence[str]) -> list[int]:
    """The sizes of a row, by column name; all that are wrong at once."""
    mistakes, found = [], []
    where = Location(str(path), line)
    for name, cell in zip(names, (*cells[1:], *[""] * len(names)), strict=False):
        if not cell:
            mistakes.append(Mistake("W120", f"{name} is missing", "", where))
        elif not _NUMBER.fullmatch(cell):
            message = f"{name} is '{cell[:40]}', not a whole number of up to 12 digits"
            mistakes.append(Mistake("W120", message, "", where))
        elif int(cell) < 1:
            mistakes.append(Mistake("W120", f"{name} must be at least 1, is {cell}", "", where))
        else:
            found.append(int(cell))
    if mistakes:
        raise AccelsimError(mistakes)
    return found


def _ratio(path: Path, line: int, cells: Sequence[str]) -> tuple[int, int]:
    """The sparsity ratio among the columns behind the sizes; dense without one."""
    written = [cell for cell in cells if ":" in cell]
    if not written:
        return 1, 1
    match = _RATIO.fullmatch(written[0])
    kept, block = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= kept <= block or len(written) > 1:
        message = f"the sparsity is '{', '.join(written)[:60]}'"
        hint = "write N:M with 1 <= N <= M, such as 2:4"
        raise _error("W120", path, message, hint, line)
    return kept, block


def _convolution(path: Path, line: int, cells: Sequence[str], header: Sequence[str]) -> Layer:
    names = list(_CONV)
    if len(header) > 8 and header[8].lower().startswith("stride"):
        names[6:] = ["stride height", "stride width"]
    sizes = _numbers(path, line, cells, names)
    _refuse_unnamed(path, line, cells, header, len(names) + 1)
    height, width, kernel_height, kernel_width, channels, filters, stride = sizes[:7]
    if kernel_height > height or kernel_width > width:
        message = (
            f"a filter of {kernel_height} x {kernel_width} is larger than its input of "
            f"{height} x {width}"
        )
        hint = "a topology has no padding: state the padded input size"
        raise _error("W120", path, message, hint, line)
    return Layer(
        cells[0], line, height, width, kernel_height, kernel_width, channels, filters,
        (stride, sizes[-1]), sparsity=_ratio(path, line, cells[len(names) + 1 :]),
    )  # fmt: skip


def _refuse_unnamed(
    path: Path, line: int, cells: Sequence[str], header: Sequence[str], first: int
) -> None:
    """W120 for a number behind the sizes in a column without a name: it may be a second stride."""
    for position, cell in enumerate(cells[first:], first):
        named = position < len(header) and header[position]
        if not named and _NUMBER.fullmatch(cell):
            message = f"column {position + 1} holds {cell}, and the header does not say what it is"
            raise _error("W120", path, message, "give the column a name, or clear it", line)


def _product(path: Path, line: int, cells: Sequence[str], header: Sequence[str]) -> Layer:
    m, n, k = _numbers(path, line, cells, _PRODUCT)
    batch = 1
    for position, cell in enumerate(cells[4:], 4):
        name = header[position].lower() if position < len(header) else ""
        if not _NUMBER.fullmatch(cell) or (name and "batch" not in name):
            continue  # a remark, or the sparsity
        if not name:
            message = f"column {position + 1} holds {cell}, and the header does not say what it is"
            raise _error("W120", path, message, "call it Batch, or give it a name", line)
        (batch,) = _numbers(path, line, ("", cell), ("batch",))
    sparsity = _ratio(path, line, cells[4:])
    return Layer(cells[0], line, product=(m, n, k), batch=batch, sparsity=sparsity)
