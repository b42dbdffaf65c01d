"""Operators whose mapping the user fixed, in part or whole: obeyed to the letter or refused.

What is fixed is taken as it is; what is left open is searched as usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import itemgetter

from accelsim.arch.parts import Accelerator
from accelsim.errors import AccelsimError, Location, Mistake, suggest
from accelsim.mapping.array import nests, part_row_sizes, realise, row_sizes
from accelsim.mapping.legality import needs
from accelsim.mapping.objective import Objective
from accelsim.mapping.rules import objections
from accelsim.mapping.search import array_pool_cycles, hides, variants
from accelsim.mapping.thinning import thin
from accelsim.mapping.tiles import array_op
from accelsim.mapping.timing import NO_HOMES, Timing
from accelsim.mapping.vector import vector_candidate, vector_candidates
from accelsim.mapping.vector_tiles import whole
from accelsim.plan import Candidate, Tiling
from accelsim.workload.graph import Op, Workload


@dataclass(frozen=True)
class FixedMapping:
    """What a config fixes for the operators whose name matches ``pattern`` (shell wildcards)."""

    pattern: str
    m: int | None = None
    """Output pixels (rows of A) per tile; likewise below, see :class:`accelsim.plan.Tiling`."""
    n: int | None = None
    k: int | None = None
    order: str | None = None
    stream: tuple[str, ...] | None = None
    """Tensors that stay in the backing memory; ``inputs`` and ``output`` stand for the operator's
    own. An empty list: everything is resident. None: open."""
    location: Location | None = None
    dataflow: str | None = None
    """One of the array's dataflows."""

    def matches(self, op: Op) -> bool:
        """Whether it is about ``op``."""
        return fnmatchcase(op.name, self.pattern)


def fixed_for(op: Op, fixed: Sequence[FixedMapping]) -> FixedMapping | None:
    """The last entry that matches (later ones are more special); None if there is none."""
    return next((entry for entry in reversed(fixed) if entry.matches(op)), None)


def require_matches(fixed: Sequence[FixedMapping], workload: Workload) -> None:
    """Raise AccelsimError (M341) with every pattern that no operator matches."""
    names = [op.name for op in workload.ops]
    wrong = [
        Mistake(
            "M341",
            f"no operator is called '{entry.pattern}'",
            suggest(entry.pattern, names),
            entry.location,
        )
        for entry in fixed
        if not any(entry.matches(op) for op in workload.ops)
    ]
    if wrong:
        raise AccelsimError(wrong)


def fixed_candidates(
    op: Op,
    fixed: FixedMapping,
    workload: Workload,
    accelerator: Accelerator,
    objective: str,
    homes: Mapping[str, str] = NO_HOMES,
) -> tuple[Candidate, ...]:
    """Ways to run ``op`` that agree with what is fixed, and fit the scratchpad as those of a search
    do; the smallest one, if none does. ``homes``: activation -> memory level that it is kept in.

    Raises AccelsimError (M340) with everything that keeps it from being executed as written.
    """
    _require_legal(op, fixed, workload, accelerator)
    goal, timing = Objective(accelerator, objective), Timing(accelerator, homes)
    limits = 0, accelerator.scratchpad.bytes
    found: list[Candidate] = []
    smallest: tuple[tuple[int, int], Candidate] | None = None
    for name, streamed in _residencies(op, fixed, accelerator):
        if op.gemm is None:
            pool = _vector_pool(op, fixed, workload, streamed, name, accelerator, timing)
        else:
            pool = _array_pool(op, fixed, workload, streamed, name, accelerator, timing)
        sized = [(needs(op, workload, accelerator, c), c) for c in pool]
        found += thin([c for size, c in sized if size <= limits], goal, accelerator)
        rest = sized if smallest is None else [smallest, *sized]
        smallest = min(rest, key=itemgetter(0), default=None)
    if smallest is None:
        why = f"operator '{op.name}': no tile of open sizes keeps few enough sums"
        hint = "a smaller m or n, order nmk, or larger accumulators"
        raise AccelsimError(Mistake("M340", why, hint, fixed.location))
    return tuple(found) or (smallest[1],)


