"""How long a double-buffered tile loop takes: an estimate from its transfers and its tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.flow import Flow
from accelsim.mapping.rates import Ints
from accelsim.mapping.timing import Timing


def pipelined(timing: Timing, flow: Flow, *, compute: int, tiles: int) -> int:
    """Estimate of a double-buffered tile loop of ``tiles`` tiles and ``compute`` cycles: its
    slowest stage, plus what the other stages need before its start and after its end.

    Loads have all channels but the last, stores the last, and they meet at the DRAM port; with
    one channel they take turns.
    """
    arriving = _arriving(timing, flow)
    incoming = flow.loads * timing.dma_fixed + arriving
    outgoing = flow.stores * timing.dma_fixed + _leaving(timing, flow)
    for part in flow.levels:
        nearer = timing.fixed(part.level) - timing.dma_fixed
        incoming += part.loads * nearer
        outgoing += part.stores * nearer
    first, last, one = flow.first - flow.hidden, flow.last, ceil_div(compute, tiles)
    if incoming + outgoing <= flow.first + last:
        return first + compute + last
    channels = timing.channels
    # A slot is filled only once it is free: half of a load hides behind the other slot's tile.
    waiting = 0 if channels <= 2 else ceil_div(incoming + compute, 2)
    if channels > 1:
        incoming = max(arriving, ceil_div(incoming, channels - 1))
    in_turn = first + max(compute, incoming + outgoing - flow.first - last + one) + last
    if channels == 1:
        return in_turn
    loading = max(incoming, waiting) - flow.hidden
    port = timing.dma_fixed + _at_port(timing, flow) - flow.hidden
    together = max(first + compute + last, loading + one + last, first + one + outgoing, port + one)
    # A long store makes short loads wait now and then: a quarter of what taking turns costs
    # (tuned against simulated single operators).
    return together + max(0, in_turn - together) // 4


def port_cycles(
    timing: Timing,
    read: Ints,
    constants: Ints,
    written: int,
    levels: Sequence[tuple[str, Ints, int]],
) -> tuple[Ints, Ints]:
    """:func:`_arriving` and :func:`_at_port` of many tile loops. ``levels``: the parts (level,
    bytes read, bytes written) of all this that memory levels take, each level once."""
    for _, mine, out in levels:
        read, written = read - mine, written - out
    arriving, busiest = _backing_cycles(timing, read, constants, written)
    for level, mine, out in levels:
        arriving = arriving + timing.transfers(mine, level)
        busiest = np.maximum(busiest, timing.transfers(mine + out, level))
    return arriving, busiest


def _backing_cycles(timing: Timing, read: Ints, constants: Ints, written: int) -> tuple[Ints, Ints]:
    if timing.plain:
        return timing.transfers(read), timing.transfers(read + written)
    own = timing.constant_cycles(constants)
    rest = timing.transfers(read - constants + written)
    busier = np.maximum(rest, own) if timing.own_weights else rest + own
    return timing.transfers(read - constants) + own, busier


def _arriving(timing: Timing, flow: Flow) -> int:
    """Cycles of all bytes read, one after the other."""
    constants = timing.transfer(flow.constants, constant=True).cycles
    near = sum(timing.transfer_bytes(part.read, part.level) for part in flow.levels)
    far = flow.read - sum(part.read for part in flow.levels)
    if timing.plain:
        return timing.transfer_bytes(far) + near
    return timing.transfer_bytes(far - flow.constants) + constants + near


def _leaving(timing: Timing, flow: Flow) -> int:
    """Cycles of all bytes written."""
    near = sum(timing.transfer_bytes(part.written, part.level) for part in flow.levels)
    return timing.transfer_bytes(flow.written - sum(part.written for part in flow.levels)) + near


def _at_port(timing: Timing, flow: Flow) -> int:
    """Cycles that the busiest memory port is held."""
    moved = flow.read + flow.written - sum(part.read + part.written for part in flow.levels)
    near = max(
        (timing.transfer_bytes(part.read + part.written, part.level) for part in flow.levels),
        default=0,
    )
    if timing.plain:
        return max(timing.transfer_bytes(moved), near)
    rest = timing.transfer_bytes(moved - flow.constants)
    constants = timing.transfer(flow.constants, constant=True).cycles
    return max(rest, constants, near) if timing.own_weights else max(rest + constants, near)
