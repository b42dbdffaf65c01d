"""Progress of long work: a callback, and its terminal form."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from accelsim.printable import printable

Progress = Callable[[str, int, int], None]
"""(what, done, total): called as often as convenient; ``done == total`` ends a bar."""


def silent(what: str, done: int, total: int) -> None:
    """The default: say nothing."""


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Bars on stderr while work lasts, and nothing at all when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        rows: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in rows:
                rows[what] = bars.add_task(printable(what), total=total)
            bars.update(rows[what], completed=done, total=total)

        yield show