def _residencies(
    op: Op, fixed: FixedMapping, accelerator: Accelerator
) -> list[tuple[str, frozenset[str]]]:
    if fixed.stream is None:
        return list(variants(op, accelerator))
    return [("fixed", _streamed(op, fixed.stream))]


def _streamed(op: Op, names: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        if name == "inputs":
            found |= set(op.inputs)
        elif name == "output":
            found.add(op.output)
        else:
            found.add(name)
    return frozenset(found)


def require_obeyable(
    fixed: Sequence[FixedMapping], workload: Workload, accelerator: Accelerator
) -> None:
    """Raise AccelsimError with every fixed mapping that no operator of the network matches (M341),
    or that cannot be executed as written (M340)."""
    wrong: list[Mistake] = []
    try:
        require_matches(fixed, workload)
    except AccelsimError as error:
        wrong += error.mistakes
    for op in workload.ops:
        entry = fixed_for(op, fixed)
        if entry is not None:
            try:
                _require_legal(op, entry, workload, accelerator)
            except AccelsimError as error:
                wrong += error.mistakes
    if wrong:
        raise AccelsimError(wrong)


def _require_legal(
    op: Op, fixed: FixedMapping, workload: Workload, accelerator: Accelerator
) -> None:
    # What is open can be chosen so that the sums fit, if they can fit at all: small tiles, whole k.
    given = Tiling(
        fixed.m if fixed.m is not None else 1,
        fixed.n if fixed.n is not None else 1,
        fixed.k if fixed.k is not None else (1 if op.gemm is None else op.gemm.k),
        fixed.order or "nmk",
        fixed.dataflow or "",
    )
    streamed = _streamed(op, fixed.stream or ())
    found = objections(op, workload, given, streamed, accelerator)
    if fixed.stream is not None and accelerator.scratchpad.cacheless:
        kept = [name for name in (*op.inputs, op.output) if name not in streamed]
        why = "without a cache everything streams, "
        found += [(why + f"'{name}' too", "stream: [inputs, output]") for name in kept]
    wrong = [
        Mistake("M340", f"operator '{op.name}': {why}", hint, fixed.location) for why, hint in found
    ]
    if wrong:
        raise AccelsimError(wrong)


def _array_pool(
    op: Op,
    fixed: FixedMapping,
    workload: Workload,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
) -> list[Candidate]:
    operands = array_op(op, workload, accelerator.array)
    pixels = (*row_sizes(operands), *part_row_sizes(operands)) if fixed.m is None else (fixed.m,)
    several = bool(accelerator.array.alternatives)  # else it is the only one, or refused before
    loops = nests(
        operands, accelerator, timing, pixels,
        channels=None if fixed.n is None else (fixed.n,),
        reductions=None if fixed.k is None else (fixed.k,),
        orders=None if fixed.order is None else (fixed.order,),
        dataflows=(fixed.dataflow,) if fixed.dataflow and several else None,
    )  # fmt: skip
    before = array_pool_cycles(op, workload, timing)
    return [
        realise(nest, operands, streamed, variant, accelerator, timing, hidden=hidden)
        for nest in loops
        for hidden in hides(operands, accelerator, before)
    ]


def _vector_pool(
    op: Op,
    fixed: FixedMapping,
    workload: Workload,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
) -> list[Candidate]:
    if fixed.m is None and fixed.n is None:
        return [
            c
            for wide in (True, False)
            for c in vector_candidates(
                op, workload, streamed, variant, accelerator, timing, wide=wide
            )
        ]
    most = whole(op, workload.tensors[op.output])
    tiling = Tiling(fixed.m or most.m, fixed.n or most.n, 1)
    return [vector_candidate(op, workload, tiling, streamed, variant, accelerator, timing)]
