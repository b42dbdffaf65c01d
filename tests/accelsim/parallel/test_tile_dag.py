"""Tiles depend on exactly the tiles that they read."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import (
    Accelerator,
    AccumulatorSram,
    Dma,
    Dram,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.errors import AccelsimError
from accelsim.parallel.regions import Grid, Grids, Region, even, everything, halo
from accelsim.parallel.tile_dag import Tile, TileDag, tile_dag
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Window, Workload

MACHINE = Accelerator(
    "edge", 500_000_000, 45, SystolicArray(16, 16), VectorUnit(16, 8), Scratchpad(128 * 1024),
    AccumulatorSram(32 * 1024), Dram("LPDDR4", 3_200_000_000, 50), Dma(2, 16),
)  # fmt: skip


def act(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "int8", Role.ACTIVATION)


def conv(
    name: str, source: str, target: str, c_in: int, size: int, c_out: int, *, kernel: int = 3,
    stride: int = 1, groups: int = 1, batch: int = 1,
) -> tuple[Op, list[Tensor]]:  # fmt: skip
    pad = kernel // 2
    out = (size + 2 * pad - kernel) // stride + 1
    window = Window(
        batch, c_in, size, size, c_out, out, out, kernel, kernel, (stride, stride), (1, 1),
        (pad,) * 4, groups,
    )  # fmt: skip
    gemm = Gemm(batch * out * out, c_in // groups * kernel * kernel, c_out // groups, groups)
    weight = Tensor(f"{name}.w", (c_out, c_in // groups, kernel, kernel), "int8", Role.WEIGHT)
    op = Op(
        name, OpKind.CONV, (source,), target, weight.name, None, gemm, window,
        vector_ops=gemm.m * c_out,
    )  # fmt: skip
    return op, [weight, act(target, batch, c_out, out, out)]


def network(source: Tensor, *parts: tuple[Op, list[Tensor]]) -> Workload:
    tensors = {source.name: source} | {t.name: t for _, made in parts for t in made}
    ops = tuple(op for op, _ in parts)
    return Workload("net", tensors, ops, (source.name,), (ops[-1].output,))


def parents(dag: TileDag, op: int) -> list[list[int]]:
    """Per tile of an operator: its parents, numbered within their operators."""
    first = {number: at for mine in dag.by_op for at, number in enumerate(mine)}
    return [[first[parent] for parent in dag.tiles[tile].parents] for tile in dag.by_op[op]]


def test_a_convolution_reads_the_rows_of_its_halo() -> None:
    net = network(act("x", 1, 8, 6, 6), conv("a", "x", "y", 8, 6, 8), conv("b", "y", "z", 8, 6, 8))
    dag = tile_dag(net, MACHINE, tiles=6)
    assert parents(dag, 1) == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5]]
    assert [dag.depths[tile] for tile in dag.by_op[1]] == [1] * 6


def test_stride_two_reads_every_other_row() -> None:
    net = network(
        act("x", 1, 8, 8, 8),
        conv("a", "x", "y", 8, 8, 8),
        conv("b", "y", "z", 8, 8, 8, stride=2),
    )
    # Tiles of two rows; output row r looks at rows 2r - 1 to 2r + 1.
    assert parents(tile_dag(net, MACHINE, tiles=4), 1) == [[0], [0, 1], [1, 2], [2, 3]]


def test_a_depthwise_tile_reads_its_own_channels_only() -> None:
    net = network(
        act("x", 1, 4, 2, 2),
        conv("a", "x", "y", 4, 2, 4, kernel=1),
        conv("b", "y", "z", 4, 2, 4, kernel=1, groups=4),
        conv("c", "z", "u", 4, 2, 4, kernel=1),
    )
    dag = tile_dag(net, MACHINE, tiles=8)  # two rows x four channels
    assert parents(dag, 1) == [[tile] for tile in range(8)]
    assert parents(dag, 2) == [[0, 1, 2, 3]] * 4 + [[4, 5, 6, 7]] * 4


def attention(heads: int, rows: int, width: int) -> Workload:
    """Products for Q and K, scores and softmax; heads lie side by side."""
    cols = heads * width
    parts = [
        (
            Op(name, OpKind.MATMUL, ("x",), name, f"{name}.w", None, Gemm(rows, cols, cols)),
            [Tensor(f"{name}.w", (cols, cols), "int8", Role.WEIGHT), act(name, rows, cols)],
        )
        for name in ("q", "k")
    ]
    scores = Op(
        "scores", OpKind.MATMUL, ("q", "k"), "s", None, None, Gemm(rows, width, rows, heads)
    )
    soft = Op("softmax", OpKind.SOFTMAX, ("s",), "p", vector_ops=heads * rows * rows)
    parts += [(scores, [act("s", heads, rows, rows)]), (soft, [act("p", heads, rows, rows)])]
    return network(act("x", rows, cols), *parts)


def test_a_head_reads_its_columns_of_q_and_k() -> None:
    net = attention(heads=2, rows=4, width=8)
    grids = Grids(net)
    scores = net.ops[2]
    second = Region(grids.of("s"), (0, 1), (4, 4))  # first row of the second head
    needs = grids.needs(scores, second)
    assert needs["q"] == Region(Grid(4, 16), (0, 1), (8, 8))
    assert needs["k"] == Region(Grid(4, 16), (0, 4), (8, 8))
    assert grids.needs(net.ops[3], second)["s"] == Region(Grid(4, 8), (0, 1), (0, 8))


def test_a_tensor_seen_otherwise_is_needed_whole() -> None:
    flat = Op(
        "fc", OpKind.MATMUL, ("y",), "z", "fc.w", None, Gemm(1, 8 * 36, 10), vector_ops=10
    )  # fmt: skip
    net = network(
        act("x", 1, 8, 6, 6),
        conv("a", "x", "y", 8, 6, 8),
        (flat, [Tensor("fc.w", (288, 10), "int8", Role.WEIGHT), act("z", 1, 10)]),
    )
    dag = tile_dag(net, MACHINE, tiles=3)
    assert parents(dag, 1) == [[0, 1, 2]] * len(dag.by_op[1])


@given(
    st.integers(1, 3), st.integers(1, 12), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2),
    st.integers(1, 2), st.data(),
)  # fmt: skip
def test_the_halo_is_what_windows_touch(
    batch: int, height: int, kernel: int, stride: int, pad: int, dilation: int, data: st.DataObject
) -> None:
    reach = (kernel - 1) * dilation + 1
    if height + 2 * pad < reach:
        return
    out = (height + 2 * pad - reach) // stride + 1
    window = Window(
        batch, 1, height, 1, 1, out, 1, kernel, 1, (stride, 1), (dilation, 1), (pad, 0, pad, 0)
    )
    first = data.draw(st.integers(0, batch * out - 1))
    count = data.draw(st.integers(1, batch * out - first))
    touched = set()
    for row in range(first, first + count):
        image, at = divmod(row, out)
        start = at * stride - pad
        touched |= {image * height + r for r in range(start, start + reach) if 0 <= r < height}
    low, rows = halo(window, (first, count))
    assert not touched or (low <= min(touched) and max(touched) < low + rows)
    if kernel > pad and dilation == 1:  # no tap of an edge row that hides in the padding
        assert (low, low + rows) == (min(touched), max(touched) + 1)


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 4))
def test_even_ranges_cover_all_and_differ_by_one_unit(total: int, parts: int, unit: int) -> None:
    found = even(total * unit, parts, unit)
    assert [start for start, _ in found] == [
        sum(n for _, n in found[:i]) for i in range(len(found))
    ]
    assert sum(count for _, count in found) == total * unit
    sizes = {count for _, count in found}
    assert max(sizes) - min(sizes) <= unit
    assert len(found) == min(parts, total)


@given(st.integers(1, 40))
def test_tiles_add_up_to_the_network(tiles: int) -> None:
    net = network(
        act("x", 2, 8, 9, 9),
        conv("a", "x", "y", 8, 9, 12, batch=2),
        conv("b", "y", "z", 12, 9, 12, groups=12, batch=2),
        conv("c", "z", "u", 12, 9, 6, stride=2, batch=2),
    )
    dag = tile_dag(net, MACHINE, tiles=tiles)
    assert sum(tile.macs for tile in dag.tiles) == net.macs
    assert all(len(mine) <= tiles for mine in dag.by_op)
    assert dag.work >= math.ceil(Fraction(net.macs, 256))
    assert dag.critical_path <= dag.work


def test_copies_are_independent() -> None:
    dag = TileDag(("a", "b"), (Tile(0, 3), Tile(0, 4), Tile(1, 5, (0, 1))))
    twice = dag.repeated(2)
    assert twice.work == 2 * dag.work
    assert twice.critical_path == dag.critical_path == 9
    assert [tile.parents for tile in twice.tiles] == [(), (), (), (), (0, 1), (2, 3)]


@pytest.mark.parametrize(
    ("tiles", "words"),
    [
        ((Tile(1, 1),), "operator 1, of which there are 1"),
        ((Tile(0, 0),), "at least 1"),
        ((Tile(0, 1, (0,)),), "earlier tiles"),
        ((Tile(0, 1), Tile(0, 1, (0, 0))), "twice"),
    ],
)
def test_what_is_no_graph_is_refused(tiles: tuple[Tile, ...], words: str) -> None:
    with pytest.raises(AccelsimError, match=words) as error:
        TileDag(("a",), tiles)
    assert error.value.mistakes[0].code == "M350"


def test_regions_of_other_grids_are_taken_to_meet() -> None:
    one, other = everything(Grid(4, 4)), Region(Grid(16, 1), (0, 1), (0, 1))
    assert one.overlaps(other)
    assert one.contains(other)
    assert not other.contains(one)
    with pytest.raises(AccelsimError, match="0 tiles"):
        tile_dag(attention(1, 4, 4), MACHINE, tiles=0)
