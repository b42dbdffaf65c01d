"""Which core computes what: values only.

An assignment covers ``images`` independent runs of a network. Every operator of every image is made
in one or more *parts*, each a region of its output on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelsim.parallel.regions import Grids, Region, everything
from accelsim.workload.graph import Op, Workload


@dataclass(frozen=True)
class Part:
    """A region of one operator's output, computed on one core."""

    op: str
    image: int
    core: int
    region: Region


@dataclass(frozen=True)
class Assignment:
    """All parts in program order: parts of one operator are neighbours, by core."""

    strategy: str
    images: int
    parts: tuple[Part, ...]

    def of(self, core: int) -> tuple[Part, ...]:
        """The parts of one core, in the order in which it runs them."""
        return tuple(part for part in self.parts if part.core == core)


def flaws(assignment: Assignment, workload: Workload, cores: int) -> Iterator[str]:
    """Everything that keeps an assignment from being one: it must compute every cell of every
    operator's output once, on cores that exist, at most one part of an operator per core, producers
    before consumers."""
    grids = Grids(workload)
    by_op: dict[tuple[str, int], list[Part]] = {}
    for part in assignment.parts:
        key = part.op, part.image
        if part.op not in workload.position or not 0 <= part.image < assignment.images:
            yield f"there is no operator '{part.op}' of image {part.image}"
            continue
        if not 0 <= part.core < cores:
            yield f"'{part.op}' is on core {part.core} of {cores}"
        for name in workload.ops[workload.position[part.op]].inputs:
            producer = workload.producer.get(name)
            if producer is not None and (producer.name, part.image) not in by_op:
                yield f"'{part.op}' comes before '{producer.name}', whose output it reads"
        by_op.setdefault(key, []).append(part)
    for op in workload.ops:
        for image in range(assignment.images):
            parts = by_op.get((op.name, image), [])
            if any(not _possible(op, part.region, grids) for part in parts):
                yield f"'{op.name}' cannot be cut so"
            if not covers(everything(grids.of(op.output)), [part.region for part in parts]):
                yield f"the parts of '{op.name}' of image {image} are not its output"
            if len({part.core for part in parts}) < len(parts):
                yield f"a core has two parts of '{op.name}' of image {image}"


def _possible(op: Op, region: Region, grids: Grids) -> bool:
    """Whether a region of the output can be computed as an operator of its own."""
    for axis in ("rows", "cols"):
        start, count = getattr(region, axis)
        if count == getattr(region.grid, axis):
            continue
        unit = grids.unit(op, axis)
        if unit is None or start % unit or count % unit:
            return False
    return True


def covers(target: Region, regions: Sequence[Region]) -> bool:
    """Whether regions are disjoint and together are ``target``."""
    if any(not target.contains(region) or region.grid != target.grid for region in regions):
        return False
    apart = all(
        not one.overlaps(other) for i, one in enumerate(regions) for other in regions[i + 1 :]
    )
    return apart and sum(region.cells for region in regions) == target.cells
