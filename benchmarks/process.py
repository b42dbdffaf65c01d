"""Runs a command in a process of its own and reads what it cost from the kernel's accounting."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NICENESS = 10


@dataclass(frozen=True)
class Finished:
    """A finished process with its own descendants' cost added."""

    code: int
    """Exit status; negative: the signal that ended it (-24: the CPU limit)."""
    cpu_s: float
    """User plus system seconds."""
    peak_rss_bytes: int
    """Largest resident set of any one of its processes."""
    stdout: str
    stderr: str

    @property
    def failure(self) -> str:
        """Empty when it succeeded, else one line that says how it ended."""
        if self.code == 0:
            return ""
        if self.code in (-24, -9):
            return f"ended by signal {-self.code} after {self.cpu_s:.0f} CPU s"
        # An indented last line is a detail of the one before it.
        lines = [line for line in self.stderr.splitlines() if line.strip() and line[0] != " "]
        return f"exit {self.code}: {lines[-1].strip() if lines else 'no message'}"


def finished(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    cpu_limit_s: int = 600,
    environment: dict[str, str] | None = None,
) -> Finished:
    """Runs ``command`` to its end, at low priority and with a bound on its CPU seconds."""

    def prepare() -> None:
        os.nice(NICENESS)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit_s, cpu_limit_s + 5))

    # Files instead of pipes: nothing to read while it runs, so wait4 can be the only wait.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(  # (no threads here, so running `prepare` after fork is safe)
            list(command),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=prepare,  # noqa: PLW1509
            env=None if environment is None else os.environ | environment,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Finished(
            code=child.returncode,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss_bytes=usage.ru_maxrss * 1024,
            stdout=out.read().decode("utf-8", "replace"),
            stderr=err.read().decode("utf-8", "replace"),
        )
