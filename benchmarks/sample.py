"""Measures one call of ours in fresh processes: imports and inputs first, then the call alone.

A fresh process per sample because a second call in the same process could find its answer in a
memo; several samples because a busy machine only ever adds time.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import finished
from benchmarks.rows import ROOT


@dataclass(frozen=True)
class Sample:
    """The best of several fresh processes, each figure on its own."""

    cpu_s: float
    """User plus system seconds of the call."""
    wall_s: float
    process_cpu_s: float
    """User plus system seconds of the whole process, interpreter start and imports included."""
    peak_rss_bytes: int
    """Largest resident set of the process: the smallest over the samples."""
    answer: Any
    """What the call returned (the same in every sample)."""


class SampleFailedError(Exception):
    """The measured process ended with an error; the message is its last line."""


def best(module: str, case: str, samples: int, cpu_limit_s: int = 300) -> Sample:
    """Measures ``prepare(case)()`` of a benchmark module; ``prepare`` itself is not counted."""
    found = [_one(module, case, cpu_limit_s) for _ in range(samples)]
    answers = {json.dumps(sample.answer, sort_keys=True) for sample in found}
    if len(answers) != 1:
        raise SampleFailedError(f"{module} {case}: {len(answers)} different answers to one call")
    return Sample(
        cpu_s=min(sample.cpu_s for sample in found),
        wall_s=min(sample.wall_s for sample in found),
        process_cpu_s=min(sample.process_cpu_s for sample in found),
        peak_rss_bytes=min(sample.peak_rss_bytes for sample in found),
        answer=found[0].answer,
    )


def _one(module: str, case: str, cpu_limit_s: int) -> Sample:
    # One thread: a numerical library that starts more would blur CPU time with spinning.
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = finished(
        [sys.executable, "-m", "benchmarks.sample", module, case],
        cwd=ROOT,
        cpu_limit_s=cpu_limit_s,
        environment=single,
    )
    if done.failure:
        raise SampleFailedError(f"{module} {case}: {done.failure}")
    inside = json.loads(done.stdout.splitlines()[-1])
    return Sample(process_cpu_s=done.cpu_s, **inside)


def _peak_rss_bytes() -> int:
    """Largest resident set of this program (not of the one that started it)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SampleFailedError("this system does not tell a process its peak memory")


def _cpu_s() -> float:
    """User plus system seconds of this process so far.

    Not ``time.process_time``: under a CPU limit Linux advances that clock once per tick only.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """In the fresh process: prepare, call, print the figures as JSON."""
    module, case = sys.argv[1:]
    call = importlib.import_module(module).prepare(case)
    began_wall, began_cpu = time.perf_counter(), _cpu_s()
    answer = call()
    cpu_s, wall_s = _cpu_s() - began_cpu, time.perf_counter() - began_wall
    figures = {"cpu_s": cpu_s, "wall_s": wall_s, "peak_rss_bytes": _peak_rss_bytes()}
    print(json.dumps({**figures, "answer": answer}))


if __name__ == "__main__":
    main()
