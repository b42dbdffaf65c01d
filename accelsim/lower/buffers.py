"""The buffers that a block's commands touch: tile buffers, resident tensors, accumulators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelsim.arch.parts import Accelerator
from accelsim.mapping.layout import Layout
from accelsim.plan import Home, Step
from accelsim.program import Buffer
from accelsim.workload.graph import Op, Role, Workload

Slots = tuple[int, ...]
"""Where the slots of a tile buffer lie, from the beginning of the workspace; empty: the tensor is
resident (or there is none)."""


CONSTANTS = (Role.WEIGHT, Role.BIAS)


def offsets(layout: Layout, role: str) -> Slots:
    """The slots of one role."""
    return tuple([slot.offset for slot in layout.buffers if slot.role == role])


def as_planned(layout: Layout, step: Step, accelerator: Accelerator) -> Layout:
    """A workspace as a step has it, which must be what the plan reckoned with."""
    reckoned = step.candidate.buffer_bytes, step.candidate.weight_buffer_bytes
    assert (layout.bytes, layout.weight_bytes) == reckoned, f"{step.op}: buffers differ from plan"
    own = accelerator.weight_sram
    if own is None or not step.weights_downward:
        return layout
    return layout.reversed_weights(own.alignment_bytes)


@dataclass(frozen=True)
class At:
    """Where transfers of a tensor go that is kept in a memory level."""

    buffer: int
    """Its number in the block."""
    level: str
    bytes: int
    """All of the tensor."""


class Kept:
    """The homes of a plan in memory levels, and the values that are in them."""

    def __init__(self, homes: Mapping[str, Home]) -> None:
        self._homes = homes
        self._begins: dict[int, list[Home]] = {}
        for home in homes.values():
            self._begins.setdefault(home.first, []).append(home)
        self.buffers: dict[str, Buffer] = {}

    def beginning(self, step: int) -> Sequence[Home]:
        """Homes whose life begins with a step."""
        return self._begins.get(step, ())

    def of(self, tensor: str, step: int) -> Home | None:
        """The home of a tensor in a step of its life there; None: its backing memory."""
        home = self._homes.get(tensor)
        return home if home is not None and home.first <= step <= home.last else None

    def levels(self, op: Op, step: int) -> tuple[str, ...]:
        """The levels of an operator's tensors: with them its commands differ."""
        if not self._homes:
            return ()
        names = (*op.inputs, op.weight, op.bias, op.output)
        found = [self.of(name, step) if name else None for name in names]
        return tuple([home.level if home else "" for home in found])


class Buffers:
    """Buffers of one block in the order in which they are asked for, so that blocks of the same
    shape number them alike.

    ``residents``: tensor -> buffer of its current residency; a block that starts one updates it.
    Activations belong to their producer, everything else to this operator. ``split``: weights and
    biases have a scratchpad of their own.
    """

    def __init__(
        self,
        workload: Workload,
        residents: dict[str, Buffer],
        op: Op,
        step: Step,
        number: int,
        kept: Kept,
        *,
        split: bool = False,
    ) -> None:
        self.number = number
        """Of the step."""
        self.all: list[Buffer] = []
        self.starts: list[int] = []
        """Residencies that begin with this block."""
        self._workload = workload
        self._residents = residents
        self._op = op.name
        self._step = step
        self._split = split
        self._known: dict[str, int] = {}
        self._kept = kept
        self._levels: dict[str, int] = {}

    def tiles(self, slots: Slots, kind: str, tensor: str) -> int:
        """A tile buffer of values of a tensor, or, without slots, the resident tensor itself."""
        if not slots:
            return self.resident(tensor)
        structure, base = "scratchpad", self._step.buffer_address
        if self._split and kind != "activation":
            structure, base = "weight_scratchpad", self._step.weight_buffer_address
        addresses = tuple([base + offset for offset in slots])
        owner = self._owner(tensor) if kind == "activation" else self._op
        self.all.append(Buffer(structure, kind, tensor, owner, addresses))
        return len(self.all) - 1

    def output(self, slots: Slots, tensor: str) -> int:
        """Where a block puts its result: a tile buffer, or a residency that begins with it."""
        if slots:
            return self.tiles(slots, "activation", tensor)
        self.start(tensor)
        return self.started(tensor)

    def accumulators(self, tensor: str, halves: tuple[int, ...]) -> int:
        """The accumulator SRAM for sums of ``tensor``, whose parts begin at ``halves``."""
        self.all.append(Buffer("accumulators", "accumulator", tensor, self._op, halves))
        return len(self.all) - 1

    def resident(self, tensor: str) -> int:
        """A tensor that lies whole in the scratchpad."""
        known = self._known.get(tensor)
        if known is None:
            self.all.append(self._residents[tensor])
            known = self._known[tensor] = len(self.all) - 1
        return known

    def start(self, tensor: str) -> None:
        """A new residency of a tensor, at its address in this step."""
        size = self._workload.tensors[tensor].bytes
        address = (self._step.addresses or {}).get(tensor, 0)
        self._residents[tensor] = Buffer(
            "scratchpad", "activation", tensor, self._owner(tensor), (address,), size
        )

    def started(self, tensor: str) -> int:
        """The buffer of a residency that :meth:`start` began in this block."""
        index = self.resident(tensor)
        self.starts.append(index)
        return index

    def home(self, tensor: str) -> At | None:
        """Where a tensor is kept in this step, if that is a memory level."""
        home = self._kept.of(tensor, self.number)
        if home is None:
            return None
        at = self._levels.get(tensor)
        if at is None:
            at = self._levels[tensor] = len(self.all)
            if home.first == self.number:
                self.starts.append(at)
                self._kept.buffers[tensor] = self._level_buffer(home)
            self.all.append(self._kept.buffers[tensor])
        return At(at, home.level, home.bytes)

    def _level_buffer(self, home: Home) -> Buffer:
        role, tensor = self._workload.tensors[home.tensor].role, home.tensor
        kind = role.value if role in CONSTANTS else "activation"
        owner = self._owner(tensor) if kind == "activation" else self._op
        return Buffer(home.level, kind, tensor, owner, (home.address,), home.bytes)

    def _owner(self, tensor: str) -> str:
        producer = self._workload.producer.get(tensor)
        return self._op if producer is None else producer.name
