"""What a page is made of. All frozen; every string is plain text that the template escapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from accelsim.report.charts.style import Chart

LONG = 16
"""Tables with more rows start collapsed."""


@dataclass(frozen=True)
class Column:
    """A table column. ``numeric`` ones are right-aligned and sort by value."""

    label: str
    numeric: bool = False
    hint: str = ""
    """What the column means, shown on hover."""


@dataclass(frozen=True)
class Cell:
    """What a cell prints and, for numeric columns, the number it sorts by."""

    shown: str
    value: float | None = None

    @property
    def long(self) -> bool:
        """Whether the text needs a wide cell that wraps."""
        return len(self.shown) > 48


@dataclass(frozen=True)
class Table:
    """Rows under columns; collapsed when long."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    open: bool | None = None
    """Start open; None: open when short."""
    kind: ClassVar[str] = "table"

    @property
    def starts_open(self) -> bool:
        """Whether the reader sees the rows at once."""
        return len(self.rows) <= LONG if self.open is None else self.open


@dataclass(frozen=True)
class Charts:
    """Charts side by side (two at most; they stack on a narrow screen)."""

    charts: tuple[Chart, ...]
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Note:
    """A sentence or a short list of them."""

    title: str
    lines: tuple[str, ...]
    tone: str = ""
    """Empty, ``warn``, or ``banner`` for what no reader may miss."""
    numbered: bool = False
    """Number the lines, for reference."""
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Tile:
    """A key figure: label, value, and a line under it."""

    label: str
    value: str
    sub: str = ""
    meter: float | None = None
    """Filled share in [0, 1] of a bar under the value."""
    mark: float | None = None
    """A tick on that bar in [0, 1]."""


@dataclass(frozen=True)
class Tiles:
    """Key figures in a grid."""

    tiles: tuple[Tile, ...]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Card:
    """A verdict: outcome word, requirement, the numbers and one sentence."""

    outcome: str
    """``pass``, ``fail`` or ``inconclusive``."""
    title: str
    variant: str
    numbers: tuple[tuple[str, str], ...]
    detail: str
    location: str
    applicable: bool = True
    """False: there is nothing to measure, and the card must not look like a target met."""

    @property
    def stamp(self) -> str:
        """The outcome in a word or two."""
        return self.outcome.upper() + ("" if self.applicable else " (not applicable)")


@dataclass(frozen=True)
class Cards:
    """Verdicts in a grid."""

    cards: tuple[Card, ...]
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Facts:
    """Name and value pairs; long values may be folded text."""

    title: str
    facts: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Source:
    """Text shown as it is, collapsed (the resolved configuration)."""

    title: str
    text: str
    kind: ClassVar[str] = "source"


@dataclass(frozen=True)
class Heading:
    """A heading between the blocks of a group."""

    title: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Group:
    """Blocks under a sub-heading, collapsed (a variant's details)."""

    title: str
    sub: str
    """A few words beside the title."""
    blocks: tuple[Block, ...]
    kind: ClassVar[str] = "group"


Block = Table | Charts | Note | Tiles | Cards | Facts | Source | Heading | Group


@dataclass(frozen=True)
class Section:
    """One chapter of the page with its entry in the table of contents."""

    id: str
    nav: str
    title: str
    lead: str = ""
    """What the section answers, in a sentence."""
    blocks: tuple[Block, ...] = field(default=())


def num(value: Any, shown: str) -> Cell:
    """A numeric cell; a missing value prints as a dash and sorts last."""
    if value is None or isinstance(value, str):
        return Cell("–" if value is None else shown)
    return Cell(shown, float(value))


def word(value: object) -> Cell:
    """A text cell; None prints as a dash."""
    return Cell("–" if value is None or value == "" else str(value))


def columns(*given: str | tuple[str, str]) -> tuple[Column, ...]:
    """Columns from labels; a label that begins with ``#`` is numeric; a pair adds the hint."""
    made = []
    for item in given:
        label, hint = item if isinstance(item, tuple) else (item, "")
        made.append(Column(label.removeprefix("#"), label.startswith("#"), hint))
    return tuple(made)


def charts_of(blocks: Sequence[Block]) -> tuple[Chart, ...]:
    """All charts of the blocks, in order."""
    found: list[Chart] = []
    for block in blocks:
        if isinstance(block, Charts):
            found += block.charts
        elif isinstance(block, Group):
            found += charts_of(block.blocks)
    return tuple(found)
