"""``accelsim init``: a commented config that runs as it is, in a folder of its own.

The network is small but real: an int8 convolutional network with random weights, quantised from
its own activations, and images labelled with its own fault-free answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from accelsim.errors import AccelsimError, Location, Mistake

RUN_YAML = """\
# A first study. Run it:        accelsim run run.yaml
# Gate a merge request with it: accelsim check run.yaml   (exit code 0 only if all targets are met)
# What a key or a metric means: accelsim explain faults.count
schema: accelsim/run/v1
name: {name}

workload:
  model: network.onnx            # put your own ONNX network here

accelerator: accelerator.yaml    # a part can stand here, or in a file of its own

mapping:
  objective: latency             # or energy, traffic

data:                            # labelled images; the network sees (x / divide_by - mean) / std
  file: images.npz               # arrays: images [n, channels, height, width], labels [n]
  divide_by: 255
  mean: [0.5]
  std: [0.25]

faults:                          # single upsets, drawn by bits x time they stay in memory
  mode: exposure
  count: 400
  images_per_fault: 16
  seed: 0

safety: safety.yaml              # base failure rates for the FMEDA: example values

variants:                        # overrides of the run above
  wide_array:
    accelerator.array.cols: 16
  unprotected:
    accelerator.protection.scratchpad: none
    accelerator.protection.accumulators: none

targets:                         # each is judged on its unfavourable confidence bound
  - metric: latency.seconds
    at_most: 5 ms
  - metric: sram.peak_bytes
    at_most: 32 KiB
  - metric: accuracy.fault_free
    at_least: 0.9
  - metric: latency.cycles       # a relative target: the wide array must not be slower
    variant: wide_array
    relative_to: base
    at_most: 1.0
"""

ACCELERATOR_YAML = """\
# An 8 x 8 int8 array with its memories. Numbers without a unit are bytes, cycles or counts.
schema: accelsim/accelerator/v1
name: tiny_npu_8x8
clock: 200 MHz
technology: 45 nm                # must be the node of the energy table

array:
  rows: 8
  cols: 8
  dataflow: ws                   # ws weights, os outputs or is inputs stay in the array
  overlap: full                  # what of the next tile hides behind the current one

vector:                          # requantisation, ReLU, additions, pooling
  lanes: 8
  startup_cycles: 8

scratchpad:
  size: 32 KiB
  alignment: 16 B
  width: 16 B

accumulators:
  size: 8 KiB

dram:
  kind: LPDDR4
  bandwidth: 800 MB/s
  latency_cycles: 40

dma:
  channels: 2
  setup_cycles: 16

energy:
  table: horowitz_45nm

control_flipflops:               # example values: take them from your netlist
  array: 256
  dma: 512
  core: 2048

protection:                      # accelsim explain secded
  scratchpad: secded
  accumulators: parity
  vector: none                   # array, vector and control can carry dmr, self_test, hardened, ...
"""

SAFETY_YAML = """\
# Base failure rates. EXAMPLE VALUES: replace them before any verdict counts.
# mark: S read in a public source, R recalled, D derived, E example value. 1 Mbit = 1e6 bit.
schema: accelsim/safety/v1
sram_soft: {value: 1000, unit: FIT/Mbit, source: example, mark: E}
flipflop_soft: {value: 1000, unit: FIT/Mbit, source: example, mark: E}
dram_soft: {value: 50, unit: FIT/Mbit, source: example, mark: E}
die_permanent: {value: 1, unit: FIT/mm2, source: example, mark: E}
dram_permanent: {value: 10, unit: FIT, source: example, mark: E}
safe_fraction_unmeasured: {value: 0.5, unit: "1", source: example, mark: E}
mission_hours: 10000
# Needed once a protection tests only now and then (self_test): it must do so within the interval.
fault_tolerant_time_interval: 100 ms
self_test_interval: 50 ms
"""


def render_init(target_dir: str | Path) -> dict[str, str]:
    """The text files of a new study, by name; they refer to network.onnx and images.npz.

    Args:
        target_dir: folder they are for: its name becomes the study's.
    """
    folder = os.path.basename(os.path.realpath(target_dir))
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in folder)
    name = name.strip("-_")[:64] or "study"
    return {
        "run.yaml": RUN_YAML.replace("{name}", f'"{name}"'),
        "accelerator.yaml": ACCELERATOR_YAML,
        "safety.yaml": SAFETY_YAML,
    }


def write_init(directory: Path) -> tuple[Path, ...]:
    """Write a new study that runs as it is; the same bytes every time.

    Returns:
        The files written.

    Raises:
        AccelsimError: U005, one of the files exists already, or the folder cannot be written;
            nothing is written then.
    """
    from accelsim.config.init_network import images_npz, network_onnx

    makers: dict[str, Callable[[], bytes]] = {
        name: text.encode for name, text in render_init(directory).items()
    }
    makers |= {"network.onnx": network_onnx, "images.npz": images_npz}
    existing = [directory / name for name in makers if os.path.lexists(directory / name)]
    if existing:
        raise AccelsimError(
            Mistake("U005", "exists already", "choose an empty folder", Location(str(path)))
            for path in existing
        )
    content = {directory / name: make() for name, make in makers.items()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, data in content.items():
            with open(path, "xb") as file:
                file.write(data)
    except OSError as error:
        message = f"cannot write: {(error.strerror or str(error)).lower()}"
        where = Location(str(error.filename or directory))
        raise AccelsimError(Mistake("U005", message, "choose another folder", where)) from None
    return tuple(content)
