"""Pieces that the terminal tables share. Names from files are plain text, never markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from accelsim.report.tables import percent

Show = Callable[[Any], str]
Facts = tuple[tuple[str, Show], ...]
"""Name of a figure -> how it is told."""


def interval(estimate: Mapping[str, Any]) -> str:
    """``0.83 % [0.71, 0.97]``: a share with its bounds, all in percent."""
    low, high = estimate.get("lower"), estimate.get("upper")
    shown = percent(estimate["mean"])
    if low is None or high is None:
        return shown
    return f"{shown} [{100 * low:.3g}, {100 * high:.3g}]"


def name(value: object, width: int) -> Text:
    """A name from a file, cut to ``width`` characters."""
    text = Text(str(value), no_wrap=True, overflow="ellipsis")
    text.truncate(width, overflow="ellipsis")
    return text


def table(words: Iterable[str], figures: Iterable[str]) -> Table:
    """An empty table: columns of words to the left, columns of figures to the right."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for title in words:
        made.add_column(Text(title))
    for title in figures:
        made.add_column(Text(title), justify="right", no_wrap=True)
    return made


def grid() -> Table:
    """An empty table of a name and a line each, without header."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column()
    return made


def titled(title: str, *parts: RenderableType) -> RenderableType:
    """A part of the summary: a blank line, its title, its content."""
    return Padding(Group(Text(title, style="bold"), *parts), (1, 0, 0, 0), expand=False)
