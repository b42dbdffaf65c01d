"""What follows from a problem before anything is decided: sizes, users, modes, time windows.

Operators are numbered by their place in ``problem.ops``; steps count from 0. Sizes here are
rounded up to the alignment, because that is what a tensor occupies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

from ilp.problem import Op, Problem


@dataclass(frozen=True)
class Choice:
    """A mode of one operator, with everything about it worked out."""

    op: int
    name: str
    cost: int
    workspace: int
    """Rounded bytes during the operator's step."""
    prefetch: int
    """Rounded bytes, the beginning of the workspace, held one step early."""
    needed: tuple[str, ...]
    """Inputs and outputs that are resident during the step."""
    reads: tuple[str, ...]
    """Streamed inputs."""
    writes: tuple[str, ...]
    """Streamed outputs."""
    demand: int
    """Bytes of ``needed`` plus ``workspace``: what the operator takes on its own."""


@dataclass(frozen=True)
class Facts:
    """The problem, with derived tables. Tensors that no operator touches are left out."""

    problem: Problem
    tensors: tuple[str, ...]
    size: dict[str, int]
    producer: dict[str, int]
    """Tensor -> operator; graph inputs have none."""
    consumers: dict[str, tuple[int, ...]]
    choices: tuple[tuple[Choice, ...], ...]
    """Per operator, exactly dominated modes left out."""
    ancestors: tuple[int, ...]
    """Per operator, a bit mask of the operators that must run before it."""
    descendants: tuple[int, ...]
    store_cost: dict[str, int]
    load_cost: dict[str, int]
    clean: frozenset[str]
    """Graph inputs that are in DRAM already."""
    charged: frozenset[str]
    """Clean graph inputs whose first residency is a paid load as well."""
    owed: frozenset[str]
    """Graph outputs that must reach DRAM."""

    @property
    def steps(self) -> int:
        """Number of steps, which is the number of operators."""
        return len(self.choices)

    @property
    def granule(self) -> int:
        """Greatest common divisor of all rounded sizes (1 when there are none)."""
        amounts = list(self.size.values())
        for choices in self.choices:
            for choice in choices:
                amounts += [choice.workspace, choice.prefetch]
        return gcd(*amounts) or 1

    def window(self, op: int) -> range:
        """Steps at which the operator can run."""
        if self.problem.order == "given":
            return range(op, op + 1)
        first = self.ancestors[op].bit_count()
        return range(first, self.steps - self.descendants[op].bit_count())


def find_facts(problem: Problem) -> Facts:
    """Work out the tables of a valid problem."""
    inputs = set(problem.graph_inputs)
    used = dict.fromkeys(name for op in problem.ops for name in (*op.inputs, *op.outputs))
    unit = problem.alignment
    size = {name: -(-problem.sizes[name] // unit) * unit for name in used}
    producer = {name: i for i, op in enumerate(problem.ops) for name in op.outputs}
    consumers = {
        name: tuple(i for i, op in enumerate(problem.ops) if name in op.inputs) for name in used
    }
    clean = frozenset(inputs) if problem.inputs_clean else frozenset[str]()
    ancestors = _ancestors(problem, producer)
    return Facts(
        problem=problem,
        tensors=tuple(used),
        size=size,
        producer=producer,
        consumers=consumers,
        choices=tuple(_choices(i, op, size, unit, clean) for i, op in enumerate(problem.ops)),
        ancestors=ancestors,
        descendants=_transpose(ancestors),
        store_cost=_costs(problem, problem.store_cost, used),
        load_cost=_costs(problem, problem.load_cost, used),
        clean=clean,
        charged=clean if problem.charge_inputs else frozenset(),
        owed=_owed(problem, producer),
    )


def _owed(problem: Problem, producer: Mapping[str, int]) -> frozenset[str]:
    made = (name for name in problem.graph_outputs if name in producer)
    return frozenset(made) if problem.charge_outputs else frozenset()


def _costs(
    problem: Problem, table: Mapping[str, int] | None, names: Iterable[str]
) -> dict[str, int]:
    source = problem.sizes if table is None else table
    return {name: source[name] for name in names}


def _ancestors(problem: Problem, producer: dict[str, int]) -> tuple[int, ...]:
    masks: list[int] = []
    for op in problem.ops:
        mask = 0
        for name in op.inputs:
            if name in producer:
                before = producer[name]
                mask |= masks[before] | (1 << before)
        masks.append(mask)
    return tuple(masks)


def _transpose(masks: Sequence[int]) -> tuple[int, ...]:
    turned = [0] * len(masks)
    for i, mask in enumerate(masks):
        for j in range(i):
            if mask >> j & 1:
                turned[j] |= 1 << i
    return tuple(turned)


def _choices(
    index: int, op: Op, size: dict[str, int], unit: int, clean: frozenset[str]
) -> tuple[Choice, ...]:
    own_inputs = tuple(dict.fromkeys(op.inputs))
    own_outputs = tuple(dict.fromkeys(op.outputs))
    every: list[Choice] = []
    for mode in op.modes:
        touched = (*own_inputs, *own_outputs)
        needed = tuple(name for name in touched if name not in mode.streamed)
        workspace = -(-mode.workspace_bytes // unit) * unit
        every.append(
            Choice(
                op=index,
                name=mode.name,
                cost=mode.cost,
                workspace=workspace,
                prefetch=-(-mode.prefetch_bytes // unit) * unit,
                needed=needed,
                reads=tuple(name for name in own_inputs if name in mode.streamed),
                writes=tuple(name for name in own_outputs if name in mode.streamed),
                demand=sum(size[name] for name in needed) + workspace,
            )
        )
    return _undominated(every, clean)


def _undominated(every: Sequence[Choice], clean: frozenset[str]) -> tuple[Choice, ...]:
    """Leave out choices that another can replace in any plan without raising its cost."""
    kept: list[Choice] = []
    for i, choice in enumerate(every):
        beaten = any(
            # Two choices that replace each other are equal: the first of them stays.
            j != i
            and _replaces(rival, choice, clean)
            and (j < i or not _replaces(choice, rival, clean))
            for j, rival in enumerate(every)
        )
        if not beaten:
            kept.append(choice)
    return tuple(kept)


def _replaces(new: Choice, old: Choice, clean: frozenset[str]) -> bool:
    # A streamed clean input asks for nothing, so streaming more of those is only easier.
    easier_reads = set(old.reads) <= set(new.reads) <= set(old.reads) | clean
    return (
        new.writes == old.writes
        and easier_reads
        and new.cost <= old.cost
        and new.workspace <= old.workspace
        and new.prefetch <= old.prefetch
    )
