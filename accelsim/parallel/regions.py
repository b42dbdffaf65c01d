"""Which part of its inputs a part of an operator's output needs: true halo and column dependences.

A tensor is looked at as a grid of rows and columns: output rows (of all images) x channels for
feature maps, rows of A x columns of B for matrix products (of attention heads side by side:
columns of head h come before those of head h + 1). Two operators that look at one tensor with the
same grid agree on what a region of it is; with different grids (a flattened feature map, a
transposition) a part is taken to need all of it, which is safe and never too little.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from accelsim.mapping.tiles import Range
from accelsim.mapping.vector_tiles import POOLS
from accelsim.workload.graph import Op, OpKind, Tensor, Window, Workload

ELEMENTWISE = frozenset(
    {
        OpKind.ADD, OpKind.SUB, OpKind.MUL, OpKind.DIV, OpKind.MINMAX, OpKind.ELEMENTWISE,
        OpKind.EXP, OpKind.SQRT, OpKind.RELU, OpKind.CLIP, OpKind.LEAKY_RELU, OpKind.SIGMOID,
        OpKind.TANH, OpKind.HARD_SWISH, OpKind.GELU, OpKind.BATCH_NORM, OpKind.QUANTIZE,
        OpKind.DEQUANTIZE,
    }
)  # fmt: skip
"""An output element depends on the elements of the operands at the same place."""

ROW_WISE = frozenset({OpKind.SOFTMAX, OpKind.LAYER_NORM})
"""An output element depends on the whole row that it is in."""


@dataclass(frozen=True)
class Grid:
    """How a tensor is divided: ``rows`` x ``cols`` cells, each of elements that stay together."""

    rows: int
    cols: int


@dataclass(frozen=True)
class Region:
    """Rows [r, r + count) and columns [c, c + count) of a tensor seen as ``grid``."""

    grid: Grid
    rows: Range
    cols: Range

    @property
    def cells(self) -> int:
        """Cells of the grid inside."""
        return self.rows[1] * self.cols[1]

    @property
    def whole(self) -> bool:
        """Whether it is all of the tensor."""
        return self.rows[1] == self.grid.rows and self.cols[1] == self.grid.cols

    def overlaps(self, other: Region) -> bool:
        """Whether the two share a cell; regions of different grids are taken to do so."""
        if self.grid != other.grid:
            return True
        return _meet(self.rows, other.rows) and _meet(self.cols, other.cols)

    def contains(self, other: Region) -> bool:
        """Whether all of ``other`` lies inside; of a different grid: whether this is everything."""
        if self.grid != other.grid:
            return self.whole
        return _inside(self.rows, other.rows) and _inside(self.cols, other.cols)


def everything(grid: Grid) -> Region:
    """The whole tensor."""
    return Region(grid, (0, grid.rows), (0, grid.cols))


def even(total: int, parts: int, unit: int = 1) -> tuple[Range, ...]:
    """[0, total) in at most ``parts`` ranges of whole ``unit`` s whose sizes differ by one unit at
    most; ``unit`` must divide ``total``."""
    units = total // unit
    parts = max(1, min(parts, units))
    edges = [unit * (units * part // parts) for part in range(parts + 1)]
    return tuple((low, high - low) for low, high in pairwise(edges))


class Grids:
    """The grid of every tensor of a network, and the regions that operators need."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._of: dict[str, Grid] = {}
        for name in workload.inputs:
            self._of[name] = self._seen(name) or flat(workload.tensors[name])
        for op in workload.ops:
            self._of[op.output] = self._output(op)

    def of(self, tensor: str) -> Grid:
        """The grid of an activation: that of the operator that makes it, or, where nothing else is
        known of it, the one that its first reader with a view of its own looks at."""
        return self._of[tensor]

    def needs(self, op: Op, region: Region) -> dict[str, Region]:
        """Input tensor -> the region of it that ``region`` of the output of ``op`` reads, seen
        with the grid of its producer (everything, where the grids do not fit each other)."""
        return {name: self._need(op, index, name, region) for index, name in enumerate(op.inputs)}

    def exact(self, op: Op) -> bool:
        """Whether the parts of this operator are known cell by cell: products, pools, element-wise
        and row-wise operators. Of all others every part needs all inputs."""
        if op.window is not None and (op.gemm is not None or op.kind in POOLS):
            return _plain(op, op.window)
        return op.gemm is not None or self._inherits(op)

    def unit(self, op: Op, axis: str) -> int | None:
        """``rows`` or ``cols`` of the output that stay together when an operator is split along
        that axis into operators of their own; None where it cannot be.

        Images of a batch stay whole, and so do groups of several columns; no row of a softmax is
        cut, and every operand must be divided as the operator looks at it.
        """
        if not self.exact(op) or not self._divided(op, axis):
            return None
        grid, output = self.of(op.output), self._workload.tensors[op.output]
        if axis == "rows":
            batched = op.window is not None and op.window.batch > 1
            unit = op.window.out_height if op.window is not None and batched else 1
        elif op.kind in ROW_WISE:
            return None
        else:
            unit = op.gemm.n if op.gemm is not None and op.gemm.groups > 1 else 1
        row, rest = divmod(output.elements, grid.rows)
        even_cells = rest == 0 and row % grid.cols == 0
        if op.kind in ROW_WISE:
            even_cells = even_cells and row % (output.shape[-1] if output.shape else 1) == 0
        return unit if even_cells and getattr(grid, axis) % unit == 0 else None

    def _divided(self, op: Op, axis: str) -> bool:
        """Whether the operands can be divided as a split along ``axis`` needs it."""
        gemm, tensors = op.gemm, self._workload.tensors
        if gemm is None and op.window is None:
            size, grid = tensors[op.output].elements, self.of(op.output)
            alike = [name for name in op.inputs if tensors[name].elements == size]
            return all(self.of(name) == grid for name in alike)
        if gemm is not None and axis == "cols" and gemm.groups == 1:
            return op.weight is not None
        view = self._view(op)
        first = view is None or self.of(op.inputs[0]) == view
        others = [self.of(name) for name in op.inputs[1:]] if gemm is not None else []
        groups = 1 if gemm is None else gemm.groups
        return first and (axis == "rows" or all(grid.cols % groups == 0 for grid in others))

    def _view(self, op: Op) -> Grid | None:
        """How an operator looks at its first input; None: in no way of its own."""
        window, gemm = op.window, op.gemm
        if window is not None and (gemm is not None or op.kind in POOLS):
            height = window.batch * window.in_height
            return Grid(height, window.in_channels) if _plain(op, window) else None
        return None if gemm is None else Grid(gemm.m, gemm.k * gemm.groups)

    def _seen(self, tensor: str) -> Grid | None:
        """The grid that the first reader with a view of its own looks at, through element-wise
        operators."""
        names, known = [tensor], {tensor}
        for name in names:
            for op in self._workload.consumers.get(name, ()):
                view = self._view(op) if op.inputs[0] == name else None
                if view is not None:
                    cells = view.rows * view.cols
                    if self._workload.tensors[tensor].elements % cells == 0:
                        return view
                elif self._inherits(op) and self._like(op) == name and op.output not in known:
                    known.add(op.output)
                    names.append(op.output)
        return None

    def _inherits(self, op: Op) -> bool:
        if op.kind not in ELEMENTWISE | ROW_WISE or not op.inputs:
            return False
        return self._like(op) is not None

    def _like(self, op: Op) -> str | None:
        """First input with as many elements as the output."""
        tensors = self._workload.tensors
        size = tensors[op.output].elements
        return next((name for name in op.inputs if tensors[name].elements == size), None)

    def _output(self, op: Op) -> Grid:
        gemm, window, output = op.gemm, op.window, self._workload.tensors[op.output]
        if window is not None and (gemm is not None or op.kind in POOLS) and _plain(op, window):
            return Grid(window.batch * window.out_height, window.out_channels)
        if gemm is not None:
            return Grid(gemm.m, gemm.n * gemm.groups)
        like = self._like(op) if self._inherits(op) else None
        if like is not None:
            return self.of(like)
        return self._seen(op.output) or flat(output)

    def _need(self, op: Op, index: int, name: str, region: Region) -> Region:
        grid = self.of(name)
        found: Region | None = None
        if op.window is not None and (op.gemm is not None or op.kind in POOLS):
            found = _of_window(op, op.window, grid, region)
        elif op.gemm is not None:
            found = _of_product(op, index, grid, region)
        elif self._inherits(op) and grid == region.grid:
            found = region if op.kind in ELEMENTWISE else _rows_of(region)
        return everything(grid) if found is None else found


