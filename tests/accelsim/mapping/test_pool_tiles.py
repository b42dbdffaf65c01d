"""Pools tile over channels, rows and parts of rows; infeasible only below the smallest tile."""

from __future__ import annotations

from collections import Counter

import pytest
from hardware_samples import REGION, edge_npu
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad
from accelsim.errors import InfeasibleError
from accelsim.lower import lower, plan_traffic
from accelsim.mapping import candidates, require_legal
from accelsim.mapping.tiles import share
from accelsim.mapping.vector_tiles import tile_kinds, vector_input_bytes, vector_tiles
from accelsim.plan import MemoryPlan, Step, Tiling
from accelsim.sim.check import check_placement
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand
from accelsim.workload.graph import Op, OpKind, Role, Tensor, Window, Workload


def _pool(channels: int, size: int, kernel: int, stride: int, pad: int, batch: int = 1) -> Workload:
    out = (size + 2 * pad - kernel) // stride + 1
    window = Window(
        batch, channels, size, size, channels, out, out, kernel, kernel, (stride, stride),
        pads=(pad,) * 4, groups=channels,
    )  # fmt: skip
    source = Tensor("x", (batch, channels, size, size), "int8", Role.INPUT)
    target = Tensor("y", (batch, channels, out, out), "int8", Role.OUTPUT)
    kind = OpKind.GLOBAL_AVERAGE_POOL if out == 1 and kernel == size else OpKind.MAX_POOL
    ops = kernel * kernel * target.elements
    op = Op("pool", kind, ("x",), "y", window=window, vector_ops=ops)
    return Workload("pool", {"x": source, "y": target}, (op,), ("x",), ("y",))


@pytest.mark.parametrize(
    ("shape", "capacity"),
    [
        ((64, 112, 3, 2, 1), 32 * 1024),  # the first pool of ResNet-50
        ((64, 112, 3, 2, 1), 1024),
        ((64, 112, 3, 2, 1), 64),
        ((64, 8, 8, 1, 0), 1024),
        ((64, 8, 8, 1, 0), 160),  # one channel at a time: two slots of 64 bytes, two of 16
    ],
)
def test_pools_fit_small_scratchpads(shape, capacity):
    workload, machine = _pool(*shape), edge_npu(scratchpad=Scratchpad(capacity))
    op = workload.ops[0]
    found = candidates(op, workload, machine)
    require_legal(op, found, workload, machine)
    best = min(found, key=lambda c: c.cycles)
    assert best.buffer_bytes <= capacity
    assert best.vector_ops == op.vector_ops


def test_a_channel_below_the_scratchpad_is_infeasible():
    workload = _pool(64, 8, 8, 1, 0)
    machine = edge_npu(scratchpad=Scratchpad(159))
    found = candidates(workload.ops[0], workload, machine)
    with pytest.raises(InfeasibleError) as caught:
        require_legal(workload.ops[0], found, workload, machine)
    assert caught.value.infeasibility.demand == 160


def test_lanes_are_a_preference():
    """With room, tiles fill the lanes; without, an addition goes below them."""
    tensors = {n: Tensor(n, (1, 64), "int8", Role.ACTIVATION) for n in ("a", "b", "y")}
    op = Op("add", OpKind.ADD, ("a", "b"), "y", vector_ops=64)
    workload = Workload("add", tensors, (op,), ("a", "b"), ("y",))
    for capacity, narrow in ((96, False), (48, True)):
        # Six slots: two of each tensor.
        machine = edge_npu(scratchpad=Scratchpad(capacity, alignment_bytes=1))
        found = candidates(op, workload, machine)
        require_legal(op, found, workload, machine)
        assert (min(c.tiling.m for c in found) < machine.vector.lanes) == narrow


@given(
    channels=st.integers(1, 7), size=st.integers(2, 9), kernel=st.integers(1, 3),
    stride=st.integers(1, 3), batch=st.integers(1, 2), m=st.integers(1, 90), n=st.integers(1, 8),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_tiles_partition_the_output_and_read_all_their_windows(
    channels, size, kernel, stride, batch, m, n
):
    if size < kernel:
        return
    workload = _pool(channels, size, kernel, stride, 0, batch)
    op, output, tiling = workload.ops[0], workload.tensors["y"], Tiling(m, n, 1)
    tiles = list(vector_tiles(op, output, tiling))
    assert sum(tile.count for tile in tiles) == output.elements
    assert [tile.start for tile in tiles] == [
        sum(t.count for t in tiles[:i]) for i in range(len(tiles))
    ]
    assert all(tile.count == tile.pixels[1] * tile.channels for tile in tiles)
    assert sum(share(output.bytes, t.start, t.count, output.elements) for t in tiles) == (
        output.bytes
    )
    source = workload.tensors["x"]
    walked = Counter(
        (t.count, vector_input_bytes(op, source, output, t)) for t in tiles
    )  # fmt: skip
    counted: Counter[tuple[int, int]] = Counter()
    kinds = tile_kinds(op, workload, tiling)
    for tile, many in kinds.kinds:
        counted[tile.count, vector_input_bytes(op, source, output, tile)] += many
    assert walked == counted
    assert (kinds.tiles, kinds.last.count) == (len(tiles), tiles[-1].count)
    if kernel >= stride:  # every window is read in full by the tile that owns it
        assert all(
            vector_input_bytes(op, source, output, t) >= min(kernel, size) ** 2 * t.channels
            for t in tiles
        )


@given(
    capacity=st.sampled_from([200, 1000, 5000]), channels=st.integers(1, 20),
    kernel=st.integers(1, 3), stride=st.integers(1, 2),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_pool_candidates_lower_to_their_own_figures(capacity, channels, kernel, stride):
    workload = _pool(channels, 11, kernel, stride, kernel // 2)
    machine = edge_npu(scratchpad=Scratchpad(capacity))
    op = workload.ops[0]
    for c in candidates(op, workload, machine):
        names = [n for n in ("x", "y") if n not in c.streamed]
        step = Step(
            "pool", c, tuple(n for n in names if n == "x"), (),
            {n: REGION * (i + 1) for i, n in enumerate(names)}, 0,
        )  # fmt: skip
        plan = MemoryPlan((step,), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "hand")
        graph = expand(lower(workload, machine, plan))
        assert sum(t.dram_read_bytes for t in graph.tasks) == plan_traffic(workload, plan)[0]
        assert sum(t.dram_write_bytes for t in graph.tasks) == plan_traffic(workload, plan)[1]
        assert sum(t.vector_ops for t in graph.tasks) == op.vector_ops
        trace = simulate(graph)
        check_placement(trace, capacity=4 * REGION)
        if len(c.streamed) == 2:
            assert 0.8 <= trace.cycles / c.cycles <= 1.15
