"""Time and memory of a tile-exact prefill of a transformer with seven billion parameters."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.cases.resnet50 import warm_up
from benchmarks.ours import evaluated, square
from benchmarks.rows import Measured, Row, Settings
from benchmarks.sample import best

TITLE = "Transformer of 7 billion parameters, prefill of 512 tokens, 16 x 16"
ABOUT = """All 32 layers of Llama-2-7B's dimensions, evaluated as ResNet-50 above."""

SIDE, TOKENS, GOAL_S = 16, 512, 0.100


def prepare(case: str) -> Callable[[], object]:
    """``case`` is a preset's name."""
    from accelsim.workload.transformer import preset

    workload, accelerator = preset(case, tokens=TOKENS), square(SIDE)
    warm_up()
    return lambda: evaluated(workload, accelerator)


def measure(settings: Settings) -> Measured:
    """Its three rows."""
    found = best(__name__, "llama2_7b", settings.samples)
    subject = f"{SIDE} x {SIDE}, bandwidth"
    counts = f"{found.answer['commands']:,} commands, {found.answer['steps']:,} steps"
    return Measured(
        (
            Row(subject, "evaluation", found.cpu_s, "CPU s", at_most=GOAL_S, note=counts),
            Row(subject, "peak memory", found.peak_rss_bytes / 2**20, "MiB"),
            Row(subject, "latency", found.answer["cycles"], "cycles"),
        )
    )
