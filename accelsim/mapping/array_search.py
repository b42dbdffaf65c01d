"""The candidates of an array operator, all loop nests of a residency variant at once.

Same figures and same choice as realising every nest one by one (``search.exhaustive`` is that slow
twin, and a property test compares them); only what is kept becomes a :class:`Candidate`. Figures
are int64 arrays over the nests; where a product could leave 64 bits, :func:`fits_int64` says so and
the slow way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.arch.parts import Accelerator, Scratchpad
from accelsim.mapping.array import Nest, realise
from accelsim.mapping.objective import Objective
from accelsim.mapping.slots import stream_share
from accelsim.mapping.tile_loop import port_cycles
from accelsim.mapping.tiles import ArrayOp
from accelsim.mapping.timing import Timing
from accelsim.plan import Candidate

Ints = NDArray[np.int64]
Level = tuple[int | None, int | None]

LARGEST = 2**62
LONGEST_SETUP = 2**34
"""More cycles than set-up, latency and protections of one transfer can take in a config."""


@dataclass(frozen=True)
class Nests:
    """Loop nests and their figures as columns, see :class:`accelsim.mapping.array.Nest`."""

    nests: Sequence[Nest]
    weights: Ints
    inputs: Ints
    biases: Ints
    outputs: Ints
    tiles: Ints
    a: Ints
    b: Ints
    bias: Ints
    out: Ints
    kept: Ints
    compute: Ints
    final: Ints
    scratchpad: Ints
    weight_scratchpad: Ints
    accumulator: Ints
    registers: Ints
    hops: Ints
    a_bytes: Ints
    b_bytes: Ints
    bias_bytes: Ints
    b_stored: Ints
    bias_stored: Ints
    first_a: Ints


def columns(nests: Sequence[Nest], operands: ArrayOp) -> Nests:
    """Transpose a list of nests."""
    k = operands.gemm.k
    rows = [
        (
            n.fills.weights, n.fills.inputs, n.fills.biases, n.fills.outputs,
            n.fills.outputs * -(-k // n.tiling.k),
            n.sizes.a, n.sizes.b, n.sizes.bias, n.sizes.out,
            n.kept, n.compute, n.final, n.work.scratchpad_bytes, n.work.weight_scratchpad_bytes,
            n.work.accumulator_bytes, n.work.register_bits, n.work.hop_bits,
            n.a_bytes, n.b_bytes, n.bias_bytes, n.b_stored, n.bias_stored, n.first_a,
        )
        for n in nests
    ]  # fmt: skip
    table = np.array(rows, dtype=np.int64).T
    return Nests(nests, *table)


def fits_int64(nests: Sequence[Nest], accelerator: Accelerator) -> bool:
    """Whether every product of the formulas below stays within 64 bits."""
    rates = [accelerator.dram_bytes_per_cycle, stream_share(accelerator.scratchpad).rate]
    if accelerator.weight_sram is not None:
        rates.append(stream_share(accelerator.weight_sram).rate)
    if accelerator.weight_bytes_per_cycle is not None:
        rates.append(accelerator.weight_bytes_per_cycle)
    if accelerator.compression is not None:
        rates.append(accelerator.compression.ratio)
    rates += [accelerator.level_bytes_per_cycle(level) for level in accelerator.levels]
    scale = max(max(rate.numerator, rate.denominator) for rate in rates) * 16
    most = max(
        max(
            n.a_bytes, n.b_bytes, n.compute, n.work.scratchpad_bytes,
            n.work.weight_scratchpad_bytes,
        )
        for n in nests
    )  # fmt: skip
    fills = (n.fills for n in nests)
    count = max(max(f.weights, f.inputs, f.biases, f.outputs) for f in fills)
    bits = max(n.work.register_bits for n in nests)
    return bits < LARGEST and most * scale < LARGEST and count * LONGEST_SETUP < LARGEST


@dataclass(frozen=True)
class Pool:
    """The nests of one residency variant with or without prefetch."""

    indices: Ints
    """Which nests; the columns below belong to them."""
    cost: Ints
    cycles: Ints
    traffic: Ints
    buffer: Ints
    weights: Ints
    """Buffers in the weight scratchpad."""
    hidden: int | None


def choose(
    table: Nests,
    operands: ArrayOp,
    streamed: frozenset[str],
    variant: str,
    accelerator: Accelerator,
    timing: Timing,
    goal: Objective,
    *,
    before: int,
    demand: int,
    levels: Sequence[Level],
    shares: Sequence[int],
) -> list[Candidate]:
    """What is kept of one residency variant: see ``thinning.LEVELS``, ``SHARES``.

    ``before``: cycles a prefetch can hide behind; ``demand``: bytes of the tensors that must be
    resident, so buffers may take what they leave of the scratchpad. Those in a weight scratchpad
    may take all of it.
    """
    room = accelerator.scratchpad.bytes - demand
    figures = _Figures(table, operands, streamed, accelerator, timing, goal)
    kept: list[Candidate] = []
    early = figures.pool(before, room) if operands.constant else None
    own = accelerator.weight_sram
    plain = None if early is not None and own is not None else figures.pool(None, room)
    some_early = early is not None and early.indices.size > 0
    for pool, wanted in ((early, levels), (plain, levels[-1:] if some_early else levels)):
        if pool is None or not pool.indices.size:
            continue

        def build(row: int, pool: Pool = pool) -> Candidate:
            nest = table.nests[int(pool.indices[row])]
            return realise(
                nest, operands, streamed, variant, accelerator, timing, hidden=pool.hidden
            )

        kept += _thin(pool, wanted, build)
        if own is not None and pool is early:
            for most in (own.bytes // share for share in shares):
                kept += [c for c in _best_below(pool, most, build) if c not in kept]
    return kept


class _Figures:
    """Closed forms of ``array.realise`` and ``tile_loop.pipelined`` over all nests."""

    def __init__(
        self,
        table: Nests,
        operands: ArrayOp,
        streamed: frozenset[str],
        accelerator: Accelerator,
        timing: Timing,
        goal: Objective,
    ) -> None:
        self._table, self._operands, self._timing, self._goal = table, operands, timing, goal
        self._channels = accelerator.dma.channels
        self._constant = operands.constant
        self._stream_a = operands.a.name in streamed
        self._stream_b = operands.constant or operands.b.name in streamed
        self._stream_out = operands.output.name in streamed
        self._pad = accelerator.scratchpad
        self._weights = accelerator.weight_sram
        self._written = operands.output.bytes if self._stream_out else 0
        tensors = (operands.a, operands.b, operands.output)
        self._home_a, self._home_b, self._home_out = (timing.home(t.name) for t in tensors)
        self._traffic()

    def _traffic(self) -> None:
        t = self._table
        zero = np.zeros_like(t.a)
        self._activations = t.a_bytes if self._stream_a else zero
        if self._constant:
            self._constants = t.bias_bytes + t.b_bytes
            stored = t.bias_stored + t.b_stored
        else:
            self._constants, stored = t.bias_bytes, t.bias_stored
            if self._stream_b:
                self._activations = self._activations + t.b_bytes
        self._levels = self._by_level(zero)
        near = sum((read + written for _, read, written in self._levels), start=zero)
        self._moved = stored + self._activations + self._written - near
        self._read = self._constants + self._activations

    def _by_level(self, zero: Ints) -> tuple[tuple[str, Ints, int], ...]:
        """(level, bytes read, bytes written) of what memory levels take, each level once."""
        t = self._table
        parts: list[tuple[str, Ints, int]] = []
        if self._stream_a:
            parts.append((self._home_a, t.a_bytes, 0))
        if self._stream_b and not self._constant:
            parts.append((self._home_b, t.b_bytes, 0))
        if self._stream_out:
            parts.append((self._home_out, zero, self._written))
        found: dict[str, tuple[Ints, int]] = {}
        for level, read, written in parts:
            if level:
                known, out = found.get(level, (zero, 0))
                found[level] = known + read, out + written
        return tuple((level, *found[level]) for level in sorted(found))

    def _buffers(self) -> tuple[Ints, Ints]:
        """Bytes in the scratchpad, and of constants (in the weight scratchpad, if there is one,
        else they are among the former)."""
        t, pad = self._table, self._pad
        home = pad if self._weights is None else self._weights
        constants = _room(t.biases, t.bias, home)
        total = np.zeros_like(t.a)
        if self._constant:
            constants = constants + _room(t.weights, t.b, home)
        elif self._stream_b:
            total = _room(t.weights, t.b, pad)
        for used, count, size in (
            (self._stream_a, t.inputs, t.a),
            (self._stream_out, t.outputs, t.out),
        ):
            if used:
                total = total + _room(count, size, pad)
        return total + (constants if self._weights is None else 0), constants

    def pool(self, hidden: int | None, room: int) -> Pool:
        """Figures of the nests whose buffers fit ``room`` bytes."""
        t = self._table
        buffer, constants = self._buffers()
        cycles = self._cycles(hidden)
        moved = self._moved
        if self._goal.name == "latency":
            cost = cycles
        else:
            filled = self._constants if self._weights is not None else np.zeros_like(t.a)
            pad = t.scratchpad + self._read - filled + self._written
            side = t.weight_scratchpad + filled
            near = [(level, read + written) for level, read, written in self._levels]
            cost = self._goal.column_costs(
                cycles,
                moved,
                pad,
                side,
                t.accumulator,
                t.registers,
                t.hops,
                self._operands.op,
                near,
            )
        fits = buffer <= room
        if self._weights is not None:
            fits &= constants <= self._weights.bytes
        rows = np.nonzero(fits)[0]
        return Pool(
            rows, cost[rows], cycles[rows], moved[rows], buffer[rows], constants[rows], hidden
        )

    def _cycles(self, hidden: int | None) -> Ints:
        """``tile_loop.pipelined`` of every nest."""
        t, timing = self._table, self._timing
        fixed = timing.dma_fixed
        zero = np.zeros_like(t.a)
        loads = (t.weights if self._stream_b else zero) + (t.inputs if self._stream_a else zero)
        if self._operands.bias is not None and not self._constant:
            loads = loads + t.biases
        first_b = t.bias + (t.b if self._stream_b else zero)
        if self._constant:
            first_cycles = timing.constants(first_b)
        else:
            first_cycles = self._alone(first_b, self._home_b)
        first_a = zero
        if self._stream_a:
            first_a = self._alone(t.first_a, self._home_a)
        flow_first = first_cycles + first_a
        setup = timing.fixed(self._home_out)
        written = timing.transfers(np.full_like(t.a, self._written), self._home_out)
        last = zero
        if self._stream_out:  # as ``array_flow._last_stores``
            together = t.kept * (setup + -(-written // t.outputs)) - t.final
            last = np.maximum(setup + timing.transfers(t.out, self._home_out), together)
        tucked = np.minimum(hidden or 0, first_cycles)
        compute = t.compute
        arriving, at_port = port_cycles(
            timing, self._read, self._constants, self._written, self._levels
        )
        incoming = loads * fixed + arriving
        if self._stream_a:
            incoming = incoming + t.inputs * (timing.fixed(self._home_a) - fixed)
        if self._stream_b and not self._constant:
            incoming = incoming + t.weights * (timing.fixed(self._home_b) - fixed)
        stores = t.outputs if self._stream_out else zero
        outgoing = stores * setup + written
        first, one = flow_first - tucked, -(-compute // t.tiles)
        hides = incoming + outgoing <= flow_first + last
        easy = first + compute + last
        waiting = zero if self._channels <= 2 else -(-(incoming + compute) // 2)
        if self._channels > 1:
            incoming = np.maximum(arriving, -(-incoming // (self._channels - 1)))
        in_turn = first + np.maximum(compute, incoming + outgoing - flow_first - last + one) + last
        if self._channels == 1:
            return np.where(hides, easy, in_turn)
        loading = np.maximum(incoming, waiting) - tucked
        port = fixed + at_port - tucked
        together = np.maximum(
            np.maximum(first + compute + last, loading + one + last),
            np.maximum(first + one + outgoing, port + one),
        )
        return np.where(hides, easy, together + np.maximum(0, in_turn - together) // 4)

    def _alone(self, sizes: Ints, level: str) -> Ints:
        """``Timing.dma`` of every size, 0 for none."""
        cycles = self._timing.fixed(level) + self._timing.transfers(sizes, level)
        return np.where(sizes > 0, cycles, np.zeros_like(sizes))


def _room(fills: Ints, sizes: Ints, memory: Scratchpad) -> Ints:
    """Bytes of the slots of a buffer that is filled so often."""
    slots: Ints = np.minimum(fills, memory.buffering)
    return slots * (-(-sizes // memory.alignment_bytes) * memory.alignment_bytes)


def _thin(
    pool: Pool, levels: Sequence[Level], build: Callable[[int], Candidate]
) -> list[Candidate]:
    """The best of a pool and the smallest on each level, smallest first."""
    front = _front(pool, build)
    merits = [tuple(int(c[row]) for c in (pool.cost, pool.cycles, pool.traffic)) for row in front]
    buffers = [int(pool.buffer[row]) for row in front]
    best = min(range(len(front)), key=lambda at: (*merits[at], buffers[at]))
    chosen = {best}
    for slack in levels:
        for at, merit in enumerate(merits):
            if all(
                percent is None or figure * 100 <= least * percent
                for figure, least, percent in zip(merit[:2], merits[best][:2], slack, strict=True)
            ):
                chosen.add(at)
                break
    return [build(front[at]) for at in sorted(chosen)]


def _best_below(pool: Pool, most: int, build: Callable[[int], Candidate]) -> list[Candidate]:
    """The best of those whose weights take at most so many bytes, if there are any."""
    rows = np.nonzero(pool.weights <= most)[0]
    if not rows.size:
        return []
    part = Pool(
        pool.indices[rows], pool.cost[rows], pool.cycles[rows], pool.traffic[rows],
        pool.weights[rows], pool.weights[rows], pool.hidden,
    )  # fmt: skip
    return _thin(part, (), lambda row: build(int(rows[row])))


def _front(pool: Pool, build: Callable[[int], Candidate]) -> list[int]:
    """Rows that no other beats or equals in buffer, cost, cycles and traffic; smallest first; of
    equal ones that with the first name."""
    figures = np.stack([pool.cost, pool.cycles, pool.traffic])
    left = np.lexsort((pool.traffic, pool.cycles, pool.cost, pool.buffer))
    front: list[int] = []
    while left.size:
        row = int(left[0])
        beaten = (figures[:, left] >= figures[:, row][:, None]).all(axis=0)
        same = [
            int(other)
            for other in left[beaten & (pool.buffer[left] == pool.buffer[row])]
            if (figures[:, int(other)] == figures[:, row]).all()
        ]
        front.append(row if len(same) == 1 else min(same, key=lambda at: build(at).name))
        left = left[~beaten]
    return front
