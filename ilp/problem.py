"""The scheduling problem and its answer: plain frozen values, no solver.

Given a DAG of operators and tensors and ``capacity`` bytes of scratchpad, choose the operator
order, when each tensor is resident, what is spilled and reloaded, how each operator runs (its
mode) and every address (COSMA, arXiv 2311.18246; two-phase, see ``ilp.schedule``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accelsim.errors import Infeasibility


@dataclass(frozen=True)
class Mode:
    """One way to run an operator. The default mode needs nothing beyond its resident tensors."""

    name: str = "default"
    workspace_bytes: int = 0
    """Scratchpad bytes occupied during the operator's step besides resident tensors."""
    prefetch_bytes: int = 0
    """Part of the workspace that is already occupied during the step before (at most
    ``workspace_bytes``). No effect in the first step."""
    cost: int = 0
    """Cost of running in this mode, in units of the objective."""
    streamed: frozenset[str] = frozenset()
    """Inputs read from, and outputs written to, their DRAM copy: they need no residency in this
    step. A streamed input must have a DRAM copy (an earlier store, a streamed output, or a graph
    input when ``inputs_clean``); a streamed output creates the DRAM copy and no residency (its
    transfer cost is part of ``cost``)."""


@dataclass(frozen=True)
class Op:
    """An operator. ``inputs`` may repeat a tensor: it counts once."""

    id: int | str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    modes: tuple[Mode, ...] = (Mode(),)


@dataclass(frozen=True)
class Problem:
    """Everything the scheduler needs.

    One operator per step; its inputs and outputs are resident together unless its mode streams
    them. A graph input becomes resident at its first use at no cost. A tensor that leaves and
    comes back costs its store once and its load each time (``inputs_clean``: a graph input is in
    DRAM already and costs loads only). Graph outputs cost nothing and need not stay.
    """

    sizes: Mapping[str, int]
    """Tensor -> bytes (0 is legal)."""
    ops: tuple[Op, ...]
    """In a topological order, which is also the order used when ``order`` is ``given``."""
    graph_inputs: tuple[str, ...]
    graph_outputs: tuple[str, ...]
    capacity: int
    order: str = "free"
    """``free`` or ``given``."""
    inputs_clean: bool = False
    """Graph inputs have a DRAM copy already: dropping and reloading one costs the load only."""
    charge_inputs: bool = False
    """With ``inputs_clean``: the first residency of a graph input is a load like any other (listed
    in ``Step.loads`` and paid), not free; so streaming it and loading it compare fairly."""
    charge_outputs: bool = False
    """Every graph output must end up in DRAM: stored from the scratchpad (listed in
    ``Step.stores`` and paid like any store) or streamed there by its operator's mode."""
    alignment: int = 1
    """Addresses are multiples of it, and sizes occupy multiples of it."""
    store_cost: Mapping[str, int] | None = None
    """Tensor -> cost of one store; ``None``: its bytes."""
    load_cost: Mapping[str, int] | None = None
    """Tensor -> cost of one reload; ``None``: its bytes."""


@dataclass(frozen=True)
class Step:
    """One operator's turn: loads come before it, stores while it runs or right after."""

    op: int | str
    mode: str
    loads: tuple[str, ...]
    """Tensors brought back from DRAM for this step (never the free first use of an input)."""
    stores: tuple[str, ...]
    """Resident tensors copied to DRAM in this step (at most once per tensor in a schedule)."""
    resident: Mapping[str, int]
    """Tensor -> address, for all tensors resident during this step."""
    workspace_address: int = 0


@dataclass(frozen=True)
class Schedule:
    """The answer. ``status``: ``optimal`` (proved), ``feasible`` (not proved), ``infeasible`` or
    ``unknown`` (stopped before finding or refuting anything)."""

    status: str
    steps: tuple[Step, ...] = ()
    cost: int = 0
    """Modes, stores and loads in units of the objective."""
    lower_bound: int = 0
    """Proved lower bound of ``cost``."""
    traffic_bytes: int = 0
    """Bytes of stores and loads (without what modes stream)."""
    peak_bytes: int = 0
    """Highest address in use plus one."""
    max_live_bytes: int = 0
    """Largest sum of resident tensors, workspace and prefetch in any step: bounds the peak."""
    m_r_bytes: int = 0
    """Largest demand of one operator on its own, in its smallest mode: no capacity below works."""
    default_peak_bytes: int = 0
    """Max-live of the given order with nothing spilled and smallest modes."""
    solver: str = ""
    infeasibility: Infeasibility | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def order(self) -> tuple[int | str, ...]:
        """Operator ids in execution order."""
        return tuple(step.op for step in self.steps)


@dataclass(frozen=True)
class Buffer:
    """A rectangle to place: live in [lower, upper), ``size`` bytes high."""

    id: str
    lower: int
    upper: int
    size: int


@dataclass(frozen=True)
class Placement:
    """Offsets of buffers. ``lower_bound`` is the largest sum of live sizes."""

    status: str
    offsets: Mapping[str, int]
    peak: int
    lower_bound: int
    method: str = ""
