"""The cost of one layer when its number of tiles grows a thousandfold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.cases.resnet50 import warm_up
from benchmarks.ours import evaluated, square
from benchmarks.rows import Measured, Row, Settings
from benchmarks.sample import best

if TYPE_CHECKING:
    from accelsim.workload.graph import Workload

TITLE = "Cost against the number of tiles"
ABOUT = """One matrix product on 16 x 16, as for ResNet-50 above, with 10, 100 and 1,000 times as
many output columns and so as many tiles: cost has to follow the distinct segments, not the
tiles."""

FACTORS = (1, 10, 100, 1000)
M, N, K, SIDE = 256, 320, 256, 16


def product(factor: int) -> Workload:
    """M x K times a constant K x (N x factor)."""
    from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Workload

    n = N * factor
    tensors = (
        Tensor("x", (M, K), "int8", Role.INPUT),
        Tensor("w", (K, n), "int8", Role.WEIGHT),
        Tensor("y", (M, n), "int8", Role.OUTPUT),
    )
    op = Op("product", OpKind.MATMUL, ("x",), "y", weight="w", gemm=Gemm(m=M, k=K, n=n))
    return Workload("product", {t.name: t for t in tensors}, (op,), ("x",), ("y",))


def prepare(case: str) -> Callable[[], object]:
    """``case`` is the factor."""
    workload, accelerator = product(int(case)), square(SIDE)
    warm_up()
    return lambda: evaluated(workload, accelerator)


def measure(settings: Settings) -> Measured:
    """CPU time at each factor, and beside the smallest."""
    found = {factor: best(__name__, str(factor), settings.samples) for factor in FACTORS}
    rows = []
    for factor, sample in found.items():
        subject = f"{factor:,} x tiles"
        counts = f"{sample.answer['commands']:,} commands, {sample.answer['steps']:,} steps"
        rows.append(Row(subject, "evaluation", sample.cpu_s, "CPU s", note=counts))
        if factor > 1:
            ratio = sample.cpu_s / found[1].cpu_s
            rows.append(Row(subject, "beside 1 x tiles", ratio, "x", at_most=2))
    return Measured(tuple(rows))