def flat(tensor: Tensor) -> Grid:
    """Rows of the last axis."""
    last = tensor.shape[-1] if tensor.shape else 1
    return Grid(max(1, tensor.elements // max(1, last)), max(1, last))


def halo(window: Window, rows: Range) -> Range:
    """Input rows, counted over all images, that the output rows look at: the bounding range.

    Rows of padding are not counted. Over several images the range goes from the first row needed
    of the first to the last of the last.
    """
    height, out = window.in_height, window.out_height
    low = _edge(window, rows[0], height, out)[0]
    high = _edge(window, rows[0] + rows[1] - 1, height, out)[1]
    return low, max(0, high - low)


def _edge(window: Window, row: int, height: int, out: int) -> tuple[int, int]:
    image, within = divmod(row, out)
    start = within * window.stride[0] - window.pads[0]
    reach = (window.kernel_height - 1) * window.dilation[0] + 1
    low, high = max(0, min(start, height)), max(0, min(start + reach, height))
    return image * height + low, image * height + high


def _plain(op: Op, window: Window) -> bool:
    """Whether the window says all about the operator: its pixels are those of the product."""
    pixels = window.batch * window.out_height * window.out_width
    if op.gemm is None:
        return window.in_channels == window.out_channels
    return pixels == op.gemm.m and window.out_channels == op.gemm.n * op.gemm.groups


def _of_window(op: Op, window: Window, grid: Grid, region: Region) -> Region | None:
    seen = Grid(window.batch * window.in_height, window.in_channels)
    if grid != seen or not _plain(op, window):
        return None
    rows = halo(window, region.rows)
    if op.gemm is None:
        return Region(grid, rows, region.cols)
    return Region(grid, rows, _groups(region.cols, op.gemm.groups, region.grid.cols, grid.cols))


def _of_product(op: Op, index: int, grid: Grid, region: Region) -> Region | None:
    gemm = op.gemm
    assert gemm is not None, "a product"
    if grid.cols % gemm.groups and gemm.groups % grid.cols:
        return None
    cols = _groups(region.cols, gemm.groups, region.grid.cols, grid.cols)
    if index == 0:  # A: the same rows, all of the reduction
        fits = grid == Grid(gemm.m, gemm.k * gemm.groups)
        return Region(grid, region.rows, cols) if fits else None
    # B, an activation: its rows or its columns are the reduction, so all of it, head by head.
    known = grid.rows * grid.cols * gemm.groups >= gemm.k * gemm.n
    return Region(grid, (0, grid.rows), cols) if known and gemm.groups > 1 else None


def _groups(cols: Range, groups: int, total: int, source: int) -> Range:
    """Source columns of the groups that the output columns touch (all of them with one group)."""
    first = cols[0] * groups // total
    last = -(-(cols[0] + cols[1]) * groups // total)
    low, high = first * source // groups, -(-last * source // groups)
    return low, high - low


def _rows_of(region: Region) -> Region:
    return Region(region.grid, region.rows, (0, region.grid.cols))


def _meet(one: Range, other: Range) -> bool:
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]


def _inside(outer: Range, inner: Range) -> bool:
    return outer[0] <= inner[0] and inner[0] + inner[1] <= outer[0] + outer[1]
