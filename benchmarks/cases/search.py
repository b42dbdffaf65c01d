"""Mapping search for ResNet-50, and design points per second with a fixed mapping rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from benchmarks.cases.resnet50 import SIDES, warm_up
from benchmarks.ours import evaluated, resnet50, square
from benchmarks.rows import ROOT, Measured, Row, Settings
from benchmarks.sample import best

if TYPE_CHECKING:
    from accelsim.arch.parts import Accelerator

TITLE = "Mapping search and design points"
ABOUT = """Search: every operator of ResNet-50, all tilings, loop orders and choices of what stays
in the scratchpad, down to the candidates that the scheduler chooses from. Design points: machines
that differ in array, accumulators, vector lanes and DRAM bandwidth, each by `accelsim.evaluate`
with its default mapping rule `layer`, from the network in memory to latency, energy and area, in
one process on one core; ResNet-20 is the network of the quickstart."""

NETWORKS = {"resnet20": 300, "resnet50": None}
"""Network -> goal in design points per second (None: no goal)."""
DESIGN_SIDES = (8, 12, 16, 24, 32, 48, 64, 128)
DESIGN_SCRATCHPAD = 8 << 20
"""Bytes: what rule ``layer`` needs for ResNet-50."""
DESIGN_ACCUMULATORS = (4, 16)
"""KiB per array column."""
DESIGN_LANES = (1, 2)
"""Vector lanes per array column."""
DESIGN_BANDWIDTHS = (6_400_000_000, 25_600_000_000)
"""DRAM bytes per second."""


def designs() -> list[Accelerator]:
    """64 machines."""
    found = []
    choices = product(DESIGN_SIDES, DESIGN_ACCUMULATORS, DESIGN_LANES, DESIGN_BANDWIDTHS)
    for side, kib, lanes, rate in choices:
        base = square(side)
        scratchpad = replace(base.scratchpad, bytes=DESIGN_SCRATCHPAD)
        vector = replace(base.vector, lanes=lanes * side)
        dram = replace(base.dram, bytes_per_second=rate)
        sums = replace(base.accumulators, bytes=side * kib * 1024)
        found.append(
            replace(base, vector=vector, dram=dram, accumulators=sums, scratchpad=scratchpad)
        )
    return found


def prepare(case: str) -> Callable[[], object]:
    """``search/<side>`` or ``designs/<network>``."""
    what, _, name = case.partition("/")
    warm_up()
    return _search(int(name)) if what == "search" else _designs(name)


def _search(side: int) -> Callable[[], object]:
    from accelsim.mapping import Search

    workload, accelerator = resnet50(), square(side)

    def search() -> int:
        found = Search(workload, accelerator, "latency")
        return sum(len(found.candidates(op)) for op in workload.ops)

    return search


def _designs(network: str) -> Callable[[], object]:
    from accelsim.workload.onnx_reader import read_onnx

    if network == "resnet20":
        workload = read_onnx(ROOT / "configs" / "models" / "resnet20_cifar10_int8.onnx")
    else:
        workload = resnet50()
    machines = designs()
    return lambda: [evaluated(workload, machine, "layer")["cycles"] for machine in machines]


def measure(settings: Settings) -> Measured:
    """Search per array size, then the rate of design points per network."""
    rows: list[Row] = []
    for side in SIDES:
        found = best(__name__, f"search/{side}", settings.samples)
        note = f"{found.answer:,} candidates kept"
        subject = f"ResNet-50 on {side} x {side}"
        rows.append(Row(subject, "mapping search", found.cpu_s, "CPU s", at_most=2, note=note))
    for network, goal in NETWORKS.items():
        found = best(__name__, f"designs/{network}", settings.samples)
        count = len(found.answer)
        note = f"{count} machines, {len(set(found.answer))} different latencies"
        rate = count / found.cpu_s
        rows.append(Row(network, "design points", rate, "/ CPU s", at_least=goal, note=note))
    return Measured(tuple(rows))
