"""Writes the figures of README.md from a run's metrics.json: `make example` calls it.

python scripts/update_readme.py reports/example/metrics.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- figures: begin (scripts/update_readme.py) -->"
END = "<!-- figures: end -->"


def interval(metric: dict[str, Any]) -> str:
    """A percentage with its interval."""
    bounds = f"[{100 * metric['lower']:.2f}, {100 * metric['upper']:.2f}]"
    return f"{100 * metric['value']:.2f} % {bounds}"


def render(document: dict[str, Any]) -> str:
    """The figures block of the README."""
    m = document["metrics"]

    def value(name: str) -> Any:
        return m[name]["value"]

    rows = [
        (
            "latency",
            f"{value('latency.cycles'):,} cycles, {1e6 * value('latency.seconds'):.1f} µs",
        ),
        ("array utilisation", f"{100 * value('utilisation.mac'):.1f} % of peak MACs"),
        (
            "energy",
            f"{1e6 * value('energy.total_j'):.1f} µJ (DRAM {1e6 * value('energy.dram_j'):.1f}, "
            f"SRAM {1e6 * value('energy.sram_j'):.1f}, compute "
            f"{1e6 * value('energy.compute_j'):.1f}, static {1e6 * value('energy.static_j'):.1f})",
        ),
        (
            "scratchpad",
            f"{value('sram.peak_bytes') / 1024:.1f} KiB of "
            f"{value('sram.capacity_bytes') / 1024:.0f} KiB, lower bound "
            f"{value('sram.lower_bound_bytes') / 1024:.1f} KiB",
        ),
        (
            "memory plan",
            f"{value('plan.traffic_bytes'):,} B moved, "
            + ("proved optimal" if value("plan.proved") else "not proved optimal"),
        ),
        ("top-1, int8, no faults", f"{100 * value('accuracy.fault_free'):.1f} %"),
        ("an upset changes an answer", f"{interval(m['sdc.p'])}, {value('sdc.faults')} upsets"),
        (
            "SPFM, LFM, PMHF",
            f"{100 * m['asil.spfm']['lower']:.2f} %, {100 * value('asil.lfm'):.2f} %, "
            f"{m['asil.pmhf_fit']['upper']:.2f} FIT (confidence bounds, example base rates)",
        ),
    ]
    for name, variant in document["variants"].items():
        metric = variant["metrics"]["accuracy.under_fault@1e-05"]
        clip = name.removeprefix("fp32_").replace("none", "no clip")
        rows.append((f"top-1, float32, 1e-5 flips per bit, {clip}", interval(metric)))
    table = ["| quickstart | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows)]
    return "\n".join(table)


def updated(readme: str, document: dict[str, Any]) -> str:
    """README text with a fresh figures block."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{render(document)}\n{END}{tail}"


def main() -> None:
    """Entry point."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    path = ROOT / "README.md"
    path.write_text(updated(path.read_text(encoding="utf-8"), document), encoding="utf-8")
    print(f"updated {path.name}")


if __name__ == "__main__":
    main()
