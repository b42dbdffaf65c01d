"""An environment per peer tool, made with ``venv`` and ``pip`` below ``benchmarks/.envs``.

The tools contradict each other (one needs an older NumPy), so none shares ours. A tool that cannot
be installed is not an error: its rows say so.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import finished
from benchmarks.rows import ROOT

FOLDER = ROOT / "benchmarks" / ".envs"


@dataclass(frozen=True)
class Tool:
    """Another tool, pinned. The first requirement is the tool itself."""

    name: str
    requirements: tuple[str, ...]

    @property
    def version(self) -> str:
        """The pinned version of the tool itself."""
        return self.requirements[0].partition("==")[2]


SCALESIM = Tool("scalesim", ("scalesim==3.0.0", "numpy<2.4"))
ZIGZAG = Tool("zigzag", ("zigzag-dse==3.9.1", "six"))
VELA = Tool("vela", ("ethos-u-vela==5.2.0",))


@dataclass(frozen=True)
class Installed:
    """A tool that can run: the interpreter of its environment."""

    python: Path

    def script(self, name: str) -> Path:
        """A console script of the environment."""
        return self.python.parent / name


@dataclass(frozen=True)
class Absent:
    """A tool that could not be installed, and why (one line)."""

    reason: str


def provide(tool: Tool) -> Installed | Absent:
    """The tool's environment, made on first use and kept until its pins change."""
    folder = FOLDER / tool.name
    stamp = folder / "requirements.txt"
    wanted = "\n".join(tool.requirements) + "\n"
    python = folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return Installed(python)
    FOLDER.mkdir(parents=True, exist_ok=True)
    quiet = ("--quiet", "--disable-pip-version-check")
    for step in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", *quiet, *tool.requirements],
    ):
        done = finished(step)
        if done.failure:
            return Absent(f"{tool.requirements[0]} could not be installed ({done.failure})")
    stamp.write_text(wanted, encoding="utf-8")
    return Installed(python)
