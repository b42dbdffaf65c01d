"""Plans by rule keep to the room that they reckon with."""

from __future__ import annotations

import sys
from pathlib import Path

from accelsim.arch.parts import Scratchpad
from accelsim.lower import lower
from accelsim.mapping.quick_plan import quick_plan
from accelsim.sim.check import check_placement
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand

sys.path.insert(0, str(Path(__file__).parent))
from hardware_samples import add_op, conv_op, edge_npu, image, workload_of


def test_a_resident_operand_does_not_make_room_for_tiles_that_lie_in_it() -> None:
    """With one operand in the scratchpad a sum could have larger tiles than with both streaming;
    they would reach into that very operand, which was placed above the smaller ones."""
    net = workload_of(
        "sum",
        image(8, 56),
        [conv_op("conv", "x", "y", 8, 56, 8), add_op("add", "y", "x", "z", (1, 8, 56, 56))],
    )
    machine = edge_npu()
    plan = quick_plan(net, machine)
    add = plan.steps[1]
    assert add.candidate.streamed == {"x", "z"}
    assert add.addresses is not None
    assert add.candidate.buffer_bytes <= add.addresses["y"]
    trace = simulate(expand(lower(net, machine, plan)))
    check_placement(trace, capacity=machine.scratchpad.bytes)


def test_an_input_that_is_kept_from_its_second_reader_on_streams_to_the_first() -> None:
    """The first reader's buffers leave no room for it, those of the second do."""
    parts = [conv_op("c0", "x", "a", 16, 16, 256), conv_op("c1", "x", "b", 16, 16, 8, kernel=1)]
    net = workload_of("two", image(16, 16), parts)
    machine = edge_npu(scratchpad=Scratchpad(8 * 1024))
    plan = quick_plan(net, machine)
    first, second = plan.steps
    assert (first.candidate.streamed, first.loads) == ({"a", "x"}, ())
    assert (second.candidate.streamed, second.loads) == ({"b"}, ("x",))
    trace = simulate(expand(lower(net, machine, plan)))
    check_placement(trace, capacity=machine.scratchpad.bytes)
    assert sum(task.dram_read_bytes + task.dram_write_bytes for task, _ in trace.on("dram")) == (
        plan.traffic_bytes
    )
