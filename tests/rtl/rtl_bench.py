"""Builds the arrays of this folder with Verilator and runs measurements on them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

VARIANTS = {
    ("os", "none", "arriving"): 0,
    ("os", "full", "arriving"): 1,
    ("os", "column", "arriving"): 2,
    ("os", "none", "registered"): 3,
    ("os", "full", "registered"): 4,
    ("os", "column", "registered"): 5,
    ("ws", "none", "arriving"): 0,
    ("ws", "preload", "arriving"): 0,
    ("ws", "full", "arriving"): 1,
    ("ws", "column", "arriving"): 2,
    ("ws", "none", "registered"): 3,
    ("ws", "preload", "registered"): 6,
    ("ws", "preload-direct", "registered"): 3,
    ("ws", "full", "registered"): 4,
    ("ws", "column", "registered"): 5,
}
"""(dataflow, array, MAC operands) -> output of the design. ``none`` and ``preload`` of ws are one
array under two controllers. ``preload-direct`` has no register on the weight ports, so that with
registered operands the load is not delayed as the MAC is."""

MESH_VARIANTS = {("os", "none"): 0, ("os", "full"): 0, ("os", "single"): 1} | {
    (dataflow, array): 0 for dataflow in ("ws", "is") for array in ("none", "full")
}
"""(dataflow, array) -> output of the Gemmini mesh, whose MAC always reads registers."""

SOURCES = {
    "os": ("os_array.sv", "bench_array.cpp"),
    "ws": ("ws_array.sv", "bench_array.cpp"),
    "mesh": ("gemmini_mesh.sv", "bench_mesh.cpp"),
}

SERIAL = 0
"""As a period: a tile starts in the cycle after the last result of the one before."""


@dataclass(frozen=True)
class Case:
    """One product on one array; ``period`` in cycles between tile starts, or :data:`SERIAL`."""

    dataflow: str
    array: str
    mac_input: str
    skip_idle: bool
    rows: int
    cols: int
    m: int
    n: int
    k: int
    period: int
    width: int = 8
    """Bits of an operand."""
    microarchitecture: str = "generic"

    @property
    def design(self) -> Design:
        """What has to be built for it: ``is`` runs on the weight-stationary array."""
        kind = "os" if self.dataflow == "os" else "ws"
        if self.microarchitecture == "gemmini":
            kind = "mesh"
        return Design(kind, self.rows, self.cols, self.width)

    def job(self) -> str:
        """The line that the bench reads; the seed follows from the shape alone."""
        exchange, holds_weights = self.dataflow == "is", self.dataflow != "os"
        if self.microarchitecture == "gemmini":
            variant = MESH_VARIANTS[self.dataflow, self.array]
        else:
            kind = "ws" if holds_weights else "os"
            variant = VARIANTS[kind, self.array, self.mac_input]
        seed = ((self.m * 1000 + self.n) * 1000 + self.k) * 100 + self.rows * 10 + self.cols
        options = (variant, holds_weights, exchange, self.skip_idle)
        fields = (*options, self.m, self.n, self.k, self.period, seed)
        return " ".join(str(int(field)) for field in fields)


@dataclass(frozen=True, order=True)
class Design:
    """An array as built (a key of :data:`SOURCES`): extents and operand bits are parameters."""

    kind: str
    rows: int
    cols: int
    width: int = 8


@dataclass(frozen=True)
class Measured:
    """``cycles`` from the first operand or weight on a port to the last result, inclusively."""

    tiles: int
    cycles: int
    correct: bool


def verilator_version() -> str | None:
    """Like ``Verilator 5.006``; None where Verilator or a C++ compiler is not on the PATH."""
    compiler = os.environ.get("CXX", "g++")
    if not all(shutil.which(tool) for tool in ("verilator", "make", compiler)):
        return None
    done = subprocess.run(["verilator", "--version"], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return " ".join(words[:2]) if done.returncode == 0 and len(words) >= 2 else None


def build(design: Design, folder: Path) -> Path:
    """The bench for one design, built below ``folder``. Raises RuntimeError with the log."""
    target = folder / f"{design.kind}_{design.rows}x{design.cols}_{design.width}"
    flags = f"-std=c++17 -I{HERE} -DROWS={design.rows} -DCOLS={design.cols} -DWIDTH={design.width}"
    if design.kind == "ws":
        flags += " -DWEIGHT_STATIONARY"
    command = [
        "verilator", "--cc", "--exe", "--build", "-O1", "-Wno-fatal",
        "--prefix", "Varray", "--top-module", f"bench_{design.kind}", "--Mdir", str(target),
        f"-GR={design.rows}", f"-GC={design.cols}", f"-GW={design.width}",
        "-CFLAGS", flags, "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
        *(str(HERE / source) for source in SOURCES[design.kind]),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"cannot build {design}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return target / "Varray"


def measure(bench: Path, cases: Sequence[Case]) -> list[Measured]:
    """Runs the cases, all of one design, on its bench."""
    jobs = "".join(case.job() + "\n" for case in cases)
    done = subprocess.run([bench], input=jobs, capture_output=True, text=True, check=True)
    rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    if len(rows) != len(cases):
        raise RuntimeError(f"{bench}: {len(rows)} results for {len(cases)} cases")
    return [Measured(tiles, cycles, bool(correct)) for tiles, cycles, correct in rows]
