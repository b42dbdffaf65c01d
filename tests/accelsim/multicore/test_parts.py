"""A part of an operator is that part: numbers, sizes and names."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.mapping.tiles import array_op
from accelsim.multicore.assign import Assignment, Part, covers, flaws
from accelsim.multicore.parts import Cutter, core_networks
from accelsim.parallel.regions import Grid, Region, everything
from accelsim.workload.check import check_workload
from accelsim.workload.graph import Window, Workload

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import add_op, conv_op, image, one_conv, random_network, workload_of

Array = NDArray[np.int64]


def convolve(x: Array, w: Array, window: Window) -> Array:
    """Plain loops over an image of shape (channels, height, width); groups as the window says."""
    top, left, bottom, right = window.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    per_in, per_out = (
        window.in_channels // window.groups, window.out_channels // window.groups,
    )  # fmt: skip
    out = np.zeros((window.out_channels, window.out_height, window.out_width), np.int64)
    for channel in range(window.out_channels):
        first = channel // per_out * per_in
        for row in range(window.out_height):
            for col in range(window.out_width):
                for i in range(window.kernel_height):
                    for j in range(window.kernel_width):
                        at = row * window.stride[0] + i * window.dilation[0]
                        of = col * window.stride[1] + j * window.dilation[1]
                        taps = padded[first : first + per_in, at, of]
                        out[channel, row, col] += int(taps @ w[channel, :, i, j])
    return out


@given(
    kernel=st.sampled_from([1, 2, 3]), stride=st.integers(1, 2), pad=st.integers(0, 2),
    dilation=st.integers(1, 2), size=st.integers(3, 8), groups=st.sampled_from([1, 2, 4]),
    data=st.data(),
)  # fmt: skip
@settings(max_examples=60)
def test_a_part_computes_its_rows_and_channels_of_the_convolution(
    kernel: int, stride: int, pad: int, dilation: int, size: int, groups: int, data: st.DataObject
) -> None:
    """The part's own geometry, run on the region of the input that it asks for, gives exactly its
    region of the whole output."""
    assume(pad < kernel and size + 2 * pad >= (kernel - 1) * dilation + 1)
    net = one_conv(
        c_in=4, size=size, c_out=8, kernel=kernel, stride=stride, pad=pad, dilation=dilation,
        groups=groups,
    )  # fmt: skip
    op, cutter = net.ops[0], Cutter(net)
    assert op.window is not None
    grid = cutter.grids.of("y")
    row = data.draw(st.integers(0, grid.rows - 1))
    rows = data.draw(st.integers(1, grid.rows - row))
    unit = 8 // groups if groups > 1 else 1
    col = unit * data.draw(st.integers(0, 8 // unit - 1))
    cols = unit * data.draw(st.integers(1, (8 - col) // unit))
    region = Region(grid, (row, rows), (col, cols))
    rng = np.random.default_rng(size * 100 + kernel)
    x = rng.integers(-9, 9, (4, size, size))
    w = rng.integers(-9, 9, (8, 4 // groups, kernel, kernel))
    part, _ = cutter.part(op, Part("conv", 0, 0, region))
    need = cutter.needs(op, region)["x"]
    assert part.window is not None
    (low, count), (first, channels) = need.rows, need.cols
    assert (part.window.in_height, part.window.in_channels) == (count, channels)
    piece = convolve(
        x[first : first + channels, low : low + count], w[col : col + cols], part.window
    )
    whole = convolve(x, w, op.window)
    assert np.array_equal(piece, whole[col : col + cols, row : row + rows])
    assert part.gemm is not None
    assert part.gemm.macs * 8 * grid.rows == net.macs * rows * cols


def test_tensors_of_a_part_have_its_share_of_the_bytes() -> None:
    first = conv_op("a", "x", "y", 8, 8, 16)
    second = conv_op("b", "y", "z", 16, 8, 32)
    net = workload_of("two", image(8, 8), [first, second])
    cutter = Cutter(net)
    grid = cutter.grids.of("z")
    made, tensors = cutter.part(net.ops[1], Part("b", 0, 0, Region(grid, (0, 2), (0, 32))))
    sizes = {tensor.name: tensor.bytes for tensor, _ in tensors}
    assert sizes == {"z[0:2,0:32]": 512, "y[0:3,0:16]": 384, "b.w": 32 * 16 * 9, "b.b": 128}
    made, tensors = cutter.part(net.ops[1], Part("b", 2, 0, Region(grid, (0, 8), (8, 8))))
    sizes = {tensor.name: tensor.bytes for tensor, _ in tensors}
    assert sizes == {
        "z[0:8,8:16]#2": 512, "y#2": 1024, "b.w[8:16]": 8 * 16 * 9, "b.b[8:16]": 32,
    }  # fmt: skip
    assert made.name == "b#2"
    assert made.vector_ops == net.ops[1].vector_ops // 4
    assert array_op(made, Workload("b", {t.name: t for t, _ in tensors}, (made,), (), ())).constant


def test_what_a_core_makes_and_needs_stays_with_it() -> None:
    """Pointwise layers split by rows exchange nothing; a 3 x 3 one needs its neighbour's row."""
    parts = [
        conv_op("a", "x", "t", 8, 8, 8, kernel=1),
        conv_op("b", "t", "u", 8, 8, 8, kernel=1),
        conv_op("c", "u", "v", 8, 8, 8, kernel=3),
    ]
    net = workload_of("three", image(8, 8), parts)
    grid = Grid(8, 8)
    halves = [Region(grid, (0, 4), (0, 8)), Region(grid, (4, 4), (0, 8))]
    assignment = Assignment(
        "by hand", 1, tuple(Part(op, 0, core, halves[core]) for op in "abc" for core in (0, 1))
    )
    assert not list(flaws(assignment, net, 2))
    upper, lower = core_networks(net, assignment, 2)
    assert list(upper.imports) == ["u[0:5,0:8]"]
    assert list(lower.imports) == ["u[3:8,0:8]"]
    assert upper.workload.outputs == ("u[0:4,0:8]", "v[0:4,0:8]")
    assert upper.workload.inputs == ("x[0:4,0:8]", "u[0:5,0:8]")
    assert upper.workload.macs + lower.workload.macs == net.macs


