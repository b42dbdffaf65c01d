"""Another tool's answers: measured now, or those of an earlier measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.environments import Absent, Installed, Tool, provide
from benchmarks.rows import PeerRecord, Settings
from benchmarks.store import cached_peer


@dataclass(frozen=True)
class Answers:
    """What a tool said."""

    record: PeerRecord
    fresh: bool

    @property
    def origin(self) -> str:
        """When the figures are from, for a row's note."""
        return "measured in this run" if self.fresh else "cached, from an earlier run"

    @property
    def to_keep(self) -> PeerRecord | None:
        """The record, if it is new."""
        return self.record if self.fresh else None


def answers(
    tool: Tool, settings: Settings, ask: Callable[[Installed], PeerRecord | Absent]
) -> Answers | Absent:
    """The tool's answers as the settings want them, or why there are none (one line)."""
    if settings.cached_peers:
        cached = cached_peer(tool.name)
        return Absent("no cached answers") if cached is None else Answers(cached, fresh=False)
    installed = provide(tool)
    if isinstance(installed, Absent):
        return installed
    found = ask(installed)
    return found if isinstance(found, Absent) else Answers(found, fresh=True)
