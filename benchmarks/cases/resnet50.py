"""Time and memory of one tile-exact evaluation of ResNet-50, three array sizes."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.ours import evaluated, resnet50, square
from benchmarks.rows import Measured, Row, Settings
from benchmarks.sample import best

TITLE = "ResNet-50, tile-exact"
ABOUT = """The 54 layers of SCALE-Sim's `Resnet50.csv` on a weight-stationary array with a fixed
mapping (rule `fold`: one fold of the array per tile, the finest there is), by `accelsim.evaluate`
from the network in memory to its figures: memory plan, lowering, simulation of every tile, energy,
area, lower bounds, conservation checks. `bandwidth`: bytes over rate. `banked`: row buffers and
refresh. Commands are what is simulated (loads, array tiles, vector work, stores); steps are those
that the exact fast-forward had to carry out."""

SIDES = (16, 32, 128)
MODELS = {"bandwidth": 0.020, "banked": 2.0}
"""DRAM model -> goal in seconds."""


def prepare(case: str) -> Callable[[], object]:
    """``side/model``."""
    side, _, model = case.partition("/")
    workload, accelerator = resnet50(), square(int(side), model)
    warm_up()
    return lambda: evaluated(workload, accelerator)


def warm_up() -> None:
    """Imports what a first call imports, on a machine and a network unlike the measured ones."""
    from accelsim.workload.transformer import transformer

    tiny = transformer("tiny", layers=1, d_model=8, heads=1, kv_heads=1, d_ff=8, tokens=4)
    evaluated(tiny, square(4))


def measure(settings: Settings) -> Measured:
    """One group of rows per array size and DRAM model."""
    rows: list[Row] = []
    for side in SIDES:
        cycles: dict[str, int] = {}
        for model, goal in MODELS.items():
            found = best(__name__, f"{side}/{model}", settings.samples)
            cycles[model] = found.answer["cycles"]
            subject = f"{side} x {side}, {model}"
            counts = f"{found.answer['commands']:,} commands, {found.answer['steps']:,} steps"
            peak = found.peak_rss_bytes / 2**20
            rows.append(Row(subject, "evaluation", found.cpu_s, "CPU s", at_most=goal, note=counts))
            rows.append(Row(subject, "peak memory", peak, "MiB", at_most=200 / 1.048576))
            rows.append(Row(subject, "latency", cycles[model], "cycles"))
        gap = 100 * abs(cycles["banked"] / cycles["bandwidth"] - 1)
        rows.append(Row(f"{side} x {side}", "banked beside bandwidth", gap, "%", at_most=5))
    return Measured(tuple(rows))