@pytest.mark.parametrize("seed", range(6))
def test_networks_of_cores_are_networks(seed: int) -> None:
    net = random_network(seed)
    cutter = Cutter(net)
    parts = []
    for turn, op in enumerate(net.ops):
        grid = cutter.grids.of(op.output)
        if cutter.grids.unit(op, "rows") == 1 and grid.rows > 1:
            half = grid.rows // 2
            spans = [(0, half), (half, grid.rows - half)]
            parts += [
                Part(op.name, 0, core, Region(grid, span, (0, grid.cols)))
                for core, span in enumerate(spans)
            ]
        else:
            parts.append(Part(op.name, 0, turn % 2, everything(grid)))
    assignment = Assignment("by hand", 1, tuple(parts))
    assert not list(flaws(assignment, net, 2))
    networks = core_networks(net, assignment, 2)
    for network in networks:
        check_workload(network.workload)
        assert set(network.origin.values()) <= set(net.tensors)
    assert sum(network.workload.macs for network in networks) == net.macs
    ops = [op for network in networks for op in network.workload.ops]
    assert sum(op.vector_ops for op in ops) == sum(op.vector_ops for op in net.ops)


def test_assignments_that_are_none_are_told_apart() -> None:
    net = workload_of(
        "two",
        image(8, 8),
        [conv_op("a", "x", "t", 8, 8, 8), add_op("b", "t", "x", "u", (1, 8, 8, 8))],
    )
    whole = everything(Grid(8, 8))
    first, second = Part("a", 0, 0, whole), Part("b", 0, 1, whole)
    half = replace(first, region=Region(Grid(8, 8), (0, 4), (0, 8)))
    right = Assignment("right", 1, (first, second))
    assert list(flaws(right, net, 2)) == []
    for parts, words in (
        ((second, first), "comes before"),
        ((first,), "not its output"),
        ((half, second), "not its output"),
        ((first, first, second), "not its output"),
        ((first, replace(second, core=2)), "core 2 of 2"),
        ((first, replace(second, op="c")), "no operator 'c'"),
        ((first, replace(second, image=1)), "image 1"),
        ((half, replace(half, region=Region(Grid(8, 8), (4, 4), (0, 8))), second), "two parts"),
    ):
        assert any(words in flaw for flaw in flaws(Assignment("wrong", 1, parts), net, 2))
    assert not covers(whole, [half.region, whole])
