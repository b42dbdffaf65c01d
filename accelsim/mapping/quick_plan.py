"""A memory plan without a solver: the file's order, residency as far as it fits, first-fit places.

For design sweeps and whole-network timing with a given mapping rule: the cost is linear in the
number of operators (times the length of what stays resident). Nothing about it is optimal, and the
plan says so (``proved`` is false); ``ilp`` finds the best one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from accelsim.arch.parts import Accelerator
from accelsim.errors import AccelsimError, Infeasibility, InfeasibleError, Mistake, suggest
from accelsim.mapping.array import Nest, accumulator_tile_elements, realise
from accelsim.mapping.homes import settled_homes
from accelsim.mapping.layout import align, first_fit
from accelsim.mapping.objective import Objective
from accelsim.mapping.rules import RULES, ruled_nest, ruled_vector
from accelsim.mapping.tiles import array_op
from accelsim.mapping.timing import NO_HOMES, Timing
from accelsim.mapping.vector import vector_candidate
from accelsim.mapping.weight_places import weights_fit
from accelsim.plan import Candidate, Home, MemoryPlan, Step, relief
from accelsim.workload.graph import Op, Workload


def quick_plan(
    workload: Workload,
    accelerator: Accelerator,
    rule: str = "layer",
    *,
    timing: Timing | None = None,
) -> MemoryPlan:
    """Every operator in file order with the tiling of ``rule`` (``accelsim.mapping.rules``).

    An activation stays in the scratchpad from the step that makes it to its last reader if it fits
    beside the tile buffers of all steps in between. A graph input that streaming would fetch twice
    or more is loaded whole if it fits; other inputs, graph outputs, and what does not fit, stream
    tile by tile. Raises AccelsimError (M302) for an unknown rule, InfeasibleError when
    the tile buffers of an operator alone exceed the scratchpad, or the weight scratchpad.
    """
    ruler = _Ruler(workload, accelerator, rule, timing or Timing(accelerator))
    plan = _planned(workload, accelerator, ruler)
    if not accelerator.levels:
        return plan
    homes = settled_homes(workload, accelerator, plan.steps, Objective(accelerator, "latency"))
    # Tilings do not depend on homes, only what they are expected to cost.
    plan = _planned(workload, accelerator, ruler.with_homes(homes))
    return replace(plan, homes=homes, traffic_bytes=plan.traffic_bytes - sum(relief(homes)))


def _planned(workload: Workload, accelerator: Accelerator, ruler: _Ruler) -> MemoryPlan:
    rule = ruler.rule
    if not accumulator_tile_elements(accelerator) and any(op.gemm for op in workload.ops):
        raise InfeasibleError(_no_sums(accelerator))
    streaming = [ruler.alike(op, (*op.inputs, op.output)) for op in workload.ops]
    capacity = accelerator.scratchpad.bytes
    for candidate, op in zip(streaming, workload.ops, strict=True):
        if candidate.buffer_bytes > capacity:
            raise InfeasibleError(_too_large(rule, op, candidate, capacity))
        if not weights_fit(candidate, accelerator):
            raise InfeasibleError(_weights_too_large(rule, op, candidate, accelerator))
    refetched = {
        name
        for op, candidate in zip(workload.ops, streaming, strict=True)
        for name in _refetched(op, workload, candidate)
    }
    kept = _keep(workload, accelerator, [c.buffer_bytes for c in streaming], refetched)
    begins: dict[int, list[tuple[str, Kept]]] = {}
    for name, k in kept.items():
        begins.setdefault(k.first, []).append((name, k))
    alive: dict[str, int] = {}
    steps = []
    for index, (op, candidate) in enumerate(zip(workload.ops, streaming, strict=True)):
        names = (*op.inputs, op.output)
        moved = tuple(name for name in names if name not in kept or index < kept[name].first)
        if len(moved) < len(names):
            candidate = ruler.smaller(op, moved, candidate)
        else:
            candidate = ruler.candidate(op, moved)
        for name, k in begins.get(index, ()):
            alive[name] = k.address
        loads = tuple(
            name
            for name in op.inputs
            if name in refetched and name in kept and kept[name].first == index
        )
        steps.append(Step(op.name, candidate, loads, addresses=dict(alive), buffer_address=0))
        for name in [name for name in alive if kept[name].last == index]:
            del alive[name]
    return _plan(workload, accelerator, tuple(steps), kept)


class _Ruler:
    """Candidates by rule; operators of equal shape are worked out once."""

    def __init__(
        self, workload: Workload, accelerator: Accelerator, rule: str, timing: Timing
    ) -> None:
        if rule not in tuple(RULES):
            hint = suggest(str(rule), tuple(RULES))
            raise AccelsimError(Mistake("M302", f"unknown mapping rule {rule!r}", hint))
        self._workload, self._accelerator, self.rule = workload, accelerator, rule
        self._timing = timing
        self._homes: Mapping[str, str] = NO_HOMES
        self._found: dict[object, Candidate] = {}
        self._nests: dict[int, Nest] = {}

    def with_homes(self, homes: Iterable[Home]) -> _Ruler:
        """The same rule with tensors kept in memory levels."""
        levels = {home.tensor: home.level for home in homes}
        timing = self._timing.with_homes(levels)
        found = _Ruler(self._workload, self._accelerator, self.rule, timing)
        found._homes, found._nests = levels, self._nests
        return found

    def candidate(self, op: Op, moved: tuple[str, ...]) -> Candidate:
        """The candidate that streams ``moved``, in the order of inputs and output."""
        found, streamed = self.alike(op, moved), frozenset(moved)
        return found if found.streamed == streamed else replace(found, streamed=streamed)

    def alike(self, op: Op, moved: tuple[str, ...]) -> Candidate:
        """The same of ``op`` or an operator like it, whose tensors have other names."""
        names = (*op.inputs, op.output)
        homes = tuple([self._homes.get(name, "") for name in names]) if self._homes else ()
        key = self._workload.alike[op.name], tuple([names.index(name) for name in moved]), homes
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._ruled(op, frozenset(moved))
        return found

    def _ruled(self, op: Op, streamed: frozenset[str]) -> Candidate:
        machine, timing = self._accelerator, self._timing
        if op.gemm is None:
            return ruled_vector(op, self._workload, streamed, machine, timing)
        operands = array_op(op, self._workload, machine.array)
        alike = self._workload.alike[op.name]
        nest = self._nests.get(alike)
        if nest is None:
            nest = self._nests[alike] = ruled_nest(self.rule, operands, machine, timing)
        return realise(nest, operands, streamed, self.rule, machine, timing, hidden=None)

    def smaller(self, op: Op, moved: tuple[str, ...], streaming: Candidate) -> Candidate:
        """The candidate that streams only ``moved``, in no more buffers than ``streaming``, whose
        room is all that is kept free: with fewer operands to buffer a rule may choose larger tiles,
        which must not take what other tensors lie in."""
        found = self.candidate(op, moved)
        if found.buffer_bytes <= streaming.buffer_bytes and weights_fit(found, self._accelerator):
            return found
        assert op.gemm is None, "rules tile array operators whatever is resident"
        return vector_candidate(
            op, self._workload, streaming.tiling, frozenset(moved), "rule", self._accelerator,
            self._timing,
        )  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """A resident tensor: steps [first, last] and where it lies."""

    first: int
    last: int
    address: int
    size: int


def _refetched(op: Op, workload: Workload, candidate: Candidate) -> tuple[str, ...]:
    """Graph inputs among the inputs of ``op`` if the streaming candidate reads its activations at
    least twice over."""
    tensors = workload.tensors
    constants = sum(tensors[name].bytes for name in (op.weight, op.bias) if name is not None)
    once = sum(tensors[name].bytes for name in op.inputs)
    if candidate.dram_read_bytes - constants < 2 * once:
        return ()
    return tuple(name for name in op.inputs if name in workload.inputs)


def _keep(
    workload: Workload, accelerator: Accelerator, buffers: list[int], loaded: set[str]
) -> dict[str, Kept]:
    """Which activations stay, first come first served, above the tile buffers of their steps.

    Tile buffers begin at address 0. A tensor whose resident form needs fewer buffers than the
    streamed one that was reckoned with leaves the difference unused.
    """
    if accelerator.scratchpad.cacheless:
        return {}
    capacity, alignment = accelerator.scratchpad.bytes, accelerator.scratchpad.alignment_bytes
    turn = {op.name: index for index, op in enumerate(workload.ops)}
    kept: dict[str, Kept] = {}
    for first, op in enumerate(workload.ops):
        wanted = [name for name in op.inputs if name in loaded and name not in kept]
        if op.output not in workload.outputs:
            wanted.append(op.output)
        for name in wanted:
            readers = workload.consumers.get(name, ())
            if not readers:
                continue
            last = max(turn[reader.name] for reader in readers)
            size = align(workload.tensors[name].bytes, alignment)
            taken = [(0, max(buffers[first : last + 1]))]
            taken += [
                (k.address, k.size) for k in kept.values() if k.first <= last and first <= k.last
            ]
            address = first_fit(taken, size, capacity)
            if address is not None:
                kept[name] = Kept(first, last, address, size)
    return kept


def _plan(
    workload: Workload,
    accelerator: Accelerator,
    steps: tuple[Step, ...],
    kept: Mapping[str, Kept],
) -> MemoryPlan:
    traffic = sum(s.candidate.dram_read_bytes + s.candidate.dram_write_bytes for s in steps)
    traffic += sum(workload.tensors[name].bytes for step in steps for name in step.loads)
    live = [
        step.candidate.buffer_bytes
        + sum(k.size for k in kept.values() if k.first <= index <= k.last)
        for index, step in enumerate(steps)
    ]
    tops = [step.candidate.buffer_bytes for step in steps]
    tops += [k.address + k.size for k in kept.values()]
    cycles = sum(step.candidate.cycles for step in steps)
    plan = MemoryPlan(
        steps=steps,
        peak_bytes=max(tops, default=0),
        lower_bound_bytes=max(live, default=0),
        traffic_bytes=traffic,
        spill_bytes=0,
        cost=cycles,
        cost_lower_bound=0,
        objective="latency",
        proved=False,
        status="feasible",
        solver="rule",
        weight_peak_bytes=max((s.candidate.weight_buffer_bytes for s in steps), default=0),
    )
    said = "tilings by rule, operators in file order, residency first come first served: no solver "
    return replace(plan, notes=(said + "ran, schedule settings play no part",))


def _no_sums(accelerator: Accelerator) -> Infeasibility:
    """The accumulators cannot hold one sum in each half."""
    least = 2 * -(-accelerator.array.accumulator_bits // 8)
    return Infeasibility(
        statement="one sum in each half of the double-buffered accumulators",
        demand=least,
        limit=accelerator.accumulators.bytes,
        unit="B",
        levers=(f"accumulators of at least {least} bytes",),
    )


def _weights_too_large(
    rule: str, op: Op, candidate: Candidate, accelerator: Accelerator
) -> Infeasibility:
    assert accelerator.weight_sram is not None, "weights of a unified scratchpad always fit it"
    demand, own = candidate.weight_buffer_bytes, accelerator.weight_sram
    return Infeasibility(
        statement=f"operator {op.name!r}: the buffers of weights and biases of rule '{rule}' "
        f"({candidate.name}) do not fit the weight scratchpad",
        demand=demand,
        limit=own.bytes,
        unit="B",
        terms=(("tile buffers of weights and biases", demand),),
        levers=(
            f"a weight scratchpad of at least {demand} bytes",
            "another mapping rule, or the mapping search",
        ),
    )


def _too_large(rule: str, op: Op, candidate: Candidate, capacity: int) -> Infeasibility:
    return Infeasibility(
        statement=f"operator {op.name!r}: the tile buffers of rule '{rule}' ({candidate.name}) do "
        "not fit the scratchpad",
        demand=candidate.buffer_bytes,
        limit=capacity,
        unit="B",
        terms=(("tile buffers", candidate.buffer_bytes),),
        levers=(
            f"a scratchpad of at least {candidate.buffer_bytes} bytes",
            "another mapping rule, or the mapping search",
        ),
    )
