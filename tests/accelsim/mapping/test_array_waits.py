"""How long the array is held up by the scratchpad: for a whole plan, and by operator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import accelsim
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.space import array_waits, choices

CONFIGS = Path(__file__).parents[3] / "configs"
NARROW = {"width_bytes": 4}
BANKED = {"alignment_bytes": 32, "banks": 4, "bank_ports": 1}


@pytest.mark.parametrize("changes", [NARROW, BANKED])
def test_waits_of_a_plan_are_those_of_its_operators(changes: dict[str, int]) -> None:
    network = accelsim.read_network(CONFIGS / "models" / "resnet20_cifar10_int8.onnx")
    chip = accelsim.load_accelerator(CONFIGS / "accelerators" / "edge_npu_16x16.yaml")
    held_up = replace(chip, scratchpad=replace(chip.scratchpad, **changes))
    plan = quick_plan(network, held_up, "layer")
    rows = choices(network, held_up, plan, None)
    cycles, waiting = array_waits(network, held_up, plan)
    assert (cycles, waiting) == (sum(r.array_cycles for r in rows), sum(r.waiting for r in rows))
    assert 0 < waiting < cycles
    # As wide as it ships, nobody waits, and the rest is the same work.
    assert array_waits(network, chip, quick_plan(network, chip, "layer")) == (cycles - waiting, 0)
