"""Machines whose scratchpad has banks with ports of their own: times, plans, execution."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hardware_samples import edge_npu, image, one_conv, random_network, workload_of
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad
from accelsim.execution import executed
from accelsim.mapping import Timing
from accelsim.mapping.quick_plan import quick_plan
from accelsim.mapping.space import choices
from accelsim.mapping.tiles import TileShape
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Window, Workload

LAYER = Window(1, 4, 18, 18, 16, 16, 16, 3, 3)
CONV = TileShape(256, 16, 36, 1, 1, 1, 64, True, layer=LAYER)


def banked(bank_ports: int | None, banks: int = 4, layout: str = "nhwc") -> Scratchpad:
    return Scratchpad(1 << 17, 32, 32, banks=banks, bank_ports=bank_ports, layout=layout)


def test_transfers_and_vector_tasks_wait_for_their_first_slot() -> None:
    for bank_ports, wait in ((1, 3), (2, 1)):
        plain, timing = (Timing(edge_npu(scratchpad=banked(p))) for p in (None, bank_ports))
        assert timing.dma(640) == plain.dma(640) + wait
        assert timing.constant(640) == plain.constant(640) + wait
        assert timing.vector(OpKind.RELU, 160, 320) == plain.vector(OpKind.RELU, 160, 320) + wait
        assert timing.epilogue(OpKind.CONV, 160, 160, 160) == wait + plain.epilogue(
            OpKind.CONV, 160, 160, 160
        )


def test_few_banks_are_shared() -> None:
    """One bank with one port: vector unit and DMA get a line in four cycles each."""
    timing = Timing(edge_npu(scratchpad=banked(1, 1)))
    assert timing.vector(OpKind.RELU, 16, 3200) == 8 + 6 + 400
    assert timing.drained(3200) == 400


def test_an_array_tile_lasts_as_long_as_its_fetch() -> None:
    """One row of 16 pixels x 16 channels and a 1 x 1 kernel: contiguous, or 16 planes."""
    product = TileShape(16, 16, 16, 1, 1, 1, 0, True, layer=Gemm(16, 16, 16))
    alone = 16 + 2 * 16 + 16 - 1
    weights = 16 * 16 // (32 * 4)
    assert Timing(edge_npu(scratchpad=banked(2))).array(product).cycles == alone
    planes = Timing(edge_npu(scratchpad=banked(2, layout="nchw"))).array(product)
    assert planes.cycles == 16 * 16 + weights
    slots = Timing(edge_npu(scratchpad=banked(1, layout="nchw"))).array(product)
    assert slots.cycles == 2 * 16 * 16 + 2 * weights + 1


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_more_banks_and_ports_never_cost_time(layout: str) -> None:
    cycles = [
        Timing(edge_npu(scratchpad=banked(bank_ports, banks, layout))).array(CONV).cycles
        for banks in (1, 2, 4, 8, 16)
        for bank_ports in (1, 2)
    ]
    for bank_ports in (0, 1):
        assert cycles[bank_ports::2] == sorted(cycles[bank_ports::2], reverse=True)
    assert all(one >= two for one, two in zip(cycles[::2], cycles[1::2], strict=True))


def test_equal_shapes_of_different_layers_are_told_apart() -> None:
    timing = Timing(edge_npu(scratchpad=banked(2)))
    wide = replace(CONV, layer=replace(LAYER, in_width=32))  # a row is four times around the banks
    assert wide == CONV
    both = {timing.array(shape).cycles for shape in (CONV, wide)}
    assert both == {Timing(edge_npu(scratchpad=banked(2))).array(s).cycles for s in (wide, CONV)}
    assert len(both) == 2


def product() -> Workload:
    tensors = [
        Tensor("w", (64, 64), "int8", Role.WEIGHT),
        Tensor("y", (64, 64), "int8", Role.OUTPUT),
    ]
    op = Op("fc", OpKind.MATMUL, ("x",), "y", "w", None, Gemm(64, 64, 64), vector_ops=4096)
    return workload_of("product", replace(image(64, 1), shape=(64, 64)), [(op, tensors)])


def test_who_waits_is_said() -> None:
    for layout, waits in (("nhwc", False), ("nchw", True)):
        machine = edge_npu(scratchpad=banked(2, layout=layout))
        plan = quick_plan(product(), machine, "layer")
        (choice,) = choices(product(), machine, plan, None)
        assert (choice.waiting > 0) == waits
        assert choice.waiting < choice.array_cycles <= choice.chosen.cycles
    narrow = edge_npu(scratchpad=Scratchpad(1 << 17, width_bytes=2))
    (choice,) = choices(one_conv(), narrow, quick_plan(one_conv(), narrow, "layer"), None)
    assert choice.waiting > 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 200), st.sampled_from([1, 2]), st.sampled_from([1, 3, 4, 8]),
    st.sampled_from(["nhwc", "nchw"]), st.sampled_from(["fold", "layer"]), st.booleans(),
)  # fmt: skip
def test_both_engines_execute_a_banked_machine_alike(
    seed: int, bank_ports: int, banks: int, layout: str, rule: str, split: bool
) -> None:
    """All checks of an execution run, also with banks of the weights' own; the array never waits
    for less than nothing."""
    workload, memory = random_network(seed), Scratchpad(
        1 << 21, 32, 32, banks=banks, bank_ports=bank_ports, layout=layout
    )  # fmt: skip
    machine = edge_npu(scratchpad=memory, weight_sram=memory if split else None)
    plan = quick_plan(workload, machine, rule)
    assert executed(workload, machine, plan, exact_events=True, most_written=0).cycles > 0
    assert all(choice.waiting >= 0 for choice in choices(workload, machine, plan, None))
