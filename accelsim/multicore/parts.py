"""A part of an operator as an operator of its own, and the network that each core runs.

A core's network consists of its parts. What another core makes is a graph input of it, what another
core needs is a graph output, so that both travel through a shared memory; what a core makes and
needs itself, in the same region, may stay in its scratchpad. Tensors of parts are named after their
region, so the same region has the same name everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from accelsim.mapping.tiles import Range, share
from accelsim.multicore.assign import Assignment, Part
from accelsim.parallel.regions import Grids, Region, everything, halo
from accelsim.workload.graph import Gemm, Op, Role, Tensor, Window, Workload

Value = tuple[str, int]
"""(tensor of the network, image)."""


@dataclass(frozen=True)
class CoreNetwork:
    """What one core runs."""

    workload: Workload
    """One operator per part, in the order of the core's parts."""
    imports: Mapping[str, tuple[Value, Region]]
    """Graph input made on other cores -> what it is."""
    values: Mapping[str, Value]
    """Activation -> the network's tensor (and image) that it is, whole or in part."""
    origin: Mapping[str, str]
    """Tensor -> tensor of the network, constants included."""
    ops: Mapping[str, str]
    """Operator -> operator of the network."""


def core_networks(
    workload: Workload, assignment: Assignment, cores: int
) -> tuple[CoreNetwork, ...]:
    """The network of every core."""
    cutter = Cutter(workload)
    drafts = [_draft(cutter, assignment.of(core)) for core in range(cores)]
    return tuple(_exported(draft, drafts, workload) for draft in drafts)


