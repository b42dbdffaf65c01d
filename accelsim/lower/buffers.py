"""The buffers that a block's commands touch: tile buffers, resident tensors, accumulators."""

from __future__ import annotations

from accelsim.arch.parts import Accelerator
from accelsim.mapping.layout import Layout
from accelsim.plan import Step
from accelsim.program import Buffer
from accelsim.workload.graph import Op, Workload

Slots = tuple[int, ...]
"""Where the slots of a tile buffer lie, from the beginning of the workspace; empty: the tensor is
resident (or there is none)."""


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
        *,
        split: bool = False,
    ) -> None:
        self.all: list[Buffer] = []
        self.starts: list[int] = []
        """Residencies that begin with this block."""
        self._workload = workload
        self._residents = residents
        self._op = op.name
        self._step = step
        self._split = split
        self._known: dict[str, int] = {}

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

    def _owner(self, tensor: str) -> str:
        producer = self._workload.producer.get(tensor)
        return self._op if producer is None else producer.name
