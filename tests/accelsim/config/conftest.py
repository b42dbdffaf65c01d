"""A small valid study on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ACCELERATOR = """\
schema: accelsim/accelerator/v1
name: npu
clock: 500 MHz
technology: 45 nm
array: {rows: 16, cols: 16, dataflow: ws, overlap: full}
vector: {lanes: 16, startup_cycles: 8, cycles_per_op: {softmax: 4}}
scratchpad: {size: 128 KiB, alignment: 16, width: 32 B}
accumulators: {size: 32 KiB}
dram: {kind: LPDDR4, bandwidth: 3.2 GB/s, latency_cycles: 50}
dma: {channels: 2, setup_cycles: 16}
energy: {table: horowitz_45nm, leakage_mw_per_mm2: 0.1}
control_flipflops: {array: 512, dma: 1024, core: 4096}
protection: {scratchpad: secded, dram: secded}
"""

SAFETY = """\
schema: accelsim/safety/v1
sram_soft: {value: 1000, unit: FIT/Mbit, source: example, mark: E}
flipflop_soft: {value: 1000, unit: FIT/Mbit, source: example, mark: E}
dram_soft: {value: 50, unit: FIT/Mbit, source: example, mark: E}
die_permanent: {value: 1, unit: FIT/mm2, source: example, mark: E}
dram_permanent: {value: 10, unit: FIT, source: example, mark: E}
safe_fraction_unmeasured: {value: 0.5, unit: "1", source: example, mark: E}
"""

RUN = """\
schema: accelsim/run/v1
name: small
workload:
  model: net.onnx
  batch: 1
accelerator: npu.yaml
mapping:
  objective: latency
schedule:
  order: free
  solver: cpsat
  effort: 5
data:
  file: images.npz
  divide_by: 255
  mean: [0.5, 0.5, 0.5]
  std: [0.25, 0.25, 0.25]
faults:
  mode: exposure
  count: 100
  images_per_fault: 8
  seed: 7
safety: rates.yaml
variants:
  os:
    accelerator:
      array: {dataflow: os}
  big:
    accelerator.array.rows: 64
    accelerator.array.cols: 64
targets:
  - metric: latency.seconds
    at_most: 20 ms
  - metric: latency.cycles
    variant: big
    relative_to: base
    at_most: 100 %
  - asil: B
    budget_share: 0.1
"""

Write = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path) -> Write:
    """Write the valid study, some files replaced; the path of its run.yaml."""

    def write(**files: str) -> Path:
        content = {"run.yaml": RUN, "npu.yaml": ACCELERATOR, "rates.yaml": SAFETY}
        content |= {"net.onnx": "", "images.npz": "", "bounds.json": "{}"}
        content |= {name.replace("__", "."): text for name, text in files.items()}
        for name, text in content.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / "run.yaml"

    return write
