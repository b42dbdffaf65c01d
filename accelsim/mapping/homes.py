"""Where tensors are kept on machines with memory levels between scratchpad and backing memories.

A tensor that moves off the scratchpad has a *home*: the nearest level that has room for all of it
for as long as it is needed, else its backing memory. Who moves most bytes chooses first, and takes
the lowest addresses that are free in all steps of its life (first fit).

Activations that the network makes itself live from the step that first writes them to the one that
last reads them. What begins or ends in a backing memory (network inputs, outputs that are read
again, weights of array operators) is copied into a level or out of it, and only where that pays by
the objective: what the steps save is more than what the copy costs.

:func:`expected_homes` guesses before anything is planned, so that search and scheduler reckon with
the right rates; :func:`settled_homes` decides, from what the steps of a plan really move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator, Level
from accelsim.mapping.layout import align, first_fit
from accelsim.mapping.moves import Steps
from accelsim.mapping.objective import Objective
from accelsim.plan import Home, Step
from accelsim.workload.graph import Workload


@dataclass(frozen=True)
class Wish:
    """Tensors that share a home, with what they move while they have it."""

    tensors: tuple[str, ...]
    steps: tuple[int, ...]
    """Steps that move them, ascending; their life is from the first to the last."""
    moved: int
    """Bytes both ways, without copies."""
    copied_in: bool = False
    """They begin in a backing memory; likewise for their end below."""
    copied_out: bool = False
    constant: bool = False

    def meets(self, other: Wish) -> bool:
        """Whether both live at the same time."""
        return self.steps[0] <= other.steps[-1] and other.steps[0] <= self.steps[-1]


Placed = tuple[Wish, Level, int]
"""A wish with its level and address."""


def expected_homes(workload: Workload, accelerator: Accelerator) -> dict[str, str]:
    """Activation -> level, should operators run in file order and everything between them move off
    the scratchpad. Empty without levels."""
    if not accelerator.levels:
        return {}
    turn, wishes = workload.position, []
    for name, maker in workload.producer.items():
        readers = [turn[reader.name] for reader in workload.consumers.get(name, ())]
        size = workload.tensors[name].bytes
        if readers and size and name not in workload.outputs:
            steps = (turn[maker.name], *sorted(readers))
            wishes.append(Wish((name,), steps, size * len(steps)))
    placed = _placed(wishes, workload, accelerator, lambda wish, level, homes: True)
    return _levels(placed)


def settled_homes(
    workload: Workload, accelerator: Accelerator, steps: Sequence[Step], goal: Objective
) -> tuple[Home, ...]:
    """The homes of a plan, in the order of the network's tensors."""
    if not accelerator.levels:
        return ()
    figures = Steps(workload, accelerator)
    lives: dict[str, _Life] = {}
    for number, step in enumerate(steps):
        for name, (read, written) in figures.moves(step).items():
            lives.setdefault(name, _Life([])).add(number, read, written)
    prices = _Prices(workload, steps, figures, goal)
    wishes = [*_activations(workload, lives), *_weights(workload, accelerator, lives)]
    found = [
        home
        for placed in _placed(wishes, workload, accelerator, prices.pays)
        for home in _homes(placed, workload, lives)
    ]
    order = {name: at for at, name in enumerate(workload.tensors)}
    return tuple(sorted(found, key=lambda home: order[home.tensor]))


@dataclass
class _Life:
    """What is moved of a tensor, and when."""

    steps: list[int]
    read: int = 0
    written: int = 0

    def add(self, step: int, read: int, written: int) -> None:
        self.steps.append(step)
        self.read += read
        self.written += written


def _activations(workload: Workload, lives: Mapping[str, _Life]) -> list[Wish]:
    """Activations that move: those of the network's own, its inputs, and outputs that it reads."""
    wishes = []
    for name, life in lives.items():
        made, ends = name in workload.producer, name in workload.outputs
        if not life.read or (not made and (ends or name not in workload.inputs)):
            continue
        moved = life.read + life.written
        wishes.append(Wish((name,), tuple(life.steps), moved, copied_in=not made, copied_out=ends))
    return wishes


def _weights(
    workload: Workload, accelerator: Accelerator, lives: Mapping[str, _Life]
) -> list[Wish]:
    """Constants of array operators, a weight together with its bias, because they travel together.
    Compressed, sparse and shared ones stay where they are."""
    if accelerator.compression is not None or accelerator.array.sparsity is not None:
        return []
    users: dict[str, int] = {}
    for op in workload.ops:
        for name in (op.weight, op.bias):
            if name is not None:
                users[name] = users.get(name, 0) + 1
    wishes = []
    for op in workload.ops:
        names = tuple(name for name in (op.weight, op.bias) if name is not None)
        if op.gemm is None or op.weight is None or any(users[name] > 1 for name in names):
            continue
        steps, read = lives[op.weight].steps, sum(lives[name].read for name in names)
        wishes.append(Wish(names, tuple(steps), read, copied_in=True, constant=True))
    return wishes


class _Prices:
    """What homes that need copies save and cost."""

    def __init__(
        self, workload: Workload, steps: Sequence[Step], figures: Steps, goal: Objective
    ) -> None:
        self._workload, self._steps, self._figures, self._goal = workload, steps, figures, goal

    def pays(self, wish: Wish, level: Level, homes: Mapping[str, str]) -> bool:
        """Whether a home there is cheaper than the backing memory, given the ``homes`` of others.
        What needs no copy always goes to a level."""
        copies = wish.copied_in + wish.copied_out
        if not copies:
            return True
        there = {**homes, **dict.fromkeys(wish.tensors, level.name)}
        spent = 0
        for name in wish.tensors:
            size = self._workload.tensors[name].bytes
            spent += copies * self._goal.copy_cost(size, level.name, constant=wish.constant)
        for step in (self._steps[number] for number in wish.steps):
            before = self._figures.cost(step, self._goal, homes)
            spent += self._figures.cost(step, self._goal, there) - before
        return spent < 0


def _placed(
    wishes: Iterable[Wish],
    workload: Workload,
    accelerator: Accelerator,
    pays: Callable[[Wish, Level, Mapping[str, str]], bool],
) -> list[Placed]:
    """Wishes that find room, with level and address."""
    found: list[Placed] = []
    homes: dict[str, str] = {}
    # Sorting is stable: of equal ones the first in the order of execution.
    for wish in sorted(wishes, key=lambda wish: -wish.moved):
        for level in accelerator.levels:
            size = sum(_room(name, workload, level) for name in wish.tensors)
            busy = [
                (address, sum(_room(name, workload, level) for name in other.tensors))
                for other, where, address in found
                if where is level and other.meets(wish)
            ]
            address = first_fit(busy, size, level.bytes)
            if address is not None and pays(wish, level, homes):
                found.append((wish, level, address))
                homes |= dict.fromkeys(wish.tensors, level.name)
                break
    return found


def _levels(placed: Iterable[Placed]) -> dict[str, str]:
    return {name: level.name for wish, level, _ in placed for name in wish.tensors}


def _room(tensor: str, workload: Workload, level: Level) -> int:
    return align(workload.tensors[tensor].bytes, level.alignment_bytes)


def _homes(placed: Placed, workload: Workload, lives: Mapping[str, _Life]) -> Iterable[Home]:
    wish, level, address = placed
    for name in wish.tensors:
        life = lives[name]
        yield Home(
            name, level.name, address, workload.tensors[name].bytes, wish.steps[0],
            wish.steps[-1], life.read, life.written, wish.copied_in, wish.copied_out,
        )  # fmt: skip
        address += _room(name, workload, level)
