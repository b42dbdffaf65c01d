"""The tile graph of a network: every operator's output cut into tiles, one node each.

A node depends on exactly those tiles of other operators of which it reads something (halo of a
convolution, columns of a matrix product, heads of attention), so operators overlap wherever data
allow it (ASPEN, NeurIPS 2023). Times are compute cycles of one tile on a core of speed 1; transfers
are not part of this graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from accelsim.arch.parts import Accelerator
from accelsim.errors import AccelsimError, Mistake
from accelsim.mapping.tiles import Block, array_op, share
from accelsim.mapping.timing import Timing
from accelsim.parallel.regions import Grid, Grids, Region, even
from accelsim.workload.graph import Op, Workload

MOST_TILES = 1_000_000
"""Nodes of a graph at most, about half a kilobyte each."""
MOST_EDGES = 10_000_000


@dataclass(frozen=True, slots=True)
class Tile:
    """One node."""

    op: int
    """Position of its operator in ``TileDag.ops``."""
    work: int
    """Cycles >= 1 on a core of speed 1."""
    parents: tuple[int, ...] = ()
    """Tiles that it waits for, ascending, all before it."""
    macs: int = 0
    """Multiply-accumulates that are carried out."""


@dataclass(frozen=True)
class TileDag:
    """Tiles by operator in a topological order; made by :func:`tile_dag` or by hand."""

    ops: tuple[str, ...]
    tiles: tuple[Tile, ...]

    def __post_init__(self) -> None:
        wrong = next(_flaws(self.ops, self.tiles), None)
        if wrong is not None:
            raise AccelsimError(Mistake("M350", wrong, "tiles in order of their operators"))

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Tile -> tiles that wait for it, ascending."""
        found: list[list[int]] = [[] for _ in self.tiles]
        for number, tile in enumerate(self.tiles):
            for parent in tile.parents:
                found[parent].append(number)
        return tuple(map(tuple, found))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Tile -> tiles on the longest path to it, itself not counted."""
        found: list[int] = []
        for tile in self.tiles:
            found.append(1 + max((found[parent] for parent in tile.parents), default=-1))
        return tuple(found)

    @cached_property
    def by_op(self) -> tuple[tuple[int, ...], ...]:
        """Operator -> its tiles."""
        found: list[list[int]] = [[] for _ in self.ops]
        for number, tile in enumerate(self.tiles):
            found[tile.op].append(number)
        return tuple(map(tuple, found))

    @property
    def work(self) -> int:
        """Cycles of all tiles on one core of speed 1."""
        return sum(tile.work for tile in self.tiles)

    @cached_property
    def critical_path(self) -> int:
        """Cycles of the longest chain of tiles at speed 1: no number of such cores is faster."""
        ends: list[int] = []
        for tile in self.tiles:
            ends.append(tile.work + max((ends[parent] for parent in tile.parents), default=0))
        return max(ends, default=0)

    def repeated(self, count: int) -> TileDag:
        """``count`` >= 1 independent copies, operator by operator: as many images at once."""
        tiles: list[Tile] = []
        places = [[0] * len(self.tiles) for _ in range(count)]
        for mine in self.by_op:
            for copy in range(count):
                for number in mine:
                    places[copy][number] = len(tiles)
                    tile = self.tiles[number]
                    parents = tuple(sorted(places[copy][p] for p in tile.parents))
                    tiles.append(Tile(tile.op, tile.work, parents, tile.macs))
        return TileDag(self.ops, tuple(tiles))


def _flaws(ops: Sequence[str], tiles: Sequence[Tile]) -> Iterator[str]:
    """Everything that keeps tiles from being a graph."""
    before = 0
    for number, tile in enumerate(tiles):
        if not 0 <= tile.op < len(ops):
            yield f"tile {number} is of operator {tile.op}, of which there are {len(ops)}"
        if tile.op < before:
            yield f"tile {number} of operator {tile.op} comes after one of operator {before}"
        if type(tile.work) is not int or tile.work < 1:
            yield f"tile {number}: work must be a whole number of at least 1, not {tile.work!r}"
        if any(not 0 <= parent < number for parent in tile.parents):
            yield f"tile {number} waits for {tile.parents}, which must be earlier tiles"
        if len(set(tile.parents)) < len(tile.parents):
            yield f"tile {number} waits for a tile twice: {tile.parents}"
        before = max(before, tile.op)


def tile_dag(workload: Workload, accelerator: Accelerator, *, tiles: int = 64) -> TileDag:
    """Cut every operator into at most ``tiles`` tiles: output rows first, then, where there are
    fewer rows than that, columns (output channels) as well.

    ``work`` is the time of the tile on the machine's array (with its epilogue) or vector unit, the
    operands being there. AccelsimError (M350) for a count that is not positive, or more than
    :data:`MOST_TILES` tiles or :data:`MOST_EDGES` dependences.
    """
    if tiles < 1:
        raise AccelsimError(Mistake("M350", f"{tiles} tiles per operator", "at least 1"))
    grids, clock = Grids(workload), _Clock(workload, accelerator)
    nodes: list[Tile] = []
    pieces: dict[str, list[tuple[int, Region]]] = {}  # tensor -> its tiles
    edges = 0
    for index, op in enumerate(workload.ops):
        mine = []
        for region in cut(op, grids.of(op.output), tiles):
            parents = {
                number
                for name, wanted in grids.needs(op, region).items()
                for number, piece in pieces.get(name, ())
                if piece.overlaps(wanted)
            }
            edges += len(parents)
            _bound(len(nodes), edges)
            mine.append((len(nodes), region))
            work, macs = clock.tile(op, region)
            nodes.append(Tile(index, work, tuple(sorted(parents)), macs))
        pieces[op.output] = mine
    return TileDag(tuple(op.name for op in workload.ops), tuple(nodes))


def _bound(tiles: int, edges: int) -> None:
    if tiles >= MOST_TILES or edges > MOST_EDGES:
        raise AccelsimError(
            Mistake(
                "M350",
                f"more than {MOST_TILES} tiles or {MOST_EDGES} dependences between them",
                "fewer tiles per operator",
            )
        )


def cut(op: Op, grid: Grid, tiles: int) -> tuple[Region, ...]:
    """At most ``tiles`` regions that cover the output, row by row; groups of a product of several
    columns each stay whole."""
    rows = even(grid.rows, tiles)
    unit = op.gemm.n if op.gemm is not None and op.gemm.groups > 1 else 1
    cols = even(grid.cols, tiles // len(rows), unit)
    return tuple(Region(grid, row, col) for row in rows for col in cols)


class _Clock:
    """Cycles and MACs of single tiles."""

    def __init__(self, workload: Workload, accelerator: Accelerator) -> None:
        self._workload = workload
        self._array = accelerator.array
        self._timing = Timing(accelerator)

    def tile(self, op: Op, region: Region) -> tuple[int, int]:
        """(cycles, MACs) of one tile."""
        if op.gemm is None:
            return self._vector(op, region), 0
        return self._product(op, region)

    def _product(self, op: Op, region: Region) -> tuple[int, int]:
        """With several dataflows that of the fewest cycles."""
        return min(self._one_way(op, region, choice) for choice in self._array.choices)

    def _one_way(self, op: Op, region: Region, choice: str) -> tuple[int, int]:
        operands, timing = array_op(op, self._workload, self._array, choice), self._timing
        gemm = operands.gemm
        m = gemm.m * region.rows[1] // region.grid.rows
        groups = max(1, region.cols[1] // gemm.n) if gemm.groups > 1 else 1
        block = Block(0, groups, 0, region.cols[1] // groups)
        shape = operands.shape(m, block, gemm.k, first=True)
        sums = m * block.channels
        ops = self._share(op.vector_ops, region)
        out = operands.out_bytes((0, m), block)
        cycles = timing.array(shape).cycles + timing.epilogue(op.kind, ops, out, sums)
        return max(1, cycles), m * block.channels * operands.slots(gemm.k)

    def _vector(self, op: Op, region: Region) -> int:
        moved = sum(self._workload.tensors[name].bytes for name in (*op.inputs, op.output))
        ops = self._share(op.vector_ops, region)
        return max(1, self._timing.vector(op.kind, ops, self._share(moved, region)))

    @staticmethod
    def _share(amount: int, region: Region) -> int:
        """A region's part of an amount; parts of a cut sum to the whole."""
        grid = region.grid
        strip = share(amount, region.rows[0], region.rows[1], grid.rows)
        return share(strip, region.cols[0], region.cols[1], grid.cols)
