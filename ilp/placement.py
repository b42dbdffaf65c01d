"""Placement of buffers with known lifetimes: the public face of :mod:`ilp.packing`."""

from __future__ import annotations

from collections.abc import Sequence

from ilp.check import check_placement
from ilp.packing import Block, Piece, max_live, pack
from ilp.problem import Buffer, Placement
from ilp.validate import require_valid_buffers


def place(
    buffers: Sequence[Buffer], capacity: int, alignment: int = 1, effort: float = 5.0
) -> Placement:
    """Give every buffer an offset so that buffers live at the same time do not overlap.

    The peak is minimised and stays within ``capacity`` bytes. Offsets are multiples of
    ``alignment`` and sizes occupy multiples of it. ``effort`` limits the exact search, in CP-SAT's
    deterministic seconds.

    The status is ``optimal`` (no lower peak exists), ``feasible``, ``infeasible`` (proved) or
    ``unknown`` (the effort ran out before a placement was found or refuted). Bad input raises
    :class:`accelsim.errors.AccelsimError`. The result has passed ``check_placement``.
    """
    require_valid_buffers(buffers, capacity, alignment, effort)
    blocks = [
        Block((Piece(b.lower, b.upper, 0, -(-b.size // alignment) * alignment),)) for b in buffers
    ]
    packing = pack(blocks, capacity, effort)
    found = packing.status in ("optimal", "feasible")
    placement = Placement(
        status=packing.status,
        offsets={b.id: a for b, a in zip(buffers, packing.addresses, strict=True)} if found else {},
        peak=packing.peak,
        lower_bound=max_live(piece for block in blocks for piece in block.pieces),
        method=packing.method,
    )
    check_placement(buffers, placement, capacity, alignment)
    return placement
