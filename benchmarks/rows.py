"""What a benchmark returns: rows of figures with their goals, and a peer's raw answers."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
LIBRARIES = ("accelsim", "numpy", "scipy", "onnx")


@dataclass(frozen=True)
class Row:
    """One figure. ``value`` is None where nothing could be measured; ``note`` then says why."""

    subject: str
    """What was measured, e.g. ``ResNet-50 on 16 x 16``."""
    quantity: str
    """Which figure of it, e.g. ``CPU time``."""
    value: float | int | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``not measured``, or nothing for a figure without a goal."""
        if self.at_most is None and self.at_least is None:
            return "not measured" if self.value is None else ""
        if self.value is None:
            return "not measured"
        low = self.at_least is None or self.value >= self.at_least
        high = self.at_most is None or self.value <= self.at_most
        return "met" if low and high else "missed"


@dataclass(frozen=True)
class PeerRecord:
    """Raw answers of another tool, kept in ``peers/<name>.json`` so that ratios can be redrawn."""

    name: str
    version: str
    command: str
    """What was run, with folders left out."""
    machine: dict[str, str]
    results: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """JSON form."""
        return {"schema": "accelsim/peer/v1", **asdict(self)}


@dataclass(frozen=True)
class Measured:
    """The outcome of one benchmark."""

    rows: tuple[Row, ...]
    peer: PeerRecord | None = None
    """Set when the peer was measured anew (not read from its cache)."""


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    samples: int = 5
    """Fresh processes per figure; the best counts, because a machine only ever adds time."""
    cached_peers: bool = False
    """Take the other tools' figures from ``peers/`` instead of running them."""
    cpu_limit_s: int = 900
    """CPU seconds that one run of another tool may take."""


def machine() -> dict[str, str]:
    """Facts about this machine that a figure depends on: no date, no name, no path."""
    return {
        "cpu": _cpu_name(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "memory_gib": str(round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Interpreter and library versions of our side."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def data_folder() -> Path | None:
    """Networks that are too large to ship: ``$ACCELSIM_DATA``, else a ``shared/data`` beside us."""
    named = os.environ.get("ACCELSIM_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown"
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