class Cutter:
    """Cuts operators of a network."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.grids = Grids(workload)

    def alone(self, op: Op, region: Region) -> tuple[Workload, Op]:
        """A network of nothing but a part of ``op``."""
        made, tensors = self.part(op, Part(op.name, 0, 0, region))
        inputs, outputs = tuple(made.inputs), (made.output,)
        named = {tensor.name: tensor for tensor, _ in tensors}
        return Workload(op.name, named, (made,), inputs, outputs), made

    def needs(self, op: Op, region: Region) -> dict[str, Region]:
        """Input -> what a part reads of it: whole images have their inputs whole, rows that a
        stride leaves out included."""
        found = self.grids.needs(op, region)
        if region.whole:
            return {name: everything(self.grids.of(name)) for name in op.inputs}
        window = op.window
        if window is None or region.rows[0] % window.out_height or not _images(window, region.rows):
            return found
        rows = (
            region.rows[0] // window.out_height * window.in_height,
            _images(window, region.rows) * window.in_height,
        )
        first = op.inputs[0]
        return {**found, first: replace(found[first], rows=rows)}

    def part(self, op: Op, part: Part) -> tuple[Op, list[tuple[Tensor, str]]]:
        """A part as an operator, and its tensors with what they are called in the network."""
        region = part.region
        needs = self.needs(op, region)
        tensors = [(self._activation(op.output, region, part.image), op.output)]
        tensors += [(self._activation(n, needs[n], part.image), n) for n in op.inputs]
        constants: dict[str, str] = {}
        for name in (op.weight, op.bias):
            if name is not None:
                constant = self._constant(op, name, region)
                tensors.append((constant, name))
                constants[name] = constant.name
        made = replace(
            op,
            name=op.name if part.image == 0 else f"{op.name}#{part.image}",
            inputs=tuple(tensor.name for tensor, _ in tensors[1 : 1 + len(op.inputs)]),
            output=tensors[0][0].name,
            weight=constants.get(op.weight) if op.weight else None,
            bias=constants.get(op.bias) if op.bias else None,
            gemm=self._gemm(op, region),
            window=_window(op, region),
            vector_ops=part_of(op.vector_ops, region),
        )
        return made, tensors

    def _activation(self, name: str, region: Region, image: int) -> Tensor:
        tensor = self.workload.tensors[name]
        mark = "" if image == 0 else f"#{image}"
        if region.whole:
            return replace(tensor, name=name + mark)
        (row, rows), (col, cols) = region.rows, region.cols
        elements = tensor.elements * region.cells // (region.grid.rows * region.grid.cols)
        label = f"{name}[{row}:{row + rows},{col}:{col + cols}]{mark}"
        return replace(tensor, name=label, shape=_shape(tensor, elements))

    def _constant(self, op: Op, name: str, region: Region) -> Tensor:
        """The weights or biases of the part's columns (vector operators: those of its elements, if
        they are as many as the output's, else all)."""
        tensor = self.workload.tensors[name]
        grid, cols = region.grid, region.cols
        if op.gemm is None:
            if region.whole or tensor.elements != self.workload.tensors[op.output].elements:
                return tensor
            elements = part_of(tensor.elements, region)
            (row, rows), (col, width) = region.rows, cols
            label = f"{name}[{row}:{row + rows},{col}:{col + width}]"
            return replace(tensor, name=label, shape=_shape(tensor, elements))
        if cols[1] == grid.cols:
            return tensor
        shape = (cols[1], tensor.elements // grid.cols)
        return replace(tensor, name=f"{name}[{cols[0]}:{cols[0] + cols[1]}]", shape=shape)

    def _gemm(self, op: Op, region: Region) -> Gemm | None:
        gemm = op.gemm
        if gemm is None or region.whole:
            return gemm
        m = gemm.m * region.rows[1] // region.grid.rows
        if gemm.groups == 1:
            return replace(gemm, m=m, n=region.cols[1])
        return replace(gemm, m=m, groups=region.cols[1] // gemm.n)


def part_of(amount: int, region: Region) -> int:
    """A region's share of an amount; shares of disjoint regions that share rows or columns and
    cover a grid sum to the whole."""
    strip = share(amount, region.rows[0], region.rows[1], region.grid.rows)
    return share(strip, region.cols[0], region.cols[1], region.grid.cols)


def _shape(tensor: Tensor, elements: int) -> tuple[int, ...]:
    """A shape of so many elements that keeps the last axis if it can (a softmax runs along it)."""
    last = tensor.shape[-1] if tensor.shape else 1
    return (elements // last, last) if last and elements % last == 0 else (elements,)


def _window(op: Op, region: Region) -> Window | None:
    window = op.window
    if window is None or region.whole:
        return window
    rows, cols = region.rows, region.cols
    if rows[1] < region.grid.rows:
        window = _rows(window, rows)
    if cols[1] == region.grid.cols:
        return window
    groups = 1 if op.gemm is None else op.gemm.groups
    if op.gemm is None:  # pools work channel by channel
        channels = cols[1]
    elif groups == 1:
        channels = window.in_channels
    else:
        groups = cols[1] // op.gemm.n
        channels = window.in_channels * groups // op.gemm.groups
    return replace(window, in_channels=channels, out_channels=cols[1], groups=groups)


def _images(window: Window, rows: Range) -> int:
    """How many whole images so many output rows are; 0 if they are none."""
    images, rest = divmod(rows[1], window.out_height)
    return 0 if rest else images


def _rows(window: Window, rows: Range) -> Window:
    """The window over some output rows: whole images, or rows of one image with what padding is
    left above and below."""
    if rows[0] % window.out_height == 0 and _images(window, rows):
        return replace(window, batch=_images(window, rows))
    first = rows[0] % window.out_height
    top, left, _, right = window.pads
    reach = (window.kernel_height - 1) * window.dilation[0] + 1
    start = first * window.stride[0] - top
    stop = (first + rows[1] - 1) * window.stride[0] - top + reach
    pads = (max(0, -start), left, max(0, stop - window.in_height), right)
    return replace(
        window,
        batch=1,
        in_height=halo(window, rows)[1],
        out_height=rows[1],
        pads=pads,
    )


@dataclass
class _Draft:
    """A core's network under construction."""

    ops: list[Op]
    names: dict[str, str]
    tensors: dict[str, Tensor]
    origin: dict[str, str]
    values: dict[str, tuple[Value, Region]]
    made: dict[str, tuple[Value, Region]]


def _draft(cutter: Cutter, parts: tuple[Part, ...]) -> _Draft:
    draft = _Draft([], {}, {}, {}, {}, {})
    workload = cutter.workload
    for part in parts:
        op = workload.ops[workload.position[part.op]]
        made, tensors = cutter.part(op, part)
        draft.ops.append(made)
        draft.names[made.name] = op.name
        for tensor, name in tensors:
            draft.tensors[tensor.name] = tensor
            known = draft.origin.setdefault(tensor.name, name)
            assert known == name, f"{known} and {name} have parts of one name"
        for name, own in zip(op.inputs, made.inputs, strict=True):
            region = cutter.needs(op, part.region)[name]
            draft.values[own] = ((name, part.image), region)
        draft.made[made.output] = draft.values[made.output] = (
            (op.output, part.image),
            part.region,
        )
    return draft


def _exported(draft: _Draft, drafts: list[_Draft], workload: Workload) -> CoreNetwork:
    """A draft with its outputs: what the network outputs or another core imports."""
    wanted = [
        entry for other in drafts for name, entry in other.values.items() if name not in other.made
    ]
    by_value: dict[Value, list[Region]] = {}
    for value, region in wanted:
        by_value.setdefault(value, []).append(region)
    outputs = tuple(
        name
        for name, (value, region) in draft.made.items()
        if value[0] in workload.outputs
        or any(region.overlaps(other) for other in by_value.get(value, ()))
    )
    inputs = [name for name in draft.values if name not in draft.made]
    imports = {
        name: draft.values[name] for name in inputs if draft.values[name][0][0] in workload.producer
    }
    tensors = {name: _with_role(t, name, inputs, outputs) for name, t in draft.tensors.items()}
    own = Workload(workload.name, tensors, tuple(draft.ops), tuple(inputs), outputs)
    values = {name: value for name, (value, _) in draft.values.items()}
    return CoreNetwork(own, imports, values, draft.origin, draft.names)


def _with_role(tensor: Tensor, name: str, inputs: list[str], outputs: tuple[str, ...]) -> Tensor:
    if tensor.role in (Role.WEIGHT, Role.BIAS):
        return tensor
    role = Role.INPUT if name in inputs else Role.OUTPUT if name in outputs else Role.ACTIVATION
    return replace(tensor, role=role)
